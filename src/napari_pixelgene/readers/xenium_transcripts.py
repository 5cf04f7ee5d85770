"""A Xenium run's transcripts, streamed: Parquet or CSV (plain or gzip), in batches, filtered as 10x does.

Accepted are transcripts of genes with a quality of at least `min_qv` (10x: 20). What a gene is, the columns
`is_gene` and `codeword_category` say; older files have neither, there the control classes are told by
their names. One pass over the filter columns counts what is left out, so that it can be told before
anything is binned.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.transcripts import TranscriptBatch, Transcripts
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, Progress, silent
from napari_pixelgene.readers.table_file import readable, unzipped

FILE_NAMES = ("transcripts.parquet", "transcripts.csv.gz", "transcripts.csv")
CONTROL_PREFIXES = (
    "NegControlProbe_",
    "NegControlCodeword_",
    "antisense_",
    "BLANK_",
    "Blank-",
    "UnassignedCodeword_",
    "DeprecatedCodeword_",
    "Intergenic_Region_",
)
_NAME, _X, _Y, _QV = "feature_name", "x_location", "y_location", "qv"
_IS_GENE, _CATEGORY = "is_gene", "codeword_category"
_GENE_CATEGORY = "_gene"  # predesigned_gene, custom_gene
_BATCH_ROWS = 500_000
# pyarrow reads some thirty blocks ahead.
_BLOCK_BYTES = 1 << 22
_TYPES = {_NAME: pa.string(), _X: pa.float64(), _Y: pa.float64(), _QV: pa.float32(), _IS_GENE: pa.bool_()}
_STAGE = "transcripts"


@dataclass(frozen=True, slots=True)
class Table:
    """A transcript file: its columns, its rows where the file says them, and batches of asked columns."""

    path: Path
    columns: frozenset[str]
    rows: int | None
    batches: Callable[[list[str]], Iterator[pa.RecordBatch]]


@dataclass(slots=True)
class Survey:
    """What one pass over the filter columns found; `accepted` counts by feature name."""

    rows: int = 0
    controls: int = 0
    low_quality: int = 0
    seen: dict[str, int] = field(default_factory=dict)  # rows of genes, whatever their quality
    accepted: dict[str, int] = field(default_factory=dict)


def open_table(path: Path, min_qv: float) -> Table:
    """Open a transcript file and check its columns."""
    table = _open_parquet(path) if path.suffix == ".parquet" else _open_csv(path)
    needed = [_NAME, _X, _Y, *([_QV] if min_qv > 0 else [])]
    missing = [column for column in needed if column not in table.columns]
    if missing:
        raise InputError(
            f"{path} has no column {', '.join(missing)}; it has {', '.join(sorted(table.columns)[:20])}.",
            "Take the transcript file that the instrument wrote (or set the QV threshold to 0 if only qv is missing).",
        )
    return table


def survey(table: Table, min_qv: float, on_event: OnEvent = silent) -> Survey:
    """Count what the filters accept and leave out, by feature."""
    found = Survey()
    for batch in table.batches(_filter_columns(table, min_qv)):
        names, code = _names(batch)
        gene, good = _gene_rows(batch, names, code), _good_rows(batch, min_qv)
        found.rows += len(code)
        found.controls += int((~gene).sum())
        found.low_quality += int((gene & ~good).sum())
        _add(found.seen, names, code[gene])
        _add(found.accepted, names, code[gene & good])
        on_event(Progress(_STAGE, found.rows, table.rows))
    return found


def stream(table: Table, genes: GeneTable, found: Survey, min_qv: float, on_event: OnEvent) -> Transcripts:
    """The accepted transcripts of the genes in the table; says what is left out."""
    unknown = {name: n for name, n in found.accepted.items() if name not in genes}
    accepted = sum(found.accepted.values()) - sum(unknown.values())
    filters = _tell(table.path, found, unknown, min_qv, on_event)
    if not accepted:
        raise InputError(
            f"No transcript of {table.path} is left after the filters ({'; '.join(filters.values()) or 'no rows'}).",
            "Check the QV threshold and that the file is complete.",
        )
    return Transcripts(
        table.path, genes, found.rows, lambda: _accepted(table, genes, min_qv), frame="stage_um", filters=filters
    )


def _accepted(table: Table, genes: GeneTable, min_qv: float) -> Iterator[TranscriptBatch]:
    first = 0
    for batch in table.batches([*_filter_columns(table, min_qv), _X, _Y]):
        names, code = _names(batch)
        place = np.array([genes.index(name) if name in genes else -1 for name in names] + [-1], dtype=np.int32)[code]
        keep = _gene_rows(batch, names, code) & _good_rows(batch, min_qv) & (place >= 0)
        xy = np.stack([_floats(batch, _X)[keep], _floats(batch, _Y)[keep]], axis=1)
        _refuse_lost(table.path, first, keep, xy)
        first += len(code)
        yield TranscriptBatch(xy, place[keep])


def _refuse_lost(path: Path, first: int, keep: BoolArray, xy: FloatArray) -> None:
    lost = ~np.isfinite(xy).all(axis=1)
    if lost.any():
        row = first + int(np.flatnonzero(keep)[int(lost.argmax())]) + 1
        raise InputError(f"{path}, transcript {row}: its position is not a number.", "Check that the file is complete.")


def _tell(path: Path, found: Survey, unknown: dict[str, int], min_qv: float, on_event: OnEvent) -> dict[str, str]:
    """Say what is left out; the same words for reports."""
    left_out = {
        "controls": (found.controls, "are controls"),
        "qv": (found.low_quality, f"have a quality (QV) below {min_qv:g}"),
        "unknown": (
            sum(unknown.values()),
            f"are of features the panel does not list ({', '.join(sorted(unknown)[:5])})",
        ),
    }
    words = {
        key: f"{n:,} of {found.rows:,} transcripts in {path.name} {why} and are left out ({n / found.rows:.1%})."
        for key, (n, why) in left_out.items()
        if n
    }
    for key, text in words.items():
        on_event(Note(text, "warning" if key == "unknown" else "info", _STAGE))
    return words


# One batch


def _filter_columns(table: Table, min_qv: float) -> list[str]:
    wanted = [_NAME, *([_QV] if min_qv > 0 else []), _IS_GENE, _CATEGORY]
    return [column for column in wanted if column in table.columns]


def _names(batch: pa.RecordBatch) -> tuple[list[str], IntArray]:
    """Feature names of the batch, and each row's place among them; -1 where there is no name."""
    return _encoded(batch.column(_NAME))


def _encoded(column: pa.Array) -> tuple[list[str], IntArray]:
    encoded = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    values = [v.decode() if isinstance(v, bytes) else str(v) for v in encoded.dictionary.to_pylist()]
    code: IntArray = encoded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
    return values, code


def _gene_rows(batch: pa.RecordBatch, names: Sequence[str], code: IntArray) -> BoolArray:
    columns = batch.schema.names
    gene: BoolArray = code >= 0
    if _IS_GENE in columns:
        gene &= batch.column(_IS_GENE).fill_null(False).to_numpy(zero_copy_only=False)
    if _CATEGORY in columns:
        classes, place = _encoded(batch.column(_CATEGORY))
        gene &= np.array([c.endswith(_GENE_CATEGORY) for c in classes] + [False])[place]
    if _IS_GENE not in columns and _CATEGORY not in columns:
        gene &= np.array([not name.startswith(CONTROL_PREFIXES) for name in names] + [False])[code]
    return gene


def _good_rows(batch: pa.RecordBatch, min_qv: float) -> BoolArray:
    if min_qv <= 0:
        return np.ones(batch.num_rows, dtype=bool)
    return np.asarray(batch.column(_QV).to_numpy(zero_copy_only=False) >= min_qv)


def _floats(batch: pa.RecordBatch, column: str) -> FloatArray:
    values: FloatArray = batch.column(column).to_numpy(zero_copy_only=False).astype(np.float64)
    return values


def _add(total: dict[str, int], names: Sequence[str], code: IntArray) -> None:
    for name, n in zip(names, np.bincount(code, minlength=len(names)), strict=True):
        if n:
            total[name] = total.get(name, 0) + int(n)


# Files


def _open_parquet(path: Path) -> Table:
    with readable(path, "transcripts"), pq.ParquetFile(path) as file:
        columns, rows = frozenset(file.schema_arrow.names), int(file.metadata.num_rows)
    texts = [column for column in (_NAME, _CATEGORY) if column in columns]

    def batches(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        with readable(path, "transcripts"), pq.ParquetFile(path, read_dictionary=texts) as again:
            yield from again.iter_batches(_BATCH_ROWS, columns=wanted)

    return Table(path, columns, rows, batches)


def _open_csv(path: Path) -> Table:
    with readable(path, "transcripts"):
        columns = frozenset(pa_csv.open_csv(unzipped(path)).schema.names)

    def batches(wanted: list[str]) -> Iterator[pa.RecordBatch]:
        types = {column: _TYPES.get(column, pa.string()) for column in wanted}
        convert = pa_csv.ConvertOptions(include_columns=wanted, column_types=types)
        with readable(path, "transcripts"):
            yield from pa_csv.open_csv(unzipped(path), pa_csv.ReadOptions(block_size=_BLOCK_BYTES), None, convert)

    return Table(path, columns, None, batches)
