"""What a person has chosen in the Run dock, as a value; into the settings file of a run and back."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import PixelGeneError

if TYPE_CHECKING:
    from napari_pixelgene.gui.run.candidates import Candidate
    from napari_pixelgene.pipeline.config import RunConfig
    from napari_pixelgene.pipeline.learning import FitSettings

# So many unknown genes are named.
_NAMED = 5


@dataclass(frozen=True, slots=True)
class Choices:
    """One run: train on these sections, predict those, score on held-out blocks or not."""

    train: tuple[Path, ...]
    predict: tuple[Path, ...]
    run: str
    fit: FitSettings
    score: bool = True

    def sections(self) -> tuple[Path, ...]:
        """All that the run writes into, each once."""
        return tuple(dict.fromkeys([*self.train, *self.predict]))


def config_of(choices: Choices) -> RunConfig:
    """The steps of the run."""
    from napari_pixelgene.pipeline.config import EvaluateStep, FitStep, PredictStep, RunConfig

    fit = FitStep.make({**choices.fit.model_dump(), "train": choices.train, "run": choices.run})
    predict = PredictStep(sections=choices.predict, device=choices.fit.device) if choices.predict else None
    evaluate = EvaluateStep(seed=choices.fit.seed) if choices.score else None
    return RunConfig(fit=fit, predict=predict, evaluate=evaluate)


def toml_of(choices: Choices) -> str:
    """What `pixelgene run` reads."""
    from napari_pixelgene.pipeline.config import to_toml

    tables = config_of(choices).tables()
    for table, keys in {"predict": ("run",), "evaluate": ("train", "test")}.items():
        for key in keys:  # left out, they are those of [fit]
            tables.get(table, {}).pop(key, None)
    return to_toml(tables)


def choices_of(config: Path) -> Choices:
    """The choices behind a settings file. Raises SettingsError for one without [fit]."""
    from napari_pixelgene.errors import SettingsError
    from napari_pixelgene.pipeline.config import read_config
    from napari_pixelgene.pipeline.learning import FitSettings

    read = read_config(config)
    if read.fit is None:
        raise SettingsError("Nothing was trained there.", "Choose a run that was.")
    predicted = read.predict.sections if read.predict else ()
    return Choices(read.fit.train, predicted, read.fit.run, read.fit.part(FitSettings), read.evaluate is not None)


def suggested_name(model: str, taken: Iterable[str]) -> str:
    """`model-1`, or the number after the last one that is taken."""
    matches = [re.fullmatch(rf"{re.escape(model)}-(\d+)", name) for name in taken]
    return f"{model}-{max((int(found[1]) for found in matches if found), default=0) + 1}"


def taken_names(chosen: Sequence[Candidate]) -> set[str]:
    """Names of runs that the chosen sections hold already."""
    return {name for each in chosen for name in each.runs}


def why_not(choices: Choices, found: Sequence[Candidate], continued: bool = False) -> str:
    """Why this cannot be run, in one sentence; empty when it can. `continued`: the run of that name is unfinished."""
    from napari_pixelgene.store.ledger import require_name

    by_path = {each.path: each for each in found}
    if not choices.train:
        return _no_training(found)
    try:
        require_name(choices.run)
    except PixelGeneError as error:
        return str(error) if choices.run else "Give the run a name."
    chosen = [by_path[path] for path in choices.sections() if path in by_path]
    if choices.run in taken_names(chosen) and not continued:
        return f"There is a run '{choices.run}' already, which is kept: give this one another name."
    common = common_genes(choices.train, found)
    return _why_not_these(choices.fit.genes, common) if common else "The sections to train on share no gene."


def _why_not_these(spec: str, measured: frozenset[str]) -> str:
    """What is wrong with a list of genes in a file; empty for other choices and for a good list."""
    from napari_pixelgene.readers.gene_list import read_gene_list

    kind, _, file = spec.partition(":")
    if kind != "file":
        return ""
    if not file:
        return "Choose the file with your list of genes."
    try:
        unknown = [name for name in read_gene_list(Path(file)) if name not in measured]
    except PixelGeneError as error:
        return str(error)
    if not unknown:
        return ""
    more = f" and {len(unknown) - _NAMED:,} more" if len(unknown) > _NAMED else ""
    shown = ", ".join(unknown[:_NAMED]) + more
    return f"{Path(file).name} names genes that not all sections to train on have: {shown}. Take them off the list."


def common_genes(train: Sequence[Path], found: Sequence[Candidate]) -> frozenset[str]:
    """Genes that all sections to train on have."""
    tables = [each.genes for each in found if each.path in train]
    return frozenset.intersection(*tables) if tables else frozenset()


def _no_training(found: Sequence[Candidate]) -> str:
    first = next(iter(found), None)
    if first is not None and first.not_trained:
        return f"{first.name} cannot be trained on. {first.not_trained}"
    return "Choose a section to train on."


def changed_only(settings: Any) -> dict[str, Any]:
    """The settings of a model that are not its defaults."""
    found: dict[str, Any] = settings.model_dump(exclude_defaults=True, exclude_none=True)
    return found
