"""How the moving image is looked at on the H&E: faded, hidden while a key is held, flickering."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QSignalBlocker, QTimer

from napari_pixelgene.gui.faults import guarded

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.dock import RegisterDock

_FLICKER_MS = 350
# Space pressed shorter than this leaves the overlay hidden; held longer, it shows it again when let go.
_TAP_S = 0.3


class Blending:
    """Answers the slider, the two buttons and their keys."""

    def __init__(self, dock: RegisterDock) -> None:
        self.dock = dock
        self._timer = QTimer(dock)
        self._timer.setInterval(_FLICKER_MS)
        self._timer.timeout.connect(lambda: self.show(not dock.overlay.visible))

    def fade(self, percent: int) -> None:
        """How strongly the moving image shows."""
        guarded(lambda dock: dock.overlay.fade(percent / 100))(self.dock)
        self.dock.views.raise_rings()

    def reflect(self) -> None:
        """The slider stands where the overlay is."""
        layer = self.dock.overlay.layer()
        if layer is not None:
            with QSignalBlocker(self.dock.controls.blend):
                self.dock.controls.blend.setValue(round(100 * layer.opacity))

    def show(self, visible: bool) -> None:
        """Show the moving image on the H&E, or hide it."""
        guarded(lambda dock: dock.overlay.show(visible))(self.dock)
        self.dock.controls.hide.setChecked(not visible)
        self.dock.views.raise_rings()

    def flicker(self, on: bool) -> None:
        """Show and hide it in turns."""
        if on:
            self._timer.start()
        else:
            self._timer.stop()
            if self.dock.work is not None:
                self.show(True)

    def hold(self, _: Any) -> Iterator[None]:
        """Space: hidden while held; a tap leaves it so, and the next tap shows it."""
        pressed, was = time.monotonic(), self.dock.overlay.visible
        self.show(not was)
        yield
        if time.monotonic() - pressed > _TAP_S:
            self.show(was)
