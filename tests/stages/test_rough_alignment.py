"""A first placement from coarse images: simulated runs at any turn, real sections, and what it says in doubt."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.tiles import Tile, tiles
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import Cancelled, RegistrationError
from napari_pixelgene.progress import Event, Progress
from napari_pixelgene.simulate.cells import Population
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.histology import Histology
from napari_pixelgene.simulate.morphology import Morphology
from napari_pixelgene.simulate.placement import morphology_to_he
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP, SimulationSettings
from napari_pixelgene.stages import rough_alignment
from napari_pixelgene.stages.rough_alignment import agreements, align_roughly, compare_outlines, described

HER2ST = Path(__file__).parents[3] / "shared" / "data" / "her2st"
HE_BY, DAPI_BY = 16, 32


def drawn(render: Callable[[Tile], np.ndarray], yx_shape: tuple[int, int], by: int) -> np.ndarray:
    """Means over `by` × `by` pixels, without ever holding them all."""
    rows = []
    for tile in tiles((yx_shape[0] // by * by, yx_shape[1] // by * by), 32 * by):
        pixels = render(tile).astype(np.float32)
        h, w = pixels.shape[0] // by, pixels.shape[1] // by
        if tile.index[1] == 0:
            rows.append([])
        rows[-1].append(pixels.reshape(h, by, w, by, -1).mean((1, 3)))
    return np.concatenate([np.concatenate(row, axis=1) for row in rows]).squeeze()


def slide(seed: int, rotation_deg: float) -> tuple[Image, np.ndarray, np.ndarray]:
    """The H&E, the DAPI pixels and the matrix between them, all coarse."""
    settings = SimulationSettings(
        width_um=1000, height_um=820, genes=24, hidden_genes=8, seed=seed, rotation_deg=rotation_deg, measured=0.8
    )
    population = Population(settings)
    morphology = Morphology(Detection.of(settings, population))
    he = drawn(Histology(settings, population).render, settings.he_shape, HE_BY)
    dapi = drawn(morphology.render, morphology.yx_shape, DAPI_BY)
    matrix = np.diag([1 / HE_BY, 1 / HE_BY, 1]) @ morphology_to_he(settings).matrix @ np.diag([DAPI_BY, DAPI_BY, 1])
    return Image((np.rint(he).astype(np.uint8),), 0.5 * HE_BY, None, "the H&E"), dapi, matrix


@pytest.fixture(scope="module")
def slides() -> list[tuple[Image, np.ndarray, np.ndarray]]:
    return [slide(21, 37.0), slide(22, 250.0)]


def turned(pixels: np.ndarray, degrees: float, mirrored: bool, empty: float) -> tuple[np.ndarray, np.ndarray]:
    """Pixels on a canvas of their own, and the matrix from them to the canvas (continuous coordinates)."""
    rows, columns = pixels.shape[:2]
    side, a = int(np.hypot(rows, columns)) + 5, np.deg2rad(degrees)
    matrix = np.eye(3)
    matrix[:2, :2] = np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) @ np.diag([-1 if mirrored else 1, 1])
    matrix[:2, 2] = np.array([side / 2 + 3, side / 2 - 2]) - matrix[:2, :2] @ (columns / 2, rows / 2)
    half = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1]])
    shifted = (np.linalg.inv(half) @ matrix @ half)[:2]
    border = (empty,) * 3
    return cv2.warpAffine(pixels.astype(np.float32), shifted, (side, side), borderValue=border), matrix


def dapi_image(pixels: np.ndarray) -> Image:
    return Image((np.rint(pixels).astype(np.uint16),), DAPI_BY * MORPHOLOGY_MPP, None, "DAPI")


def off_um(found: np.ndarray, true: np.ndarray, xy: np.ndarray, mpp: float) -> float:
    """Median error over points of the moving image."""
    return float(np.median(geometry.residuals(found, xy, geometry.apply_matrix(true, xy)))) * mpp


def inner(yx_shape: tuple[int, ...]) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(0, yx_shape[1], 9), np.linspace(0, yx_shape[0], 9))
    return np.stack([x.ravel(), y.ravel()], axis=1)


@pytest.mark.parametrize(("which", "degrees", "mirrored"), [(0, 0, False), (0, 143, True), (1, -81, True)])
def test_a_run_is_laid_on_its_slide(slides: list, which: int, degrees: float, mirrored: bool) -> None:
    """DAPI that covers a part, turned and mirrored beyond what the simulator does: the placement is clear."""
    fixed, dapi, between = slides[which]
    pixels, turn = turned(dapi, degrees, mirrored, float(dapi.min()))
    fit = align_roughly(fixed, dapi_image(pixels))
    true = between @ np.linalg.inv(turn)
    points = geometry.apply_matrix(turn, inner(dapi.shape))
    assert off_um(fit.matrix, true, points, 8.0) < 10
    assert fit.is_clear and fit.score > 0.47 > 1.3 * fit.runner_up
    assert "rough" in fit.words and described(true) in fit.words


def test_a_corner_of_a_run_is_enough(slides: list) -> None:
    fixed, dapi, between = slides[0]
    rows, columns = dapi.shape
    corner = dapi[rows // 3 :, columns // 4 :]
    shift = np.array([[1, 0, columns // 4], [0, 1, rows // 3], [0, 0, 1.0]])
    assert off_um(align_roughly(fixed, dapi_image(corner)).matrix, between @ shift, inner(corner.shape), 8.0) < 10


def test_another_tissue_is_never_placed_as_if_it_fitted(slides: list) -> None:
    for fixed, moving in ((0, 1), (1, 0)):
        with pytest.raises(RegistrationError, match=r"No placement of DAPI on the H&E .* set pairs by hand"):
            align_roughly(slides[fixed][0], dapi_image(slides[moving][1]))


def test_an_unknown_pixel_size_is_found(slides: list, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the matrix between pixels is asked for; the scale is not given."""
    monkeypatch.setattr(rough_alignment, "_SCALE_REACH", 1.15)  # three scales: the test is quick
    fixed, dapi, between = slides[0]
    image = dapi_image(dapi)
    unknown = Image(image.levels, None, None, "DAPI")
    assert off_um(align_roughly(fixed, unknown).matrix, between, inner(dapi.shape), 8.0) < 10


def test_ink_does_not_lead_astray(slides: list) -> None:
    """A blue and a black stroke, as broad as a pen, across the slide."""
    fixed, dapi, between = slides[0]
    inked = np.array(fixed.levels[0])
    cv2.line(inked, (5, 10), (110, 60), (40, 70, 170), 9)
    cv2.line(inked, (15, 95), (60, 5), (12, 10, 14), 6)
    fit = align_roughly(Image((inked,), 8.0, None, "the H&E"), dapi_image(dapi))
    assert off_um(fit.matrix, between, inner(dapi.shape), 8.0) < 10
    assert fit.score > 0.5  # 0.30 where ink is taken for tissue


def test_an_outline_that_fits_twice_says_so() -> None:
    """An ellipse of even tissue fits as well upside down: both placements are named."""
    yy, xx = np.mgrid[:120, :160] + 0.5
    inside = ((xx - 80) / 60) ** 2 + ((yy - 60) / 35) ** 2 < 1
    he = np.where(inside[..., None], np.array([150, 90, 160]), 244).astype(np.uint8)
    fit = align_roughly(Image((he,), 16.0, None, "the H&E"), Image((np.where(inside, 900, 40),), 16.0, None, "DAPI"))
    assert not fit.is_clear and fit.words.startswith("Two placements are nearly as good")
    assert fit.other is not None and fit.runner_up > 0.95 * fit.score


def test_an_empty_image_is_an_error(slides: list) -> None:
    with pytest.raises(RegistrationError, match=r"DAPI shows nothing to align by.*another image"):
        align_roughly(slides[0][0], Image((np.full((90, 90), 12, np.uint16),), 8.0, None, "DAPI"))


def test_it_tells_how_far_it_is_and_stops_when_asked(slides: list) -> None:
    heard: list[Event] = []

    def listen(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Progress) and event.stage == "rough alignment" and event.done == 7:
            raise Cancelled

    with pytest.raises(Cancelled):
        align_roughly(slides[0][0], dapi_image(slides[0][1]), on_event=listen)
    assert {e.stage for e in heard if isinstance(e, Progress)} == {"rough alignment: reading", "rough alignment"}


def test_a_turn_is_named_as_a_person_sees_it() -> None:
    quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1.0]])  # x goes down: clockwise on the screen
    assert described(quarter) == "turned by 90° clockwise"
    assert described(np.linalg.inv(quarter)) == "turned by 90° anticlockwise"
    assert described(quarter @ np.diag([-1, 1, 1.0])) == "flipped left to right, then turned by 90° clockwise"
    assert described(np.diag([2.0, 2, 1])) == "unturned"


@pytest.mark.skipif(not HER2ST.is_dir(), reason="the real sections of ../shared are not here")
@pytest.mark.parametrize(("moving", "fixed", "degrees"), [("C3", "C4", 128), ("C4", "C2", -60)])
def test_neighbouring_sections_of_a_tumour(moving: str, fixed: str, degrees: float) -> None:
    """As the authors aligned them by hand: `warped` superposes the sections."""
    import pandas as pd

    def read(name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        small = cv2.imread(str(HER2ST / f"{name}-he.jpg"), cv2.IMREAD_REDUCED_COLOR_8)[..., ::-1]
        spots = pd.read_csv(HER2ST / f"{name}-clusters.tsv.gz", sep="\t").dropna()
        pixel, warped = (spots[[f"{kind}_x", f"{kind}_y"]].to_numpy(float) for kind in ("pixel", "warped"))
        return small, pixel / 8, geometry.fit_rigid(pixel / 8, warped / 8)

    still, _, still_to_common = read(fixed)
    pixels, spots, to_common = read(moving)
    canvas, turn = turned(pixels, degrees, True, float(np.percentile(pixels, 95)))
    image = Image((np.rint(canvas).astype(np.uint8),), 0.69 * 8)
    fit = align_roughly(Image((np.ascontiguousarray(still),), 0.69 * 8), image)
    true = np.linalg.inv(still_to_common) @ to_common @ np.linalg.inv(turn)
    assert off_um(fit.matrix, true, geometry.apply_matrix(turn, spots), 0.69 * 8) < 100
    assert fit.is_clear


def test_outlines_tell_how_far_a_placement_lies_off_and_where_it_would_lie(
    slides: list[tuple[Image, np.ndarray, np.ndarray]],
) -> None:
    """Laid truly they hardly move; 240 µm aside they move back by that; mirrored they say where they belong."""
    he, dapi, true = slides[1]
    places = np.stack(np.meshgrid(np.linspace(200, 800, 4), np.linspace(200, 650, 3)), -1).reshape(-1, 2)
    moving = dapi_image(dapi)
    right = compare_outlines(he, moving, true, places)
    assert right.shift_um < 12 and not right.elsewhere and right.agreement > 0.9 * right.best > 0.3
    aside = np.array([[1, 0, -144 / he.require_mpp()], [0, 1, 192 / he.require_mpp()], [0, 0, 1]])
    off = compare_outlines(he, moving, aside @ true, places)
    assert off.agreement < 0.7 * right.agreement
    assert off.elsewhere or off.shift_um == pytest.approx(240, abs=25)
    flip = np.array([[-1.0, 0, dapi.shape[1]], [0, 1, 0], [0, 0, 1]])
    over = compare_outlines(he, moving, true @ flip, places)
    back = described(true @ flip @ np.linalg.inv(true))  # from where it lies now
    assert over.elsewhere.startswith(f"{back} and moved by ") and over.best == pytest.approx(right.best, abs=0.02)


def test_a_large_image_without_coarse_levels_is_not_read_for_a_moments_look() -> None:
    """Not a pixel is touched: the array would say so."""

    class Untouched:
        shape, dtype, ndim = (12_000, 9_000, 3), np.dtype(np.uint8), 3

        def __getitem__(self, key: object) -> np.ndarray:
            raise AssertionError("it was read")

    large, small = Image((Untouched(),), 0.5, None, "large"), Image((np.zeros((600, 700, 3), np.uint8),), 0.5, None, "")
    with pytest.raises(RegistrationError, match="large has no coarse level to compare tissue on"):
        agreements(small, large, [np.eye(3)])
