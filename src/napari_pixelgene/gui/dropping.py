"""What is dropped anywhere on napari's window, while a dock of ours is open in it: a run or a section is ours.

Everything else (several paths, a remote address, any other file or folder) goes to napari as if we were not there.
Qt delivers a drag to the widget under the mouse that takes drops, else to the window: both are listened to, through
Qt's own filters, which go with the widgets they are on.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any
from weakref import ref

from qtpy.QtCore import QEvent, QObject, Qt, QTimer, QUrl
from qtpy.QtWidgets import QMainWindow, QWidget

from napari_pixelgene.pipeline.sources.finding import find_run
from napari_pixelgene.store.section import SUFFIX

_KINDS = (QEvent.Type.DragEnter, QEvent.Type.DragMove, QEvent.Type.Drop)
# With Alt napari asks which plugin shall read, with Shift it stacks: a person wants napari then.
_NAPARIS = Qt.KeyboardModifier.AltModifier | Qt.KeyboardModifier.ShiftModifier


def catch_drops(main: QMainWindow, dock: QWidget, viewer: Any) -> None:
    """Listen to what is dropped on a viewer's window, and on a dock of it, which may float."""
    catcher = main.findChild(DropCatcher) or DropCatcher(main, viewer)
    dock.setAcceptDrops(True)
    dock.installEventFilter(catcher)


def local_paths(urls: Iterable[QUrl]) -> list[Path]:
    """Those that are files or folders of this machine."""
    return [Path(url.toLocalFile()) for url in urls if url.isLocalFile()]


def ours(urls: list[QUrl]) -> Path | None:
    """The section or run that exactly one local path is, or holds; None for everything else."""
    paths = local_paths(urls)
    if len(urls) != 1 or not paths:
        return None
    return paths[0] if is_section(paths[0]) else find_run(paths[0])


def is_section(path: Path) -> bool:
    """Whether it is called one; what is wrong with it is said when it is opened."""
    return path.name.endswith(SUFFIX) and path.is_dir()


def take(viewer: Any, path: Path) -> None:
    """Open a section, or the New dialog with a run, in the Section dock."""
    from napari_pixelgene.gui.docks import show_dock

    dock: Any = show_dock(viewer, "Section")
    (dock.open_path if is_section(path) else dock.offer)(path)


class DropCatcher(QObject):
    """Lives as long as the window, and does nothing while no dock of ours is open."""

    def __init__(self, main: QMainWindow, viewer: Any) -> None:
        super().__init__(main)
        self._viewer = ref(viewer)  # the window must not keep its viewer alive
        self._seen: tuple[list[QUrl], Path | None] = ([], None)
        main.setAcceptDrops(True)
        for widget in _targets(main):
            widget.installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Take what is ours, and leave the rest alone."""
        if event.type() not in _KINDS:
            return False
        viewer = self._viewer()
        if viewer is None or event.modifiers() & _NAPARIS or not _is_open(viewer):  # type: ignore[attr-defined]
            return False
        path = self._path(event.mimeData().urls())  # type: ignore[attr-defined]
        if path is None:
            return False
        event.acceptProposedAction()  # type: ignore[attr-defined]
        if event.type() == QEvent.Type.Drop:
            # Where it was dragged from waits until this returns.
            QTimer.singleShot(0, lambda: take(viewer, path))
        elif event.type() == QEvent.Type.DragEnter:
            opens = "open this section" if is_section(path) else "make a section of this run"
            viewer.status = f"Drop it to {opens} with PixelGene. Hold Alt to let napari read it."
        return True

    def _path(self, urls: list[QUrl]) -> Path | None:
        """Looked at once, and not at every move of the mouse."""
        if urls != self._seen[0]:
            self._seen = (urls, ours(urls))
        return self._seen[1]


def _targets(main: QMainWindow) -> Iterator[QWidget]:
    """The window, and what takes drops in its middle, where the canvas is."""
    yield main
    middle = main.centralWidget()
    if middle is not None:
        yield from (each for each in (middle, *middle.findChildren(QWidget)) if each.acceptDrops())


def _is_open(viewer: Any) -> bool:
    from napari_pixelgene.gui.docks import DOCKS, _dock_of

    return any(_dock_of(viewer, title) is not None for title in DOCKS)
