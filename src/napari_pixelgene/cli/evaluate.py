"""`pixelgene evaluate`: held-out scores, beside their controls."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.fit import Learned
from napari_pixelgene.cli.options import Listener, Overwrite, default, holder, of, open_section, open_sections
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline import judging
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.store.section import SectionStore


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How it is scored; the seed is that of the model."""

    permutations: Annotated[int, of(EvaluationSettings, "permutations")] = default(EvaluationSettings, "permutations")
    halves: Annotated[int, of(EvaluationSettings, "halves")] = default(EvaluationSettings, "halves")
    min_library: Annotated[float, of(EvaluationSettings, "min_library")] = default(EvaluationSettings, "min_library")

    permuted_training: Annotated[bool, of(EvaluationSettings, "permuted_training", negative="")] = False

    def settings(self, seed: int) -> EvaluationSettings:
        """As the pipeline takes them."""
        return EvaluationSettings.make({**asdict(self), "seed": seed})


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Tested:
    """On what it is scored."""

    test: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Sections to score on; none: cross-validation over blocks of the training ones.",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = ()
    test_captures: Annotated[
        tuple[str, ...],
        Parameter(
            help="Captures to score on, by NAME or SECTION/NAME, of the test sections or else of the training ones; "
            "nothing that sees their area is learned from.",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = ()


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """Which run."""

    run: Annotated[
        str | None,
        Parameter(
            help="Name of the run; made of its settings when left out. Without --train: the stored run to score."
        ),
    ] = None
    source: Annotated[
        Path | None, Parameter(name="--from", help="The section that holds the stored run, where no test section does.")
    ] = None


def evaluate(
    *,
    train: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Sections to train a fresh run on; none: --run is scored as it is stored.",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = (),
    tested: Tested = Tested(),
    learned: Learned | None = None,
    judged: Judged = Judged(),
    named: Named = Named(),
    json_file: Annotated[Path | None, Parameter(name="--json", help="Where the scores are written.")] = None,
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Score a model on tissue it has not seen, beside its controls."""
    stores, others = open_sections(train), open_sections(tested.test)
    chosen = (learned or Learned()).settings()
    scored = judged.settings(chosen.seed)
    if stores:
        if named.source is not None:
            raise SettingsError("--from names a stored run, --train asks for a fresh one.", "Give one of them.")
        found = judging.evaluate(stores, others, chosen, scored, named.run, terminal, overwrite, tested.test_captures)
    else:
        run, home = _stored(named, others, chosen)
        found = judging.evaluate_run(run, home, others, scored, terminal, chosen.device, tested.test_captures)
    if json_file is not None:
        judging.write_metrics(found, json_file)
    terminal.result({"run": found.run, "metrics": found.metrics}, found.verdict)


def _stored(named: Named, test: list[SectionStore], chosen: FitSettings) -> tuple[str, SectionStore]:
    """The run to score as it is, and the section that holds it."""
    if named.run is None or not test:
        raise SettingsError(
            "There is nothing to score.",
            "Give --train SECTION, or a stored run: --run RUN --from SECTION --test SECTION.",
        )
    if chosen != FitSettings(seed=chosen.seed, device=chosen.device):
        raise SettingsError(
            "A stored run is scored as it was trained.", "Leave out what is to be learned, or train anew with --train."
        )
    return named.run, open_section(named.source) if named.source is not None else holder(test, named.run)
