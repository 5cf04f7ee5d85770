"""The contract of an encoder, which is the manual for writing one.

An encoder is a frozen function of the histology alone. It says how it wants to be fed (`mpp`,
`tile_px`, `halo_px`), how far it looks (`reach_um`), and maps a batch of RGB tiles with their halo to
one vector a superpixel. The stage `features` owns the loop, the tiles, the borders and the resume;
the member brings the idea.

What it says of a superpixel may depend on the pixels within `halo_px` and on `state` only, so that the
answer is the same for any tiling. Whatever must be known of the whole section first (a threshold, stain
vectors) comes from `prepare`, is stored with the features and handed to every tile. It sees a seeded
sample of work-pixel patches of tissue, not a thumbnail: at 8 µm a pixel no nucleus is left to measure.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    import torch

    from napari_pixelgene.elements.arrays import Array

State = Mapping[str, "Array"]


class Encoder(ABC):
    """A frozen histology network."""

    name: ClassVar[str]
    license: ClassVar[str]
    tile_px: ClassVar[int]  # side of a tile in work pixels, without its halo; a multiple of the superpixel
    halo_px: ClassVar[int]  # context on every side, likewise
    mpp: ClassVar[float | None] = None  # µm per work pixel it was made for; None: any
    dtype: ClassVar[str] = "float32"  # how its vectors are stored

    @property
    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """One name for each number of a vector."""

    @property
    @abstractmethod
    def reach_px(self) -> int:
        """How far from a superpixel's centre its vector sees, in work pixels."""

    def prepare(self, patches: Sequence[Array]) -> dict[str, Array]:
        """What must be known of the section before the first tile, from superpixels of tissue, (h, w, 3) uint8 each."""
        return {}

    @abstractmethod
    def encode(self, rgb: torch.Tensor, inside: torch.Tensor, state: State) -> torch.Tensor:
        """Vectors of a batch of tiles.

        `rgb` (n, h, w, 3) uint8 holds tile and halo, `inside` (n, h, w) bool tells the slide from what
        lies past its edge. Returns (n, rows, columns, channels) float32 for the superpixels of the tile
        without its halo, on the device of `rgb`.
        """
