"""What was found when two images were laid on one another: shifts at places, and proposals for pairs.

A place is where something is on the fixed image, in its µm. A shift tells where the moving image, drawn by the
transform, shows the same: at place + shift. So a shift is the error of the transform there, with its direction.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Matches:
    """One row a place; arrays (n,) unless said otherwise.

    `score` is the correlation of nuclei at the best shift, `unmoved` without any shift, `margin` (0 to 1) how far the
    best stands above the second best and above chance, `strength` how many standard deviations of chance it is.
    `nuclei` is the share of the window that nuclei cover, in the image that has fewer. `clear` tells a match from
    noise; where it is False the shift means nothing.
    """

    place_um: FloatArray  # (n, 2) on the fixed image
    shift_um: FloatArray  # (n, 2); NaN where nothing could be compared
    moving_px: FloatArray  # (n, 2) level-0 pixels of the moving image that show the place, by the best shift
    score: FloatArray
    unmoved: FloatArray
    margin: FloatArray
    strength: FloatArray
    nuclei: FloatArray
    clear: BoolArray

    def __len__(self) -> int:
        return len(self.place_um)

    @property
    def distance_um(self) -> FloatArray:
        """Length (n,) of each shift; NaN where nothing could be compared."""
        return np.asarray(np.linalg.norm(self.shift_um, axis=1))

    def only(self, rows: BoolArray | IntArray) -> Matches:
        """Some of the places: a mask (n,) or their numbers."""
        return Matches(*(getattr(self, name)[rows] for name in self.__slots__))


@dataclass(frozen=True, slots=True)
class Proposal:
    """A pair as it could be. Nothing is changed until a person takes it.

    `row` is the pair among the keypoints it was made from, None for a new one. Points are (x, y) in the frames of the
    keypoints; `old_moving` is None for a new pair. `shift_um` is how far the moving point would go, on the tissue.
    `confidence` is 0 to 1, and a match is clear from a third on. `accepted` is what is proposed to do by default;
    `why` says in words why not. `others_um` is how far the old place is from where the other pairs, snapped, would put
    it, NaN where they are too few to say: a pair that stays and is far from there had better be left out.
    """

    row: int | None
    fixed_xy: tuple[float, float]
    old_moving: tuple[float, float] | None
    new_moving: tuple[float, float]
    shift_um: float
    score: float
    confidence: float
    accepted: bool
    why: str = ""
    others_um: float = float("nan")
