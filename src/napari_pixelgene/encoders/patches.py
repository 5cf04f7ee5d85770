"""What all vision transformers share as encoders: patch tokens on the superpixels, class tokens for points."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from napari_pixelgene.encoders.base import Encoder, State
from napari_pixelgene.encoders.network import normalised
from napari_pixelgene.encoders.weights import fit_state, load_network, read_state
from napari_pixelgene.encoders.windows import Mosaic, Windows, extend_edges, in_batches
from napari_pixelgene.errors import StoreError

if TYPE_CHECKING:
    from torch import nn

IMAGENET_MEAN, IMAGENET_SD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class Transform:
    """How a network wants its pixels: red, green, blue in [0, 1], less `mean`, divided by `sd`; a square window."""

    window_px: int = 224
    mean: tuple[float, ...] = IMAGENET_MEAN
    sd: tuple[float, ...] = IMAGENET_SD


class PatchEncoder(Encoder):
    """Windows through a vision transformer; a superpixel is the mean of the patches over it (`windows.Mosaic`).

    A member says `transform`, `patch_px`, `width` and gives its network; `tile_px` and `halo_px` follow.
    """

    transform: Transform
    patch_px: int
    width: int
    dtype = "float16"  # the last step of such a network is a LayerNorm: values are small, and many
    has_windows = True
    batch = 16
    shifts = 2
    _network: nn.Module | None = None

    def configure(self, batch: int, shifts: int) -> None:
        """Take over the windows in one pass, and how many see each place along an axis."""
        self.batch, self.shifts = batch, shifts
        self._lay_windows()

    def _lay_windows(self) -> None:
        self.windows = Windows.plan(self.transform.window_px, self.patch_px, self.shifts)
        self.tile_px, self.halo_px = self.windows.tile_px, self.windows.halo_px
        self.point_px = self.transform.window_px

    @property
    def channels(self) -> tuple[str, ...]:
        """`token_0` and on."""
        return tuple(f"token_{i}" for i in range(self.width))

    @property
    def reach_px(self) -> int:
        """A patch at the edge of a window sees all of it."""
        return self.transform.window_px

    @property
    def point_channels(self) -> int:
        """The class token."""
        return self.width

    def load(self, files: Mapping[str, Path], device: str = "cpu") -> None:
        """See `Encoder.load`."""
        key = self.weights[0].key
        self._network = load_network(self.part(key, files[key]), files[key], self.name, device)

    def check(self, files: Mapping[str, Path]) -> None:
        """See `Encoder.check`."""
        for key, path in files.items():
            fit_state(self.part(key, path), read_state(path), path, self.name)

    def part(self, key: str, path: Path) -> nn.Module:
        """The network, without numbers, that the file of a key is for."""
        return self.build()

    @abstractmethod
    def build(self) -> nn.Module:
        """The network, without numbers: (n, 3, h, w) to tokens (n, first_patch + patches, width)."""

    @property
    @abstractmethod
    def first_patch(self) -> int:
        """Tokens before the patches."""

    @torch.inference_mode()
    def encode(
        self, rgb: torch.Tensor, inside: torch.Tensor, state: State, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `Encoder.encode`."""
        side = self.tile_px // 16
        everywhere = torch.ones((len(rgb), side, side), dtype=torch.bool, device=rgb.device)
        asked = everywhere if wanted is None else wanted
        return torch.stack([self._tile(*tile) for tile in zip(rgb, inside, asked, strict=True)])

    def _tile(self, rgb: torch.Tensor, inside: torch.Tensor, wanted: torch.Tensor) -> torch.Tensor:
        mosaic = Mosaic(self.windows, self.tile_px, self.halo_px, inside, wanted)
        whole = extend_edges(rgb, inside) if inside.any() else rgb
        n, first = self.windows.patches, self.first_patch
        seen = in_batches(mosaic.windows_to_see(), self.batch, lambda w: mosaic.crop(whole, w), self.tokens)
        for window, tokens in seen:
            mosaic.add(window, tokens[first:].view(n, n, -1))
        return mosaic.mean(self.width)

    @torch.inference_mode()
    def encode_points(self, rgb: torch.Tensor) -> torch.Tensor:
        """See `Encoder.encode_points`."""
        if not len(rgb):
            return torch.zeros((0, self.point_channels), device=rgb.device)
        return torch.cat([self.point_vector(self.tokens(part)) for part in torch.split(rgb, self.batch)])

    def point_vector(self, tokens: torch.Tensor) -> torch.Tensor:
        """What stands for a window as a whole: its class token, (n, tokens, width) to (n, width)."""
        return tokens[:, 0]

    def tokens(self, rgb: torch.Tensor) -> torch.Tensor:
        """All tokens of windows (n, side, side, 3) uint8. Raises StoreError before `load`."""
        if self._network is None:
            raise StoreError(f"The weights of '{self.name}' are not loaded.", "Call load with its files first.")
        out: torch.Tensor = self._network(normalised(rgb, self.transform.mean, self.transform.sd))
        return out
