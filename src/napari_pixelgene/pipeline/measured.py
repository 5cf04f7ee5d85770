"""A capture's units as they lie on the tissue: what models learn from and are scored on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from scipy import sparse

    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.capture import Footprint
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.store.section import SectionStore


@dataclass(frozen=True, slots=True)
class Measured:
    """A capture's units on the tissue of its section: counts (n, genes of the file), totals, centres in H&E µm,
    footprints, and the column and row of each on its array, where files tell. `name` is the section's, with the
    capture's own where the slide has several."""

    name: str
    store: SectionStore
    capture: str
    counts: sparse.csr_matrix
    library: FloatArray
    xy_um: FloatArray
    genes: GeneTable
    pooling: sparse.csr_matrix  # (n, superpixels of the grid) rows sum to 1
    footprint: Footprint
    layer: Array  # (rows, columns) measured / filtered / never
    superpixel_um: float = 8.0
    lattice: IntArray | None = None

    def __len__(self) -> int:
        return len(self.library)
