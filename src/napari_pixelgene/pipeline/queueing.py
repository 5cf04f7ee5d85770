"""Many slides with one run: planned as a settings file, done one after another, told in one table.

A slide that fails is noted with its reason and the rest goes on. The table is written anew after every slide, so
that it holds what there is whenever somebody looks.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.grid import WORK_MPP
from napari_pixelgene.errors import Cancelled, InputError, PixelGeneError, SettingsError
from napari_pixelgene.pipeline.config import IMAGE, to_toml
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.learning import load_fitted, predict
from napari_pixelgene.pipeline.preparing import ensure_tissue
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.readers.ome_zarr import is_zarr
from napari_pixelgene.readers.plain_image import is_plain
from napari_pixelgene.readers.tiff import is_tiff
from napari_pixelgene.stages.tissue import TissueSettings
from napari_pixelgene.store.maps import SHARD_GENES, TILE
from napari_pixelgene.store.models import run_meta
from napari_pixelgene.store.section import SUFFIX, SectionStore

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.pipeline.config import ImportStep, PredictStep, RunConfig, TissueStep

STAGE = "queue"
# Files that are taken for slides by their name, so that a broken one is told and not left out.
_SLIDE_NAMES = frozenset(
    (".tif", ".tiff", ".btf", ".svs", ".ndpi", ".scn", ".mrxs", ".bif", ".vms", ".jpg", ".jpeg", ".png")
)
DONE, FAILED = "done", "failed"


class PartlyDone(PixelGeneError):
    """Some slides failed and the rest is done. `failures` says of each what it was, the problem and its mend."""

    def __init__(self, problem: str, mend: str, failures: Iterable[tuple[str, str, str]]) -> None:
        super().__init__(problem, mend)
        self.failures = tuple(failures)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one slide: its row of the table. `means` are expected counts per square, over the tissue."""

    slide: Path
    section: Path
    seconds: float
    tissue_mm2: float | None = None
    means: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""
    mend: str = ""

    @property
    def status(self) -> str:
        """`done` or `failed`."""
        return FAILED if self.problem else DONE


@dataclass(frozen=True, slots=True)
class Queue:
    """Slides to predict with one run, their sections, and the table they end in; all paths absolute."""

    slides: tuple[Path, ...]
    sections: tuple[Path, ...]
    table: Path
    tables: dict[str, Any]

    def toml(self) -> str:
        """The settings file that does it: `pixelgene run`, or a job."""
        return to_toml(self.tables)


def plan_queue(
    slides: Path | Sequence[Path],
    run: str,
    source: Path,
    out: Path,
    mpp: float | None = None,
    choices: Mapping[str, Any] | None = None,
    on_event: OnEvent = silent,
) -> Queue:
    """A queue over a folder of slides, or over slides and sections that are named; new sections come into `out`.

    `mpp` is µm per pixel of every slide, for files that do not say. `choices` are more fields of [predict]: genes,
    device, table. Squares are as large as those of `source`, the section that holds the run.
    """
    home = SectionStore.open(source, writable=False)
    run_meta(home, run)
    found = _slides_in(Path(slides), on_event) if isinstance(slides, str | Path) else [Path(s) for s in slides]
    if not found:
        raise SettingsError("No slide is named.", "Name a folder of slides, or slides.")
    out = Path(out).absolute()
    pairs = [(slide.absolute(), section) for slide, section in zip(found, _sections(found, out), strict=True)]
    predicting: dict[str, Any] = {"table": str(out / "results.csv"), **(choices or {})}
    predicting |= {"sections": [str(s) for _, s in pairs], "run": run, "source": str(home.path)}
    require_table(Path(predicting["table"]))
    common = {"kind": IMAGE, "work_mpp": float(home.meta().get("work_mpp", WORK_MPP))} | ({"mpp": mpp} if mpp else {})
    imports = [{"section": str(s), "he": str(slide), **common} for slide, s in pairs if slide != s]
    tables = {"import": imports, "predict": predicting} if imports else {"predict": predicting}
    return Queue(tuple(s for s, _ in pairs), tuple(s for _, s in pairs), Path(predicting["table"]), tables)


def _slides_in(folder: Path, on_event: OnEvent) -> list[Path]:
    """What in a folder looks like a slide, by name or by content, or is a section; the rest is told."""
    if not folder.is_dir():
        return [folder]
    inside = sorted(p for p in folder.iterdir() if not p.name.startswith("."))
    found = [p for p in inside if _is_slide(p)]
    if not found:
        raise InputError(f"There is no slide in {folder}.", "Name a folder of OME-TIFF, SVS, TIFF, JPEG or PNG files.")
    left = [p.name for p in inside if p.is_file() and p not in found]
    if left:
        shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")
        on_event(Note(f"No slides, and left out: {shown}.", stage=STAGE))
    return found


def _is_slide(path: Path) -> bool:
    if path.is_dir():
        return is_zarr(path)
    return path.suffix.lower() in _SLIDE_NAMES or is_tiff(path) or is_plain(path)


def _sections(slides: Sequence[Path], out: Path) -> list[Path]:
    """A section for every slide, named after it; a section is its own."""
    taken: set[str] = set()
    return [slide.absolute() if slide.name.endswith(SUFFIX) else out / _free(slide, taken) for slide in slides]


def _free(slide: Path, taken: set[str]) -> str:
    """The slide's name as a section's; the second of two alike gets a number. File systems may not tell case."""
    stem = slide.stem.removesuffix(".ome")
    names = (f"{stem}{SUFFIX}" if n == 1 else f"{stem}-{n}{SUFFIX}" for n in count(1))
    name = next(name for name in names if name.lower() not in taken)
    taken.add(name.lower())
    return name


def run_queue(config: RunConfig, on_event: OnEvent = silent, overwrite: bool = False) -> list[Outcome]:
    """Do [predict] of a settings file that names a table; what is wrong with the run itself is an error at once."""
    step = config.predict
    assert step is not None and step.table is not None
    require_table(step.table)
    source = SectionStore.open(step.source or step.sections[0], writable=False)
    fitted, _ = load_fitted(source, step.run)
    if step.genes is not None:
        fitted.genes.indices(step.genes)
    outcomes: list[Outcome] = []
    on_event(Progress(STAGE, 0, len(step.sections)))
    for section in step.sections:
        outcomes.append(_one(section, config, step, source, on_event, overwrite))
        write_table(outcomes, step.table)
        slide = outcomes[-1].slide.name
        on_event(Progress(STAGE, len(outcomes), len(step.sections), message=slide))
    return outcomes


def require_all_done(outcomes: Sequence[Outcome], table: Path) -> None:
    """Raise PartlyDone that lists the slides that failed, where there are any."""
    failed = [(o.slide.name, o.problem, o.mend) for o in outcomes if o.problem]
    if failed:
        raise PartlyDone(
            f"{len(failed)} of {len(outcomes)} slides failed: {', '.join(name for name, _, _ in failed[:5])}"
            f"{' and others' if len(failed) > 5 else ''}. The rest is done.",
            f"{table} says why; mend them and run it again: what is done stays.",
            failed,
        )


def _one(
    section: Path, config: RunConfig, step: PredictStep, source: SectionStore, on_event: OnEvent, overwrite: bool
) -> Outcome:
    """Import and predict one slide; whatever goes wrong with it is its own."""
    start = time.monotonic()
    importing = next((i for i in queued_imports(config) if i.section == section), None)
    slide = importing.he if importing is not None and importing.he is not None else section
    try:
        store = _opened(section, importing, config.tissue, on_event, overwrite)
        maps = predict(store, step.run, source, step.genes, on_event, step.device)
        tissue = ensure_tissue(store, on_event=on_event)
        area = float(tissue.mask.sum()) * maps.superpixel_um**2 / 1e6
        means = dict(zip(maps.genes.symbols, mean_expression(maps).tolist(), strict=True))
        return Outcome(slide, section, time.monotonic() - start, area, means)
    except Cancelled:
        raise
    except Exception as error:  # noqa: BLE001 - a slide nobody can read must not cost the night of all others
        problem, mend = _in_words(error)
        on_event(Note(f"{slide.name} failed: {problem} {mend}".strip(), "warning", STAGE))
        return Outcome(slide, section, time.monotonic() - start, problem=problem, mend=mend)


def queued_imports(config: RunConfig) -> list[ImportStep]:
    """Slides that are imported only when their turn has come."""
    step = config.predict
    if step is None or step.table is None:
        return []
    early = {s.section for s in config.register} | {i.section for i in config.imports if i.add}
    early |= set(config.fit.train if config.fit else ())
    return [i for i in config.imports if i.section in step.sections and i.section not in early]


def _opened(
    section: Path, importing: ImportStep | None, tissues: Sequence[TissueStep], on_event: OnEvent, overwrite: bool
) -> SectionStore:
    if importing is None:
        return SectionStore.open(section)
    settings = importing.part(ImportSettings)
    store = import_section(section, importing.he, importing.source, settings, on_event, overwrite)
    for tissue in tissues:
        if tissue.section == section:
            ensure_tissue(store, tissue.part(TissueSettings), tissue.mask, on_event)
    return store


def _in_words(error: Exception) -> tuple[str, str]:
    if isinstance(error, PixelGeneError):
        return error.problem, error.mend
    if isinstance(error, MemoryError):
        return "The memory is not enough.", "Close other programs, or choose fewer genes."
    return f"{type(error).__name__}: {error}", "Try it alone with: pixelgene import image"


def mean_expression(maps: Expression) -> FloatArray:
    """(genes,) mean over the tissue of every gene's finest map, read block by block; NaN where there is none."""
    level = maps.levels[0]
    genes, rows, columns = level.shape
    total, known = np.zeros(genes), np.zeros(genes)
    for share in (slice(g, min(g + SHARD_GENES, genes)) for g in range(0, genes, SHARD_GENES)):
        for tile in tiles((rows, columns), TILE):
            block = np.asarray(level[(share, *tile.region)])
            there = np.isfinite(block)
            known[share] += there.sum((1, 2))
            total[share] += block.sum((1, 2), dtype=np.float64, where=there)
    return np.asarray(np.divide(total, known, out=np.full(genes, np.nan), where=known > 0))


def require_table(path: Path) -> None:
    """Refuse a table whose format the name does not say."""
    if path.suffix.lower() not in (".csv", ".parquet"):
        raise SettingsError(f"{path.name} is no table that can be written.", "Name it NAME.csv or NAME.parquet.")


def write_table(outcomes: Sequence[Outcome], path: Path) -> None:
    """One row a slide: what it is, status, tissue area, seconds, error, and a column `mean_GENE` for every gene."""
    genes = list(dict.fromkeys(gene for o in outcomes for gene in o.means))
    columns: dict[str, Any] = {
        "slide": [str(o.slide) for o in outcomes],
        "section": [str(o.section) for o in outcomes],
        "status": [o.status for o in outcomes],
        "tissue_mm2": pa.array([o.tissue_mm2 for o in outcomes], pa.float64()),
        "seconds": [round(o.seconds, 1) for o in outcomes],
        "error": [f"{o.problem} {o.mend}".strip() for o in outcomes],
        **{f"mean_{gene}": pa.array([o.means.get(gene) for o in outcomes], pa.float64()) for gene in genes},
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(f".{path.name}.new")
    write = pyarrow.csv.write_csv if path.suffix.lower() == ".csv" else pq.write_table
    write(pa.table(columns), new)
    os.replace(new, path)
