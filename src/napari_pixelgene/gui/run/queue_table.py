"""The results of a queue as its table says."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from napari_pixelgene.gui.run.story import duration


@dataclass(frozen=True, slots=True)
class Result:
    """One slide: its name, what became of it, mm² of tissue, its section, and why it failed."""

    name: str
    result: str
    area: str
    section: str
    problem: str


def read_results(file: Path) -> list[Result]:
    """The rows of a queue's CSV; none where there is no such file yet."""
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as lines:
        return [_result(row) for row in csv.DictReader(lines)]


def _result(row: dict[str, str]) -> Result:
    problem = row.get("error", "")
    took = duration(float(row.get("seconds") or 0))
    area = row.get("tissue_mm2", "")
    said = "✗ failed" if problem else f"✓ {took}"
    return Result(Path(row["slide"]).name, said, f"{float(area):.1f}" if area else "", row.get("section", ""), problem)
