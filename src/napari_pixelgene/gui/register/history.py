"""Undo and redo of everything that decides the alignment: points, their switches, the model, imports. One history."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.gui.register.pairs import Pairs

Choice = Literal["auto", "given", "translation", "rigid", "similarity", "affine", "homography", "spline"]
# A proposal: which search found it, and its place in what was found.
PutAway = tuple[int, int]
_MOST = 500


@dataclass(frozen=True, slots=True, eq=False)
class Draft:
    """What a person has chosen for one capture.

    `given` is a matrix from a file or a rough alignment, used while `choice` is "given"; `rough` is the agreement of
    the latter, None for a matrix from a file. `put_away` are the proposals that were turned down.
    """

    pairs: Pairs = field(default_factory=Pairs)
    choice: Choice = "auto"
    mirrored: bool = False
    limit_um: float = 15.0
    given: Transform | None = None
    rough: float | None = None
    put_away: frozenset[PutAway] = frozenset()

    @property
    def is_rough(self) -> bool:
        """Whether a rough alignment is what holds."""
        return self.choice == "given" and self.rough is not None

    def with_pairs(self, pairs: Pairs) -> Draft:
        """The same choice over other pairs."""
        return replace(self, pairs=pairs)

    def settled(self) -> Draft:
        """Without the half pair and what was turned down, which no section keeps."""
        return replace(self, pairs=self.pairs.dropped(), put_away=frozenset())

    def same(self, than: Draft) -> bool:
        """Whether only the selection differs."""
        return (
            self.pairs.same_points(than.pairs)
            and (self.choice, self.mirrored, self.limit_um) == (than.choice, than.mirrored, than.limit_um)
            and self.given is than.given
            and self.put_away == than.put_away
        )


class History:
    """The drafts so far, and which of them is now. Each step is named by what it did (`steps`)."""

    def __init__(self, draft: Draft) -> None:
        self._steps: list[tuple[str, Draft]] = [("", draft)]
        self._at = 0

    @property
    def now(self) -> Draft:
        """What holds."""
        return self._steps[self._at][1]

    def do(self, name: str, draft: Draft) -> None:
        """A new step, which forgets what was undone; a mere selection is none."""
        if draft.same(self.now):
            self._steps[self._at] = (self._steps[self._at][0], draft)
            return
        self._steps = [*self._steps[: self._at + 1], (name, draft)][-_MOST:]
        self._at = len(self._steps) - 1

    @property
    def undoable(self) -> str:
        """The step that `undo` takes back, or nothing."""
        return self._steps[self._at][0] if self._at else ""

    @property
    def redoable(self) -> str:
        """The step that `redo` does again, or nothing."""
        return self._steps[self._at + 1][0] if self._at + 1 < len(self._steps) else ""

    def undo(self) -> Draft:
        """One step back."""
        self._at = max(0, self._at - 1)
        return self.now

    def redo(self) -> Draft:
        """One step forth."""
        self._at = min(len(self._steps) - 1, self._at + 1)
        return self.now
