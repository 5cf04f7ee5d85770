"""What models learn from that speak at points, such as spots: captures with a vector a unit, and genes of a vocabulary.

`fitting` and `judging` come here where a model's `Needs` say so; its maps are in `point_maps`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.tissue import MemberPlan
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.models.base import TrainingData
from napari_pixelgene.pipeline.choosing import Chosen
from napari_pixelgene.pipeline.point_features import (
    HEST_PATCH_UM,
    require_vectors,
    tell_without,
    unit_names,
    unit_vectors,
    vectors_hash,
    vectors_of,
)
from napari_pixelgene.pipeline.point_sections import as_spots, may_lean, point_section, unmeasured_section
from napari_pixelgene.pipeline.training_data import take_units
from napari_pixelgene.progress import Note, OnEvent
from napari_pixelgene.readers.gene_list import read_gene_list
from napari_pixelgene.store import provenance
from napari_pixelgene.store.references import file_hash

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.models.base import Model, TrainingSection
    from napari_pixelgene.pipeline.measured import Measured
    from napari_pixelgene.pipeline.prepared import FitSettings, Prepared
    from napari_pixelgene.stages.features import FeatureSettings
    from napari_pixelgene.store.section import SectionStore

# All genes of a model's vocabulary.
VOCABULARY = "vocabulary"
# Half of the square around a point that its vector sees.
REACH_UM = HEST_PATCH_UM / 2
_NAMED = 5
__all__ = [
    "REACH_UM", "VOCABULARY", "Learned", "all_learned_from", "as_spots", "asked_at", "channels", "choose_genes",
    "context_inputs", "files_inputs", "is_at_points", "learn_at", "prepare_unmeasured", "require", "vectors_input",
]  # fmt: skip
# What is done with the units of a run: nothing, as where nothing is learned; learned from; also scored.
Seen = Literal["not", "learned", "scored"]
Choose = Callable[[str, Sequence["Measured"]], GeneTable]


@dataclass(frozen=True, slots=True)
class Learned:
    """What a run learns from: captures that have vectors, as the model sees them, and the genes it answers for."""

    measured: list[Measured]
    sections: tuple[TrainingSection, ...]
    genes: GeneTable


def is_at_points(model: Model) -> bool:
    """Whether a model speaks at points."""
    return model.needs.features == "points"


def require(model: Model, stores: Sequence[SectionStore], settings: FeatureSettings, on_event: OnEvent) -> None:
    """Refuse what cannot be answered before anything slow: no vectors for points, no weights."""
    require_vectors(stores, vectors_of(model, settings))
    model.require(on_event)


def channels(model: Model, stores: Sequence[SectionStore], settings: FeatureSettings) -> tuple[str, ...]:
    """The names of the numbers of a vector."""
    return require_vectors(stores, vectors_of(model, settings))


def vectors_input(model: Model, store: SectionStore, settings: FeatureSettings) -> str:
    """What the vectors of a section's points are made of."""
    return vectors_hash(store, vectors_of(model, settings))


def learn_at(
    measured: Sequence[Measured],
    model: Model,
    settings: FitSettings,
    choose: Choose,
    seen: Seen,
    on_event: OnEvent,
    device: str,
) -> Learned:
    """Captures with their vectors, and the genes that are asked for; `choose` picks among those measured.

    Where the units themselves are `not` looked at, no vectors are made; where they are `scored`, genes that were not
    measured are left out, and told.
    """
    kept = list(measured)
    vectors: list[FloatArray] = [np.zeros((0, 0), dtype=np.float32)] * len(kept)
    if seen != "not":
        for i, m in enumerate(measured):
            kept[i], vectors[i] = with_vectors(m, vectors_of(model, settings.features), on_event, device)
    genes = choose_genes(settings.genes, kept, model, choose, on_event)
    genes = _measured_only(genes, kept, on_event) if seen == "scored" else genes
    sections = tuple(section_of(m, v, genes, model, on_event) for m, v in zip(kept, vectors, strict=True))
    return Learned(kept, sections, genes)


def prepare_unmeasured(
    stores: Sequence[SectionStore], settings: FitSettings, model: Model, choose: Choose, on_event: OnEvent, device: str
) -> Prepared:
    """A run that learns nothing, on sections where nothing was measured: genes of a list or of the vocabulary, shown
    by histology alone."""
    from napari_pixelgene.pipeline.prepared import Prepared

    require(model, stores, settings.features, on_event)
    genes = choose_genes(settings.genes, (), model, choose, on_event)
    section = unmeasured_section(stores[0].name, len(genes))
    text = f"Nothing was measured on {stores[0].name}: {model.without_context}, for {len(genes):,} genes."
    on_event(Note(text, stage="fit"))
    plan = all_learned_from([section])
    data = TrainingData(
        (section,), genes, channels(model, stores, settings.features), plan.fit, plan.stop, settings.seed, device
    )
    values = settings.model_dump(exclude={"device", "features"}) | {"encoder": settings.features.encoder}
    fingerprint = provenance.fingerprint(values, {"genes": ",".join(genes.symbols)} | files_inputs(model))
    chosen = tuple(Chosen(store, ()) for store in stores)
    return Prepared(chosen, (), (), genes, data, plan, model, fingerprint)


def all_learned_from(measured: Sequence[Sized]) -> MemberPlan:
    """One member that has every unit: for a model that learns nothing, so that nothing need be held out."""
    everybody = np.ones((1, sum(map(len, measured))), dtype=bool)
    return MemberPlan(everybody, ~everybody, ~everybody)


def asked_at(
    measured: Measured, model: Model, settings: FeatureSettings, on_event: OnEvent, device: str
) -> tuple[Measured, TrainingSection]:
    """A capture to be asked about, as the model sees it: units that have a vector, spots where they were smaller."""
    kept, vectors = with_vectors(as_spots(measured, on_event), vectors_of(model, settings), on_event, device)
    return kept, section_of(kept, vectors, None, model, on_event)


def with_vectors(
    measured: Measured, settings: FeatureSettings, on_event: OnEvent, device: str
) -> tuple[Measured, FloatArray]:
    """The units that have a vector, and these vectors (n, c)."""
    vectors = unit_vectors(measured, settings, on_event, device)
    there = np.isfinite(vectors).all(axis=1)
    tell_without(measured, int((~there).sum()), on_event)
    if not there.any():
        raise InputError(f"No unit of {measured.name} has a vector.", "Check the embeddings, or the alignment.")
    return (measured, vectors) if there.all() else (take_units(measured, np.flatnonzero(there)), vectors[there])


def section_of(
    measured: Measured, vectors: FloatArray, genes: GeneTable | None, model: Model, on_event: OnEvent
) -> TrainingSection:
    """A capture as the model sees it, with the counts of the run's `genes` where it is learned from; who may be leaned
    on is the model's own setting."""
    context = str(getattr(model.settings, "context", "measured"))
    names = unit_names(measured) if context.startswith("file:") else None
    lean = may_lean(measured, context, names, on_event)
    side = float(measured.store.meta()["grid"]["superpixel_um"])
    if genes is None:
        return point_section(measured, vectors, (), (), lean, side)
    return point_section(measured, vectors, model.identify(measured.genes, measured.name), genes.ids, lean, side)


def choose_genes(spec: str, measured: Sequence[Measured], model: Model, choose: Choose, on_event: OnEvent) -> GeneTable:
    """The genes a run answers for, with the ids of the model's vocabulary.

    `vocabulary`: all it knows; `file:FILE`: those listed, measured or not; otherwise `choose` picks among the genes
    that were measured and that it knows.
    """
    ids = [model.identify(m.genes, m.name) for m in measured]
    symbol_of = {gene: s for m, own in zip(reversed(measured), reversed(ids), strict=True)
                 for s, gene in zip(m.genes.symbols, own, strict=True) if gene}  # fmt: skip
    if spec == VOCABULARY or spec.startswith("file:"):
        table = model.vocabulary() if spec == VOCABULARY else _listed(Path(spec.removeprefix("file:")), model)
        _tell_unmeasured(table, symbol_of, bool(measured), on_event)
        return _renamed(table, symbol_of)
    if not measured:
        raise SettingsError(
            "Nothing was measured on these sections that genes could be chosen by.",
            "Name them with --genes file:FILE, or take --genes vocabulary.",
        )
    known = []
    for m, own in zip(measured, ids, strict=True):
        there = np.flatnonzero([bool(gene) for gene in own])
        lost = [s for s, gene in zip(m.genes.symbols, own, strict=True) if not gene]
        if not len(there):
            raise InputError(
                f"{model.name} knows none of the {len(lost):,} genes of {m.name}, such as {', '.join(lost[:_NAMED])}.",
                "It knows genes by symbol (case counts) or Ensembl id; import the counts with one of these.",
            )
        if lost:
            more = f" and {len(lost) - _NAMED:,} more" if len(lost) > _NAMED else ""
            text = f"{m.name}: {len(lost):,} of {len(own):,} genes have no Ensembl id that {model.name} knows and are "
            on_event(Note(f"{text}left out: {', '.join(lost[:_NAMED])}{more}.", stage="fit"))
        known.append(replace(m, counts=m.counts[:, there], genes=m.genes.take(there)))
    picked = choose(spec, known)
    id_of = dict(zip(measured[0].genes.symbols, ids[0], strict=True))  # genes picked are common to all
    return GeneTable(picked.symbols, tuple(id_of[symbol] for symbol in picked.symbols))


def files_inputs(model: Model) -> dict[str, str]:
    """Hashes of the files besides the data that decide what a run learns: weights, units named in a list."""
    return {name: file_hash(path) for name, path in model.files().items()} | context_inputs(model)


def context_inputs(model: Model) -> dict[str, str]:
    """The hash of the list of units that may be leaned on, where they are named."""
    context = str(getattr(model.settings, "context", ""))
    return {"context": file_hash(Path(context.removeprefix("file:")))} if context.startswith("file:") else {}


def _listed(path: Path, model: Model) -> GeneTable:
    names = read_gene_list(path)
    try:
        return model.named(names)
    except InputError as error:
        raise InputError(f"{path}: {error.problem}", error.mend) from None


def _measured_only(genes: GeneTable, measured: Sequence[Measured], on_event: OnEvent) -> GeneTable:
    """The genes that every capture measured: what was not cannot be scored."""
    there = [i for i, symbol in enumerate(genes.symbols) if all(symbol in m.genes for m in measured)]
    if not there:
        raise InputError("None of the genes asked for was measured, so nothing can be scored.", "Ask for others.")
    if len(there) < len(genes):
        text = f"{len(genes) - len(there):,} genes were not measured and are not scored."
        on_event(Note(text, stage="fit"))
    return genes.take(there)


def _tell_unmeasured(table: GeneTable, symbol_of: dict[str, str], is_measured: bool, on_event: OnEvent) -> None:
    there = sum(gene in symbol_of for gene in table.ids)
    if is_measured and there < len(table):
        text = f"Of {len(table):,} genes {there:,} were measured; the other {len(table) - there:,} are only predicted."
        on_event(Note(text, stage="fit"))


def _renamed(table: GeneTable, symbol_of: dict[str, str]) -> GeneTable:
    """Genes under the symbols that sections have for them, so that they are found there; none under two names."""
    taken: set[str] = set()
    symbols = []
    for symbol, gene in zip(table.symbols, table.ids, strict=True):
        chosen = next(name for name in (symbol_of.get(gene, symbol), symbol, gene) if name not in taken)
        taken.add(chosen)
        symbols.append(chosen)
    return GeneTable(tuple(symbols), table.ids)
