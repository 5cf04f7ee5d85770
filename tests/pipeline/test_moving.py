"""What is laid onto the H&E: the run's own image, or a picture of its units; coordinates of any frame brought here."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import RegistrationError, StoreError
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.drafting import (
    chosen_settings,
    keep_keypoints,
    keep_transform,
    read_file,
    unregister,
)
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.moving import Moving, movable, open_moving
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Note
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

# A ring of cells with a gap, far from the origin of the stage.
ANGLES = np.linspace(0.4, 2 * np.pi - 0.4, 60)
RING_UM = np.stack([-900 + 150 * np.cos(ANGLES), 4200 + 90 * np.sin(ANGLES)], axis=1)


def table_section(folder: Path, he: Path, rows: list[str], **options: object) -> SectionStore:
    (folder / "cells.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    source = TableSource(table=folder / "cells.csv", coordinates="stage_um", **options)
    return import_section(folder / "cells.section.zarr", he, source, ImportSettings(mpp=0.5, name="cells"))


@pytest.fixture(scope="module")
def he(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("he") / "he.tif"
    tifffile.imwrite(path, np.full((400, 600, 3), 220, np.uint8), photometric="rgb")
    return path


@pytest.fixture(scope="module")
def cells(tmp_path_factory: pytest.TempPathFactory, he: Path) -> SectionStore:
    rows = ["cell,x,y,A,B", *(f"c{i},{x},{y},{i + 1},2" for i, (x, y) in enumerate(RING_UM.tolist()))]
    return table_section(tmp_path_factory.mktemp("cells"), he, rows, identity="cell", shape="point")


def bright_um(moving: Moving) -> np.ndarray:
    """(x, y) of the picture's bright pixels in the moving frame."""
    picture = np.asarray(moving.channels[0].levels[0])
    rows, columns = np.nonzero(picture > 0.3 * picture.max())
    placed = Transform(moving.picture_to_frame, "morphology_px", "stage_um")
    return placed.apply(np.stack([columns + 0.5, rows + 0.5], axis=1))


def test_cells_without_an_image_are_a_picture_in_their_own_um(cells: SectionStore) -> None:
    assert movable(cells) == ["cells"]
    moving = open_moving(cells, "cells")
    assert (moving.frame, moving.um_per_unit, moving.title) == ("stage_um", 1.0, "Table")
    assert moving.channels[0].name == "density of cells" and len(moving.channels[0].levels) > 1
    away = np.linalg.norm(bright_um(moving)[:, None] - RING_UM[None], axis=2)
    assert away.min(axis=1).max() < 8 and away.min(axis=0).max() < 4  # light where cells are, and at each of them
    assert open_moving(cells, "cells").picture_to_frame[0, 2] < -1050


def test_molecules_without_an_image_are_a_picture_too(tmp_path: Path, he: Path) -> None:
    rows = ["gene,x,y", *(f"G{i % 3},{x},{y}" for i, (x, y) in enumerate(RING_UM.tolist()))]
    moving = open_moving(table_section(tmp_path, he, rows), "cells")
    assert moving.channels[0].name == "density of transcripts"
    away = np.linalg.norm(bright_um(moving)[:, None] - RING_UM[None], axis=2)
    assert away.min(axis=1).max() < 12 and away.min(axis=0).max() < 6


def test_an_image_is_taken_where_there_is_one(tmp_path: Path, small_run: SimulatedRun) -> None:
    store = import_section(tmp_path / "x.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    moving = open_moving(store, store.captures()[0])
    assert moving.frame == "morphology_px" and moving.title == "Xenium"
    assert moving.um_per_unit == pytest.approx(0.2125) and moving.channels[0].yx_shape[0] > 1000
    np.testing.assert_array_equal(moving.picture_to_frame, np.eye(3))

    # Pairs and matrices of other frames and of the other direction come out the same.
    matrix = np.array([[0.1, -0.4, 700], [0.45, 0.05, 20], [1e-6, 2e-6, 1]])
    here = Transform(matrix, "morphology_px", "he_px")
    assert moving.between is not None
    in_um = moving.between.then(here)
    for given in (here, here.inverse(), in_um, in_um.inverse()):
        found = moving.transform_from_here(given)
        np.testing.assert_allclose(found.matrix / found.matrix[2, 2], matrix, rtol=1e-9, atol=1e-12)
    points = np.array([[100.0, 900.0], [1700.0, 300.0]])
    stage = moving.between.inverse().apply(points)
    turned = Keypoints(here.apply(points) * 0.5, stage, "he_um", "stage_um", np.array([True, False]))
    pairs = moving.keypoints_here(turned, 0.5)
    np.testing.assert_allclose(pairs.moving_xy, points, atol=1e-9)
    np.testing.assert_allclose(pairs.fixed_xy, here.apply(points), atol=1e-9)
    assert (pairs.moving_frame, pairs.fixed_frame) == ("morphology_px", "he_px") and not pairs.enabled[1]


def test_what_leads_nowhere_is_refused(cells: SectionStore) -> None:
    moving = open_moving(cells, "cells")
    with pytest.raises(RegistrationError, match="morphology_px"):
        moving.keypoints_here(Keypoints(RING_UM[:3], RING_UM[:3]), 0.5)
    with pytest.raises(RegistrationError, match="not Table to the H&E"):
        moving.transform_from_here(Transform(np.eye(3), "stage_um", "morphology_px"))


def test_a_draft_is_kept_without_losing_what_stands(cells: SectionStore) -> None:
    to_he = Transform(np.array([[0, 1.9, -7800.0], [-1.9, 0, -1300], [0, 0, 1]]), "stage_um", "he_px")
    pairs = Keypoints(RING_UM[::9], to_he.apply(RING_UM[::9]), "stage_um", "he_px")
    settings = RegistrationSettings(kind="affine", threshold_um=9.0)
    register_keypoints(cells, pairs, settings)
    assert chosen_settings(cells, "cells") == settings
    stands = read_capture(cells, "cells").to_he
    assert stands is not None
    np.testing.assert_allclose(stands.matrix, to_he.matrix, atol=1e-6)

    keep_keypoints(cells, "cells", Keypoints(RING_UM[:1], RING_UM[:1], "stage_um", "he_px"))
    now = read_capture(cells, "cells")
    assert now.keypoints is not None and len(now.keypoints) == 1 and now.to_he is not None
    np.testing.assert_array_equal(now.to_he.matrix, stands.matrix)

    given = Transform(to_he.matrix + 0.01 * np.diag([1, 1, 0]), "stage_um", "he_px")
    keep_transform(cells, "cells", given, pairs)
    now = read_capture(cells, "cells")
    assert now.to_he is not None and now.to_he.kind == "given" and len(now.keypoints or ()) == len(pairs)
    assert chosen_settings(cells, "cells") == RegistrationSettings()

    unregister(cells, "cells")
    now = read_capture(cells, "cells")
    assert now.to_he is None and now.keypoints is None


def test_a_file_is_read_and_nothing_is_stored(tmp_path: Path, small_run: SimulatedRun) -> None:
    store = import_section(tmp_path / "x.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle))
    name, notes = store.captures()[0], []
    pairs, matrix = read_file(store, name, small_run.keypoints)
    assert matrix is None and pairs is not None and len(pairs) > 5
    pairs, matrix = read_file(store, name, small_run.folder / "he_imagealignment.csv", on_event=notes.append)
    assert pairs is None and matrix is not None and matrix.name == "he_to_morphology"
    assert any("bare matrix" in note.text for note in notes if isinstance(note, Note))
    assert read_capture(store, name).to_he is None
    with pytest.raises(StoreError, match="has no capture"):
        read_file(store, "nothing", small_run.keypoints)
