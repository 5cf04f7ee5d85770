"""Outcomes into a table: who is best on this tissue, by how much, how sure that is, and at what cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.arithmetic.bootstrap import block_draws, drawn_pearson, interval
from napari_pixelgene.elements.scores import above_chance

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.pipeline.comparing.running import Outcome

_CONTROLS = ("permuted", "total_only", "nuclear", "position", "ceiling")


@dataclass(frozen=True, slots=True)
class Row:
    """One model with one encoder over all tasks; what cannot be had is None.

    `by_capture` is the headline, the mean Pearson of log1p(CP10k), for each scored capture of each task. `behind` is
    how far it is behind the best row and `behind_interval` the middle 95 % of that over draws of tissue blocks;
    `alone` the same interval of its own score.
    """

    label: str
    model: str
    encoder: str
    log: float | None
    counts: float | None
    by_capture: dict[str, float]
    controls: dict[str, float | None]
    measures: dict[str, float | None]
    seconds: float | None
    peak_mb: float | None
    context: str
    errors: tuple[str, ...]
    alone: tuple[float, float] | None = None
    behind: float | None = None
    behind_interval: tuple[float, float] | None = None

    def as_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return {name: getattr(self, name) for name in self.__slots__}


def leaderboard(outcomes: Sequence[Outcome], draws: int, seed: int) -> list[Row]:
    """One row a model and encoder, best first; those that failed everywhere stand last."""
    groups: dict[tuple[str, str], list[Outcome]] = {}
    for outcome in outcomes:
        groups.setdefault((outcome.cell.choice.title(), outcome.cell.encoder), []).append(outcome)
    rows = [(_row(group), _drawn(group, draws, seed)) for group in groups.values()]
    rows.sort(key=lambda pair: -(pair[0].log if pair[0].log is not None else -2.0))
    best, best_drawn = rows[0] if rows else (None, {})
    return [_beside(row, drawn, best, best_drawn) for row, drawn in rows]


def _row(group: Sequence[Outcome]) -> Row:
    done = [o for o in group if not o.error]
    captures = [(f"{o.cell.task.name}: {name}", c) for o in done for name, c in o.values["captures"].items()]
    logs = {key: c["log"]["pearson_mean"] for key, c in captures if c["log"]["pearson_mean"] is not None}
    return Row(
        label=group[0].cell.choice.title(),
        model=group[0].cell.choice.name,
        encoder=group[0].cell.encoder,
        log=_mean(list(logs.values())),
        counts=_mean([c["counts"]["pearson_mean"] for _, c in captures]),
        by_capture=logs,
        controls={name: _mean([c["log"].get(f"{name}_pearson_mean") for _, c in captures]) for name in _CONTROLS},
        measures=_measures([c for _, c in captures]),
        seconds=_mean([sum(o.values["seconds"].values()) for o in done]),
        peak_mb=max((float(o.values["peak_mb"]) for o in done), default=None),
        context=", ".join(dict.fromkeys(o.values["context"] for o in done)),
        errors=tuple(f"{o.cell.task.name}: {o.error}" for o in group if o.error),
    )


def _measures(captures: Sequence[dict[str, Any]]) -> dict[str, float | None]:
    """{quantity.measure, or scale.quantity.measure: mean over captures}."""
    found: dict[str, list[float]] = {}
    for capture in captures:
        tables = {"": capture["measures"]}
        tables |= {f"{um} µm.": {q: s[q] for q in ("log", "counts")} for um, s in capture.get("scales", {}).items()}
        for prefix, table in tables.items():
            for quantity, values in table.items():
                for name, value in values.items():
                    found.setdefault(f"{prefix}{quantity}.{name}", []).append(value)
        for side, value in capture.get("icc", {}).items():
            found.setdefault(f"icc.{side}", []).append(value)
    return {name: _mean(values) for name, values in found.items()}


def _drawn(group: Sequence[Outcome], draws: int, seed: int) -> dict[str, FloatArray]:
    """{task and capture: (draws,) headline in every draw of its blocks}; the same draws for every row."""
    out: dict[str, FloatArray] = {}
    for outcome in group:
        if outcome.error or not outcome.arrays.exists():
            continue
        with np.load(outcome.arrays) as kept:
            for name in outcome.values["captures"]:
                log, truth, block = (kept[f"{name}:{part}"] for part in ("log", "truth", "block"))
                key = f"{outcome.cell.task.name}: {name}"
                out[key] = drawn_pearson(log, truth, block_draws(block, draws, seed))
    return out


def _beside(row: Row, drawn: dict[str, FloatArray], best: Row | None, best_drawn: dict[str, FloatArray]) -> Row:
    """The row with its intervals: alone, and against the best one on the captures that both scored."""
    if row.log is None or best is None or not drawn:
        return row
    alone = interval(np.mean(list(drawn.values()), axis=0))
    shared = [key for key in drawn if key in best_drawn]
    if row is best or not shared:
        return replace(row, alone=alone)
    behind = float(np.mean([best.by_capture[k] - row.by_capture[k] for k in shared if k in row.by_capture]))
    differences = np.mean([best_drawn[k] - drawn[k] for k in shared], axis=0)
    return replace(row, alone=alone, behind=behind, behind_interval=interval(differences))


def said(rows: Sequence[Row]) -> str:
    """Who leads, and which rows cannot be told from the first on this tissue."""
    scored = [row for row in rows if row.log is not None]
    if not scored:
        return "No model gave a score."
    best = scored[0]
    chance = best.controls.get("permuted") or 0.0
    if not above_chance(best.log, chance):
        return f"No model is better than chance here: the best, {best.label}, reaches {best.log:.2f}."
    head = f"{_named(best, scored)} leads with a held-out r of {best.log:.3f} (chance {chance:.2f})."
    close = [r for r in scored[1:] if r.behind_interval is not None and r.behind_interval[0] <= 0]
    if close:
        names = ", ".join(f"{_named(r, scored)} ({r.log:.3f})" for r in close)
        return f"{head} Not told apart from it on this tissue: {names}."
    return (
        f"{head} Every other model is behind by more than draws of the tissue's blocks explain." if scored[1:] else head
    )


def _named(row: Row, rows: Sequence[Row]) -> str:
    several = len({r.encoder for r in rows}) > 1
    return f"{row.label} on {row.encoder}" if several else row.label


def _mean(values: Sequence[float | None]) -> float | None:
    finite = [float(v) for v in values if v is not None and np.isfinite(v)]
    return float(np.mean(finite)) if finite else None
