"""`pixelgene tissue`: where the tissue is."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPath, given, of, open_section
from napari_pixelgene.pipeline.preparing import ensure_tissue
from napari_pixelgene.stages.tissue import TissueSettings


def tissue(
    section: SectionPath,
    *,
    mask: Annotated[Path | None, Parameter(help="An image, white on tissue, over the whole slide.")] = None,
    method: Annotated[Literal["otsu", "histosweep"] | None, of(TissueSettings, "method")] = None,
    min_area_um2: Annotated[float | None, of(TissueSettings, "min_area_um2")] = None,
    fill_holes_um2: Annotated[float | None, of(TissueSettings, "fill_holes_um2")] = None,
    terminal: Listener,
) -> None:
    """Find the tissue on the H&E, or take a mask."""
    store = open_section(section)
    chosen = given(method=method, min_area_um2=min_area_um2, fill_holes_um2=fill_holes_um2)
    found = ensure_tissue(store, TissueSettings.make(chosen) if chosen else None, mask, terminal)
    values = {"section": str(store.path), "fraction": found.fraction, "source": found.source}
    terminal.result(values, f"{store.path.name}: {found.fraction:.1%} is tissue ({found.source}).")
