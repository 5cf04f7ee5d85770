"""Overlapping windows of a network on a tile, and their patch tokens brought onto the superpixels without seams.

Windows begin at every multiple of `stride_px` from the slide's corner, before it too, so that all tiles see the
same ones. The stride is a multiple of both the patch and the superpixel. In a window, a superpixel's vector is the
mean of the patches that cover it, weighed by the area they share (a patch of 14 pixels is no superpixel of 16), as far
as they lie on the slide. Of all windows that see it, it is the mean, weighed by how central it is in them and by how
much of them lies on the slide. So nothing jumps where a window ends, and borders are divided by what truly covers them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import ceil, lcm
from typing import TYPE_CHECKING

import torch

from napari_pixelgene.errors import SettingsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

SUPERPIXEL = 16
_USUAL_TILE = 1024


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows of `side_px` work pixels, cut into patches of `patch_px`, one every `stride_px`."""

    side_px: int
    patch_px: int
    stride_px: int

    @classmethod
    def plan(cls, side_px: int, patch_px: int, shifts: int) -> Windows:
        """Windows so close that a place lies in `shifts` of them along an axis, or as near to it as patches allow."""
        step = lcm(patch_px, SUPERPIXEL)
        if side_px < step or side_px % patch_px:
            raise SettingsError(
                f"A window of {side_px} pixels in patches of {patch_px} does not fit squares of {SUPERPIXEL}.",
                f"Choose a network whose input is a multiple of its patch and at least {step} pixels wide.",
            )
        return cls(side_px, patch_px, max(1, side_px // (shifts * step)) * step)

    @property
    def patches(self) -> int:
        """Patches along a window's side."""
        return self.side_px // self.patch_px

    @property
    def before(self) -> int:
        """Windows that begin before a tile and reach into it."""
        return ceil(self.side_px / self.stride_px) - 1

    @property
    def tile_px(self) -> int:
        """A tile that holds whole strides, about 1,024 pixels."""
        return max(1, round(_USUAL_TILE / self.stride_px)) * self.stride_px

    @property
    def halo_px(self) -> int:
        """As far as its windows reach past a tile."""
        return max(self.before * self.stride_px, ceil((self.side_px - self.stride_px) / SUPERPIXEL) * SUPERPIXEL)

    def lattice(self, tile_px: int) -> range:
        """Lines of the lattice, counted from a tile's corner, whose windows reach into it."""
        return range(-self.before, tile_px // self.stride_px)

    def shares(self) -> torch.Tensor:
        """(superpixels, patches) along an axis: which part of a superpixel a patch covers."""
        low = torch.arange(ceil(self.side_px / SUPERPIXEL))[:, None] * SUPERPIXEL
        first = torch.arange(self.patches)[None] * self.patch_px
        overlap = torch.minimum(low + SUPERPIXEL, first + self.patch_px) - torch.maximum(low, first)
        return overlap.clamp_min(0).float() / SUPERPIXEL

    def taper(self) -> torch.Tensor:
        """(superpixels,) how much a window counts for a superpixel: 1 in its middle, falling to its ends."""
        at = (torch.arange(ceil(self.side_px / SUPERPIXEL)) + 0.5) * SUPERPIXEL
        return torch.minimum(at, self.side_px - at).clamp_min(1.0) / (self.side_px / 2)


@dataclass(frozen=True, slots=True)
class Along:
    """A window along one axis: how patches mix into superpixels (superpixels, patches), rows adding up to 1, and how
    much the window counts for each (superpixels,)."""

    mix: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True, slots=True)
class Window:
    """A window of a tile: its row and column of the lattice, and how it is along either axis."""

    row: int
    column: int
    down: Along
    across: Along


class Mosaic:
    """The sum of windows over the superpixels of a tile.

    `inside` (h, w) bool is that of tile and halo, `wanted` (rows, columns) the superpixels that matter: a window
    that covers none of them is not looked at.
    """

    def __init__(self, windows: Windows, tile_px: int, halo_px: int, inside: torch.Tensor, wanted: torch.Tensor):
        self.windows, self.halo_px = windows, halo_px
        self.wanted = wanted
        self._side = len(windows.shares())
        self._rows = _on_the_slide(windows, halo_px, inside.any(1), windows.lattice(tile_px))
        self._columns = _on_the_slide(windows, halo_px, inside.any(0), windows.lattice(tile_px))
        # Windows reach past the tile on both sides: the sums have a rim that is cut off in the end.
        self._rim = windows.before * windows.stride_px // SUPERPIXEL
        side = tile_px // SUPERPIXEL + self._rim + self._side
        self._weight = torch.zeros((side, side), device=inside.device)
        self._sum: torch.Tensor | None = None

    def windows_to_see(self) -> list[Window]:
        """Those on the slide that cover a superpixel which matters, row by row."""
        return [
            Window(row, column, down, across)
            for row, down in self._rows.items()
            for column, across in self._columns.items()
            if self._covers(row, column)
        ]

    def crop(self, rgb: torch.Tensor, window: Window) -> torch.Tensor:
        """(side, side, 3) of a window from `rgb` (h, w, 3), tile and halo."""
        top, left = (self.halo_px + at * self.windows.stride_px for at in (window.row, window.column))
        return rgb[top : top + self.windows.side_px, left : left + self.windows.side_px]

    def add(self, window: Window, tokens: torch.Tensor) -> None:
        """Add a window's patches: (patches, patches, d), or (1, 1, d) where all say the same."""
        weight = window.down.weight[:, None] * window.across.weight[None]
        if tokens.shape[0] == 1:
            value = tokens
        else:
            value = torch.einsum("rp,cq,pqd->rcd", window.down.mix, window.across.mix, tokens)
        if self._sum is None:
            self._sum = torch.zeros((*self._weight.shape, tokens.shape[-1]), device=tokens.device)
        place = self._place(window.row, window.column)
        self._sum[place] += value * weight[..., None]
        self._weight[place] += weight

    def mean(self, channels: int) -> torch.Tensor:
        """(rows, columns, channels) float32 of the tile; NaN where nothing was wanted."""
        rows, columns = self.wanted.shape
        out = torch.full((rows, columns, channels), torch.nan, device=self._weight.device)
        if self._sum is not None:
            part = slice(self._rim, self._rim + rows), slice(self._rim, self._rim + columns)
            there = self.wanted & (self._weight[part] > 0)
            out[there] = self._sum[part][there] / self._weight[part][there][:, None]
        return out

    def _place(self, row: int, column: int) -> tuple[slice, slice]:
        step = self.windows.stride_px // SUPERPIXEL
        top, left = self._rim + row * step, self._rim + column * step
        return slice(top, top + self._side), slice(left, left + self._side)

    def _covers(self, row: int, column: int) -> bool:
        tall, wide = self._place(row, column)
        return bool(
            self.wanted[
                max(tall.start - self._rim, 0) : max(tall.stop - self._rim, 0),
                max(wide.start - self._rim, 0) : max(wide.stop - self._rim, 0),
            ].any()
        )


def _on_the_slide(windows: Windows, halo_px: int, inside: torch.Tensor, lattice: range) -> dict[int, Along]:
    """Of one axis, the windows that meet the slide."""
    shares, taper = (x.to(inside.device) for x in (windows.shares(), windows.taper()))
    out = {}
    for at in lattice:
        start = halo_px + at * windows.stride_px
        seen = inside[start : start + windows.side_px].float()
        if seen.any():
            mix = shares * seen.view(windows.patches, windows.patch_px).mean(1)
            covered = mix.sum(1)
            # A window that hangs over the edge has seen less: it counts less beside one that does not.
            out[at] = Along(mix / covered.clamp_min(1e-6)[:, None], taper * covered * seen.mean())
    return out


def extend_edges(rgb: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
    """Repeat the slide's outermost pixels past its edge, so that no gradient is seen there: (h, w, 3)."""
    if bool(inside.all()):
        return rgb
    rows, columns = torch.where(inside.any(1))[0], torch.where(inside.any(0))[0]
    r = torch.arange(rgb.shape[0], device=rgb.device).clamp(int(rows[0]), int(rows[-1]))
    c = torch.arange(rgb.shape[1], device=rgb.device).clamp(int(columns[0]), int(columns[-1]))
    return rgb[r][:, c]


def in_batches(
    windows: Sequence[Window],
    batch: int,
    crop: Callable[[Window], torch.Tensor],
    network: Callable[[torch.Tensor], torch.Tensor],
) -> Iterator[tuple[Window, torch.Tensor]]:
    """Each window with what the network says of it, `batch` of them in one pass."""
    for start in range(0, len(windows), batch):
        some = windows[start : start + batch]
        yield from zip(some, network(torch.stack([crop(w) for w in some])), strict=True)
