"""Counts on the superpixel lattice: a capture seen through a transform."""

from __future__ import annotations

from dataclasses import dataclass

from scipy import sparse

from napari_pixelgene.elements.arrays import FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable


@dataclass(frozen=True, slots=True)
class Bins:
    """The superpixels that hold counts, once each.

    `superpixel` (n,) are row-major indices on a grid of `yx_shape`, ascending; `counts` (n, genes) CSR of raw
    integers; `library` (n,) totals over all genes of the file.
    """

    superpixel: IntArray
    counts: sparse.csr_matrix
    library: FloatArray
    genes: GeneTable
    yx_shape: tuple[int, int]
    superpixel_um: float = 8.0

    def __len__(self) -> int:
        return int(self.counts.shape[0])
