"""The features stage: only tissue is read, borders are right, a killed run continues bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy import ndimage

from guarded import GuardedArray
from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.elements.features import Features
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.encoders.stain_texture import StainTexture
from napari_pixelgene.errors import Cancelled, InputError
from napari_pixelgene.progress import Event, Note, Progress
from napari_pixelgene.stages import features
from napari_pixelgene.stages.features import FeatureSettings, encode_tiles, prepare, tissue_statistics

# Work pixels: 150 × 100 superpixels.
YX = (2400, 1600)


class Small(StainTexture):
    """Tiles of 40 superpixels, so that a small slide has twelve."""

    tile_px = 640


@pytest.fixture(scope="module")
def slide() -> np.ndarray:
    rng = np.random.default_rng(0)
    values = ndimage.gaussian_filter(rng.normal(size=(*YX, 3)).astype(np.float32), (3, 3, 0))
    return np.clip(170 + 250 * values, 0, 255).astype(np.uint8)


@pytest.fixture
def image(slide: np.ndarray) -> Image:
    # A tile and its halo, and nothing larger.
    limit = Small.tile_px + 2 * Small.halo_px + 2
    return Image((GuardedArray(slide, (limit, limit)),), mpp=0.5)


@pytest.fixture
def tissue() -> Tissue:
    """Two pieces; the tiles in the middle row hold none."""
    mask = np.zeros((150, 100), bool)
    mask[3:30, 5:70], mask[125:150, 85:100] = True, True
    return Tissue(mask)


GRID = Grid((150, 100), YX)


class Sink:
    def __init__(self) -> None:
        self.array = np.full((150, 100, 87), np.nan, np.float32)
        self.kept: set[tuple[int, int]] = set()
        self.writes = 0

    def done(self, index: tuple[int, int]) -> bool:
        return index in self.kept

    def write(self, tile: Tile, block: np.ndarray) -> None:
        self.array[tile.region] = block
        self.kept.add(tile.index)
        self.writes += 1


def encoded(image: Image, tissue: Tissue, sink: Sink, on_event: object = None) -> np.ndarray:
    encoder = Small()
    state = prepare(image, GRID, tissue, encoder, FeatureSettings(patches=6))
    encode_tiles(image, GRID, tissue, encoder, state, sink, on_event or (lambda e: None))  # type: ignore[arg-type]
    return sink.array


def test_tiles_without_tissue_are_skipped_and_no_read_exceeds_a_tile(image: Image, tissue: Tissue) -> None:
    sink = Sink()
    seen: list[Event] = []
    array = encoded(image, tissue, sink, seen.append)
    assert sink.kept == {(0, 0), (0, 1), (3, 2)}
    assert np.isnan(array[40:120]).all() and np.isfinite(array[tissue.mask]).all()
    guarded = image.levels[0]
    assert isinstance(guarded, GuardedArray) and guarded.largest[0] > 640
    counted = [(e.done, e.total) for e in seen if isinstance(e, Progress)]
    assert counted == [(0, 3), (1, 3), (2, 3), (3, 3)]


def test_nothing_outside_the_tiles_and_their_halos_is_read(slide: np.ndarray, tissue: Tissue) -> None:
    class Seen:
        shape, dtype = slide.shape, slide.dtype
        rows: set[int] = set()  # noqa: RUF012

        def __getitem__(self, key: tuple[slice, ...]) -> np.ndarray:
            self.rows |= set(range(*key[0].indices(YX[0])))
            return slide[key]

    seen = Seen()
    encoded(Image((seen,), mpp=0.5), tissue, Sink())
    assert not seen.rows & set(range(640 + 144 + 1, 1920 - 144 - 1)), "background was read"
    assert {0, 640 + 143, 1920 - 144, 2399} <= seen.rows


def test_tiles_agree_with_the_whole(slide: np.ndarray) -> None:
    class Whole(StainTexture):
        tile_px = 1280

    image, grid = Image((slide[:1272, :950],), mpp=0.5), Grid((80, 60), (1272, 950))
    everywhere = Tissue(np.ones((80, 60), bool))
    state = prepare(image, grid, everywhere, Small(), FeatureSettings(patches=6))
    sinks = [Sink(), Sink()]
    for encoder, sink in zip((Small(), Whole()), sinks, strict=True):
        encode_tiles(image, grid, everywhere, encoder, state, sink)
    assert [sink.writes for sink in sinks] == [4, 1]
    by_tiles, at_once = (sink.array[:80, :60] for sink in sinks)
    np.testing.assert_allclose(by_tiles, at_once, atol=1e-6, rtol=1e-6)


def test_a_killed_run_continues_bit_for_bit(image: Image, tissue: Tissue) -> None:
    undisturbed = encoded(image, tissue, Sink())
    sink = Sink()

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        encoded(image, tissue, sink, kill)
    assert sink.writes == 2
    array = encoded(image, tissue, sink)
    assert sink.writes == 3 and array.tobytes() == undisturbed.tobytes()


def test_what_the_encoder_learns_first_is_seeded_and_of_tissue_only(slide: np.ndarray, tissue: Tissue) -> None:
    image = Image((slide,), mpp=0.5)
    first, again = (prepare(image, GRID, tissue, Small(), FeatureSettings(patches=6)) for _ in range(2))
    assert first["nuclear_threshold"].tobytes() == again["nuclear_threshold"].tobytes()
    other = prepare(image, GRID, tissue, Small(), FeatureSettings(patches=6, seed=1))
    assert other["nuclear_threshold"] != first["nuclear_threshold"]
    dark = slide.copy()
    dark[~tissue.mask.repeat(16, 0).repeat(16, 1)] = 3
    same = prepare(Image((dark,), mpp=0.5), GRID, tissue, Small(), FeatureSettings(patches=6))
    assert same["nuclear_threshold"].tobytes() == first["nuclear_threshold"].tobytes()


def test_statistics_are_those_of_tissue(tissue: Tissue) -> None:
    rng = np.random.default_rng(1)
    array = rng.normal(size=(150, 100, 4)).astype(np.float32) * [1, 2, 0, 1e-2] + [0, 5, 3, 1000]
    array[40:120] = np.nan
    mean, sd = tissue_statistics(GuardedArray(array, (40, 40)), tissue, 40)
    inside = array[tissue.mask].astype(np.float64)
    np.testing.assert_allclose(mean, inside.mean(0), rtol=1e-10)
    np.testing.assert_allclose(sd, inside.std(0), rtol=1e-6, atol=1e-9)
    z = Features(array, tuple("abcd"), "made up", mean, sd).standardised(slice(0, 40), slice(0, 100))
    assert np.abs(z[tissue.mask[:40]]).max() <= 6 and (z[tissue.mask[:40]][:, 2] == 0).all()
    with pytest.raises(InputError, match="tissue mask is empty"):
        tissue_statistics(array, Tissue(np.zeros((150, 100), bool)), 40)


def test_a_coarse_slide_is_told_about() -> None:
    notes: list[Event] = []
    features.warn_if_coarse(Image((np.zeros((9, 9, 3), np.uint8),), mpp=1.5), notes.append)
    features.warn_if_coarse(Image((np.zeros((9, 9, 3), np.uint8),), mpp=1.0), notes.append)
    assert len(notes) == 1 and isinstance(notes[0], Note) and "1.5 µm" in notes[0].text and notes[0].level == "warning"


def test_a_run_forgets_where_weights_lay_on_another_machine(tmp_path: Path) -> None:
    (tmp_path / "uni.bin").write_bytes(b"")
    here = {"encoder": "uni", "weights": str(tmp_path / "uni.bin"), "shifts": 4}
    assert FeatureSettings.of_run(here).weights == tmp_path / "uni.bin"
    elsewhere = FeatureSettings.of_run({**here, "weights": str(tmp_path / "gone.bin")})
    assert elsewhere.weights is None and elsewhere.shifts == 4


def test_what_decides_about_features_is_not_where_their_weights_lie() -> None:
    plain = FeatureSettings(encoder="uni").chosen()
    assert plain == {"encoder": "uni", "patches": 64, "seed": 0} == FeatureSettings(encoder="uni", batch=3).chosen()
    assert FeatureSettings(encoder="uni", weights=Path("a.bin"), download=True).chosen() == plain
    often = FeatureSettings(encoder="uni", shifts=4)
    assert often.chosen()["shifts"] == 4 and often.chosen(has_windows=False) == plain
