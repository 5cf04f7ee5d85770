"""The moving image drawn onto the H&E through the exact transform: a layer a channel, given other data at each fit."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.utils import Colormap

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.layers import KEY, morphology_layer, percentile_limits
from napari_pixelgene.gui.register.work import Work
from napari_pixelgene.gui.session import Session
from napari_pixelgene.stages.warping import warped_pyramid

ROLE = "morphology"
# No signal is clear, so that fading it leaves the slide as it is.
_SIGNAL = Colormap([[0.0, 0.2, 0.8, 0.0], [0.0, 0.2, 0.8, 1.0]], name="clear to blue")


class Overlay:
    """What of one capture lies on the H&E. A layer that a person deleted comes back when it is asked for."""

    def __init__(self, session: Session) -> None:
        self.session = session
        self.work: Work | None = None
        self.channel = 0
        self._drawn: Transform | None = None
        self._made = False

    def take(self, work: Work | None, channel: int = 0) -> None:
        """Show another capture or channel."""
        self.work, self.channel = work, channel
        self._drawn, self._made = (work.standing if work is not None else None), False

    def layers(self) -> list[Any]:
        """The layers of this capture, of whichever channel."""
        return [] if self.work is None else self.session.layers(ROLE, capture=self.work.moving.capture)

    def layer(self) -> Any | None:
        """The layer of the chosen channel, if it is there."""
        return None if self.work is None else self._of(self._channel())

    def update(self) -> None:
        """Draw the present transform: other data in the layers there are, a new layer the first time."""
        transform = self.work.transform if self.work is not None else None
        if self.work is None or transform is None:
            self._clear()
            return
        if self._drawn is None or not transform.same_map(self._drawn):
            self._redraw(transform)
        if self.layer() is None and not self._made:
            self.require()

    def require(self) -> Any | None:
        """The layer of the chosen channel, made where it is not; None while there is no transform."""
        transform = self.work.transform if self.work is not None else None
        if self.work is None or transform is None:
            return None
        self._made = True
        channel = self._channel()
        found = self._of(channel)
        if found is not None:
            return found
        warped = self._warped(channel, transform)
        layer = self.session.add(morphology_layer(warped, self._section(), self.work.moving.capture))
        layer.contrast_limits = percentile_limits(np.asarray(channel.levels[-1]))
        self._drawn = transform
        return layer

    def choose(self, channel: int) -> None:
        """Another channel in the stead of the one that was seen."""
        was = self.visible
        self.channel = channel
        wanted = self.require() if was else None
        for layer in self.layers():
            layer.visible = layer is wanted

    def fade(self, opacity: float) -> None:
        """How strongly the moving image shows."""
        layer = self.require()
        if layer is None:
            return
        if layer.blending == "minimum":  # which knows no opacity
            layer.blending = "translucent_no_depth"
            if layer.colormap.name == "I Blue":
                layer.colormap = _SIGNAL
        layer.opacity = opacity

    def show(self, visible: bool) -> None:
        """Hide the overlay, or show the chosen channel."""
        layer = self.require() if visible else self.layer()
        if layer is not None:
            layer.visible = visible

    @property
    def visible(self) -> bool:
        """Whether it is seen."""
        layer = self.layer()
        return layer is not None and bool(layer.visible)

    def _redraw(self, transform: Transform) -> None:
        assert self.work is not None
        for channel in self.work.moving.channels:
            layer = self._of(channel)
            if layer is not None:
                layer.data = list(self._warped(channel, transform).levels)
        self._drawn = transform

    def _clear(self) -> None:
        """No transform any more: nothing can be drawn."""
        for layer in self.layers():
            self.session.viewer.layers.remove(layer)
        self._drawn, self._made = None, False

    def _warped(self, channel: Image, transform: Transform) -> Image:
        assert self.work is not None
        he = self.work.he
        return warped_pyramid(channel, self.work.moving.drawn_by(transform), he.yx_shape, he.require_mpp())

    def _channel(self) -> Image:
        assert self.work is not None
        return self.work.moving.channels[self.channel]

    def _of(self, channel: Image) -> Any | None:
        return next((la for la in reversed(self.layers()) if la.metadata[KEY].get("channel") == channel.name), None)

    def _section(self) -> Any:
        return self.session.require().path
