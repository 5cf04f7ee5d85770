"""Files that moved: tell a section where they are now. Other content is refused."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.slide import HE
from napari_pixelgene.readers.images import read_image, read_picture
from napari_pixelgene.readers.ome_zarr import is_zarr
from napari_pixelgene.store.references import Reference, references, relink, set_reference, whereabouts

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore


def relink_files(store: SectionStore, place: Path, key: str | None = None) -> dict[str, Path]:
    """Link references to `place`: a file of any name with `key`, else files of the same names in or below a folder.

    Returns what was linked anew. Raises StoreError where nothing fits, or the content is another one.
    """
    known = references(store)
    if key is not None and key not in known:
        raise StoreError(f"{store.path.name} refers to no '{key}'.", f"It refers to: {', '.join(known)}.")
    if not place.exists():
        raise StoreError(f"There is no file or folder {place}.", "Check the path.")
    found = {key: place} if key is not None and _is_one(place) else _found(store, known, place, key)
    if not found:
        names = ", ".join(sorted({whereabouts(ref, store.path).name for ref in known.values()}))
        raise StoreError(f"{place} holds none of the files of {store.path.name} ({names}).", "Give their folder.")
    fresh = {each: _relinked(store, each, known[each], path) for each, path in found.items()}
    for each, ref in fresh.items():
        set_reference(store, each, ref)
    return found


def _found(store: SectionStore, known: dict[str, Reference], place: Path, key: str | None) -> dict[str, Path]:
    """Files of the names that are gone (all names, when none is), by reference."""
    where = {each: whereabouts(ref, store.path) for each, ref in known.items() if key in (None, each)}
    gone = {each: path for each, path in where.items() if not path.exists()} or where
    if _is_one(place):
        return {each: place for each, path in gone.items() if path.name == place.name}
    below = {each: _likest(path, sorted(place.rglob(path.name))) for each, path in gone.items()}
    return {each: path for each, path in below.items() if path is not None}


def _likest(old: Path, candidates: list[Path]) -> Path | None:
    """Of files of one name the one whose folders are called most like the old one's."""

    def shared(path: Path) -> int:
        pairs = zip(reversed(old.parts), reversed(path.absolute().parts), strict=False)
        return next((n for n, (a, b) in enumerate(pairs) if a != b), len(old.parts))

    return max(candidates, key=shared, default=None)


def _is_one(place: Path) -> bool:
    """Whether a path is what is referred to, and not a folder to look in: a file, or a Zarr."""
    return place.is_file() or is_zarr(place)


def _relinked(store: SectionStore, key: str, ref: Reference, path: Path) -> Reference:
    """The H&E, and an image given for a capture, may be another file with the same pixels; it is opened to see."""
    if key == HE:
        return relink(ref, read_image(path, float(store.meta()["mpp"])), store.path)
    return relink(ref, read_picture(path)[0] if "pixels" in ref else path, store.path)
