"""Tables with all their columns: the same rows in the same order from Parquet, CSV and gzip; faults name the file."""

from __future__ import annotations

import gzip
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.whole_rows import open_rows

FRAME = pl.DataFrame({"cell_id": ["7", "7", "a-1", "7"], "vertex_x": [1.5, -2.0, 3.25, 0.0], "label": [4, 5, 6, 7]})


def test_the_same_rows_from_every_kind(tmp_path: Path) -> None:
    FRAME.write_parquet(tmp_path / "a.parquet")
    FRAME.write_csv(tmp_path / "a.csv")
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    FRAME.with_columns(pl.col("cell_id").cast(pl.Binary)).write_parquet(tmp_path / "bytes.parquet")
    for name in ("a.parquet", "a.csv", "a.csv.gz", "bytes.parquet"):
        rows = open_rows(tmp_path / name, ("cell_id", "vertex_x"))
        assert rows.columns == ("cell_id", "vertex_x", "label") and rows.rows in (4, None)
        for _ in range(2):  # from the first row each time
            assert pl.DataFrame(pa.Table.from_batches(list(rows.batches())).to_pydict()).equals(FRAME)


def test_faults_name_the_file_and_the_column(tmp_path: Path) -> None:
    FRAME.write_csv(tmp_path / "a.csv")
    with pytest.raises(InputError, match=r"a\.csv has no column vertex_y"):
        open_rows(tmp_path / "a.csv", ("vertex_x", "vertex_y"))
    with pytest.raises(InputError, match=r"no file .*b\.parquet"):
        open_rows(tmp_path / "b.parquet", ())
    (tmp_path / "c.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(InputError, match=r"c\.parquet cannot be read as a table"):
        open_rows(tmp_path / "c.parquet", ())
