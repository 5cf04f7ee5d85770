"""Nuclei matched between an H&E and a DAPI image that is turned, mirrored, scaled and in perspective."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import Cancelled, InputError
from napari_pixelgene.progress import Progress
from napari_pixelgene.stages.matching import MatchingSettings, match_places, tangents
from napari_pixelgene.stages.registration import RegistrationSettings, register
from stained import DAPI_MPP, HE_MPP, HE_SHAPE, TRUE, dapi_of, he_of, nuclei_um, pyramid, shifted

# In tissue, without symmetry, and far enough from the border for the window.
PLACES = np.array([[260.0, 130.0], [410.3, 101.7], [545.9, 260.2], [300.1, 377.6], [231.4, 255.5]])


@pytest.fixture(scope="module")
def outlines() -> np.ndarray:
    return nuclei_um(11)[1]


@pytest.fixture(scope="module")
def slide(outlines: np.ndarray) -> Image:
    return he_of(outlines)


@pytest.fixture(scope="module")
def run(outlines: np.ndarray) -> Image:
    return dapi_of(outlines)


@pytest.mark.parametrize("error", [(0.0, 0.0), (17.4, -26.1), (-31.0, 3.7)])
def test_the_error_of_a_transform_is_measured(slide: Image, run: Image, error: tuple[float, float]) -> None:
    """At every place the shift is the error, to 0.3 µm, and the moving point is the one the truth puts there."""
    found = match_places(slide, run, shifted(TRUE, error), PLACES)
    assert found.clear.all() and len(found) == 5
    assert found.shift_um == pytest.approx(np.tile(error, (5, 1)), abs=0.3)
    assert found.distance_um == pytest.approx(np.hypot(*error), abs=0.4)
    assert TRUE.apply(found.moving_px) * HE_MPP == pytest.approx(PLACES, abs=0.3)
    assert (found.score > 0.6).all() and (found.nuclei > 0.05).all()
    # Without a shift nuclei agree only where there was no error.
    assert (found.unmoved > 0.6).all() if error == (0.0, 0.0) else (found.unmoved < 0.2).all()


def test_the_tangent_is_the_transform_nearby() -> None:
    """Exact at the point, and within a twentieth of a pixel 75 µm around it."""
    at = np.array([[200.0, 900.0], [1000.0, 300.0]])
    matrix = tangents(TRUE, at)
    assert matrix.shape == (2, 3, 3)
    for k, xy in enumerate(at):
        near = xy + 75 / DAPI_MPP * np.array([[0, 0], [1, 0], [0, -1], [-0.7, 0.7]])
        by_tangent = near @ matrix[k, :2, :2].T + matrix[k, :2, 2]
        assert by_tangent[0] == pytest.approx(TRUE.apply(near)[0], abs=1e-6)
        assert np.abs(by_tangent - TRUE.apply(near)).max() < 1.0


def test_a_partner_out_of_reach_is_not_found(slide: Image, run: Image) -> None:
    """100 µm off with a radius of 40: nothing is clear; with a radius of 130 everything is."""
    wrong = shifted(TRUE, (-80.0, 60.0))
    assert not match_places(slide, run, wrong, PLACES).clear.any()
    found = match_places(slide, run, wrong, PLACES, MatchingSettings(radius_um=130))
    assert found.clear.all() and found.shift_um == pytest.approx(np.tile((-80.0, 60.0), (5, 1)), abs=0.3)


def test_other_tissue_does_not_match(slide: Image) -> None:
    """The same slide over a run of other nuclei: no place is clear."""
    other = dapi_of(nuclei_um(12)[1])
    assert not match_places(slide, other, TRUE, PLACES).clear.any()


def test_places_without_tissue_or_off_an_image(slide: Image, run: Image) -> None:
    """Glass, a place off the slide and one off the run are no errors, and have no match."""
    places = np.array([[40.0, 250.0], [-300.0, 900.0], [1e5, 1e5], [np.nan, 3.0], [260.0, 130.0]])
    found = match_places(slide, run, TRUE, places)
    assert found.clear.tolist() == [False, False, False, False, True]
    assert np.isnan(found.shift_um[1:4]).all() and not found.score[1:4].any()
    assert len(match_places(slide, run, TRUE, np.zeros((0, 2)))) == 0


def test_one_channel_brightfield_and_the_other_way_round(slide: Image, run: Image) -> None:
    """The H&E in grey still matches; so does the H&E laid onto the run, by the inverse."""
    grey = pyramid(np.asarray(slide.levels[0]).mean(axis=-1).astype(np.uint8), HE_MPP)
    found = match_places(grey, run, shifted(TRUE, (9.0, 14.0)), PLACES)
    assert found.clear.all() and found.shift_um == pytest.approx(np.tile((9.0, 14.0), (5, 1)), abs=0.4)
    there = TRUE.inverse().apply(PLACES / HE_MPP) * DAPI_MPP
    back = match_places(run, slide, TRUE.inverse(), there)
    assert back.clear.all() and (back.distance_um < 0.3).all()


class Watched:
    """A level that remembers how much of it was read at once."""

    def __init__(self, level: np.ndarray) -> None:
        self.level, self.shape, self.dtype, self.most = level, level.shape, level.dtype, 0

    def __getitem__(self, key: object) -> np.ndarray:
        part = np.asarray(self.level[key])
        self.most = max(self.most, part.shape[0] * part.shape[1])
        return part


def test_only_patches_are_read(slide: Image, run: Image) -> None:
    """A window of 60 µm with a reach of 10 needs 80 µm of either image, a little more of the turned one."""
    seen = Image(tuple(Watched(level) for level in slide.levels), HE_MPP)
    moved = Image(tuple(Watched(level) for level in run.levels), DAPI_MPP)
    settings = MatchingSettings(radius_um=10, window_um=60)
    assert match_places(seen, moved, TRUE, PLACES, settings).clear.all()
    assert max(level.most for level in seen.levels) < (80 / HE_MPP + 4) ** 2
    # A turned square needs the upright one around it. The last level was looked at once for its kind.
    assert max(level.most for level in moved.levels[:2]) < (2 * 80 / DAPI_MPP) ** 2


def test_progress_and_cancel(slide: Image, run: Image) -> None:
    """One event before and one after each place; an exception of the callback comes through."""
    seen: list[Progress] = []
    match_places(slide, run, TRUE, PLACES[:3], on_event=seen.append)
    assert [(e.stage, e.done, e.total) for e in seen] == [("matching", k, 3) for k in range(4)]

    def stop(event: Progress) -> None:
        if event.done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        match_places(slide, run, TRUE, PLACES, on_event=stop)


def test_a_slide_without_a_pixel_size_asks_for_it(run: Image) -> None:
    with pytest.raises(InputError, match="pixel size"):
        match_places(Image((np.zeros((*HE_SHAPE, 3), np.uint8),), None), run, TRUE, PLACES)


def test_a_bent_transform_is_measured_where_it_bends(slide: Image, run: Image) -> None:
    """A spline through pairs that are true but for 14 µm in the middle: the shift follows it, place by place."""
    grid = np.stack(np.meshgrid([20.0, 230, 440, 640], [20.0, 170, 330, 480]), axis=-1).reshape(-1, 2)
    bump = 14 * np.exp(-(((grid - (420, 240)) / 130) ** 2).sum(axis=1))[:, None] * (0.8, -0.6)
    pairs = Keypoints(TRUE.inverse().apply(grid / HE_MPP), (grid + bump) / HE_MPP)
    settings = RegistrationSettings(kind="spline", allow_mirror=True, threshold_um=50)
    bent = register(pairs, settings, HE_MPP, DAPI_MPP).transform
    assert bent.bend is not None
    found = match_places(slide, run, bent, PLACES)
    meant = bent.apply(TRUE.inverse().apply(PLACES / HE_MPP)) * HE_MPP - PLACES
    assert found.clear.all() and np.linalg.norm(meant, axis=1).max() > 6
    assert found.shift_um == pytest.approx(meant, abs=0.5)
    assert TRUE.apply(found.moving_px) * HE_MPP == pytest.approx(PLACES, abs=0.5)
