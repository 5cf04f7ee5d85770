from __future__ import annotations

import json

import numpy as np

from napari_pixelgene.elements.scores import QuantityScores, SectionScores, verdict

KEYS = {
    "pearson_mean",
    "pearson_median",
    "spearman_mean",
    "rmse_mean",
    "genes_above_0.3",
    "permuted_pearson_mean",
    "total_only_pearson_mean",
    "nuclear_pearson_mean",
    "position_pearson_mean",
    "ceiling_pearson_mean",
}


def quantity(r=(0.1, 0.5, 0.6), **controls: float) -> QuantityScores:
    r = np.array(r, dtype=float)
    given = {name: np.full(len(r), value) for name, value in controls.items()}
    return QuantityScores(r, r - 0.1, r + 1, given, {"position": "the sections are not registered to one another"})


def entry(score: float, chance: float = 0.0, **easy: float | None):
    return {"S": {"log": {"pearson_mean": score, "permuted_pearson_mean": chance, **easy}}}


def test_means_medians_and_the_controls_stand_under_their_keys() -> None:
    out = quantity(permuted=0.01, total_only=0.12, nuclear=0.2, ceiling=0.7).as_dict()
    assert set(out) >= KEYS
    assert out["pearson_mean"] == 0.4
    assert out["pearson_median"] == 0.5
    assert out["spearman_mean"] == 0.3
    assert out["rmse_mean"] == 1.4
    assert out["genes_above_0.3"] == 2
    assert (out["total_only_pearson_mean"], out["ceiling_pearson_mean"]) == (0.12, 0.7)


def test_what_is_undefined_is_null_with_a_reason_beside_it() -> None:
    out = quantity((np.nan, np.nan), permuted=0.0).as_dict()
    for key in KEYS - {"genes_above_0.3", "permuted_pearson_mean"}:
        assert out[key] is None
        assert len(out[f"{key}_reason"]) > 10
    assert out["position_pearson_mean_reason"] == "the sections are not registered to one another"
    assert out["undefined_genes"] == 2
    assert "NaN" not in json.dumps(out, allow_nan=False)


def test_a_section_has_the_schema_and_a_row_for_every_gene() -> None:
    log, counts = quantity(permuted=0.0, ceiling=0.7), quantity((0.2, 0.3, 0.4), permuted=0.01, ceiling=0.9)
    section = SectionScores("C2", ("A", "B", "D"), 180, None, ("E",), log, counts, None, np.array([9.0, 8, 7]))
    out = section.as_dict()
    assert {"genes", "units", "block_um", "dropped_genes", "log", "counts", "at_8um"} <= set(out)
    assert (out["genes"], out["units"], out["dropped_genes"], out["at_8um"]) == (3, 180, ["E"], None)
    assert "permuted_training_pearson_mean" in out
    table = section.per_gene()
    assert {len(column) for column in table.values()} == {3}
    np.testing.assert_array_equal(table["counts_pearson"], [0.2, 0.3, 0.4])
    np.testing.assert_array_equal(table["log_ceiling"], [0.7] * 3)


def test_maps_no_better_than_chance_say_so() -> None:
    assert verdict(entry(0.02)).startswith("These maps are not better than chance")
    assert verdict(entry(-0.4, -0.01)).startswith("These maps are not better than chance")


def test_maps_no_better_than_an_easy_explanation_name_it() -> None:
    said = verdict(entry(0.2, nuclear_pearson_mean=0.24, position_pearson_mean=None, total_only_pearson_mean=0.1))
    assert "not above counting nuclei (0.24)" in said
    assert "total" not in said


def test_maps_above_all_controls_are_measured_against_the_ceiling() -> None:
    said = verdict(entry(0.31, nuclear_pearson_mean=0.19, total_only_pearson_mean=0.12, ceiling_pearson_mean=0.55))
    assert "0.31" in said and "0.55" in said
    assert "not" not in said


def test_nothing_that_varies_has_no_score() -> None:
    assert verdict(entry(None)).startswith("No score can be had")  # type: ignore[arg-type]


def test_controls_that_nobody_fitted_are_not_said_to_be_beaten() -> None:
    said = verdict(entry(0.31, nuclear_pearson_mean=None, total_only_pearson_mean=None, ceiling_pearson_mean=0.55))
    assert "No simple explanation stands beside it" in said and "every" not in said
