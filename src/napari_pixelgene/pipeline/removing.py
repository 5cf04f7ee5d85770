"""A run is deleted: its model with its scores, its maps, what a killed attempt left, and the records of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pixelgene.elements.labelling import ANNOTATION, CLUSTERS
from napari_pixelgene.store import provenance

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore


def remove_run(store: SectionStore, run: str) -> None:
    """Delete a run and its maps from a section; what it learned from stays. Unknown names change nothing."""
    for room in ("maps", "models"):
        store.remove(room, run)
    stages = [f"{stage}/{run}" for stage in ("training", "prediction", "evaluation")]
    for stage in (*stages, *(f"analysis/{run}/{kind}" for kind in (CLUSTERS, ANNOTATION))):
        provenance.forget(store, stage)
