"""`pixelgene compare CONFIG.toml`: models side by side on tissue they have not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener
from napari_pixelgene.pipeline.comparing.leaderboard import said
from napari_pixelgene.pipeline.comparing.settings import read_comparison
from napari_pixelgene.pipeline.comparing.writing import compare as run
from napari_pixelgene.pipeline.comparing.writing import table_lines


def compare(
    config: Annotated[Path, Parameter(help="A TOML file: sections, models, encoders, genes and a [split].")],
    *,
    out: Annotated[
        Path | None, Parameter(help="Folder of the results; the file's name without its ending when left out.")
    ] = None,
    terminal: Listener,
) -> None:
    """Score models on the same tissue, held out, beside their controls; what is done already is not done again."""
    settings = read_comparison(config)
    folder = out or config.with_suffix("")
    rows = run(settings, folder, terminal)
    text = "\n".join([*table_lines(rows), "", said(rows), f"{folder / 'comparison.html'}"])
    terminal.result({"folder": str(folder), "said": said(rows), "rows": [row.as_dict() for row in rows]}, text)
