"""The TOML file of `pixelgene run`: one table a step, in flow order, read into values and written out again.

    [[import]]                       # as often as there are sections
    section = "A.section.zarr"
    kind = "xenium"                  # or "st", …, "image"
    he = "he.ome.tif"
    bundle = "outs"

    [[register]]                     # for runs that are not in pixels of the H&E
    keypoints = "keypoints.csv"

    [fit]
    run = "first"
    genes = "top:300"

    [predict]

Paths are relative to the file. A table may be left out; `section`, `train`, `sections`, `run` and the features'
settings are taken from the tables before where only one thing can be meant. A misspelt key is an error.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from pydantic import Field, SerializeAsAny

from napari_pixelgene.errors import SettingsError, unknown_name
from napari_pixelgene.pipeline.importing import ImportSettings
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.pipeline.refining import CELL_LESS, CellLess
from napari_pixelgene.pipeline.sources.base import Source
from napari_pixelgene.pipeline.sources.registry import SOURCES, source_class
from napari_pixelgene.readers.alignments import Direction
from napari_pixelgene.settings import Section, read_toml
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.stages.tissue import TissueSettings

S = TypeVar("S", bound=Section)
# The kind of an import without a run.
IMAGE = "image"


class Step(Section):
    """A table of the file. `places` are its fields that are paths."""

    places: ClassVar[tuple[str, ...]] = ()

    def part(self, section: type[S]) -> S:
        """The settings of the stage that are mixed into this table."""
        return section.make({name: getattr(self, name) for name in section.model_fields})


class ImportStep(ImportSettings, Step):
    """[[import]]: files into a section. In the file the fields of the source stand among the others."""

    places: ClassVar[tuple[str, ...]] = ("section", "he")
    section: Path = Field(description="The section to make: NAME.section.zarr.")
    kind: str = Field(description="What the run is (see `pixelgene import --help`), or image for an H&E alone.")
    he: Path | None = Field(None, description="The H&E; may be left out where the run brings one.")
    source: SerializeAsAny[Source] | None = Field(None, description="The run's files.")
    add: bool = Field(
        False, description="One more capture in a section that is there; he and mpp are then the capture's own image."
    )


class RegisterStep(RegistrationSettings, Step):
    """[[register]]: keypoints or a matrix into a transform."""

    places: ClassVar[tuple[str, ...]] = ("section", "keypoints", "matrix")
    section: Path | None = Field(None, description="The section; the only one when left out.")
    keypoints: Path | None = Field(None, description="Pairs of points.")
    matrix: Path | None = Field(None, description="A 3 × 3 matrix.")
    direction: Direction | None = Field(
        None, description="Which way a bare matrix leads; Xenium Explorer's is he_to_morphology."
    )
    capture: str | None = Field(None, description="Which run, where the section has several.")


class TissueStep(TissueSettings, Step):
    """[[tissue]]: a mask, or how tissue is found."""

    places: ClassVar[tuple[str, ...]] = ("section", "mask")
    section: Path | None = Field(None, description="The section; the only one when left out.")
    mask: Path | None = Field(None, description="An image, white on tissue, over the whole slide.")


class FeaturesStep(FeatureSettings, Step):
    """[features]: which encoder; the same for all sections."""

    places: ClassVar[tuple[str, ...]] = ("weights",)
    device: str = Field("auto", description="auto (GPU where there is one), cpu, cuda or cuda:N.")


class FitStep(FitSettings, Step):
    """[fit]: train a run."""

    places: ClassVar[tuple[str, ...]] = ("train",)
    train: tuple[Path, ...] = Field((), description="Sections to train on; all with counts when left out.")
    run: str = Field(description="Name of the run.")


class PredictStep(Step):
    """[predict]: maps."""

    places: ClassVar[tuple[str, ...]] = ("sections", "source", "table")
    sections: tuple[Path, ...] = Field((), description="Sections to predict; all imported ones when left out.")
    run: str = Field("", description="Name of the run; that of [fit] when left out.")
    source: Path | None = Field(None, description="The section that holds the run, where it is none of these.")
    genes: tuple[str, ...] | None = Field(None, description="Only these genes.")
    device: str = Field("auto", description="auto (GPU where there is one), cpu, cuda or cuda:N.")
    cell_less: CellLess = Field("keep", description=CELL_LESS)
    table: Path | None = Field(
        None,
        description="A queue: each slide is imported and predicted alone, one that fails stops no other, and here "
        "(.csv or .parquet) is a row for each.",
    )


class EvaluateStep(EvaluationSettings, Step):
    """[evaluate]: held-out scores beside their controls, of what [fit] says."""

    places: ClassVar[tuple[str, ...]] = ("train", "test", "json_file")
    train: tuple[Path, ...] = Field((), description="Sections to train on; those of [fit] when left out.")
    test: tuple[Path, ...] = Field((), description="Sections to score on; none: cross-validation on the training ones.")
    test_captures: tuple[str, ...] = Field(
        (), description="Captures to score on, of the test sections or else of the training ones."
    )
    json_file: Path | None = Field(None, description="Where metrics.json is written.")
    fit: FitSettings | None = Field(None, description="What is learned; as in [fit] when left out.")


@dataclass(frozen=True, slots=True)
class RunConfig:
    """All steps of a file, in flow order."""

    imports: tuple[ImportStep, ...] = ()
    register: tuple[RegisterStep, ...] = ()
    tissue: tuple[TissueStep, ...] = ()
    features: FeaturesStep | None = None
    fit: FitStep | None = None
    predict: PredictStep | None = None
    evaluate: EvaluateStep | None = None

    def tables(self) -> dict[str, Any]:
        """The effective values as plain tables, by the names they have in the file."""
        return {
            _written(f.name): _plain(value) for f in fields(self) if (value := getattr(self, f.name)) not in ((), None)
        }


_STEPS: dict[str, type[Step]] = {
    "import": ImportStep,
    "register": RegisterStep,
    "tissue": TissueStep,
    "features": FeaturesStep,
    "fit": FitStep,
    "predict": PredictStep,
    "evaluate": EvaluateStep,
}
_MANY = ("import", "register", "tissue")


def read_config(path: Path) -> RunConfig:
    """The steps of a file, everything that was left out filled in. Raises SettingsError that names file and key."""
    raw = read_toml(path)
    try:
        return _complete(_parse(raw, path.absolute().parent))
    except SettingsError as error:
        raise SettingsError(f"{path}: {error.problem}", error.mend) from None


def _parse(raw: Mapping[str, Any], folder: Path) -> RunConfig:
    made: dict[str, Any] = {}
    for name, value in raw.items():
        if name not in _STEPS:
            raise unknown_name("table", name, _STEPS)
        tables = value if isinstance(value, list) else [value]
        if not all(isinstance(t, dict) for t in tables) or (name not in _MANY and isinstance(value, list)):
            raise SettingsError(f"'{name}' is not a table.", f"Write [{name}] and its settings below.")
        steps = tuple(_step(_STEPS[name], name, table, folder) for table in tables)
        made["imports" if name == "import" else name] = steps if name in _MANY else steps[0]
    if not made:
        raise SettingsError("There is no step in it.", f"Write one of the tables {', '.join(_STEPS)}.")
    return RunConfig(**made)


def _step(kind: type[Step], name: str, table: Mapping[str, Any], folder: Path) -> Step:
    if kind is ImportStep:
        table = _with_source(table, name, folder)
    placed = {key: _placed(value, folder) if key in kind.places else value for key, value in table.items()}
    genes = placed.get("genes")
    if isinstance(genes, str) and genes.startswith("file:"):
        placed["genes"] = f"file:{folder / genes.removeprefix('file:')}"
    return kind.make(placed, where=name)


def _with_source(table: Mapping[str, Any], where: str, folder: Path) -> dict[str, Any]:
    """The table of an import with the fields of its source gathered into one."""
    kind = table.get("kind")
    if kind is None or kind == IMAGE:
        return dict(table)
    if kind not in SOURCES:
        raise unknown_name("kind", f"{where}.kind = {kind}", [*SOURCES, IMAGE])
    found = source_class(kind)
    own = {key: value for key, value in table.items() if key not in ImportStep.model_fields}
    places = {key: _placed(value, folder) if key in found.places else value for key, value in own.items()}
    source = found.make(places, where)
    return {**{key: value for key, value in table.items() if key not in own}, "source": source}


def _placed(value: Any, folder: Path) -> Any:
    if isinstance(value, list):
        return [_placed(each, folder) for each in value]
    return folder / value if isinstance(value, str) else value


def _complete(config: RunConfig) -> RunConfig:
    """Fill in what can only mean one thing."""
    sections = tuple(dict.fromkeys(step.section for step in config.imports))
    counted = tuple(dict.fromkeys(step.section for step in config.imports if step.kind != IMAGE))
    config = replace(
        config,
        register=tuple(_of_section(s, "register", counted) for s in config.register),
        tissue=tuple(_of_section(s, "tissue", sections) for s in config.tissue),
    )
    fit, predict, judge = config.fit, config.predict, config.evaluate
    if fit is not None:
        fit = fit.replace(**_changes(fit, train=counted, features=_features(config)))
        _require(fit.train, "fit.train")
    if predict is not None:
        predict = predict.replace(**_changes(predict, sections=sections, run=fit.run if fit else "",
                                             source=fit.train[0] if fit else None))  # fmt: skip
        _require(predict.sections, "predict.sections")
        _require(predict.run, "predict.run")
    if judge is not None:
        as_fitted = fit.part(FitSettings) if fit else FitSettings(features=_features(config) or FeatureSettings())
        judge = judge.replace(**_changes(judge, train=fit.train if fit else counted, fit=as_fitted))
        _require(judge.train, "evaluate.train")
    return replace(config, fit=fit, predict=predict, evaluate=judge)


def _of_section(step: Any, name: str, sections: Sequence[Path]) -> Any:
    if step.section is not None:
        return step
    if len(sections) != 1:
        raise SettingsError(f"'{name}.section' is not given.", f"Name the section in every [[{name}]].")
    # What was not given stays so: what a left-out kind means depends on the run.
    return step.make({**step.model_dump(exclude_unset=True), "section": sections[0]})


def _changes(step: Section, **values: Any) -> dict[str, Any]:
    """The values a person did not give, where there is one to take."""
    return {k: v for k, v in values.items() if k not in step.model_fields_set and v not in (None, (), "")}


def _features(config: RunConfig) -> FeatureSettings | None:
    return config.features.part(FeatureSettings) if config.features else None


def _require(value: object, name: str) -> None:
    if not value:
        raise SettingsError(f"'{name}' is not given.", "Give it in the file.")


def _written(name: str) -> str:
    return "import" if name == "imports" else name


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    table: dict[str, Any] = value.model_dump(mode="json", exclude_none=True)
    if isinstance(value, RegisterStep) and "kind" not in value.model_fields_set:
        del table["kind"]  # it depends on the capture
    return {**table, **table.pop("source", {})} if isinstance(value, ImportStep) else table


def to_toml(tables: Mapping[str, Any]) -> str:
    """Plain tables as TOML that `read_config` reads back."""
    return "\n".join(_lines(tables, ())).strip() + "\n"


def _lines(table: Mapping[str, Any], path: tuple[str, ...]) -> Iterator[str]:
    inner = {k: v for k, v in table.items() if isinstance(v, Mapping) or _is_tables(v)}
    for key, value in table.items():
        if key not in inner:
            yield f"{key} = {_literal(value)}"
    for key, value in inner.items():
        name = ".".join((*path, key))
        for each in value if isinstance(value, list) else [value]:
            yield f"\n[[{name}]]" if isinstance(value, list) else f"\n[{name}]"
            yield from _lines(each, (*path, key))


def _is_tables(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(each, Mapping) for each in value)


def _literal(value: Any) -> str:
    """JSON's spelling of strings, numbers, booleans and lists is TOML's too."""
    import json

    return json.dumps(value, ensure_ascii=False)
