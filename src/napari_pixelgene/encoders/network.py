"""One vision transformer for all members: pre-norm blocks, a class token, perhaps register tokens.

Parameters have the names of DINO, DINOv2 and timm, which published weights use (`blocks.0.attn.qkv.weight`). Attention
is the fused one of torch: its memory grows with the tokens, not with their square, and its softmax does not overflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

_EPSILON = 1e-6


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a vision transformer."""

    width: int
    depth: int
    heads: int
    hidden: int  # rows of mlp.fc1
    patch: int = 16
    grid: int = 14  # side of the table of positions
    gated: bool = False  # SwiGLU: one half of `hidden` opens the other
    scaled: bool = False  # LayerScale
    registers: int = 0
    placed: int = 1  # tokens before the patches that have a position: class token and registers
    inputs: int = 0  # numbers of a token where tokens come in instead of pixels
    given_scale: bool = False  # DINO's resizing of positions: by (n + 0.1) / grid, not by n / grid


class VisionTransformer(nn.Module):
    """Pixels (n, 3, h, w), or tokens (n, inputs, rows, columns), to tokens (n, 1 + registers + patches, width).

    The class token is first, then the registers, then patches row by row.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.width))
        if shape.registers:
            self.reg_token = nn.Parameter(torch.zeros(1, shape.registers, shape.width))
        self.pos_embed = nn.Parameter(torch.zeros(1, shape.placed + shape.grid**2, shape.width))
        if shape.inputs:
            self.phi = nn.Sequential(nn.Linear(shape.inputs, shape.width), nn.GELU())
        else:
            self.patch_embed = _PatchEmbed(shape)
        self.blocks = nn.ModuleList(_Block(shape) for _ in range(shape.depth))
        self.norm = nn.LayerNorm(shape.width, eps=_EPSILON)

    @property
    def first_patch(self) -> int:
        """Tokens before the patches."""
        return 1 + self.shape.registers

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.shape.inputs:
            rows, columns = x.shape[-2:]
            patches = self.phi(x.flatten(2).transpose(1, 2))
        else:
            rows, columns = (side // self.shape.patch for side in x.shape[-2:])
            patches = self.patch_embed(x)
        tokens = self._with_positions(patches, rows, columns)
        for block in self.blocks:
            tokens = block(tokens)
        out: torch.Tensor = self.norm(tokens)
        return out

    def positions(self, rows: int, columns: int) -> torch.Tensor:
        """(1, placed + rows × columns, width): the table, resized bicubically where the grid is another."""
        placed, grid = self.shape.placed, self.shape.grid
        if (rows, columns) == (grid, grid):
            return self.pos_embed
        table = self.pos_embed[:, placed:].reshape(1, grid, grid, -1).permute(0, 3, 1, 2)
        if self.shape.given_scale:
            scale = ((rows + 0.1) / grid, (columns + 0.1) / grid)
            resized = F.interpolate(table, scale_factor=scale, mode="bicubic")
        else:
            resized = F.interpolate(table, size=(rows, columns), mode="bicubic", antialias=True)
        flat = resized.permute(0, 2, 3, 1).reshape(1, rows * columns, -1)
        return torch.cat([self.pos_embed[:, :placed], flat], dim=1)

    def _with_positions(self, patches: torch.Tensor, rows: int, columns: int) -> torch.Tensor:
        n = len(patches)
        before = [self.cls_token.expand(n, -1, -1)]
        if self.shape.registers:
            before.append(self.reg_token.expand(n, -1, -1))
        positions = self.positions(rows, columns)
        together = self.shape.placed
        if together == self.first_patch:
            return torch.cat([*before, patches], dim=1) + positions
        # Registers, or all tokens before the patches, have no position: they are put in front afterwards.
        placed = torch.cat([*before[:together], patches], dim=1) + positions
        return torch.cat([placed[:, :together], *before[together:], placed[:, together:]], dim=1)


class _PatchEmbed(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, shape.width, shape.patch, shape.patch)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = self.proj(x).flatten(2).transpose(1, 2)
        return out


class _Block(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(shape.width, eps=_EPSILON)
        self.attn = _Attention(shape)
        self.ls1 = _Scale(shape.width) if shape.scaled else nn.Identity()
        self.norm2 = nn.LayerNorm(shape.width, eps=_EPSILON)
        self.mlp = _Perceptron(shape)
        self.ls2 = _Scale(shape.width) if shape.scaled else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.ls1(self.attn(self.norm1(x)))
        out: torch.Tensor = x + self.ls2(self.mlp(self.norm2(x)))
        return out


class _Attention(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.qkv = nn.Linear(shape.width, 3 * shape.width)
        self.proj = nn.Linear(shape.width, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, tokens, width = x.shape
        q, k, v = self.qkv(x).view(n, tokens, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = F.scaled_dot_product_attention(q, k, v)
        out: torch.Tensor = self.proj(mixed.transpose(1, 2).reshape(n, tokens, width))
        return out


class _Perceptron(nn.Module):
    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.is_gated = shape.gated
        self.fc1 = nn.Linear(shape.width, shape.hidden)
        self.fc2 = nn.Linear(shape.hidden // 2 if shape.gated else shape.hidden, shape.width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        hidden = self.fc1(x)
        if self.is_gated:
            gate, values = hidden.chunk(2, dim=-1)
            hidden = F.silu(gate) * values
        else:
            hidden = F.gelu(hidden)
        out: torch.Tensor = self.fc2(hidden)
        return out


class _Scale(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.gamma


def build(shape: Shape) -> VisionTransformer:
    """The network without memory for its numbers, until weights are put in."""
    with torch.device("meta"):
        return VisionTransformer(shape).eval()


def normalised(rgb: torch.Tensor, mean: tuple[float, ...], sd: tuple[float, ...]) -> torch.Tensor:
    """(n, h, w, 3) uint8 as (n, 3, h, w) float32: red, green, blue in [0, 1], less `mean`, by `sd`."""
    kind: dict[str, Any] = {"device": rgb.device, "dtype": torch.float32}
    values = (rgb.float() / 255.0 - torch.tensor(mean, **kind)) / torch.tensor(sd, **kind)
    return values.permute(0, 3, 1, 2)
