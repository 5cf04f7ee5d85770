"""Which gene of which run a viewer shows, and how: one map layer, one layer of measured counts beside it. No Qt here.

The layers are the truth: what a person hides, deletes or recolours in napari's own list is taken as it is, and made
again when the next gene is picked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from weakref import WeakSet

from psygnal import Signal

from napari_pixelgene.errors import StoreError
from napari_pixelgene.gui.genes.legend import draw_legend, legend
from napari_pixelgene.gui.genes.looks import Limits, Look, measured_limits, predicted_limits
from napari_pixelgene.gui.genes.map_layers import COUNTS, MAP, counts_layer, is_map, limits_of, paint, swap_counts
from napari_pixelgene.gui.layers import KEY, first_gene, map_layer, swap_gene
from napari_pixelgene.gui.session import VERDICT

if TYPE_CHECKING:
    from napari.layers import Layer

    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.gui.session import Session
    from napari_pixelgene.pipeline.measured_maps import MeasuredMaps


class Browser:
    """The genes of one session. `changed` is emitted when another gene, run or look is shown, `pinned` with the pins,
    `renewed` when the maps are others than before."""

    changed = Signal()
    pinned = Signal()
    renewed = Signal()

    def __init__(self, session: Session) -> None:
        self.session = session
        self.maps: Expression | None = None
        self.measured: MeasuredMaps | None = None
        self.gene = ""
        self.pins: list[str] = []
        self.look = Look()
        self.by_hand: Limits | None = None  # limits that a person drew for this gene alone
        self.wants_measured = False
        self._busy = False
        self._watched: WeakSet[Any] = WeakSet()
        session.opened.connect(self._opened)
        session.changed.connect(self._renewed)
        layers = session.viewer.layers
        layers.events.inserted.connect(self._inserted)
        layers.events.removed.connect(self._removed)
        for layer in layers:
            self._watch(layer)
        self._opened()

    # What is shown

    def show(self, gene: str) -> None:
        """Show a gene in the map layer, made again where it was deleted, shown again where nothing of it is seen."""
        if self.maps is None:
            raise StoreError("This section has no predicted maps.", "Train and predict in the Run dock.")
        self.maps.genes.index(gene)  # an unknown gene is told before anything changes
        if gene != self.gene:
            self.by_hand = None
        self.gene = gene
        with self._quietly():
            self._lay_predicted()
            self._lay_measured()
            self._paint()
            layer = self.session.layer(MAP)
            if layer is not None and not any(self.shown()):
                layer.visible = True
        self._tell()

    def choose_run(self, run: str) -> None:
        """The maps of another run, with the same gene where it has it."""
        from napari_pixelgene.store.maps import read_maps

        self.maps = read_maps(self.session.require(), run)
        self.show(self.gene if self.gene in self.maps.genes else first_gene(self.maps))
        self.renewed.emit()

    def shown(self) -> tuple[bool, bool]:
        """Whether the predicted and the measured map are visible."""
        predicted, measured = self.session.layer(MAP), self.session.layer(COUNTS)
        return bool(predicted is not None and predicted.visible), bool(measured is not None and measured.visible)

    def show_predicted(self, visible: bool) -> None:
        """Show or hide the predicted map."""
        layer = self.session.layer(MAP)
        if layer is not None:
            layer.visible = visible
        elif visible:
            self.show(self.gene)

    def show_measured(self, visible: bool) -> None:
        """Show or hide the measured counts; shown as soon as they are opened."""
        self.wants_measured = visible
        layer = self.session.layer(COUNTS)
        if layer is not None:
            layer.visible = visible
        if visible and self.maps is not None:
            with self._quietly():
                self._lay_measured()
                self._paint()
        self._tell()

    def take_measured(self, measured: MeasuredMaps | None) -> None:
        """The section's measured maps are open, or cannot be had."""
        self.measured = measured
        if self.wants_measured:
            self.show_measured(True)
        self._tell()

    def measures(self) -> bool:
        """Whether this gene was measured in this section."""
        return self.measured is not None and self.gene in self.measured.genes

    # How

    def set_look(self, look: Look) -> None:
        """Other contrast or colours, for this gene and those to come."""
        self.look = look
        self.draw_by_hand(None)

    def draw_by_hand(self, limits: Limits | None) -> None:
        """Limits for this gene alone, as a person draws them with napari's own slider; None: those of the look."""
        self.by_hand = limits
        with self._quietly():
            self._paint()
        self._tell()

    def limits(self) -> Limits | None:
        """The display limits now."""
        layer = self.session.layer(MAP) or self.session.layer(COUNTS)
        return None if layer is None else limits_of(layer)

    # Pins

    def pin(self, gene: str, pinned: bool = True) -> None:
        """Keep a gene at hand, or no longer."""
        kept = [each for each in self.pins if each != gene]
        self.pins = [*kept, gene] if pinned else kept
        self.pinned.emit()

    # Layers

    def _lay_predicted(self) -> None:
        assert self.maps is not None
        layer = self.session.layer(MAP)
        if layer is None:
            self.session.add(map_layer(self.maps, self.gene, self.session.require().path))
        else:
            limits = self.by_hand or predicted_limits(self.maps, self.gene, self.look)
            swap_gene(layer, self.maps, self.gene, limits)

    def _lay_measured(self) -> None:
        """Swap the measured counts, or add their layer when they are wanted; hidden where the gene was not measured."""
        layer = self.session.layer(COUNTS)
        if self.measured is None or self.maps is None or not (self.wants_measured or layer is not None):
            return
        if layer is None and self.measures():
            self.session.add(counts_layer(self.measured, self.maps, self.gene, self.session.require().path))
        elif layer is not None:
            if self.measures():
                swap_counts(layer, self.measured, self.gene)
            visible = self.measures() and self.wants_measured
            if layer.visible != visible:  # napari draws anew even where nothing changes
                layer.visible = visible

    def _paint(self) -> None:
        """Limits and colours of both layers."""
        if self.maps is None or not self.gene:
            return
        limits = self.by_hand or predicted_limits(self.maps, self.gene, self.look)
        predicted, measured = self.session.layer(MAP), self.session.layer(COUNTS)
        if predicted is not None:
            paint(predicted, limits, self.look.colormap)
        if measured is not None:
            paint(
                measured, limits if self.look.linked else measured_limits(measured.data, self.look), self.look.colormap
            )

    # What a person does in napari's own list

    def _watch(self, layer: Layer) -> None:
        if not is_map(layer) or layer in self._watched:
            return
        self._watched.add(layer)
        layer.events.contrast_limits.connect(self._limits_moved)
        layer.events.colormap.connect(self._recoloured)
        layer.events.visible.connect(self._touched)

    def _inserted(self, event: Any) -> None:
        self._watch(event.value)
        self._removed(event)

    def _removed(self, event: Any) -> None:
        if is_map(event.value):
            self._touched()

    def _limits_moved(self, event: Any) -> None:
        if self._busy or event.source not in self.session.layers():
            return
        limits = limits_of(event.source)
        other = self.session.layer(COUNTS if event.source is self.session.layer(MAP) else MAP)
        if self.look.numbers is not None:
            self.look = replace(self.look, numbers=limits)
        elif event.source is self.session.layer(MAP) or self.look.linked:
            self.by_hand = limits
        if self.look.linked and other is not None:
            with self._quietly():
                paint(other, limits, self.look.colormap)
        self._tell()

    def _recoloured(self, event: Any) -> None:
        if self._busy or event.source not in self.session.layers():
            return
        self.look = replace(self.look, colormap=event.source.colormap.name)
        for role in (MAP, COUNTS):
            layer = self.session.layer(role)
            if layer is not None and layer is not event.source:
                with self._quietly():
                    layer.colormap = event.source.colormap
        self._tell()

    def _touched(self, event: Any = None) -> None:
        """A layer came, went, was shown or hidden."""
        if not self._busy:
            measured = self.session.layer(COUNTS)
            if measured is not None and self.measures():
                self.wants_measured = measured.visible
            self._tell()

    # Sections

    def _opened(self) -> None:
        """Another section, or none."""
        shown = self.session.shown
        self.maps = shown.maps if shown is not None else None
        self.measured, self.wants_measured = None, False
        self.pins, self.look, self.by_hand = [], Look(), None
        layer = self.session.layer(MAP)
        self.gene = ""
        if self.maps is not None and len(self.maps.genes):
            self.gene = layer.metadata[KEY]["gene"] if layer is not None else first_gene(self.maps)
        self.renewed.emit()
        self._tell()

    def _renewed(self, what: str) -> None:
        """Something of the section is new on disk: maps may have come, gone or changed."""
        from napari_pixelgene.store.maps import read_maps

        store, run = self.session.store, self.maps.run if self.maps is not None else ""
        if store is None or what == VERDICT:  # no map is another by it
            return
        runs = store.mapped_runs()
        self.measured = None
        self.maps = read_maps(store, run if run in runs else runs[0]) if runs else None
        if self.maps is not None and what in ("maps", "runs"):
            self.show(self.gene if self.gene in self.maps.genes else first_gene(self.maps))
        self.renewed.emit()

    def _tell(self) -> None:
        if not self._busy:
            self._draw_legend()
            self.changed.emit()

    def _draw_legend(self) -> None:
        predicted, measured = self.session.layer(MAP), self.session.layer(COUNTS)
        units = (
            self.maps.unit if self.maps is not None else "",
            measured.metadata[KEY]["unit"] if measured is not None else "",
        )
        says = legend(self.gene, *units, self.shown(), self.look.linked)
        draw_legend(self.session.viewer, says, predicted, measured)

    @contextmanager
    def _quietly(self) -> Iterator[None]:
        """Changes of ours are not taken for a person's."""
        was, self._busy = self._busy, True
        try:
            yield
        finally:
            self._busy = was


def browser_of(session: Session) -> Browser:
    """The browser of a session, made the first time it is asked for."""
    if session.browser is None:
        session.browser = Browser(session)
    return session.browser
