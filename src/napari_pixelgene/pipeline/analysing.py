"""What a run's maps say of a section: clusters, names by marker genes, their tables. Kept in the section as labels."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING

from napari_pixelgene.elements.labelling import ANNOTATION, CLUSTERS, Labelling
from napari_pixelgene.elements.scores import above_chance
from napari_pixelgene.errors import InputError, SettingsError, StoreError
from napari_pixelgene.exporters import analysis_tables as tables
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.marker_panel import read_marker_panel
from napari_pixelgene.stages.analysis import (
    STAGE,
    AnalysisSettings,
    annotate_maps,
    cluster_maps,
    label_moments,
)
from napari_pixelgene.store import provenance
from napari_pixelgene.store.labels import LABELS, labelled, list_labels, read_labels, write_labels
from napari_pixelgene.store.maps import maps_attributes, read_maps, require_maps
from napari_pixelgene.store.scores import read_scores

if TYPE_CHECKING:
    import polars as pl

    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.store.section import SectionStore

Panels = Mapping[str, tuple[str, ...]]
# Of the settings those that decide the clusters.
_GROUPED = {"clusters", "components", "smallest", "seed"}


@dataclass(frozen=True, slots=True)
class Analysis:
    """What was found in the maps of a run, and the tables that were written."""

    run: str
    genes: GeneTable
    superpixel_um: float
    clusters: Labelling
    annotation: Labelling | None = None
    tables: tuple[Path, ...] = ()


def analyse(
    store: SectionStore,
    run: str,
    settings: AnalysisSettings | None = None,
    markers: Path | None = None,
    out: Path | None = None,
    against: str | None = None,
    overwrite: bool = False,
    on_event: OnEvent = silent,
) -> Analysis:
    """Clusters of a run's maps and, with `markers` (a table gene,label), a name for every square.

    Both are kept beside the maps as OME-Zarr labels; what is there with the same settings is opened. With `out` tables
    are written into that folder (`overwrite`: where those of an analysis before are, which then go); with `against` the
    clusters are compared there with those of another run. Raises StoreError where the maps or the other run's clusters
    are missing or tables would be overwritten, InputError where no marker is a gene of the run.
    """
    settings = settings or AnalysisSettings()
    _require(store, run, out, against, overwrite)
    maps = read_maps(store, run)
    panels = None if markers is None else _panels(markers, maps.genes, run, on_event)
    _tell_scores(store, run, on_event)
    inputs = {f"prediction/{run}": str(maps_attributes(store, run)["fingerprint"])}
    chosen = {CLUSTERS: settings.model_dump(include=_GROUPED)}
    if panels is not None:
        spelled = {name: list(genes) for name, genes in panels.items()}
        chosen[ANNOTATION] = {"confidence": settings.confidence, "panels": spelled}
    found = {}
    for kind, some in chosen.items():
        started, key = time.monotonic(), provenance.fingerprint(some, inputs)
        stored = _stored(store, run, kind, key, on_event)
        found[kind] = stored or _made(maps, kind, settings, panels or {}, on_event)
        if stored is None:
            write_labels(store, run, found[kind], maps.superpixel_um, key)
            seconds, versions = time.monotonic() - started, provenance.versions("scikit-learn")
            provenance.record(store, f"{STAGE}/{run}/{kind}", key, some, inputs, seconds, versions)
    done = Analysis(run, maps.genes, maps.superpixel_um, found[CLUSTERS], found.get(ANNOTATION))
    _tell_fewer(len(done.clusters.names), settings, on_event)
    return done if out is None else replace(done, tables=_written(out, _tables(store, done, against), on_event))


def _tell_scores(store: SectionStore, run: str, on_event: OnEvent) -> None:
    scores = read_scores(store, run)
    if scores is not None:
        told = scores.headline
        level = "info" if above_chance(told["held_out_r"], told["chance"]) else "warning"
        on_event(Note(f"Of the run '{run}': {told['verdict']}", level, STAGE))


def _tell_fewer(left: int, settings: AnalysisSettings, on_event: OnEvent) -> None:
    if left < settings.clusters:
        said = f"{settings.clusters} clusters were asked for, {left} {'is' if left == 1 else 'are'} left"
        why = f"the others were islands of fewer than {settings.smallest} squares, or the maps vary too little"
        on_event(Note(f"{said}: {why}.", "warning", STAGE))


def _written(out: Path, found: Mapping[str, pl.DataFrame], on_event: OnEvent) -> tuple[Path, ...]:
    paths = tables.write_tables(out, found)
    if gone := tables.remove_others(out, paths):
        on_event(Note(f"Removed from {out}, for they were of an analysis before: {', '.join(gone)}.", stage=STAGE))
    return paths


def _require(store: SectionStore, run: str, out: Path | None, against: str | None, overwrite: bool) -> None:
    """Whatever is wrong with what was asked is told before anything is computed."""
    require_maps(store, run)
    if out is not None:
        tables.require_folder(out, overwrite)
    if against is not None and out is None:
        raise SettingsError("--against compares in tables.", "Say where they go: --out FOLDER.")
    if against is not None and (against not in store.mapped_runs() or CLUSTERS not in labelled(store, against)):
        raise StoreError(
            f"{store.path.name} has no clusters of a run '{against}' to compare with.",
            f"Analyse it first: pixelgene analyse {store.path} --run {against}"
            if against in store.mapped_runs()
            else f"Choose one of: {', '.join(store.mapped_runs())}.",
        )


def _panels(path: Path, genes: GeneTable, run: str, on_event: OnEvent) -> Panels:
    """The panels with the genes that the maps hold; those without any are left out, and it is said, as is what makes
    two of them one."""
    read = read_marker_panel(path)
    held = {label: tuple(symbol for symbol in some if symbol in genes) for label, some in read.items()}
    lost = {gene: [label for label in read if gene in read[label]] for gene in _unknown(read, genes)}
    kept = {label: some for label, some in held.items() if some}
    if not kept:
        raise InputError(
            f"None of the markers in {path} is a gene of the maps of '{run}': {_spelled(lost, genes)}.",
            "Spell them as the run does, or predict them as well.",
        )
    if lost:
        many = "1 marker" if len(lost) == 1 else f"{len(lost)} markers"
        said = "is no gene" if len(lost) == 1 else "are no genes"
        on_event(Note(f"{many} in {path.name} {said} of '{run}': {_spelled(lost, genes)}.", "warning", STAGE))
    for label in (label for label in read if label not in kept):
        on_event(Note(f"'{label}' has no marker among them and names nothing.", "warning", STAGE))
    for one, other in combinations(sorted(kept), 2):
        if set(kept[one]) == set(kept[other]):
            on_event(Note(f"'{one}' and '{other}' have the same markers: '{one}' wins everywhere.", "warning", STAGE))
    return kept


def _unknown(panels: Panels, genes: GeneTable) -> list[str]:
    return sorted({symbol for some in panels.values() for symbol in some if symbol not in genes})


def _spelled(lost: Mapping[str, list[str]], genes: GeneTable) -> str:
    """Markers that are no genes, with their labels and what may have been meant."""
    said = []
    for symbol, labels in list(lost.items())[:10]:
        near = genes.nearest(symbol)
        said.append(f"{symbol} ({', '.join(labels)}{f'; did you mean {near}?' if near else ''})")
    return ", ".join(said) + (" …" if len(lost) > 10 else "")


def _stored(store: SectionStore, run: str, kind: str, key: str, on_event: OnEvent) -> Labelling | None:
    """A labelling that was made with that fingerprint; None where it is to be made, which needs a section that takes
    writes."""
    if kind in labelled(store, run) and provenance.made_with(store, "maps", run, LABELS, kind) == key:
        on_event(Note(f"The {kind} of '{run}' on {store.path.name} are there already.", stage=STAGE))
        list_labels(store, run)
        return read_labels(store, run, kind)
    store.require_writable()
    if kind in labelled(store, run):
        said = f"The {kind} of '{run}' on {store.path.name} were made with other settings, and are replaced"
        on_event(Note(f"{said}.", stage=STAGE))
    return None


def _made(maps: Expression, kind: str, settings: AnalysisSettings, panels: Panels, on_event: OnEvent) -> Labelling:
    """Clusters, numbered from 1 for the largest on, or names, with what every gene is like in them."""
    if kind == CLUSTERS:
        labels, confidence = cluster_maps(maps, settings, on_event), None
        names = tuple(str(number) for number in range(1, int(labels.max()) + 2))
    else:
        found = annotate_maps(maps, panels, settings, on_event)
        labels, names, confidence = found.labels, found.names, found.confidence
    return Labelling(kind, labels, names, label_moments(maps, labels, len(names), on_event), confidence)


def _tables(store: SectionStore, found: Analysis, against: str | None) -> dict[str, pl.DataFrame]:
    """{file name: table} of what was found."""
    out = {
        "clusters.csv": tables.label_table(found.clusters, found.superpixel_um),
        "clusters_genes.csv": tables.gene_table(found.clusters, found.genes),
    }
    others: dict[str, Labelling] = {}
    if found.annotation is not None:
        out["annotation.csv"] = tables.label_table(found.annotation, found.superpixel_um)
        out["annotation_genes.csv"] = tables.gene_table(found.annotation, found.genes)
        out["enrichment.csv"] = tables.enrichment_table(found.clusters, found.annotation)
        others[ANNOTATION] = found.annotation
    if against is not None:
        others[f"clusters of {against}"] = other = read_labels(store, against, CLUSTERS)
        out["partners.csv"] = tables.partner_table(found.clusters, other)
    if others:
        out["agreement.csv"] = tables.agreement_table(found.clusters, others)
    out["squares.parquet"] = tables.square_table(found.clusters, found.annotation, found.superpixel_um)
    return out
