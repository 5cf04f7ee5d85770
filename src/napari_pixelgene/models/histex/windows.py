"""Windows of superpixels: around units, to learn from, and over a tile, to predict.

Over a tile windows lie on the slide's own lattice, a stride apart, whatever the tile; what they say of a superpixel is
averaged, the more the nearer it is to their middle. With a stride of half a window these weights add up to 1
everywhere, so that no window's edge is seen (the published blocks lie side by side, specs/histex.md section 9).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from napari_pixelgene.arithmetic.pooling import lattice_places
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.histex.settings import WIDEST

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
    from napari_pixelgene.models.base import TrainingData, TrainingSection, View
    from napari_pixelgene.models.histex.settings import HistexSettings

# The published side, in superpixels.
LEAST = 7


@dataclass(frozen=True, slots=True)
class UnitWindows:
    """The superpixels around every unit, on the device that trains.

    `features` (superpixels + 1, channels), the last row zeros; `tokens` (units, side²) rows of it, -1 where a window
    has no tissue; `inside` (units, side²): those that the unit covers. `mean` and `sd` (channels,) were taken off.
    """

    features: torch.Tensor
    tokens: IntArray
    inside: BoolArray
    side: int
    mean: FloatArray
    sd: FloatArray

    @property
    def unit_size(self) -> float:
        """Superpixels in a unit, on average."""
        return float(self.inside.sum(1).mean())

    def sample(
        self, units: IntArray, most: int, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features (units, T, channels), which exist (units, T), and weights (units, T) of those that the unit covers.

        At most `most` tokens of each window, drawn at random, one of them at least under the unit; weights sum to 1.
        """
        tokens, inside = self.tokens[units], self.inside[units]
        keys = rng.random(tokens.shape)
        first = np.where(inside, keys, 2.0).argmin(1)
        keys[tokens < 0] = 2.0
        keys[np.arange(len(units)), first] = -1.0
        drawn = np.argsort(keys, axis=1, kind="stable")[:, :most]
        return self._taken(np.take_along_axis(tokens, drawn, 1), np.take_along_axis(inside, drawn, 1))

    def whole(self, units: IntArray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """The same of all tokens, in order; those that do not exist are zeros."""
        return self._taken(self.tokens[units], self.inside[units])

    def _taken(self, tokens: IntArray, inside: BoolArray) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        device, dtype = self.features.device, self.features.dtype
        weight = inside / np.maximum(inside.sum(1, keepdims=True), 1)
        return (
            self.features[torch.from_numpy(tokens).to(device)],
            torch.from_numpy(tokens >= 0).to(device),
            torch.from_numpy(weight).to(device, dtype),
        )


def unit_windows(data: TrainingData, side: int, standardise: bool = True) -> UnitWindows:
    """Windows of `side` around all units (0: as wide as they are); channels z-scored over what units cover.

    Raises InputError where units are wider than the window.
    """
    side = _side(data, side)
    mean, sd = np.zeros(len(data.channels)), np.ones(len(data.channels))
    if standardise:
        covered = np.concatenate([s.features[np.unique(s.pooling.indices)] for s in data.sections])
        mean, sd = covered.mean(0, dtype=np.float64), covered.std(0, dtype=np.float64)
        sd[sd < 1e-8] = 1.0
    dtype = data.sections[0].features.dtype
    features = [((s.features - mean) / sd).astype(dtype) for s in data.sections]
    features.append(np.zeros((1, len(mean)), dtype=dtype))
    tokens, inside, start = [], [], 0
    for section in data.sections:
        place, held = _windows_of(section, side)
        tokens.append(np.where(place >= 0, place + start, -1))
        inside.append(held)
        start += len(section.features)
    return UnitWindows(
        torch.from_numpy(np.concatenate(features)).to(data.device), np.concatenate(tokens), np.concatenate(inside),
        side, mean, sd,
    )  # fmt: skip


def joined_um(settings: HistexSettings, superpixel_um: float) -> float:
    """How wide units may be joined (µm) so that a window holds them, wherever in its square a unit's middle lies."""
    return (settings.widest + 1) // 2 * superpixel_um


def _side(data: TrainingData, asked: int) -> int:
    placed = [s for s in data.sections if len(s.row_column)]
    cover = 2 * max((int(np.abs(_offsets(s)[1]).max(initial=0)) for s in placed), default=0) + 1
    side = asked or max(LEAST, cover)
    if cover > side or (not asked and side > WIDEST):
        raise InputError(
            f"The units are up to {cover} superpixels wide, HISTEX's windows {min(side, WIDEST)}.",
            f"Choose wider windows: --set window={cover}.",
        )
    return side


def _offsets(section: TrainingSection) -> tuple[IntArray, IntArray]:
    """The unit of each superpixel under one, and its rows and columns (…, 2) from the superpixel of the centre."""
    unit = np.repeat(np.arange(len(section)), np.diff(section.pooling.indptr))
    centre = lattice_places(section.xy_um, section.superpixel_um).astype(np.int64)
    return unit, section.row_column[section.pooling.indices] - centre[unit]


def _windows_of(section: TrainingSection, side: int) -> tuple[IntArray, BoolArray]:
    """Tokens (units, side²), -1 for none, and which of them the unit covers."""
    if not len(section.row_column):
        return _covered_only(section, side)
    place, centre = section.row_column, lattice_places(section.xy_um, section.superpixel_um).astype(np.int64)
    half = side // 2
    low = np.minimum(place.min(0), centre.min(0)) - half
    table = np.full(np.maximum(place.max(0), centre.max(0)) + half + 1 - low, -1, dtype=np.int64)
    table[tuple((place - low).T)] = np.arange(len(place))
    steps = np.stack(np.meshgrid(*2 * [np.arange(-half, half + 1)], indexing="ij"), axis=-1).reshape(-1, 2)
    rows, columns = np.moveaxis(centre[:, None] + steps - low, -1, 0)
    inside = np.zeros((len(section), side * side), dtype=bool)
    unit, offset = _offsets(section)
    inside[unit, (offset[:, 0] + half) * side + offset[:, 1] + half] = True
    return table[rows, columns], inside


def _covered_only(section: TrainingSection, side: int) -> tuple[IntArray, BoolArray]:
    """Where superpixels have no place: the footprint alone."""
    size = section.pooling.getnnz(axis=1)
    tokens = np.full((len(section), max(side * side, int(size.max(initial=1)))), -1, dtype=np.int64)
    inside = np.arange(tokens.shape[1]) < size[:, None]
    tokens[inside] = section.pooling.indices
    return tokens, inside


# Over a tile


@dataclass(frozen=True, slots=True)
class Sliding:
    """The windows of a tile.

    `features` (superpixels, channels) of the tile with its surroundings, 0 where there is no tissue; `tokens` (windows,
    side²) rows of it, -1 where there is none; `centres_um` (windows, 2), None where superpixels have no place. `asked`
    are the rows that are the tile's own, `yx_shape` its shape. `blend` (asked, windows · side²), rows of which sum to 1
    on tissue: how what windows say of a superpixel is averaged.
    """

    features: FloatArray
    tokens: IntArray
    centres_um: FloatArray | None
    asked: IntArray
    yx_shape: tuple[int, ...]
    blend: sparse.csc_matrix

    def chunks(self, most: int) -> Iterator[slice]:
        """Runs of windows with at most `most` tokens."""
        step = max(1, most // self.tokens.shape[1])
        return (slice(i, min(i + step, len(self.tokens))) for i in range(0, len(self.tokens), step))

    def blended(self, parts: Iterable[tuple[slice, FloatArray]], width: int) -> FloatArray:
        """(asked, width) of what windows say, (windows, side², width) a part."""
        total = np.zeros((len(self.asked), width), dtype=self.features.dtype)
        side2 = self.tokens.shape[1]
        for some, values in parts:
            total += self.blend[:, some.start * side2 : some.stop * side2] @ values.reshape(-1, width)
        return total


def sliding_windows(view: View, side: int, published: bool = False) -> Sliding:
    """Windows of `side` over the tile of a view; published: side by side, with the published rounded middles.

    A view that is a list of superpixels is one window for each.
    """
    if view.features.ndim == 2:
        alone = np.arange(len(view.features))
        blend = sparse.identity(len(alone), view.features.dtype, format="csc")
        return Sliding(view.features, alone[:, None], view.xy_um, alone, alone.shape, blend)
    stride = side if published else (side + 1) // 2
    crop = max(view.halo - (side - 1), 0)
    features = view.features[crop : view.features.shape[0] - crop, crop : view.features.shape[1] - crop]
    halo, shape = view.halo - crop, features.shape[:2]
    exists = np.asarray(np.isfinite(features).all(axis=-1))
    rows = np.arange(exists.size).reshape(shape)
    asked = rows[halo : shape[0] - halo, halo : shape[1] - halo]
    first, um = _origin(view, crop)
    starts = [_starts(first[axis], halo, shape[axis], side, stride) for axis in (0, 1)]
    tokens, corners = _tokens(np.where(exists, rows, -1), asked.ravel(), starts, side)
    middle = np.round(corners + first + side / 2) if published else corners + first + side // 2
    weights = np.ones(side * side) if published else _tent(side)
    flat = np.where(exists[..., None], features, 0).reshape(exists.size, -1)
    blend = _blend(tokens, weights, asked.ravel(), exists.size).astype(flat.dtype)
    return Sliding(flat, tokens, (middle[:, ::-1] + 0.5) * um, asked.ravel(), asked.shape, blend)


def _blend(tokens: IntArray, weights: FloatArray, asked: IntArray, size: int) -> sparse.csc_matrix:
    """See `Sliding`."""
    there = np.flatnonzero(tokens.ravel() >= 0)
    value = np.broadcast_to(weights, tokens.shape).ravel()[there]
    whole = sparse.csr_matrix((value, (tokens.ravel()[there], there)), shape=(size, tokens.size))[asked]
    total = np.asarray(whole.sum(axis=1)).ravel()
    scale = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    return sparse.csc_matrix(sparse.diags(scale) @ whole)


def _origin(view: View, crop: int) -> tuple[IntArray, float]:
    """The row and column in the slide's lattice of the first superpixel that is seen, and their side."""
    assert view.xy_um is not None  # a view with a halo has positions
    xy = view.xy_um
    step = xy[1, 0, 1] - xy[0, 0, 1] if len(xy) > 1 else xy[0, 1, 0] - xy[0, 0, 0]
    return np.round(xy[crop, crop, ::-1] / step - 0.5).astype(np.int64), float(step)


def _starts(first: int, halo: int, size: int, side: int, stride: int) -> IntArray:
    """Where windows begin, in rows of what is seen, that hold a row of the tile and are seen whole."""
    low, high = first + halo - (side - 1), first + size - halo - 1
    begin = np.arange(-(-low // stride), high // stride + 1) * stride - first
    return begin[(begin >= -(side - 1)) & (begin < size)]


def _tokens(place: IntArray, asked: IntArray, starts: list[IntArray], side: int) -> tuple[IntArray, IntArray]:
    """Tokens (windows, side²) of the windows that hold tissue of the tile, and their corners (row, column); `place` is
    each superpixel's row, -1 off the tissue."""
    padded = np.pad(place, side - 1, constant_values=-1)
    corners = np.stack(np.meshgrid(*starts, indexing="ij"), axis=-1).reshape(-1, 2)
    steps = np.arange(side) + side - 1
    rows, columns = corners[:, 0, None, None] + steps[:, None], corners[:, 1, None, None] + steps[None, :]
    tokens = padded[rows, columns].reshape(len(corners), -1)
    mine = np.zeros(place.size + 1, dtype=bool)
    mine[asked] = True
    keep = mine[tokens].any(1)
    return tokens[keep], corners[keep]


def _tent(side: int) -> FloatArray:
    """(side²,) weights that fall to the edge; half a window apart they add up to 1."""
    half = side // 2
    line = 1 - np.abs(np.arange(-half, half + 1)) / (half + 1)
    return np.asarray(np.outer(line, line).ravel())
