"""Maps as tables of larger squares and of cells: sums add up, places are right, other programs open them."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.areas import covered_shares
from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.cli.main import main
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.errors import InputError, StoreError
from napari_pixelgene.exporters.map_table import Rows, map_table
from napari_pixelgene.pipeline import exporting_maps
from napari_pixelgene.pipeline.exporting import export_boundaries
from napari_pixelgene.pipeline.exporting_maps import export_predicted_cells, export_squares
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.cell_outlines import read_outlines
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.maps import begin_maps, read_maps
from napari_pixelgene.store.section import SectionStore

SHAPE = (70, 88)


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    """A registered section with maps of 20 genes: gene 0 is 1 everywhere, gene 1 the row, gene 2 the column; no tissue
    in the upper left and right of column 80."""
    a = str(tmp_path_factory.mktemp("squares") / "A.section.zarr")
    assert main(["import", "xenium", a, "--bundle", str(small_run.bundle), "--he", str(small_run.he)]) == 0
    assert main(["register", a, "--keypoints", str(small_run.keypoints)]) == 0
    store = SectionStore.open(Path(a))
    grid = Grid(SHAPE, (SHAPE[0] * 16, SHAPE[1] * 16))
    rows, columns = np.mgrid[: SHAPE[0], : SHAPE[1]].astype(float)
    values = np.stack([np.ones(SHAPE), rows, columns, *(np.full(SHAPE, 2.0 + i) for i in range(17))])
    values[:, :3, :5], values[:, :, 80:] = np.nan, np.nan
    writer = begin_maps(store, "m", GeneTable(tuple(f"G{i}" for i in range(20))), grid, "f")
    for tile in tiles(SHAPE, writer.tile_side):
        writer.write(tile, values[(slice(None), *tile.region)])
    writer.finish(np.zeros(SHAPE, np.uint8))
    return store


def values_of(store: SectionStore) -> np.ndarray:
    return np.asarray(read_maps(store, "m").levels[0][...], dtype=np.float64)


@pytest.mark.parametrize("side", [8, 16, 24, 64])
def test_squares_hold_what_their_superpixels_hold(section: SectionStore, tmp_path: Path, side: int) -> None:
    done = export_squares(section, "m", tmp_path / "s.h5ad", side)
    table, values = anndata.read_h5ad(done.path), values_of(section)
    assert done.rows == table.n_obs and list(table.var_names) == list(read_maps(section, "m").genes.symbols)
    np.testing.assert_allclose(table.X.sum(axis=0), np.nansum(values, axis=(1, 2)), rtol=1e-5)
    f = side // 8
    for name in ("0_2", "1_0", f"{69 // f}_{79 // f}"):
        r, c = map(int, name.split("_"))
        own = values[:, r * f : r * f + f, c * f : c * f + f]
        place = table.obs_names.get_loc(name) if name in table.obs_names else None
        assert (place is None) == (not np.isfinite(own).any())
        if place is not None:
            np.testing.assert_allclose(table.X[place], np.nansum(own, axis=(1, 2)), rtol=1e-6)
            assert table.obsm["spatial"][place].tolist() == [(c + 0.5) * side, (r + 0.5) * side]
            assert table.obs["tissue"].iloc[place] == pytest.approx(np.isfinite(own[0]).sum() / f**2)
    assert table.uns["napari_pixelgene"]["unit"] == f"expected counts per {side} µm square"


def test_tiles_do_not_show(section: SectionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tables = []
    for number, (tile, share) in enumerate([(512, 16), (11, 3)]):
        monkeypatch.setattr(exporting_maps, "_TILE", tile)
        monkeypatch.setattr(exporting_maps, "_SHARE", share)
        squares = export_squares(section, "m", tmp_path / f"s{number}.h5ad", 24)
        cells = export_predicted_cells(section, "m", tmp_path / f"c{number}.h5ad")
        tables.append([anndata.read_h5ad(done.path) for done in (squares, cells)])
    for one, other in zip(*tables, strict=True):
        assert list(one.obs_names) == list(other.obs_names)
        np.testing.assert_allclose(one.X, other.X, rtol=1e-5)


def test_cells_hold_what_they_cover(section: SectionStore, tmp_path: Path, small_run: SimulatedRun) -> None:
    heard: list[Event] = []
    done = export_predicted_cells(section, "m", tmp_path / "c.h5ad", on_event=heard.append)
    table, own = anndata.read_h5ad(done.path), pl.read_parquet(small_run.bundle / "cells.parquet")
    assert done.rows + done.left_out == len(own) and done.left_out > 0
    assert any(isinstance(e, Note) and f"{done.left_out:,} of {len(own):,} outlines" in e.text for e in heard)
    known = {str(cell): area for cell, area in zip(own["cell_id"], own["cell_area"], strict=True)}
    area = table.obs["area_um2"].to_numpy()
    assert np.median(area / [known[name] for name in table.obs_names]) == pytest.approx(1.0, abs=0.05)
    # Gene 0 is 1 a superpixel, so a cell holds its mapped area in superpixels.
    np.testing.assert_allclose(table.X[:, 0], area * table.obs["mapped"] / 64, rtol=1e-4)
    inside = table.obs["mapped"].to_numpy() > 0.999
    assert inside.sum() > 100
    mean_row, mean_column = (table.X[inside, i] / table.X[inside, 0] for i in (1, 2))
    where = table.obsm["spatial"][inside] / 8 - 0.5
    np.testing.assert_allclose(np.stack([mean_column, mean_row], axis=1), where, atol=0.45)
    assert np.abs(np.stack([mean_column, mean_row], axis=1) - where).mean() < 0.15


def test_outlines_of_ones_own_say_the_same(section: SectionStore, tmp_path: Path) -> None:
    moved = export_boundaries(section, tmp_path / "b.parquet").path
    done = export_predicted_cells(section, "m", tmp_path / "own.h5ad", outlines=moved)
    first = export_predicted_cells(section, "m", tmp_path / "run.h5ad")
    a, b = (anndata.read_h5ad(d.path) for d in (done, first))
    assert list(a.obs_names) == list(b.obs_names)
    np.testing.assert_allclose(a.X, b.X, rtol=1e-5)
    px = pl.read_parquet(moved).select("cell_id", "x_he_px", "y_he_px")
    px.write_csv(tmp_path / "px.csv")
    c = anndata.read_h5ad(export_predicted_cells(section, "m", tmp_path / "px.h5ad", outlines=tmp_path / "px.csv").path)
    np.testing.assert_allclose(c.X.sum(), a.X.sum(), rtol=1e-4)


def test_a_square_cell_by_hand(section: SectionStore, tmp_path: Path) -> None:
    """Half of superpixel (10, 20), a quarter of (10, 21); and one that lies half off the tissue."""
    rows = ["cell_id,x_he_um,y_he_um"]
    for name, (left, top, right, bottom) in {
        "a": (164, 80, 170, 88),
        "b": (632, 160, 648, 168),
        "c": (0, 0, 8, 8),
    }.items():
        rows += [f"{name},{x},{y}" for x, y in ((left, top), (right, top), (right, bottom), (left, bottom))]
    rows.append("dot,300,300")
    (tmp_path / "o.csv").write_text("\n".join(rows) + "\n")
    heard: list[Event] = []
    outlines = tmp_path / "o.csv"
    done = export_predicted_cells(section, "m", tmp_path / "o.h5ad", outlines=outlines, on_event=heard.append)
    table = anndata.read_h5ad(done.path)
    assert list(table.obs_names) == ["a", "b"] and done.left_out == 2
    few, nowhere = [event for event in heard if isinstance(event, Note)]
    assert few.text.startswith("1 of 4 outlines have fewer than three corners") and few.level == "info"
    assert nowhere.text.startswith("1 of 4 outlines lie nowhere on the maps") and nowhere.level == "warning"
    assert "x and y exchanged" in nowhere.text
    np.testing.assert_allclose(table.X[0, :3], [0.75, 7.5, 0.5 * 20 + 0.25 * 21], rtol=1e-6)
    np.testing.assert_allclose(table.X[1, :3], [1.0, 20.0, 79.0], rtol=1e-6)
    np.testing.assert_allclose(table.obs["mapped"], [1.0, 0.5])
    np.testing.assert_allclose(table.obs["area_um2"], [48.0, 128.0])
    assert table.obsm["spatial"].tolist() == [[167.0, 84.0], [640.0, 164.0]]


def test_polygons_of_one_cell_are_no_single_outline(section: SectionStore, tmp_path: Path) -> None:
    """Superpixels (10, 20) and (30, 40); as a single outline both would be joined by a bow."""
    rows = ["cell_id,label_id,x_he_um,y_he_um"]
    for label, (left, top) in ((1, (160, 80)), (2, (320, 240))):
        corners = ((left, top), (left + 8, top), (left + 8, top + 8), (left, top + 8))
        rows += [f"a,{label},{x},{y}" for x, y in corners]
    (tmp_path / "o.csv").write_text("\n".join(rows) + "\n")
    done = export_predicted_cells(section, "m", tmp_path / "o.h5ad", outlines=tmp_path / "o.csv")
    np.testing.assert_allclose(anndata.read_h5ad(done.path).X[0, :3], [2.0, 40.0, 60.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--what", "squares", "--out", "s.h5ad"), ("--run",)),
        (("--what", "squares", "--run", "m", "--out", "s.h5ad", "--square-um", "nan"), ("nan µm", "1000 µm at most")),
        (("--what", "squares", "--run", "m", "--out", "s.h5ad", "--square-um", "inf"), ("inf µm", "1000 µm at most")),
        (("--what", "squares", "--run", "m", "--out", "s.h5ad", "--square-um", "1008"), ("1008 µm", "at most")),
        (("--what", "squares", "--run", "m", "--out", "s.h5ad", "--square-um=-1"), ("-1 µm", "1000 µm at most")),
        (("--what", "squares", "--run", "m", "--out", "s.h5ad", "--outlines", "x.csv"), ("--outlines", "squares")),
        (("--what", "squares", "--run", "m", "--out", "s.h5ad", "--capture", "c"), ("--capture", "squares")),
        (("--what", "predicted-cells", "--run", "m", "--out", "s.h5ad", "--square-um", "16"), ("--square-um belongs",)),
        (("--what", "transcripts", "--run", "m", "--out", "s.parquet"), ("--run belongs",)),
        (("--what", "squares", "--run", "n", "--out", "s.h5ad"), ("no maps of a run 'n'", "m")),
        (("--what", "squares", "--run", "m", "--out", "s.parquet"), (".h5ad",)),
        (("--what", "squares", "--run", "m", "--out", "s.h5ad", "--square-um", "20"), ("20 µm", "multiple of 8 µm")),
        (("--what", "squares", "--run", "m", "--out", "no/s.h5ad"), ("There is no folder",)),
        (("--what", "predicted-cells", "--run", "m", "--out", "c.h5ad", "--outlines", "x.csv"), ("x.csv", "cell_id")),
        (("--what", "predicted-cells", "--run", "m", "--out", "c.h5ad", "--outlines", "far.csv"), ("None of 1 outl",)),
        (("--what", "cells", "--run", "m", "--out", "c.parquet"), ("were measured",)),
    ],
)
def test_what_is_wrong_is_told(
    section: SectionStore, tmp_path: Path, more: tuple[str, ...], words: tuple[str, ...],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.chdir(tmp_path)
    corners = ((9000, 9000), (9010, 9000), (9010, 9010))
    Path("far.csv").write_text("cell_id,x_he_um,y_he_um\n" + "\n".join(f"a,{x},{y}" for x, y in corners))
    Path("x.csv").write_text("cell,x,y\na,1,2\n")
    capsys.readouterr()
    assert main(["export", str(section.path), *more]) == 2
    said = capsys.readouterr().err
    assert said.count("error: ") == 1 and all(word in said for word in words), said
    assert not list(tmp_path.glob("*.h5ad*"))


def test_a_file_that_is_there_is_kept_and_a_failure_leaves_none(section: SectionStore, tmp_path: Path) -> None:
    out = tmp_path / "s.h5ad"
    assert main(["export", str(section.path), "--what", "squares", "--run", "m", "--out", str(out)]) == 0
    with pytest.raises(StoreError, match="there already"):
        export_squares(section, "m", out)
    before = out.read_bytes()
    rows = Rows(np.array(["a"]), np.zeros((1, 2)), {}, {})
    with pytest.raises(ZeroDivisionError), map_table(out, rows, GeneTable(("G",)), 4):
        raise ZeroDivisionError
    assert out.read_bytes() == before and list(tmp_path.iterdir()) == [out]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cell_id,x_he_um\na,1\n", "no cell_id with places"),
        ("cell_id,x_he_um,y_he_um\na,b,1\n", "no numbers"),
        ("cell_id,x_he_um,y_he_um\na,1,1\n,2,2\n", "no cell_id in row 3"),
    ],
)
def test_a_wrong_table_of_outlines_is_named(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "o.csv").write_text(text)
    with pytest.raises(InputError, match=words) as told:
        read_outlines(tmp_path / "o.csv")
    assert str(tmp_path / "o.csv") in str(told.value)
    with pytest.raises(InputError, match="There is no table"):
        read_outlines(tmp_path / "no.csv")


@given(seed=st.integers(0, 99), tile=st.integers(3, 20))
def test_parts_of_tiles_are_the_whole(seed: int, tile: int) -> None:
    rng = np.random.default_rng(seed)
    pixels = [rng.integers(0, 16 * 18, (rng.integers(0, 30), 2)) for _ in range(7)]
    shares = covered_shares(pixels, 16, (18, 18))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exporting_maps, "_TILE", tile)
        values = rng.random((18, 18))
        sums = np.zeros(7)
        for part, own, weights in exporting_maps._by_tile(shares, (18, 18)):
            sums[own] += weights @ values[part.region].ravel()
    np.testing.assert_allclose(sums, shares @ values.ravel(), rtol=1e-5, atol=1e-7)
