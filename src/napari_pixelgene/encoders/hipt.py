"""HIPT: what a patch of 128 µm looks like close up, and in its neighbourhood (pixel2gene.md §4, iscale.md §4.1).

A ViT-256 sees windows of 256 work pixels; its patch tokens, one a superpixel, are the channels `sub`. Its class
tokens, one a window, are summed up by a ViT-4K into the channels `cls` of the whole window. `rgb` is the mean colour.
579 channels in the order of the original: cls (192), sub (384), rgb (3).

Where we depart, on purpose:
* The original hands the class tokens of the whole slide to the ViT-4K in one sequence, with its table of 14 × 14
  positions stretched over it. Here each window is summed up among the 15 × 15 around it, the extent that ViT-4K was
  trained on (1.9 mm). What a place is called no longer depends on how large the slide is, nor does memory; and the
  reach is known, so that a cross-validation can keep its distance.
* Windows without tissue are not looked at; they stand in the sequence as the token of a white window.
* `shifts` windows along an axis see a place, and are averaged, central ones weighing more; the original has 4, of
  equal weight. Sums are divided by what covers a place: the original's rim of 96 µm (128 µm at bottom and right) is
  scaled down or zero.
* Colour is averaged in full precision, softmax takes its maximum off first, so that no logit overflows.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pixelgene.encoders.base import ContextEncoder, State, Tokens, WeightFile
from napari_pixelgene.encoders.network import Shape, build
from napari_pixelgene.encoders.patches import PatchEncoder, Transform
from napari_pixelgene.encoders.weights import load_network
from napari_pixelgene.encoders.windows import Mosaic, extend_edges, in_batches

if TYPE_CHECKING:
    from torch import nn

    from napari_pixelgene.elements.arrays import IntArray

_FROM = "https://github.com/mahmoodlab/HIPT (folder HIPT_4K/Checkpoints, by Git LFS)"
_VIT256 = WeightFile("vit256", ("vit256_small_dino", "hipt_vit256"), _FROM, folder="hipt")
_VIT4K = WeightFile("vit4k", ("vit4k_xs_dino", "hipt_vit4k"), _FROM, folder="hipt")
_LICENSE = "Apache-2.0 with Commons Clause; its authors ask for academic use"
# Windows around one on either side that it is summed up among: 15 × 15, about what ViT-4K was trained on.
AROUND = 7
# So many windows' neighbourhoods go through ViT-4K at once; each is 225 short tokens.
_NEIGHBOURHOODS = 32


class HiptLocal(PatchEncoder):
    """ViT-256 alone: sub and rgb, 387 channels, seen within 128 µm."""

    name, license = "hipt-local", _LICENSE
    weights: tuple[WeightFile, ...] = (_VIT256,)
    transform = Transform(256, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    mpp = 0.5
    patch_px = 16
    shape = Shape(width=384, depth=12, heads=6, hidden=1536, given_scale=True)
    first_patch = 1

    def __init__(self) -> None:
        self.width = self.shape.width
        self._lay_windows()

    @property
    def channels(self) -> tuple[str, ...]:
        """`sub_0` … `blue`."""
        return (*(f"sub_{i}" for i in range(self.width)), "red", "green", "blue")

    def build(self) -> nn.Module:
        """See `PatchEncoder.build`."""
        return build(self.shape)

    def _tile(self, rgb: torch.Tensor, inside: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        return self._look(rgb, inside, wanted)[0]

    def _look(self, rgb: torch.Tensor, inside: torch.Tensor, wanted: torch.Tensor) -> tuple[torch.Tensor, Tokens]:
        """(rows, columns, sub and rgb), and the class tokens of the windows."""
        mosaic = Mosaic(self.windows, self.tile_px, self.halo_px, inside, wanted)
        whole = extend_edges(rgb, inside) if inside.any() else rgb
        n = self.windows.patches
        places, classes = [], []
        seen = in_batches(mosaic.windows_to_see(), self.batch, lambda w: mosaic.crop(whole, w), self.tokens)
        for window, tokens in seen:
            mosaic.add(window, tokens[1:].view(n, n, -1))
            places.append((window.row, window.column))
            classes.append(tokens[0].cpu())
        halo = self.halo_px
        core = slice(halo, halo + self.tile_px), slice(halo, halo + self.tile_px)
        block = torch.cat([mosaic.mean(self.width), mean_colour(rgb[core], inside[core], wanted)], dim=-1)
        vectors = torch.stack(classes) if classes else torch.zeros((0, self.width))
        return block, Tokens(np.array(places, dtype=np.int64).reshape(-1, 2), vectors.numpy())


class Hipt(HiptLocal, ContextEncoder):
    """ViT-256 and ViT-4K: cls, sub and rgb, 579 channels, seen within 1 mm."""

    name = "hipt"
    weights = (_VIT256, _VIT4K)
    context_shape = Shape(width=192, depth=6, heads=6, hidden=768, inputs=384, given_scale=True)
    _context_network: nn.Module | None = None
    _blank: torch.Tensor

    def __init__(self) -> None:
        super().__init__()
        self.context_channels = self.context_shape.width

    def _lay_windows(self) -> None:
        super()._lay_windows()
        self.stride_px = self.windows.stride_px
        self.context_px = self.transform.window_px * (AROUND + 1)

    @property
    def channels(self) -> tuple[str, ...]:
        """`cls_0` …, `sub_0` …, `red`, `green`, `blue`."""
        return (*(f"cls_{i}" for i in range(self.context_shape.width)), *super().channels)

    @property
    def reach_px(self) -> int:
        """The last window around a window that covers the superpixel."""
        return self.context_px

    def part(self, key: str, path: Path) -> nn.Module:
        """See `PatchEncoder.part`."""
        return build(self.context_shape if key == "vit4k" else self.shape)

    @torch.inference_mode()
    def load(self, files: Mapping[str, Path], device: str = "cpu") -> None:
        """See `Encoder.load`."""
        super().load(files, device)
        path = files["vit4k"]
        self._context_network = load_network(self.part("vit4k", path), path, self.name, device)
        side = self.transform.window_px
        white = torch.full((1, side, side, 3), 255, dtype=torch.uint8, device=device)
        self._blank = self.tokens(white)[0, 0]

    @torch.inference_mode()
    def encode(
        self, rgb: torch.Tensor, inside: torch.Tensor, state: State, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `ContextEncoder.encode`."""
        return ContextEncoder.encode(self, rgb, inside, state, wanted)

    @torch.inference_mode()
    def encode_with_tokens(
        self, rgb: torch.Tensor, inside: torch.Tensor, wanted: torch.Tensor
    ) -> tuple[torch.Tensor, Tokens]:
        """See `ContextEncoder.encode_with_tokens`."""
        block, tokens = self._look(rgb, inside, wanted)
        empty = torch.zeros((*block.shape[:2], self.context_channels), device=block.device)
        return torch.cat([empty, block], dim=-1), tokens

    @torch.inference_mode()
    def context(self, tokens: Tokens, inside: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        """See `ContextEncoder.context`."""
        assert self._context_network is not None
        mosaic = Mosaic(self.windows, self.tile_px, self.halo_px, inside, wanted)
        windows = mosaic.windows_to_see()
        if windows:
            asked = np.array([(w.row, w.column) for w in windows])
            around = self._neighbourhoods(tokens, asked, inside.device)
            for start in range(0, len(windows), _NEIGHBOURHOODS):
                part = around[start : start + _NEIGHBOURHOODS]
                middle = 1 + (2 * AROUND + 1) * AROUND + AROUND
                said = self._context_network(part.permute(0, 3, 1, 2))[:, middle]
                for window, vector in zip(windows[start:], said, strict=False):
                    mosaic.add(window, vector.view(1, 1, -1))
        return mosaic.mean(self.context_channels)

    def _neighbourhoods(self, tokens: Tokens, asked: IntArray, device: torch.device) -> torch.Tensor:
        """(windows, 15, 15, width): the class tokens of the windows side by side around each that is asked for."""
        apart = self.transform.window_px // self.stride_px  # windows side by side are so many lines apart
        low, high = asked.min(0) - AROUND * apart, asked.max(0) + AROUND * apart + 1
        field = self._blank.expand(*(high - low).tolist(), -1).clone()
        near = ((tokens.place >= low) & (tokens.place < high)).all(1)
        at = torch.from_numpy(tokens.place[near] - low).to(device)
        field[at[:, 0], at[:, 1]] = torch.from_numpy(tokens.vectors[near]).to(device)
        step = torch.arange(-AROUND, AROUND + 1, device=device) * apart
        rows, columns = (torch.from_numpy(asked[:, i] - low[i]).to(device)[:, None] + step for i in (0, 1))
        return field[rows[:, :, None], columns[:, None, :]]


class HiptSmooth(Hipt):
    """The features of `hipt` as iStar and iSCALE train on them: cls and sub averaged over their surroundings.

    Over 17 and 5 superpixels, of tissue only; the original's windows of 16 and 4 shift them by half a superpixel.
    """

    name = "hipt-smooth"
    made_of = "hipt"

    @property
    def smoothing(self) -> tuple[tuple[int, int, int], ...]:  # type: ignore[override]
        """Wide for the context, narrow for the close look; colour is left as it is."""
        context, close = self.context_channels, self.context_channels + self.width
        return ((0, context, 17), (context, close, 5))

    @property
    def reach_px(self) -> int:
        """As `hipt`, from the last superpixel of the widest window."""
        return super().reach_px + 17 // 2 * 16


def mean_colour(rgb: torch.Tensor, inside: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
    """(rows, columns, 3): mean of (h, w, 3) uint8 over superpixels, 0 to 1, of what lies on the slide; NaN where
    nothing is wanted."""
    rows, columns = wanted.shape
    weight = inside[..., None].double()
    sums, pixels = (
        values.view(rows, 16, columns, 16, -1).sum((1, 3)) for values in (rgb.double() / 255 * weight, weight)
    )
    mean = (sums / pixels).float()
    return torch.where(wanted[..., None] & (pixels > 0), mean, torch.full_like(mean, torch.nan))
