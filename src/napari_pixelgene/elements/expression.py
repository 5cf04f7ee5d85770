"""Predicted expression over a section's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_pixelgene.elements.arrays import FloatArray, LazyArray
from napari_pixelgene.elements.genes import GeneTable

UNIT = "expected counts per 8 µm square"
# The values of the layer that tells how a superpixel was measured.
NEVER_MEASURED, FILTERED, MEASURED = 0, 1, 2
Measured = Literal[0, 1, 2]


@dataclass(frozen=True, slots=True)
class Expression:
    """Maps of a run: lazy levels (gene, row, column), finest first, in expected counts per 8 µm square.

    `contrast` (genes, 2) are display limits stored when written. `measured` (row, column) tells
    never measured (0), dropped by a filter (1) and measured (2) apart. NaN is background.
    """

    levels: tuple[LazyArray, ...]
    genes: GeneTable
    superpixel_um: float
    contrast: FloatArray
    measured: LazyArray
    run: str
    unit: str = UNIT
