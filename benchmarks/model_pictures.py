"""One gene on a real section that was not learned from, as each model draws it: the pictures of docs/models.

    python benchmarks/model_pictures.py [--shared ../shared/data] [--gene ERBB2] [--folder FOLDER] [--out docs/pictures]

her2st: learned from C2 and C4, drawn on C3, default recipes, `top:300`, seed 0. The H&E, the counts of the spots, and
the map in counts a square of 8 µm, each map on a scale of its own; r is Pearson's of the map under each spot with what
the spot counted, for this gene alone. What is there already is not made again.
"""

from __future__ import annotations

import argparse
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import PIL.Image
from matplotlib.collections import EllipseCollection

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.preparing import ensure_features, ensure_tissue
from napari_pixelgene.pipeline.slide import grid_of, open_slide
from napari_pixelgene.pipeline.slide_pictures import overview
from napari_pixelgene.pipeline.sources.legacy_st import LegacyStSource
from napari_pixelgene.pipeline.training_data import measured_units
from napari_pixelgene.report.canvas import EMPTY, TEXT, new_figure, title
from napari_pixelgene.report.gene_plots import scale_end
from napari_pixelgene.report.quality_plots import scale_bar
from napari_pixelgene.store.section import SectionStore

MPP, SPOT_UM = 0.69, 100.0
MODELS = ("pixel2gene", "iscale", "histosge", "histex", "ridge", "trees")


def main() -> None:
    """A picture a model, and its r."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--shared", type=Path, default=Path(__file__).parents[2] / "shared" / "data")
    parser.add_argument("--gene", default="ERBB2")
    parser.add_argument("--folder", type=Path, default=Path(tempfile.gettempdir()) / "pixelgene-pictures")
    parser.add_argument("--out", type=Path, default=Path("docs") / "pictures")
    parser.add_argument("--models", nargs="+", default=list(MODELS))
    options = parser.parse_args()
    if not (options.shared / "her2st").is_dir():
        print(f"{options.shared / 'her2st'} is not there: nothing to draw.")
        return
    stores = {name: imported(options.folder, options.shared / "her2st", name) for name in ("C2", "C3", "C4")}
    shown, learned = stores["C3"], [stores["C2"], stores["C4"]]
    measured = measured_units(shown)
    for model in options.models:
        fit(learned, model, FitSettings(model=model, genes="top:300", seed=0))
        maps = predict(shown, model, stores["C2"])
        row = maps.genes.symbols.index(options.gene)
        values = np.asarray(maps.levels[0][row], dtype=np.float64)
        r = drawn(shown, measured, values, options.gene, model, options.out / f"model-{model}.png")
        print(f"{model:<12} {options.gene} r {r:.2f}", flush=True)


def imported(folder: Path, data: Path, name: str) -> SectionStore:
    """A section with its features."""
    source = LegacyStSource(
        counts=data / f"{name}-counts.tsv.gz", spots=data / f"{name}-spots.tsv", spot_diameter_um=SPOT_UM
    )
    path = folder / f"{name}.section.zarr"
    store = import_section(path, data / f"{name}-he.jpg", source, ImportSettings(mpp=MPP, name=name))
    ensure_features(store)
    return store


def drawn(store: SectionStore, measured: Measured, values: FloatArray, gene: str, model: str, path: Path) -> float:
    """The picture of a map (rows, columns); returns its r at the spots."""
    counts = measured.counts[:, measured.genes.indices([gene])].toarray()[:, 0].astype(np.float64)
    under = measured.pooling @ np.nan_to_num(values).ravel()
    r = float(pearson(under[:, None], counts[:, None])[0])
    he, superpixel = overview(open_slide(store)), grid_of(store).superpixel_um
    figure, axes = new_figure(11.0, 3.6, 3, sharex=True, sharey=True)
    axes[0].imshow(he.rgb, extent=he.extent_um)
    title(axes[0], "H&E")
    axes[1].imshow(he.rgb, extent=he.extent_um, alpha=0.35)
    wide = np.full(len(counts), SPOT_UM)
    spots = EllipseCollection(wide, wide, 0.0, units="xy", offsets=measured.xy_um, offset_transform=axes[1].transData)
    spots.set_array(counts)
    spots.set_clim(0.0, scale_end([counts]))
    axes[1].add_collection(spots)
    title(axes[1], f"{gene}, measured")
    axes[2].set_facecolor(EMPTY)
    rows, columns = values.shape
    extent = (0.0, columns * superpixel, rows * superpixel, 0.0)
    end = float(np.nanpercentile(values, 98.5))
    image = axes[2].imshow(values, extent=extent, vmin=0.0, vmax=end, interpolation="nearest")
    title(axes[2], f"{model}, on a section it never saw: r {r:.2f}")
    for each, mappable, unit in ((axes[1], spots, "counts a spot"), (axes[2], image, "counts a square of 8 µm")):
        bar = figure.colorbar(mappable, ax=each, shrink=0.85, pad=0.02, extend="max")
        bar.set_label(unit, fontsize=TEXT)
        bar.ax.tick_params(labelsize=TEXT - 1)
    _close(axes, ensure_tissue(store), superpixel)
    path.parent.mkdir(parents=True, exist_ok=True)
    drawing = BytesIO()
    figure.savefig(drawing, dpi=90)
    PIL.Image.open(drawing).convert("RGB").quantize(200).save(path, optimize=True)
    return r


def _close(axes: list, tissue: Tissue, superpixel: float) -> None:  # type: ignore[type-arg]
    """All of them on the tissue, with a bar for its size."""
    rows, columns = np.nonzero(tissue.mask)
    axes[0].set_xlim(superpixel * (columns.min() - 20), superpixel * (columns.max() + 20))
    axes[0].set_ylim(superpixel * (rows.max() + 20), superpixel * (rows.min() - 20))
    for each in axes:
        each.set_xticks([])
        each.set_yticks([])
        scale_bar(each)


if __name__ == "__main__":
    main()
