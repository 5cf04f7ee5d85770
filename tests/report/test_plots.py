"""Figures show the arrays they were given, at the right place and on one scale."""

from __future__ import annotations

import base64
from io import BytesIO

import matplotlib
import numpy as np
import pytest
from PIL import Image

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.scores import QuantityScores, SectionScores
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.report.canvas import data_uri, new_figure
from napari_pixelgene.report.content import AlignmentContent, GenePanel, Picture, TruthContent, ranked
from napari_pixelgene.report.gene_plots import gene_figure
from napari_pixelgene.report.markup import number
from napari_pixelgene.report.score_plots import reached_figure, scores_figure, series, timings_figure
from napari_pixelgene.report.slide_plots import alignment_figure, arrow_times, composite, tissue_figure


def maps() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Three maps of 9 × 14 superpixels: the brightest is the truth, the predicted has a hole."""
    y, x = np.mgrid[:9, :14].astype(float)
    predicted = x + y
    predicted[2, 3] = np.nan
    return x, predicted, 3 * x


def test_a_gene_is_shown_in_order_on_one_scale_in_micrometres() -> None:
    measured, predicted, truth = maps()
    figure = gene_figure(GenePanel("G", "best", measured, predicted, 0.5, 0.0, 0.8, truth, pooled_um=24))
    images = [axes.images[0] for axes in figure.axes if axes.images]
    for image, values in zip(images, (measured, predicted, truth), strict=True):
        assert np.array_equal(np.ma.filled(image.get_array(), np.nan), values, equal_nan=True)
        assert image.get_clim() == (0.0, pytest.approx(np.percentile(truth, 99.5)))
        assert list(image.get_extent()) == [0, 14 * 8, 9 * 8, 0]
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == [
        "Measured (mean over 24 µm)", "Predicted, held out", "Truth",
    ]  # fmt: skip
    assert figure.axes[-1].get_ylabel() == "expected counts per 8 µm square"


def test_without_truth_there_are_two_maps() -> None:
    figure = gene_figure(GenePanel("G", "best", *maps()[:2], 0.5, 0.0, 0.8))
    assert len([axes for axes in figure.axes if axes.images]) == 2


def scores() -> SectionScores:
    log = np.array([0.6, 0.2, -0.1])
    controls = {"permuted": np.array([0.01, 0.02, -0.03]), "ceiling": np.array([0.9, 0.8, 0.7])}
    both = QuantityScores(log, log, log, controls)
    return SectionScores("s", ("a", "b", "c"), 10, None, (), both, QuantityScores(log + 0.3, log, log, controls))


def test_every_gene_is_a_dot_beside_each_control() -> None:
    truth = TruthContent(("types", "hidden", "types"), np.array([0.85, 0.75, 0.65]))
    figure = scores_figure(scores(), truth)
    left, right = figure.axes
    assert [t.get_text() for t in left.get_xticklabels()] == ["model", "true\nrates", "noise\nceiling", "permuted"]
    assert [np.round(c.get_offsets()[:, 1], 6).tolist() for c in left.collections[::2]] == [
        [0.6, 0.2, -0.1], [0.85, 0.75, 0.65], [0.9, 0.8, 0.7], [0.01, 0.02, -0.03],
    ]  # fmt: skip
    assert np.allclose(right.collections[0].get_offsets()[:, 1], [0.9, 0.5, 0.2])
    colours = left.collections[0].get_facecolors()
    assert np.array_equal(colours[0], colours[2]) and not np.array_equal(colours[0], colours[1])
    assert [t.get_text() for t in figure.legends[0].get_texts()] == ["types (2 genes)", "hidden (1 gene)"]


def test_missing_controls_are_left_out() -> None:
    assert list(series(scores().log)) == ["model", "noise ceiling", "permuted"]
    dots = reached_figure(scores()).axes[0].collections[-1].get_offsets()
    assert np.allclose(dots, [[0.9, 0.6], [0.8, 0.2], [0.7, -0.1]])


def test_bars_are_the_seconds() -> None:
    axes = timings_figure({"features": 40.5, "train": 12.0}).axes[0]
    assert [bar.get_width() for bar in axes.patches] == [40.5, 12.0]
    assert "52 s" in axes.get_title(loc="left")


def test_arrows_point_where_the_transform_puts_the_pairs() -> None:
    he = Picture(np.full((100, 150, 3), 230, dtype=np.uint8), 2.0)
    pairs, offsets = np.array([[50.0, 60], [220, 150]]), np.array([[1.0, 0.0], [0.0, -2.0]])
    transform = Transform(np.eye(3), "morphology_px", "he_px", inlier=np.array([True, False]))
    figure = alignment_figure(he, AlignmentContent(transform, Keypoints(pairs, pairs), pairs, offsets))
    axes = figure.axes[0]
    arrows = axes.collections[-1]
    times = arrow_times(offsets, 300.0)
    assert times == 10 and f"× {times}" in axes.get_title(loc="left")
    assert np.allclose(np.column_stack([arrows.U, arrows.V]), offsets * times)
    assert np.allclose(arrows.XY, pairs)
    assert axes.get_xlim() == (0, 300) and axes.get_ylim() == (200, 0)  # y runs down, as on the slide


@pytest.mark.parametrize(("longest", "times"), [(0.0, 500), (0.5, 200), (3.0, 50), (1000.0, 1)])
def test_arrows_stay_on_the_slide(longest: float, times: int) -> None:
    assert arrow_times(np.array([[longest, 0.0], [0.0, -longest / 3]]), 3000.0) == times


def test_nuclei_that_meet_are_white() -> None:
    """Dark in the H&E's red: magenta; bright in the moving image: green; both: white; neither: black."""
    he = np.full((10, 10, 3), 240, dtype=np.uint8)
    moving = np.zeros((10, 10))
    he[0, :2], moving[0, 1:3] = 20, 900.0
    drawn = composite(he, moving)
    assert np.allclose(drawn[0, :4].round(), [[1, 0, 1], [1, 1, 1], [0, 1, 0], [0, 0, 0]])


def test_tissue_is_named_and_the_rest_is_paled() -> None:
    mask = np.zeros((6, 9), dtype=bool)
    mask[1:4, 2:7] = True
    figure = tissue_figure(Picture(np.zeros((24, 36, 3), dtype=np.uint8), 2.0), Tissue(mask), 8.0)
    axes = figure.axes[0]
    assert np.array_equal(axes.images[1].get_array()[..., 3] > 0, ~mask)
    assert "28%" in axes.get_title(loc="left")
    outline = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert outline[:, 0].min() == pytest.approx(16) and outline[:, 1].max() == pytest.approx(32)


def test_pictures_are_inside_and_global_state_is_left_alone() -> None:
    before = matplotlib.get_backend()
    figure, _ = new_figure(2, 1)
    for photo, kind in ((False, "PNG"), (True, "JPEG")):
        head, body = data_uri(figure, photo).split(",")
        assert head == f"data:image/{kind.lower()};base64"
        picture = Image.open(BytesIO(base64.b64decode(body)))
        assert (picture.format, picture.size) == (kind, (240, 120))
    assert matplotlib.get_backend() == before
    assert not matplotlib._pylab_helpers.Gcf.figs  # type: ignore[attr-defined]


def test_best_median_and_worst_of_those_with_a_score() -> None:
    assert ranked(np.array([0.1, np.nan, 0.7, -0.2, 0.3, np.nan])) == {"best": 2, "median": 0, "worst": 3}
    assert ranked(np.array([np.nan, 0.4])) == {"best": 1}
    assert ranked(np.array([np.nan])) == {}


@pytest.mark.parametrize(
    ("value", "text"), [(0.666, "0.67"), (-0.256, "−0.26"), (-0.001, "0.00"), (None, "–"), (float("nan"), "–")]
)
def test_numbers_are_short_and_never_minus_nothing(value: float | None, text: str) -> None:
    assert number(value) == text
