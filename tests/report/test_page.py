"""The page holds everything it shows, says the numbers it was given, and praises nothing that a control reaches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Candidate, Keypoints, Transform
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.scores import CHANCE, HELD_OUT_R, QuantityScores, SectionScores
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.report.content import AlignmentContent, CloseUp, GenePanel, Picture, ReportContent, TruthContent
from napari_pixelgene.report.page import build_report, doubtful, flat

GENES = ("A&B<i>", "ERBB2", "ZZZ3", "H1")


def quantity(
    pearson: FloatArray, controls: Mapping[str, float], reasons: Mapping[str, str] | None = None
) -> QuantityScores:
    """Scores whose controls are the same for every gene."""
    n = len(pearson)
    return QuantityScores(
        pearson, pearson / 2, 1 + pearson, {k: np.full(n, v) for k, v in controls.items()}, reasons or {}
    )


def section(shift: float = 0.0) -> SectionScores:
    """Four genes, mean log r 0.4275 + shift, with an easy explanation at 0.21 and a ceiling at 0.83."""
    log = np.array([0.71, 0.52, 0.44, 0.04]) + shift
    controls = {"permuted": 0.013, "total_only": 0.21, "nuclear": 0.17, "ceiling": 0.83}
    missing = {"position": "the sections <are> not registered"}
    small = (
        quantity(log / 3, {"permuted": 0.0, "ceiling": 0.37}),
        quantity(log / 4, {"permuted": 0.0, "ceiling": 0.39}),
    )
    return SectionScores(
        "breast & co", GENES, 1234, 24.0, ("GONE1",), quantity(log, controls, missing),
        quantity(log + 0.1, {**controls, "total_only": 0.59}, missing), (small[0], small[1]),
        np.array([10.0, 20_000.0, 31.0, 47.0]),
    )  # fmt: skip


def alignment() -> AlignmentContent:
    moving = np.array([[10.0, 20], [400, 30], [390, 310], [20, 300]])
    fixed = moving * 0.5 + 7
    found = Transform(
        np.diag([0.5, 0.5, 1]), "morphology_px", "he_px", "affine", np.ones(4), np.array([1.31, 0.4, 2.76, 0.9]),
        np.array([True, True, False, True]), np.array([2.0, 0.7, 5.87, 1.4]),
    )  # fmt: skip
    rgb = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    close = CloseUp(Picture(rgb, 0.5, (60.0, 70.0)), rgb[..., 0], "Middle")
    kinds = (Candidate("affine", 1.17, 1.0, 2.76, 3.19, 1.8), Candidate("homography", why_not="needs 5 pairs"))
    return AlignmentContent(
        found, Keypoints(moving, fixed), fixed, np.full((4, 2), 1.5), kinds, "affine: of all <kinds>",
        ("Pair 3 is off.",), (close,), np.array([0.5, 3.53]),
    )  # fmt: skip


def content() -> ReportContent:
    y, x = np.mgrid[:12, :17]
    panel = GenePanel("A&B<i>", "best", x * 1.0, y * 1.0, 0.7119, 0.0131, 0.8312, truth=x + y * 1.0, pooled_um=24.0)
    return ReportContent(
        "Report of <b>me</b>",
        [section()],
        [panel],
        "Held out, every place.",
        Picture(np.full((48, 68, 3), 200, dtype=np.uint8), 2.0),
        alignment(),
        Tissue(x > 5, "Otsu <1>"),
        truth=TruthContent(("types", "types", "gradient", "hidden"), np.array([0.8, 0.7, 0.6, 0.5])),
        history=[{"epoch": 1, HELD_OUT_R: 0.2, CHANCE: 0.01}, {"epoch": 2, HELD_OUT_R: 0.3, CHANCE: -0.01}],
        seconds={"features": 61.25, "train": 17.5},
        settings={"Training": {"folds": {"block_um": 437.5}, "genes": "top:<300>", "spot": None}},
        versions={"numpy": "2.9.1"},
        done=["Simulated & measured."],
        summary=["In short."],
        notes=["7 of 9 units <left> out."],
    )


@pytest.fixture(scope="module")
def page() -> str:
    return build_report(content())


def words(page: str) -> str:
    """What a person reads: text without tags, entities resolved."""
    read: list[str] = []
    parser = HTMLParser()
    parser.handle_data = read.append  # type: ignore[method-assign]
    parser.feed(re.sub(r"<style>.*?</style>", "", page, flags=re.S))
    return " ".join(" ".join(read).split())


def test_the_page_refers_to_nothing_outside_itself(page: str) -> None:
    assert not re.search(r"https?:|file:|//[a-z]|@import|url\(|<script|<link", re.sub(r'base64,[^"]+', "", page))
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    assert len(sources) == 7  # scores, reached, one gene, alignment, tissue, history, times
    assert all(re.match(r"data:image/(png|jpeg);base64,", source) for source in sources)
    assert all(re.findall(r'<img alt="([^"]*)"', page)), "every picture says what it shows"


def test_the_numbers_are_on_the_page(page: str) -> None:
    text = words(page)
    for said in (
        "model 0.43 0.53 0.14 0.11",  # means over genes: log, counts, and both at 8 µm
        "total only 0.21 0.59 – –",
        "noise ceiling 0.83 0.83 0.37 0.39",
        "1,234 squares of 24 µm of breast & co",
        "all the histology shows 3 0.56 0.70 0.83 0.01 80%",
        "hidden (not shown) 1 0.04 0.50",
        "held-out r 0.71 · chance 0.01 · ceiling 0.83",
        "Median residual 1.10 µm, worst 2.76 µm. Median error when left out 1.70 µm, worst 5.87 µm.",
        "3.53 µm off at the worst corner",
        "affine 1.17 2.76 3.19 1.80",
        "folds.block_um 437.5",
        "spot not set",
        "numpy 2.9.1",
        "ERBB2 types 20,000 0.52 0.01 0.83 0.62",
    ):
        assert said in text, said
    assert "features 61.2 s; train 17.5 s" in page  # what a screen reader says of the bars


def test_names_from_outside_are_escaped(page: str) -> None:
    assert "A&amp;B&lt;i&gt;" in page and "A&B<i>" not in page
    assert "Report of &lt;b&gt;me&lt;/b&gt;" in page and "<b>me" not in page
    assert "Otsu &lt;1&gt;" in page and "&lt;left&gt;" in page and "top:&lt;300&gt;" in page


def test_what_is_missing_is_said_with_its_reason(page: str) -> None:
    text = words(page)
    assert "position alone – – – – not available: the sections <are> not registered" in text
    assert "Not measured here and not scored: GONE1." in text
    assert "needs 5 pairs" in text


def test_the_verdict_follows_the_controls() -> None:
    good, weak, nothing = section(), section(-0.25), section(-0.42)
    assert not doubtful([good]) and doubtful([weak]) and doubtful([nothing])
    pages = [build_report(ReportContent("Scores", [s])) for s in (good, weak, nothing)]
    firsts = [re.search(r'<p class="(verdict[^"]*)">(.*?)</p>', page) for page in pages]
    kinds = [first.group(1) for first in firsts if first]
    assert kinds == ["verdict", "verdict doubt", "verdict doubt"]
    assert "every simple control less" in pages[0]
    assert "not above" in pages[1] and "total" in pages[1]
    assert "not better than chance" in pages[2]


def test_a_real_run_has_no_truth_and_may_have_little_else() -> None:
    page = build_report(ReportContent("Only scores", [section()]))
    text = words(page)
    assert "model 0.43" in text
    for absent in ("true rates", "Alignment", "Tissue", "Training", "Time", "Settings", "types", "Best, median"):
        assert absent not in text, absent
    assert page.count("<img") == 2


def test_nested_settings_are_flat() -> None:
    values = {"a": {"b": 1, "c": {"d": None}}, "e": {}}
    assert dict(flat(values)) == {"a.b": "1", "a.c.d": "not set", "e": "not set"}


def test_chance_is_never_minus_nothing() -> None:
    good = section()
    log = quantity(good.log.pearson, {"permuted": -0.0012, "ceiling": 0.83})
    first = build_report(ReportContent("Scores", [replace(good, log=log)])).split("</p>")[0]
    assert "chance gives 0.00" in first
