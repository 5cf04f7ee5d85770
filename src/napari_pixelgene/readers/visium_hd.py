"""A Visium HD output folder: squares of 2, 8, 16 µm (or another size a person chose), one folder a size.

`binned_outputs/square_008um` and its sisters are laid out as a Visium run, with their positions in Parquet. Bins fill
the capture area side by side; they are not aligned to our lattice, and the array may lie turned on the slide. Each bin
is taken as an upright square of its side around its own centre, so that a turn moves no bin; beyond a few degrees
neighbouring squares overlap a little, which is told.
"""

from __future__ import annotations

import re
from pathlib import Path

from napari_pixelgene.elements.capture import Capture, Footprint
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.visium import BIN_SIZE, BINNED, VisiumFolder, capture_of, find_run, is_run
from napari_pixelgene.readers.visium_spatial import (
    HIRES,
    SCALEFACTORS,
    SPATIAL,
    STAGE,
    Ruler,
    check_ruler,
    measure,
    read_positions,
    read_scalefactors,
    reduction,
)

USUAL_UM = 8
_SQUARE = re.compile(r"^square_(\d{3})um$")
_UPRIGHT_DEG = 3.0


def find_bins(path: Path, bin_um: int | None = None) -> VisiumFolder:
    """The files of one bin size: of a run's folder that of `bin_um` (8 when None), of a square's folder its own."""
    if not path.exists():
        raise InputError(f"There is no folder {path}.", "Check the path.")
    squares, wanted = _squares(path), bin_um or USUAL_UM
    own = None if squares else _side(path)
    if own is not None:
        if bin_um not in (None, own):
            raise InputError(
                f"{path} holds bins of {own} µm, not of {bin_um}.",
                f"Leave --bin-um out, or give {path.parent} and the size.",
            )
        return _of_size(path, own)
    if wanted not in squares:
        raise _no_such_size(path, wanted, squares)
    return _of_size(squares[wanted], wanted)


def _side(folder: Path) -> int | None:
    """Of `square_008um` 8; of a folder of another name what its scale factors say."""
    named = _SQUARE.match(folder.absolute().name)
    if named:
        return int(named[1])
    if not is_run(folder):
        return None
    side = read_scalefactors(folder / SPATIAL / SCALEFACTORS).get(BIN_SIZE)
    return None if side is None else round(side)


def _squares(path: Path) -> dict[int, Path]:
    """Folders of bins in a run's folder, by side."""
    home = path / BINNED if (path / BINNED).is_dir() else path
    found = {int(m[1]): each for each in home.iterdir() if (m := _SQUARE.match(each.name))} if home.is_dir() else {}
    return dict(sorted(found.items()))


def _no_such_size(path: Path, wanted: int, squares: dict[int, Path]) -> InputError:
    if squares:
        sizes = ", ".join(map(str, squares))
        return InputError(f"{path} has no bins of {wanted} µm; it has {sizes}.", f"Choose one with --bin-um: {sizes}.")
    if is_run(path):
        return InputError(f"{path} is a Visium run, not a Visium HD one.", "Import it with: pixelgene import visium.")
    return InputError(
        f"{path} is not a Visium HD output folder: it has no {BINNED}.",
        f"Give the run's outs folder, with {BINNED} unpacked, or a folder square_…um.",
    )


def _of_size(folder: Path, bin_um: int) -> VisiumFolder:
    run = find_run(folder, "Visium HD")
    stated = read_scalefactors(run.scalefactors).get(BIN_SIZE)
    if stated is None or round(stated) != bin_um:
        said = "does not say" if stated is None else f"says {stated:g} µm for"
        raise InputError(
            f"{run.scalefactors} {said} the side of the bins of {folder.name} ({BIN_SIZE}).",
            "Give the folder as Space Ranger wrote it.",
        )
    return run


def read_visium_hd(
    path: Path, he: Image, bin_um: int | None = None, on_event: OnEvent = silent, name: str = ""
) -> Capture:
    """Bins as squares of `bin_um`, in level-0 pixels of `he`: the image Space Ranger was given, or a reduced one of it.

    Bins off the tissue are left out and told. Raises InputError for a run whose files do not belong together, and
    where the bins would not lie side by side at the H&E's pixel size.
    """
    run = find_bins(path, bin_um)
    positions, factors = read_positions(run.positions), read_scalefactors(run.scalefactors)
    side_um = factors[BIN_SIZE]
    ruler = measure(positions, (side_um, side_um))
    scale = reduction(he, run.spatial, factors, on_event)
    check_ruler(ruler, scale, he, side_um, "bins")
    facts: dict[str, str | int | float] = {"bin_um": side_um}
    if ruler is not None:
        _tell_turn(ruler, side_um, on_event)
        facts |= {"um_per_fullres_px": round(1 / ruler.px_per_um, 5), "turn_deg": round(ruler.turn_deg, 2)}
    return capture_of(run, positions, scale, Footprint("square", side_um), on_event, facts, name)


def _tell_turn(ruler: Ruler, side_um: float, on_event: OnEvent) -> None:
    if abs(ruler.turn_deg) > _UPRIGHT_DEG:
        text = (
            f"The array is turned by {ruler.turn_deg:.1f}° in the H&E: each bin is taken as an upright square of "
            f"{side_um:g} µm around its own centre, so that a superpixel may hold two bins, or none."
        )
        on_event(Note(text, stage=STAGE))


def hd_slide(path: Path, bin_um: int | None = None) -> tuple[Path, float] | None:
    """The run's hires image and its µm per pixel, as the scale factors state it; None where either is missing."""
    run = find_bins(path, bin_um)
    factors = read_scalefactors(run.scalefactors)
    above = [run.path.parents[n] / SPATIAL for n in (1, 0) if n < len(run.path.parents)]
    images = [folder / f"{HIRES}.png" for folder in (run.spatial, *above)]
    image = next((each for each in images if each.is_file()), None)
    mpp, scale = factors.get("microns_per_pixel"), factors.get("tissue_hires_scalef")
    return None if image is None or mpp is None or scale is None else (image, mpp / scale)


def hd_pixel_size(path: Path, he: Image, bin_um: int | None = None) -> float | None:
    """µm per pixel of an H&E as the scale factors state it, whichever image of the run it is."""
    run = find_bins(path, bin_um)
    factors = read_scalefactors(run.scalefactors)
    mpp = factors.get("microns_per_pixel")
    return None if mpp is None else mpp / reduction(he, run.spatial, factors)
