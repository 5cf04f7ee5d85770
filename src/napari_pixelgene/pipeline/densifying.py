"""Denser spots: what a run says at four times as many spots as were measured (specs/histosge.md sections 1 and 6).

Any model answers: a generated spot is as large as a measured one and is asked as one, over the tissue that it covers.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.generated_lattice import generated
from napari_pixelgene.arithmetic.pooling import footprint_weights
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.models.base import TrainingSection
from napari_pixelgene.models.registry import model_class
from napari_pixelgene.pipeline.beforehand import require_same_squares, superpixel_um
from napari_pixelgene.pipeline.fitting import choose_device
from napari_pixelgene.pipeline.predicting import check_channels, fitted_settings, load_fitted, own_context
from napari_pixelgene.pipeline.preparing import ensure_features, ensure_tissue
from napari_pixelgene.pipeline.slide import grid_of, is_streamed, require_capture, units_in_um
from napari_pixelgene.pipeline.training_data import gather_features, with_surroundings
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.prediction import predict_units

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.models.base import Needs
    from napari_pixelgene.store.section import SectionStore

STAGE = "predict"
TIMES = 4
_BAND_UM = 500.0


def denser_spots(
    store: SectionStore,
    run: str,
    source: SectionStore | None = None,
    capture: str | None = None,
    genes: Sequence[str] | None = None,
    on_event: OnEvent = silent,
    device: str = "auto",
) -> AnnData:
    """Predictions of a run at the generated lattice of a capture's spots, those on tissue.

    `X` is log1p(CP10k), `layers["counts"]` the expected counts of a whole spot, `obsm["spatial"]` centres (x, y) in
    H&E µm; `obs` names the measured spot that each is a copy of and says whether it lies where that was measured.
    Raises InputError for units that lie on no lattice.
    """
    found = require_capture(store, capture)
    if is_streamed(found):
        raise InputError(f"'{found.name}' has no spots but molecules.", "Ask for maps: they have an answer every 8 µm.")
    fitted, meta = load_fitted(source or store, run)
    require_same_squares(store, meta.get("superpixel_um", superpixel_um(source or store)))
    model = model_class(meta["model"])(fitted_settings(meta))
    if model.needs.features == "points":
        raise SettingsError(f"'{meta['model']}' speaks at points.", "Denser spots are asked of models of superpixels.")
    where = choose_device(device)
    features = ensure_features(store, FeatureSettings.of_run(meta["features"]), on_event, where)
    check_channels(features, meta, run)
    mask = ensure_tissue(store, on_event=on_event).mask
    units = units_in_um(store, found)
    xy, parent = generated(units.xy)
    side = grid_of(store).superpixel_um
    pooling = footprint_weights(units.footprint.shape, units.footprint.size_um, xy, side, mask.shape, mask)
    kept = np.flatnonzero(pooling.getnnz(axis=1) > 0)
    if len(kept) < len(xy):
        text = f"{len(xy) - len(kept):,} of {len(xy):,} spots lie off the tissue and are left out."
        on_event(Note(text, stage=STAGE))
    # Asked band by band: spots near one another share what must be read around them.
    order = np.lexsort((xy[kept, 0], xy[kept, 1] // _BAND_UM))
    asked = kept[order]
    section = _section(store, features, model.needs, mask, (xy[asked], pooling[asked], len(fitted.genes)))
    chosen = fitted.genes.indices(genes) if genes is not None else np.arange(len(fitted.genes))
    context = own_context(store, fitted, features, model, on_event)
    log, counts = predict_units(fitted, section, chosen, device=where, needs=model.needs, context=context)
    log, counts = (x[np.argsort(order)] for x in (log, counts))
    obs = {"copy_of": units.ids[parent[kept]].astype(str), "measured_there": kept < len(units)}
    return _table(store.name, xy[kept], (log, counts), fitted.genes.take(chosen).symbols, obs, run)


def write_denser_spots(table: AnnData, out: Path) -> None:
    """To an .h5ad file, which is there whole or not at all."""
    if out.suffix != ".h5ad":
        raise InputError(f"{out} is no name for denser spots.", "Give a file that ends in .h5ad.")
    part = out.with_name(out.name + ".partial")
    try:
        table.write_h5ad(part, compression="gzip")
        os.replace(part, out)
    except OSError as error:
        raise InputError(f"{out} cannot be written: {error.strerror or error}.", "Choose another place.") from None
    finally:
        part.unlink(missing_ok=True)


def _section(
    store: SectionStore,
    features: Features,
    needs: Needs,
    mask: BoolArray,
    spots: tuple[FloatArray, sparse.csr_matrix, int],
) -> TrainingSection:
    """Spots (centres, footprints, number of genes) of which nothing was counted."""
    xy, pooling, genes = spots
    seen: IntArray = np.unique(pooling.indices)
    if needs.halo:
        seen = with_surroundings(seen, needs.halo, mask)
    return TrainingSection(
        store.name, gather_features(features, seen, needs.standardised), pooling[:, seen].tocsr(),
        sparse.csr_matrix((len(xy), genes), dtype=np.int64), np.ones(len(xy)), xy,
        row_column=np.column_stack(np.divmod(seen, mask.shape[1])), superpixel_um=grid_of(store).superpixel_um,
    )  # fmt: skip


def _table(
    name: str,
    xy_um: FloatArray,
    said: tuple[FloatArray, FloatArray],
    symbols: Sequence[str],
    obs: dict[str, IntArray | BoolArray],
    run: str,
) -> AnnData:
    from anndata import AnnData

    table = AnnData(said[0].astype(np.float32), obs=obs)
    table.obs_names = [f"{name}_{i}" for i in range(len(xy_um))]
    table.var_names = list(symbols)
    table.layers["counts"] = said[1].astype(np.float32)
    table.obsm["spatial"] = xy_um
    table.uns["pixelgene"] = {"run": run, "x": "log1p(CP10k)", "spatial": "H&E µm", "times": TIMES}
    return table
