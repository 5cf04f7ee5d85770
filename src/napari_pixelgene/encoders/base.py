"""The contract of an encoder, which is the manual for writing one.

An encoder is a frozen function of the histology alone. It says how it wants to be fed (`mpp`,
`tile_px`, `halo_px`), how far it looks (`reach_px`), and maps a batch of RGB tiles with their halo to
one vector a superpixel. The stage `features` owns the loop, the tiles, the borders and the resume;
the member brings the idea.

What it says of a superpixel may depend on the pixels within `halo_px` and on `state` only, so that the
answer is the same for any tiling. Whatever must be known of the whole section first (a threshold, stain
vectors) comes from `prepare`, is stored with the features and handed to every tile. It sees a seeded
sample of work-pixel patches of tissue, not a thumbnail: at 8 µm a pixel no nucleus is left to measure.

A member with weights names its files in `weights`; the pipeline finds them and hands them to `load` before
the first tile. Until then it answers every question about itself, so that a list of encoders costs nothing.
A member for point models says `point_px` and `point_channels`. One that looks further than a halo could reach
looks twice: `ContextEncoder`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.errors import SettingsError

if TYPE_CHECKING:
    import torch

    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray

State = Mapping[str, "Array"]


@dataclass(frozen=True, slots=True)
class WeightFile:
    """A file of weights that an encoder reads: its key, the names it is known by, and where a person gets it."""

    key: str
    stems: tuple[str, ...]  # file names without ending, looked for in the folder of weights
    source: str  # where it comes from, for a person
    hub: str = ""  # ORG/NAME on the hub; empty: not there
    hub_files: tuple[str, ...] = ()  # what it is called there, the preferred first
    gated: bool = False  # its terms must be accepted by a person, logged in
    folder: str = ""  # within the folder of weights; empty: named after the encoder


@dataclass(frozen=True, slots=True)
class Tokens:
    """Vectors (k, d) float32 of windows at `place` (k, 2): rows and columns of the window lattice, which has a line
    every `stride_px` work pixels from the tile's corner and goes on below 0."""

    place: IntArray
    vectors: FloatArray

    def moved(self, rows: int, columns: int) -> Tokens:
        """The same, from another corner."""
        return Tokens(self.place + np.array([rows, columns]), self.vectors)

    @classmethod
    def joined(cls, parts: Sequence[Tokens]) -> Tokens:
        """All of them; a window that two tiles saw is there twice."""
        return cls(np.concatenate([p.place for p in parts]), np.concatenate([p.vectors for p in parts]))


class Encoder(ABC):
    """A frozen histology network."""

    name: str
    license: str
    tile_px: int  # side of a tile in work pixels, without its halo; a multiple of the superpixel
    halo_px: int  # context on every side, likewise
    mpp: float | None = None  # µm per work pixel it was made for; None: any
    dtype: str = "float32"  # how its vectors are stored
    weights: tuple[WeightFile, ...] = ()
    has_windows: bool = False  # whether `shifts` means anything to it
    made_of: str = ""  # the encoder whose features it smooths, by `smoothing`; itself it sees no pixel
    smoothing: tuple[tuple[int, int, int], ...] = ()  # first channel, the one after the last, side in superpixels (odd)
    point_px: int | None = None  # side of the square around a point, in pixels of `mpp`; None: no vector for points

    @property
    @abstractmethod
    def channels(self) -> tuple[str, ...]:
        """One name for each number of a vector."""

    @property
    @abstractmethod
    def reach_px(self) -> int:
        """How far from a superpixel's centre its vector sees, in work pixels."""

    @property
    def point_channels(self) -> int:
        """Numbers that describe a point; 0 where there are none."""
        return 0

    def configure(self, batch: int, shifts: int) -> None:
        """Take over what a person chose: windows in one pass of the network, and places of each along an axis."""
        return

    def load(self, files: Mapping[str, Path], device: str = "cpu") -> None:
        """Read the weights, a file for each key of `weights`. Raises InputError that names the first wrong array."""
        return

    def check(self, files: Mapping[str, Path]) -> None:
        """Hold the files against the network without keeping anything. Raises as `load` does."""
        return

    def prepare(self, patches: Sequence[Array]) -> dict[str, Array]:
        """What must be known of the section before the first tile, from superpixels of tissue, (h, w, 3) uint8 each."""
        return {}

    @abstractmethod
    def encode(
        self, rgb: torch.Tensor, inside: torch.Tensor, state: State, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Vectors of a batch of tiles.

        `rgb` (n, h, w, 3) uint8 holds tile and halo, `inside` (n, h, w) bool tells the slide from what
        lies past its edge. `wanted` (n, rows, columns) bool are the superpixels of the tile that matter; others
        may be left out and be NaN. Returns (n, rows, columns, channels) float32 for the superpixels of the tile
        without its halo, on the device of `rgb`.
        """

    def encode_points(self, rgb: torch.Tensor) -> torch.Tensor:
        """(n, `point_channels`) float32 of squares (n, `point_px`, `point_px`, 3) uint8 around points."""
        raise SettingsError(
            f"The encoder '{self.name}' has no vector for a point.", "Choose one that has: see `pixelgene encoders`."
        )


class ContextEncoder(Encoder):
    """An encoder that looks twice: at every tile, and then at what the tiles around it were summed up to.

    The first look leaves the first `context_channels` of its block empty and gives tokens, one a window. When all
    tiles have been looked at, `context` fills those channels from the tokens within `context_px` of the tile.
    """

    stride_px: int  # of the window lattice; divides tile_px
    context_px: int
    context_channels: int

    @abstractmethod
    def encode_with_tokens(
        self, rgb: torch.Tensor, inside: torch.Tensor, wanted: torch.Tensor
    ) -> tuple[torch.Tensor, Tokens]:
        """The first look at one tile: (rows, columns, channels) and the tokens of the windows that it looked at.

        As `encode`, but without the leading axis; `wanted` (rows, columns).
        """

    @abstractmethod
    def context(self, tokens: Tokens, inside: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """The second look: (rows, columns, `context_channels`) of a tile from the tokens around it.

        `tokens` count from the corner of the tile; `inside` (h, w) bool is that of tile and halo.
        """

    def encode(
        self, rgb: torch.Tensor, inside: torch.Tensor, state: State, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Both looks at tiles whose halo is all there is around them: for tiles that stand alone."""
        import torch

        out = []
        for i in range(len(rgb)):
            here = wanted[i] if wanted is not None else self._everywhere(rgb)
            block, tokens = self.encode_with_tokens(rgb[i], inside[i], here)
            block[..., : self.context_channels] = self.context(tokens, inside[i], here)
            out.append(block)
        return torch.stack(out)

    def _everywhere(self, rgb: torch.Tensor) -> torch.Tensor:
        import torch

        side = self.tile_px // 16
        return torch.ones((side, side), dtype=torch.bool, device=rgb.device)
