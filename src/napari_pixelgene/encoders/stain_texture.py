"""stain_texture: colour, stain and texture statistics in three windows; no weights, the same everywhere.

Twenty-nine numbers (accuracy.md, "Features used") in windows of 1, 5 and 17 superpixels (8, 40 and
136 µm). Each number is derived from sums over superpixels (of values, squares, histogram bins, pixels),
and a window adds the sums of its superpixels, so that what lies past the slide's edge weighs nothing.
Windows are odd, so nothing shifts by half a superpixel. They are counted in superpixels: with work pixels
other than 0.5 µm they cover other distances.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from skimage.filters import threshold_otsu

from napari_pixelgene.encoders.base import Encoder, State
from napari_pixelgene.encoders.windows import extend_edges

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array

WINDOWS = (1, 5, 17)
_SIDE = 16
_GREY_BINS = 16
_LBP_BINS = 10
_NUCLEAR = 0.15  # haematoxylin above which a pixel is a nucleus where there is no tissue to ask
# Optical densities of haematoxylin, eosin and what is left (Ruifrok & Johnston 2001), unit vectors in rows.
_STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
_UNMIX = np.linalg.inv(_STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)).astype(np.float32)
# Linear sRGB to XYZ relative to the D65 white (IEC 61966-2-1).
_XYZ = (
    np.array([[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]])
    / np.array([[0.95047], [1.0], [1.08883]])
).astype(np.float32)
_GREY = np.array([0.2126, 0.7152, 0.0722], dtype=np.float32)
# Clockwise neighbours of a pixel: a local binary pattern is the circle of their comparisons with it.
_CIRCLE = ((0, 0), (0, 1), (0, 2), (1, 2), (2, 2), (2, 1), (2, 0), (1, 0))

_STATISTICS = (
    *(f"{c}_{s}" for s in ("mean", "sd") for c in ("red", "green", "blue")),
    *(f"{c}_{s}" for s in ("mean", "sd") for c in ("haematoxylin", "eosin", "residual")),
    *(f"{c}_mean" for c in ("lightness", "green_red", "blue_yellow")),
    "gradient",
    "log_laplacian_energy",
    "grey_entropy",
    "nuclear_fraction",
    *(f"pattern_{i}" for i in range(_LBP_BINS)),
)


class StainTexture(Encoder):
    """The encoder that needs nothing: 29 channels × 3 windows = 87."""

    name = "stain_texture"
    license = "BSD-3-Clause"
    tile_px = 1024
    halo_px = (max(WINDOWS) // 2 + 1) * _SIDE  # one superpixel more: gradients need a neighbour

    @property
    def channels(self) -> tuple[str, ...]:
        """`nuclear_fraction_17`: the statistic and its window in superpixels."""
        return tuple(f"{name}_{window}" for window in WINDOWS for name in _STATISTICS)

    @property
    def reach_px(self) -> int:
        """Half the widest window."""
        return max(WINDOWS) * _SIDE // 2

    def prepare(self, patches: Sequence[Array]) -> dict[str, Array]:
        """The haematoxylin value that splits nuclei from the rest: Otsu over a sample of tissue."""
        if not patches:
            return {"nuclear_threshold": np.array([_NUCLEAR], dtype=np.float32)}
        values = [_haematoxylin(torch.from_numpy(np.ascontiguousarray(p)))[::3, ::3].flatten() for p in patches]
        threshold = threshold_otsu(torch.cat(values).numpy(), nbins=512)
        return {"nuclear_threshold": np.array([threshold], dtype=np.float32)}

    @torch.inference_mode()
    def encode(
        self, rgb: torch.Tensor, inside: torch.Tensor, state: State, wanted: torch.Tensor | None = None
    ) -> torch.Tensor:
        """See `Encoder.encode`; one tile at a time keeps the memory of a batch that of a tile."""
        threshold = float(np.asarray(state["nuclear_threshold"]).ravel()[0])
        margin = self.halo_px // _SIDE
        return torch.stack([_encode_tile(t, i, threshold, margin) for t, i in zip(rgb, inside, strict=True)])


def _encode_tile(rgb: torch.Tensor, inside: torch.Tensor, threshold: float, margin: int) -> torch.Tensor:
    sums = _superpixel_sums(extend_edges(rgb, inside), inside, threshold)  # (rows, columns, sums), halo included
    reach = max(WINDOWS) // 2
    cut = margin - reach
    sums = sums[cut : sums.shape[0] - cut, cut : sums.shape[1] - cut]
    return torch.cat([_statistics(_window_sums(sums, w, reach)) for w in WINDOWS], dim=-1)


def _haematoxylin(rgb: torch.Tensor) -> torch.Tensor:
    return _density(rgb.float()) @ torch.from_numpy(_UNMIX[:, 0]).to(rgb.device)


def _density(rgb: torch.Tensor) -> torch.Tensor:
    """Optical density of 8-bit values."""
    return -torch.log10((rgb + 1.0) / 256.0)


def _lab(rgb01: torch.Tensor) -> torch.Tensor:
    """CIE L*a*b* / 100 of sRGB values (..., 3) in [0, 1]."""
    linear = torch.where(rgb01 <= 0.04045, rgb01 / 12.92, ((rgb01 + 0.055) / 1.055) ** 2.4)
    xyz = linear @ torch.from_numpy(_XYZ.T.copy()).to(rgb01.device)
    f = torch.where(xyz > 0.008856, xyz.clamp_min(1e-8) ** (1 / 3), 7.787 * xyz + 16 / 116)
    x, y, z = f.unbind(-1)
    return torch.stack([1.16 * y - 0.16, 5 * (x - y), 2 * (y - z)], dim=-1)


def _superpixel_sums(rgb: torch.Tensor, inside: torch.Tensor, threshold: float) -> torch.Tensor:
    """(rows, columns, sums) float64: pixels, then what `_statistics` unpacks, in that order."""
    weight = inside.float()[..., None]
    rgb01 = rgb.float() / 255.0
    stains = _density(rgb.float()) @ torch.from_numpy(_UNMIX).to(rgb.device)
    grey = rgb01 @ torch.from_numpy(_GREY).to(rgb.device)
    gradient, laplacian = _edges(grey)
    nuclear = (stains[..., 0] > threshold).float()
    single = torch.stack([gradient, laplacian**2, nuclear], dim=-1)
    pixels = _block_sum(weight)
    binned = [
        _histogram((grey * (_GREY_BINS - 1e-4)).to(torch.uint8), inside, _GREY_BINS),
        _histogram(_patterns(grey), inside, _LBP_BINS),
    ]
    moments = [m for values in (rgb01, stains) for m in _moments(values, weight, pixels)]
    return torch.cat([pixels, *moments, _block_sum(torch.cat([_lab(rgb01), single], -1) * weight), *binned], dim=-1)


def _moments(values: torch.Tensor, weight: torch.Tensor, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Sums of values and of squares; the squares are taken about each superpixel's own mean and moved to 0 in
    float64, or a spread near 0 would drown in rounding."""
    total = _block_sum(values * weight)
    mean = (total / pixels.clamp_min(1.0)).float()
    away = _blocks(values) - mean[:, None, :, None]
    squares = (away * away * _blocks(weight)).sum(3).sum(1).double()
    m, moved = mean.double(), total - mean.double() * pixels
    return total, squares + 2 * m * moved + m * m * pixels


def _edges(grey: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Scharr gradient magnitude and 4-neighbour Laplacian, (h, w) each; the edge pixel repeats."""
    p = F.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    up, mid, down = p[:-2], p[1:-1], p[2:]
    across = (3 * up + 10 * mid + 3 * down) / 16
    dx = (across[:, 2:] - across[:, :-2]) / 2
    fall = down - up
    dy = (3 * fall[:, :-2] + 10 * fall[:, 1:-1] + 3 * fall[:, 2:]) / 32
    laplacian = up[:, 1:-1] + down[:, 1:-1] + mid[:, :-2] + mid[:, 2:] - 4 * mid[:, 1:-1]
    return torch.sqrt(dx * dx + dy * dy), laplacian


def _patterns(grey: torch.Tensor) -> torch.Tensor:
    """Uniform local binary pattern (8 neighbours): ones on the circle 0–8, or 9 where it changes more than twice."""
    p = F.pad(grey[None, None], (1, 1, 1, 1), mode="replicate")[0, 0]
    height, width = grey.shape
    bits = [(p[r : r + height, c : c + width] >= grey).to(torch.uint8) for r, c in _CIRCLE]
    ones = sum(bits[1:], bits[0].clone())
    changes = sum((a ^ b for a, b in zip(bits[1:], bits[:-1], strict=True)), bits[0] ^ bits[-1])
    return torch.where(changes <= 2, ones, torch.full_like(ones, 9))


def _histogram(codes: torch.Tensor, inside: torch.Tensor, bins: int) -> torch.Tensor:
    """Pixels of each code in each superpixel, (rows, columns, bins) float64."""
    rows, columns = codes.shape[0] // _SIDE, codes.shape[1] // _SIDE
    codes = torch.where(inside, codes, torch.full_like(codes, bins))
    blocks = codes.view(rows, _SIDE, columns, _SIDE).permute(0, 2, 1, 3).reshape(rows, columns, -1)
    return torch.stack([(blocks == b).sum(-1) for b in range(bins)], dim=-1).double()


def _blocks(values: torch.Tensor) -> torch.Tensor:
    """(h, w, c) as (rows, 16, columns, 16, c)."""
    return values.view(values.shape[0] // _SIDE, _SIDE, values.shape[1] // _SIDE, _SIDE, -1)


def _block_sum(values: torch.Tensor) -> torch.Tensor:
    """Sums of (h, w, c) over superpixels, (rows, columns, c) float64."""
    return _blocks(values).sum(3).sum(1).double()


def _window_sums(sums: torch.Tensor, window: int, reach: int) -> torch.Tensor:
    """Add a window's superpixels; always in the same order, so that no tiling changes a bit."""
    cut = reach - window // 2
    s = sums[cut : sums.shape[0] - cut, cut : sums.shape[1] - cut] if cut else sums
    rows, columns = s.shape[0] - window + 1, s.shape[1] - window + 1
    down = s[:rows].clone()
    for k in range(1, window):
        down += s[k : k + rows]
    out = down[:, :columns].clone()
    for k in range(1, window):
        out += down[:, k : k + columns]
    return out


def _statistics(sums: torch.Tensor) -> torch.Tensor:
    """The 29 numbers of `_STATISTICS` from a window's sums."""
    means = sums / sums[..., :1].clamp_min(1.0)
    rgb, rgb2, stains, stains2, lab = (means[..., 1 + 3 * i : 4 + 3 * i] for i in range(5))
    gradient, energy, nuclear = (means[..., i : i + 1] for i in (16, 17, 18))
    grey, patterns = means[..., 19 : 19 + _GREY_BINS], means[..., 19 + _GREY_BINS :]
    entropy = -(grey * torch.log2(grey.clamp_min(1e-9))).sum(-1, keepdim=True)
    spread, stain_spread = ((sq - m * m).clamp_min(0).sqrt() for m, sq in ((rgb, rgb2), (stains, stains2)))
    log_energy = torch.log(energy + 1e-6)
    parts = [rgb, spread, stains, stain_spread, lab, gradient, log_energy, entropy, nuclear, patterns]
    return torch.cat(parts, dim=-1).float()
