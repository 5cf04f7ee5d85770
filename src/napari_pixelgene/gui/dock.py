"""What all four docks share: the session, the four states, the fault box, the one next thing to do.

A dock is `empty` (nothing is open, or what it needs is not there: it says what to do), `loading`, `full` or `broken`
(with the sentence, the next step and a way to try again). It scrolls, so that 320 px and a low screen are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, ClassVar

from qtpy.QtCore import QSize, Qt
from qtpy.QtWidgets import (
    QDockWidget,
    QFrame,
    QHBoxLayout,
    QLabel,
    QLayout,
    QMainWindow,
    QProgressBar,
    QPushButton,
    QScrollArea,
    QSizePolicy,
    QStackedWidget,
    QVBoxLayout,
    QWidget,
)

from napari_pixelgene.gui.faults import FaultBox
from napari_pixelgene.gui.session import Session, on, session_of
from napari_pixelgene.gui.wording import in_window
from napari_pixelgene.progress import Note

EMPTY, LOADING, FULL, BROKEN = "empty", "loading", "full", "broken"
NARROW = 320


class Dock(QWidget):
    """Base of the docks. A child fills `self.body` (and perhaps `self.empty_body`) and answers `refresh`."""

    title: ClassVar[str]

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__()
        self.session: Session = session_of(napari_viewer)
        self.setObjectName(f"pixelgene-{self.title.lower()}")
        self.fault = FaultBox()
        self.notes = Notes()
        self.body, self.empty_body = QVBoxLayout(), QVBoxLayout()
        self._loading = QLabel("…")
        self._loading_bar = QProgressBar()
        self._stop: Callable[[], Any] | None = None
        self.stop_button = button("Cancel", lambda: self._stop() if self._stop is not None else None)
        self._broken = FaultBox()
        self._pages = QStackedWidget()
        for page in (self._empty_page(), self._loading_page(), self._full_page(), self._broken_page()):
            self._pages.addWidget(page)
        layout = self.column = QVBoxLayout(self)
        layout.setContentsMargins(6, 6, 6, 6)
        layout.addWidget(self._pages, 1)
        layout.addWidget(self.notes)
        layout.addWidget(self.fault)
        self._holder: QDockWidget | None = None
        self.setMinimumWidth(NARROW - 20)
        # Else napari puts a stretch below us, and half the dock is empty.
        self.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Expanding)
        for event in (self.session.closing, self.session.opened):  # what was said, was said of what is gone
            on(event, self._fall_silent, self)
        on(self.session.opened, self.refresh, self)
        on(self.session.changed, self._changed, self)

    def sizeHint(self) -> QSize:
        """Wide enough for its words, and no wider."""
        return QSize(380, 700)

    def minimumSizeHint(self) -> QSize:
        """It scrolls below that."""
        return QSize(NARROW - 20, 200)

    def showEvent(self, event: Any) -> None:
        """The tab says the dock's own short name, not the plugin's."""
        holder = self.parent()
        while holder is not None and not isinstance(holder, QDockWidget):
            holder = holder.parent()
        if holder is not None:
            _entitle(holder, self.title)
            if self._holder is not holder:
                self._holder = holder
                holder.visibilityChanged.connect(self.brought)
                self._catch_drops(holder)
        super().showEvent(event)

    def _fall_silent(self) -> None:
        """Notes and faults of an earlier section, or of none, stand over no other."""
        self.notes.clear()
        self.fault.clear()

    def brought(self, to_front: bool) -> None:
        """The dock came to the front, or went behind another: Qt hides no dock behind a tab, it tells this only."""

    def _catch_drops(self, holder: QDockWidget) -> None:
        """From now on runs may be dropped anywhere on the window that the dock is in."""
        from napari_pixelgene.gui.dropping import catch_drops

        main = holder.parent()
        if isinstance(main, QMainWindow):
            catch_drops(main, self, self.session.viewer)

    # States

    @property
    def state(self) -> str:
        """empty, loading, full or broken."""
        return (EMPTY, LOADING, FULL, BROKEN)[self._pages.currentIndex()]

    def show_empty(self) -> None:
        """Nothing to show yet; `empty_body` says what to do."""
        self._pages.setCurrentIndex(0)

    def show_loading(self, what: str, fraction: float | None = None, cancel: Callable[[], Any] | None = None) -> None:
        """Something is being read or made; `what` is a sentence, `fraction` how much of it is done."""
        self._loading.setText(what)
        self._loading_bar.setRange(0, 0 if fraction is None else 1000)
        self._loading_bar.setValue(0 if fraction is None else round(1000 * fraction))
        self.stop_button.setVisible(cancel is not None)
        self._stop = cancel
        self._pages.setCurrentIndex(1)

    def show_full(self) -> None:
        """Everything is there."""
        self._pages.setCurrentIndex(2)
        chain_tabs(self.body)

    def show_broken(self, error: BaseException) -> None:
        """What the dock is about cannot be had."""
        self._broken.tell(error)
        self._pages.setCurrentIndex(3)

    def refresh(self) -> None:
        """Look at the session anew. Children override it; called when another section is open."""

    def _changed(self, what: str) -> None:
        """Some of the section is new on disk. Children override it when they need not look at everything."""
        self.refresh()

    # Pages

    def _empty_page(self) -> QWidget:
        return _scrolled(self.empty_body)

    def _full_page(self) -> QWidget:
        return _scrolled(self.body)

    def _loading_page(self) -> QWidget:
        column = QVBoxLayout()
        self._loading.setWordWrap(True)
        column.addWidget(self._loading)
        column.addWidget(self._loading_bar)
        column.addLayout(row(self.stop_button))
        return _scrolled(column)

    def _broken_page(self) -> QWidget:
        again = button("Try again", self.refresh)
        column = QVBoxLayout()
        column.addWidget(self._broken)
        column.addWidget(again)
        return _scrolled(column)


class Notes(QLabel):
    """What must be said but is no error: the last few lines, until they are read."""

    _MOST = 3

    def __init__(self) -> None:
        super().__init__()
        self.setWordWrap(True)
        self.setObjectName("notes")
        self.setToolTip("Click to put away.")
        self._lines: list[str] = []
        self.hide()

    def hear(self, *notes: Note) -> None:
        """Show what work had to say."""
        for note in notes:
            self.add(note.text, note.level)

    def add(self, text: str, level: str = "info") -> None:
        """Show a line below the others."""
        line = f"{'⚠' if level == 'warning' else 'ℹ'} {in_window(text)}"
        self._lines = [*(each for each in self._lines if each != line), line][-self._MOST :]
        self.setText("\n".join(self._lines))
        self.show()

    def clear(self) -> None:
        """Put all lines away."""
        self._lines = []
        self.setText("")
        self.hide()

    def mousePressEvent(self, event: Any) -> None:
        """A click puts them away."""
        self.clear()


def _entitle(holder: QDockWidget, title: str) -> None:
    """Tab and title bar say the dock's name, whatever the menu entry was called that opened it."""
    holder.setWindowTitle(title)
    bar = holder.titleBarWidget()
    for label in bar.findChildren(QLabel) if bar is not None else ():
        if label.text().endswith("(PixelGene)"):
            label.setText(f"{title} (PixelGene)")


def _scrolled(layout: QLayout) -> QWidget:
    """A page that scrolls down, never sideways."""
    inner = QWidget()
    outer = QVBoxLayout(inner)
    outer.setContentsMargins(0, 0, 0, 0)
    outer.addLayout(layout)
    outer.addStretch()
    area = QScrollArea()
    area.setWidget(inner)
    area.setWidgetResizable(True)
    area.setFrameShape(QFrame.Shape.NoFrame)
    area.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
    return area


def button(text: str, does: Callable[..., Any], tip: str = "") -> QPushButton:
    """A push button that may be narrow; `text` may hold a & for its key."""
    made = QPushButton(text)
    made.setToolTip(tip)
    made.clicked.connect(lambda: does())
    made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    return made


def chain_tabs(layout: QLayout) -> None:
    """Let Tab go through a layout's widgets as the eye does; Qt goes in the order in which they were made."""
    before: QWidget | None = None
    for widget in _in_order(layout):
        if before is not None:
            QWidget.setTabOrder(before, widget)
        before = widget


def _in_order(layout: QLayout) -> Iterator[QWidget]:
    """What can have the focus, from top to bottom."""
    for place in range(layout.count()):
        item = layout.itemAt(place)
        inner = item.layout() if item is not None else None
        if inner is not None:
            yield from _in_order(inner)
        widget = item.widget() if item is not None else None
        if widget is None:
            continue
        if widget.focusPolicy() & Qt.FocusPolicy.TabFocus:
            yield widget
        elif (within := widget.layout()) is not None:
            yield from _in_order(within)


def allow(widget: QWidget, why_not: str = "", tip: str = "") -> None:
    """Enable a widget, or disable it with the reason as its tooltip; its own tip comes back with it."""
    if tip or widget.property("tip") is None:
        widget.setProperty("tip", tip or widget.toolTip())
    widget.setEnabled(not why_not)
    widget.setToolTip(why_not or str(widget.property("tip")))


def words(text: str, name: str = "") -> QLabel:
    """A paragraph that wraps."""
    made = QLabel(text)
    made.setWordWrap(True)
    made.setObjectName(name)
    made.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    return made


def heading(text: str) -> QLabel:
    """A small heading inside a dock."""
    made = QLabel(text)
    made.setStyleSheet("font-weight: bold; margin-top: 6px;")
    return made


def row(*widgets: QWidget, stretch: bool = True) -> QHBoxLayout:
    """Widgets side by side, from the left."""
    made = QHBoxLayout()
    for widget in widgets:
        made.addWidget(widget)
    if stretch:
        made.addStretch()
    return made
