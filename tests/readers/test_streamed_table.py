"""Tables in batches: what they are written in does not matter, and what is wrong is found with its row."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers import molecules, streamed_table
from napari_pixelgene.readers.molecules import Layout
from napari_pixelgene.readers.streamed_table import StreamedTable, numbers, open_table, texts
from napari_pixelgene.readers.wide_counts import read_wide

ROWS = "a,x,who\n1,2.5,B\n2,-3,A\n4,1e3,B\n"


def written(folder: Path, text: str, name: str = "t.csv") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def content(table: StreamedTable) -> tuple[list[float], list[str]]:
    batches = list(table.batches({1: "number", 2: "text"}))
    who = [names[i] if i >= 0 else "" for names, code in (texts(b, 1) for b in batches) for i in code]
    return np.concatenate([numbers(b, 0) for b in batches]).tolist(), who


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (ROWS, "t.csv"),
        (ROWS.replace(",", "\t"), "t.txt"),
        (ROWS.replace(",", ";"), "t.csv"),
        ("#OffsetX=3\n#a,b\n" + ROWS, "t.gem"),
        ("\ufeff" + ROWS.replace("\n", "\r\n"), "t.csv"),
        (ROWS.replace("B", '"B"').replace("x,", '"x",'), "t.csv"),
        (ROWS.removesuffix("\n"), "t.csv"),
        (ROWS.removeprefix("a,"), "t.csv"),
    ],
    ids=["csv", "tabs", "semicolons", "comments", "windows", "quotes", "no last line end", "no corner"],
)
def test_text_reads_the_same_however_it_is_written(tmp_path: Path, text: str, name: str) -> None:
    table = open_table(written(tmp_path, text, name))
    assert table.columns[0] in ("a", "") and table.columns[1:] == ("x", "who") and table.is_text == (False, False, True)
    assert content(table) == ([2.5, -3.0, 1000.0], ["B", "A", "B"])
    assert content(table)[0] == [2.5, -3.0, 1000.0], "a second pass begins at the first row"


def test_gzip_and_parquet_read_the_same_whatever_their_name(tmp_path: Path) -> None:
    (tmp_path / "zipped").write_bytes(gzip.compress(ROWS.encode()))
    who = pa.array(["B", "A", "B"]).dictionary_encode()
    columns = {"a": [1, 2, 4], "x": pa.array([2.5, -3.0, 1000.0], pa.float32()), "who": who}
    pq.write_table(pa.table(columns), tmp_path / "columns")
    for name in ("zipped", "columns"):
        table = open_table(tmp_path / name)
        assert content(table) == ([2.5, -3.0, 1000.0], ["B", "A", "B"])
        assert table.is_text == (False, False, True)
    assert (open_table(tmp_path / "zipped").rows, open_table(tmp_path / "columns").rows) == (None, 3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["empty"]),
        ("a,x,who\n", ["no rows"]),
        ("a,x,who\n1,2\n", ["3 fields", "first row 2"]),
        (ROWS + "7,8\n", ["row 4", "2 fields"]),
        (ROWS + "7,oops,A\n", ["row 4", "'x'", "'oops'"]),
    ],
)
def test_faults_of_text_are_found_with_their_row(tmp_path: Path, text: str, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        content(open_table(written(tmp_path, text)))
    assert all(word in caught.value.problem for word in words), caught.value.problem
    assert caught.value.mend


def test_what_is_cut_off_is_told(tmp_path: Path) -> None:
    (tmp_path / "t.csv.gz").write_bytes(gzip.compress((ROWS * 500).encode())[:-60])
    pq.write_table(pa.table({"a": [1], "x": [1.0], "who": ["A"]}), tmp_path / "t.parquet")
    whole = (tmp_path / "t.parquet").read_bytes()
    (tmp_path / "t.parquet").write_bytes(whole[:-20])
    for name in ("t.csv.gz", "t.parquet"):
        with pytest.raises(InputError, match="cut off"):
            content(open_table(tmp_path / name))


def test_a_column_of_another_type_is_named(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1], "x": ["far"], "who": [[1, 2]]}), tmp_path / "t.parquet")
    table = open_table(tmp_path / "t.parquet")
    with pytest.raises(InputError, match="'x' holds string"):
        list(table.batches({1: "number"}))
    with pytest.raises(InputError, match="'who' holds list"):
        list(table.batches({2: "text"}))


def test_rows_that_count_many_are_handed_on_in_bounded_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(molecules, "_MOST", 4)
    table = open_table(written(tmp_path, "x,y,gene,n\n1,2,B,3\n5,6,A,9\n7,8,C,0\n9,4,A,1\n"))
    layout = Layout(table, 0, 1, 2, 3)
    stream = molecules.stream(layout, molecules.survey(layout), 0.5, "stage_um")
    batches = list(stream.batches())
    assert [len(b.gene) for b in batches] == [4, 4, 4, 1]
    assert stream.genes.symbols == ("A", "B"), "C counts 0"
    assert np.concatenate([b.gene for b in batches]).tolist() == [1] * 3 + [0] * 10
    assert np.concatenate([b.xy for b in batches])[[2, 3, 12]].tolist() == [[0.5, 1.0], [2.5, 3.0], [4.5, 2.0]]


@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=30), st.integers(1, 40))
def test_wide_counts_are_those_written_whatever_the_batch(
    tmp_path_factory: pytest.TempPathFactory, values: list[list[int]], cells: int
) -> None:
    folder = tmp_path_factory.mktemp("wide")
    columns = {name: [row[i] for row in values] for i, name in enumerate("pqrs")}
    pq.write_table(pa.table({"cell": [f"c{i}" for i in range(len(values))], **columns}), folder / "t.parquet")
    batch_cells = streamed_table._BATCH_CELLS
    streamed_table._BATCH_CELLS = cells
    try:
        read = read_wide(open_table(folder / "t.parquet"), 0, [4, 1, 3])
    finally:
        streamed_table._BATCH_CELLS = batch_cells
    assert read.counts.toarray().tolist() == [[row[3], row[0], row[2]] for row in values]
    assert read.genes == ("s", "p", "r") and read.ids[-1] == f"c{len(values) - 1}"
    assert read.counts.dtype == np.int32
