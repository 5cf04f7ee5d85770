"""Predicted expression over a section's grid."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from napari_pixelgene.elements.arrays import FloatArray, LazyArray
from napari_pixelgene.elements.genes import GeneTable


def unit(superpixel_um: float) -> str:
    """What the values of a map are, in words."""
    return f"expected counts per {superpixel_um:g} µm square"


UNIT = unit(8.0)
# The values of the layer that tells how a superpixel was measured.
NEVER_MEASURED, FILTERED, MEASURED = 0, 1, 2
Measured = Literal[0, 1, 2]


@dataclass(frozen=True, slots=True)
class Expression:
    """Maps of a run: lazy levels (gene, row, column), finest first, in expected counts per superpixel.

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
