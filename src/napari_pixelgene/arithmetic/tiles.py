"""Where tiles, halos and superpixels are: integers only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """A half-open range [start, stop)."""

    start: int
    stop: int

    @property
    def size(self) -> int:
        """How many."""
        return self.stop - self.start

    def as_slice(self) -> slice:
        """For indexing."""
        return slice(self.start, self.stop)

    def grown(self, by: int) -> Span:
        """Wider by `by` on both sides; may leave the array."""
        return Span(self.start - by, self.stop + by)

    def clipped(self, size: int) -> Span:
        """The part inside [0, size)."""
        return Span(max(self.start, 0), min(self.stop, size))

    def scaled(self, factor: int) -> Span:
        """The same range in units `factor` times finer."""
        return Span(self.start * factor, self.stop * factor)


@dataclass(frozen=True, slots=True)
class Tile:
    """A rectangle of an array; `index` is its place (row, column) among the tiles."""

    rows: Span
    columns: Span
    index: tuple[int, int] = (0, 0)

    @property
    def yx_shape(self) -> tuple[int, int]:
        """(rows, columns)."""
        return self.rows.size, self.columns.size

    @property
    def region(self) -> tuple[slice, slice]:
        """For indexing the last two axes."""
        return self.rows.as_slice(), self.columns.as_slice()

    def grown(self, by: int) -> Tile:
        """With a halo; may leave the array."""
        return Tile(self.rows.grown(by), self.columns.grown(by), self.index)

    def clipped(self, yx_shape: tuple[int, int]) -> Tile:
        """The part inside the array."""
        return Tile(self.rows.clipped(yx_shape[0]), self.columns.clipped(yx_shape[1]), self.index)

    def scaled(self, factor: int) -> Tile:
        """The same rectangle in units `factor` times finer."""
        return Tile(self.rows.scaled(factor), self.columns.scaled(factor), self.index)

    def within(self, outer: Tile) -> tuple[slice, slice]:
        """Slices of this tile inside an array that holds exactly `outer`."""
        top, left = outer.rows.start, outer.columns.start
        return (
            slice(self.rows.start - top, self.rows.stop - top),
            slice(self.columns.start - left, self.columns.stop - left),
        )


def tiles(yx_shape: tuple[int, int], side: int) -> Iterator[Tile]:
    """Tiles of `side` × `side` (smaller at the bottom and right) that cover an array, row by row."""
    for i, top in enumerate(range(0, yx_shape[0], side)):
        for j, left in enumerate(range(0, yx_shape[1], side)):
            yield Tile(
                Span(top, min(top + side, yx_shape[0])),
                Span(left, min(left + side, yx_shape[1])),
                (i, j),
            )


def tile_count(yx_shape: tuple[int, int], side: int) -> int:
    """How many tiles `tiles` yields."""
    return -(-yx_shape[0] // side) * -(-yx_shape[1] // side)
