"""The moving image drawn onto the H&E through the exact transform: a layer a channel, given other data at each fit."""

from __future__ import annotations

from typing import Any

from napari.utils import Colormap

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.contrasts import Contrasts
from napari_pixelgene.gui.layers import KEY, RGB_OPACITY, morphology_layer
from napari_pixelgene.gui.register.work import Work
from napari_pixelgene.gui.session import Session
from napari_pixelgene.stages.comparing import Everywhere, Mask, masked
from napari_pixelgene.stages.warping import warped_pyramid

ROLE = "morphology"
# No signal is clear, so that fading it leaves the slide as it is.
_SIGNAL = Colormap([[0.0, 0.2, 0.8, 0.0], [0.0, 0.2, 0.8, 1.0]], name="clear to blue")
# Beside nuclei in green: what both stains show is white.
_BESIDE_NUCLEI = "magenta"
_OURS = ("I Blue", _SIGNAL.name, _BESIDE_NUCLEI)


class Overlay:
    """What of one capture lies on the H&E. A layer that a person deleted comes back when it is asked for."""

    def __init__(self, session: Session, contrasts: Contrasts) -> None:
        self.session, self.contrasts = session, contrasts
        self.work: Work | None = None
        self.channel = 0
        self._drawn: Transform | None = None
        self._made = False
        self._mask: Mask | None = None
        self._beside_nuclei = self._faded = False
        self._warps: dict[str, Image] = {}  # by channel: what is computed of them stays when the mask changes

    def take(self, work: Work | None, channel: int = 0) -> None:
        """Show another capture or channel."""
        self.work, self.channel = work, channel
        self._drawn, self._made = (work.standing if work is not None else None), False
        self._mask, self._faded, self._warps = None, False, {}

    def layers(self) -> list[Any]:
        """The layers of this capture, of whichever channel."""
        return [] if self.work is None else self.session.layers(ROLE, capture=self.work.moving.capture)

    def layer(self) -> Any | None:
        """The layer of the chosen channel, if it is there."""
        return None if self.work is None else self._of(self._channel())

    def update(self) -> None:
        """Draw the present transform: other data in the layers there are, a new layer the first time."""
        transform = self.work.drawn if self.work is not None else None
        if self.work is None or transform is None:
            self._clear()
            return
        if self._drawn is None or not transform.same_map(self._drawn):
            self._redraw(transform)
        if self.layer() is None and not self._made:
            self.require()

    def require(self) -> Any | None:
        """The layer of the chosen channel, made where it is not; None while there is no transform."""
        transform = self.work.drawn if self.work is not None else None
        if self.work is None or transform is None:
            return None
        self._made = True
        channel = self._channel()
        found = self._of(channel)
        if found is not None:
            return found
        warped = self._warped(channel, transform)
        layer = self.session.add(morphology_layer(warped, self._section(), self.work.moving.capture))
        self._drawn = transform
        self.show_contrast()
        self._look(layer)
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
        if not self._faded:  # its usual blending knows no opacity
            self._faded = True
            self._look(layer)
        layer.opacity = opacity

    def mask(self, mask: Mask | None) -> None:
        """Show it in squares or beyond a line only; None shows all of it."""
        looks_else = (mask is None) != (self._mask is None)
        self._mask = mask
        transform = self.work.drawn if self.work is not None else None
        layer = self.require() if mask is not None else self.layer()
        if layer is None or transform is None:
            return
        self._redraw(transform, keep=True)
        if looks_else:
            for each in self.layers():
                self._look(each)

    def lie_beside_nuclei(self, beside: bool) -> None:
        """The colours that go with nuclei only, or with the whole H&E."""
        self._beside_nuclei = beside
        for layer in self.layers():
            self._look(layer)

    def show_contrast(self) -> None:
        """The display limits that the chosen channel has now."""
        layer = self.layer()
        if layer is not None and self.work is not None and not layer.rgb:
            layer.contrast_limits = self.contrasts.limits(self.work.moving.capture, self._channel())

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

    def _look(self, layer: Any) -> None:
        """Colours and blending of ours; colours that a person chose stay."""
        if layer.rgb:
            layer.blending = "translucent_no_depth"
            if not self._faded:  # squares and line part two images; else one is seen through the other
                layer.opacity = RGB_OPACITY if self._mask is None else 1.0
            return
        mixed = "additive" if self._beside_nuclei else "translucent_no_depth" if self._faded else "minimum"
        layer.blending = mixed if self._mask is None else "translucent_no_depth"
        if layer.colormap.name in _OURS:
            clear = _SIGNAL if self._faded and self._mask is None else "I Blue"
            layer.colormap = _BESIDE_NUCLEI if self._beside_nuclei else clear

    def _redraw(self, transform: Transform, keep: bool = False) -> None:
        assert self.work is not None
        if not keep:
            self._warps = {}
        for channel in self.work.moving.channels:
            layer = self._of(channel)
            if layer is not None:
                layer.data = list(self._warped(channel, transform).levels)
        self._drawn = transform

    def _clear(self) -> None:
        """No transform any more: nothing can be drawn."""
        for layer in self.layers():
            self.session.viewer.layers.remove(layer)
        self._drawn, self._made, self._warps = None, False, {}

    def _warped(self, channel: Image, transform: Transform) -> Image:
        assert self.work is not None
        he = self.work.he
        if channel.name not in self._warps:
            drawn_by = self.work.moving.drawn_by(transform)
            self._warps[channel.name] = warped_pyramid(channel, drawn_by, he.yx_shape, he.require_mpp())
        warped = self._warps[channel.name]
        mask = self._mask or (Everywhere() if warped.is_rgb else None)
        return warped if mask is None else masked(warped, mask)

    def _channel(self) -> Image:
        assert self.work is not None
        return self.work.moving.channels[self.channel]

    def _of(self, channel: Image) -> Any | None:
        return next((la for la in reversed(self.layers()) if la.metadata[KEY].get("channel") == channel.name), None)

    def _section(self) -> Any:
        return self.session.require().path
