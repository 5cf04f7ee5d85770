"""`pixelgene analyse` on a small simulated slide: labels in the section, tables that add up, faults that are told."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import zarr

from commands import content
from moved import move_references
from napari_pixelgene.arithmetic.contrasts import Moments
from napari_pixelgene.cli.analyse import _lines
from napari_pixelgene.cli.main import main
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.labelling import ANNOTATION, CLUSTERS, Labelling
from napari_pixelgene.exporters.analysis_tables import partner_table
from napari_pixelgene.pipeline import analysing
from napari_pixelgene.pipeline.analysing import Analysis, analyse
from napari_pixelgene.pipeline.describing import describe
from napari_pixelgene.pipeline.removing import remove_run
from napari_pixelgene.progress import Note
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.analysis import AnalysisSettings
from napari_pixelgene.store.labels import read_labels
from napari_pixelgene.store.maps import read_maps
from napari_pixelgene.store.section import SectionStore

LEARN = ("--model", "ridge", "--block-um", "150", "--folds", "2", "--partitions", "1")
QUICK = ("--clusters", "4", "--smallest", "6")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """A section with maps of the runs 'first' and 'few' (six genes), and a panel of markers."""
    path = tmp_path_factory.mktemp("analyse")
    a = str(path / "A.section.zarr")
    assert main(["import", "xenium", a, "--bundle", str(small_run.bundle), "--he", str(small_run.he)]) == 0
    assert main(["register", a, "--keypoints", str(small_run.keypoints)]) == 0
    for run, genes in (("first", "all"), ("few", "top:6")):
        assert main(["fit", "--train", a, "--run", run, *LEARN, "--genes", genes]) == 0
        assert main(["predict", a, "--run", run]) == 0
    symbols = read_maps(SectionStore.open(Path(a)), "first").genes.symbols
    rows = [f"{symbols[0]},one", f"{symbols[3]},one", f"{symbols[1]},B/two", "Nobody,B/two", "Ghost,none"]
    (path / "markers.csv").write_text("\n".join(["gene,label", *rows]) + "\n")
    return path


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same for one test alone."""
    copy = Path(shutil.copytree(made, tmp_path / "made"))
    move_references(copy / "A.section.zarr", made)
    return copy


@pytest.fixture
def section(folder: Path) -> Iterator[SectionStore]:
    yield SectionStore.open(folder / "A.section.zarr")


def run(folder: Path, *more: object, name: str = "first") -> int:
    return main(["analyse", str(folder / "A.section.zarr"), "--run", name, *QUICK, *map(str, more)])


def test_labels_are_in_the_section_as_other_programs_look_for_them(folder: Path, section: SectionStore) -> None:
    assert run(folder, "--markers", folder / "markers.csv") == 0
    group = zarr.open_group(section.path / "maps" / "first" / "labels", mode="r")
    assert group.attrs["ome"]["labels"] == ["annotation", "clusters"]
    image = group["annotation"].attrs["ome"]
    assert image["image-label"]["source"] == {"image": "../../"} and image["version"] == "0.5"
    names = [(one["label-value"], one["name"]) for one in image["image-label"]["properties"]]
    assert names == [(1, "Unclassified"), (2, "B/two"), (3, "one")]
    (data,) = image["multiscales"][0]["datasets"]
    assert "type" not in image["multiscales"][0]
    assert data["path"] == "0" and data["coordinateTransformations"][0]["scale"] == [8.0, 8.0]
    labels = group["clusters/0"][...]
    tissue = np.isfinite(read_maps(section, "first").levels[0][0])
    assert labels.dtype == np.uint8 and ((labels > 0) == tissue).all() and set(np.unique(labels)) == {0, 1, 2, 3, 4}
    assert ((group["annotation/0"][...] > 0) == tissue).all()
    assert (np.diff(np.bincount(labels.ravel())[1:]) <= 0).all()


def test_clusters_are_regions_of_the_tissue(folder: Path, section: SectionStore) -> None:
    """Squares beside one another share a cluster far more often than squares anywhere."""
    found = analyse(section, "first", AnalysisSettings(clusters=4, smallest=6))
    labels = found.clusters.labels
    pairs = labels[:, :-1], labels[:, 1:]
    both = (pairs[0] >= 0) & (pairs[1] >= 0)
    beside = (pairs[0] == pairs[1])[both].mean()
    share = found.clusters.squares() / found.clusters.squares().sum()
    assert beside > 0.75 > (share**2).sum() + 0.2
    again = read_labels(section, "first", CLUSTERS)
    assert (again.labels == labels).all() and again.names == ("1", "2", "3", "4")
    np.testing.assert_array_equal(again.moments.mean, found.clusters.moments.mean)


def test_tables_add_up(folder: Path, section: SectionStore) -> None:
    out = folder / "tables" / "new"
    assert run(folder, "--markers", folder / "markers.csv", "--out", out, "--confidence", "0.6") == 0
    maps = read_maps(section, "first")
    values = np.asarray(maps.levels[0][...], dtype=np.float64)
    clusters, annotation = (read_labels(section, "first", kind) for kind in (CLUSTERS, ANNOTATION))
    table, genes = pl.read_csv(out / "clusters.csv"), pl.read_csv(out / "clusters_genes.csv")
    assert table["squares"].to_list() == [int((clusters.labels == i).sum()) for i in range(4)]
    assert table["area_mm2"].sum() == pytest.approx(np.isfinite(values[0]).sum() * 64e-6)
    assert genes.height == 4 * len(maps.genes) and genes["clusters"].to_list() == sorted(genes["clusters"])
    for label in (0, 2):
        mine = genes.filter(pl.col("clusters") == label + 1)
        assert (mine["difference"].diff().drop_nulls() <= 0).all()
        own = {row["gene"]: row for row in mine.iter_rows(named=True)}
        for place in (0, 5):
            inside, elsewhere = (
                values[place][m]
                for m in (clusters.labels == label, (clusters.labels >= 0) & (clusters.labels != label))
            )
            row = own[maps.genes.symbols[place]]
            assert row["mean"] == pytest.approx(inside.mean(), rel=1e-5)
            assert row["variance"] == pytest.approx(inside.var(), rel=1e-4)
            assert row["sum"] == pytest.approx(inside.sum(), rel=1e-5)
            assert row["mean_elsewhere"] == pytest.approx(elsewhere.mean(), rel=1e-5)
            assert row["fold_change"] == pytest.approx(inside.mean() / elsewhere.mean(), rel=1e-4)
    squares = pl.read_parquet(out / "squares.parquet")
    row, column = squares["row"].to_numpy(), squares["column"].to_numpy()
    assert squares["cluster"].to_list() == [str(i + 1) for i in clusters.labels[row, column]]
    assert squares["annotation"].to_list() == [annotation.names[i] for i in annotation.labels[row, column]]
    np.testing.assert_allclose(squares["x_he_um"].to_numpy(), 8 * column + 4)
    np.testing.assert_allclose(squares["y_he_um"].to_numpy(), 8 * row + 4)
    weak = squares.filter(pl.col("annotation") == "Unclassified")["confidence"]
    assert len(weak) > 0 and weak.max() < 0.6
    enrichment = pl.read_csv(out / "enrichment.csv")
    assert enrichment["annotation"].to_list() == ["B/two", "one"] and enrichment.columns[1:] == ["1", "2", "3", "4"]
    one, third = annotation.labels == 2, clusters.labels == 2
    tissue = clusters.labels >= 0
    odds = ((one & third).sum() * (tissue & ~one & ~third).sum()) / ((one & ~third).sum() * (~one & third).sum())
    assert enrichment["3"][1] == pytest.approx(np.log2(odds), abs=1e-9)
    agreement = pl.read_csv(out / "agreement.csv")
    assert agreement["with"].to_list() == ["annotation"] and agreement["squares"][0] == len(squares) - len(weak)


def test_a_second_time_nothing_is_done_and_tables_are_the_same(
    folder: Path, section: SectionStore, capsys: pytest.CaptureFixture[str]
) -> None:
    out = folder / "same"
    assert run(folder, "--markers", folder / "markers.csv", "--out", out) == 0
    before, tables = content(section.path), content(out)
    capsys.readouterr()
    assert run(folder, "--markers", folder / "markers.csv", "--out", out) == 2
    assert "holds tables of an analysis already (clusters.csv, " in capsys.readouterr().err
    assert run(folder, "--markers", folder / "markers.csv", "--out", out, "--overwrite") == 0
    said = capsys.readouterr()
    assert content(section.path) == before and content(out) == tables
    assert "clusters of 'first'" in said.err and "there already" in said.err and "clusters of 'first':" in said.out
    # Another confidence names anew and leaves the clusters.
    assert run(folder, "--markers", folder / "markers.csv", "--confidence", "0.1") == 0
    said = capsys.readouterr()
    assert said.err.count("there already") == 1 and content(section.path) != before
    assert "annotation of 'first' on A.section.zarr were made with other settings, and are replaced" in said.err
    # Tables of names go where this analysis has none; the names and their record stay in the section.
    assert run(folder, "--out", out, "--overwrite") == 0
    said = capsys.readouterr()
    assert "an analysis before: annotation.csv, annotation_genes.csv, enrichment.csv, agreement.csv." in said.err
    assert {path.name for path in out.iterdir()} == {"clusters.csv", "clusters_genes.csv", "squares.parquet"}
    assert section.meta()["provenance"]["analysis/first/annotation"]["settings"]["confidence"] == 0.1
    group = section.path / "maps" / "first" / "labels" / "zarr.json"
    whole = group.read_text()
    group.write_text(json.dumps({**json.loads(whole), "attributes": {"ome": {"version": "0.5", "labels": []}}}))
    assert run(folder) == 0 and json.loads(group.read_text()) == json.loads(whole)


@pytest.mark.parametrize("chance, level", [(0.02, "warning"), (-0.02, "info")])
def test_maps_no_better_than_chance_are_a_warning(
    section: SectionStore, monkeypatch: pytest.MonkeyPatch, chance: float, level: str
) -> None:
    headline = {"held_out_r": 0.04, "chance": chance, "verdict": "So it is."}
    monkeypatch.setattr(analysing, "read_scores", lambda *_: SimpleNamespace(headline=headline))
    told: list[Note] = []
    analyse(section, "few", AnalysisSettings(clusters=2), on_event=told.append)
    assert Note("Of the run 'few': So it is.", level, "analysis") in told


def test_fewer_clusters_than_asked_are_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["analyse", str(folder / "A.section.zarr"), "--run", "few", "--smallest", "100000"]) == 0
    assert "warning: 10 clusters were asked for, 1 is left: the others were islands" in capsys.readouterr().err


def test_runs_are_compared(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = folder / "compared"
    assert run(folder, name="few") == 0
    assert run(folder, "--out", out, "--against", "few") == 0
    table = pl.read_csv(out / "agreement.csv").row(0, named=True)
    assert table["with"] == "clusters of few" and 0.1 < table["ari"] < 1 and 0.4 < table["matched"] < 1
    partners = pl.read_csv(out / "partners.csv")
    assert partners["clusters"].to_list() == [1, 2, 3, 4]
    assert ((partners["squares"] > 0) == partners["partner"].is_not_null()).all()
    assert partners["squares"].sum() == pytest.approx(table["matched"] * table["squares"])
    assert not (out / "annotation.csv").exists()


def test_maps_made_anew_lose_their_labels_and_say_so(folder: Path, section: SectionStore) -> None:
    assert run(folder, name="few") == 0
    symbols = read_maps(section, "few").genes.symbols[:3]
    assert main(["predict", str(section.path), "--run", "few", "--genes", *symbols]) == 0
    found = describe(section)
    assert {m["name"]: m["labels"] for m in found["maps"]}["few"] == []
    assert found["stale"] == {"analysis/few/clusters": "prediction/few changed"}
    assert run(folder, name="few") == 0
    assert describe(section)["stale"] == {} and read_labels(section, "few", CLUSTERS).moments.mean.shape[1] == 3


def test_what_is_there_is_told_and_goes_with_the_run(
    folder: Path, section: SectionStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    assert run(folder, "--markers", folder / "markers.csv") == 0
    said = capsys.readouterr()
    assert "warning: 2 markers in markers.csv are no genes of 'first': Ghost (none), Nobody (B/two)" in said.err
    assert "'none' has no marker among them" in said.err
    capsys.readouterr()
    assert main(["info", str(section.path)]) == 0
    assert "annotation, clusters" in capsys.readouterr().out
    found = describe(section)
    assert found["stale"] == {} and found["unfinished"] == []
    assert {m["name"]: m["labels"] for m in found["maps"]}["first"] == ["annotation", "clusters"]
    assert main(["analyse", str(section.path), "--run", "few", *QUICK, "--progress", "json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["run"] == "few" and list(last["clusters"]) == ["1", "2", "3", "4"] and last["tables"] == []
    remove_run(section, "few")
    kept = [key for key in section.meta()["provenance"] if key.startswith("analysis/")]
    assert sorted(kept) == ["analysis/first/annotation", "analysis/first/clusters"]


def test_markers_that_are_misspelt_or_the_same_are_told(
    folder: Path, section: SectionStore, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    symbol = read_maps(section, "first").genes.symbols[0]
    (tmp_path / "m.csv").write_text(f"gene,label\n{symbol},b\n{symbol},a\n{symbol.lower()},a\n")
    assert run(folder, "--markers", tmp_path / "m.csv") == 0
    said = capsys.readouterr()
    assert f"1 marker in m.csv is no gene of 'first': {symbol.lower()} (a; did you mean {symbol}?)." in said.err
    assert "'a' and 'b' have the same markers: 'a' wins everywhere." in said.err
    assert "b: 0.000 mm²; no square" in said.out


def test_genes_that_set_a_cluster_apart_are_told_whatever_is_not_defined() -> None:
    nan = np.nan
    moments = Moments(np.array([2, 2]), np.array([[nan, 1.0, 2.0, 3.0], [1, 1, 1, 1]]), np.ones((2, 4)))
    labels = np.array([[0, 0, 1, 1]])
    found = Analysis("r", GeneTable(tuple("ABCD")), 8.0, Labelling(CLUSTERS, labels, ("1", "2"), moments))
    first, second = _lines(found)[1:]
    assert first == "  1: 0.000 mm²; D, C" and second == "  2: 0.000 mm²; A"
    flat = replace(moments, mean=np.array([[2.0] * 4, [1] * 4]))
    assert _lines(replace(found, clusters=replace(found.clusters, moments=flat)))[2].endswith(
        "; no gene is higher than elsewhere"
    )


def test_every_cluster_has_a_row_among_the_partners() -> None:
    moments = Moments(np.ones(3, int), np.ones((3, 1)), np.ones((3, 1)))
    one = Labelling(CLUSTERS, np.array([[0, 0, 0, 1, 2, 2]]), ("1", "2", "3"), moments)
    other = Labelling(CLUSTERS, np.array([[0, 0, 1, 0, 1, 1]]), ("1", "2"), moments)
    rows = partner_table(one, other).rows()
    assert rows == [("1", "1", 2), ("2", None, 0), ("3", "2", 2)]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--run", "secnd"), ("no maps of a run 'secnd'", "Choose one of: ", "first")),
        (("--run", "first", "--clusters", "1"), ("clusters", "greater than or equal to 2")),
        (("--run", "first", "--against", "few"), ("--out FOLDER",)),
        (
            ("--run", "first", "--against", "other", "--out", "t"),
            ("no clusters of a run 'other'", "Choose one of: ", "first"),
        ),
        (("--run", "first", "--markers", "no.csv"), ("no.csv", "gene and label")),
        (("--run", "first", "--markers", "strange.csv"), ("strange.csv", "XYZ1", "'first'")),
        (("--run", "first", "--markers", "broken.csv"), ("broken.csv", "row 3")),
        (("--run", "first", "--clusters", "2.5"), ("--clusters", "2.5 is no whole number")),
        (("--run", "first", "--confidence", "0.1"), ("--confidence", "--markers FILE")),
        (("--run", "first", "--out", "markers.csv"), ("markers.csv is a file",)),
        (("--run", "first", "--out", "markers.csv/t"), ("markers.csv is a file",)),
    ],
)
def test_what_is_wrong_is_told(
    folder: Path, more: tuple[str, ...], words: tuple[str, ...], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(folder)
    (folder / "strange.csv").write_text("gene,label\nXYZ1,a\n")
    (folder / "broken.csv").write_text("gene,label\nXYZ1,a\nXYZ2,\n")
    capsys.readouterr()
    before = content(folder / "A.section.zarr")
    assert main(["analyse", "A.section.zarr", *more]) == 2
    assert content(folder / "A.section.zarr") == before
    said = capsys.readouterr().err
    errors = [line for line in said.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1 and all(word in errors[0] for word in words), said
