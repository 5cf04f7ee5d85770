"""Groups of squares that are alike: principal components and k-means learned from a sample, and islands taken in.

Labels are whole numbers from 0 for the largest group on, -1 where there is none (specs/iscale.md section 5.4).
"""

from __future__ import annotations

import heapq
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.floating[Any]]
IntArray = npt.NDArray[np.integer[Any]]

NOWHERE = -1
# k-means ends where it began badly; the best of this many beginnings is taken.
_STARTS = 10


@dataclass(frozen=True, slots=True)
class Grouping:
    """What was learned: a mean and axes (components, channels), and the groups' centres (groups, components)."""

    mean: FloatArray
    axes: FloatArray
    centres: FloatArray

    @classmethod
    def learn(cls, sample: FloatArray, groups: int, components: int, seed: int = 0) -> Grouping:
        """From a sample (n, channels) without NaN, n ≥ `groups`: PCA without scaling, then k-means."""
        from sklearn.cluster import KMeans
        from sklearn.decomposition import PCA
        from sklearn.exceptions import ConvergenceWarning

        count = min(components, *sample.shape)
        with warnings.catch_warnings(), np.errstate(invalid="ignore"):
            # Said of a sample that varies too little: groups are then left empty.
            warnings.simplefilter("ignore", ConvergenceWarning)
            pca = PCA(count, random_state=seed).fit(sample)
            kmeans = KMeans(groups, n_init=_STARTS, random_state=seed).fit(pca.transform(sample))
        return cls(pca.mean_, pca.components_, kmeans.cluster_centers_)

    def scores(self, values: FloatArray, channels: slice = slice(None)) -> FloatArray:
        """(n, components) of rows (n, channels), or what some of the channels contribute: the parts add up."""
        out: FloatArray = (values - self.mean[channels]) @ self.axes[:, channels].T
        return out

    def labels(self, scores: FloatArray) -> IntArray:
        """(n,) the group whose centre is nearest; in no order yet."""
        out: IntArray = ((self.centres**2).sum(1) - 2 * scores @ self.centres.T).argmin(axis=1)
        return out


def by_size(labels: IntArray) -> IntArray:
    """The same groups, numbered from 0 for the largest on; of equally large ones the smaller old number comes first.
    Negative labels become -1."""
    found, many = np.unique(labels[labels >= 0], return_counts=True)
    rank = np.full(int(found.max(initial=-1)) + 2, NOWHERE, dtype=np.int32)
    rank[found[np.argsort(-many, kind="stable")]] = np.arange(len(found))
    out: IntArray = rank[np.maximum(labels, NOWHERE)]  # the last entry stands for -1
    return out


def islands_taken_in(labels: IntArray, least: int) -> IntArray:
    """Labels (rows, columns) in which every island of fewer than `least` squares has its surroundings' label.

    An island is squares of one label that meet at edges. The smallest goes first, to the label that it shares most
    edges with (of equals the smallest label), and is from then on part of what it joined. One that borders on nothing
    but -1 stays. Unlike in the original, squares that touch at a corner do not vote: so no island is left.
    """
    from skimage.measure import label

    out = np.where(labels >= 0, labels, NOWHERE).astype(np.int32)
    pieces = np.asarray(label(out, background=NOWHERE, connectivity=1))
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    small = np.flatnonzero((sizes > 0) & (sizes < least))
    if len(small):
        _Islands(out, pieces, sizes, small).take_in(least)
    return out


class _Islands:
    """Pieces that are joined one after another, in plain Python: an island has a handful of squares."""

    def __init__(self, labels: IntArray, pieces: IntArray, sizes: IntArray, small: IntArray) -> None:
        self.labels, self.pieces = labels, pieces
        self.root = list(range(len(sizes)))
        self.size: list[int] = sizes.tolist()
        self.squares: dict[int, list[tuple[int, int]]] = {piece: [] for piece in small.tolist()}
        wanted = np.zeros(len(sizes), dtype=bool)
        wanted[small] = True
        for row, column in np.argwhere(wanted[pieces]).tolist():
            self.squares[int(pieces[row, column])].append((row, column))

    def take_in(self, least: int) -> None:
        queue = [(self.size[piece], piece) for piece in self.squares]
        heapq.heapify(queue)
        while queue:
            size, piece = heapq.heappop(queue)
            if self.root[piece] != piece or self.size[piece] != size:
                continue  # joined meanwhile, or grown and queued again
            grown = self._join(piece)
            if grown in self.squares and self.size[grown] < least:
                heapq.heappush(queue, (self.size[grown], grown))

    def _join(self, piece: int) -> int | None:
        """Give a piece the label around it, and make it one with the pieces of that label; the piece that it is now,
        None where it borders on nothing."""
        votes, bordering = self._border(piece)
        if not votes:
            return None
        won = min(votes, key=lambda label: (-votes[label], label))
        for square in self.squares[piece]:
            self.labels[square] = won
        whole = piece
        for other in bordering[won]:
            whole = self._one(whole, other)
        return whole

    def _border(self, piece: int) -> tuple[dict[int, int], dict[int, set[int]]]:
        """Edges shared with every other label, and the pieces of that label behind them."""
        rows, columns = self.labels.shape
        votes: dict[int, int] = {}
        bordering: dict[int, set[int]] = {}
        for row, column in self.squares[piece]:
            for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1)):
                if not (0 <= r < rows and 0 <= c < columns) or (label := int(self.labels[r, c])) < 0:
                    continue
                other = self._find(int(self.pieces[r, c]))
                if other != piece:
                    votes[label] = votes.get(label, 0) + 1
                    bordering.setdefault(label, set()).add(other)
        return votes, bordering

    def _one(self, a: int, b: int) -> int:
        """Two pieces become one: the larger, whose squares need not be known."""
        a, b = self._find(a), self._find(b)
        if a == b:
            return a
        a, b = (a, b) if (self.size[a], -a) >= (self.size[b], -b) else (b, a)
        self.root[b] = a
        self.size[a] += self.size[b]
        joined = self.squares.pop(b, [])  # unknown of a piece that was no island
        if a in self.squares:
            self.squares[a].extend(joined)
        return a

    def _find(self, piece: int) -> int:
        while self.root[piece] != piece:
            self.root[piece] = self.root[self.root[piece]]
            piece = self.root[piece]
        return piece
