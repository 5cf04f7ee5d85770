"""One model on one task: learn, ask, measure. Runs in a process of its own, so that its memory is its own too."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.pipeline.choosing import choose_captures
from napari_pixelgene.pipeline.fitting import Take, learned_context
from napari_pixelgene.pipeline.judging import Answer, ask, ask_folds, score_answer, scored_units
from napari_pixelgene.pipeline.learning import FitSettings, Prepared, prepare_fit
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.training_data import measured_units, take_units
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.stages.depth import thinned
from napari_pixelgene.stages.evaluation import Predicted, ScoredUnits, block_side, pool
from napari_pixelgene.stages.measures import between_clusters, complete_lattice, measures
from napari_pixelgene.stages.pseudo_spots import pseudo_spots
from napari_pixelgene.stages.splits import nearest_region, random_units
from napari_pixelgene.store.section import SectionStore

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.models.base import Fitted
    from napari_pixelgene.pipeline.comparing.settings import CompareSettings, SplitSettings
    from napari_pixelgene.pipeline.comparing.tasks import Cell, Task

# Squares in µm at which bins are measured as well (specs/iscale.md section 6.2).
SCALES_UM = (8.0, 16.0, 32.0, 64.0)
# Tissue is drawn again in blocks of this side, as it is held out.
BLOCK_UM = 500.0
_CLUSTERS = 8


@dataclass(frozen=True, slots=True)
class Found:
    """What a cell found: `values` are plain JSON values, `arrays` what differences are drawn from."""

    values: dict[str, Any]
    arrays: dict[str, Array]


def run_cell(settings: CompareSettings, cell: Cell, on_event: OnEvent = silent) -> Found:
    """Learn, ask and measure."""
    from napari_pixelgene.stages.training import train

    chosen = settings.fit_settings(cell.choice, cell.encoder)
    seconds: dict[str, float] = {}
    start = time.monotonic()
    prepared, scored = _prepared(cell.task, settings.split, chosen, on_event)
    seconds["prepare"] = time.monotonic() - start
    start = time.monotonic()
    fitted = train(prepared.model, prepared.data, on_event).fitted
    seconds["fit"] = time.monotonic() - start
    start = time.monotonic()
    answers = list(_answers(fitted, prepared, chosen, scored, on_event))
    seconds["predict"] = time.monotonic() - start
    training = (
        None if prepared.kind == "cross" else [scored_units(m, prepared.genes, on_event) for m in prepared.measured]
    )
    captures: dict[str, Any] = {}
    arrays: dict[str, Array] = {}
    for answer in answers:
        name = answer.measured.name
        own, kept = _measured(answer, training, settings)
        captures[name] = own
        arrays |= {f"{name}:{key}": value for key, value in kept.items()}
    values = {
        "captures": captures,
        "seconds": {stage: round(value, 2) for stage, value in seconds.items()},
        "context": _context_words(prepared, answers),
        "members": prepared.data.members,
        "units": int(prepared.data.fit.shape[1]),
        "genes": len(prepared.genes),
    }
    return Found(values, arrays)


def _prepared(
    task: Task, split: SplitSettings, chosen: FitSettings, on_event: OnEvent
) -> tuple[Prepared, tuple[Measured, ...]]:
    """What is learned from, and the captures that are scored; none: the blocks of a cross-validation."""
    stores = [SectionStore.open(path) for path in task.train]
    if split.kind in ("sections", "blocks", "captures"):
        others = [SectionStore.open(path) for path in task.test]
        named = choose_captures(others or stores, task.captures, (), on_event) if others or task.captures else ()
        scored = tuple(measured_units(c.store, name, on_event) for c in named for name in c.captures)
        apart = () if others else scored
        return prepare_fit(stores, chosen, "fit" if scored else "cross", on_event, apart), scored
    whole: list[Measured] = []
    take = Take(f"{split.model_dump_json()} {task.share}", lambda found: _taken(found, split, task, chosen.seed, whole))
    prepared = prepare_fit(stores, chosen, "cross" if split.kind == "depth" else "fit", on_event, take=take)
    return prepared, tuple(whole)


def _taken(found: list[Measured], split: SplitSettings, task: Task, seed: int, whole: list[Measured]) -> list[Measured]:
    """What is learned from; what is scored is put into `whole`."""
    out = []
    for measured in found:
        if split.kind == "pseudo-visium":
            scored, learned = measured, as_spots(measured, split)
        elif split.kind == "depth":
            scored, learned = shallower(measured, split.depth.replace(mean=task.share), seed)
        else:
            n = len(measured)
            held = (
                random_units(n, task.share, seed)
                if split.kind == "random"
                else nearest_region(measured.xy_um, task.share)
            )
            scored, learned = (take_units(measured, np.flatnonzero(rows)) for rows in (held, ~held))
        whole.append(scored)
        out.append(learned)
    return out


def as_spots(measured: Measured, split: SplitSettings) -> Measured:
    """Squares as the spots of a coarser technology would have measured them."""
    grid = (measured.layer.shape, measured.superpixel_um)
    at = _places(measured)
    spots = pseudo_spots(at, measured.counts, measured.library, grid, split.spots, measured.layer > 0)
    kept = spots.library > 0
    return replace(
        measured, counts=spots.counts[kept], library=spots.library[kept], xy_um=spots.xy_um[kept],
        pooling=spots.pooling[kept], footprint=Footprint("disk", split.spots.diameter_um), lattice=None,
    )  # fmt: skip


def _places(measured: Measured) -> IntArray:
    """The superpixel of every unit; only squares of the lattice have one each."""
    from napari_pixelgene.errors import SettingsError

    if measured.footprint.shape != "square" or not (np.diff(measured.pooling.indptr) == 1).all():
        raise SettingsError(
            f"The units of {measured.name} are no squares of the lattice: spots cannot be made of them.",
            "This split needs a Xenium, CosMx or Visium HD capture.",
        )
    return np.asarray(measured.pooling.indices)


def shallower(measured: Measured, depth: Any, seed: int) -> tuple[Measured, Measured]:
    """The units that keep any counts: as they are, and as a shallower run would have measured them."""
    counts, library = thinned(measured.counts, measured.library, depth, np.random.default_rng([seed, 8]))
    kept = np.flatnonzero(library > 0)
    thin = replace(measured, counts=sparse.csr_matrix(counts), library=library)
    return take_units(measured, kept), take_units(thin, kept)


def _answers(
    fitted: Fitted, prepared: Prepared, chosen: FitSettings, scored: tuple[Measured, ...], on_event: OnEvent
) -> Iterator[Answer]:
    """What the model says of everything that is scored, beside the whole counts."""
    if prepared.kind == "fit":
        for measured in scored:
            yield ask(measured, fitted, chosen, on_event, learned_context(prepared, measured.store))
        return
    for i, answer in enumerate(ask_folds(fitted, prepared, on_event)):
        if scored:  # learned from fewer counts than are there to be scored
            whole = scored[i]
            counts = whole.counts[:, whole.genes.indices(answer.genes.symbols)]
            answer = replace(answer, units=replace(answer.units, counts=counts, library=whole.library))
        yield answer


def _measured(
    answer: Answer, training: list[ScoredUnits] | None, settings: CompareSettings
) -> tuple[dict[str, Any], dict[str, Array]]:
    """Scores with their controls, every measure at every scale, and what differences are drawn from."""
    scores = score_answer(answer, training, settings.evaluation())
    side = block_side(answer.units, settings.evaluation().min_library)
    units, predicted = (answer.units, answer.predicted) if side is None else pool(answer.units, answer.predicted, side)
    log, truth = np.asarray(predicted.log), log1p_cp10k(units.counts, units.library)
    values = scores.as_dict()
    values["measures"] = {
        "log": measures(log, truth),
        "counts": _counts_measures(units, predicted, side or 0.0, settings),
    }
    values["icc"] = _icc(units, log, truth, settings.seed)
    if answer.units.pitch_um > 0:
        values["scales"] = {
            f"{um:g}": _at_scale(answer, um, settings) for um in SCALES_UM if um >= answer.units.pitch_um
        }
    block = np.floor(units.xy_um / BLOCK_UM).astype(np.int64)
    kept = {
        "log": log.astype(np.float32),
        "truth": truth.astype(np.float32),
        "block": block[:, 0] * 100_003 + block[:, 1],
    }
    return values, kept


def _counts_measures(
    units: ScoredUnits, predicted: Predicted, pitch_um: float, settings: CompareSettings
) -> dict[str, float]:
    lattice = complete_lattice(units.xy_um, pitch_um or units.pitch_um)
    return measures(predicted.counts, units.counts.toarray().astype(np.float64), lattice, settings.seed)


def _at_scale(answer: Answer, um: float, settings: CompareSettings) -> dict[str, Any]:
    """The measures on squares of `um`; at the units' own pitch they are not pooled."""
    units, predicted = answer.units, answer.predicted
    if um > units.pitch_um:
        units, predicted = pool(units, predicted, um)
    truth = log1p_cp10k(units.counts, units.library)
    counts = _counts_measures(units, predicted, um, settings)
    return {"squares": len(units.library), "log": measures(np.asarray(predicted.log), truth), "counts": counts}


def _icc(units: ScoredUnits, log: FloatArray, truth: FloatArray, seed: int) -> dict[str, float]:
    """How well clusters of the histology are told apart by the prediction, and by what was measured."""
    from scipy.cluster.vq import kmeans2

    if len(log) < 4 * _CLUSTERS:
        return {}
    _, labels = kmeans2(units.features, _CLUSTERS, minit="++", rng=np.random.default_rng([seed, 9]), missing="warn")
    return {"prediction": between_clusters(log, labels), "truth": between_clusters(truth, labels)}


def _context_words(prepared: Prepared, answers: list[Answer]) -> str:
    """What a model that leans on measured units was given where it is scored."""
    if not prepared.model.needs.context_counts:
        return "none needed"
    given = any(learned_context(prepared, answer.measured.store) is not None for answer in answers)
    return "training units of the slide" if given else "left out"
