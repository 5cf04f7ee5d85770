"""Small transformers as encoders, and a slide in memory that any encoder is run over as the pipeline does it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import save_file
from scipy import ndimage

from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.encoders.base import ContextEncoder, Encoder
from napari_pixelgene.encoders.hipt import Hipt, HiptLocal, HiptSmooth
from napari_pixelgene.encoders.network import build
from napari_pixelgene.encoders.patches import PatchEncoder, Transform
from napari_pixelgene.encoders.vit import GigaPath, Uni, Uni2h, Virchow2
from napari_pixelgene.stages.features import encode_tiles, look_around


def small(shape: Any, width: int = 24, depth: int = 1, heads: int = 3, hidden: int = 32) -> Any:
    """The same kind of network, a thousandth in size."""
    inputs = 24 if shape.inputs else 0
    return replace(shape, width=width, depth=depth, heads=heads, hidden=hidden, inputs=inputs)


class TinyUni(Uni):
    name, shape = "tiny-uni", small(Uni.shape)


class TinyUni2h(Uni2h):
    name, shape = "tiny-uni2-h", small(Uni2h.shape)


class TinyVirchow2(Virchow2):
    name, shape = "tiny-virchow2", small(Virchow2.shape)


class TinyGigaPath(GigaPath):
    name, shape = "tiny-gigapath", small(GigaPath.shape)


class TinyHiptLocal(HiptLocal):
    name, shape = "tiny-hipt-local", small(HiptLocal.shape)


class TinyHipt(Hipt):
    name, shape = "tiny-hipt", small(Hipt.shape)
    context_shape = small(Hipt.context_shape, width=12, hidden=24)


class TinyHiptSmooth(HiptSmooth):
    name, made_of, shape, context_shape = "tiny-hipt-smooth", "tiny-hipt", TinyHipt.shape, TinyHipt.context_shape


PUBLISHED = (TinyUni, TinyUni2h, TinyVirchow2, TinyGigaPath)
ALL = (*PUBLISHED, TinyHiptLocal, TinyHipt)


def made_state(shape: Any, seed: int = 0) -> dict[str, torch.Tensor]:
    """Numbers for every array of a network, alive enough that every pixel matters."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(value.shape, generator=generator) * 0.3 + ("norm" in name and name.endswith("weight"))
        for name, value in build(shape).state_dict().items()
    }


def write_weights(encoder: Encoder, folder: Path, seed: int = 0) -> dict[str, Path]:
    """Files of weights for a tiny encoder, by key, under the first name that each is known by."""
    folder.mkdir(parents=True, exist_ok=True)
    shapes = {"weights": encoder, "vit256": encoder, "vit4k": encoder}
    out = {}
    for file in encoder.weights:
        owner: Any = shapes[file.key]
        shape = owner.context_shape if file.key == "vit4k" else owner.shape
        out[file.key] = folder / f"{file.stems[0]}.safetensors"
        save_file(made_state(shape, seed), out[file.key])
    return out


class Told(PatchEncoder):
    """Windows whose tokens are told by a function of their pixels (n, side, side, 3) float: (n, patches², d)."""

    name, license = "told", "none"
    first_patch = 0

    def __init__(self, function: Any, patch_px: int, side_px: int = 224, width: int = 1, shifts: int = 2) -> None:
        self.function, self.patch_px, self.width = function, patch_px, width
        self.transform = Transform(side_px)
        self.configure(5, shifts)
        self.seen = 0

    def build(self) -> Any:
        raise NotImplementedError

    def tokens(self, rgb: torch.Tensor) -> torch.Tensor:
        self.seen += len(rgb)
        out: torch.Tensor = self.function(rgb.float())
        return out


def patch_means(patch: int) -> Any:
    """A function for `Told`: the mean of every patch's red."""

    def means(rgb: torch.Tensor) -> torch.Tensor:
        n, side = rgb.shape[:2]
        k = side // patch
        return rgb[..., 0].view(n, k, patch, k, patch).mean((2, 4)).view(n, k * k, 1)

    return means


def noise(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    """Work pixels (rows, columns, 3) that differ everywhere."""
    values = np.random.default_rng(seed).normal(size=(rows, columns, 3)).astype(np.float32)
    return np.clip(150 + 260 * ndimage.gaussian_filter(values, (2, 2, 0)), 0, 255).astype(np.uint8)


class Kept:
    """A sink in memory, also for encoders that look twice."""

    def __init__(self, yx_shape: tuple[int, int], channels: int) -> None:
        self.array = np.full((*yx_shape, channels), np.nan, np.float32)
        self.written: set[Any] = set()
        self.kept: dict[tuple[int, int], tuple[np.ndarray, np.ndarray]] = {}

    def done(self, index: tuple[int, int]) -> bool:
        return index in self.written

    def write(self, tile: Tile, block: np.ndarray) -> None:
        self.array[tile.region] = block
        self.written.add(tile.index)

    def keep_tokens(self, index: tuple[int, int], place: np.ndarray, vectors: np.ndarray) -> None:
        self.kept[index] = place, vectors

    def tokens(self, index: tuple[int, int]) -> tuple[np.ndarray, np.ndarray] | None:
        return self.kept.get(index)

    def has_context(self, index: tuple[int, int]) -> bool:
        return ("context", index) in self.written

    def write_context(self, tile: Tile, block: np.ndarray) -> None:
        self.array[(*tile.region, slice(0, block.shape[2]))] = block
        self.written.add(("context", tile.index))


def run(encoder: Encoder, pixels: np.ndarray, mask: np.ndarray | None = None) -> np.ndarray:
    """(rows, columns, channels) of a slide of work pixels, as the pipeline makes them."""
    grid = Grid.of_image(Image((pixels,), mpp=0.5))
    tissue = Tissue(np.ones(grid.yx_shape, bool) if mask is None else mask)
    sink = Kept(grid.yx_shape, len(encoder.channels))
    encode_tiles(Image((pixels,), mpp=0.5), grid, tissue, encoder, {}, sink)
    if isinstance(encoder, ContextEncoder):
        look_around(grid, tissue, encoder, sink)
    return sink.array
