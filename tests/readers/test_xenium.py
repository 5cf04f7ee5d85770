"""A Xenium folder in the spellings of several XOA versions: what comes in, what is left out, what each fault says."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import tifffile
from scipy import sparse

from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers import xenium_transcripts
from napari_pixelgene.readers.xenium import find_morphology, read_boundaries, read_cells, read_xenium
from napari_pixelgene.simulate.run import SimulatedRun

SHARED = Path(__file__).parents[2].parent / "shared"
MOLEXP = SHARED / "data" / "fixtures" / "molexp_xenium"

# name, x, y, qv, category
ROWS = [
    ("ERBB2", 10.5, 20.25, 40.0, "predesigned_gene"),
    ("CD8A", 11.5, 21.0, 20.0, "predesigned_gene"),
    ("ERBB2", 12.5, 22.0, 19.99, "predesigned_gene"),
    ("MyGene", 13.5, 23.0, 31.0, "custom_gene"),
    ("NegControlProbe_00042", 14.0, 24.0, 40.0, "negative_control_probe"),
    ("antisense_ADCY4", 15.0, 25.0, 40.0, "negative_control_probe"),
    ("NegControlCodeword_0500", 1.0, 2.0, 12.0, "negative_control_codeword"),
    ("BLANK_0006", 1.0, 2.0, 40.0, "unassigned_codeword"),
    ("Blank-7", 1.0, 2.0, 40.0, "unassigned_codeword"),
    ("UnassignedCodeword_0100", 1.0, 2.0, 40.0, "unassigned_codeword"),
    ("DeprecatedCodeword_0300", 1.0, 2.0, 40.0, "deprecated_codeword"),
    ("Intergenic_Region_11", 1.0, 2.0, 40.0, "genomic_control_probe"),
    ("ERBB2", 30.5, 40.0, 33.0, "predesigned_gene"),
]
ACCEPTED = [("ERBB2", 10.5, 20.25), ("CD8A", 11.5, 21.0), ("MyGene", 13.5, 23.0), ("ERBB2", 30.5, 40.0)]
FEATURES = [
    ("ENSG02", "ERBB2", "Gene Expression"),
    ("ENSG01", "CD8A", "Gene Expression"),
    ("NegControlProbe_00042", "NegControlProbe_00042", "Negative Control Probe"),
    ("custom", "MyGene", "Gene Expression"),
]
CELLS = [("aaab-1", 100.0, 5.0), ("aaac-1", 200.0, 6.0), ("aaad-1", 300.0, 7.0)]
MATRIX = np.array([[3, 0, 9, 1], [0, 0, 1, 0]])  # of the third and the first cell
Make = Callable[..., Path]


def columns(rows: Any = ROWS, text: pa.DataType | None = None, flags: tuple[str, ...] = ()) -> dict[str, pa.Array]:
    name, x, y, qv, category = zip(*rows, strict=True)
    table = {
        "feature_name": pa.array(name, text or pa.string()),
        "x_location": pa.array(x, pa.float32()),
        "y_location": pa.array(y, pa.float32()),
        "z_location": pa.array([1.0] * len(rows), pa.float32()),
        "qv": pa.array(qv, pa.float32()),
    }
    if "is_gene" in flags:
        table["is_gene"] = pa.array([c.endswith("_gene") for c in category])
    if "codeword_category" in flags:
        table["codeword_category"] = pa.array(category)
    return table


@pytest.fixture
def make(tmp_path: Path) -> Make:
    def folder(table: dict[str, pa.Array] | None = None, name: str = "transcripts.parquet", **experiment: Any) -> Path:
        bundle = tmp_path / "outs"
        bundle.mkdir(exist_ok=True)
        fields = {"pixel_size": 0.2125, "region_name": "Region_1", "analysis_sw_version": "xenium-3.1"} | experiment
        (bundle / "experiment.xenium").write_text(json.dumps(fields))
        write_table(bundle / name, table or columns())
        return bundle

    return folder


def write_table(path: Path, table: dict[str, pa.Array]) -> None:
    if path.suffix == ".parquet":
        return pq.write_table(pa.table(table), path, row_group_size=5)
    pa_csv.write_csv(pa.table(table), path)
    if path.suffix == ".gz":
        path.write_bytes(gzip.compress(path.read_bytes()))
    return None


def write_matrix(bundle: Path, features: Any = FEATURES, barcodes: tuple[str, ...] = ("aaad-1", "aaab-1")) -> None:
    by_cell = sparse.csr_matrix(MATRIX[:, : len(features)])
    with h5py.File(bundle / "cell_feature_matrix.h5", "w") as file:
        group = file.create_group("matrix")
        group["barcodes"] = np.array(barcodes, dtype="S")
        group["data"], group["indices"], group["indptr"] = by_cell.data, by_cell.indices, by_cell.indptr
        group["shape"] = np.array(by_cell.shape[::-1])
        for key, values in zip(("id", "name", "feature_type"), zip(*features, strict=True), strict=True):
            group[f"features/{key}"] = np.array(values, dtype="S")


def accepted(bundle: Path, **options: Any) -> list[tuple[str, float, float]]:
    transcripts = read_xenium(bundle, **options).transcripts
    assert transcripts is not None
    symbols = transcripts.genes.symbols
    return [
        (symbols[g], float(x), float(y))
        for batch in transcripts.batches()
        for (x, y), g in zip(batch.xy, batch.gene, strict=True)
    ]


@pytest.mark.parametrize("name", ["transcripts.parquet", "transcripts.csv", "transcripts.csv.gz"])
@pytest.mark.parametrize("flags", [(), ("is_gene",), ("codeword_category",), ("is_gene", "codeword_category")])
def test_the_same_transcripts_in_every_spelling(make: Make, name: str, flags: tuple[str, ...]) -> None:
    bundle = make(columns(flags=flags), name)
    assert accepted(bundle) == ACCEPTED
    assert accepted(bundle / "experiment.xenium") == ACCEPTED


@pytest.mark.parametrize("text", [pa.binary(), pa.large_string(), pa.dictionary(pa.int16(), pa.string())])
def test_names_as_bytes_large_strings_and_dictionaries(make: Make, text: pa.DataType) -> None:
    table = columns()
    table["feature_name"] = (
        table["feature_name"].cast(text) if text != pa.binary() else columns(text=text)["feature_name"]
    )
    assert accepted(make(table)) == ACCEPTED


def test_a_capture_says_where_its_frames_are_and_what_it_left_out(make: Make) -> None:
    told: list[Event] = []
    capture = read_xenium(make(columns(flags=("is_gene",))), told.append)
    assert (capture.name, capture.technology) == ("Region_1", "xenium")
    assert capture.stage_to_morphology is not None
    assert capture.stage_to_morphology.name == "stage_to_morphology"
    np.testing.assert_allclose(capture.stage_to_morphology.apply(np.array([[2.125, 21.25]])), [[10.0, 100.0]])
    transcripts = capture.transcripts
    assert transcripts is not None
    assert (transcripts.rows, transcripts.frame) == (13, "stage_um")
    assert transcripts.genes.symbols == ("CD8A", "ERBB2", "MyGene")
    assert set(transcripts.filters) == {"controls", "qv"}
    texts = [e.text for e in told if isinstance(e, Note)]
    assert any(t.startswith("8 of 13 transcripts in transcripts.parquet are controls") for t in texts)
    assert any(t.startswith("1 of 13 transcripts") and "below 20" in t for t in texts)


def test_the_stream_starts_again_and_does_not_depend_on_its_batches(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = make()
    monkeypatch.setattr(xenium_transcripts, "_BATCH_ROWS", 2)
    transcripts = read_xenium(bundle).transcripts
    assert transcripts is not None
    sizes = [[len(b.gene) for b in transcripts.batches()] for _ in range(2)]
    assert sizes[0] == sizes[1]
    assert len(sizes[0]) > 3
    assert accepted(bundle) == ACCEPTED


def test_the_threshold_is_a_choice_and_quality_may_be_missing(make: Make) -> None:
    assert len(accepted(make(), min_qv=0)) == 5
    assert len(accepted(make(), min_qv=35)) == 1
    table = columns()
    del table["qv"]
    with pytest.raises(InputError, match="no column qv"):
        read_xenium(make(table))
    assert len(accepted(make(table), min_qv=0)) == 5


def test_flags_win_over_names(make: Make) -> None:
    table = columns(flags=("is_gene",))
    table["is_gene"] = pa.array([i == 7 for i in range(13)])
    assert accepted(make(table)) == [("BLANK_0006", 1.0, 2.0)]


def test_a_row_flagged_as_no_gene_or_without_name_or_class_is_left_out(make: Make) -> None:
    table = columns(flags=("is_gene", "codeword_category"))
    gene, name, category = (table[c].to_pylist() for c in ("is_gene", "feature_name", "codeword_category"))
    gene[0], name[1], category[3] = False, None, None
    table |= {"is_gene": pa.array(gene), "feature_name": pa.array(name), "codeword_category": pa.array(category)}
    assert accepted(make(table)) == [ACCEPTED[3]]


def test_a_lost_position_is_numbered_over_batches(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(xenium_transcripts, "_BATCH_ROWS", 2)
    table = columns()
    table["y_location"] = pa.array([1.0] * 12 + [float("inf")], pa.float32())
    with pytest.raises(InputError, match="transcript 13"):
        accepted(make(table))


def test_genes_come_from_the_matrix_then_the_panel(make: Make) -> None:
    bundle = make()
    targets = [("ERBB2", "ENSG02", "gene"), ("CD8A", "ENSG01", "gene"), ("MyGene", "", "gene"), ("x", "y", "control")]
    listed = [{"type": {"descriptor": kind, "data": {"name": n, "id": i}}} for n, i, kind in targets]
    (bundle / "gene_panel.json").write_text(json.dumps({"payload": {"targets": listed}}))
    assert read_xenium(bundle).genes.ids == ("ENSG02", "ENSG01", "MyGene")
    write_matrix(bundle)
    genes = read_xenium(bundle).genes
    assert genes.symbols == ("ERBB2", "CD8A", "MyGene")
    assert genes.ids == ("ENSG02", "ENSG01", "custom")
    assert accepted(bundle) == ACCEPTED


def test_genes_that_share_a_symbol_are_told_apart(make: Make) -> None:
    bundle = make()
    told: list[Event] = []
    write_matrix(bundle, [*FEATURES[:2], ("ENSG77", "ERBB2", "Gene Expression"), FEATURES[3]])
    capture = read_xenium(bundle, told.append)
    assert capture.genes.symbols == ("ERBB2", "CD8A", "ERBB2_ENSG77", "MyGene")
    assert any("several genes named ERBB2" in e.text for e in told if isinstance(e, Note) and e.level == "warning")
    assert accepted(bundle) == ACCEPTED


def test_features_that_the_panel_does_not_list_are_told(make: Make) -> None:
    bundle = make()
    write_matrix(bundle, FEATURES[:3])
    told: list[Event] = []
    read_xenium(bundle, told.append)
    assert any("does not list (MyGene)" in e.text for e in told if isinstance(e, Note) and e.level == "warning")
    assert [name for name, *_ in accepted(bundle)] == ["ERBB2", "CD8A", "ERBB2"]


def test_cells_are_points_with_the_counts_of_genes(make: Make) -> None:
    bundle = make()
    write_matrix(bundle)
    ids, x, y = zip(*CELLS, strict=True)
    pq.write_table(
        pa.table({"cell_id": pa.array(ids, pa.binary()), "x_centroid": x, "y_centroid": y}), bundle / "cells.parquet"
    )
    told: list[Event] = []
    cells = read_cells(bundle, told.append)
    assert cells.ids.tolist() == ["aaad-1", "aaab-1"]
    assert cells.xy.tolist() == [[300.0, 7.0], [100.0, 5.0]]
    assert cells.counts.toarray().tolist() == [[3, 0, 1], [0, 0, 0]]  # without the control
    assert (cells.frame, cells.footprint.shape, cells.library.tolist()) == ("stage_um", "point", [4.0, 0.0])
    assert [e.text for e in told if isinstance(e, Note)] == [
        "1 of 3 cells in cells.parquet have no counts and are left out."
    ]
    write_matrix(bundle, barcodes=("aaad-1", "zzzz-1"))
    with pytest.raises(InputError, match="zzzz-1"):
        read_cells(bundle)


def test_numbered_cells_in_a_csv_meet_their_barcodes(make: Make) -> None:
    bundle = make()
    write_matrix(bundle, barcodes=("2", "1"))
    (bundle / "cells.csv.gz").write_bytes(
        gzip.compress(b'"","cell_id","x_centroid","y_centroid"\n"1",1,5,6\n"2",2,7,8.5\n')
    )
    assert read_cells(bundle).xy.tolist() == [[7.0, 8.5], [5.0, 6.0]]


def test_boundaries_are_read_as_they_are_asked_for(tmp_path: Path) -> None:
    file = tmp_path / "cell_boundaries.csv"
    file.write_text('"","cell_id","vertex_x","vertex_y"\n"1",67500,4904.5,6399.25\n')
    assert read_boundaries(file).collect().rows() == [("67500", 4904.5, 6399.25)]
    file.write_text("cell_id,x,y\n1,2,3\n")
    with pytest.raises(InputError, match="vertex_x"):
        read_boundaries(file)


@pytest.mark.parametrize(
    ("files", "found"),
    [
        (["morphology_focus.ome.tif", "morphology_mip.ome.tif", "morphology.ome.tif"], ["morphology_focus.ome.tif"]),
        (["morphology_mip.ome.tif", "morphology.ome.tif"], ["morphology_mip.ome.tif"]),
        (
            [f"morphology_focus/morphology_focus_000{i}.ome.tif" for i in (1, 0)] + ["morphology_focus/notes.txt"],
            ["morphology_focus/morphology_focus_0000.ome.tif", "morphology_focus/morphology_focus_0001.ome.tif"],
        ),
        (
            ["morphology_focus/ch0001_atp1a1_cd45.ome.tif", "morphology_focus/ch0000_dapi.ome.tif"],
            ["morphology_focus/ch0000_dapi.ome.tif", "morphology_focus/ch0001_atp1a1_cd45.ome.tif"],
        ),
        (["morphology.ome.tif"], []),
    ],
)
def test_the_focus_images_of_every_version_are_found(tmp_path: Path, files: list[str], found: list[str]) -> None:
    (tmp_path / "morphology_focus").mkdir()
    for name in files:
        (tmp_path / name).touch()
    assert [str(each.relative_to(tmp_path)) for each in find_morphology(tmp_path)] == found


def test_morphology_is_one_image_a_channel_with_the_runs_pixel_size(make: Make) -> None:
    bundle = make()
    (bundle / "morphology_focus").mkdir()
    for i, name in enumerate(("dapi", "atp1a1")):
        pixels = np.full((40, 48), i + 3, dtype=np.uint16)
        tifffile.imwrite(bundle / "morphology_focus" / f"ch000{i}_{name}.ome.tif", pixels, tile=(16, 16))
    channels = read_xenium(bundle).morphology
    assert [(c.name, c.mpp, int(c.levels[0][1, 1])) for c in channels] == [("dapi", 0.2125, 3), ("atp1a1", 0.2125, 4)]


def faults(bundle: Path) -> dict[str, tuple[Callable[[], Any], list[str]]]:
    """A break of a good folder, and words its message must hold."""
    file, experiment = bundle / "transcripts.parquet", bundle / "experiment.xenium"
    bare = {k: v for k, v in columns().items() if k != "x_location"}
    lost = columns()
    lost["x_location"] = pa.array([1.0] * 3 + [None] + [1.0] * 9, pa.float32())
    only_controls = columns(ROWS[4:12])
    return {
        "cut off": (lambda: file.write_bytes(file.read_bytes()[:400]), ["transcripts.parquet", "cut off"]),
        "empty file": (lambda: file.write_bytes(b""), ["transcripts.parquet", "cut off"]),
        "no transcripts": (file.unlink, ["transcripts.parquet", "whole output folder"]),
        "column": (lambda: write_table(file, bare), ["no column x_location", "qv"]),
        "position": (lambda: write_table(file, lost), ["transcript 4", "position"]),
        "controls": (lambda: write_table(file, only_controls), ["No transcript", "controls"]),
        "json": (lambda: experiment.write_text("{"), ["experiment.xenium", "JSON"]),
        "list": (lambda: experiment.write_text("[]"), ["experiment.xenium"]),
        "no pixel size": (lambda: experiment.write_text("{}"), ["pixel_size", "0.2125"]),
        "odd pixel size": (lambda: experiment.write_text('{"pixel_size": "small"}'), ["pixel_size", "small"]),
        "matrix": (lambda: (bundle / "cell_feature_matrix.h5").write_bytes(b"no"), ["cell_feature_matrix.h5"]),
        "panel": (lambda: (bundle / "gene_panel.json").write_text("{}"), ["gene_panel.json"]),
    }


@pytest.mark.parametrize("fault", list(faults(Path())))
def test_faults_name_the_file_and_the_next_step(make: Make, fault: str) -> None:
    bundle = make()
    break_it, words = faults(bundle)[fault]
    break_it()
    with pytest.raises(InputError) as caught:
        accepted(bundle)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert caught.value.mend


def test_a_cut_off_csv_is_told(make: Make) -> None:
    bundle = make(columns(ROWS * 400), "transcripts.csv.gz")
    file = bundle / "transcripts.csv.gz"
    file.write_bytes(file.read_bytes()[:-40])
    with pytest.raises(InputError, match="cut off"):
        accepted(bundle)


def test_the_wrong_folder_is_told_which_is_right(make: Make, tmp_path: Path) -> None:
    bundle = make()
    (bundle / "morphology_focus").mkdir()
    for wrong, mend in ((tmp_path, f"Give {bundle}."), (bundle / "morphology_focus", f"Give {bundle}.")):
        with pytest.raises(InputError) as caught:
            read_xenium(wrong)
        assert caught.value.mend == mend
    (tmp_path / "void").mkdir()
    with pytest.raises(InputError, match="is empty"):
        read_xenium(tmp_path / "void")
    with pytest.raises(InputError, match="no folder"):
        read_xenium(tmp_path / "never")
    with pytest.raises(InputError, match="not a Xenium output folder"):
        read_xenium(bundle / "transcripts.parquet")


def test_a_whole_run_reads_with_counts_that_agree(small_run: SimulatedRun) -> None:
    """What the filters accept, summed over each cell, is the run's own cell table."""
    capture, cells = read_xenium(small_run.bundle), read_cells(small_run.bundle)
    transcripts = capture.transcripts
    assert transcripts is not None
    assert capture.genes == cells.genes
    total = sum(np.bincount(b.gene, minlength=len(capture.genes)) for b in transcripts.batches())
    raw = pl.read_parquet(small_run.bundle / "transcripts.parquet")
    kept = raw.filter((pl.col("qv") >= 20) & pl.col("feature_name").is_in(list(capture.genes.symbols)))
    want = dict(kept.group_by("feature_name").len().iter_rows())
    assert dict(zip(capture.genes.symbols, np.asarray(total).tolist(), strict=True)) == want
    in_cells = kept.filter(pl.col("cell_id") != "UNASSIGNED").group_by("cell_id").len()
    got = {cell: int(n) for cell, n in zip(cells.ids, cells.library, strict=True) if n}
    assert got == dict(in_cells.iter_rows())
    assert [(c.name, c.mpp) for c in capture.morphology] == [("DAPI", 0.2125)]


@pytest.mark.skipif(not MOLEXP.is_dir(), reason="the MoleculeExperiment tables are not here")
@pytest.mark.parametrize(("sample", "rows", "kept", "genes"), [("sample1", 962, 776, 132), ("sample2", 777, 592, 139)])
def test_tables_with_an_unnamed_first_column(sample: str, rows: int, kept: int, genes: int) -> None:
    capture = read_xenium(MOLEXP / sample)
    assert capture.transcripts is not None
    assert (capture.transcripts.rows, len(capture.genes)) == (rows, genes)
    xy = np.concatenate([b.xy for b in capture.transcripts.batches()])
    assert len(xy) == kept
    assert ((xy > [4890, 6390]) & (xy < [4930, 6430])).all()  # 20 × 20 µm
    outlines = read_boundaries(MOLEXP / sample / "cell_boundaries.csv").collect()
    assert outlines["cell_id"].n_unique() > 1
