"""A rough placement of runs of every kind: with images, as cells, as spots; kept only when asked, and marked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.cli.main import main
from napari_pixelgene.errors import StoreError
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.checking import checks
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.rough import is_rough, keep_rough, rough_alignment
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore


@pytest.fixture
def section(arrays_run: SimulatedRun, tmp_path: Path) -> SectionStore:
    source = XeniumSource(bundle=arrays_run.bundle)
    return import_section(tmp_path / "a.section.zarr", arrays_run.he, source, ImportSettings())


def median_um(store: SectionStore, found: np.ndarray, true: np.ndarray, xy: np.ndarray) -> float:
    there = geometry.apply_matrix(true, xy)
    return float(np.median(geometry.residuals(found, xy, there))) * float(store.meta()["mpp"])


def test_a_xenium_run_lands_and_nothing_is_stored(section: SectionStore, arrays_run: SimulatedRun) -> None:
    """From level-0 morphology pixels to level-0 H&E pixels."""
    found = rough_alignment(section)
    corners = np.array([[400.0, 300], [3900, 350], [700, 2900], [3500, 2600]])
    assert (found.transform.source, found.transform.target) == ("morphology_px", "he_px")
    assert median_um(section, found.transform.matrix, arrays_run.morphology_to_he, corners) < 20
    assert found.is_clear and found.other is not None and found.other.source == "morphology_px"
    (name,) = section.captures()
    assert read_capture(section, name).to_he is None and not is_rough(section, name)


def test_what_is_kept_is_marked_until_pairs_come(section: SectionStore, arrays_run: SimulatedRun) -> None:
    (name,) = section.captures()
    found = rough_alignment(section, name)
    keep_rough(section, name, found)
    kept = read_capture(section, name).to_he
    assert kept is not None and np.array_equal(kept.matrix, found.transform.matrix)
    assert is_rough(section, name)
    told = [check for check in checks(section) if "roughly" in check.text]
    assert [check.level for check in told] == ["warning"] and "refine it with pairs" in told[0].text
    register_keypoints(section, arrays_run.keypoints)
    assert not is_rough(section, name)
    assert not any("roughly" in check.text for check in checks(section))


def table_of(folder: Path, he: Path, xy: np.ndarray) -> SectionStore:
    rows = [f"{x:.2f},{y:.2f},{7 + i % 5}" for i, (x, y) in enumerate(xy)]
    (folder / "cells.csv").write_text("\n".join(["x,y,GENE1", *rows]) + "\n", encoding="utf-8")
    source = TableSource(table=folder / "cells.csv", coordinates="stage_um", shape="point")
    return import_section(folder / "c.section.zarr", he, source, ImportSettings())


def test_cells_without_an_image_land_by_their_density(arrays_run: SimulatedRun, tmp_path: Path) -> None:
    """A table of cells in the instrument's µm, mirrored and far from its origin."""
    import polars as pl

    cells = pl.read_parquet(arrays_run.bundle / "cells.parquet")
    um = cells.select("x_centroid", "y_centroid").to_numpy().astype(np.float64)
    odd = np.array([[-1.0, 0, 7000], [0, 1, -2500], [0, 0, 1]])
    store = table_of(tmp_path, arrays_run.he, geometry.apply_matrix(odd, um))
    found = rough_alignment(store)
    to_he = arrays_run.morphology_to_he @ np.diag([1 / 0.2125, 1 / 0.2125, 1]) @ np.linalg.inv(odd)
    assert found.transform.source == "stage_um"
    assert median_um(store, found.transform.matrix, to_he, geometry.apply_matrix(odd, um)) < 50
    assert "flipped" in found.words


def test_a_run_on_the_slide_needs_none(arrays_run: SimulatedRun, tmp_path: Path) -> None:
    (tmp_path / "spots.csv").write_text("x,y,GENE1\n1000,800,3\n1040,850,4\n", encoding="utf-8")
    source = TableSource(table=tmp_path / "spots.csv", coordinates="he_px", shape="point")
    store = import_section(tmp_path / "s.section.zarr", arrays_run.he, source, ImportSettings())
    with pytest.raises(StoreError, match="needs no registration"):
        rough_alignment(store)


def test_the_command_says_it_and_keeps_it(
    section: SectionStore, arrays_run: SimulatedRun, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["register", str(section.path), "--rough"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "turned by" in said and "refine it with pairs" in said and "--keypoints FILE" in said
    assert is_rough(section, section.captures()[0])
    assert main(["register", str(section.path), "--rough", "--keypoints", str(arrays_run.keypoints)]) == 2
    assert "--keypoints, --matrix and --rough" in " ".join(capsys.readouterr().err.split())
