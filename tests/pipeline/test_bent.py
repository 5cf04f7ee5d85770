"""A spline from end to end: from pairs, stored, found again, drawn, counted through, stale when it changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_pixelgene.arithmetic.geometry import apply_matrix
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.exporters.alignments import write_alignment_json
from napari_pixelgene.pipeline.aligning import register_keypoints, register_matrix
from napari_pixelgene.pipeline.drafting import keep_transform
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.moving import open_moving
from napari_pixelgene.pipeline.preparing import transform_hashes
from napari_pixelgene.pipeline.slide import to_he_um, units_in_um
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

MPP = 0.5
SIDE_UM = 1000.0


def truth(stage_um: np.ndarray) -> np.ndarray:
    """Stage µm to H&E pixels: turned, mirrored and bent by up to 20 µm."""
    x, y = (stage_um / SIDE_UM).T
    flat = np.stack(
        [0.2 * stage_um[:, 0] + 0.97 * stage_um[:, 1], 0.96 * stage_um[:, 0] - 0.21 * stage_um[:, 1]], axis=1
    )
    return np.asarray((flat + (-60, 190) + 20 * np.stack([np.sin(4 * y + x), np.cos(3 * x) * y], axis=1)) / MPP)


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    folder = tmp_path_factory.mktemp("bent")
    tifffile.imwrite(folder / "he.tif", np.full((2600, 2600, 3), 220, np.uint8), photometric="rgb")
    cells = np.random.default_rng(0).uniform(100, 900, (300, 2))
    rows = ["cell,x,y,A,B", *(f"c{i},{x},{y},{i % 7 + 1},2" for i, (x, y) in enumerate(cells.tolist()))]
    (folder / "cells.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    source = TableSource(table=folder / "cells.csv", coordinates="stage_um", identity="cell", shape="point")
    return import_section(folder / "a.section.zarr", folder / "he.tif", source, ImportSettings(mpp=MPP, name="cells"))


@pytest.fixture(scope="module")
def bent(section: SectionStore) -> Transform:
    x, y = np.meshgrid(np.linspace(60, 940, 6), np.linspace(60, 940, 6))
    stage = np.stack([x.ravel(), y.ravel()], axis=1) + np.random.default_rng(1).uniform(-40, 40, (36, 2))
    settings = RegistrationSettings(kind="spline", allow_mirror=True, threshold_um=30.0)
    return register_keypoints(section, Keypoints(stage, truth(stage), "stage_um", "he_px"), settings).transform


def test_cells_come_to_lie_where_the_bend_takes_them(section: SectionStore, bent: Transform) -> None:
    stored = read_capture(section, "cells").to_he
    assert stored is not None and stored.same_map(bent) and bent.bend is not None
    capture = read_capture(section, "cells")
    units = capture.units()
    assert units is not None
    placed_px = units_in_um(section, capture).xy / MPP
    np.testing.assert_allclose(placed_px, bent.apply(units.xy), atol=1e-9)
    off_um = np.linalg.norm(placed_px - truth(units.xy), axis=1) * MPP
    plain_um = np.linalg.norm(apply_matrix(bent.matrix, units.xy) - truth(units.xy), axis=1) * MPP
    assert np.median(off_um) < 1 < 3 < np.median(plain_um)


def test_the_picture_of_cells_is_drawn_through_the_bend(section: SectionStore, bent: Transform) -> None:
    moving = open_moving(section, "cells")
    drawn = moving.drawn_by(bent)
    xy = np.random.default_rng(2).uniform(0, 300, (50, 2))
    np.testing.assert_allclose(drawn.apply(xy), bent.apply(apply_matrix(moving.picture_to_frame, xy)), atol=1e-7)
    assert moving.transform_from_here(bent.inverse()).inverse().apply(bent.apply(xy)) == pytest.approx(xy, abs=1e-6)


def test_another_bend_is_another_transform(section: SectionStore, bent: Transform) -> None:
    before = transform_hashes(section)
    straight = Transform(bent.matrix, bent.source, bent.target, "affine")
    keep_transform(section, "cells", straight)
    assert transform_hashes(section) != before
    keep_transform(section, "cells", bent)
    assert transform_hashes(section) == before
    assert to_he_um(section, read_capture(section, "cells"), "stage_um").bend is not None


def test_a_bend_goes_out_as_json_and_comes_back_by_matrix(
    section: SectionStore, bent: Transform, tmp_path: Path
) -> None:
    write_alignment_json(tmp_path / "a.json", transform=bent.inverse())
    back = register_matrix(section, tmp_path / "a.json")
    xy = np.random.default_rng(3).uniform(0, SIDE_UM, (40, 2))
    np.testing.assert_allclose(back.apply(xy), bent.apply(xy), atol=1e-6)
