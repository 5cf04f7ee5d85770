"""`pixelgene export`: what was measured, with its place on the H&E, to a table."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, Overwrite, SectionPath, open_section
from napari_pixelgene.pipeline.exporting import export_moved


def export(
    section: SectionPath,
    *,
    what: Annotated[
        Literal["transcripts", "cells", "boundaries", "nuclei"],
        Parameter(help="Transcripts, cells (or spots, bins), or a Xenium run's outlines of cells or of nuclei."),
    ],
    out: Annotated[Path, Parameter(help="The Parquet file to write.")],
    capture: Annotated[str | None, Parameter(help="Which run, where the section has several.")] = None,
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Write transcripts, cells or outlines with their places in pixels and µm of the H&E."""
    done = export_moved(open_section(section, writable=False), what, out, capture, overwrite, terminal)
    text = f"{done.rows:,} rows are in {out}: x_he_px, y_he_px (pixels of the H&E) and x_he_um, y_he_um (µm)."
    terminal.result({**asdict(done), "path": str(done.path)}, text)
