"""A capture: one measured region, as units with footprints and counts, as transcripts, or both."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.alignment import Frame, Keypoints, Transform
from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.transcripts import Transcripts


@dataclass(frozen=True, slots=True)
class Footprint:
    """The area a unit speaks for: a disk of diameter `size_um`, a square of side `size_um`, or a point (0)."""

    shape: Literal["disk", "square", "point"]
    size_um: float = 0.0


@dataclass(frozen=True, slots=True)
class Units:
    """Spots, bins or cells: ids (n,) text, positions (n, 2) in `frame`, counts (n, genes) CSR of integers.

    `library` (n,) is the total over all genes of the file, also of genes that were not kept. `lattice` (n, 2): whole
    numbers, column and row of the array the units are spots of, where its files tell; None where not.
    """

    ids: Array
    xy: FloatArray
    counts: sparse.csr_matrix
    genes: GeneTable
    footprint: Footprint
    frame: Frame
    library: FloatArray = field(default_factory=lambda: np.zeros(0))
    lattice: IntArray | None = None

    def __post_init__(self) -> None:
        if len(self.library) != self.counts.shape[0]:
            object.__setattr__(self, "library", np.asarray(self.counts.sum(axis=1), dtype=np.float64).ravel())

    def __len__(self) -> int:
        return int(self.counts.shape[0])


@dataclass(frozen=True, slots=True)
class Capture:
    """One capture as imported.

    `units` are measured units (legacy ST spots, Xenium cells), `transcripts` a stream of molecules;
    at least one is there. Xenium brings `morphology` (one `Image` a channel) and `stage_to_morphology`.
    `facts` are numbers and words worth showing that lie in neither (cells, region, software).
    """

    name: str
    technology: str
    genes: GeneTable
    units: Units | None = None
    transcripts: Transcripts | None = None
    morphology: tuple[Image, ...] = ()
    stage_to_morphology: Transform | None = None
    to_he: Transform | None = None  # from the frame of the units or transcripts, once registered
    keypoints: Keypoints | None = None
    facts: Mapping[str, str | int | float] = field(default_factory=dict)
