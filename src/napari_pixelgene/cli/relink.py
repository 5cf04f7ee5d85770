"""`pixelgene relink`: files that moved."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPath, open_section
from napari_pixelgene.pipeline.relinking import relink_files


def relink(
    section: SectionPath,
    place: Annotated[Path, Parameter(help="The folder the files are in now, or one file.")],
    *,
    key: Annotated[
        str | None, Parameter(help="Only this reference (see `pixelgene info`); the file may be renamed.")
    ] = None,
    terminal: Listener,
) -> None:
    """Tell a section where its files have moved to."""
    store = open_section(section)
    found = relink_files(store, place, key)
    text = "\n".join(f"{store.path.name}: {each} is {path}" for each, path in found.items())
    terminal.result({"section": str(store.path), "linked": {k: str(p) for k, p in found.items()}}, text)
