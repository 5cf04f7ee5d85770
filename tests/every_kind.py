"""A tiny run of every kind on one slide of 900 × 640 px at 1 µm: spots, bins, cells and molecules whose numbers are
known from here, not from a reader."""

from __future__ import annotations

import math
from pathlib import Path

import imagecodecs
import numpy as np
import polars as pl
import tifffile
from scipy import sparse

from space_ranger import Run

GENES = ("ERBB2", "CD8A", "MS4A1")
WIDTH, HEIGHT, MPP = 900, 640, 1.0
PITCH = 100.0


def picture(seed: int = 3) -> np.ndarray:
    """White glass around a stained block with texture."""
    rng = np.random.default_rng(seed)
    pixels = np.full((HEIGHT, WIDTH, 3), 244, dtype=np.uint8)
    pixels[50:600, 60:850] = rng.integers([150, 70, 130], [215, 140, 190], (550, 790, 3))
    return pixels


def png(folder: Path) -> Path:
    """A slide that does not say its pixel size."""
    path = folder / "slide.png"
    path.write_bytes(imagecodecs.png_encode(picture()))
    return path


def ome_tiff(folder: Path) -> Path:
    """One that does."""
    path = folder / "slide.ome.tif"
    size = {"PhysicalSizeX": MPP, "PhysicalSizeY": MPP, "PhysicalSizeXUnit": "µm", "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(path, picture(), photometric="rgb", tile=(256, 256), metadata={"axes": "YXS", **size})
    return path


def ome_zarr(folder: Path) -> Path:
    """The same as a folder."""
    import zarr

    path = folder / "slide.ome.zarr"
    group = zarr.open_group(str(path), mode="w")
    group.create_array("0", data=np.moveaxis(picture(), -1, 0), chunks=(3, 512, 512))
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": "micrometer"} for a in "yx")]
    scale = [{"type": "scale", "scale": [1.0, MPP, MPP]}]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def scan(path: Path) -> Path:
    """A scanner's own file: Hamamatsu's NDPI with two levels; of SCN and MIRAX only what tells them."""
    if path.suffix == ".mrxs":
        path.write_bytes(imagecodecs.jpeg8_encode(picture()[:32, :32].copy()))
        return path
    leica = '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01"></scn>'
    with tifffile.TiffWriter(path) as tiff:
        for down in (1, 2):
            level = picture()[::down, ::down].copy()
            per_cm = {"resolution": (1e4 / MPP / down,) * 2, "resolutionunit": "CENTIMETER", "metadata": None}
            if path.suffix == ".scn":
                tiff.write(level, tile=(256, 256), photometric="rgb", description=leica, **per_cm)
                continue
            tags = [(271, "s", 0, "Hamamatsu", True), (65420, "I", 1, 1, True), (65421, "f", 1, 20.0 / down, True)]
            tags += [(code, "i", 1, 0, True) for code in (65422, 65423, 65424)]
            tiff.write(level, photometric="rgb", compression="jpeg", compressionargs={"level": 98},
                       rowsperstrip=len(level), extratags=tags, software=None, **per_cm)  # fmt: skip
    return path


def spots() -> tuple[list[list[object]], np.ndarray]:
    """Thirty spots of a hexagonal array, as Space Ranger lists them, and their centres (x, y)."""
    place = [(row, column) for row in range(5) for column in range(row % 2, 12, 2)]
    xy = np.array([(150 + column * PITCH / 2, 120 + row * PITCH * math.sqrt(3) / 2) for row, column in place]).round()
    listed: list[list[object]] = [
        [f"S{row}{column:02d}-1", 1, row, column, y, x] for (row, column), (x, y) in zip(place, xy, strict=True)
    ]
    return listed, xy


def counts(units: int, genes: int = len(GENES), seed: int = 8) -> np.ndarray:
    return np.random.default_rng(seed).poisson([4, 1, 2, 3][:genes], (units, genes)) + (np.arange(genes) == 0)


def visium(folder: Path) -> Path:
    """A Visium run of thirty spots; outs stands in a folder with the sample's name."""
    listed, _ = spots()
    factors = {"spot_diameter_fullres": 65.0, "tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.05}
    run = Run(folder / "sample7" / "outs", listed, [str(s[0]) for s in listed], counts(len(listed), 4), factors=factors)
    return run.write()


def visium_hd(folder: Path) -> Path:
    """Bins of 8 µm (40 × 30) and 16 µm (20 × 15)."""
    home = folder / "sample9" / "outs"
    for side, rows, columns in ((8, 30, 40), (16, 15, 20)):
        place = [(r, c) for r in range(rows) for c in range(columns)]
        listed: list[list[object]] = [
            [f"s_{side:03d}um_{r:05d}_{c:05d}-1", 1, r, c, 400 - (r + 0.5) * side, 200 + (c + 0.5) * side]
            for r, c in place
        ]
        factors = {
            "bin_size_um": float(side), "microns_per_pixel": MPP, "spot_diameter_fullres": side / MPP,
            "tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.05,
        }  # fmt: skip
        square = home / "binned_outputs" / f"square_{side:03d}um"
        run = Run(square, listed, [str(s[0]) for s in listed], counts(len(listed), 4), factors=factors)
        run.write_h5()
        run.write_spatial("tissue_positions.parquet")
    return home


def legacy_st(folder: Path) -> tuple[Path, Path]:
    """Twenty spots, 200 µm apart in x and 100 in y of every other column: counts and spots."""
    place = [(column, row) for column in range(4) for row in range(3)]
    table = counts(len(place))
    lines = ["\t" + "\t".join(GENES)]
    lines += [f"{x}x{y}\t" + "\t".join(map(str, row)) for (x, y), row in zip(place, table, strict=True)]
    (folder / "st-counts.tsv").write_text("\n".join(lines) + "\n")
    where = [f"{x}\t{y}\t{150 + x * 200}\t{110 + y * 200}" for x, y in place]
    (folder / "st-spots.tsv").write_text("\n".join(["x\ty\tpixel_x\tpixel_y", *where]) + "\n")
    return folder / "st-counts.tsv", folder / "st-spots.tsv"


def molecules(many: int = 400) -> pl.DataFrame:
    """Molecules on the stained block, (x, y) in µm of the slide."""
    rng = np.random.default_rng(12)
    return pl.DataFrame({
        "east": rng.uniform(100, 800, many).round(2),
        "south": rng.uniform(80, 560, many).round(2),
        "symbol": rng.choice(GENES, many),
    })  # fmt: skip


def table_long(folder: Path) -> Path:
    molecules().write_csv(folder / "molecules.csv")
    return folder / "molecules.csv"


def table_wide(folder: Path) -> Path:
    """Thirty spots a row each."""
    listed, xy = spots()
    data = {"id": [s[0] for s in listed], "x": xy[:, 0], "y": xy[:, 1]}
    table = counts(len(listed))
    pl.DataFrame(data | {gene: table[:, i] for i, gene in enumerate(GENES)}).write_csv(folder / "spots.csv")
    return folder / "spots.csv"


def cosmx(folder: Path) -> Path:
    """400 transcripts and 25 of a control, y upwards, in pixels of 0.12 µm."""
    home = folder / "flat"
    home.mkdir()
    found = molecules()
    rows = pl.DataFrame({
        "fov": [1] * len(found),
        "x_global_px": found["east"] / 0.12,
        "y_global_px": (HEIGHT - found["south"]) / 0.12,
        "target": found["symbol"],
    })  # fmt: skip
    control = rows.head(25).with_columns(target=pl.lit("Negative3"))
    pl.concat([rows, control]).write_csv(home / "R5_tx_file.csv")
    return home


def prefix(folder: Path) -> Path:
    """Spots 60 µm apart, so that a radius of 25 may be µm or pixels, with their slide."""
    home = folder / "istar"
    home.mkdir()
    place = [(x, y) for y in range(100, 560, 60) for x in range(120, 800, 60)]
    names = [f"s{i}" for i in range(len(place))]
    where = "".join(f"{name}\t{x / 0.5}\t{y / 0.5}\n" for name, (x, y) in zip(names, place, strict=True))
    (home / "locs-raw.tsv").write_text("\tx\ty\n" + where)
    table = counts(len(place))
    rows = "".join(name + "".join(f"\t{n}" for n in row) + "\n" for name, row in zip(names, table, strict=True))
    (home / "cnts.tsv").write_text("\t" + "\t".join(GENES) + "\n" + rows)
    (home / "radius-raw.txt").write_text("50")
    (home / "pixel-size-raw.txt").write_text("0.5")
    large = picture().repeat(2, axis=0).repeat(2, axis=1)
    tifffile.imwrite(home / "he-raw.tiff", large, photometric="rgb", tile=(256, 256))
    return home


def anndata_file(folder: Path) -> Path:
    import anndata
    import pandas as pd

    listed, xy = spots()
    data = anndata.AnnData(
        sparse.csr_matrix(counts(len(listed)).astype(np.float32)),
        obs=pd.DataFrame(index=[str(s[0]) for s in listed]),
        var=pd.DataFrame(index=list(GENES)),
        obsm={"spatial": xy},
    )
    data.write_h5ad(folder / "cells.h5ad")
    return folder / "cells.h5ad"


def spatialdata_store(folder: Path) -> Path:
    """Thirty circles with a table, and the slide, in one store."""
    import anndata
    import pandas as pd
    import spatialdata
    from spatialdata.models import Image2DModel, ShapesModel, TableModel

    listed, xy = spots()
    names = [str(s[0]) for s in listed]
    obs = pd.DataFrame({"region": pd.Categorical(["circles"] * len(names)), "spot": names}, index=names)
    data = anndata.AnnData(sparse.csr_matrix(counts(len(names)).astype(np.float32)), obs=obs)
    data.var_names = list(GENES)
    path = folder / "store.zarr"
    spatialdata.SpatialData(
        images={"stained": Image2DModel.parse(np.moveaxis(picture(), -1, 0), dims=("c", "y", "x"))},
        shapes={"circles": ShapesModel.parse(xy, geometry=0, radius=27.5, index=names)},
        tables={"table": TableModel.parse(data, region="circles", region_key="region", instance_key="spot")},
    ).write(path)
    return path
