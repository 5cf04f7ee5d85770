"""Squares by name: clusters or an annotation of a run's maps, and what each gene is like in them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pixelgene.arithmetic.contrasts import Moments
from napari_pixelgene.elements.arrays import FloatArray, IntArray

CLUSTERS, ANNOTATION = "clusters", "annotation"
UNCLASSIFIED = "Unclassified"


@dataclass(frozen=True, slots=True)
class Labelling:
    """`labels` (rows, columns) are places in `names`, -1 where nothing is named (no tissue, no counts).

    `moments` are those of every gene of the maps, in expected counts a square. An annotation has a `confidence` (rows,
    columns) between 0 and 1, NaN off the tissue; clusters have none.
    """

    kind: str
    labels: IntArray
    names: tuple[str, ...]
    moments: Moments
    confidence: FloatArray | None = None

    def squares(self) -> IntArray:
        """(names,) how many squares each has."""
        out: IntArray = np.bincount(self.labels[self.labels >= 0], minlength=len(self.names))
        return out
