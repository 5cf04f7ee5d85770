"""Spots made of a simulated Xenium run: iSCALE's map against the true rates at 8 µm, beside interpolation of the spots.

    python benchmarks/pseudo_visium.py [--side-um 2400] [--model iscale] [--folder FOLDER]

Spots of 55 µm every 100 µm are summed from the run's transcripts. What is interpolated linearly between spots is their
composition, and their counts a square; beyond the outermost spots the nearest one speaks. Every square of measured
tissue is compared, at 8 µm.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import anndata
import numpy as np
import pandas as pd
from scipy.interpolate import LinearNDInterpolator, NearestNDInterpolator

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.pipeline.aligning import register_matrix
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.slide import grid_of
from napari_pixelgene.pipeline.sources.anndata import AnnDataSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.pipeline.training_data import measured_units
from napari_pixelgene.simulate.known import read_truth
from napari_pixelgene.simulate.run import simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.pseudo_spots import PseudoSpots, SpotSettings, pseudo_spots
from napari_pixelgene.store.section import SectionStore

PER = 1e4


def main() -> None:
    """Make run and spots once, then compare."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side-um", type=float, default=2400)
    parser.add_argument("--model", default="iscale")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pixelgene-pseudo")
    options = parser.parse_args()
    folder: Path = options.folder
    settings = SimulationSettings(
        width_um=options.side_um, height_um=options.side_um, genes=60, hidden_genes=12, seed=6
    )
    if not (folder / "run" / "truth" / "rates.zarr").exists():
        simulate_run(folder / "run", settings)
    xenium = import_section(
        folder / "xenium.section.zarr", folder / "run" / "he.ome.tif", XeniumSource(bundle=folder / "run" / "outs")
    )
    register_matrix(xenium, folder / "run" / "he_imagealignment.csv")
    measured = measured_units(xenium)
    spots, at = made_spots(xenium, measured)
    store = as_section(folder, spots, measured)
    start = time.monotonic()
    fit([store], options.model, FitSettings(model=options.model, genes="all"))
    maps = predict(store, options.model)
    print(
        f"{len(spots.library):,} spots of {np.median(spots.library):.0f} counts; "
        f"fit and maps {time.monotonic() - start:.0f} s"
    )
    truth = read_truth(folder / "run" / "truth")
    genes = maps.genes.symbols
    rates = np.column_stack([truth.rates_of(gene).ravel()[at] for gene in genes])
    level = np.asarray(maps.levels[0][:], dtype=np.float64).reshape(len(genes), -1).T[at]
    between = interpolated(spots, measured, genes, xenium, at)
    usable = np.isfinite(level).all(1)
    shown = np.array([truth.group[gene] != "hidden" for gene in genes])
    for name, said in ((options.model, level), ("between spots", between)):
        log = pearson(share(said[usable]), share(rates[usable]))
        counts = pearson(said[usable], rates[usable])
        print(f"{name:<14} shown log {log[shown].mean():.3f} counts {counts[shown].mean():.3f}; "
              f"hidden log {log[~shown].mean():.3f} counts {counts[~shown].mean():.3f}")  # fmt: skip
        if name == options.model:
            best = log, counts
        else:
            better = [(b[shown] > a[shown]).mean() for a, b in zip((log, counts), best, strict=True)]
            text = f"{options.model} is above it on {better[0]:.0%} of the shown genes in composition"
            print(f"{text}, {better[1]:.0%} in counts")


def made_spots(store: SectionStore, measured: Measured) -> tuple[PseudoSpots, np.ndarray]:
    """Spots over the run's squares, and the flat squares that are compared."""
    grid = grid_of(store)
    at = np.asarray(measured.pooling.indices)
    seen = measured.layer > 0
    found = pseudo_spots(
        at, measured.counts, measured.library, (grid.yx_shape, grid.superpixel_um), SpotSettings(), seen
    )
    return found, at


def as_section(folder: Path, spots: PseudoSpots, measured: Measured) -> SectionStore:
    """The spots as an AnnData, imported over the same slide."""
    names = [f"s{i}" for i in range(len(spots.library))]
    table = anndata.AnnData(
        spots.counts.astype(np.float32), pd.DataFrame(index=names), pd.DataFrame(index=list(measured.genes.symbols))
    )
    table.obsm["spatial"] = spots.xy_um
    path = folder / "spots.h5ad"
    if not path.exists():
        table.write_h5ad(path)
    source = AnnDataSource(counts=path, coordinates="he_um", shape="disk", size_um=SpotSettings().diameter_um)
    return import_section(folder / "spots.section.zarr", folder / "run" / "he.ome.tif", source)


def interpolated(
    spots: PseudoSpots, measured: Measured, genes: tuple[str, ...], store: SectionStore, at: np.ndarray
) -> np.ndarray:
    """(squares, genes) counts of a square, linear between the spots, the nearest one's outside their hull."""
    columns = measured.genes.indices(list(genes))
    density = spots.counts[:, columns].toarray() / spots.pooling.getnnz(axis=1)[:, None]
    where = grid_of(store).centres_um(at)
    inner = LinearNDInterpolator(spots.xy_um, density)(where)
    outer = NearestNDInterpolator(spots.xy_um, density)(where)
    out: np.ndarray = np.where(np.isfinite(inner), inner, outer)
    return out


def share(counts: np.ndarray) -> np.ndarray:
    """log1p of counts per 10,000 of the panel."""
    out: np.ndarray = np.log1p(PER * counts / np.maximum(counts.sum(1, keepdims=True), 1e-12))
    return out


if __name__ == "__main__":
    main()
