"""`pixelgene evaluate`: held-out scores, beside their controls."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.fit import Learned
from napari_pixelgene.cli.options import Listener, Overwrite, SectionPaths, default, of, open_sections
from napari_pixelgene.pipeline import judging
from napari_pixelgene.stages.evaluation import EvaluationSettings


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """How it is scored; the seed is that of the model."""

    permutations: Annotated[int, of(EvaluationSettings, "permutations")] = default(EvaluationSettings, "permutations")
    halves: Annotated[int, of(EvaluationSettings, "halves")] = default(EvaluationSettings, "halves")
    min_library: Annotated[float, of(EvaluationSettings, "min_library")] = default(EvaluationSettings, "min_library")

    def settings(self, seed: int) -> EvaluationSettings:
        """As the pipeline takes them."""
        values = {"permutations": self.permutations, "halves": self.halves, "min_library": self.min_library}
        return EvaluationSettings.make({**values, "seed": seed})


def evaluate(
    *,
    train: SectionPaths,
    test: Annotated[
        tuple[Path, ...],
        Parameter(
            help="Sections to score on; none: cross-validation over blocks of the training ones.",
            consume_multiple=True,
            negative="",
            show_default=False,
        ),
    ] = (),
    learned: Learned | None = None,
    judged: Judged = Judged(),
    run: Annotated[str | None, Parameter(help="Name of the run; made of its settings when left out.")] = None,
    json_file: Annotated[Path | None, Parameter(name="--json", help="Where the scores are written.")] = None,
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Score a model on tissue it has not seen, beside its controls."""
    stores, others = open_sections(train), open_sections(test)
    chosen = (learned or Learned()).settings()
    found = judging.evaluate(stores, others, chosen, judged.settings(chosen.seed), run, terminal, overwrite)
    if json_file is not None:
        judging.write_metrics(found, json_file)
    terminal.result({"run": found.run, "metrics": found.metrics}, found.verdict)
