"""Lines on the H&E: a Vectors layer of the section, of one width on the screen at any zoom."""

from __future__ import annotations

from typing import Any

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.session import Session


class Lines:
    """Keeps one layer; a person who deletes it has it back when it is shown anew."""

    def __init__(self, session: Session, role: str, width_px: float, style: str = "line") -> None:
        self.session, self.role = session, role
        self._width_px, self._style = width_px, style
        self._zoom = session.viewer.scene.camera.events.zoom
        self._zoom.connect(self._widen)

    @property
    def layer(self) -> Any | None:
        """The layer, if it is there."""
        return self.session.layer(self.role)

    def show(self, vectors: FloatArray, colours: Any, name: str) -> None:
        """Draw segments (n, 2, 2), start and reach as (x, y) in µm, in one colour or one each."""
        layer = self.layer or self._make()
        layer.name = name
        layer.data = vectors[:, :, ::-1]
        if len(vectors):
            layer.edge_color = colours
        self.set_visible(True)
        self._widen()

    def set_visible(self, visible: bool) -> None:
        """Show or hide them."""
        if (layer := self.layer) is not None and layer.visible != visible:  # else napari draws it anew
            layer.visible = visible

    def remove(self) -> None:
        """Take the layer away."""
        if (layer := self.layer) is not None:
            self.session.viewer.layers.remove(layer)

    def leave(self) -> None:
        """Follow the camera no more."""
        self._zoom.disconnect(self._widen)

    def _make(self) -> Any:
        layers = self.session.viewer.layers
        active = layers.selection.active
        says = {KEY: {"role": self.role, "section": str(self.session.require().path)}}
        look = {"vector_style": self._style, "blending": "translucent_no_depth", "units": ("µm", "µm")}
        made = self.session.viewer.add_vectors(np.zeros((0, 2, 2)), metadata=says, **look)
        if active is not None:
            layers.selection.active = active
        return made

    def _widen(self, _: Any = None) -> None:
        if (layer := self.layer) is not None:
            layer.edge_width = self._width_px / self.session.viewer.scene.camera.zoom
