"""One base error and a handful of children, each saying what is wrong and how to mend it.

A `PixelGeneError` is for people: one sentence that names the file and the row or field, what was
expected, and the next step. The command line prints it and exits with code 2; a dock shows it at
the field. Anything else that escapes is a defect of ours.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class PixelGeneError(ValueError):
    """Something a person can mend. The message is a sentence and its next step."""

    def __init__(self, problem: str, mend: str = "") -> None:
        self.problem = problem.strip()
        self.mend = mend.strip()
        super().__init__(f"{self.problem} {self.mend}".strip())


class InputError(PixelGeneError):
    """A file, row or field is not what it should be."""


class TooFewUnits(InputError):
    """So little was measured that nothing is left to learn from once something is held out."""


class SettingsError(PixelGeneError):
    """A setting has no such name, or its value is out of range."""


class RegistrationError(PixelGeneError):
    """Keypoints or a matrix cannot give a trustworthy transform."""


class MirrorError(RegistrationError):
    """The keypoints fit only with one image turned over."""


class StoreError(PixelGeneError):
    """A section store is missing something, is stale, is read-only or was written by a newer version."""


class MissingDependency(PixelGeneError):
    """An optional package or a weight file is not here; the message names the command that brings it."""


class Cancelled(Exception):
    """Raised by a progress callback to stop long work at the next tile, epoch or batch."""


def unknown_name(kind: str, asked: str, available: Iterable[str]) -> SettingsError:
    """The error for a name that is not in a table: what was asked, what there is, the nearest one."""
    names = sorted(available)
    near = get_close_matches(asked, names, n=1)
    hint = f"Did you mean '{near[0]}'? " if near else ""
    shown = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return SettingsError(f"There is no {kind} named '{asked}'.", f"{hint}Choose one of: {shown}.")
