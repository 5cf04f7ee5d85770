"""How a canvas is turned and mirrored to be looked at. Values only: no coordinate of a pair ever changes by it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray


@dataclass(frozen=True, slots=True)
class Turn:
    """First mirrored left to right, if at all, then turned clockwise on the screen by `angle_deg`."""

    angle_deg: float = 0.0
    mirrored: bool = False

    @property
    def matrix(self) -> FloatArray:
        """(3, 3) on (x, y, 1): from µm of the image to µm as they lie on the screen, x to the right and y down."""
        angle = np.deg2rad(self.angle_deg)
        c, s = np.cos(angle), np.sin(angle)
        turned = np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])
        if self.angle_deg % 90 == 0:
            turned = np.rint(turned)
        return turned @ np.diag([-1.0 if self.mirrored else 1.0, 1.0, 1.0])

    def by(self, degrees: float) -> Turn:
        """Turned further."""
        return replace(self, angle_deg=_wrapped(self.angle_deg + degrees))

    def flipped(self) -> Turn:
        """What is seen, mirrored left to right."""
        return Turn(_wrapped(-self.angle_deg), not self.mirrored)


def matching(there_to_here: FloatArray, here: Turn) -> Turn:
    """The turn under which another image looks like this one, which is seen under `here`.

    `there_to_here` (2, 2) is the derivative of the map between them; what it stretches is left aside.
    """
    left, _, right = np.linalg.svd(here.matrix[:2, :2] @ there_to_here)
    nearest = left @ right
    mirrored = bool(np.linalg.det(nearest) < 0)
    turned = nearest @ np.diag([-1.0 if mirrored else 1.0, 1.0])
    return Turn(_wrapped(float(np.rad2deg(np.arctan2(turned[1, 0], turned[0, 0])))), mirrored)


def _wrapped(degrees: float) -> float:
    """Within (-180, 180]."""
    return float(180.0 - (180.0 - degrees) % 360.0)
