"""AnnData on disk (.h5ad or Zarr), and its raw counts, read in blocks of rows and never densified.

Raw counts are where the values are whole numbers from 0 up: in `layers["counts"]`, else `raw.X`, else `X`. Nothing is
rounded. What anndata before 0.7 wrote is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import zarr
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, BoolArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, Progress

COUNTS = "counts"
_LARGEST = np.iinfo(np.int32).max
_BLOCK_VALUES = 1 << 22
_STAGE = "counts"
_MEND = "Copy it again from its source: it may be cut off."
_UNREADABLE = (OSError, KeyError, ValueError, TypeError, IndexError, RuntimeError)


@dataclass(frozen=True, slots=True)
class Table:
    """An open AnnData: its file, the group that holds it, how people call it."""

    path: Path
    root: Any
    names: Array  # obs_names (n,)

    def column(self, frame: str, name: str) -> Array | None:
        """A column of `obs`, `var` or `raw/var`, categories spelled out; None where there is none."""
        return column(self.root[frame], name)

    def columns(self, frame: str) -> list[str]:
        """The names of a frame's columns."""
        return [str(each) for each in self.root[frame].attrs.get("column-order", ())]

    def index(self, frame: str) -> Array:
        """The names of a frame's rows."""
        return frame_index(self.root[frame])

    def element(self, place: str) -> Any:
        """Anything small, whole; None where there is none."""
        return _read_element(self.root[place]) if place in self.root else None

    def keys(self, place: str) -> list[str]:
        """What a mapping of the file holds."""
        return list(self.root[place]) if place in self.root else []


@dataclass(frozen=True, slots=True)
class RawCounts:
    """Counts (rows, genes) int32, where they were found, and the frame that names their genes."""

    counts: sparse.csr_matrix
    place: str
    var: str


@contextmanager
def opened(path: Path) -> Iterator[Table]:
    """The AnnData at `path`; a fault of the file while it is open becomes InputError that names it."""
    path = Path(path)
    if not path.exists():
        raise InputError(f"There is no file {path}.", "Check the path.")
    handle: Any = None
    try:
        handle = zarr.open_group(str(path), mode="r", use_consolidated=False) if path.is_dir() else h5py.File(path)
        yield Table(path, handle, _unit_names(path, handle))
    except InputError:
        raise
    except _UNREADABLE as why:
        reason = str(why).splitlines()[0] if str(why) else type(why).__name__
        raise InputError(f"{path} cannot be read as AnnData ({reason}).", _MEND) from why
    finally:
        if isinstance(handle, h5py.File):
            handle.close()


def _unit_names(path: Path, root: Any) -> Array:
    missing = [name for name in ("obs", "var") if name not in root]
    if missing:
        raise InputError(
            f"{path} is no AnnData: it has no '{missing[0]}'.", "Give an .h5ad file, or the Zarr folder of one AnnData."
        )
    if any(isinstance(root[name], h5py.Dataset) for name in ("obs", "var")):
        raise InputError(
            f"{path} was written by anndata before 0.7.", "Open it with anndata and write it again (adata.write_h5ad)."
        )
    names = frame_index(root["obs"])
    unique, first = np.unique(names, return_index=True)
    if len(unique) < len(names):
        twice = names[sorted(set(range(len(names))) - set(first.tolist()))[0]]
        raise InputError(
            f"{path}: the row '{twice}' of obs stands twice.", "Make names unique first: adata.obs_names_make_unique()."
        )
    return names


def frame_index(frame: Any) -> Array:
    """The names of the rows of a stored frame, text."""
    found = column(frame, str(frame.attrs["_index"]))
    assert found is not None
    return np.asarray(found, dtype=str)


def column(frame: Any, name: str) -> Array | None:
    """A column of a stored frame, categories spelled out; None where there is none."""
    if name not in frame:
        return None
    if "__categories" in frame:  # anndata 0.7 keeps categories apart
        whole = _read_element(frame)
        return np.asarray(whole.index if name == frame.attrs["_index"] else whole[name])
    found = np.asarray(_read_element(frame[name]))
    return found.astype(object) if found.dtype.kind == "T" else found  # numpy casts its own texts to no other


def _read_element(node: Any) -> Any:
    import anndata  # slow to import, and asked for by every list of sources

    return anndata.io.read_elem(node)


# Counts


def raw_counts(table: Table, layer: str, keep: BoolArray, on_event: OnEvent) -> RawCounts:
    """The raw counts of the rows `keep` (n,), from `layer` (a layer's name, X or raw.X), else where they are found.

    Raises InputError that names row and gene where a named place holds no counts, or that lists the places where
    none was looked for successfully.
    """
    places = _places(table, layer)
    looked: list[str] = []
    for place, (key, var) in places.items():
        if key not in table.root:
            looked.append(f"{place} is not there")
            continue
        found = _read(table, key, var, place, keep, on_event)
        if not isinstance(found, str):
            _tell(place, looked, on_event)
            return RawCounts(found, place, var)
        if layer:
            raise InputError(f"{table.path}, {found}.", "Name the place of the raw counts, or leave the layer out.")
        looked.append(found)
    layers = table.keys("layers")
    mend = f"Its layers: {', '.join(layers)}. " if layers else ""
    raise InputError(
        f"{table.path} holds no raw counts (whole numbers from 0 up): {'; '.join(looked)}.",
        f"{mend}Save the object with its raw counts, adata.layers['counts'], or name another layer.",
    )


def _places(table: Table, layer: str) -> Mapping[str, tuple[str, str]]:
    if not layer:
        own = {f"layers['{COUNTS}']": (f"layers/{COUNTS}", "var")}
        return {**own, "raw.X": ("raw/X", "raw/var"), "X": ("X", "var")}
    if layer in table.keys("layers"):
        return {f"layers['{layer}']": (f"layers/{layer}", "var")}
    known = {"X": ("X", "var"), "raw.X": ("raw/X", "raw/var"), "raw": ("raw/X", "raw/var")}
    if layer in known and known[layer][0] in table.root:
        return {layer: known[layer]}
    there = [*table.keys("layers"), *(name for name in ("X", "raw.X") if known[name][0] in table.root)]
    raise InputError(f"{table.path} has no layer '{layer}'.", f"It has: {', '.join(there) or 'none'}.")


def _tell(place: str, looked: list[str], on_event: OnEvent) -> None:
    passed = [each for each in looked if not each.endswith("is not there")]
    text = f"Counts are taken from {place}"
    if passed:
        on_event(Note(f"{text}, for {'; '.join(passed)}.", "warning", _STAGE))
    else:
        on_event(Note(f"{text}.", "info", _STAGE))


def _read(table: Table, key: str, var: str, place: str, keep: BoolArray, on_event: OnEvent) -> sparse.csr_matrix | str:
    """The counts, or why there are none."""
    node = table.root[key]
    shape = _shape(node)
    genes = table.index(var)
    if shape != (len(table.names), len(genes)):
        raise InputError(
            f"{table.path}: {place} is {shape[0]} × {shape[1]}, obs and var name {len(table.names)} × {len(genes)}.",
            _MEND,
        )
    blocks = []
    for rows, columns, block in _blocks(node, shape):
        fault = _fault(block)
        if fault is not None:
            row, gene, value = fault
            where = f"row '{table.names[rows.start + row]}', gene '{genes[columns.start + gene]}'"
            return f"{place}, {where}: {value} is not a count"
        blocks.append(_whole(block)[keep[rows]])
        on_event(Progress(_STAGE, columns.stop * rows.stop, shape[0] * shape[1], place))
    across = blocks and blocks[0].shape[1] < shape[1]
    joined = sparse.hstack(blocks, format="csr") if across else sparse.vstack(blocks, format="csr") if blocks else None
    return sparse.csr_matrix((int(keep.sum()), shape[1]), dtype=np.int32) if joined is None else joined


def _shape(node: Any) -> tuple[int, int]:
    rows, columns = node.shape if hasattr(node, "shape") else node.attrs.get("shape", node.attrs.get("h5sparse_shape"))
    return int(rows), int(columns)


def _fault(block: Any) -> tuple[int, int, str] | None:
    """The first value that is no count: row, column and the value in words."""
    values = block.data if sparse.issparse(block) else block
    if values.dtype.kind in "iu":
        bad = np.asarray((values < 0) | (values > _LARGEST))
    elif values.dtype.kind == "f":
        bad = ~np.asarray((values >= 0) & (values <= _LARGEST) & (values == np.floor(values)))
    else:
        return 0, 0, f"{values.dtype} data"
    if not bad.any():
        return None
    if not sparse.issparse(block):
        row, column = (int(n) for n in np.argwhere(bad)[0])
        return row, column, f"{values[row, column]:g}"
    first = int(bad.argmax())
    entries = block.tocoo()
    return int(entries.row[first]), int(entries.col[first]), f"{values[first]:g}"


def _whole(block: Any) -> sparse.csr_matrix:
    """As CSR of int32 without zeros that are written out."""
    out = sparse.csr_matrix(block.astype(np.int32))
    out.sum_duplicates()
    out.eliminate_zeros()
    return out


def _blocks(node: Any, shape: tuple[int, int]) -> Iterator[tuple[slice, slice, Any]]:
    """(rows, columns, block) one after another: rows of a CSR or dense matrix, columns of a CSC one."""
    if hasattr(node, "shape"):
        step = max(1, _BLOCK_VALUES // max(1, shape[1]))
        for start in range(0, shape[0], step):
            rows = slice(start, min(start + step, shape[0]))
            yield rows, slice(0, shape[1]), np.asarray(node[rows])
        return
    by_row = _by_row(node)
    starts = np.asarray(node["indptr"][:], dtype=np.int64)
    major, minor = shape if by_row else shape[::-1]
    _check_starts(starts, major, int(node["data"].shape[0]))
    first = 0
    while first < major:
        last = max(first + 1, int(np.searchsorted(starts, starts[first] + _BLOCK_VALUES, side="right")) - 1)
        last = min(last, major)
        own = slice(int(starts[first]), int(starts[last]))
        indices = np.asarray(node["indices"][own], dtype=np.int32)
        if len(indices) and not 0 <= indices.min() <= indices.max() < minor:
            raise ValueError("an index of the matrix lies outside it")
        parts = (np.asarray(node["data"][own]), indices, (starts[first : last + 1] - starts[first]).astype(np.int32))
        span, other = slice(first, last), slice(0, minor)
        if by_row:
            yield span, other, sparse.csr_matrix(parts, shape=(last - first, minor))
        else:
            yield other, span, sparse.csc_matrix(parts, shape=(minor, last - first))
        first = last


def _by_row(node: Any) -> bool:
    kind = str(node.attrs.get("encoding-type", node.attrs.get("h5sparse_format", "")))
    if not kind.startswith(("csr", "csc")):
        raise ValueError(f"a matrix of the kind '{kind}'")
    return kind.startswith("csr")


def _check_starts(starts: Array, major: int, stored: int) -> None:
    if len(starts) != major + 1 or starts[0] != 0 or starts[-1] != stored or (np.diff(starts) < 0).any():
        raise ValueError("the rows of the matrix do not fit its values")
