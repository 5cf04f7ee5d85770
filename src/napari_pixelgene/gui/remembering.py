"""A section reopens as it was left: the view is kept in the section while it changes, and restored when it is opened.

Written a moment after the last change, and at once when the section or the window is closed; never in a section that
is read only. Nothing is computed to restore it.
"""

from __future__ import annotations

from typing import Any
from weakref import WeakSet

import numpy as np
from qtpy.QtCore import QCoreApplication, QEvent, QObject, QTimer

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.camera import centre_at, centre_of
from napari_pixelgene.gui.genes.browser import Browser, browser_of
from napari_pixelgene.gui.genes.looks import COLORMAPS
from napari_pixelgene.gui.kept_view import KeptCamera, KeptLayer, KeptView, layer_key, view_from
from napari_pixelgene.gui.layers import KEY, percentile_limits
from napari_pixelgene.gui.session import Session
from napari_pixelgene.store.view import read_view, write_view

_AFTER_MS = 800


def remember_view(session: Session) -> None:
    """Keep and restore the views of a session's sections from now on; nothing without a window."""
    if session.memory is None and QCoreApplication.instance() is not None:
        session.memory = Memory(session)


class Memory(QObject):
    """Listens to a session, its browser, its layers and its camera."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session, self._browser = session, browser_of(session)
        self._camera = session.viewer.scene.camera
        self._ready = self._dirty = self._removes = False
        self._waiting: dict[str, KeptLayer] = {}  # layers that were left, and are not there yet
        self._watched: WeakSet[Any] = WeakSet()
        self._timer, self._later = QTimer(self), QTimer(self)
        for timer, after_ms, does in ((self._timer, _AFTER_MS, self.write), (self._later, 0, self.restore)):
            timer.setSingleShot(True)
            timer.setInterval(after_ms)
            timer.timeout.connect(does)
        self._listen()
        if session.store is not None:
            self._opened()

    def write(self) -> None:
        """Write the view of the section that is open, if it was restored and may be written."""
        self._timer.stop()
        store = self._session.store
        if not self._ready or store is None or self._session.why_read_only or not self._session.layers():
            return
        self._dirty = False
        try:
            write_view(store, kept_view(self._session, self._browser, self._camera).model_dump(mode="json"))
        except (PixelGeneError, OSError) as error:
            self._ready = False  # said once, not at every move of the camera
            self._session.warn(f"How you leave this section cannot be kept. {error}")

    def restore(self) -> None:
        """Bring the section that is open back to how it was left."""
        store = self._session.store
        if store is None:
            return
        found = read_view(store)
        view = view_from(found)
        self._session.contrasts.take(view.contrasts if view is not None else {})
        if view is not None:
            restore_genes(self._browser, view)
            self._waiting = dict(view.layers)
            for layer in self._session.layers():
                self._restore_layer(layer)
            if view.camera is not None:
                centre_at(self._session.viewer, np.array(view.camera.centre_um[::-1]))
                self._camera.zoom = view.camera.zoom
        elif found:
            self._session.warn("How this section was left cannot be read, so it opens as if for the first time.")
        self._ready, self._dirty = True, False

    def settle(self) -> None:
        """Restore now what waits for the next turn: what is done from here on is not undone by it."""
        if self._later.isActive():
            self._later.stop()
            self.restore()

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """The window is about to close."""
        if event.type() == QEvent.Type.Close and self._dirty:
            self.write()
        return False

    def _listen(self) -> None:
        session, layers = self._session, self._session.viewer.layers
        session.opened.connect(self._opened)
        session.closing.connect(self._closing)
        self._browser.changed.connect(self._touched)
        self._browser.pinned.connect(self._touched)
        session.contrasts.changed.connect(self._touched)
        self._camera.events.connect(self._touched)
        layers.events.inserted.connect(self._inserted)
        layers.events.removing.connect(self._removing)
        layers.events.removed.connect(self._removed, position="last")
        for layer in layers:
            self._watch(layer)
        window = getattr(getattr(session.viewer, "window", None), "_qt_window", None)
        if window is not None:
            self.setParent(window)
            window.installEventFilter(self)

    def _opened(self) -> None:
        """Restored in the next turn, unless `settle` comes first: napari may still be adding this section's layers."""
        self._ready = False
        self._waiting = {}
        if self._session.store is not None:
            self._later.start()

    def _closing(self) -> None:
        self.write()
        self._ready = False

    def _touched(self, *_: Any) -> None:
        if self._ready:
            self._dirty = not self._removes  # a window that closes removes one layer after the other
            self._timer.start()

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)
        self._restore_layer(event.value)
        self._touched()

    def _removing(self, event: Any) -> None:
        """Keep the view as it is with all its layers: perhaps the window is closing."""
        if self._dirty:
            self.write()
        self._removes = True

    def _removed(self, event: Any) -> None:
        self._removes = False

    def _watch(self, layer: Any) -> None:
        if KEY in layer.metadata and layer not in self._watched:
            self._watched.add(layer)
            layer.events.visible.connect(self._touched)
            layer.events.opacity.connect(self._touched)

    def _restore_layer(self, layer: Any) -> None:
        says = layer.metadata.get(KEY, {})
        kept = self._waiting.pop(layer_key(says), None)
        if kept is not None:
            layer.visible, layer.opacity = kept.visible, kept.opacity
            if f"{says.get('capture')}/{says.get('channel')}" in self._session.contrasts.kept() and not layer.rgb:
                percent = self._session.contrasts.of(says["capture"], says["channel"])
                layer.contrast_limits = percentile_limits(np.asarray(layer.data[-1]), percent)


def kept_view(session: Session, browser: Browser, camera: Any) -> KeptView:
    """The view as it is now."""
    look = browser.look
    kept = {
        layer_key(layer.metadata[KEY]): KeptLayer(visible=layer.visible, opacity=layer.opacity)
        for layer in session.layers()
    }
    x_um, y_um = (float(v) for v in session.place_um(centre_of(session.viewer)))
    return KeptView(
        run=browser.maps.run if browser.maps is not None else "",
        gene=browser.gene,
        pins=tuple(browser.pins),
        percent=look.percent,
        numbers=look.numbers,
        by_hand=browser.by_hand,
        colormap=look.colormap,
        linked=look.linked,
        contrasts=session.contrasts.kept(),
        measured=browser.wants_measured,
        layers=kept,
        camera=KeptCamera(centre_um=(y_um, x_um), zoom=float(camera.zoom)),
    )


def restore_genes(browser: Browser, view: KeptView) -> None:
    """The run, gene, contrast and pins of a view, as far as the section still has them."""
    store = browser.session.require()
    look = view.look if view.colormap in _known_colormaps() else KeptView().look
    browser.wants_measured = view.measured
    browser.pins = list(view.pins)
    if browser.maps is not None:
        if view.run != browser.maps.run and view.run in store.mapped_runs():
            browser.choose_run(view.run)
        if view.gene in browser.maps.genes:
            browser.look = look
            browser.show(view.gene)
            browser.draw_by_hand(view.by_hand)
    browser.pinned.emit()


def _known_colormaps() -> set[str]:
    from napari.utils.colormaps import AVAILABLE_COLORMAPS

    return {*AVAILABLE_COLORMAPS, *COLORMAPS}
