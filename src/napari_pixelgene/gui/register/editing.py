"""What a person may do to the alignment, each a step of the history. No window here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from napari_pixelgene.gui.register import steps
from napari_pixelgene.gui.register.history import Choice, Draft
from napari_pixelgene.gui.register.pairs import Pairs, Point, Side
from napari_pixelgene.gui.register.work import Work


class Editor:
    """Edits `work`; `edited()` is called after each step, `look(index)` when a pair is to be looked at, `say(text)`
    with what Undo and Redo did."""

    def __init__(
        self, edited: Callable[[], None], look: Callable[[int], None], say: Callable[[str], None] = lambda _: None
    ) -> None:
        self.work: Work | None = None
        self._edited, self._look, self._say = edited, look, say

    def click(self, side: Side, point: Point) -> None:
        """A click in one image."""
        if self.work is not None:
            self._do(steps.clicked(self.work.pairs, side), self.work.pairs.clicked(side, point))

    def move(self, side: Side, index: int, point: Point) -> None:
        """A ring dragged elsewhere."""
        if self.work is not None:
            self._do(steps.moved(self.work.pairs, side, index), self.work.pairs.moved(side, index, point))

    def select(self, index: int) -> None:
        """Select a pair and look at it in both images; one that is not there does nothing."""
        if self.work is not None and index < len(self.work.pairs) + (self.work.pairs.half is not None):
            self._do("select", self.work.pairs.select(index))
            self._look(index)

    def step(self, by: int) -> None:
        """The next pair, or the one before; round and round."""
        count = 0 if self.work is None else len(self.work.pairs)
        if self.work is not None and count:
            at = self.work.pairs.selected
            self.select((at + by) % count if at is not None and at < count else 0 if by > 0 else count - 1)

    def switch(self, index: int, on: bool) -> None:
        """Let a pair count, or not."""
        if self.work is not None:
            self._do(steps.switched(index, on), self.work.pairs.enabled(index, on))

    def delete(self) -> None:
        """Remove the selected pair."""
        if self.work is not None and (chosen := self.work.pairs.selected) is not None:
            self._do(steps.deleted(self.work.pairs, chosen), self.work.pairs.removed())

    def drop_half(self) -> None:
        """Drop the point that waits for its partner."""
        if self.work is not None and self.work.pairs.half is not None:
            self._do(steps.deleted(self.work.pairs, len(self.work.pairs)), self.work.pairs.dropped())

    def choose(self, choice: Choice) -> None:
        """Another model."""
        if self.work is not None:
            self.change(steps.chosen(choice, self.work.draft.rough is not None), choice=choice)

    def mirror(self, mirrored: bool) -> None:
        """The images are mirrored, or not."""
        self.change(steps.mirrored(mirrored), mirrored=mirrored)

    def limit(self, limit_um: float) -> None:
        """Another limit of what is an outlier."""
        self.change(steps.limited(limit_um), limit_um=limit_um)

    def bring(self, name: str, draft: Draft) -> None:
        """What a file held."""
        if self.work is not None:
            self.work.do(name, draft)
            self._edited()

    def set_pairs(self, name: str, pairs: Pairs) -> None:
        """What was proposed and taken."""
        if self.work is not None:
            self._do(name, pairs)

    def change(self, name: str, **changes: Any) -> None:
        """A step that changes the draft's choices."""
        if self.work is not None:
            self.work.do(name, replace(self.work.draft, **changes))
            self._edited()

    def undo(self) -> None:
        """One step back."""
        if self.work is not None and self.work.history.undoable:
            self.work.undo()
            self._edited()
            self._say(self.work.said)

    def redo(self) -> None:
        """One step forth."""
        if self.work is not None and self.work.history.redoable:
            self.work.redo()
            self._edited()
            self._say(self.work.said)

    def _do(self, name: str, pairs: Pairs) -> None:
        assert self.work is not None
        self.work.set_pairs(name, pairs)
        self._edited()
