"""A table of positions with all its columns as they stand, streamed, to be written again with more.

Parquet, or CSV (plain or gzip). Rows keep their order, so that vertices of an outline stay in theirs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.table_file import readable, unzipped

_BATCH_ROWS = 200_000
# pyarrow reads some thirty blocks ahead.
_BLOCK_BYTES = 1 << 22
# Of these a CSV's first block may look like numbers while a later one does not.
_TEXTS = ("cell_id", "feature_name", "fov_name", "codeword_category")


@dataclass(frozen=True, slots=True)
class WholeRows:
    """A table: its columns in order, its rows where the file says them, and all of it in batches, from the first row
    each time."""

    path: Path
    columns: tuple[str, ...]
    rows: int | None
    batches: Callable[[], Iterator[pa.RecordBatch]]


def open_rows(path: Path, needed: Sequence[str]) -> WholeRows:
    """Open a table and check that it has the columns in `needed`; raises InputError that names what is missing."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Give the whole output folder of the run.")
    table = _open_parquet(path) if path.suffix == ".parquet" else _open_csv(path)
    missing = [column for column in needed if column not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(table.columns[:20])}.",
            "Take the file that the instrument wrote.",
        )
    return table


def _open_parquet(path: Path) -> WholeRows:
    with readable(path), pq.ParquetFile(path) as file:
        columns, rows = tuple(file.schema_arrow.names), int(file.metadata.num_rows)

    def batches() -> Iterator[pa.RecordBatch]:
        with readable(path), pq.ParquetFile(path) as again:
            for batch in again.iter_batches(_BATCH_ROWS):
                yield _texts(batch)

    return WholeRows(path, columns, rows, batches)


def _texts(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Names that early versions wrote as bytes, as text."""
    arrays = [c.cast(pa.string()) if pa.types.is_binary(c.type) else c for c in batch.columns]
    return pa.RecordBatch.from_arrays(arrays, names=batch.schema.names)


def _open_csv(path: Path) -> WholeRows:
    with readable(path):
        columns = tuple(pa_csv.open_csv(unzipped(path)).schema.names)

    def batches() -> Iterator[pa.RecordBatch]:
        convert = pa_csv.ConvertOptions(column_types={name: pa.string() for name in _TEXTS if name in columns})
        with readable(path):
            yield from pa_csv.open_csv(unzipped(path), pa_csv.ReadOptions(block_size=_BLOCK_BYTES), None, convert)

    return WholeRows(path, columns, None, batches)
