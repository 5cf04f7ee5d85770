"""A Visium output folder of any generation of Space Ranger: counts of spots, and where they lie on the H&E.

Counts come from the filtered matrix (spots under tissue), as HDF5 or as a folder of text; from the raw one where only
that exists. What `spatial` holds, and in which pixels, is told in visium_spatial.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.feature_matrix import FeatureMatrix, is_matrix_folder, read_matrix
from napari_pixelgene.readers.visium_spatial import (
    HEXAGONAL,
    HIRES,
    PITCH_UM,
    SCALEFACTORS,
    SPATIAL,
    SPOT_UM,
    STAGE,
    Positions,
    Ruler,
    check_ruler,
    find_positions,
    measure,
    read_positions,
    read_scalefactors,
    reduction,
)

FILTERED, RAW = "filtered_feature_bc_matrix", "raw_feature_bc_matrix"
BINNED, BIN_SIZE = "binned_outputs", "bin_size_um"
_NAMELESS = ("outs", BINNED, "spatial", "")


@dataclass(frozen=True, slots=True)
class VisiumFolder:
    """The files of one run: the matrix (a file or a folder), positions and scale factors."""

    path: Path
    matrix: Path
    positions: Path
    scalefactors: Path

    @property
    def is_raw(self) -> bool:
        """Whether its counts are of all spots, on tissue or off it."""
        return FILTERED not in self.matrix.name

    @property
    def spatial(self) -> Path:
        """The folder of positions and images."""
        return self.scalefactors.parent

    @property
    def name(self) -> str:
        """The run's name, as far as folders tell: `outs` says nothing."""
        names = [part for part in self.path.absolute().parts if not part.startswith("square_")]
        return next((part for part in reversed(names) if part not in _NAMELESS), "visium")


def find_visium(path: Path) -> VisiumFolder:
    """The files of a Visium output folder, or the error that says which folder to give."""
    if is_binned(path) or (is_run(path) and BIN_SIZE in read_scalefactors(path / SPATIAL / SCALEFACTORS)):
        raise InputError(f"{path} is a Visium HD run, not a Visium one.", "Import it with: pixelgene import visium-hd.")
    return find_run(path, "Visium")


def is_binned(folder: Path) -> bool:
    """Whether a folder holds those of bins."""
    return (folder / BINNED).is_dir() or any(folder.glob("square_*um"))


def find_run(folder: Path, title: str) -> VisiumFolder:
    """Matrix, positions and scale factors of a folder, of spots or of bins."""
    if not folder.exists():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    if not is_run(folder):
        raise InputError(
            f"{folder} is not a {title} output folder: it has no {SPATIAL}/{SCALEFACTORS}.", _nearby(folder)
        )
    spatial = folder / SPATIAL
    return VisiumFolder(folder, find_matrix(folder), find_positions(spatial), spatial / SCALEFACTORS)


def is_run(folder: Path) -> bool:
    """Whether a folder has the scale factors that Space Ranger leaves beside every table of positions."""
    return (folder / SPATIAL / SCALEFACTORS).is_file()


def _nearby(folder: Path) -> str:
    if folder.name == SPATIAL and is_run(folder.parent):
        return f"Give {folder.parent}."
    below = sorted(each.parents[1] for each in folder.glob(f"*/{SPATIAL}/{SCALEFACTORS}")) if folder.is_dir() else []
    if below:
        return f"Give {' or '.join(str(each) for each in below[:3])}."
    return "Give the run's outs folder, with its spatial folder unpacked."


def find_matrix(folder: Path) -> Path:
    """The filtered matrix, else the raw one; a file may carry the sample's name before its own, as 10x publish them."""
    for name in (FILTERED, RAW):
        files = sorted(folder.glob(f"*{name}.h5"))
        if len(files) > 1:
            raise InputError(
                f"{folder} has several matrices: {', '.join(each.name for each in files)}.", "Leave one of them there."
            )
        if files:
            return files[0]
        if is_matrix_folder(folder / name):
            return folder / name
    raise InputError(
        f"{folder} has no counts: neither {FILTERED}.h5 nor the folder {FILTERED} (nor {RAW}).",
        "Give the run's outs folder, with the matrix unpacked.",
    )


def read_visium(path: Path, he: Image, on_event: OnEvent = silent, name: str = "") -> Capture:
    """Spots as disks of 55 µm, in level-0 pixels of `he`: the image Space Ranger was given, or its hires or lowres one.

    Spots off the tissue are left out and told. Raises InputError for a run whose files do not belong together, and
    where the spots would not be 100 µm apart at the H&E's pixel size.
    """
    run = find_visium(path)
    positions, factors = read_positions(run.positions), read_scalefactors(run.scalefactors)
    ruler = measure(positions, HEXAGONAL)
    scale = reduction(he, run.spatial, factors, on_event)
    check_ruler(ruler, scale, he, PITCH_UM, "spots")
    if ruler is not None:
        pitch_px, mpp = PITCH_UM * ruler.px_per_um, 1 / ruler.px_per_um
        text = f"Spots are {pitch_px:.4g} full-resolution pixels apart, which is 100 µm: {mpp:.4g} µm per pixel."
        on_event(Note(text, stage=STAGE))
    return capture_of(
        run, positions, scale, Footprint("disk", SPOT_UM), on_event, facts=_facts(ruler, factors), name=name
    )


def _facts(ruler: Ruler | None, factors: Mapping[str, float]) -> dict[str, str | int | float]:
    facts: dict[str, str | int | float] = {}
    if ruler is not None:
        facts |= {"um_per_fullres_px": round(1 / ruler.px_per_um, 5), "turn_deg": round(ruler.turn_deg, 2)}
    if "spot_diameter_fullres" in factors:
        facts["spot_diameter_fullres"] = round(factors["spot_diameter_fullres"], 3)
    return facts


def capture_of(
    run: VisiumFolder,
    positions: Positions,
    scale: float,
    footprint: Footprint,
    on_event: OnEvent,
    facts: Mapping[str, str | int | float],
    name: str = "",
) -> Capture:
    """Counts and positions joined by barcode, in the order of the matrix; what is off the tissue is left out."""
    matrix = read_matrix(run.matrix, on_event)
    counts, genes = matrix.of_genes(on_event)
    place = positions.places(matrix.barcodes, run.matrix)
    keep = positions.in_tissue[place]
    _tell(run, matrix, positions, int(keep.sum()), on_event)
    barcodes = matrix.barcodes
    if not keep.all():
        counts, place, barcodes = counts[keep], place[keep], barcodes[keep]
    xy_px = positions.xy_px[place] * scale
    lattice = np.round(positions.array_xy[place]).astype(np.int64)
    units = Units(barcodes, xy_px, counts, genes, footprint, "he_px", lattice=lattice)
    technology = "visium_hd" if footprint.shape == "square" else "visium"
    return Capture(name or run.name, technology, genes, units=units, facts={**matrix.facts, **facts})


def _tell(run: VisiumFolder, matrix: FeatureMatrix, positions: Positions, kept: int, on_event: OnEvent) -> None:
    what, total = run.matrix.name, len(matrix.barcodes)
    if not kept:
        raise InputError(
            f"None of the {total:,} barcodes in {run.matrix} lies on tissue by {run.positions.name}.",
            "Take both from the same run; in_tissue must be 1 on tissue.",
        )
    if run.is_raw:
        on_event(Note(f"{run.path.name} has no filtered matrix: {what} is read.", stage=STAGE))
    if kept < total:
        text = f"{total - kept:,} of {total:,} barcodes in {what} lie off the tissue (in_tissue 0) and are left out."
        on_event(Note(text, stage=STAGE))
    without = int(positions.in_tissue.sum()) - kept
    if without:
        on_event(Note(f"{without:,} barcodes on tissue have no counts in {what} and are left out.", stage=STAGE))


def visium_slide(path: Path) -> tuple[Path, float] | None:
    """The run's hires image and its µm per pixel, by the array's pitch of 100 µm; None where either is missing."""
    run = find_visium(path)
    image, factors = run.spatial / f"{HIRES}.png", read_scalefactors(run.scalefactors)
    scale = factors.get("tissue_hires_scalef")
    ruler = measure(read_positions(run.positions), HEXAGONAL)
    if not image.is_file() or scale is None or ruler is None:
        return None
    return image, 1 / (ruler.px_per_um * scale)


def visium_pixel_size(path: Path, he: Image) -> float | None:
    """µm per pixel of an H&E by the array's pitch of 100 µm, whichever image of the run it is."""
    run = find_visium(path)
    ruler = measure(read_positions(run.positions), HEXAGONAL)
    if ruler is None:
        return None
    return 1 / (ruler.px_per_um * reduction(he, run.spatial, read_scalefactors(run.scalefactors)))
