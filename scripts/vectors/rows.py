"""What a row of the table says."""

from __future__ import annotations

from dataclasses import dataclass

SAME, OURS, LATER = "matched", "different on purpose", "not yet"


@dataclass(frozen=True)
class Row:
    """What became of an entry, why where we differ or wait, and the test (file::function) that shows it."""

    verdict: str
    why: str = ""
    test: str = ""
