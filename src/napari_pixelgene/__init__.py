"""Super-resolution gene maps from H&E slides and spatial transcriptomics.

Public names in the order of the flow, each imported only when it is asked for, so that
`import napari_pixelgene` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_PUBLIC: dict[str, str] = {
    "simulate_run": "napari_pixelgene.simulate.run",
    "SectionStore": "napari_pixelgene.store.section",
    "XeniumSource": "napari_pixelgene.pipeline.sources.xenium",
    "VisiumSource": "napari_pixelgene.pipeline.sources.visium",
    "VisiumHdSource": "napari_pixelgene.pipeline.sources.visium_hd",
    "LegacyStSource": "napari_pixelgene.pipeline.sources.legacy_st",
    "CosmxSource": "napari_pixelgene.pipeline.sources.cosmx",
    "PrefixSource": "napari_pixelgene.pipeline.sources.prefix",
    "TableSource": "napari_pixelgene.pipeline.sources.table",
    "AnnDataSource": "napari_pixelgene.pipeline.sources.anndata",
    "SpatialDataSource": "napari_pixelgene.pipeline.sources.spatialdata",
    "recognise": "napari_pixelgene.pipeline.sources.registry",
    "ImportSettings": "napari_pixelgene.pipeline.importing",
    "import_section": "napari_pixelgene.pipeline.importing",
    "CaptureSettings": "napari_pixelgene.pipeline.adding",
    "add_capture": "napari_pixelgene.pipeline.adding",
    "register_keypoints": "napari_pixelgene.pipeline.aligning",
    "register_matrix": "napari_pixelgene.pipeline.aligning",
    "snap_pairs": "napari_pixelgene.pipeline.matching",
    "suggest_pairs": "napari_pixelgene.pipeline.matching",
    "take_proposals": "napari_pixelgene.pipeline.matching",
    "judge_registration": "napari_pixelgene.pipeline.verdict",
    "registration_report": "napari_pixelgene.pipeline.registration_report",
    "mark_sections": "napari_pixelgene.pipeline.neighbours",
    "export_transcripts": "napari_pixelgene.pipeline.exporting",
    "export_cells": "napari_pixelgene.pipeline.exporting",
    "export_boundaries": "napari_pixelgene.pipeline.exporting",
    "ensure_tissue": "napari_pixelgene.pipeline.preparing",
    "ensure_features": "napari_pixelgene.pipeline.preparing",
    "fit": "napari_pixelgene.pipeline.learning",
    "predict": "napari_pixelgene.pipeline.learning",
    "evaluate": "napari_pixelgene.pipeline.judging",
    "export_squares": "napari_pixelgene.pipeline.exporting_maps",
    "export_predicted_cells": "napari_pixelgene.pipeline.exporting_maps",
    "analyse": "napari_pixelgene.pipeline.analysing",
    "read_maps": "napari_pixelgene.store.maps",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> Any:
    if name in _PUBLIC:
        return getattr(import_module(_PUBLIC[name]), name)
    raise AttributeError(f"module 'napari_pixelgene' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted(__all__)
