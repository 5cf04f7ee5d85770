"""What each step of the history is called: the sentence that Undo and Redo say. Values only.

A name is in the past tense and names the pair, so that "Undo: moved pair 3 in the H&E" tells what goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_pixelgene.gui.register.history import Choice
from napari_pixelgene.gui.register.kinds import title
from napari_pixelgene.gui.register.pairs import Pairs, Side

_IN: dict[Side, str] = {"fixed": "in the H&E", "moving": "in the run's image"}


def clicked(pairs: Pairs, side: Side) -> str:
    """A click in one image, before it is done."""
    number = len(pairs) + 1
    if pairs.half is None:
        return f"set point {number} {_IN[side]}"
    return f"moved point {number} {_IN[side]}" if pairs.half.side == side else f"set pair {number}"


def moved(pairs: Pairs, side: Side, index: int) -> str:
    """A ring dragged elsewhere."""
    return f"moved {_called(pairs, index)} {_IN[side]}"


def switched(index: int, on: bool) -> str:
    """A pair that counts from now on, or does not."""
    return f"switched pair {index + 1} {'on' if on else 'off'}"


def switched_off(rows: Sequence[int]) -> str:
    """Several pairs at once that the others contradict."""
    return f"switched off {_numbers('pair', rows)}"


def deleted(pairs: Pairs, index: int) -> str:
    """A pair removed, or the point that waited for its partner."""
    return f"{'deleted' if index < len(pairs) else 'dropped'} {_called(pairs, index)}"


def chosen(choice: Choice, rough: bool) -> str:
    """Another model."""
    if choice == "given":
        return "went back to the rough alignment" if rough else "went back to the given matrix"
    return f"chose the model {title(choice)}"


def mirrored(on: bool) -> str:
    """One image is turned over, or not."""
    return f"said that the images are {'' if on else 'not '}mirrored"


def limited(limit_um: float) -> str:
    """Another limit of what is an outlier."""
    return f"set the outlier limit to {limit_um:g} µm"


def imported(path: Path | None, meant: bool) -> str:
    """What a file held, as it is or as it is probably meant."""
    if meant:
        return "took the pairs as they are meant"
    return f"imported {path.name}" if path is not None else "imported pairs"


def accepted(labels: Sequence[str], snaps: bool) -> str:
    """Proposals that were taken."""
    return f"snapped {_named('pair', labels)}" if snaps else f"accepted {_named('proposed pair', labels)}"


def put_away(labels: Sequence[str]) -> str:
    """Proposals that were turned down."""
    return f"rejected {_named('proposal', labels)}"


def undone(step: str) -> str:
    """The sentence after Undo."""
    return f"Undone: {step}."


def redone(step: str) -> str:
    """The sentence after Redo."""
    return f"Done again: {step}."


def _called(pairs: Pairs, index: int) -> str:
    """A whole pair, or the point that waits for its partner."""
    return f"{'pair' if index < len(pairs) else 'point'} {index + 1}"


def _numbers(what: str, rows: Sequence[int]) -> str:
    return _named(what, [str(row + 1) for row in rows])


def _named(what: str, labels: Sequence[str]) -> str:
    """pair 3; pairs 3 and 7; 12 pairs."""
    if len(labels) == 1:
        return f"{what} {labels[0]}"
    if len(labels) > 4:
        return f"{len(labels)} {what}s"
    return f"{what}s {', '.join(labels[:-1])} and {labels[-1]}"
