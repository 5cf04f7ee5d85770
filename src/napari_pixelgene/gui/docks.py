"""The four docks together: opened tabbed by one menu entry, each also alone, one of a kind in a viewer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QMainWindow

from napari_pixelgene.gui.section.dock import SectionDock
from napari_pixelgene.gui.session import session_of

if TYPE_CHECKING:
    from napari import Viewer

    from napari_pixelgene.gui.dock import Dock

# In the order of the journey: title, and where the widget is.
DOCKS = {
    "Section": "section.dock:SectionDock",
    "Register": "register.dock:RegisterDock",
    "Run": "run.dock:RunDock",
    "Genes": "genes.dock:GenesDock",
}


class AllDocks(SectionDock):
    """What *Plugins ▸ PixelGene ▸ All four docks* opens: the Section dock, and the others tabbed behind it.

    napari puts this widget into the window after it was made; the others follow in the next turn of the event loop.
    """

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        viewer = _model(napari_viewer)
        older = _dock_of(viewer, "Section")
        QTimer.singleShot(0, lambda: _gather(viewer, older))


def open_docks(viewer: Viewer) -> None:
    """All four, tabbed, Section in front. Those that are open already stay as they are."""
    first = _holder(show_dock(viewer, "Section"))
    for title in DOCKS:
        holder = _holder(show_dock(viewer, title))
        if first is None or holder is None or holder is first:
            continue
        if isinstance(main := first.parent(), QMainWindow):
            main.tabifyDockWidget(first, holder)
    show_dock(viewer, "Section")


def show_dock(viewer: Viewer, title: str) -> Dock:
    """Bring a dock to the front, opened beside the others if it is not there yet."""
    viewer = _model(viewer)
    dock = _dock_of(viewer, title)
    if dock is None:
        dock = dock_class(title)(viewer)
        beside = _any_holder(viewer)
        held = viewer.window.add_dock_widget(dock, name=f"{title} (PixelGene)", area="right")
        if beside is not None and isinstance(main := beside.parent(), QMainWindow):
            main.tabifyDockWidget(beside, held)
    holder = _holder(dock)
    if holder is not None:
        holder.show()
        holder.raise_()
    _listen(viewer)
    return dock


def dock_class(title: str) -> type[Dock]:
    """The widget of a dock, loaded when it is opened."""
    module, name = DOCKS[title].split(":")
    found: type[Dock] = getattr(import_module(f"napari_pixelgene.gui.{module}"), name)
    return found


def _gather(viewer: Viewer, older: Dock | None) -> None:
    """Open what is missing; a Section dock that was there before gives way to the new one."""
    if older is not None:
        viewer.window.remove_dock_widget(older)
    open_docks(viewer)


def _model(viewer: Any) -> Any:
    """The viewer behind the proxy that napari hands to plugins."""
    return getattr(viewer, "__wrapped__", viewer)


def _dock_of(viewer: Viewer, title: str) -> Any | None:
    """The dock of that title in a viewer's window, if it is there."""
    inner = (_inner(widget) for widget in viewer.window.dock_widgets.values())
    return next((widget for widget in inner if widget.objectName() == f"pixelgene-{title.lower()}"), None)


def _inner(widget: Any) -> Any:
    """The Qt widget itself, also where magicgui wraps it."""
    return getattr(widget, "native", widget)


def _any_holder(viewer: Viewer) -> QDockWidget | None:
    """Where one of our docks is, so that the next can be tabbed beside it."""
    found = (_holder(dock) for title in DOCKS if (dock := _dock_of(viewer, title)) is not None)
    return next((holder for holder in found if holder is not None and not holder.isFloating()), None)


def _holder(dock: Any) -> QDockWidget | None:
    """The dock widget around one of ours."""
    parent = dock.parent()
    while parent is not None and not isinstance(parent, QDockWidget):
        parent = parent.parent()
    return parent


def _listen(viewer: Viewer) -> None:
    """Docks ask for one another through the session."""
    session = session_of(viewer)
    if not session.docks_listen:
        session.docks_listen = True
        session.asked.connect(lambda title: show_dock(viewer, title))
