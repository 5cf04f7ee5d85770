"""Whether a registration can be used: what was found over the tissue, and what it comes to.

Places are (x, y) in H&E µm. A shift is how far, and which way, the moving image would have to be moved there to lie
on the H&E: `place - shift` is where it is drawn now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray

Level = Literal["good", "look here", "do not use"]
LEVELS: tuple[Level, ...] = get_args(Level)
Basis = Literal["nuclei", "outlines", "pairs", "nothing"]
# Whether both images show one section of the tissue, and so the same nuclei, or neighbouring ones.
Sections = Literal["same", "serial", "unknown"]

# What a place says: nothing to compare, nuclei in both images that do not agree, nuclei that agree after a shift.
UNKNOWN, UNLIKE, SEEN = 0, 1, 2


@dataclass(frozen=True, slots=True)
class QualityMap:
    """One row a place of a square lattice over the tissue; arrays (n,) unless said otherwise.

    `similarity` is the correlation of nuclei as they lie, NaN where there is nothing to compare; `confidence` (0 to 1)
    how far the best match stands above chance. `doubt_um` is how uncertain the pairs alone leave the transform there
    (one standard error), NaN without pairs to spare. `searched_um` is how far a match was looked for.
    """

    place_um: FloatArray  # (n, 2)
    shift_um: FloatArray  # (n, 2); NaN where the state is not SEEN
    state: IntArray
    similarity: FloatArray
    confidence: FloatArray
    doubt_um: FloatArray
    spacing_um: float
    searched_um: float

    def __len__(self) -> int:
        return len(self.place_um)

    @property
    def seen(self) -> BoolArray:
        """Where nuclei agree after a shift, (n,)."""
        return np.asarray(self.state == SEEN)

    @property
    def unlike(self) -> BoolArray:
        """Where both images show nuclei that do not agree within the search, (n,)."""
        return np.asarray(self.state == UNLIKE)

    @property
    def compared(self) -> BoolArray:
        """Where both images show nuclei, (n,)."""
        return self.seen | self.unlike

    @property
    def distance_um(self) -> FloatArray:
        """Length (n,) of each shift: the error of the registration there; NaN where it is not seen."""
        return np.asarray(np.linalg.norm(self.shift_um, axis=1))


@dataclass(frozen=True, slots=True)
class Outlines:
    """How tissue outlines, and where nuclei crowd, lie on one another, on coarse pixels.

    `agreement` is as the images are laid, `best` that of the best placement of all (at most 1, near 0 by chance);
    `shift_um` how far the best placement nearby moves the tissue, the median. `elsewhere` describes the best placement
    where it is clearly better than any nearby, and is empty otherwise.
    """

    agreement: float
    best: float
    shift_um: float
    elsewhere: str = ""


@dataclass(frozen=True, slots=True)
class WorstPlace:
    """A place to look at first, in H&E µm, and why. `error_um` is NaN where it could not be measured."""

    xy_um: tuple[float, float]
    error_um: float
    why: str


@dataclass(frozen=True, slots=True)
class Verdict:
    """A registration judged.

    `sentence` begins with the level and gives the numbers behind it; `reasons` are what speaks against the
    registration, what is not known of it, and how to find out. `basis` tells what it was judged by: nuclei; outlines,
    with the pairs where there are any; pairs alone; nothing. Only nuclei can make it good: a shift that all pairs share
    is not seen by them, nor a small one by outlines. `numbers` are µm and counts by name, None where undefined.
    """

    level: Level
    basis: Basis
    sentence: str
    reasons: tuple[str, ...]
    numbers: Mapping[str, float | None]
    worst: tuple[WorstPlace, ...]
    map: QualityMap
