"""iSCALE's project folder: a mother slide, and the tables of the captures that were laid onto it.

```
DaughterCaptures/AllignedToMother/D1/{cnts,locs}.tsv      (spelled as published; AlignedToMother will do)
MotherImage/{he-raw,he-scaled,he}.*, radius.txt or radius-raw.txt, pixel-size*.txt, cnts-truth-agg/
```

Positions are pixels of `he.*` and `he-scaled.*`, 0.5 µm unless `pixel-size.txt` says otherwise; where only `he-raw.*`
is there, they are scaled to it. `cnts-truth-agg` holds counts of squares over the whole slide in a pickle, which is
read only when it is asked for by name, and only as far as it is arrays and text.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.plain_pickle import read_plain
from napari_pixelgene.readers.prefix import Level, PrefixFiles, SizeAnswers, find_image, read_files, read_number

TRUTH = "truth"
WORK_UM = 0.5
_DAUGHTERS, _MOTHER = "DaughterCaptures", "MotherImage"
_ALIGNED = ("AllignedToMother", "AlignedToMother")
_ENDS = (".parquet", ".tsv", ".tsv.gz", ".csv", ".csv.gz")
_WORK_IMAGES = ("he", "he-scaled")
_NEXT = "Give the folder that holds DaughterCaptures and MotherImage."


@dataclass(frozen=True, slots=True)
class Project:
    """Where everything lies: the mother's folder, and each capture's own, by name."""

    mother: Path
    captures: dict[str, Path]
    truth: Path | None = None

    def files(self, capture: str) -> dict[str, Path]:
        """A capture's tables, and the radius where there is one."""
        if capture == TRUTH and self.truth is not None:
            return {"counts": self.truth}
        folder = self.captures[capture]
        found = {"counts": _table(folder, "cnts"), "locs": _table(folder, "locs")}
        radius = self._radius()
        return found if radius is None else {**found, "radius": radius[1]}

    def _radius(self) -> tuple[Level, Path] | None:
        levels: tuple[tuple[Level, str], ...] = (("work", "radius.txt"), ("raw", "radius-raw.txt"))
        there = ((level, self.mother / name) for level, name in levels)
        return next(((level, path) for level, path in there if path.is_file()), None)


def find_project(folder: Path) -> Project:
    """The parts of a project. Raises InputError for what is missing."""
    mother, daughters = folder / _MOTHER, folder / _DAUGHTERS
    if not (mother.is_dir() and daughters.is_dir()):
        raise InputError(f"{folder} has no {_DAUGHTERS} and {_MOTHER}.", _NEXT)
    aligned = next((daughters / name for name in _ALIGNED if (daughters / name).is_dir()), None)
    if aligned is None:
        raise InputError(
            f"{daughters} has no {_ALIGNED[0]}: its captures are not laid onto the mother slide yet.",
            "Import the slide alone, add each capture (--add) and register it here.",
        )
    captures = {each.name: each for each in sorted(aligned.iterdir(), key=_numbered) if _has_tables(each)}
    if not captures:
        raise InputError(f"{aligned} holds no folder with cnts and locs.", "It holds D1/cnts.tsv, D1/locs.tsv, …")
    truth = next(iter(sorted((mother / "cnts-truth-agg").glob("*/data.pickle"))), None)
    return Project(mother, captures, truth)


def mother_image(project: Project) -> tuple[Path, float | None]:
    """The slide that positions are pixels of, and its µm per pixel where a file says; the raw one where only that is
    there."""
    found = find_image(project.mother)
    work = next((p for n in _WORK_IMAGES for p in sorted(project.mother.glob(f"{n}.*")) if p.suffix != ".txt"), None)
    if work is None and found is None:
        raise InputError(f"{project.mother} holds no he-raw.*, he-scaled.* or he.*.", "Name the slide with --he.")
    path = work or found[0]  # type: ignore[index]
    size = project.mother / ("pixel-size.txt" if work is not None else "pixel-size-raw.txt")
    return path, read_number(size) if size.is_file() else None


def read_daughter(
    project: Project,
    capture: str,
    he: Path | None,
    mpp: float,
    answers: SizeAnswers | None = None,
    on_event: OnEvent = silent,
) -> Capture:
    """One capture in `he_px` of the mother slide `he`, of `mpp` µm per pixel."""
    if capture == TRUTH:
        return _read_truth(project, he, mpp, on_event)
    paths, sizes = project.files(capture), _pixel_sizes(project, he, mpp)
    radius = project._radius()
    level: Level = radius[0] if radius is not None else "work"
    # The radius counts pixels of its own level, and so do the positions once they are taken there.
    files = PrefixFiles(project.captures[capture], paths["counts"], paths["locs"], "work", paths.get("radius"), sizes)
    if level == "raw" and radius is not None and answers is not None and answers.size_um is None:
        answers = _sized(radius[1], sizes, answers)
    read = read_files(files, he, mpp, answers or SizeAnswers(), on_event)
    return Capture(capture, "iscale", read.genes, units=read.units, facts=read.facts)


def _sized(path: Path, sizes: dict[Level, float], answers: SizeAnswers) -> SizeAnswers:
    """The diameter that `radius-raw.txt` means: pixels of the slide as scanned."""
    if "raw" not in sizes:
        raise InputError(
            f"{path} counts pixels of the slide as scanned, whose size is not known.",
            "Write pixel-size-raw.txt beside it, or give the size with --size-um.",
        )
    return SizeAnswers(answers.radius_is, 2 * read_number(path) * sizes["raw"], answers.shape)


def _pixel_sizes(project: Project, he: Path | None, mpp: float) -> dict[Level, float]:
    """µm per pixel of either level: as files say, as the image has, else the published 0.5 µm of work pixels."""
    names: dict[Level, str] = {"work": "pixel-size.txt", "raw": "pixel-size-raw.txt"}
    there = {level: project.mother / name for level, name in names.items()}
    sizes = {level: read_number(path) for level, path in there.items() if path.is_file()}
    of_he: Level = "raw" if he is not None and he.name.startswith("he-raw") else "work"
    sizes.setdefault(of_he, mpp)
    sizes.setdefault("work", WORK_UM)
    return sizes


def _read_truth(project: Project, he: Path | None, mpp: float, on_event: OnEvent) -> Capture:
    """Counts of squares over the whole slide, of `cnts-truth-agg`."""
    path = project.truth
    if path is None:
        raise InputError(f"{project.mother} has no cnts-truth-agg/…/data.pickle.", "Leave --capture truth out.")
    radius = re.search(r"radius0*(\d+)", path.parent.name)
    data = read_plain(path)
    if radius is None or not isinstance(data, dict) or not {"cnts", "gene_names"} <= set(data):
        raise InputError(
            f"{path} is no aggregated truth.",
            "It holds cnts (rows, columns, genes) and gene_names, in radius….",
        )
    counts, names = np.asarray(data["cnts"]), tuple(map(str, data["gene_names"]))
    if counts.ndim != 3 or counts.shape[2] != len(names):
        raise InputError(f"{path}: cnts {counts.shape} and {len(names)} gene names do not meet.", "Write it again.")
    flat = counts.reshape(-1, len(names))
    rows = np.flatnonzero(np.isfinite(flat).all(axis=1))  # squares off the mask are NaN
    flat = flat[rows]
    if (flat < 0).any() or (flat != np.round(flat)).any():
        raise InputError(f"{path} holds values that are no counts.", "Aggregate raw counts.")
    side_um = 2 * int(radius[1]) * _pixel_sizes(project, he, mpp)["work"]
    place = np.stack(np.divmod(rows, counts.shape[1]), axis=1)
    xy = (place[:, ::-1] + 0.5) * side_um / mpp
    ids = np.array([f"{row}x{column}" for row, column in place.tolist()])
    genes = GeneTable(names)
    units = Units(ids, xy, sparse.csr_matrix(flat.astype(np.int32)), genes, Footprint("square", side_um), "he_px")
    on_event(Note(f"{path.name}: {len(units):,} squares of {side_um:g} µm were measured."))
    return Capture(TRUTH, "iscale", genes, units=units, facts={"units": len(units), "footprint": f"{side_um:g} µm"})


def _has_tables(folder: Path) -> bool:
    return folder.is_dir() and all(any((folder / f"{n}{e}").is_file() for e in _ENDS) for n in ("cnts", "locs"))


def _table(folder: Path, name: str) -> Path:
    found = next((path for end in _ENDS if (path := folder / f"{name}{end}").is_file()), None)
    if found is None:
        raise InputError(f"{folder / name}.tsv is not there.", "A capture has cnts and locs.")
    return found


def _numbered(path: Path) -> tuple[str, int, str]:
    """D2 before D10."""
    found = re.fullmatch(r"(\D*)(\d+)", path.name)
    return (found[1], int(found[2]), "") if found else ("~", 0, path.name)
