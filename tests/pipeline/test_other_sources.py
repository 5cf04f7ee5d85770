"""The same simulated molecules as CosMx flat files, as a table and as a prefix folder: from import to a fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.elements.bins import Bins
from napari_pixelgene.errors import PixelGeneError, RegistrationError
from napari_pixelgene.exporters.alignments import write_alignment_json
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix, text_keypoints
from napari_pixelgene.pipeline.config import read_config, to_toml
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit
from napari_pixelgene.pipeline.preparing import ensure_bins
from napari_pixelgene.pipeline.relinking import relink_files
from napari_pixelgene.pipeline.slide import require_capture, source_of, to_he_um, units_in_um
from napari_pixelgene.pipeline.sources.cosmx import CosmxSource
from napari_pixelgene.pipeline.sources.prefix import PrefixSource
from napari_pixelgene.pipeline.sources.registry import recognise
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Note
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.section import SectionStore

HEIGHT_UM, PIXEL_UM, MORPHOLOGY_UM = 560.0, 0.12, 0.2125
TINY = FitSettings(genes="panel", model="ridge", folds=FoldSettings(block_um=150, folds=3, partitions=1))
MIRROR = RegistrationSettings(kind="affine", allow_mirror=True)


@pytest.fixture(scope="module")
def molecules(small_run: SimulatedRun) -> pd.DataFrame:
    """Accepted transcripts of the simulated run, µm of its stage."""
    columns = ["feature_name", "x_location", "y_location", "qv", "is_gene"]
    table = pq.read_table(small_run.bundle / "transcripts.parquet", columns=columns).to_pandas()
    return table[table["is_gene"] & (table["qv"] >= 20)]


@pytest.fixture(scope="module")
def registered(small_run: SimulatedRun, tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    """The run as Xenium wrote it, registered: what the others must come to."""
    place = tmp_path_factory.mktemp("xenium") / "x.section.zarr"
    store = import_section(place, small_run.he, XeniumSource(bundle=small_run.bundle))
    register_keypoints(store, small_run.keypoints, RegistrationSettings(kind="affine"))
    return store


@pytest.fixture(scope="module")
def turned_pairs(small_run: SimulatedRun) -> Keypoints:
    """The run's keypoints with its side in µm, y upwards, as CosMx has it."""
    pairs = read_alignment(small_run.keypoints)
    assert isinstance(pairs, Keypoints)
    moving = pairs.moving_xy * MORPHOLOGY_UM
    return Keypoints(np.stack([moving[:, 0], HEIGHT_UM - moving[:, 1]], axis=1), pairs.fixed_xy, "stage_um")


@pytest.fixture(scope="module")
def cosmx(small_run: SimulatedRun, molecules: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    folder = tmp_path_factory.mktemp("cosmx")
    tx = pd.DataFrame({
        "fov": 1,
        "x_local_px": 5.0,
        "x_global_px": molecules["x_location"] / PIXEL_UM,
        "y_global_px": (HEIGHT_UM - molecules["y_location"]) / PIXEL_UM,
        "target": molecules["feature_name"],
    })  # fmt: skip
    tx.to_csv(folder / "S_tx_file.csv", index=False)
    source = CosmxSource(run=folder, pixel_um=PIXEL_UM)
    return import_section(folder / "c.section.zarr", small_run.he, source)


def bins_of(store: SectionStore) -> Bins:
    return ensure_bins(store, require_capture(store))


def assert_same_bins(one: Bins, other: Bins) -> None:
    """All but what a rounded position or fit puts on the other side of an edge: 1 of 1,000 molecules."""
    size = one.yx_shape[0] * one.yx_shape[1]
    full = [np.zeros((size, len(one.genes))) for _ in range(2)]
    for whole, bins in zip(full, (one, other), strict=True):
        whole[bins.superpixel] = bins.counts.toarray()[:, bins.genes.indices(one.genes.symbols)]
    assert full[0].sum() > 50_000
    assert np.abs(full[0] - full[1]).sum() < 0.001 * full[0].sum()


def test_mirrored_micrometres_of_the_stage_are_registered_and_fitted(
    cosmx: SectionStore, registered: SectionStore, turned_pairs: Keypoints, tmp_path: Path
) -> None:
    write_alignment_json(tmp_path / "pairs.json", turned_pairs)
    with pytest.raises(PixelGeneError, match="not registered"):
        to_he_um(cosmx, require_capture(cosmx), "stage_um")
    with pytest.raises(RegistrationError, match=r"mirrored.*--allow-mirror"):
        register_keypoints(cosmx, tmp_path / "pairs.json")
    found = register_keypoints(cosmx, tmp_path / "pairs.json", MIRROR)
    assert found.transform.source == "stage_um" and np.linalg.det(found.transform.matrix[:2, :2]) < 0
    assert_same_bins(bins_of(registered), bins_of(cosmx))
    fit([cosmx], "r", TINY)
    assert "r" in cosmx.runs()


def test_keypoints_of_the_stage_come_as_two_text_files_too(
    cosmx: SectionStore, turned_pairs: Keypoints, tmp_path: Path
) -> None:
    run, he = tmp_path / "run.txt", tmp_path / "he.txt"
    for path, points in ((run, turned_pairs.moving_xy), (he, turned_pairs.fixed_xy)):
        np.savetxt(path, points)
    pairs = text_keypoints(cosmx, run, he)
    assert pairs.moving_frame == "stage_um" and pairs.moving_xy == pytest.approx(turned_pairs.moving_xy)
    with pytest.raises(RegistrationError, match="no levels"):
        text_keypoints(cosmx, run, he, (2, 0))


def test_pairs_and_matrices_of_a_morphology_that_is_not_there_are_refused(
    cosmx: SectionStore, small_run: SimulatedRun, tmp_path: Path
) -> None:
    """They would be stored, and nothing could lead from the run's µm to them."""
    with pytest.raises(RegistrationError, match=r"morphology_px; .* stage_um and it has no morphology.*moving_frame"):
        register_keypoints(cosmx, small_run.keypoints, MIRROR)
    np.savetxt(tmp_path / "m.csv", [[2, 0, 5], [0, -2, 900], [0, 0, 1]], delimiter=",")
    with pytest.raises(RegistrationError, match="--direction stage_to_he"):
        register_matrix(cosmx, tmp_path / "m.csv")
    register_matrix(cosmx, tmp_path / "m.csv", direction="stage_to_he")
    mpp = cosmx.meta()["mpp"]
    to_um = to_he_um(cosmx, require_capture(cosmx), "stage_um")
    assert to_um.apply(np.array([[10.0, 20.0]])) == pytest.approx(np.array([[25.0, 860.0]]) * mpp)


@pytest.mark.parametrize("units", ["he_um", "he_px"])
def test_a_long_table_on_the_slide_needs_no_registration(
    units: str, registered: SectionStore, small_run: SimulatedRun, molecules: pd.DataFrame, tmp_path: Path
) -> None:
    xy = to_he_um(registered, require_capture(registered), "stage_um").apply(molecules.iloc[:, 1:3].to_numpy())
    scale = 1.0 if units == "he_um" else registered.meta()["mpp"]
    table = pd.DataFrame({"x": xy[:, 0] / scale, "y": xy[:, 1] / scale, "gene": molecules["feature_name"]})
    table.to_parquet(tmp_path / "t.parquet", index=False)
    source = TableSource(table=tmp_path / "t.parquet", coordinates=units)  # type: ignore[arg-type]
    store = import_section(tmp_path / "t.section.zarr", small_run.he, source)
    assert_same_bins(bins_of(registered), bins_of(store))


def test_molecules_beside_the_slide_are_refused_before_anything_is_written(
    small_run: SimulatedRun, tmp_path: Path
) -> None:
    pd.DataFrame({"x": [1e6, 9.0, 2e6], "y": [3.0, 1e6, 4.0], "gene": "A"}).to_csv(tmp_path / "t.csv", index=False)
    source = TableSource(table=tmp_path / "t.csv", coordinates="he_um")
    with pytest.raises(PixelGeneError, match=r"lie outside the H&E"):
        import_section(tmp_path / "t.section.zarr", small_run.he, source)
    assert not (tmp_path / "t.section.zarr").exists()


@pytest.fixture(scope="module")
def prefix(registered: SectionStore, small_run: SimulatedRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bins that hold most, as the Xenium formatter writes them, in pixels of he-raw.ome.tif."""
    folder = tmp_path_factory.mktemp("prefix")
    bins, mpp = bins_of(registered), registered.meta()["mpp"]
    rows = np.flatnonzero(bins.library > 5)[::-1]
    i, j = np.divmod(bins.superpixel[rows], bins.yx_shape[1])
    ids = [f"{b}_{a}" for a, b in zip(i, j, strict=True)]
    counts = pd.DataFrame(bins.counts[rows].toarray(), ids, list(bins.genes.symbols))
    counts.to_parquet(folder / "cnts.parquet")
    locs = pd.DataFrame({"x": (j + 0.5) * 8 / mpp, "y": (i + 0.5) * 8 / mpp}, ids)
    locs.sort_index().to_csv(folder / "locs-raw.tsv", sep="\t")
    (folder / "radius-raw.txt").write_text("0")
    (folder / "pixel-size-raw.txt").write_text(str(mpp))
    (folder / "he-raw.ome.tif").symlink_to(small_run.he)
    return folder


def test_a_prefix_folder_brings_its_slide_and_lays_bins_on_the_lattice(
    prefix: Path, registered: SectionStore, tmp_path: Path
) -> None:
    source = recognise(prefix)
    assert isinstance(source, PrefixSource)
    notes: list[str] = []
    store = import_section(
        tmp_path / "p.section.zarr",
        source=source,
        on_event=lambda e: notes.append(e.text) if isinstance(e, Note) else None,
    )
    assert store.meta()["mpp"] == pytest.approx(registered.meta()["mpp"])
    assert any("in another order" in text for text in notes)
    units = units_in_um(store, require_capture(store))
    bins = bins_of(registered)
    flat = np.floor(units.xy[:, 1] / 8).astype(int) * bins.yx_shape[1] + np.floor(units.xy[:, 0] / 8).astype(int)
    rows = np.searchsorted(bins.superpixel, flat)
    assert (bins.superpixel[rows] == flat).all() and (bins.counts[rows] != units.counts).nnz == 0
    fit([store], "r", TINY)
    assert "r" in store.runs()


def test_a_moved_prefix_folder_is_found_again(prefix: Path, tmp_path: Path) -> None:
    store = import_section(tmp_path / "p.section.zarr", source=PrefixSource(prefix=prefix))
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in prefix.iterdir():
        (moved / path.name).write_bytes(path.read_bytes())
    relink_files(store, moved)
    again = source_of(store, require_capture(store))
    assert isinstance(again, PrefixSource) and again.prefix == moved


def test_the_sources_round_trip_through_toml(tmp_path: Path) -> None:
    text = """
[[import]]
section = "A.section.zarr"
kind = "prefix"
prefix = "data/S1-"
radius_is = "radius-px"

[[import]]
section = "B.section.zarr"
kind = "cosmx"
he = "b.svs"
run = "flat"
count = "cells"
pixel_um = 0.18

[[import]]
section = "C.section.zarr"
kind = "table"
he = "c.svs"
table = "c.gem.gz"
coordinates = "stage_um"
unit_um = 0.5
others = ["area", "type"]
"""
    (tmp_path / "flow.toml").write_text(text)
    config = read_config(tmp_path / "flow.toml")
    a, b, c = (step.source for step in config.imports)
    assert a == PrefixSource(prefix=tmp_path / "data/S1-", radius_is="radius-px")
    assert b == CosmxSource(run=tmp_path / "flat", count="cells", pixel_um=0.18)
    assert c == TableSource(table=tmp_path / "c.gem.gz", coordinates="stage_um", unit_um=0.5, others=("area", "type"))
    (tmp_path / "again.toml").write_text(to_toml(config.tables()))
    assert read_config(tmp_path / "again.toml") == config


def test_units_of_a_wide_table_are_checked_against_the_slide(small_run: SimulatedRun, tmp_path: Path) -> None:
    i, j = np.divmod(np.arange(24), 6)
    table = pd.DataFrame(
        {"cell": [f"c{k}" for k in range(24)], "x": 150 + j * 60.0, "y": 150 + i * 60.0, "A": i, "B": j}
    )
    table.to_csv(tmp_path / "w.csv", index=False)
    source = TableSource(table=tmp_path / "w.csv", coordinates="he_um", shape="disk", size_um=50)
    store = import_section(tmp_path / "w.section.zarr", small_run.he, source, ImportSettings(name="spots"))
    units = require_capture(store).units()
    assert units is not None and store.captures() == ["spots"]
    assert units.counts.toarray()[:, 1].tolist() == j.tolist() and units.footprint.size_um == 50
    with pytest.raises(PixelGeneError, match="pitch"):
        import_section(tmp_path / "v.section.zarr", small_run.he, source.replace(size_um=500))
