"""CosMx flat files: transcripts and cells in µm of the stage, controls out, the pixel size from what there is."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.cosmx import CosmxSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.cosmx import FIRST_PIXEL_UM, PIXEL_UM, find_run, read_cosmx

TX = (
    "fov,cell_ID,cell,x_local_px,y_local_px,x_global_px,y_global_px,z,target,CellComp\n"
    "2,5,c_1_2_5,100,900,9000,50000,0,KRT8,Nuclear\n"
    "1,0,c_1_1_0,4000,20,4000,31000.5,1,MALAT1,None\n"
    "1,1,c_1_1_1,7,8,10,30000,2,NegPrb12,Membrane\n"
    "1,1,c_1_1_1,7,8,11,30001,2,SystemControl4,Membrane\n"
    "1,1,c_1_1_1,7,8,12,30002,2,NEGR1,Membrane\n"
    "2,5,c_1_2_5,1,9,9001,50001,0,KRT8,Cytoplasm\n"
)
FIELDS = (
    "FOV,x_global_px,y_global_px,x_global_mm,y_global_mm\n"
    "1,0,30000,0.5,3.1\n2,4256,30000,1.0119,3.1\n3,0,34256,0.5,3.6119\n"
)
META = (
    "fov,cell_ID,Area,CenterX_local_px,CenterY_local_px,CenterX_global_px,CenterY_global_px\n"
    "2,1,90,500,40,9500,50040\n1,1,80,12,60,12,30060\n1,2,70,77,88,77,30088\n"
)
MATRIX = "fov,cell_ID,KRT8,Negative3,MALAT1\n1,1,4,1,0\n1,0,50,2,9\n2,1,0,0,7\n"


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "flat"
    folder.mkdir()
    (folder / "S1_tx_file.csv.gz").write_bytes(gzip.compress(TX.encode()))
    (folder / "S1_fov_positions_file.csv").write_text(FIELDS)
    (folder / "S1_exprMat_file.csv").write_text(MATRIX)
    (folder / "S1_metadata_file.csv").write_text(META)
    (folder / "S1-polygons.csv").write_text("fov,cellID\n")
    return folder


def notes_of(told: list[Event]) -> str:
    return "\n".join(event.text for event in told if isinstance(event, Note))


def test_transcripts_are_micrometres_of_the_slide_without_controls(run: Path) -> None:
    told: list[Event] = []
    capture = read_cosmx(run, on_event=told.append)
    stream = capture.transcripts
    assert stream is not None and (stream.rows, stream.frame, capture.name) == (6, "stage_um", "S1")
    (batch,) = stream.batches()
    assert stream.genes.symbols == ("KRT8", "MALAT1", "NEGR1"), "NEGR1 is a gene"
    assert batch.gene.tolist() == [0, 1, 2, 0]
    size = 511.9 / 4256  # of the fields' positions in mm and px
    assert batch.xy == pytest.approx(np.array([[9000, 50000], [4000, 31000.5], [12, 30002], [9001, 50001]]) * size)
    assert "2 of 6 rows in S1_tx_file.csv.gz are of 2 control targets (NegPrb12, SystemControl4)" in notes_of(told)
    assert f"A pixel of S1 is {size:.6g} µm" in notes_of(told) and "--allow-mirror" in notes_of(told)
    assert capture.facts["pixel size (µm)"] == pytest.approx(size)


@pytest.mark.parametrize(
    ("fields", "tx", "given", "expected"),
    [
        ("fov,x_global_px,y_global_px\n1,0,0\n", TX, None, PIXEL_UM),
        (None, TX, None, PIXEL_UM),
        (None, TX.replace(",100,900,", ",5400,900,"), None, FIRST_PIXEL_UM),
        (FIELDS.splitlines()[0] + "\n1,0,30000,0.5,3.1\n", TX, None, PIXEL_UM),  # one field shows no slope
        (FIELDS.replace("1.0119", "500"), TX, None, PIXEL_UM),  # no microscope has such pixels
        (FIELDS, TX, 0.18, 0.18),
    ],
)
def test_the_pixel_size_is_from_what_the_files_tell(
    run: Path, fields: str | None, tx: str, given: float | None, expected: float
) -> None:
    (run / "S1_tx_file.csv.gz").write_bytes(gzip.compress(tx.encode()))
    (run / "S1_fov_positions_file.csv").unlink()
    if fields is not None:
        (run / "S1_fov_positions_file.csv").write_text(fields)
    capture = read_cosmx(run, given)
    assert capture.transcripts is not None
    assert next(capture.transcripts.batches()).xy[0] == pytest.approx(np.array([9000, 50000]) * expected)


def test_cells_are_points_at_their_centres_in_the_order_of_the_counts(run: Path) -> None:
    told: list[Event] = []
    capture = read_cosmx(run, 0.5, cells=True, on_event=told.append)
    units = capture.units
    assert units is not None and capture.transcripts is None
    assert (units.frame, units.footprint.shape, units.ids.tolist()) == ("stage_um", "point", ["1_1", "2_1"])
    assert units.xy.tolist() == [[6.0, 15030.0], [4750.0, 25020.0]]
    assert units.genes.symbols == ("KRT8", "MALAT1")
    assert units.counts.toarray().tolist() == [[4, 0], [0, 7]]
    text = notes_of(told)
    assert "1 of 3 targets" in text and "1 rows of S1_exprMat_file.csv" in text and "1 of 3 cells" in text


def test_a_run_without_transcripts_has_cells(run: Path) -> None:
    (run / "S1_tx_file.csv.gz").unlink()
    source = CosmxSource.recognise(run)
    assert source is not None and set(source.files()) == {"counts", "metadata", "fields"}
    assert len(read_cosmx(run).units or ()) == 2


def test_parquet_and_other_names_are_the_same_run(run: Path, tmp_path: Path) -> None:
    table = pa_csv.read_csv(run / "S1_tx_file.csv.gz")
    (tmp_path / "bare").mkdir()
    pq.write_table(table, tmp_path / "bare" / "tx_file.parquet")
    capture = read_cosmx(tmp_path / "bare")
    assert capture.name == "bare" and capture.transcripts is not None
    assert next(capture.transcripts.batches()).gene.tolist() == [0, 1, 2, 0]


def test_of_several_runs_one_file_says_which(run: Path) -> None:
    (run / "S2_tx_file.csv").write_text(TX.replace("KRT8", "ACTB"))
    with pytest.raises(InputError, match="several runs: S1, S2"):
        find_run(run)
    source = CosmxSource(run=run / "S2_tx_file.csv")
    assert source.files() == {"transcripts": run / "S2_tx_file.csv"}
    assert "ACTB" in read_cosmx(source.run).genes
    assert CosmxSource(run=run).moved(source.files()).run == run / "S2_tx_file.csv"
    assert CosmxSource.recognise(run) is None


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("S1_tx_file.csv", TX.replace("target", "gene"), ["no column 'target'"]),
        ("S1_tx_file.csv", TX.replace("x_global_px", "x_px"), ["no column 'x_global_px'"]),
        ("S1_tx_file.csv", TX.replace(",9001,", ",,"), ["row 6", "position"]),
        ("S1_exprMat_file.csv", MATRIX + "9,9,1,1,1\n", ["cell 9 of field 9", "metadata"]),
        ("S1_exprMat_file.csv", MATRIX + "1,1,1,1,1\n", ["cell 1 of field 1", "1 and 3"]),
        ("S1_exprMat_file.csv", MATRIX.replace("4,1,0", "4,1,0.5"), ["row 1", "'MALAT1'", "0.5"]),
        ("S1_metadata_file.csv", META.replace("CenterX_global", "X"), ["no column 'CenterX_global_px'"]),
        ("S1_metadata_file.csv", META.replace("9500", ""), ["row 1", "not a number"]),
    ],
)
def test_faults_name_the_place(run: Path, name: str, text: str, words: list[str]) -> None:
    (run / "S1_tx_file.csv.gz").unlink()
    (run / name).write_text(text)
    with pytest.raises(InputError) as caught:
        read_cosmx(run)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_a_folder_that_is_none_is_told_and_not_recognised(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no CosMx run"):
        find_run(tmp_path)
    with pytest.raises(InputError, match="no file or folder"):
        find_run(tmp_path / "none")
    assert CosmxSource.recognise(tmp_path) is None and CosmxSource.recognise(tmp_path / "none") is None
