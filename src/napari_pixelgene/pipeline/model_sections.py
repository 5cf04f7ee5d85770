"""Captures as a model sees them: with features of superpixels or vectors of points, and the genes asked for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline import points
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.pipeline.training_data import gene_statistics, training_section
from napari_pixelgene.progress import OnEvent
from napari_pixelgene.readers.gene_list import read_gene_list
from napari_pixelgene.stages.genes import choose_genes, listed_genes
from napari_pixelgene.store.features import features_fingerprint
from napari_pixelgene.store.tissue import read_tissue

if TYPE_CHECKING:
    from napari_pixelgene.elements.features import Features
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import Model, TrainingSection
    from napari_pixelgene.pipeline.prepared import FitSettings
    from napari_pixelgene.store.section import SectionStore


@dataclass(frozen=True, slots=True)
class Seen:
    """Captures as a model sees them, and the genes it answers for."""

    measured: list[Measured]
    sections: tuple[TrainingSection, ...]
    genes: GeneTable
    channels: tuple[str, ...]
    features: tuple[Features, ...] = ()


def seen_by_model(
    measured: list[Measured],
    stores: Sequence[SectionStore],
    model: Model,
    settings: FitSettings,
    seen: points.Seen,
    told: tuple[OnEvent, str],
) -> Seen:
    """Features, and the sections that hold them; of points see `points.learn_at`."""
    on_event, device = told
    if points.is_at_points(model):
        found = points.learn_at(measured, model, settings, choose, seen, on_event, device)
        return Seen(found.measured, found.sections, found.genes, points.channels(model, stores, settings.features))
    genes = choose(settings.genes, measured)
    features = {s.path: ensure_features(s, settings.features, on_event, device) for s in stores}
    masks = {s.path: read_tissue(s).mask for s in stores}
    sections = tuple(
        training_section(m, features[m.store.path], genes, model.needs, masks[m.store.path]) for m in measured
    )
    return Seen(measured, sections, genes, features[stores[0].path].channels, tuple(features.values()))


def choose(spec: str, measured: Sequence[Measured]) -> GeneTable:
    """The genes that `spec` asks for, out of those that all captures measured."""
    tables = [m.genes for m in measured]
    if spec.startswith("file:"):
        return _listed(Path(spec.removeprefix("file:")), tables)
    totals, spread = zip(*(gene_statistics(m) for m in measured), strict=True)
    return choose_genes(spec, tables, totals, spread)


def _listed(path: Path, tables: Sequence[GeneTable]) -> GeneTable:
    names = read_gene_list(path)
    try:
        return listed_genes(names, tables)
    except InputError as error:
        raise InputError(f"{path}: {error.problem}", error.mend) from None


def features_input(store: SectionStore, settings: FitSettings, model: Model) -> str:
    """What the features, or the vectors of points, of a section are made of."""
    if points.is_at_points(model):
        return points.vectors_input(model, store, settings.features)
    return features_fingerprint(store, settings.features.encoder)
