"""The pairs a person clicks: a value without a window.

Pair i shows one spot of tissue in both images. At most one pair is half: a point in one image that waits for its
partner; it comes last, so that the numbers of the table are those of `stages.registration`'s sentences.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from napari_pixelgene.elements.alignment import Frame, Keypoints

Side = Literal["moving", "fixed"]
Point = tuple[float, float]


def other(side: Side) -> Side:
    """The image across."""
    return "fixed" if side == "moving" else "moving"


@dataclass(frozen=True, slots=True)
class Pair:
    """One spot (x, y) in the moving image's frame and in H&E pixels; `enabled` says whether it counts."""

    moving: Point
    fixed: Point
    enabled: bool = True

    def at(self, side: Side) -> Point:
        """The point in one image."""
        return self.moving if side == "moving" else self.fixed


@dataclass(frozen=True, slots=True)
class Half:
    """A point whose partner has not been clicked yet."""

    side: Side
    point: Point


@dataclass(frozen=True, slots=True)
class Pairs:
    """All pairs in the order of their numbers, the half one, and which is selected (0 is number 1)."""

    pairs: tuple[Pair, ...] = ()
    half: Half | None = None
    selected: int | None = None

    def __len__(self) -> int:
        return len(self.pairs)

    def clicked(self, side: Side, point: Point) -> Pairs:
        """A click in one image: begins a half pair, moves it, or completes it."""
        if self.half is None or self.half.side == side:
            return replace(self, half=Half(side, point), selected=len(self.pairs))
        moving, fixed = (point, self.half.point) if side == "moving" else (self.half.point, point)
        return Pairs((*self.pairs, Pair(moving, fixed)), None, len(self.pairs))

    def moved(self, side: Side, index: int, point: Point) -> Pairs:
        """One point of a pair, or the half one, in another place."""
        if index == len(self.pairs) and self.half is not None:
            return replace(self, half=Half(self.half.side, point), selected=index)
        pair = self.pairs[index]
        return self._with(index, Pair(point, pair.fixed, pair.enabled) if side == "moving" else
                          Pair(pair.moving, point, pair.enabled))  # fmt: skip

    def dropped(self) -> Pairs:
        """Without the half pair."""
        selected = None if self.selected == len(self.pairs) else self.selected
        return replace(self, half=None, selected=selected)

    def removed(self, index: int | None = None) -> Pairs:
        """Without a pair (the selected one by default); those behind it move up."""
        index = self.selected if index is None else index
        if index is None or index > len(self.pairs):
            return self
        if index == len(self.pairs):
            return self.dropped()
        left = self.pairs[:index] + self.pairs[index + 1 :]
        return replace(self, pairs=left, selected=min(index, len(left) - 1) if left else None)

    def enabled(self, index: int, on: bool) -> Pairs:
        """A pair that counts, or does not."""
        return self._with(index, replace(self.pairs[index], enabled=on))

    def select(self, index: int | None) -> Pairs:
        """Another pair selected; what is not there cannot be."""
        count = len(self.pairs) + (self.half is not None)
        return replace(self, selected=index if index is not None and 0 <= index < count else None)

    def points(self, side: Side) -> list[Point]:
        """The points in one image, by their numbers; the half pair's last, where it has one there."""
        found = [pair.at(side) for pair in self.pairs]
        return [*found, self.half.point] if self.half is not None and self.half.side == side else found

    def same_points(self, than: Pairs) -> bool:
        """Whether only the selection differs."""
        return self.pairs == than.pairs and self.half == than.half

    def keypoints(self, moving_frame: Frame) -> Keypoints:
        """The whole pairs as the element that stages and files know."""
        moving, fixed = (np.array([p.at(side) for p in self.pairs], dtype=np.float64).reshape(-1, 2) for side in _SIDES)
        on = np.array([p.enabled for p in self.pairs], dtype=bool)
        return Keypoints(moving, fixed, moving_frame, "he_px", on)

    @classmethod
    def of(cls, keypoints: Keypoints) -> Pairs:
        """The pairs of keypoints, whose frames the caller has seen to."""
        moving, fixed = (_points(xy.tolist()) for xy in (keypoints.moving_xy, keypoints.fixed_xy))
        return cls(tuple(Pair(m, f, on) for m, f, on in zip(moving, fixed, keypoints.enabled.tolist(), strict=True)))

    def _with(self, index: int, pair: Pair) -> Pairs:
        return replace(self, pairs=(*self.pairs[:index], pair, *self.pairs[index + 1 :]), selected=index)


_SIDES: tuple[Side, Side] = ("moving", "fixed")


def _points(rows: Sequence[Sequence[float]]) -> list[Point]:
    return [(float(x), float(y)) for x, y in rows]
