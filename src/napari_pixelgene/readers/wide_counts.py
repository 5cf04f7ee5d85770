"""Wide tables of counts, one unit a row and one gene a column, gathered sparsely batch by batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, FloatArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import OnEvent, Progress, silent
from napari_pixelgene.readers.streamed_table import (
    Kind,
    StreamedTable,
    are_counts,
    numbers,
    refuse_count,
    refuse_lost,
    texts,
)

_STAGE = "counts"


@dataclass(frozen=True, slots=True)
class WideCounts:
    """Rows of a wide table: `ids` (n,) text, `xy` (n, 2) where positions were asked for, counts (n, genes) CSR."""

    ids: Array
    xy: FloatArray
    genes: tuple[str, ...]
    counts: sparse.csr_matrix


def read_wide(
    table: StreamedTable,
    identity: int | None,
    genes: Sequence[int],
    position: tuple[int, int] | None = None,
    on_event: OnEvent = silent,
) -> WideCounts:
    """All rows of the columns at these places. Without `identity` a row is named by its number from 1.

    Raises InputError that names row and column for what is no count, no position, or stands twice.
    """
    names = tuple(table.columns[i] for i in genes)
    _refuse_twice(table.path, "gene", names)
    placed = () if position is None else position
    wanted: dict[int, Kind] = {} if identity is None else {identity: "text"}
    wanted |= dict.fromkeys((*placed, *genes), "number")
    ids, xy, parts, first = [], [], [], 0
    for batch in table.batches(wanted):
        ids.append(_ids(table.path, batch, first, identity is not None))
        start = 0 if identity is None else 1
        xy.append(_positions(table.path, batch, first, start) if placed else np.zeros((batch.num_rows, 2)))
        parts.append(_counts(table, batch, first, start + len(placed), genes))
        first += batch.num_rows
        on_event(Progress(_STAGE, first, table.rows))
    if not first:
        raise InputError(f"{table.path} has no rows under its header.", "Check that the file is complete.")
    everyone = np.concatenate(ids)
    _refuse_twice(table.path, "row", everyone.tolist())
    return WideCounts(everyone, np.concatenate(xy), names, sparse.csr_matrix(sparse.vstack(parts, format="csr")))


def _ids(path: Path, batch: pa.RecordBatch, first: int, named: bool) -> Array:
    if not named:
        return np.arange(first + 1, first + batch.num_rows + 1).astype(str)
    values, code = texts(batch, 0)
    if (code < 0).any():
        raise InputError(f"{path}, row {first + int((code < 0).argmax()) + 1}: its name is empty.", "Name every row.")
    return np.array(values, dtype=str)[code] if len(code) else np.zeros(0, dtype=str)


def _positions(path: Path, batch: pa.RecordBatch, first: int, start: int) -> FloatArray:
    xy = np.stack([numbers(batch, start), numbers(batch, start + 1)], axis=1)
    refuse_lost(path, first, xy)
    return xy


def _counts(
    table: StreamedTable, batch: pa.RecordBatch, first: int, start: int, genes: Sequence[int]
) -> sparse.csr_matrix:
    dense = np.empty((len(genes), batch.num_rows))
    for i in range(len(genes)):
        dense[i] = numbers(batch, start + i)
    good = are_counts(dense)
    if not good.all():
        row, gene = (int(k) for k in np.argwhere(~good.T)[0])
        raise refuse_count(table.path, first + row + 1, table.columns[genes[gene]], dense[gene, row])
    return sparse.csr_matrix(dense.T.astype(np.int32))


def _refuse_twice(path: Path, kind: str, names: Sequence[str]) -> None:
    seen: dict[str, int] = {}
    for i, name in enumerate(names, start=1):
        if name in seen:
            raise InputError(
                f"{path}: the {kind} '{name}' stands twice, as number {seen[name]} and {i}.",
                f"Keep one of them, or add their counts up before importing; every {kind} must stand once.",
            )
        seen[name] = i
