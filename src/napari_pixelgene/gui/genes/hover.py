"""Values under the mouse, predicted and measured: read from the finest level, and kept by chunk."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject, QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]

from napari_pixelgene.gui.genes.sayings import Place, at_cursor, at_cursor_short
from napari_pixelgene.gui.layers import gene_levels

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, LazyArray
    from napari_pixelgene.gui.genes.browser import Browser

# A mouse that moves is read so often; reading a chunk takes a few milliseconds, once a chunk.
_EVERY_MS = 50
_SIDE = 512
# Between napari's words in the status bar and ours; and what napari says where there is nothing to say.
_MARK, _IDLE = "  ·  ", "Ready"


class PointReader:
    """Single values of a lazy (row, column) array; the chunk that was read last is kept."""

    def __init__(self, level: LazyArray) -> None:
        self._level = level
        sides: tuple[int, ...] = getattr(level, "chunks", None) or level.shape
        self._sides = tuple(min(int(side), _SIDE) for side in sides)
        self._at: tuple[int, int] | None = None
        self._block: Array = np.zeros((0, 0))

    def value(self, row: int, column: int) -> float:
        """One value."""
        at = (row // self._sides[0], column // self._sides[1])
        if at != self._at:
            rows, columns = (slice(i * s, (i + 1) * s) for i, s in zip(at, self._sides, strict=True))
            self._block, self._at = np.asarray(self._level[rows, columns]), at
        return float(self._block[row % self._sides[0], column % self._sides[1]])


class Hover(QObject):
    """Follows the mouse over a viewer's canvas; `said(text)` is the line for the dock, the status bar gets its own."""

    said = QtSignal(str)

    def __init__(self, browser: Browser, parent: QObject) -> None:
        super().__init__(parent)
        self._browser = browser
        self._viewer = browser.session.viewer
        self._readers: dict[str, tuple[Any, PointReader]] = {}
        self._yx_um: tuple[float, float] | None = None
        self._line, self._napari_says = "", self._viewer.status
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setInterval(_EVERY_MS)
        self._timer.timeout.connect(self.read)
        self._viewer.mouse_move_callbacks.append(self._moved)
        self._viewer.events.status.connect(self._napari_said, position="last")

    def leave(self, *_: Any) -> None:
        """Follow no longer. Touches nothing of Qt: it may be gone."""
        if self._moved in self._viewer.mouse_move_callbacks:
            self._viewer.mouse_move_callbacks.remove(self._moved)
        self._viewer.events.status.disconnect(self._napari_said)

    def forget(self) -> None:
        """Other maps, or another gene: what was read is of no use."""
        self._readers.clear()
        if self._yx_um is not None and not self._timer.isActive():
            self._timer.start()

    def read(self) -> None:
        """Read both values at the mouse, and say them."""
        browser = self._browser
        if browser.maps is None or self._yx_um is None:
            self._line = ""
            return
        place = self._place(*self._yx_um)
        gene, unit = browser.gene, browser.maps.unit.removeprefix("expected ")
        self.said.emit(at_cursor(gene, unit, place, browser.measures()))
        self._line = at_cursor_short(gene, unit, place, browser.measures()) if place.inside else ""
        self._write()

    def _moved(self, viewer: Any, event: Any) -> None:
        x, y = self._browser.session.place_um(np.array(event.position[-2:], dtype=float)[::-1])
        self._yx_um = float(y), float(x)
        if not self._timer.isActive():
            self._timer.start()

    def _place(self, y_um: float, x_um: float) -> Place:
        maps, measured = self._browser.maps, self._browser.measured
        assert maps is not None
        side = maps.superpixel_um
        row, column = math.floor(y_um / side), math.floor(x_um / side)
        rows, columns = maps.levels[0].shape[1:]
        if not (0 <= row < rows and 0 <= column < columns):
            return Place(x_um, y_um, False)
        gene = self._browser.gene
        predicted = self._reader("map", (maps, gene), lambda: gene_levels(maps, gene)[0]).value(row, column)
        state = int(self._reader("state", maps, lambda: maps.measured).value(row, column))
        found = math.nan
        if measured is not None and gene in measured.genes:
            found = self._reader("counts", (measured, gene), lambda: measured.levels(gene)[0]).value(row, column)
        return Place(x_um, y_um, True, predicted, found, state)

    def _reader(self, name: str, of: Any, open_level: Any) -> PointReader:
        """The reader of that name, made anew when it is of something else."""
        held = self._readers.get(name)
        if held is None or not _same(held[0], of):
            held = self._readers[name] = (of, PointReader(open_level()))
        return held[1]

    # napari writes the status bar itself whenever the mouse moves; ours stands behind its words

    def _napari_said(self, event: Any) -> None:
        if _MARK not in str(event.value):  # our own words come back as an event, some turns later
            self._napari_says = event.value
            if event.value != _IDLE:
                self._write()

    def _write(self) -> None:
        if not self._line:
            return
        says = self._napari_says
        if isinstance(says, dict):
            self._viewer.status = {**says, "coordinates": f"{says.get('coordinates', '')}{_MARK}{self._line}"}
        else:
            self._viewer.status = f"{'' if says == _IDLE else says}{_MARK}{self._line}"


def _same(a: Any, b: Any) -> bool:
    """Whether two keys are of the very same maps and the same gene."""
    if isinstance(a, tuple) and isinstance(b, tuple):
        return a[0] is b[0] and a[1] == b[1]
    return a is b
