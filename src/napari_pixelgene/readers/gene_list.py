"""A list of genes: one symbol a line."""

from __future__ import annotations

from pathlib import Path

from napari_pixelgene.errors import InputError


def read_gene_list(path: Path) -> tuple[str, ...]:
    """The symbols in order; a repeated one or an empty file is an error that says so."""
    if not path.is_file():
        raise InputError(f"There is no gene list {path}.", "Give a text file with one gene symbol a line.")
    names = [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    if not names:
        raise InputError(f"{path} lists no gene.", "Give one gene symbol a line.")
    seen: dict[str, int] = {}
    for row, name in enumerate(names, start=1):
        if name in seen:
            raise InputError(f"{path} lists '{name}' in rows {seen[name]} and {row}.", "Remove one of them.")
        seen[name] = row
    return tuple(names)
