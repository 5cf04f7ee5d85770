"""A capture without an image: counts, clusters and genes on one raster, and a scale that is held."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
import tifffile

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.adding import CaptureSettings, add_capture
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.drafting import chosen_settings
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.looks import COLOURS
from napari_pixelgene.pipeline.moving import open_moving
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.stages.registration import RegistrationSettings
from napari_pixelgene.store.section import SectionStore

PITCH, SIZE = 100.0, 55.0


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    """Spots of 55 µm, an island of another kind in the upper left, in pixels of 0.5 µm; no image."""
    folder = tmp_path_factory.mktemp("spots")
    place = np.array([(x * PITCH + y % 2 * PITCH / 2, y * PITCH * 0.866) for y in range(14) for x in range(20)])
    island = (place[:, 0] < 800) & (place[:, 1] < 500)
    rng = np.random.default_rng(1)
    rate = np.where(island[:, None], [9.0, 2, 3, 3], [2.0, 9, 3, 3])
    counts = rng.poisson(rate)
    data = {"id": [f"s{i}" for i in range(len(place))], "x": place[:, 0] * 2 + 4000, "y": place[:, 1] * 2 - 900}
    pl.DataFrame(data | {f"G{i}": counts[:, i] for i in range(4)}).write_csv(folder / "spots.csv")
    made = import_section(folder / "m.section.zarr", _sized(folder))
    source = TableSource(table=folder / "spots.csv", coordinates="he_px", shape="disk", size_um=SIZE, identity="id")
    add_capture(made, source, settings=CaptureSettings(name="D1", mpp=0.5))
    return made


def _sized(folder: Path) -> Path:
    tifffile.imwrite(folder / "he.tif", np.full((600, 900, 3), 200, np.uint8), photometric="rgb", tile=(256, 256),
                     resolution=(20000, 20000), resolutionunit="CENTIMETER")  # fmt: skip
    return folder / "he.tif"


def test_looks_share_a_raster_and_show_the_island(store: SectionStore) -> None:
    moving = open_moving(store, "D1")
    counts, clusters = moving.channels
    assert (counts.name, clusters.name) == ("density of spots", "clusters")
    assert clusters.yx_shape == counts.yx_shape and clusters.levels[0].shape[2] == 3
    picture = np.asarray(clusters.levels[0][:])
    pixel, corner = moving.picture_to_frame[0, 0], moving.picture_to_frame[:2, 2]

    def at(x: float, y: float) -> tuple[int, int]:
        """The pixel of a place of the table's own µm."""
        column, row = (np.array([x + 2000, y - 450]) - corner) / pixel
        return int(row), int(column)

    inside, outside = picture[at(200, 86.6 * 2)], picture[at(1500, 86.6 * 8)]
    assert tuple(inside[:3]) != tuple(outside[:3])
    assert {tuple(inside[:3]), tuple(outside[:3])} <= set(COLOURS)
    assert not picture[at(250, 86.6 * 2)].any()  # between two spots
    share = picture.any(axis=2).sum() * pixel**2 / (280 * np.pi / 4 * SIZE**2)
    assert share == pytest.approx(1, abs=0.02)
    assert np.asarray(clusters.levels[1][:]).shape[:2] == tuple(-(-side // 2) for side in clusters.yx_shape)

    named = moving.with_gene("G1").with_gene("G0").with_gene("G1")
    assert [c.name for c in named.channels] == ["density of spots", "clusters", "gene: G0", "gene: G1"]
    g0, g1 = (np.asarray(c.levels[0][:]) for c in named.channels[2:])
    island, rest = (slice(at(0, -30)[0], at(0, 450)[0]), slice(at(-30, 0)[1], at(700, 0)[1])), at(1500, 86.6 * 8)
    assert g0[island].mean() > 1.5 * g1[island].mean() and g1[rest] > 0 and g1.dtype == np.float32
    assert moving.with_gene(" g3").channels[-1].name == "gene: G3"
    with pytest.raises(SettingsError, match="no gene named 'G9'"):
        moving.with_gene("G9")


def test_the_scale_is_held_unless_it_is_released(store: SectionStore) -> None:
    assert chosen_settings(store, "D1") == RegistrationSettings(kind="rigid")
    assert open_moving(store, "D1").known_scale == "the spots' pitch"
    there = np.array([[2000.0, -40], [2150, -30], [2130, 50], [2020, 60], [2080, 10]])
    here = np.stack([800 - (there[:, 1] + 45) * 2.02, (there[:, 0] - 2000) * 2.02 + 100], axis=1)  # 1 % larger
    found = register_keypoints(store, Keypoints(there, here, "stage_um", "he_px"), capture="D1")
    assert found.transform.kind == "rigid"
    assert abs(np.linalg.det(found.transform.matrix[:2, :2])) ** 0.5 == pytest.approx(2.0, rel=1e-6)
    free = RegistrationSettings(kind="similarity")
    found = register_keypoints(store, Keypoints(there, here, "stage_um", "he_px"), free, "D1")
    assert abs(np.linalg.det(found.transform.matrix[:2, :2])) ** 0.5 == pytest.approx(2.02, rel=1e-6)
    assert chosen_settings(store, "D1") == free
