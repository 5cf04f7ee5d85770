"""Panels of marker genes: a table with the columns `gene` and `label`, a pair a row."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path

from napari_pixelgene.elements.labelling import UNCLASSIFIED
from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.table_file import readable

_MEND = "Give a CSV or TSV with the columns gene and label, one pair a row."


def read_marker_panel(path: Path) -> dict[str, tuple[str, ...]]:
    """{label: its genes}, in the order of the file. A gene may stand in several panels.

    A missing column, an empty field, a pair that stands twice or the label Unclassified, which is that of squares
    without a name, is an error that names the row (1 is the header).
    """
    path = Path(path)
    if not path.is_file():
        raise InputError(f"There is no table of markers {path}.", _MEND)
    with readable(path, "a table of markers"):
        lines = _text(path).splitlines()
    head = lines[0] if lines else ""
    rows = csv.reader(lines, delimiter="\t" if "\t" in head else ";" if ";" in head and "," not in head else ",")
    names = [name.strip().lower() for name in next(rows, [])]
    missing = [name for name in ("gene", "label") if name not in names]
    if missing:
        raise InputError(f"{path} has no column {', '.join(missing)} (it has: {', '.join(names) or 'none'}).", _MEND)
    return _panels(path, rows, names.index("gene"), names.index("label"))


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(
            f"{path} cannot be read as a table of markers: it is not UTF-8.", "Save it as UTF-8."
        ) from None


def _panels(path: Path, rows: Iterable[list[str]], gene_at: int, label_at: int) -> dict[str, tuple[str, ...]]:
    seen: dict[tuple[str, str], int] = {}
    for row, fields in enumerate(rows, start=2):
        if not any(field.strip() for field in fields):
            continue
        gene, label = (fields[at].strip() if at < len(fields) else "" for at in (gene_at, label_at))
        if not gene or not label:
            raise InputError(f"{path} has no {'label' if gene else 'gene'} in row {row}.", "Fill it in.")
        if label.casefold() == UNCLASSIFIED.casefold():
            raise InputError(
                f"{path} has the label '{label}' in row {row}, which is kept for squares without a name.",
                "Give these markers another label.",
            )
        if (label, gene) in seen:
            raise InputError(
                f"{path} gives '{gene}' to '{label}' in rows {seen[label, gene]} and {row}.", "Remove one of them."
            )
        seen[label, gene] = row
    if not seen:
        raise InputError(f"{path} lists no marker.", _MEND)
    return {label: tuple(gene for other, gene in seen if other == label) for label, _ in seen}
