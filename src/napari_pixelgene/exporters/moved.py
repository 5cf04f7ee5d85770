"""Tables of positions written again with the place of every row on the H&E beside what it had.

Four columns are added: `x_he_px`, `y_he_px` (level-0 pixels, 0 at the outer corner of the first one) and `x_he_um`,
`y_he_um` (the same times µm per pixel). Parquet, a batch at a time; a file is there whole or not at all.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import OnEvent, Progress, silent

HE_COLUMNS = ("x_he_px", "y_he_px", "x_he_um", "y_he_um")
_STAGE = "export"


@dataclass(frozen=True, slots=True)
class Placing:
    """How rows come to lie on the H&E: the transform from their own frame to `he_px`, µm per pixel, the slide's
    (rows, columns)."""

    to_he: Transform
    mpp: float
    yx_shape: tuple[int, int]

    def places(self, xy: FloatArray) -> FloatArray:
        """Points (n, 2) in pixels of the H&E; NaN where there is no position, or beyond a homography's horizon."""
        with np.errstate(divide="ignore", invalid="ignore"):
            out = self.to_he.apply(xy)
            out[~(geometry.denominator(self.to_he.matrix, xy) > 0)] = np.nan
        return out

    def notes(self) -> dict[bytes, bytes]:
        """What a reader of the file must know, for its metadata."""
        words = {
            "frame": "he_px: level-0 pixels of the H&E, 0 at the outer corner of the first pixel; he_um: µm",
            "mpp": self.mpp,
            "transform": {"name": self.to_he.name, "kind": self.to_he.kind, "matrix": self.to_he.matrix.tolist()},
        }
        return {b"napari_pixelgene": json.dumps(words).encode()}


@dataclass(frozen=True, slots=True)
class Moved:
    """What was written: rows, how many of them lie outside the H&E, and how many have no place on it at all."""

    path: Path
    rows: int
    outside: int
    placeless: int


def write_moved(
    path: Path | str,
    batches: Iterable[pa.RecordBatch],
    columns: tuple[str, str],
    placing: Placing,
    total: int | None = None,
    on_event: OnEvent = silent,
) -> Moved:
    """Write the batches to Parquet with the four columns; `columns` names x and y in the frame of `placing`.

    Memory holds a batch. On any error, and when `on_event` cancels, no file is left and one of that name stays as it
    was.
    """
    rows = outside = placeless = 0
    high = np.array(placing.yx_shape[::-1], dtype=np.float64)
    with _whole(Path(path)) as part, _Writer(part, placing) as writer:
        for batch in batches:
            place = placing.places(_positions(batch, columns))
            writer.write(batch, place)
            lost = ~np.isfinite(place).all(axis=1)
            rows, placeless = rows + len(place), placeless + int(lost.sum())
            outside += int((~lost & ~((place >= 0) & (place <= high)).all(axis=1)).sum())
            on_event(Progress(_STAGE, rows, total))
        if not rows:
            raise InputError(f"There is no row to write to {path}.", "Check that the run's table is complete.")
    return Moved(Path(path), rows, outside, placeless)


class _Writer:
    """A Parquet file whose columns the first batch decides."""

    def __init__(self, path: Path, placing: Placing) -> None:
        self._path, self._placing = path, placing
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> _Writer:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()

    def write(self, batch: pa.RecordBatch, place: FloatArray) -> None:
        names = [name for name in batch.schema.names if name not in HE_COLUMNS]
        added = np.hstack([place, place * self._placing.mpp]).T
        arrays = [batch.column(name) for name in names] + [pa.array(column) for column in added]
        whole = pa.Table.from_arrays(arrays, names=[*names, *HE_COLUMNS])
        if self._writer is None:
            schema = whole.schema.with_metadata(self._placing.notes())
            self._writer = pq.ParquetWriter(self._path, schema, compression="zstd")
        self._writer.write_table(whole.cast(self._writer.schema))


@contextmanager
def _whole(path: Path) -> Iterator[Path]:
    """A file beside `path` that takes its place at the end, or is removed."""
    part = path.with_name(path.name + ".partial")
    try:
        yield part
        os.replace(part, path)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise InputError(f"{path} cannot be written: {error.strerror}.", "Choose another place.") from None
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _positions(batch: pa.RecordBatch, columns: tuple[str, str]) -> FloatArray:
    """(n, 2) float64, NaN where a row has none."""
    sides = [batch.column(name).cast(pa.float64()).to_numpy(zero_copy_only=False) for name in columns]
    return np.stack(sides, axis=1).astype(np.float64)
