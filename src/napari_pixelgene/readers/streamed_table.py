"""Tables too large to hold: CSV or TSV (plain or gzip) and Parquet, in batches of the columns that are asked for.

Columns are known by their place, so that two of one name stay two. Lines that begin with `#` before the header are
skipped. A header with one name fewer than the rows (R leaves the corner out) gets an empty first name.
"""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.table_file import is_gzip, readable, unzipped

Kind = Literal["number", "text"]
Batches = Callable[[Mapping[int, Kind]], Iterator[pa.RecordBatch]]

LARGEST_COUNT = np.iinfo(np.int32).max
_BATCH_ROWS, _BATCH_CELLS = 500_000, 4_000_000
# pyarrow reads some thirty blocks ahead.
_BLOCK_BYTES = 1 << 22
_TYPES: Mapping[Kind, Any] = {"number": pa.float64(), "text": pa.dictionary(pa.int32(), pa.string())}
_LONGEST_LINE = 1 << 24  # characters
_SEPARATORS = ("\t", ",", ";")


@dataclass(frozen=True, slots=True)
class StreamedTable:
    """A table on disk.

    `columns` are the names as they stand, `is_text` whether a column holds no numbers (as its type or its first row
    says), `index` the place of the column with the rows' names where the file says so, `rows` their number where
    it is known. `batches` gives the columns asked for by place, in that order, each time from the first row.
    """

    path: Path
    columns: tuple[str, ...]
    is_text: tuple[bool, ...]
    rows: int | None
    batches: Batches
    index: int | None = None

    def place(self, *names: str) -> int | None:
        """Where the first of these names stands, upper and lower case being the same."""
        lower = [column.strip().lower() for column in self.columns]
        return next((lower.index(name.lower()) for name in names if name.lower() in lower), None)

    def require(self, name: str, what: str) -> int:
        """Where a column stands, or the error that names the columns there are."""
        found = self.place(name)
        if found is None:
            shown = ", ".join(self.columns[:20]) + (", …" if len(self.columns) > 20 else "")
            raise InputError(f"{self.path} has no column '{name}' ({what}); it has {shown}.", "Name the right column.")
        return found


def open_table(path: Path) -> StreamedTable:
    """Open a table: Parquet by its first bytes, else text with tabs, commas or semicolons. Reads the header only."""
    path = Path(path)
    if path.is_dir():
        raise InputError(f"{path} is a folder; a table is a file.", "Name the table in it.")
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path.")
    with path.open("rb") as file:
        first = file.read(4)
    if not first:
        raise InputError(f"{path} is empty (0 bytes).", "Copy it again from its source.")
    return _open_parquet(path) if first == b"PAR1" else _open_text(path)


# One batch


def numbers(batch: pa.RecordBatch, column: int) -> FloatArray:
    """A column of numbers, NaN where the field is empty."""
    values: FloatArray = batch.column(column).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def texts(batch: pa.RecordBatch, column: int) -> tuple[list[str], IntArray]:
    """The different texts of a column, and each row's place among them; -1 where the field is empty."""
    encoded = batch.column(column)
    values = ["" if v is None else str(v).strip() for v in encoded.dictionary.to_pylist()]
    code: IntArray = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    empty = np.array([not value for value in values] + [True])
    return values, np.where(empty[code], -1, code)


def are_counts(values: FloatArray) -> BoolArray:
    """Which values are whole numbers from 0 up."""
    return np.asarray((values >= 0) & (values <= LARGEST_COUNT) & (values == np.floor(values)))


def refuse_lost(path: Path, first: int, xy: FloatArray) -> None:
    """Positions (n, 2) of rows from `first` on must be numbers."""
    lost = ~np.isfinite(xy).all(axis=1)
    if lost.any():
        row = first + int(lost.argmax()) + 1
        raise InputError(f"{path}, row {row}: its position is not a number.", "Mend or remove that row.")


def refuse_count(path: Path, row: int, column: str, value: float) -> InputError:
    """The error for a value that is no count, in row `row` counted from 1."""
    shown = "empty or not a number" if np.isnan(value) else f"{value:g}"
    return InputError(
        f"{path}, row {row}, column '{column}': {shown} is not a count.",
        "Counts are whole numbers from 0 up: give raw counts, not normalised ones.",
    )


# Parquet


def _open_parquet(path: Path) -> StreamedTable:
    with readable(path), pq.ParquetFile(path) as file:
        schema, rows = file.schema_arrow, int(file.metadata.num_rows)
    names = tuple(schema.names)

    def batches(wanted: Mapping[int, Kind]) -> Iterator[pa.RecordBatch]:
        columns = [names[i] for i in wanted]
        size = max(64, min(_BATCH_ROWS, _BATCH_CELLS // len(columns)))
        with readable(path), pq.ParquetFile(path) as again:
            for batch in again.iter_batches(size, columns=columns):
                yield _cast(path, batch, columns, tuple(wanted.values()))

    is_text = tuple(not _is_number(kind) for kind in schema.types)
    return StreamedTable(path, names, is_text, rows, batches, _pandas_index(schema))


def _cast(path: Path, batch: pa.RecordBatch, columns: Sequence[str], kinds: Sequence[Kind]) -> pa.RecordBatch:
    """The batch with the columns in the order asked, as float64 or as dictionaries of text."""
    cast = [_number_column if kind == "number" else _text_column for kind in kinds]
    arrays = [convert(path, name, batch.column(name)) for convert, name in zip(cast, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, names=[str(i) for i in range(len(columns))])


def _number_column(path: Path, name: str, column: pa.Array) -> pa.Array:
    if not _is_number(column.type):
        raise InputError(f"{path}: the column '{name}' holds {column.type}, not numbers.", "Name the right column.")
    return pc.cast(column, pa.float64(), safe=False)


def _text_column(path: Path, name: str, column: pa.Array) -> pa.Array:
    if pa.types.is_nested(column.type):
        raise InputError(f"{path}: the column '{name}' holds {column.type}, not text.", "Name the right column.")
    plain = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    return pc.cast(plain, pa.string()).dictionary_encode()


def _is_number(kind: Any) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _pandas_index(schema: Any) -> int | None:
    """The column that pandas kept its index in."""
    kept = (schema.pandas_metadata or {}).get("index_columns", [])
    return schema.names.index(kept[0]) if kept and isinstance(kept[0], str) and kept[0] in schema.names else None


# Text


@dataclass(frozen=True, slots=True)
class _Head:
    """The begin of a text table: lines before the rows, what separates fields, names, the first row."""

    skip: int
    separator: str
    columns: tuple[str, ...]
    first_row: tuple[str, ...]


def _open_text(path: Path) -> StreamedTable:
    head = _head(path)
    names = [str(i) for i in range(len(head.columns))]

    def batches(wanted: Mapping[int, Kind]) -> Iterator[pa.RecordBatch]:
        types = {str(i): _TYPES[kind] for i, kind in wanted.items()}
        read = pa_csv.ReadOptions(block_size=_BLOCK_BYTES, column_names=names, skip_rows=head.skip)
        parse = pa_csv.ParseOptions(delimiter=head.separator)
        convert = pa_csv.ConvertOptions(include_columns=list(types), column_types=types)
        with readable(path):
            try:
                yield from pa_csv.open_csv(unzipped(path), read, parse, convert)
            except pa.ArrowInvalid:
                fault = _first_fault(path, head, wanted)
                if fault is None:
                    raise
                raise fault from None

    return StreamedTable(path, head.columns, tuple(_number(cell) is None for cell in head.first_row), None, batches)


def _head(path: Path) -> _Head:
    with readable(path), _lines(path) as lines:
        start = list(_to_first_row(path, lines))
    skip = next((i for i, line in enumerate(start) if line.strip() and not line.startswith("#")), len(start))
    if len(start) < skip + 2 or not start[skip + 1].strip():
        raise InputError(f"{path} has no rows under its header.", "Check that the file is complete.")
    separator = max(_SEPARATORS, key=start[skip].count)
    header, row = csv.reader(start[skip : skip + 2], delimiter=separator)
    if len(header) == len(row) - 1:
        header = ["", *header]
    if len(header) != len(row):
        raise InputError(
            f"{path}: the header has {len(header)} fields, the first row {len(row)}.",
            "A table is text with tabs or commas, as many in every line; check that the file is complete.",
        )
    return _Head(skip + 1, separator, tuple(cell.strip() for cell in header), tuple(row))


def _to_first_row(path: Path, lines: io.TextIOWrapper) -> Iterator[str]:
    """The lines down to the one below the header, and no more: they may be long."""
    at_row = False
    for line in islice(iter(lambda: lines.readline(_LONGEST_LINE), ""), 1000):
        if len(line) == _LONGEST_LINE:
            raise InputError(f"{path} begins with a line that is no table's.", "Give a text table, or Parquet.")
        yield line
        if at_row:
            return
        at_row = bool(line.strip()) and not line.startswith("#")


def _first_fault(path: Path, head: _Head, wanted: Mapping[int, Kind]) -> InputError | None:
    """What pyarrow stumbled over without saying where: the first row that is too short or holds no number."""
    asked = [i for i, kind in wanted.items() if kind == "number"]
    with _lines(path) as lines:
        rows = csv.reader(islice(lines, head.skip, None), delimiter=head.separator)
        for row, cells in enumerate((cells for cells in rows if cells), start=1):
            if len(cells) != len(head.columns):
                return InputError(
                    f"{path}, row {row}: it has {len(cells)} fields, the header {len(head.columns)}.",
                    "Check that the file is complete: it may be cut off.",
                )
            bad = next((i for i in asked if cells[i].strip() and _number(cells[i]) is None), None)
            if bad is not None:
                return InputError(
                    f"{path}, row {row}, column '{head.columns[bad]}': '{cells[bad]}' is not a number.",
                    "Mend that field, or name the right column.",
                )
    return None


def _number(cell: str) -> float | None:
    try:
        return float(cell)
    except ValueError:
        return None


@contextmanager
def _lines(path: Path) -> Iterator[io.TextIOWrapper]:
    with gzip.open(path) if is_gzip(path) else path.open("rb") as opened:
        yield io.TextIOWrapper(opened, encoding="utf-8-sig", newline="")
