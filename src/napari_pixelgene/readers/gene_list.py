"""A list of genes: one symbol a line."""

from __future__ import annotations

from pathlib import Path

from napari_pixelgene.errors import InputError


def read_gene_list(path: Path) -> tuple[str, ...]:
    """The symbols in order; a repeated one or an empty file is an error that says so."""
    if not path.is_file():
        raise InputError(f"There is no gene list {path}.", "Give a text file with one gene symbol a line.")
    rows = {i: name for i, line in enumerate(_text(path).splitlines(), start=1) if (name := line.strip())}
    if not rows:
        raise InputError(f"{path} lists no gene.", "Give one gene symbol a line.")
    seen: dict[str, int] = {}
    for row, name in rows.items():
        if name in seen:
            raise InputError(f"{path} lists '{name}' in rows {seen[name]} and {row}.", "Remove one of them.")
        seen[name] = row
    return tuple(seen)


def _text(path: Path) -> str:
    """The file's text; spreadsheets put a byte order mark first, and are no text when they are saved as such."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is not a text file.", "Save it as text, one gene symbol a line (UTF-8).") from None
