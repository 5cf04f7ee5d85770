"""The gene list, its sentences and its contrast as plain values: no window."""

from __future__ import annotations

import time

import numpy as np
import pytest

from napari_pixelgene.elements.expression import FILTERED, MEASURED, Expression
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.scores import GeneScores
from napari_pixelgene.gui.genes.legend import legend
from napari_pixelgene.gui.genes.looks import Look, measured_limits, percentiles, predicted_limits
from napari_pixelgene.gui.genes.rows import CONTROL, GENE, HELD_OUT, NOT_SCORED, PIN, TOTAL, GeneRows
from napari_pixelgene.gui.genes.sayings import Place, about, at_cursor, at_cursor_short

GENES = GeneTable(
    ("ERBB2", "ERBB3", "CD3E", "erb", "PGR", "MKI67"), ("ENSG01", "ENSG02", "ENSG03", "ENSG04", "ENSG0591", "x")
)
NAN = float("nan")


def scores(**changes: list[float]) -> GeneScores:
    """Of four of the genes, in another order, PGR without a correlation."""
    columns = {
        "held_out_r": [0.2, 0.71, NAN, 0.04],
        "chance": [0.0, 0.012, 0.01, -0.003],
        "total_only": [0.1, 0.3, 0.1, 0.0],
        "nuclear": [0.25, 0.2, 0.1, 0.0],
        "position": [NAN, 0.1, 0.1, 0.0],
        "ceiling": [0.6, 0.9, 0.1, 0.2],
        "total": [30, 402_113, 5, 1_900_000],
    } | changes
    return GeneScores(("CD3E", "ERBB2", "PGR", "MKI67"), **{k: np.array(v) for k, v in columns.items()})


def names(rows: GeneRows, text: str = "", column: int = GENE, descending: bool = False, pins=()) -> list[str]:
    return [rows.genes.symbols[i] for i in rows.order(text, column, descending, pins)]


def test_cells_say_what_is_known():
    rows = GeneRows(GENES, scores())
    assert [rows.text(0, c) for c in (GENE, HELD_OUT, CONTROL, TOTAL, PIN)] == ["ERBB2", "0.71", "0.01", "402 k", "☆"]
    assert rows.text(5, CONTROL) == "0.00" and rows.text(5, TOTAL) == "1.9 M"  # never -0.00
    assert rows.text(2, TOTAL) == "30" and rows.tip(0, TOTAL) == "402,113 counts over the whole section"
    assert rows.text(4, HELD_OUT) == rows.text(1, TOTAL) == "–" and rows.text(1, PIN, pinned=True) == "★"
    assert rows.tip(0, GENE) == "ERBB2 · ENSG01" and rows.tip(4, HELD_OUT) == "This gene was not scored."
    unscored = GeneRows(GENES)
    assert unscored.text(0, HELD_OUT) == "–" and unscored.tip(0, HELD_OUT) == NOT_SCORED
    unscored.fill_totals(GeneTable(("PGR", "NONE", "CD3E")), np.array([7.0, 1, 9]))
    assert [unscored.text(i, TOTAL) for i in range(6)] == ["–", "–", "9", "–", "7", "–"]


def test_scores_are_kept_where_totals_are_filled():
    rows = GeneRows(GENES, scores())
    rows.fill_totals(GENES, np.array([1.0, 2, 3, 4, 5, 6]))
    assert rows.total.tolist() == [402_113, 2, 30, 4, 5, 1_900_000]


def test_what_has_no_number_comes_last_either_way():
    rows = GeneRows(GENES, scores())
    assert names(rows, column=HELD_OUT, descending=True) == ["ERBB2", "CD3E", "MKI67", "ERBB3", "erb", "PGR"]
    assert names(rows, column=HELD_OUT) == ["MKI67", "CD3E", "ERBB2", "ERBB3", "erb", "PGR"]
    assert names(rows, column=GENE, descending=True)[0] == "PGR" and names(rows)[0] == "CD3E"
    assert names(rows, column=PIN, pins=["PGR", "GONE", "erb"])[:2] == ["erb", "PGR"]


def test_a_search_takes_the_symbol_first_then_what_begins_with_it_then_ids():
    rows = GeneRows(GENES, scores())
    assert names(rows, "erb") == ["erb", "ERBB2", "ERBB3"]
    assert names(rows, " ERB ", HELD_OUT, True) == ["erb", "ERBB2", "ERBB3"]
    assert names(rows, "3") == ["CD3E", "ERBB3"]
    assert names(rows, "ensg05") == ["PGR"]
    assert names(rows, "no such gene") == []


def test_eighteen_thousand_genes_are_as_quick_as_a_hundred():
    count = 18_000
    genes = GeneTable(tuple(f"GENE{i}" for i in range(count)), tuple(f"ENSG{i:011d}" for i in range(count)))
    start = time.perf_counter()
    rows = GeneRows(genes)
    opened = time.perf_counter() - start
    start = time.perf_counter()
    found = rows.order("gene1799", GENE, False)
    searched = time.perf_counter() - start
    assert len(found) == 11 and rows.genes.symbols[found[0]] == "GENE1799"
    assert opened < 0.2 and searched < 0.5


@pytest.mark.parametrize(
    ("gene", "says"),
    [
        ("ERBB2", "ERBB2: predicted well on held-out blocks (r 0.71, chance 0.01)."),
        ("CD3E", "CD3E: predicted weakly on held-out blocks (r 0.20, chance 0.00). But counting nuclei (0.25) does better."),  # noqa: E501
        ("MKI67", "MKI67: not better than chance on held-out blocks (r 0.04, chance 0.00). Do not use this map."),
        ("PGR", "PGR: it has no score on held-out blocks, because it hardly varies there."),
        ("ERBB3", "ERBB3: it was not scored, so nobody knows whether this map can be trusted."),
    ],
)  # fmt: skip
def test_a_gene_is_judged_honestly(gene: str, says: str):
    assert about(gene, scores()) == says


def test_what_is_shown_as_the_same_number_is_as_good():
    assert about("CD3E", scores(nuclear=[0.203, 0.1, 0, 0])).endswith("But counting nuclei (0.20) does as well.")


def test_a_run_without_scores_is_not_praised():
    assert "was not scored" in about("ERBB2", None)
    assert "held-out sections" in about("ERBB2", scores(), "sections")
    assert "Do not use" in about("ERBB2", scores(chance=[0, 0.70, 0, 0]))


def test_a_place_says_both_values_and_their_unit():
    unit = "counts per 8 µm square"
    here = Place(1234.4, 56.0, True, 0.4243, 3.0, MEASURED)
    assert at_cursor("ERBB2", unit, here) == (
        "ERBB2 at x 1,234, y 56 µm: predicted 0.42 · measured 3 (counts per 8 µm square)"
    )
    nothing = Place(1.0, 2.0, True)
    assert "background, nothing predicted" in at_cursor("A", unit, nothing)
    assert "never measured here" in at_cursor("A", unit, nothing)
    assert "measured" not in at_cursor("A", unit, here, can_measure=False)
    assert at_cursor_short("A", unit, Place(0, 0, True, 0.0123, 0.5, FILTERED)) == (
        "A: predicted 0.012, measured 0.50, left out of training (counts per 8 µm square)"
    )
    assert "point at the slide" in at_cursor("A", unit, Place(0, 0, False))


def test_contrast_by_percentiles_by_numbers_and_without_reading():
    plane = np.linspace(0, 100, 101 * 4, dtype=np.float32).reshape(4, 101)
    plane[0, 0] = np.nan
    maps = Expression((plane[None],), GeneTable(("A",)), 8.0, np.array([[3.0, 9.0]]), np.zeros((4, 101)), "r")
    assert predicted_limits(maps, "A", Look()) == (3.0, 9.0)  # as stored
    low, high = predicted_limits(maps, "A", Look((10, 50)))
    assert low == pytest.approx(10, abs=0.5) and high == pytest.approx(50, abs=0.5)
    assert predicted_limits(maps, "A", Look((10, 50), (0.5, 2.0))) == (0.5, 2.0)
    assert measured_limits([plane], Look((10, 50))) == (0.0, pytest.approx(50, abs=0.5))
    assert percentiles(np.array([np.nan, np.nan]), (1, 99)) == (0.0, 1.0)
    assert percentiles(np.array([0.0] * 99 + [4.0]), (1, 90)) == (0.0, 4.0)  # mostly nothing, and yet a scale


def test_the_legend_says_gene_layer_and_unit():
    units = ("expected counts per 8 µm square", "counts per 8 µm square")
    assert legend("A", *units, (True, False), True).predicted == "A\npredicted\nexpected counts per 8 µm square"
    both = legend("A", *units, (True, True), True)
    assert both.predicted == "A\npredicted and measured\ncounts per 8 µm square" and not both.measured
    apart = legend("A", *units, (True, True), False)
    assert apart.predicted.endswith("expected counts per 8 µm square") and apart.measured.startswith("A\nmeasured")
    assert legend("A", *units, (False, False), True) == legend("B", "", "", (False, False), False)
