"""Answers of models that speak at points: maps made of points over the tissue, and a table of the measured units.

Points lie on a square lattice, `pitch_um` apart (the model's setting), or where the patches of a file of embeddings
are. Every superpixel shows its nearest point, which is said. Units are asked in a pass of their own, among themselves:
what the table holds is what a score of the same run would be made of.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from scipy.spatial import cKDTree

from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.errors import StoreError
from napari_pixelgene.models.base import Context, View
from napari_pixelgene.pipeline.point_features import (
    file_points,
    grid_points,
    is_file,
    require_vectors,
    unit_names,
    vectors_hash,
)
from napari_pixelgene.pipeline.point_sections import joined_points
from napari_pixelgene.pipeline.points import asked_at, context_inputs
from napari_pixelgene.pipeline.preparing import MASK, REGION, counts_inputs, ensure_tissue, region_hash, tissue_hash
from napari_pixelgene.pipeline.slide import grid_of, is_placed
from napari_pixelgene.pipeline.training_data import measured_units
from napari_pixelgene.progress import Note, OnEvent, Progress
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.maps import begin_maps, read_maps
from napari_pixelgene.store.point_tables import begin_point_table, point_table_made_with

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.elements.features import PointFeatures
    from napari_pixelgene.elements.grid import Grid
    from napari_pixelgene.elements.tissue import Tissue
    from napari_pixelgene.models.base import Fitted, Model, TrainingSection
    from napari_pixelgene.pipeline.measured import Measured
    from napari_pixelgene.store.maps import MapWriter
    from napari_pixelgene.store.section import SectionStore

STAGE = "predict"
PITCH_UM = 56.0
# Farther than this from any point of a file nothing is said: the side of the square that a point sees.
_REACH_UM = 112.0
# Genes of the table that are decoded at once.
_SLAB = 1024


@dataclass(frozen=True, slots=True)
class Run:
    """A fitted model on a section: `chosen` are the genes asked for, `settings` those of its vectors."""

    store: SectionStore
    name: str
    fitted: Fitted
    model: Model
    settings: FeatureSettings
    chosen: IntArray
    device: str


def predict_at_points(run: Run, meta: Mapping[str, Any], stage: str, on_event: OnEvent) -> Expression:
    """Maps of a run over a section, and its table of units; what is finished is opened."""
    store, genes = run.store, run.fitted.genes.take(run.chosen)
    _require_same_length(run, len(require_vectors([store], run.settings)), len(meta["channels"]))
    tissue = ensure_tissue(store, on_event=on_event)
    inputs = {"vectors": vectors_hash(store, run.settings), f"training/{run.name}": str(meta["fingerprint"])}
    inputs |= counts_inputs(store) | {MASK: tissue_hash(store), REGION: region_hash(store)} | context_inputs(run.model)
    fingerprint = provenance.fingerprint({"genes": list(genes.symbols)}, inputs)
    placed = [name for name in store.captures() if is_placed(read_capture(store, name))]
    if _is_made(run, fingerprint, bool(placed)):
        text = f"The maps of '{run.name}' on {store.path.name} are finished; nothing to predict."
        on_event(Note(text, stage=stage))
        return read_maps(store, run.name)
    start = time.monotonic()
    measured = [measured_units(store, name, on_event) for name in placed]
    asked = [asked_at(m, run.model, run.settings, on_event, run.device) for m in measured]
    units, sections = [m for m, _ in asked], [s for _, s in asked]
    context = _context(run, sections, on_event)
    _write_maps(run, _points(run, tissue, units, on_event), context, (tissue, measured, fingerprint), on_event)
    if sections:
        _write_table(run, units, sections, context, fingerprint)
    seconds = time.monotonic() - start
    provenance.record(store, f"{stage}/{run.name}", fingerprint, {}, inputs, seconds, provenance.versions("torch"))
    return read_maps(store, run.name)


def _require_same_length(run: Run, given: int, read: int) -> None:
    if given != read:
        raise StoreError(
            f"The run '{run.name}' reads {read:,} numbers a point, '{run.settings.encoder}' gives {given:,}.",
            "Use vectors of the encoder that it was made with.",
        )


def _is_made(run: Run, fingerprint: str, has_units: bool) -> bool:
    """Whether the maps, and the table where there are units, were made with just this."""
    maps = provenance.made_with(run.store, "maps", run.name) == fingerprint
    return maps and (not has_units or point_table_made_with(run.store, run.name) == fingerprint)


def _context(run: Run, sections: list[TrainingSection], on_event: OnEvent) -> Context | None:
    """All that was measured on the section and may be leaned on, for a model that does."""
    if not run.model.needs.context_counts:
        return None
    if sections:
        joined = joined_points(sections)
        lean = joined.everything is not None and bool(joined.everything.may_lean.any())
        if lean:
            return Context(joined, np.ones((run.fitted.members, len(joined)), dtype=bool))
    text = f"Nothing measured on {run.store.name} is shown to the model: {run.model.without_context}."
    on_event(Note(text, stage=STAGE))
    return None


def _points(run: Run, tissue: Tissue, measured: list[Measured], on_event: OnEvent) -> PointFeatures:
    """Where the map is made of: vectors over the tissue, those off the slide left out."""
    if is_file(run.settings):
        return file_points(run.store, run.settings, measured)
    pitch = float(getattr(run.model.settings, "pitch_um", PITCH_UM))
    found = grid_points(run.store, run.settings, tissue.mask, pitch, on_event, run.device)
    there = np.isfinite(found.vectors).all(axis=1)
    return type(found)(found.xy_um[there], found.vectors[there], found.encoder)


def _write_maps(
    run: Run,
    points: PointFeatures,
    context: Context | None,
    made: tuple[Tissue, list[Measured], str],
    on_event: OnEvent,
) -> None:
    """Every superpixel of the tissue shows its nearest point; what is far from all is left empty, and told."""
    tissue, measured, fingerprint = made
    grid = grid_of(run.store)
    nearest = nearest_point(points.xy_um, tissue, grid, _REACH_UM)
    _tell_points(run, points, nearest, tissue, on_event)
    table = run.fitted.genes.take(run.chosen)
    told = {"model": run.model.name, "points": len(points.xy_um)}
    writer = begin_maps(run.store, run.name, table, grid, fingerprint, attributes=told)
    on_event(Progress(STAGE, 0, None, f"{len(points.xy_um):,} points, all at once"))
    latent = run.fitted.latent(View(points.vectors, points.xy_um, 0, context), run.device)
    _render(run, latent, nearest, writer, on_event)
    layer = np.zeros(grid.yx_shape, dtype=np.uint8)
    for m in measured:
        layer = np.maximum(layer, m.layer)
    writer.finish(layer, on_event)


def nearest_point(xy_um: FloatArray, tissue: Tissue, grid: Grid, reach_um: float) -> IntArray:
    """(rows, columns) the point nearest to each superpixel of tissue; -1 off the tissue and beyond `reach_um`."""
    out = np.full(grid.yx_shape, -1, dtype=np.int64)
    where = np.flatnonzero(tissue.mask)
    apart, point = cKDTree(xy_um).query(grid.centres_um(where))
    out.ravel()[where] = np.where(apart <= reach_um, point, -1)
    return out


def _tell_points(run: Run, points: PointFeatures, nearest: IntArray, tissue: Tissue, on_event: OnEvent) -> None:
    empty = int((tissue.mask & (nearest < 0)).sum())
    more = f"; {empty:,} squares are farther than {_REACH_UM:g} µm from any and stay empty" if empty else ""
    text = (
        f"{run.store.name}: the maps are made of {len(points.xy_um):,} points; every square of "
        f"{grid_of(run.store).superpixel_um:g} µm shows its nearest one{more}."
    )
    on_event(Note(text, "warning" if empty > 0.1 * tissue.mask.sum() else "info", STAGE))


def _render(run: Run, latent: FloatArray, nearest: IntArray, writer: MapWriter, on_event: OnEvent) -> None:
    """Tiles of expected counts per superpixel, a share of the genes at a time."""
    plan, shares = list(tiles(nearest.shape, writer.tile_side)), writer.shares()
    done, total = 0, len(plan) * len(shares)
    on_event(Progress(STAGE, 0, total))
    for share in shares:
        todo = [tile for tile in plan if not writer.done(tile.index, share)]
        done += len(plan) - len(todo)
        values = run.fitted.combine(latent, run.chosen[share], "counts").astype(np.float32) if todo else None
        for tile in todo:
            assert values is not None
            place = nearest[tile.region]
            block = np.full((values.shape[1], *place.shape), np.nan, dtype=np.float32)
            block[:, place >= 0] = values[place[place >= 0]].T
            writer.write(tile, block, share)
            done += 1
            on_event(Progress(STAGE, done, total))


def _write_table(
    run: Run, measured: list[Measured], sections: list[TrainingSection], context: Context | None, fingerprint: str
) -> None:
    """What the model says of the measured units, asked among themselves."""
    joined = joined_points(sections)
    latent = run.fitted.latent(View(joined.features, joined.xy_um, 0, context), run.device)
    shown = np.zeros(len(joined), dtype=bool) if context is None else _shown(context)
    columns: dict[str, Array] = {
        "capture": np.repeat([m.capture for m in measured], [len(m) for m in measured]),
        "context": shown,
        "library": joined.library,
    }
    names = np.concatenate([_names(m) for m in measured])
    table = run.fitted.genes.take(run.chosen)
    writer = begin_point_table(run.store, run.name, table, names, joined.xy_um, columns, fingerprint)
    units = sparse.identity(len(joined), dtype=np.float32, format="csr")
    for start in range(0, len(run.chosen), _SLAB):
        some = slice(start, min(start + _SLAB, len(run.chosen)))
        asked = run.chosen[some]
        counts, log = (run.fitted.units_from_latent(latent, units, asked, q) for q in ("counts", "log"))
        writer.write(some, counts, log)
    writer.finish()


def _shown(context: Context) -> Array:
    everything = context.section.everything
    seen: Array = np.asarray(context.use.any(axis=0))
    return seen if everything is None else seen & everything.may_lean


def _names(measured: Measured) -> Array:
    """The units' own names; places where they have none. Of several captures each with the capture's."""
    names = unit_names(measured)
    if names is None:
        names = np.array([f"x {x:.0f} y {y:.0f} µm" for x, y in measured.xy_um])
    several = len(measured.store.captures()) > 1
    return np.array([f"{measured.capture} {name}" for name in names]) if several else names
