"""Everything here needs napari, Qt and a display; one small section is shared."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tifffile
from pytestqt.qtbot import QtBot
from qtpy.QtTest import QTest

from mouse import pause
from moved import move_references
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.expression import Expression
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.image import Image
from napari_pixelgene.pipeline.aligning import register_matrix
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.showing import ShownSection
from napari_pixelgene.pipeline.slide import grid_of
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.warping import warped_pyramid
from napari_pixelgene.store.maps import begin_maps
from napari_pixelgene.store.section import SectionStore
from register_person import Person

# The nucleus: its place in morphology pixels, and a transform that turns, shears and has a perspective.
MPP, MORPHOLOGY_MPP = 0.5, 0.2125
NUCLEUS_PX = np.array([[700.5, 420.5]])
MATRIX = np.array([[-0.031, -0.42, 830.0], [0.415, 0.052, 80.0], [4e-5, -9e-5, 1.0]])
HE_SHAPE = (712, 936)
RADIUS_UM = 3.0
PATIENCE_MS = 60_000
_LOADED_BY, _opened = (2, 5), 0


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.gui)


@pytest.fixture(scope="session", autouse=True)
def own_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Sections that tests open are not among those that somebody who runs them has opened lately."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        yield


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waiting leaves the core to what is waited for; what comes late on a busy machine comes all the same."""
    until = QtBot.waitUntil
    monkeypatch.setattr(QTest, "qWait", pause)
    monkeypatch.setattr(
        QtBot, "waitUntil", lambda self, true, *, timeout=0: until(self, true, timeout=max(timeout, PATIENCE_MS))
    )


@pytest.fixture(autouse=True)
def frozen() -> None:
    """napari's fixture has Python look for garbage through everything after each test: what the first windows have
    loaded is none, and is left out from then on."""
    global _opened
    _opened += 1
    if _opened in _LOADED_BY:
        gc.collect()
        gc.freeze()


def disk(shape: tuple[int, int], xy_px: np.ndarray, radius_px: float) -> np.ndarray:
    """1 on a soft-edged disk around a continuous place (0 at the outer corner), else 0."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    return np.clip(radius_px + 0.5 - np.hypot(columns - xy_px[0], rows - xy_px[1]), 0, 1)


def halves(array: np.ndarray) -> tuple[np.ndarray, ...]:
    """A pyramid of two levels by 2 × 2 means; sides are even."""
    half = array.reshape(array.shape[0] // 2, 2, array.shape[1] // 2, 2, *array.shape[2:]).mean(axis=(1, 3))
    return array, half.astype(array.dtype)


@pytest.fixture(scope="session")
def nucleus_um() -> np.ndarray:
    """Where the nucleus lies, (x, y) in H&E µm."""
    return Transform(MATRIX, "morphology_px", "he_px").apply(NUCLEUS_PX)[0] * MPP


@pytest.fixture(scope="session")
def one_nucleus(nucleus_um: np.ndarray) -> ShownSection:
    """One dark nucleus on a pink slide, bright in DAPI, in one cell of the map of MARK; half of the map is NaN."""
    pink = np.array([230, 160, 200], dtype=np.float64)
    dark = disk(HE_SHAPE, nucleus_um / MPP, RADIUS_UM / MPP)[..., None]
    slide = np.round(pink * (1 - dark) + 40 * dark).astype(np.uint8)
    bright = disk((900, 1400), NUCLEUS_PX[0], RADIUS_UM / MORPHOLOGY_MPP)
    dapi = Image(halves((100 + 9000 * bright).astype(np.uint16)), MORPHOLOGY_MPP, None, "DAPI")
    he = Image(halves(slide), MPP, None, "he")
    warped = warped_pyramid(dapi, Transform(MATRIX, "morphology_px", "he_px"), HE_SHAPE, MPP)
    return ShownSection(Path("one.section.zarr"), he, (("run", warped),), marked_maps(nucleus_um))


def marked_maps(nucleus_um: np.ndarray) -> Expression:
    """Two genes on 8 µm: MARK is 5 where the nucleus is and 1 elsewhere, EVEN is 2; the left half is NaN."""
    rows, columns = -(-HE_SHAPE[0] // 16), -(-HE_SHAPE[1] // 16)
    level = np.ones((2, rows, columns), dtype=np.float16)
    level[1] = 2
    level[0, int(nucleus_um[1] // 8), int(nucleus_um[0] // 8)] = 5
    level[:, :, : columns // 2] = np.nan
    measured = np.zeros((rows, columns), dtype=np.uint8)
    measured[:20], measured[20:30] = 2, 1
    contrast = np.array([[1, 5], [0, 3]], dtype=np.float32)
    return Expression((level,), GeneTable(("MARK", "EVEN")), 8.0, contrast, measured, "first")


@pytest.fixture
def small_section(imported_section: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of `imported_section` of the test's own: a window keeps in a section how it was left."""
    copy = Path(shutil.copytree(imported_section, tmp_path_factory.mktemp("small") / imported_section.name))
    move_references(copy, imported_section.parent)
    return copy


@pytest.fixture(scope="session")
def imported_section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """The simulated run imported and registered, with maps of two genes: a ramp, and a larger one across. Only read."""
    store = import_section(
        tmp_path_factory.mktemp("gui") / "small.section.zarr", small_run.he, XeniumSource(bundle=small_run.bundle)
    )
    register_matrix(store, small_run.folder / "he_imagealignment.csv")
    write_maps(store)
    return store.path


def write_maps(store: SectionStore) -> None:
    """A map that grows along columns (LOW, 0 to 1) and one that grows along rows (HIGH, 0 to 10)."""
    from napari_pixelgene.arithmetic.tiles import tiles

    grid = grid_of(store)
    rows, columns = grid.yx_shape
    down, right = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j].astype(np.float32)
    planes = np.stack([right, 10 * down])
    writer = begin_maps(store, "first", GeneTable(("LOW", "HIGH")), grid, "made by hand")
    for tile in tiles(grid.yx_shape, writer.tile_side):
        writer.write(tile, planes[(slice(None), *tile.region)])
    writer.finish(np.full(grid.yx_shape, 2, dtype=np.uint8))


@pytest.fixture(scope="session")
def unregistered(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> Path:
    """The small run on its slide seen in a mirror: turned by 93.5°, mirrored, with a perspective; not registered."""
    folder = tmp_path_factory.mktemp("mirror")
    pixels = np.asarray(read_image(small_run.he).levels[0][...])[:, ::-1]
    tifffile.imwrite(folder / "he.tif", np.ascontiguousarray(pixels), tile=(256, 256), photometric="rgb")
    settings = ImportSettings(mpp=MPP, name="run")
    return import_section(
        folder / "mirror.section.zarr", folder / "he.tif", XeniumSource(bundle=small_run.bundle), settings
    ).path


@pytest.fixture(scope="session")
def truth(small_run: SimulatedRun, unregistered: Path) -> Transform:
    """From morphology pixels to the mirrored slide's."""
    width = read_image(unregistered.parent / "he.tif", MPP).yx_shape[1]
    flip = np.array([[-1.0, 0, width], [0, 1, 0], [0, 0, 1]])
    return Transform(flip @ small_run.morphology_to_he, "morphology_px", "he_px")


@pytest.fixture
def section(unregistered: Path, tmp_path: Path) -> Path:
    """A copy to write into; the files it refers to stay where they are."""
    copy = unregistered.with_name(f"{tmp_path.name}.section.zarr")
    shutil.copytree(unregistered, copy)
    return copy


@pytest.fixture
def person(make_napari_viewer, qtbot):
    one = Person(make_napari_viewer(show=True), qtbot)
    yield one
    vars(one).clear()  # pytest holds it until after napari has looked for leaked canvases
