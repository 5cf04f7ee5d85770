"""The H&E looked at under any angle. napari's flat camera knows right angles only: it does those, layers do the rest.

While the slide is turned by a rest, each layer of the section has it in its affine, which napari's display alone reads:
no data, scale or place of a layer is another, and the affine is given back as it was. What others put into the viewer
is not ours to turn: it is hidden meanwhile, which is told, and shown again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.register.turning import Turn
from napari_pixelgene.gui.session import Session

# Marks that are set on the canvas, where it shows their places, and not on the slide.
SEATED = ("keypoints", "proposals")


def parted(turn: Turn) -> tuple[Turn, FloatArray]:
    """A turn as one by right angles, which the camera does after the (3, 3) on (x, y, 1) that layers do.

    The rest is at most 45°, and the identity where the angle is a right one.
    """
    right = 90.0 * float(np.floor((turn.angle_deg + 45.0) / 90.0))  # not by `%`: 83.95° would leave 90.00000000000001
    rest = turn.angle_deg - right
    return Turn(0.0, turn.mirrored).by(right), Turn(-rest if turn.mirrored else rest).matrix if rest else np.eye(3)


class TurnedSlide:
    """What of one session's viewer lies turned. `matrix` (3, 3) leads from H&E µm to the canvas' places."""

    def __init__(self, session: Session, told: Callable[[str], None]) -> None:
        self.session, self._told = session, told
        self.matrix: FloatArray = np.eye(3)
        self._own: WeakKeyDictionary[Any, FloatArray] = WeakKeyDictionary()  # affines as they were
        self._hidden: WeakSet[Any] = WeakSet()
        session.viewer.layers.events.inserted.connect(self._inserted)

    def leave(self) -> None:
        """Listen no more."""
        self.session.viewer.layers.events.inserted.disconnect(self._inserted)

    def lay(self, matrix: FloatArray) -> None:
        """Turn what is there, and what comes; the identity gives everything back."""
        self.matrix = matrix
        straight = np.array_equal(matrix, np.eye(3))
        self.session.turned = None if straight else matrix
        for layer in list(self._own):
            layer.affine = self._own.pop(layer)
        if straight:
            for layer in list(self._hidden):
                layer.visible = True
            self._hidden.clear()
            return
        for layer in self.session.viewer.layers:
            self._lay_one(layer)

    def _inserted(self, event: Any) -> None:
        if self.session.turned is not None:
            self._lay_one(event.value)

    def _lay_one(self, layer: Any) -> None:
        says = layer.metadata.get(KEY)
        if not says:
            self._hide(layer)
        elif says.get("role") not in SEATED and layer.ndim == 2:
            self._own[layer] = np.array(layer.affine.affine_matrix)
            layer.affine = rows_first(self.matrix) @ self._own[layer]

    def _hide(self, layer: Any) -> None:
        if not layer.visible:
            return
        layer.visible = False
        self._hidden.add(layer)
        self._told(f"The layer '{layer.name}' is hidden while the H&E is turned so: it is not ours to turn.")


def rows_first(matrix: FloatArray) -> FloatArray:
    """A matrix on (x, y, 1) as one on (y, x, 1)."""
    return matrix[np.ix_([1, 0, 2], [1, 0, 2])]
