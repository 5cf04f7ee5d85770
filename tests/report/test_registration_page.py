"""The page on a registration says the sentence it was given, shows places by letters, and tells what is unknown."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from napari_pixelgene.elements.verdict import SEEN, UNKNOWN, UNLIKE, QualityMap, Verdict, WorstPlace
from napari_pixelgene.report.content import CloseUp, Picture, RegistrationContent
from napari_pixelgene.report.quality_plots import checkerboard, crops_figure, grey, map_figure, scale_end
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


def test_the_sentence_is_on_top_and_escaped() -> None:
    page = build_registration_report(content())
    top = page[page.index("<h1>") :]
    assert top.index("Look here: &lt;nuclei&gt; &amp; so on.") < top.index("<h2>") and "A&amp;B" in page
    assert 'class="verdict doubt"' in page and "A reason." in page
    assert page.count("<img") == 2 and 'src="http' not in page and "given as a matrix" in page
    good = build_registration_report(replace(content(), verdict=replace(VERDICT, level="good")))
    assert 'class="verdict doubt"' not in good


def test_places_have_letters_and_reasons() -> None:
    page = build_registration_report(content())
    rows = page[page.index("Where to look first") :]
    assert rows.index(">A<") < rows.index("24.0 µm apart") < rows.index(">B<") < rows.index("not alike")
    blind = build_registration_report(replace(content(), crops=()))
    assert "no image to lay" in blind and blind.count("<img") == 1


def test_the_map_tells_unknown_from_unlike_and_good() -> None:
    """Two coloured discs and one hatched on the left; three and one, without the cross, on the right."""
    left, right = map_figure(HE, MAP, [p.xy_um for p in WORST]).axes[:2]
    assert [len(axes.patches) for axes in (left, right)] == [2 + 1, 3 + 1]
    assert [sum(patch.get_hatch() is not None for patch in axes.patches) for axes in (left, right)] == [1, 1]
    assert left.patches[0].get_facecolor() != left.patches[1].get_facecolor()
    texts = [text.get_text() for text in left.texts]
    assert "A" in texts and "B" in texts and "200 µm" in texts
    assert scale_end(MAP.distance_um) == 24.0 and scale_end(np.array([2.0])) == 10.0


def test_the_arrows_are_the_shift_that_mends() -> None:
    """Downwards on the slide is downwards on the page: y grows down."""
    axes = map_figure(HE, MAP, []).axes[0]
    (arrows,) = [c for c in axes.collections if type(c).__name__ == "Quiver"]
    times = float(axes.get_title(loc="left").rsplit(" ", 1)[1])
    assert arrows.U.tolist() == pytest.approx([3 * times, 0]) and arrows.V.tolist() == pytest.approx(
        [-4 * times, 24 * times]
    )
    assert axes.get_ylim()[0] > axes.get_ylim()[1]


def test_squares_take_turns() -> None:
    """The first 40 µm square is the H&E, its neighbours the other image with bright nuclei dark."""
    one = crop(0)
    board = checkerboard(one.he, grey(one.moving))
    assert (board[:40, :40] == one.he.rgb[:40, :40]).all() and (board[40:, 40:80] == one.he.rgb[40:, 40:80]).all()
    bright = one.moving[:40, 40:80] > 3900
    assert board[:40, 40:80][bright].max() < 60 and board[:40, 40:80][one.moving[:40, 40:80] < 100].min() > 240


def test_an_rgb_image_is_compared_by_what_it_absorbs() -> None:
    """Dark is much, as in a fluorescence image bright is."""
    rgb = np.full((4, 5, 3), 250, np.uint8)
    rgb[1, 2] = (90, 60, 140)
    assert grey(rgb)[1, 2] == 165 and grey(rgb)[0, 0] == 5


def test_three_places_leave_no_empty_frame() -> None:
    figure = crops_figure([crop(0), crop(1), crop(2)], "ABC", "DAPI")
    assert sum(axes.get_visible() for axes in figure.axes) == 6
