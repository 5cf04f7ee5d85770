"""The verdict as the window shows it, without a window: its picture, its line, and when it holds no more."""

from __future__ import annotations

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.verdict import SEEN, UNKNOWN, UNLIKE, QualityMap, Verdict
from napari_pixelgene.gui.register.pairs import Pair, Pairs
from napari_pixelgene.gui.register.quality import Judged, line, picture, scale_end


def quality_map() -> QualityMap:
    """Three squares of 200 µm on a slide of 700 × 500: seen at (0, 1), unlike at (2, 0), unknown at (3, 2)."""
    place = np.array([[60.0, 290.0], [555.0, 20.0], [640.0, 470.0]])
    shift = np.array([[3.0, -4.0], [np.nan, np.nan], [np.nan, np.nan]])
    nan = np.full(3, np.nan)
    return QualityMap(place, shift, np.array([SEEN, UNLIKE, UNKNOWN]), nan, nan, nan, 200.0, 40.0)


def test_the_map_lies_where_its_places_are():
    asked = []

    def colours(values):
        asked.append(values)
        return np.tile([0.0, 1.0, 0.0, 1.0], (len(values), 1))

    def under_run(um):
        return (um[:, 0] > 210) & (um[:, 1] > 210)

    rgba, pixel = picture(quality_map(), (700.0, 500.0), colours, under_run)
    assert rgba.shape == (int(np.ceil(500 / pixel)), int(np.ceil(700 / pixel)), 4)  # no farther than the slide
    assert asked[0][0] == 5 / scale_end(quality_map()) == 0.5

    def at(x, y):
        return rgba[int(y / pixel), int(x / pixel)]

    def square(x, y):
        """Of the lattice, from its upper left corner."""
        rows, columns = (slice(int(v / pixel), int((v + 200) / pixel)) for v in (y, x))
        return rgba[rows, columns]

    assert tuple(at(12, 300)) == (0, 255, 0, 255) and at(100, 300)[3] == 0  # a frame: what it judges is seen in it
    assert tuple(at(412, 100)) == (255, 140, 26, 255) and tuple(at(500, 100)) == (20, 20, 20, 255)  # framed, crossed
    assert (square(400, 0)[..., 3] > 0).mean() < 0.5 and (square(0, 200)[..., 3] > 0).mean() < 0.4
    # Nothing to compare is hatched, on the tissue as off it, as far as the run lies.
    for x, y in ((600, 400), (200, 200), (400, 300)):
        hatched = square(x, y)
        assert 0.1 < (hatched[..., 3] > 0).mean() < 0.4 and set(np.unique(hatched[..., 0])) == {0, 20, 245}
    assert not square(0, 0)[..., 3].any() and not square(200, 0)[..., 3].any()


def judged(level, basis="nuclei", **numbers) -> Verdict:
    return Verdict(level, basis, "", (), numbers, (), quality_map())


def test_the_line_has_sign_word_and_numbers():
    verdict = judged("good", median_error_um=1.94, worst_seen_um=4.2, loo_rmse_um=3.06)
    assert line(verdict) == "● Good: median 1.9 µm, worst 4.2 µm, pairs left out 3.1 µm"
    assert line(judged("look here", "pairs", median_error_um=6.0, worst_seen_um=None)) == (
        "▲ Look here (by the pairs alone): median 6.0 µm"
    )
    assert line(judged("look here", "outlines", median_error_um=12.0)) == (
        "▲ Look here (by outlines and pairs): median 12.0 µm"
    )
    assert line(judged("do not use", "nothing")) == "✗ Do not use: nothing to judge it by"
    wrong = judged("do not use", "pairs", median_error_um=0.6, loo_rmse_um=1.1, places_unlike=35, places=42)
    assert line(wrong) == "✗ Do not use: nuclei do not agree, at 35 of 42 places"


def test_a_verdict_holds_for_the_pairs_and_the_transform_it_was_made_on():
    pairs = Pairs((Pair((1.0, 2.0), (3.0, 4.0)),), None, 0)
    transform = Transform(np.diag([2.0, 3.0, 1.0]), "morphology_px", "he_px")
    made = Judged(judged("good"), pairs, transform)
    assert made.holds(pairs.select(None), Transform(transform.matrix.copy(), "morphology_px", "he_px"))
    assert not made.holds(pairs.enabled(0, False), transform)
    assert not made.holds(pairs, Transform(np.diag([2.0, 3.1, 1.0]), "morphology_px", "he_px"))
    assert not made.holds(pairs, None) and not Judged(judged("good"), None, None).holds(pairs, transform)
