"""What is learned from and what is scored: a comparison's tasks, and of each a cell for every row."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.choosing import choose_captures
from napari_pixelgene.store.section import SectionStore

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.comparing.settings import CompareSettings, ModelChoice


@dataclass(frozen=True, slots=True)
class Task:
    """One question to all models. `train` and `test` are sections; without `test` the scored tissue lies in `train`:
    blocks, the `captures` named, or the `share` that the split holds out."""

    name: str
    words: str
    train: tuple[Path, ...]
    test: tuple[Path, ...] = ()
    captures: tuple[str, ...] = ()
    share: float = 0.0


@dataclass(frozen=True, slots=True)
class Cell:
    """One model with one encoder on one task."""

    task: Task
    choice: ModelChoice
    encoder: str

    @property
    def key(self) -> str:
        """A name for its files."""
        parts = (self.task.name, self.choice.title(), self.encoder)
        return "--".join(re.sub(r"[^A-Za-z0-9._=]+", "-", part).strip("-") for part in parts)


def cells_of(settings: CompareSettings) -> list[Cell]:
    """Every model with every of its encoders on every task; a task's cells one after the other."""
    return [
        Cell(task, choice, encoder)
        for task in tasks_of(settings)
        for choice in settings.models
        for encoder in choice.encoders or settings.encoders
    ]


def tasks_of(settings: CompareSettings) -> list[Task]:
    """The tasks of the split."""
    kind, sections = settings.split.kind, settings.sections
    if kind == "sections":
        return _left_out(sections)
    if kind == "captures":
        return [task for path in sections for task in _captures(path, settings.split.test_captures)]
    said = {
        "blocks": "blocks of {name}, each by models of the others",
        "random": "{share:.0%} of {name} drawn at random",
        "nearest": "the region of {share:.0%} of {name} around its rightmost unit",
        "pseudo-visium": "squares of {name} from spots made of it",
        "depth": "blocks of {name} from {share:.0%} of its depth",
    }[kind]
    shares = settings.split.all_shares() or (0.0,)
    return [
        Task(
            f"{_name(path)} {share:g}" if share else _name(path),
            said.format(name=_name(path), share=share), (path,), share=share,
        )
        for path in sections for share in shares
    ]  # fmt: skip


def _left_out(sections: Sequence[Path]) -> list[Task]:
    if len(sections) < 2:
        raise SettingsError(
            "One section alone cannot be scored by models of the others.",
            'Name more, or choose [split] kind = "blocks".',
        )
    return [
        Task(_name(path), f"{_name(path)} by models of the others", tuple(s for s in sections if s != path), (path,))
        for path in sections
    ]


def _captures(path: Path, named: Sequence[str]) -> list[Task]:
    (chosen,) = choose_captures([SectionStore.open(path)], (), ())
    wanted = [c for c in chosen.captures if not named or c in named or f"{_name(path)}/{c}" in named]
    if len(chosen.captures) < 2:
        raise SettingsError(f"{path.name} has one capture: there is no other to learn from.", "Choose another split.")
    return [
        Task(
            f"{_name(path)} {capture}", f"'{capture}' of {_name(path)} by models of its others", (path,), (), (capture,)
        )
        for capture in wanted
    ]


def _name(path: Path) -> str:
    return path.name.removesuffix(".section.zarr")
