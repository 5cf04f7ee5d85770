"""Every run of a section, finished or not, as rows of a list: out of the store, and out of the jobs of this user."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene import jobs
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.run.choices import Choices, choices_of, toml_of
from napari_pixelgene.gui.run.story import correlation, duration

if TYPE_CHECKING:
    from napari_pixelgene.gui.run.candidates import Candidate
    from napari_pixelgene.jobs import Job
    from napari_pixelgene.store.section import SectionStore

SIGNS = {"done": "✓", "failed": "✗", "cancelled": "■", "lost": "✗", "running": "…", "stale": "✓ !"}
STATES = {
    "done": "finished",
    "failed": "failed",
    "cancelled": "stopped; Run continues it",
    "lost": "interrupted",
    "running": "running",
    "stale": "finished, but what it learned from has changed since",
}


@dataclass(frozen=True, slots=True)
class Row:
    """One run. `about` is what the section says of it, None for one that never got so far; `job` its latest job."""

    name: str
    state: str
    about: Mapping[str, Any] | None = None
    job: Job | None = None
    mapped: bool = False

    @property
    def sign(self) -> str:
        """How it ended, as one character."""
        return SIGNS[self.state]

    @property
    def model(self) -> str:
        """The model's name."""
        return str(self.about["model"]) if self.about else str(_table(self.job, "fit").get("model", ""))

    @property
    def score(self) -> str:
        """Held-out r and, in brackets, chance; empty where it was not scored."""
        scores = (self.about or {}).get("scores") or {}
        r, chance = scores.get("held_out_r"), scores.get("chance")
        if r is None:
            return ""
        return f"{correlation(r)} ({correlation(chance)})" if chance is not None else correlation(r)

    @property
    def took(self) -> str:
        """How long it worked."""
        if self.job is not None:
            return duration(self.job.seconds())
        seconds = (self.about or {}).get("seconds")
        return duration(seconds) if seconds is not None else ""

    @property
    def verdict(self) -> str:
        """What its scores mean, in a sentence."""
        return str(((self.about or {}).get("scores") or {}).get("verdict") or "")


def rows_of(store: SectionStore) -> list[Row]:
    """The section's runs, the newest first; without those that only served to score another."""
    from napari_pixelgene.pipeline.describing import describe

    said = describe(store)
    stored = {run["name"]: run for run in said["runs"] if run["purpose"] != "evaluation"}
    mapped = {each["name"] for each in said["maps"]}
    latest = _latest_jobs(store.path.resolve(), set(stored))
    rows = []
    for name in dict.fromkeys([*latest, *stored]):
        job, about = latest.get(name), stored.get(name)
        state = _state(job, about is not None and name in mapped, f"training/{name}" in said["stale"])
        rows.append(Row(name, state, about, job, name in mapped))
    return sorted(rows, key=_age)


def run_of(job: Job) -> str:
    """The name of the run that a job makes or asks."""
    return str(_table(job, "fit").get("run") or _table(job, "predict").get("run") or "")


def table_of(job: Job) -> Path | None:
    """Where a queue writes its results; None for any other job."""
    file = _table(job, "predict").get("table")
    return Path(file) if file else None


def same_unfinished(choices: Choices) -> bool:
    """Whether the newest job of that name asked for just this and was not finished: it can be continued."""
    place = choices.train[0].resolve() if choices.train else None
    latest = next((job for job in jobs.all() if place in job.sections and run_of(job) == choices.run), None)
    if latest is None or latest.state() in ("done", "running"):
        return False
    return _config_text(latest) == toml_of(choices)


def choices_again(row: Row, here: Path, found: Sequence[Candidate]) -> Choices:
    """What was chosen for that run, to be chosen again under another name."""
    from napari_pixelgene.pipeline.learning import FitSettings

    if row.about is None:
        assert row.job is not None
        return choices_of(row.job.config)
    if row.job is not None and row.job.config.is_file():
        return choices_of(row.job.config)
    train = tuple(each.path for each in found if each.name in row.about["train"]) or (here,)
    return Choices(train, (here,), row.name, FitSettings.make(row.about["settings"]), bool(row.score))


def details(row: Row, store: SectionStore) -> str:
    """All that is known of a run, to be read and copied."""
    lines = [f"{row.name}: {STATES[row.state]}"]
    fault = row.job.fault() if row.job is not None else None
    if fault is not None:
        lines += [f"✗ {fault.problem} {fault.mend}", fault.details]
    if row.about is None:
        return "\n".join([*lines, _config_text(row.job)]).strip()
    return "\n".join([*lines, *_from_store(row, store)]).strip()


def _from_store(row: Row, store: SectionStore) -> list[str]:
    from napari_pixelgene.pipeline.config import to_toml
    from napari_pixelgene.store.models import run_meta

    about, meta = row.about or {}, run_meta(store, row.name)
    where = (
        f"Trained on {', '.join(about['train'])} · {about['genes']:,} genes · {about['encoder']} · {about['device']}"
    )
    versions = ", ".join(f"{name} {version}" for name, version in meta["versions"].items())
    genes = ", ".join(meta["genes"][:40]) + (" …" if len(meta["genes"]) > 40 else "")
    when = f"Finished {about['finished']}" if about.get("finished") else ""
    parts = [row.verdict, where, when, f"Versions: {versions}", f"Genes: {genes}", "Settings:"]
    return [*(part for part in parts if part), to_toml(_without_none(about["settings"]))]


def _state(job: Job | None, finished: bool, stale: bool) -> str:
    state = job.state() if job is not None else "done"
    if state == "running":
        return state
    if finished:
        return "stale" if stale else "done"
    return state


def _latest_jobs(place: Path, stored: set[str]) -> dict[str, Job]:
    """The newest job of every run of this section; without those whose run was finished and deleted since."""
    found: dict[str, Job] = {}
    for job in jobs.all():  # the newest first
        if job.kind == "run" and place in job.sections and (name := run_of(job)):
            found.setdefault(name, job)
    return {name: job for name, job in found.items() if name in stored or job.state() != "done"}


def _age(row: Row) -> float:
    from datetime import datetime

    if row.job is not None:
        return -row.job.started
    finished = (row.about or {}).get("finished")
    return -datetime.fromisoformat(finished).timestamp() if finished else 0.0


def _table(job: Job | None, name: str) -> Mapping[str, Any]:
    """A table of a job's settings file; empty where it cannot be read."""
    try:
        tables = tomllib.loads(_config_text(job))
    except tomllib.TOMLDecodeError:
        return {}
    found = tables.get(name, {})
    return found if isinstance(found, dict) else {}


def _config_text(job: Job | None) -> str:
    try:
        return job.config.read_text(encoding="utf-8") if job is not None else ""
    except OSError:
        return ""


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(each) for key, each in value.items() if each is not None}
    return value


def remove(row: Row, store: SectionStore) -> None:
    """Delete a run, its maps and its job. Raises PixelGeneError while it runs."""
    from napari_pixelgene.pipeline.removing import remove_run

    if row.job is not None and row.job.state() == "running":
        raise PixelGeneError(f"'{row.name}' is still running.", "Cancel it first.")
    remove_run(store, row.name)
    if row.job is not None:
        jobs.forget(row.job)
