"""Which genes are learned: totals over the training sections, ties alphabetical; where we differ on purpose."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.stages.genes import choose_genes, common_genes, listed_genes

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "qc_folds_genes.json"
A = GeneTable(("EPCAM", "CD3E", "ACTB", "KRT8", "MUC2"), ("E1", "E2", "E3", "E4", "E5"))
B = GeneTable(("MUC2", "ACTB", "CD3E", "EPCAM", "OTHER"))
TOTALS = [np.array([10.0, 5, 100, 50, 0]), np.array([3.0, 10, 5, 0, 99])]
SPREAD = [np.array([1.0, 9, 2, 1, 0]), np.array([0.0, 4, 1, 3, 50])]


def chosen(spec: str) -> tuple[str, ...]:
    return choose_genes(spec, [A, B], TOTALS, SPREAD).symbols


def test_ranks_over_all_sections_with_ties_alphabetical() -> None:
    assert common_genes([A, B]).symbols == ("EPCAM", "CD3E", "ACTB", "MUC2")
    assert common_genes([A, B]).ids == ("E1", "E2", "E3", "E5")
    # ACTB 110, then CD3E and EPCAM with 10 each, MUC2 3; KRT8 and OTHER are in one section only.
    assert chosen("top:3") == ("ACTB", "CD3E", "EPCAM")
    assert chosen("top:2") == ("ACTB", "CD3E")
    assert chosen("top:900") == ("ACTB", "CD3E", "EPCAM", "MUC2")
    assert chosen("variable:2") == ("CD3E", "ACTB")
    assert chosen("all") == chosen("panel") == ("EPCAM", "CD3E", "ACTB", "MUC2")


def test_genes_that_nobody_counted_are_not_learned() -> None:
    table = GeneTable(("A", "B"))
    for spec in ("top:2", "variable:2", "all", "panel"):
        assert choose_genes(spec, [table], [np.array([0.0, 3])], [np.ones(2)]).symbols == ("B",)


@pytest.mark.parametrize("spec", ["top", "top:", "top:x", "top:0", "top:-3", "best:3", "all:3", "", "top:1.5"])
def test_a_wrong_wish_says_what_there_is(spec: str) -> None:
    with pytest.raises(SettingsError, match=r"top:N, variable:N, file:FILE, panel or all"):
        chosen(spec)


def test_a_list_keeps_its_order_and_names_what_is_missing() -> None:
    assert listed_genes(["MUC2", "EPCAM"], [A, B]).symbols == ("MUC2", "EPCAM")
    with pytest.raises(InputError, match="KRT8, NOPE"):
        listed_genes(["MUC2", "KRT8", "NOPE"], [A, B])
    with pytest.raises(InputError, match="share no gene"):
        common_genes([A, GeneTable(("X",))])


@pytest.mark.skipif(not VECTORS.exists(), reason="shared/vectors is not beside the repository")
def test_where_we_rank_as_the_original_and_where_not() -> None:
    v = json.loads(VECTORS.read_text())["gene_selection"]
    genes = [g for g in v["counts"] if not g.startswith("BLANK")]  # readers leave controls out
    totals = np.array([float(sum(v["counts"][g])) for g in genes])
    ours = choose_genes("top:3", [GeneTable(tuple(genes))], [totals], [np.ones(len(genes))]).symbols
    # On purpose: equal totals come alphabetically, the original gives them in reversed column order.
    assert v["gene_names"] == ["E", "D", "B"] and ours == ("B", "D", "E")
    everything = choose_genes("all", [GeneTable(tuple(genes))], [totals], [np.ones(len(genes))]).symbols
    assert set(v["gene_names"]) < set(everything) == {"A", "B", "C", "D", "E"}  # on purpose: no least total of 20
