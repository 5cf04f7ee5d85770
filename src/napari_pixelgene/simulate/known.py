"""The truth of a simulated slide, read back from the folder it was written into."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import zarr

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import FloatArray, LazyArray


@dataclass(frozen=True, slots=True)
class KnownTruth:
    """What nobody knows of a real slide. `group` maps each gene to the kind of pattern it follows (simulate/genes.py),
    `morphology_to_he` is the true transform, `rates` holds (genes, rows, columns), read a gene at a time."""

    group: dict[str, str]
    morphology_to_he: Transform
    rates: LazyArray
    order: tuple[str, ...]

    def rates_of(self, gene: str) -> FloatArray:
        """Expected accepted counts of a gene per 8 µm superpixel of the slide, (rows, columns)."""
        return np.asarray(self.rates[self.order.index(gene)], dtype=np.float32)


def read_truth(folder: Path) -> KnownTruth:
    """The truth in `folder` (`truth/` of a simulation)."""
    table = pl.read_parquet(folder / "genes.parquet", columns=["gene", "group"])
    matrix = np.array(json.loads((folder / "transform.json").read_text(encoding="utf-8"))["matrix"])
    rates: Any = zarr.open_group(folder / "rates.zarr", mode="r")["rates"]
    order = tuple(map(str, rates.attrs["genes"]))
    group = dict(zip(table["gene"], table["group"], strict=True))
    return KnownTruth(group, Transform(matrix, "morphology_px", "he_px"), rates, order)
