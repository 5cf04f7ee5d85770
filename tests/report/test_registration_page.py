"""The page on a registration says the sentence it was given, shows places by letters, and tells what is unknown."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Candidate, Keypoints, Transform
from napari_pixelgene.elements.verdict import SEEN, UNKNOWN, UNLIKE, QualityMap, Verdict, WorstPlace
from napari_pixelgene.report.content import AlignmentContent, CloseUp, Picture, RegistrationContent
from napari_pixelgene.report.quality_plots import (
    checkerboard,
    crops_figure,
    error_figure,
    grey,
    likeness_figure,
    scale_end,
)
from napari_pixelgene.report.registration_page import build_registration_report

RNG = np.random.default_rng(3)
HE = Picture(RNG.integers(120, 255, (90, 140, 3), dtype=np.uint8), 10.0)
MAP = QualityMap(
    np.array([[200.0, 200], [500, 200], [800, 200], [200, 500]]),
    np.array([[3.0, -4.0], [np.nan, np.nan], [np.nan, np.nan], [0.0, 24.0]]),
    np.array([SEEN, UNLIKE, UNKNOWN, SEEN]),
    np.array([0.6, 0.1, np.nan, 0.02]),
    np.array([0.7, 0.2, np.nan, 0.5]),
    np.array([1.0, 2.0, 30.0, np.nan]),
    300.0,
    160.0,
)
WORST = (WorstPlace((200.0, 500.0), 24.0, "nuclei lie 24.0 µm apart"), WorstPlace((500.0, 200.0), np.nan, "not alike"))
VERDICT = Verdict(
    "look here", "nuclei", "Look here: <nuclei> & so on.", ("A reason.",), {"median_error_um": 5.0, "places": 4}, WORST,
    MAP,
)  # fmt: skip


def crop(n: int) -> CloseUp:
    """A close-up of noise."""
    he = Picture(RNG.integers(0, 255, (80, 90, 3), dtype=np.uint8), 1.0, (10.0 * n, 5.0))
    return CloseUp(he, RNG.integers(0, 4000, (80, 90), dtype=np.uint16), "here")


def content() -> RegistrationContent:
    return RegistrationContent("Run on A&B", VERDICT, HE, None, (crop(0), crop(1)), "DAPI", (("section", "x"),))


def fitted(count: int, wrong: int) -> AlignmentContent:
    """So many pairs, the first `wrong` of them left out; pair n is n / 10 µm off, twice that when it is left out."""
    at = np.stack([np.linspace(100, 1300, count), np.linspace(800, 100, count)], axis=1)
    off = np.arange(1, count + 1) / 10
    off[:wrong] += 100
    keypoints = Keypoints(at, at)
    transform = Transform(
        np.eye(3), "morphology_px", "he_px", "affine", residual_px=off, residual_um=off, loo_um=2 * off,
        inlier=np.arange(count) >= wrong,
    )  # fmt: skip
    kinds = (
        Candidate("rigid", 4.5, 4.0, 9.0, 4.6, 4.1),
        Candidate("affine", 2.5, 2.0, 7.0, 2.75, 2.25),
        Candidate("homography", why_not="needs 4 pairs"),
    )
    cautions = [f"Pair {n + 1} was left out: 100.1 µm off." for n in range(wrong)]
    cautions += [f"Pair {n + 1} lies far off. Check it." for n in range(5)]
    return AlignmentContent(transform, keypoints, at, np.stack([off, 0 * off], axis=1), kinds, "affine: so.", cautions)


def without_pictures(alignment: AlignmentContent | None = None) -> str:
    """A page whose words are what matters."""
    nowhere = QualityMap(*(np.zeros((0, 2)),) * 2, np.zeros(0, int), *(np.zeros(0),) * 3, 300.0, 0.0)
    verdict = replace(VERDICT, map=nowhere, worst=())
    return build_registration_report(replace(content(), verdict=verdict, crops=(), alignment=alignment))


def test_the_sentence_is_on_top_and_escaped() -> None:
    page = build_registration_report(content())
    top = page[page.index("<h1>") :]
    assert top.index("▲ Look here: &lt;nuclei&gt; &amp; so on.") < top.index("<h2>") and "A&amp;B" in page
    assert 'class="verdict look-here"' in page and "A reason." in page
    assert page.count("<img") == 3 and 'src="http' not in page and "given as a matrix" in page
    assert 'class="sheet"' in page


def test_places_have_letters_and_reasons() -> None:
    page = build_registration_report(content())
    rows = page[page.index("Where to look first") :]
    assert "A: nuclei lie 24.0 µm apart, at x 200, y 500 µm; B: not alike, at x 500, y 200 µm." in rows
    blind = build_registration_report(replace(content(), crops=()))
    assert "no image to lay" in blind and blind.count("<img") == 2 and 'class="sheet bare"' in blind


def tables(page: str, section: str) -> list[str]:
    """The rows of each table of a section."""
    inside = page[page.index(f'<section class="{section}">') :]
    return [part.count("<tr") - 1 for part in inside[: inside.index("</section>")].split("<table>")[1:]]  # type: ignore[misc]


def test_few_pairs_are_all_told_and_of_many_the_worst() -> None:
    """Five in one block; of ninety the six left out and the thirty that are farthest off, in three blocks of twelve."""
    few = without_pictures(fitted(5, 0))
    assert tables(few, "pairs") == [5] and "other" not in few[few.index('class="pairs"') :] and "✗" not in few
    many = without_pictures(fitted(90, 6))
    assert tables(many, "pairs") == [12, 12, 12]
    pairs = many[many.index('<section class="pairs">') :]
    assert "These are the 36 worst; the other 54 are at most 6.0 µm off." in pairs
    assert ">6 ✗</td>" in pairs and ">61</td>" in pairs and ">60</td>" not in pairs and "not used in the fit" in pairs
    assert '<tr class="strong"><td >6 ✗</td><td >100.6</td><td >201.2</td></tr>' in pairs


def test_every_kind_is_told_with_its_held_out_error() -> None:
    """The one in use stands out; what could not be fitted says why; of many cautions three, of pairs left out none."""
    page = without_pictures(fitted(12, 2))
    models = page[page.index('<section class="models">') :]
    models = models[: models.index("</section>")]
    assert models.count("<tr") == 4 and models.count('class="strong"') == 1 and "needs 4 pairs" in models
    strong = models[models.index('class="strong"') :]
    assert strong.index("affine") < strong.index("2.50") < strong.index("7.00") < strong.index("2.75")
    assert "Recommended: affine: so." in models and "was left out" not in models
    assert "Pair 3 lies far off" in models and "Pair 4 lies" not in models and "and 2 more" in models


def test_it_prints_on_one_sheet_and_fills_one_screen() -> None:
    """In print everything shares one height, and pictures take what text leaves; no figure is wider than its place."""
    page = without_pictures()
    style = page[page.index("<style>") : page.index("</style>")]
    printed = style[style.index("@media print") :]
    assert "size: A4 portrait; margin: 9mm" in style and "height: 270mm; overflow: hidden" in printed
    assert 270 + 7 <= 297 - 2 * 9 + 0.5 and "minmax(0, 1fr)" in printed
    areas = re.findall(r"grid-area: (\w+)", style)
    assert {"top", "map", "crops", "numbers", "models", "pairs", "foot"} <= set(areas)
    for area in ("top", "map", "crops", "numbers", "models", "pairs", "foot"):
        assert area in printed[printed.index("grid-template-areas") :].split(";")[0]


def test_the_map_tells_unknown_from_unlike_and_good() -> None:
    """Two coloured rings through which the tissue shows and one hatched; three rings and one in the second picture."""
    left = error_figure(HE, MAP, [p.xy_um for p in WORST]).axes[0]
    right = likeness_figure(HE, MAP).axes[0]
    assert [len(axes.patches) for axes in (left, right)] == [2 + 1, 3 + 1]
    assert [sum(patch.get_hatch() is not None for patch in axes.patches) for axes in (left, right)] == [1, 1]
    rings = [patch for patch in left.patches if patch.get_hatch() is None]
    assert rings[0].get_edgecolor() != rings[1].get_edgecolor()
    assert all(ring.get_facecolor()[3] < 0.4 and ring.get_edgecolor()[3] == 1 for ring in rings)
    hatched = next(patch for patch in left.patches if patch.get_hatch() is not None)
    assert hatched.get_facecolor()[3] == 0
    texts = [text.get_text() for text in left.texts]
    assert "A" in texts and "B" in texts and "200 µm" in texts
    legend = left.get_legend()
    assert legend is not None and [t.get_text() for t in legend.get_texts()] == [
        "nothing to compare",
        "in both, not alike",
    ]
    assert scale_end(MAP.distance_um) == 24.0 and scale_end(np.array([2.0])) == 10.0


def test_the_map_shows_the_places_and_not_the_rest_of_the_slide() -> None:
    """Within a spacing of the places, and never beyond the slide's edge."""
    axes = error_figure(HE, MAP, []).axes[0]
    assert axes.get_xlim() == (0.0, 1100.0) and axes.get_ylim() == (800.0, 0.0)


def test_without_nuclei_the_map_shows_what_the_pairs_leave_open() -> None:
    """Coloured by the doubt; the second picture has the pairs alone, their residuals enlarged."""
    blank = np.full(4, np.nan)
    blind = replace(MAP, state=np.full(4, UNKNOWN), shift_um=np.full((4, 2), np.nan), similarity=blank)
    figure = error_figure(HE, blind, [])
    axes = figure.axes[0]
    assert axes.get_title(loc="left") == "What the pairs leave open" and figure.axes[1].get_ylabel().startswith(
        "the pairs"
    )
    assert not any(p.get_hatch() for p in axes.patches) and len(axes.patches) == 3
    pairs = likeness_figure(HE, blind, fitted(6, 1))
    assert len(pairs.axes) == 1 and pairs.axes[0].get_title(loc="left").startswith("Pairs, their residual ×")
    (arrows,) = [c for c in pairs.axes[0].collections if type(c).__name__ == "Quiver"]
    times = float(pairs.axes[0].get_title(loc="left").rsplit(" ", 1)[1])
    assert arrows.U.tolist() == pytest.approx([0.2 * times, 0.3 * times, 0.4 * times, 0.5 * times, 0.6 * times])
    assert [t.get_text() for t in pairs.axes[0].texts if t.get_text().isdigit()] == ["1", "2", "3", "4", "5", "6"]


def test_the_arrows_are_the_shift_that_mends() -> None:
    """Downwards on the slide is downwards on the page: y grows down."""
    axes = error_figure(HE, MAP, []).axes[0]
    (arrows,) = [c for c in axes.collections if type(c).__name__ == "Quiver"]
    times = float(axes.get_title(loc="left").rsplit(" ", 1)[1])
    assert arrows.U.tolist() == pytest.approx([3 * times, 0]) and arrows.V.tolist() == pytest.approx(
        [-4 * times, 24 * times]
    )
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_squares_take_turns() -> None:
    """Five squares a side: the first is the H&E, its neighbours the other image with bright nuclei dark."""
    one = crop(0)
    board, side = checkerboard(one.he, grey(one.moving)), 18
    assert (board[:side, :side] == one.he.rgb[:side, :side]).all()
    assert (board[side : 2 * side, side : 2 * side] == one.he.rgb[side : 2 * side, side : 2 * side]).all()
    beside, drawn = one.moving[:side, side : 2 * side], board[:side, side : 2 * side]
    assert drawn[beside > 3900].max() < 60 and drawn[beside < 100].min() > 240


def test_an_rgb_image_is_compared_by_what_it_absorbs() -> None:
    """Dark is much, as in a fluorescence image bright is."""
    rgb = np.full((4, 5, 3), 250, np.uint8)
    rgb[1, 2] = (90, 60, 140)
    assert grey(rgb)[1, 2] == 165 and grey(rgb)[0, 0] == 5


def test_three_places_leave_no_empty_frame() -> None:
    figure = crops_figure([crop(0), crop(1), crop(2)], "ABC", "DAPI")
    assert sum(axes.get_visible() for axes in figure.axes) == 6
    assert [axes.get_title(loc="left") for axes in figure.axes[:3]] == ["A", "B", "C"]
