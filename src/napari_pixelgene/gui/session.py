"""One evented session per viewer: which section is open, what of it is shown, which gene. The docks share it.

A dock reads the session and listens to its signals; it never talks to another dock. Layers are found by what their
metadata says, so that a layer a person deleted is simply not there, and is made again when it is asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy as np
from psygnal import Signal

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import PixelGeneError, StoreError
from napari_pixelgene.gui.contrasts import Contrasts
from napari_pixelgene.gui.layers import KEY, LayerData
from napari_pixelgene.gui.recent import remember
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.store.section import SectionStore

if TYPE_CHECKING:
    from napari.components import ViewerModel
    from napari.layers import Layer

    from napari_pixelgene.gui.genes.browser import Browser
    from napari_pixelgene.gui.remembering import Memory
    from napari_pixelgene.pipeline.showing import ShownSection

# What of a section can change under the docks' eyes (the argument of `Session.changed`).
FILES, TISSUE, ALIGNMENT, VERDICT, RUNS, MAPS = "files", "tissue", "alignment", "verdict", "runs", "maps"


class Session:
    """The section that is open in one viewer.

    `opened` is emitted when another section, or none, is open; `changed(what)` when some of it is new on disk;
    `noted(Note)` when something must be said that belongs to no button; `asked(dock)` when another dock is to be
    brought to the front.
    """

    opened = Signal()
    changed = Signal(str)
    noted = Signal(object)
    asked = Signal(str)
    closing = Signal()  # the section is about to be left: what is worth keeping is written now

    def __init__(self, viewer: ViewerModel) -> None:
        self.viewer = viewer
        self.store: SectionStore | None = None
        self.shown: ShownSection | None = None
        self.why_read_only = ""
        self.docks_listen = False  # whether `asked` is answered by this viewer's docks
        self.browser: Browser | None = None  # which gene is shown (`genes.browser.browser_of`)
        self.contrasts = Contrasts()
        self.turned: FloatArray | None = None  # (3, 3) from H&E µm to the canvas, where Register has it turned freely
        self.memory: Memory | None = None  # how the section is left, kept in it (`remembering`)
        viewer.layers.events.inserted.connect(self._inserted)

    # What is open

    def open(self, path: Path) -> None:
        """Open a section in the stead of the one that is open. Raises PixelGeneError; then the old one stays."""
        path = Path(path).absolute()
        if self.store is not None and self.store.path == path and self.layer("he") is not None:
            return  # it is open already, and shown
        from napari_pixelgene.gui.reader import section_layers, show_scale_bar_of
        from napari_pixelgene.pipeline.showing import open_section

        store, why = _store(path)
        notes: list[Event] = []
        shown = open_section(store, notes.append)
        layers = section_layers(shown)
        self.close()
        self._take(store, shown, why)
        for data in layers:
            self.add(data)
        show_scale_bar_of(self.viewer)
        self.viewer.reset_view()
        self.opened.emit()
        if self.memory is not None:
            self.memory.settle()
        for note in notes:
            self.hear(note)

    def adopt(self, path: Path) -> None:
        """Take over a section whose layers napari's reader has added already."""
        from napari_pixelgene.pipeline.showing import open_section

        store, why = _store(path)
        notes: list[Event] = []
        self._take(store, open_section(store, notes.append), why)
        self.opened.emit()
        for note in notes:
            self.hear(note)

    def close(self) -> None:
        """Leave the section: its layers go, everything else stays."""
        if self.store is None:
            return
        with self.viewer.layers.batched_update():  # else napari looks for garbage after each layer
            self.closing.emit()
            for layer in self.layers():
                with suppress(ValueError):  # a person may have deleted it meanwhile
                    self.viewer.layers.remove(layer)
        self.store, self.shown, self.why_read_only = None, None, ""

    def reload(self, what: str) -> None:
        """Something of the section was written anew: look again, and tell the docks."""
        from napari_pixelgene.pipeline.showing import open_section

        if self.store is None:
            return
        try:
            self.shown = open_section(self.store)
        except PixelGeneError as error:  # its folder or slide went away meanwhile; what is drawn stays
            self.warn(str(error))
            return
        self.changed.emit(what)

    def require(self) -> SectionStore:
        """The open section."""
        if self.store is None:
            raise StoreError("No section is open.", "Open one in the Section dock.")
        return self.store

    def require_writable(self) -> SectionStore:
        """The open section, when it can be written."""
        store = self.require()
        if self.why_read_only:
            raise StoreError(f"{store.path.name} cannot be changed: {self.why_read_only}", "Copy it to your own disk.")
        return store

    def place_um(self, xy: FloatArray) -> FloatArray:
        """A place (x, y) of the canvas in H&E µm: the same, but for a slide that is looked at under a free angle."""
        if self.turned is None:
            return xy
        x, y, _ = np.linalg.inv(self.turned) @ (*xy, 1.0)
        return np.array([x, y])

    # Layers

    def layers(self, role: str | None = None, **says: Any) -> list[Layer]:
        """The layers of the open section whose metadata says so, bottom to top."""
        home = str(self.store.path) if self.store is not None else None
        wanted = {**({"role": role} if role else {}), **says, "section": home}
        metadata = ((layer, layer.metadata.get(KEY, {})) for layer in self.viewer.layers)
        return [layer for layer, has in metadata if has and all(has.get(k) == v for k, v in wanted.items())]

    def layer(self, role: str, **says: Any) -> Layer | None:
        """The topmost of `layers`, or None where a person deleted it."""
        return next(reversed(self.layers(role, **says)), None)

    def add(self, data: LayerData) -> Layer:
        """Add the layer of a tuple, as napari's own reader path does."""
        from napari.layers import Layer

        return self.viewer.add_layer(Layer.create(*data))

    def roles(self) -> set[str]:
        """The roles that layers of the open section can have, also those a person deleted."""
        from napari_pixelgene.gui.reader import section_layers

        if self.shown is None:
            return set()
        return {str(says["metadata"][KEY]["role"]) for _, says, _ in section_layers(self.shown)}

    def restore(self, role: str) -> None:
        """Add the layers of a role again, which a person deleted."""
        from napari_pixelgene.gui.reader import section_layers

        for data in section_layers(self.shown) if self.shown is not None else ():
            if data[1]["metadata"][KEY]["role"] == role:
                layer = self.add(data)
                if role == "he":
                    self.viewer.layers.move(self.viewer.layers.index(layer), 0)

    # Words

    def hear(self, event: Event) -> None:
        """The `on_event` of quick work: notes are shown, progress of quick work is not."""
        if isinstance(event, Note):
            self.noted.emit(event)

    def warn(self, text: str) -> None:
        """Say what may be wrong."""
        self.noted.emit(Note(text, "warning"))

    def _take(self, store: SectionStore, shown: ShownSection, why_read_only: str) -> None:
        self.store, self.shown, self.why_read_only = store, shown, why_read_only
        remember(store.path)

    def _inserted(self, event: Any) -> None:
        says = event.value.metadata.get(KEY)
        if not says:
            self._without_units(event.value)
        elif says.get("role") == "he" and self.store is None:
            try:
                self.adopt(Path(says["section"]))
            except PixelGeneError as error:  # its layers are there; the docks say why they cannot work with it
                self.warn(str(error))

    def _without_units(self, layer: Layer) -> None:
        """One layer without µm makes the scale bar lose its unit."""
        if self.store is not None and any(str(unit) in ("pixel", "dimensionless") for unit in layer.units):
            self.warn(
                f"The layer '{layer.name}' has no size in µm: while it is here the scale bar shows no unit, and it "
                "does not lie in place. Set its scale and units, or remove it."
            )


_SESSIONS: WeakKeyDictionary[Any, Session] = WeakKeyDictionary()


def session_of(viewer: Any) -> Session:
    """The session of a viewer, made the first time it is asked for; it adopts a section that is shown already."""
    model = getattr(viewer, "__wrapped__", viewer)  # napari hands plugins a proxy
    if model not in _SESSIONS:
        from napari_pixelgene.gui.remembering import remember_view
        from napari_pixelgene.gui.warming import warm_up

        warm_up()
        made = _SESSIONS[model] = Session(model)
        _adopt_shown(made)
        remember_view(made)
    return _SESSIONS[model]


def _adopt_shown(session: Session) -> None:
    for layer in session.viewer.layers:
        says = layer.metadata.get(KEY, {})
        if says.get("role") == "he":
            with suppress(PixelGeneError):  # gone since; the layers stay as they are
                session.adopt(Path(says["section"]))
            return


def _store(path: Path) -> tuple[SectionStore, str]:
    """The section for writing where that is allowed, else for reading, with the reason."""
    try:
        return SectionStore.open(path), ""
    except StoreError as error:
        store = SectionStore.open(path, writable=False)  # another fault is raised again here
        return store, error.problem


def on(signal: Any, function: Callable[..., Any], widget: Any) -> None:
    """Connect until the widget is destroyed."""
    signal.connect(function)

    def leave(*_: Any) -> None:
        signal.disconnect(function, missing_ok=True)

    widget.destroyed.connect(leave)
