"""The four docks together: opened tabbed by one menu entry, each also alone, one of a kind in a viewer."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QDockWidget, QWidget

from napari_pixelgene.gui.session import session_of

if TYPE_CHECKING:
    from napari import Viewer

    from napari_pixelgene.gui.dock import Dock

PLUGIN = "napari-pixelgene"
# In the order of the journey: title, and where the widget is.
DOCKS = {
    "Section": "section.dock:SectionDock",
    "Register": "register.dock:RegisterDock",
    "Run": "run.dock:RunDock",
    "Genes": "genes.dock:GenesDock",
}


def all_docks(napari_viewer: Viewer) -> Dock:
    """What *Plugins ▸ PixelGene ▸ All four docks* opens: the Section dock, and the others behind it.

    napari puts the returned widget into the window after this; the others follow in the next turn of the event loop.
    """
    shown = _dock_of(napari_viewer, "Section")
    QTimer.singleShot(0, lambda: open_docks(napari_viewer))
    return shown or dock_class("Section")(napari_viewer)


def open_docks(viewer: Viewer) -> None:
    """All four, tabbed, Section in front. Those that are open already stay as they are."""
    for title in DOCKS:
        show_dock(viewer, title)
    show_dock(viewer, "Section")


def show_dock(viewer: Viewer, title: str) -> Dock:
    """Bring a dock to the front, opened beside the others if it is not there yet."""
    dock = _dock_of(viewer, title)
    if dock is None:
        dock = dock_class(title)(viewer)
        others = [_holder(d) for t in DOCKS if t != title and (d := _dock_of(viewer, t)) is not None]
        beside = next((holder for holder in others if holder is not None), None)
        held = viewer.window.add_dock_widget(dock, name=f"{title} (PixelGene)", area="right", tabify=False)
        if beside is not None:
            viewer.window._qt_window.tabifyDockWidget(beside, held)
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


def _dock_of(viewer: Viewer, title: str) -> Any | None:
    """The dock of that title in a viewer's window, if it is there."""
    found: Any = viewer.window._qt_window.findChild(QWidget, f"pixelgene-{title.lower()}")
    return found


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
