"""What was proposed for the pairs, and what taking it makes of them. No window here.

A proposal stands as long as it can still be decided: taken, it is a step of the history and stands no more; undone,
it stands again; a pair that was moved or deleted meanwhile takes its own proposal with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from napari_pixelgene.elements.alignment import Frame
from napari_pixelgene.elements.matching import Proposal
from napari_pixelgene.gui.register.history import PutAway
from napari_pixelgene.gui.register.pairs import Pairs
from napari_pixelgene.pipeline.matching import contradicted, take_proposals


@dataclass(frozen=True, slots=True)
class Offer:
    """Proposals, the pairs they were made for, and which a person has turned down (by their place in the list).

    `search` tells one search's proposals from another's.
    """

    proposals: tuple[Proposal, ...]
    made_for: Pairs
    radius_um: float
    search: int = 0
    rejected: frozenset[int] = frozenset()

    @property
    def snaps(self) -> bool:
        """Whether pairs are moved; else new ones are added."""
        return any(one.row is not None for one in self.proposals)

    def row_now(self, index: int, pairs: Pairs) -> int | None:
        """Where the pair of a snap stands now; None where it is not as it was."""
        row = self.proposals[index].row
        if row is None:
            return None
        was = self.made_for.pairs[row]
        same = [i for i, one in enumerate(pairs.pairs) if (one.moving, one.fixed) == (was.moving, was.fixed)]
        return row if row in same else next(iter(same), None)

    def standing(self, pairs: Pairs) -> list[int]:
        """The proposals that can still be decided."""
        return [i for i in range(len(self.proposals)) if i not in self.rejected and self._stands(i, pairs)]

    def open(self, pairs: Pairs) -> list[int]:
        """Those of them that can be taken: for the others no clear match was found."""
        return [i for i in self.standing(pairs) if self.proposals[i].accepted]

    def label(self, index: int, pairs: Pairs) -> str:
        """A snap has its pair's number, a new pair a letter."""
        row = self.row_now(index, pairs)
        return chr(ord("a") + index % 26) if row is None else str(row + 1)

    def taken(self, indices: Iterable[int], pairs: Pairs, frame: Frame) -> Pairs:
        """The pairs with some proposals taken, the last of them selected; a half pair stays."""
        chosen = [replace(self.proposals[i], row=self.row_now(i, pairs)) for i in indices]
        if not chosen:
            return pairs
        made = Pairs.of(take_proposals(pairs.keypoints(frame), chosen))
        row = chosen[-1].row
        return Pairs(made.pairs, pairs.half, len(made) - 1 if row is None else row)

    def without(self, put_away: frozenset[PutAway]) -> Offer:
        """The same, as far as it was not turned down."""
        return replace(self, rejected=frozenset(i for search, i in put_away if search == self.search))

    def labels(self, indices: Iterable[int], pairs: Pairs) -> list[str]:
        """What several are called."""
        return [self.label(i, pairs) for i in indices]

    def doubtful(self, pairs: Pairs) -> list[int]:
        """Pairs that the snapped ones contradict, as they stand now: they had better be switched off."""
        rows = set(contradicted(self.proposals))
        indices = [i for i, one in enumerate(self.proposals) if one.row in rows and i not in self.rejected]
        found = [self.row_now(i, pairs) for i in indices]
        return [row for row in found if row is not None and pairs.pairs[row].enabled]

    def _stands(self, index: int, pairs: Pairs) -> bool:
        one = self.proposals[index]
        if one.row is not None:
            return self.row_now(index, pairs) is not None
        return all((pair.moving, pair.fixed) != (one.new_moving, one.fixed_xy) for pair in pairs.pairs)


def headline(offer: Offer, pairs: Pairs) -> str:
    """What is proposed, in a sentence."""
    standing, able = offer.standing(pairs), len(offer.open(pairs))
    if not offer.snaps:
        return f"{_count(able, 'new pair')} proposed, spread over the tissue. Nothing is changed until you accept."
    left = len(standing) - able
    rest = f" {_count(left, 'pair')} had no clear match within {offer.radius_um:g} µm." if left else ""
    if not able:
        return f"No pair can be moved.{rest}"
    return f"{_count(able, 'pair')} can be moved onto the nuclei.{rest} Nothing is changed until you accept."


def off_words(rows: list[int]) -> str:
    """The pairs that the others contradict, named."""
    numbers = [str(row + 1) for row in rows]
    named = numbers[0] if len(numbers) == 1 else f"{', '.join(numbers[:-1])} and {numbers[-1]}"
    return f"Switch off {named}"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
