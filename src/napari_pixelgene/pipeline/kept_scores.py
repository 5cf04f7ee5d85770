"""Scores kept beside the run they are of: made once, told with the run, and stale when it changes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.elements.scores import SectionScores, verdict
from napari_pixelgene.pipeline.preparing import counts_inputs
from napari_pixelgene.store import provenance
from napari_pixelgene.store.models import run_meta
from napari_pixelgene.store.scores import StoredScores, read_scores, write_scores

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.choosing import Chosen
    from napari_pixelgene.stages.evaluation import EvaluationSettings
    from napari_pixelgene.store.section import SectionStore

EVALUATION = "evaluation"


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The content of `metrics.json`, and the scores of every section with their genes."""

    metrics: dict[str, Any]
    sections: tuple[SectionScores, ...]
    run: str

    @property
    def verdict(self) -> str:
        """What the numbers mean, in words."""
        return verdict(self.metrics["sections"])


def keep_scores(
    home: SectionStore,
    run: str,
    found: Evaluation,
    evaluation: EvaluationSettings,
    test: Sequence[Chosen] = (),
) -> None:
    """Write the scores beside a run of `home`, with what they were made from. `test`: the captures they are of."""
    inputs = _inputs(home, run, test)
    fingerprint = provenance.fingerprint(evaluation, inputs)
    write_scores(home, run, found.metrics, gene_columns(found.sections), "sections" if test else "blocks", fingerprint)
    seconds = float(sum(found.metrics["seconds"].values()))
    versions = provenance.versions("torch", "scipy")
    provenance.record(home, f"{EVALUATION}/{run}", fingerprint, evaluation, inputs, seconds, versions)


def kept_scores(
    home: SectionStore, run: str, evaluation: EvaluationSettings, test: Sequence[Chosen] = ()
) -> StoredScores | None:
    """The scores beside a run where they answer just this; None where they are to be made."""
    found = read_scores(home, run)
    if found is None or found.fingerprint != provenance.fingerprint(evaluation, _inputs(home, run, test)):
        return None
    return found


def gene_columns(sections: Sequence[SectionScores]) -> dict[str, Any]:
    """The genes of all sections below one another; a control that one section has not is NaN there."""
    tables = [{"section": [s.name] * len(s.genes), **s.per_gene()} for s in sections]
    names = list(dict.fromkeys(name for table in tables for name in table))
    return {name: np.concatenate([_column(table, name) for table in tables]) for name in names}


def _column(table: Mapping[str, Any], name: str) -> Any:
    return np.asarray(table[name]) if name in table else np.full(len(table["gene"]), np.nan)


def _inputs(home: SectionStore, run: str, test: Sequence[Chosen]) -> dict[str, str]:
    """The run, and the counts that it was scored on."""
    tested = {
        f"counts of {each.store.name}": provenance.fingerprint({}, counts_inputs(each.store, each.captures))
        for each in test
    }
    return {f"training/{run}": str(run_meta(home, run).get("fingerprint", "")), **tested}
