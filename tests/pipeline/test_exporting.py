"""Transcripts, cells and outlines of a section on the H&E: every row, in order, where numpy puts it too."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest

from napari_pixelgene.cli.main import main
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.drafting import keep_transform
from napari_pixelgene.pipeline.exporting import export_boundaries, export_cells, export_moved, export_transcripts
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.section import SectionStore

PEER = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
PIXEL = 0.2125
# Morphology px → H&E px: turned, mirrored, in perspective.
MATRIX = np.array([[0.03, 0.41, 20.0], [0.43, -0.02, 35.5], [4e-6, -7e-6, 1.0]])
OUTLINES = """
import json, sys, pandas as pd, numpy as np
from shapely.geometry import Polygon
table = pd.read_parquet(sys.argv[1])
cells = [Polygon(part[["x_he_um", "y_he_um"]].to_numpy()) for _, part in table.groupby("cell_id", sort=False)]
print(json.dumps([len(cells), all(c.is_valid for c in cells), float(np.median([c.area for c in cells]))]))
"""


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    path = tmp_path_factory.mktemp("export") / "a.section.zarr"
    store = import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle), ImportSettings(name="run"))
    keep_transform(store, "run", Transform(MATRIX, "morphology_px", "he_px"))
    return store


def expected(xy_um: np.ndarray) -> np.ndarray:
    homogeneous = np.column_stack([xy_um / PIXEL, np.ones(len(xy_um))]) @ MATRIX.T
    return np.asarray(homogeneous[:, :2] / homogeneous[:, 2:])


@pytest.mark.parametrize(
    ("what", "name", "columns"),
    [
        ("transcripts", "transcripts", ("x_location", "y_location")),
        ("cells", "cells", ("x_centroid", "y_centroid")),
        ("boundaries", "cell_boundaries", ("vertex_x", "vertex_y")),
        ("nuclei", "nucleus_boundaries", ("vertex_x", "vertex_y")),
    ],
)
def test_every_row_stands_where_numpy_puts_it(
    section: SectionStore, small_run: SimulatedRun, tmp_path: Path, what: str, name: str, columns: tuple[str, str]
) -> None:
    done = export_moved(section, what, tmp_path / "out.parquet")
    before, after = pl.read_parquet(small_run.bundle / f"{name}.parquet"), pl.read_parquet(done.path)
    assert done.rows == len(before) > 100 and done.placeless == 0
    assert after.select(before.columns).equals(before)  # the originals, row by row: vertices keep their order
    px, mpp = expected(before.select(columns).to_numpy().astype(float)), float(section.meta()["mpp"])
    np.testing.assert_allclose(after.select("x_he_px", "y_he_px").to_numpy(), px, atol=1e-8)
    np.testing.assert_allclose(after.select("x_he_um", "y_he_um").to_numpy(), px * mpp, atol=1e-8)


def test_another_program_draws_the_outlines(section: SectionStore, small_run: SimulatedRun, tmp_path: Path) -> None:
    if not PEER.exists():
        pytest.skip("no .venv-peers here; scripts/peer_env.sh makes it")
    done = export_boundaries(section, tmp_path / "b.parquet")
    run = subprocess.run([PEER, "-c", OUTLINES, done.path], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    cells, valid, area = json.loads(run.stdout)
    mpp = float(section.meta()["mpp"])
    scale = abs(np.linalg.det(MATRIX[:2, :2])) * (mpp / PIXEL) ** 2
    own = pl.read_parquet(small_run.bundle / "cells.parquet")
    assert cells == len(own) and valid
    assert area == pytest.approx(own["cell_area"].median() * scale, rel=0.1)


def test_a_run_that_is_not_registered_names_the_next_step(small_run: SimulatedRun, tmp_path: Path) -> None:
    source = XeniumSource(bundle=small_run.bundle)
    store = import_section(tmp_path / "a.section.zarr", small_run.he, source, ImportSettings(name="run"))
    for export in (export_transcripts, export_cells, export_boundaries):
        with pytest.raises(StoreError, match=r"pixelgene register a\.section\.zarr"):
            export(store, tmp_path / "out.parquet")
    assert not (tmp_path / "out.parquet").exists()


def test_a_file_that_is_there_is_kept(section: SectionStore, tmp_path: Path) -> None:
    out = tmp_path / "cells.parquet"
    out.write_text("mine")
    with pytest.raises(StoreError, match="there already"):
        export_cells(section, out)
    assert out.read_text() == "mine"
    assert export_cells(section, out, overwrite=True).rows == pq.read_table(out).num_rows
    with pytest.raises(StoreError, match=r"ends in \.parquet"):
        export_cells(section, tmp_path / "cells.csv")


def test_units_and_molecules_of_other_runs(small_run: SimulatedRun, tmp_path: Path) -> None:
    rows = ["gene,x,y", *(f"G{i % 3},{10.5 + i},{40 - i / 4}" for i in range(60))]
    (tmp_path / "m.csv").write_text("\n".join(rows) + "\n")
    store = import_section(
        tmp_path / "m.section.zarr",
        small_run.he,
        TableSource(table=tmp_path / "m.csv", coordinates="stage_um"),
        ImportSettings(name="m"),
    )
    keep_transform(store, "m", Transform(MATRIX @ np.diag([1 / PIXEL, 1 / PIXEL, 1]), "stage_um", "he_px"))
    found = pl.read_parquet(export_transcripts(store, tmp_path / "out.parquet").path)
    assert found["feature_name"].to_list() == [f"G{i % 3}" for i in range(60)]
    own = found.select("x_stage_um", "y_stage_um").to_numpy()
    np.testing.assert_allclose(own[:, 0], 10.5 + np.arange(60))
    np.testing.assert_allclose(found.select("x_he_px", "y_he_px").to_numpy(), expected(own), atol=1e-8)
    with pytest.raises(StoreError, match="--what transcripts"):
        export_cells(store, tmp_path / "no.parquet")
    with pytest.raises(StoreError, match="no outlines"):
        export_boundaries(store, tmp_path / "no.parquet")


def test_the_same_from_the_command_line(
    section: SectionStore, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "n.parquet"
    assert main(["export", str(section.path), "--what", "nuclei", "--out", str(out)]) == 0
    assert "x_he_px, y_he_px (pixels of the H&E)" in capsys.readouterr().out and out.exists()
    assert main(["export", str(section.path), "--what", "nuclei", "--out", str(out)]) == 2
