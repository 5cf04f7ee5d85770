"""An image given to a run without one: registered by it, the run's µm land where the image says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.errors import InputError, StoreError
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.morphology import take_morphology
from napari_pixelgene.pipeline.moving import open_moving
from napari_pixelgene.pipeline.slide import to_he_um
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

MPP = 0.4


@pytest.fixture
def store(tmp_path: Path, small_run: SimulatedRun) -> SectionStore:
    rng = np.random.default_rng(3)
    xy = rng.uniform(50, 400, (300, 2)) * [1.2, 0.9]
    rows = "\n".join(f"{x:.3f},{y:.3f},{'AB'[i % 2]}" for i, (x, y) in enumerate(xy))
    table = tmp_path / "molecules.csv"
    table.write_text(f"x,y,gene\n{rows}\n")
    source = TableSource(table=table, coordinates="stage_um", x="x", y="y", gene="gene")
    return import_section(tmp_path / "a.section.zarr", small_run.he, source)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "dapi.tif"
    tifffile.imwrite(path, np.arange(600 * 900, dtype=np.uint16).reshape(600, 900) % 4000, tile=(256, 256))
    return path


def test_registered_by_a_given_image(store: SectionStore, image: Path) -> None:
    name = store.captures()[0]
    assert open_moving(store, name).frame == "stage_um"
    channels = take_morphology(store, name, image, MPP)
    moving = open_moving(store, name)
    assert moving.frame == "morphology_px" and moving.um_per_unit == pytest.approx(MPP)
    assert moving.channels[0].yx_shape == channels[0].yx_shape == (600, 900)

    here = np.array([[100.0, 80], [700, 120], [640, 500], [150, 420]])
    turned = here @ np.array([[0.0, 0.8], [-0.8, 0.0]]) + [500, 90]  # 0.4 µm to 0.5 µm pixels, turned by 90°
    register_keypoints(store, Keypoints(here, turned), RegistrationSettings(kind="similarity"), name)
    capture = read_capture(store, name)
    place = to_he_um(store, capture, "stage_um").apply(here * MPP)
    np.testing.assert_allclose(place, turned * 0.5, atol=1e-6)


def test_only_where_a_run_brings_none(
    store: SectionStore, image: Path, small_run: SimulatedRun, tmp_path: Path
) -> None:
    own = import_section(tmp_path / "x.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    with pytest.raises(StoreError, match="its own images"):
        take_morphology(own, own.captures()[0], image, MPP)
    with pytest.raises(InputError, match="none of a microscope"):
        take_morphology(store, store.captures()[0], image, 400.0)
    assert read_capture(store, store.captures()[0]).stage_to_morphology is None
