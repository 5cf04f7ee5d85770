"""A comparison as files: JSON, a table, a page."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.pipeline.comparing.leaderboard import Row, leaderboard, said
from napari_pixelgene.pipeline.comparing.running import run_comparison
from napari_pixelgene.pipeline.comparing.tasks import tasks_of
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.store import provenance

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.comparing.settings import CompareSettings

SCHEMA = 1


def compare(settings: CompareSettings, folder: Path, on_event: OnEvent = silent) -> list[Row]:
    """Run what is not done yet; write comparison.json, leaderboard.csv and comparison.html into `folder`."""
    from napari_pixelgene.report.comparison_page import build_comparison

    outcomes = run_comparison(settings, folder, on_event)
    rows = leaderboard(outcomes, settings.draws, settings.seed)
    words = [task.words for task in tasks_of(settings)]
    content: dict[str, Any] = {
        "schema": SCHEMA,
        "said": said(rows),
        "settings": settings.model_dump(mode="json"),
        "tasks": words,
        "rows": [row.as_dict() for row in rows],
        "cells": {o.cell.key: {k: v for k, v in o.values.items() if k != "fingerprint"} for o in outcomes},
        "versions": provenance.versions("torch", "scipy", "scikit-learn"),
    }
    text = json.dumps(_without_nan(content), indent=1, allow_nan=False)
    (folder / "comparison.json").write_text(text + "\n", encoding="utf-8")
    _write_table(rows, folder / "leaderboard.csv")
    page = build_comparison(content["said"], words, [row.as_dict() for row in rows])
    (folder / "comparison.html").write_text(page, encoding="utf-8")
    return rows


def table_lines(rows: Sequence[Row]) -> list[str]:
    """The leaderboard for a terminal."""
    head = ("", "log r", "95 %", "counts r", "chance", "total only", "nuclei", "ceiling", "s", "MB")
    lines = [tuple(head)]
    for row in rows:
        if not row.measures:
            continue
        between = "" if row.alone is None else f"{row.alone[0]:.3f} to {row.alone[1]:.3f}"
        controls = (_number(row.controls.get(c)) for c in ("permuted", "total_only", "nuclear", "ceiling"))
        ends = (f"{row.seconds:.0f}" if row.seconds is not None else "", f"{row.peak_mb:.0f}" if row.peak_mb else "")
        name = f"{row.label} · {row.encoder}"
        lines.append((name, _number(row.log), between, _number(row.counts), *controls, *ends))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    out = [
        "  ".join([line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))])
        for line in lines
    ]
    return out + [f"{row.label} · {row.encoder} failed on {error}" for row in rows for error in row.errors]


def _write_table(rows: Sequence[Row], path: Path) -> None:
    plain = [_flat(row) for row in rows]
    names = list(dict.fromkeys(name for each in plain for name in each))
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names, restval="")
        writer.writeheader()
        writer.writerows(plain)


def _flat(row: Row) -> dict[str, Any]:
    low, high = row.alone or (None, None)
    behind_low, behind_high = row.behind_interval or (None, None)
    out: dict[str, Any] = {
        "label": row.label, "model": row.model, "encoder": row.encoder, "log_r": row.log, "log_r_low": low,
        "log_r_high": high, "behind": row.behind, "behind_low": behind_low, "behind_high": behind_high,
        "counts_r": row.counts, **{f"control_{k}": v for k, v in row.controls.items()}, "seconds": row.seconds,
        "peak_mb": row.peak_mb, "context": row.context, "failed": "; ".join(row.errors),
    }  # fmt: skip
    return out | row.measures


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _without_nan(value: Any) -> Any:
    """JSON has no NaN: what is undefined is null."""
    if isinstance(value, dict):
        return {k: _without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
