"""Help with the pairs: a rough alignment, pairs suggested, pairs snapped. Proposals only, until a person takes them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import count
from typing import TYPE_CHECKING, Any

from napari_pixelgene.gui.dock import allow
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.register import steps
from napari_pixelgene.gui.register.busy import Busy
from napari_pixelgene.gui.register.help_box import Line
from napari_pixelgene.gui.register.proposals import Offer, headline, off_words
from napari_pixelgene.gui.register.sections_choice import SERIAL
from napari_pixelgene.gui.register.sketch import Sketch, draw_offer
from napari_pixelgene.gui.register.wording import ROUGH, SNAP, SUGGEST
from napari_pixelgene.pipeline.matching import snap_pairs, suggest_pairs
from napari_pixelgene.pipeline.rough import Rough, rough_alignment

if TYPE_CHECKING:
    from napari_pixelgene.elements.matching import Proposal
    from napari_pixelgene.gui.register.dock import RegisterDock
    from napari_pixelgene.gui.register.pairs import Side
    from napari_pixelgene.gui.register.work import Work

_NO_START = "There is nothing to start from: set two or more pairs, or press 'Rough alignment'"
_NO_NUCLEI = (
    "This run has no image of nuclei, only a picture of how its units lie: there is nothing to match. Set pairs by hand"
)


class Helping:
    """Answers the buttons of the help box; what it proposes is drawn in both canvases."""

    def __init__(self, dock: RegisterDock) -> None:
        self.dock = dock
        self.busy = Busy(lambda error: dock.fault.tell(error), dock.notes.hear)
        self._proposed: Offer | None = None
        self._searches = count(1)
        self.chosen: int | None = None  # among all proposals of the offer
        self.found: Rough | None = None
        self._turned = False
        self._sketches: dict[Side, Sketch] = {}

    @property
    def offer(self) -> Offer | None:
        """What was proposed last, without what a person put away: that is a step of the history."""
        work = self.dock.work
        return self._proposed.without(work.draft.put_away) if self._proposed is not None and work is not None else None

    def begin(self) -> list[Sketch]:
        """The canvases are there."""
        views = self.dock.views
        self._sketches = {side: Sketch(views.models[side]) for side in ("fixed", "moving")}
        self.busy.changed.connect(self._busy_changed)
        return list(self._sketches.values())

    # Rough alignment

    def align(self) -> None:
        """Find where the run lies."""
        self._start(
            "Looking where the run lies", lambda store, name, hear: rough_alignment(store, name, hear), self._aligned
        )

    def _aligned(self, found: Rough) -> None:
        self.found, self._turned = found, False
        self._show_rough()

    def turn_round(self) -> None:
        """Look at the next best placement, or at the best again."""
        self._turned = not self._turned
        self._show_rough()

    def _show_rough(self) -> None:
        found, work = self.found, self.dock.work
        assert found is not None and work is not None
        other = found.other if self._turned else None
        work.preview = other if other is not None else found.transform
        said = (
            f"This is the next best placement: agreement {found.runner_up:.2f} of 1." if self._turned else found.words
        )
        self._box.ask.show_words(f"{said} Look at it, then decide.", found.other is not None)
        self.dock.redraw()

    def keep(self) -> None:
        """It holds from now on, and can be undone."""
        found, work = self.found, self.dock.work
        if found is not None and work is not None:
            self.found = None
            work.keep_preview(found.runner_up if self._turned else found.score)
            self.dock.redraw()

    def discard(self) -> None:
        """As it was."""
        self.found = None
        if self.dock.work is not None:
            self.dock.work.preview = None
            self.dock.redraw()

    # Pairs

    def suggest(self) -> None:
        """New pairs where nuclei match."""
        work, box = self.dock.work, self._box
        if work is None:
            return
        given: dict[str, Any] = {
            "transform": work.transform,
            "keypoints": work.keypoints,
            "radius_um": box.far.value(),
        }
        self._start(
            "Looking for pairs",
            lambda store, name, hear: suggest_pairs(store, capture=name, on_event=hear, **given),
            self._take(box.far.value()),
        )

    def snap(self) -> None:
        """The pairs there are, moved onto the nuclei they meant."""
        work, radius = self.dock.work, self._box.near.value()
        if work is None:
            return
        pairs, transform = work.keypoints, work.transform
        self._start(
            "Comparing nuclei at the pairs",
            lambda store, name, hear: snap_pairs(store, pairs, transform, radius, name, hear),
            self._take(radius),
        )

    def _take(self, radius_um: float) -> Callable[[tuple[Proposal, ...]], None]:
        assert self.dock.work is not None
        made_for = self.dock.work.pairs

        def take(found: tuple[Proposal, ...]) -> None:
            self._proposed = Offer(found, made_for, radius_um, next(self._searches)) if found else None
            self.chosen = None
            self.reflect()

        return take

    def choose(self, line: int) -> None:
        """Look at a proposal in both images."""
        if self.offer is not None and self.dock.work is not None:
            standing = self.offer.standing(self.dock.work.pairs)
            self.chosen = standing[line]
            self.reflect()
            self._look()

    def accept(self) -> None:
        """The chosen one, and on to the next."""
        if self.chosen is not None:
            self._do([self.chosen])

    def accept_all(self) -> None:
        """All that have a clear match, in one step."""
        if self.offer is not None and self.dock.work is not None:
            self._do(self.offer.open(self.dock.work.pairs))

    def reject(self) -> None:
        """Put the chosen one away."""
        if self.offer is not None and self.chosen is not None:
            self._put_away([self.chosen])

    def reject_all(self) -> None:
        """Put all away, in one step."""
        if self.offer is not None and self.dock.work is not None:
            self._put_away(self.offer.standing(self.dock.work.pairs))

    def switch_off(self) -> None:
        """The pairs that the others contradict, in one step."""
        work, offer = self.dock.work, self.offer
        if work is not None and offer is not None:
            pairs, rows = work.pairs, offer.doubtful(work.pairs)
            for row in rows:
                pairs = pairs.enabled(row, False)
            self.dock.editor.set_pairs(steps.switched_off(rows), pairs)

    def _do(self, indices: list[int]) -> None:
        work, offer = self.dock.work, self.offer
        if work is None or offer is None or not indices:
            return
        name = steps.accepted(offer.labels(indices, work.pairs), offer.snaps)
        self._step_on(indices)
        self.dock.editor.set_pairs(name, offer.taken(indices, work.pairs, work.moving.frame))
        self._look()

    def _put_away(self, indices: list[int]) -> None:
        work, offer = self.dock.work, self.offer
        if work is None or offer is None or not indices:
            return
        self._step_on(indices)
        gone = work.draft.put_away | {(offer.search, i) for i in indices}
        self.dock.editor.change(steps.put_away(offer.labels(indices, work.pairs)), put_away=gone)
        self._look()

    def _step_on(self, leaving: Iterable[int]) -> None:
        """Choose the next of those that stay."""
        assert self.offer is not None and self.dock.work is not None
        gone = set(leaving)
        stay = [i for i in self.offer.standing(self.dock.work.pairs) if i not in gone]
        after = [i for i in stay if self.chosen is not None and i > self.chosen]
        self.chosen = next(iter(after or stay), None) if self.chosen is not None else None

    # What is seen

    def _look(self) -> None:
        """Both images at the proposal that is chosen."""
        if self.offer is not None and self.chosen is not None:
            one, seated = self.offer.proposals[self.chosen], self.dock.views.seated
            self.dock.views.link.look_close(seated("fixed", [one.fixed_xy])[0], seated("moving", [one.new_moving])[0])

    def take(self) -> None:
        """Another capture, or none: what was proposed for the last one is gone."""
        self.busy.stop()
        for work in self.dock.works.values():
            work.preview = None
        self._proposed = self.chosen = self.found = None
        for sketch in self._sketches.values():
            sketch.remove()

    def reflect(self) -> None:
        """Buttons, list and drawings as the work has them now."""
        work = self.dock.work
        if work is None:
            return
        self._allow(work)
        if self.found is None:
            self._box.ask.show_words("", False)
        self._list(work)

    def _busy_changed(self) -> None:
        self.reflect()
        self.dock.judging.reflect()

    def set_visible(self, visible: bool) -> None:
        """Proposals are seen with the dock only."""
        for sketch in self._sketches.values():
            sketch.set_visible(visible)

    def _list(self, work: Work) -> None:
        offer, pairs = self.offer, work.pairs
        standing = offer.standing(pairs) if offer is not None else []
        doubtful = offer.doubtful(pairs) if offer is not None else []
        if offer is None or not (standing or doubtful):
            self._box.show_offer("", (), None, 0, "")
            for sketch in self._sketches.values():
                sketch.remove()
            return
        self.chosen = self.chosen if self.chosen in standing else None
        chosen = standing.index(self.chosen) if self.chosen is not None else None
        lines = [_line(offer.proposals[i], offer.label(i, pairs)) for i in standing]
        off = off_words(doubtful) if doubtful else ""
        self._box.show_offer(headline(offer, pairs), lines, chosen, len(offer.open(pairs)), off)
        self._sketches["fixed"].metadata = {"role": "proposals", "section": str(self.dock.session.require().path)}
        draw_offer(self._sketches, self.dock.views, offer, standing, chosen)

    def _allow(self, work: Work) -> None:
        box = self._box
        busy = f"First wait for it, or cancel: {self.busy.what}" if self.busy.running else ""
        asked = "First keep or discard the rough alignment" if self.found is not None else ""
        start = "" if work.transform is not None else _NO_START
        serial = SERIAL if self.dock.controls.sections.mark == "serial" else ""
        nuclei = _NO_NUCLEI if work.moving.channels[0].name.startswith("density of ") else serial
        pairs = "" if any(pair.enabled for pair in work.pairs.pairs) else "There is no pair to snap yet"
        allow(box.rough, busy or asked, ROUGH)
        allow(box.suggest, busy or asked or nuclei or start, SUGGEST)
        allow(box.snap, busy or asked or nuclei or pairs or start, SNAP)

    @property
    def _box(self) -> Any:
        return self.dock.controls.help

    def _start(self, what: str, function: Callable[..., Any], done: Callable[[Any], None]) -> None:
        guarded(lambda dock: dock.helping._run(what, function, done))(self.dock)

    def _run(self, what: str, function: Callable[..., Any], done: Callable[[Any], None]) -> None:
        dock = self.dock
        assert dock.work is not None
        self._proposed = self.chosen = None
        self.reflect()
        dock.notes.clear()
        dock.save()
        store, name = dock.session.require(), dock.work.moving.capture
        self.busy.run(what, lambda hear: function(store, name, hear), done)


def _line(one: Proposal, label: str) -> Line:
    if not one.accepted:
        return Line(label, "–", "–", one.why)
    return Line(label, f"{one.shift_um:.1f} µm", f"{100 * one.confidence:.0f} %")
