"""10x's feature-barcode matrices: one HDF5 file, or a folder of three text files.

In both, features (genes, proteins, controls) go down and barcodes (spots, bins, cells) go across. The HDF5 file is
compressed by column, so that what it holds is our CSR of barcodes as it stands: it is read in blocks, never spread out.
"""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
from scipy import sparse
from scipy.io import mmread

from napari_pixelgene.elements.arrays import Array, IntArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, Progress, silent

STAGE = "import"
FOLDER_FILES = ("matrix.mtx", "barcodes.tsv", "features.tsv")
_GENE = "Gene Expression"
_MEND = "Copy it again from its source: it may be cut off."
_RAW = "Counts are whole numbers from 0 up: give the matrix that the run wrote, not a normalised one."
# Entries read at once; some 200 MB as a file keeps them.
_BLOCK = 1 << 24
_MOST = np.iinfo(np.int32).max
_UNREADABLE = (OSError, EOFError, ValueError, OverflowError, zlib.error, pl.exceptions.PolarsError)


@dataclass(frozen=True, slots=True)
class Features:
    """Rows of the matrix, in file order: ids, names and feature types, each (features,) text."""

    ids: list[str]
    names: list[str]
    types: list[str]

    @property
    def gene_rows(self) -> list[int]:
        """Which rows are genes."""
        return [i for i, kind in enumerate(self.types) if kind == _GENE]

    @property
    def genes(self) -> list[tuple[str, str]]:
        """(id, symbol) of the genes."""
        return [(self.ids[i], self.names[i]) for i in self.gene_rows]


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """Counts (barcodes, features) CSR of int32, the barcodes (n,) text, and what the file says of its making."""

    path: Path
    barcodes: Array
    features: Features
    counts: sparse.csr_matrix
    facts: Mapping[str, str] = field(default_factory=dict)

    def of_genes(self, on_event: OnEvent = silent) -> tuple[sparse.csr_matrix, GeneTable]:
        """The counts of genes alone; features of other kinds are left out and told."""
        rows = self.features.gene_rows
        if not rows:
            kinds = ", ".join(sorted(set(self.features.types))) or "none"
            raise InputError(f"{self.path} holds no '{_GENE}' features ({kinds}).", "Give the run's gene counts.")
        genes = gene_table(self.features.genes, self.path, on_event)
        if len(rows) == len(self.features.ids):
            return self.counts, genes
        other = Counter(kind for kind in self.features.types if kind != _GENE)
        told = ", ".join(f"{n} {kind}" for kind, n in sorted(other.items()))
        on_event(Note(f"Features of {self.path.name} that are no genes are left out: {told}.", stage=STAGE))
        return sparse.csr_matrix(self.counts[:, rows]), genes


def gene_table(genes: list[tuple[str, str]], where: Path, on_event: OnEvent = silent, more: str = "") -> GeneTable:
    """Unique symbols from (id, symbol): of genes that share one, the first keeps it, the others get `SYMBOL_ID`.

    A note says so; with `more` after it, which says what is worse than a name, a warning.
    """
    twice = sorted(symbol for symbol, n in Counter(symbol for _, symbol in genes).items() if n > 1)
    taken: set[str] = set()
    unique = []
    for gene_id, symbol in genes:
        unique.append(f"{symbol}_{gene_id}" if symbol in taken else symbol)
        taken.add(symbol)
    if twice:
        shown = ", ".join(twice[:5]) + (", …" if len(twice) > 5 else "")
        text = (
            f"{where.name} lists several genes named {shown}: the first keeps the name, the others are called NAME_ID."
        )
        on_event(Note(f"{text} {more}".strip(), "warning" if more else "info"))
    return GeneTable(tuple(unique), tuple(gene_id for gene_id, _ in genes))


def read_features(path: Path) -> Features:
    """The features of an HDF5 matrix, without its counts."""
    try:
        with h5py.File(path) as file:
            return _features(file["matrix/features"])
    except (*_UNREADABLE, KeyError) as error:
        raise unreadable(path, error) from None


def read_matrix(path: Path, on_event: OnEvent = silent) -> FeatureMatrix:
    """The matrix of an HDF5 file, or of a folder with `matrix.mtx`, `barcodes.tsv` and `features.tsv` (or `.gz`).

    Raises InputError for what is cut off, for barcodes that stand twice, and for values that are no counts.
    """
    if not path.exists():
        raise InputError(f"There is no file {path}.", "Check the path.")
    try:
        found = _read_folder(path) if path.is_dir() else _read_h5(path, on_event)
    except (*_UNREADABLE, KeyError) as error:
        if isinstance(error, InputError):
            raise
        raise unreadable(path, error) from None
    _refuse_repeated(found)
    return found


def unreadable(path: Path, error: Exception) -> InputError:
    """What is said of a file that broke off or holds something else."""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    return InputError(f"{path} cannot be read as a feature matrix ({reason}).", _MEND)


def _refuse_repeated(found: FeatureMatrix) -> None:
    later = ~pl.Series(found.barcodes, dtype=pl.String).is_first_distinct().to_numpy()
    if later.any():
        again = int(np.argmax(later))
        raise InputError(
            f"{found.path}: the barcode '{found.barcodes[again]}' stands twice, the second time as number {again + 1}.",
            "Give the matrix of one run.",
        )


# HDF5


def _read_h5(path: Path, on_event: OnEvent) -> FeatureMatrix:
    with h5py.File(path) as file:
        group = file["matrix"]
        features, barcodes = _features(group["features"]), _text(group["barcodes"][:])
        counts = _blocks(path, group, barcodes, features, on_event)
        facts = {key: _word(file.attrs[name]) for key, name in _FACTS.items() if name in file.attrs}
    return FeatureMatrix(path, barcodes, features, counts, facts)


_FACTS = {"software": "software_version", "chemistry": "chemistry_description"}


def _features(group: Any) -> Features:
    return Features(*(_text(group[key][:]).tolist() for key in ("id", "name", "feature_type")))


def _blocks(path: Path, group: Any, barcodes: Array, features: Features, on_event: OnEvent) -> sparse.csr_matrix:
    """The file's three arrays as a CSR, block by block, each entry looked at."""
    starts: IntArray = group["indptr"][:].astype(np.int64)
    entries = len(group["data"])
    if len(starts) != len(barcodes) + 1 or starts[0] or (np.diff(starts) < 0).any():
        raise ValueError(f"its {len(barcodes)} barcodes do not fit its columns")
    if not starts[-1] == entries == len(group["indices"]):
        raise ValueError(f"its columns want {starts[-1]} entries, it holds {entries}")
    small = np.int32 if max(entries, len(features.ids)) <= _MOST else np.int64
    data, indices = np.empty(entries, dtype=np.int32), np.empty(entries, dtype=small)
    for first in range(0, entries, _BLOCK):
        on_event(Progress(STAGE, first, entries))
        part = slice(first, min(first + _BLOCK, entries))
        values, rows = group["data"][part], group["indices"][part]
        if (rows < 0).any() or (rows >= len(features.ids)).any():
            raise ValueError(f"it counts a feature beyond its {len(features.ids)}")
        _refuse_non_counts(path, values, lambda i, at=first, of=rows: _entry(starts, at + i, of[i], barcodes, features))
        data[part], indices[part] = values, rows
    counts = sparse.csr_matrix((data, indices, starts.astype(small)), shape=(len(barcodes), len(features.ids)))
    counts.sum_duplicates()  # also sorts
    return counts


def _entry(starts: IntArray, place: int, row: int, barcodes: Array, features: Features) -> tuple[str, str]:
    """(barcode, gene) of an entry."""
    return str(barcodes[np.searchsorted(starts, place, side="right") - 1]), features.names[row]


def _refuse_non_counts(path: Path, values: Array, who: Any) -> None:
    """`who(i)` gives (barcode, gene) of the i-th value."""
    if values.dtype.kind in "iu" and (not len(values) or (values.min() >= 0 and values.max() <= _MOST)):
        return
    whole = (values >= 0) & (values <= _MOST) & (values == np.floor(values))
    if not whole.all():
        i = int(np.argmin(whole))
        barcode, gene = who(i)
        raise InputError(f"{path}, barcode '{barcode}', gene '{gene}': {values[i]:g} is not a count.", _RAW)


def _text(values: Array) -> Array:
    """Text (n,) from the bytes of either kind of HDF5 string."""
    if values.dtype.kind == "S":
        return np.char.decode(values, "utf-8")
    return np.array([v.decode() if isinstance(v, bytes) else str(v) for v in values], dtype=str)


def _word(value: Any) -> str:
    first = np.asarray(value).ravel()[0]
    return first.decode() if isinstance(first, bytes) else str(first)


# Folder


def is_matrix_folder(path: Path) -> bool:
    """Whether a folder holds the matrix as text."""
    return (path / FOLDER_FILES[0]).is_file() or (path / f"{FOLDER_FILES[0]}.gz").is_file()


def matrix_file(path: Path) -> Path:
    """The file that holds the numbers: of a folder, its `matrix.mtx`."""
    return _plain_or_packed(path, FOLDER_FILES[0]) if path.is_dir() else path


def _read_folder(path: Path) -> FeatureMatrix:
    matrix, barcode_file, feature_file = (_plain_or_packed(path, name) for name in FOLDER_FILES)
    barcodes = _columns(barcode_file, 1)[0]
    ids, names, types = _columns(feature_file, 3)
    features = Features(ids.tolist(), names.tolist(), types.tolist())
    with gzip.open(matrix) if matrix.suffix == ".gz" else matrix.open("rb") as stream:
        table = mmread(stream).tocoo()
    if table.shape != (len(ids), len(barcodes)):
        raise InputError(
            f"{matrix} is {table.shape[0]} × {table.shape[1]}, but there are {len(ids)} features and {len(barcodes)} "
            "barcodes beside it.",
            "Take all three files from the same run.",
        )
    _refuse_non_counts(matrix, table.data, lambda i: (str(barcodes[table.col[i]]), str(names[table.row[i]])))
    counts = sparse.csr_matrix((table.data.astype(np.int32), (table.col, table.row)), shape=table.shape[::-1])
    counts.sum_duplicates()
    return FeatureMatrix(path, barcodes, features, counts)


def _plain_or_packed(folder: Path, name: str) -> Path:
    for each in (folder / f"{name}.gz", folder / name):
        if each.is_file():
            return each
    raise InputError(f"{folder} has neither {name}.gz nor {name}.", "Give the whole folder of the matrix.")


def _columns(path: Path, count: int) -> list[Array]:
    """The first columns of a table without a header, as text."""
    frame = pl.read_csv(path, separator="\t", has_header=False, infer_schema=False, quote_char=None)
    if frame.width < count:
        raise InputError(
            f"{path} has {frame.width} columns; {count} are expected.", "Give the file that the run wrote."
        )
    return [frame.to_series(i).fill_null("").to_numpy().astype(str) for i in range(count)]
