from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from learnable import training_section
from napari_pixelgene.elements.expression import FILTERED, MEASURED
from napari_pixelgene.elements.tissue import MemberPlan
from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.quality import marked, without_few_counts
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.stages.unit_quality import QualitySettings, above_percentile, enough_counts, looks

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "qc_folds_genes.json"


def test_the_percentile_of_what_is_not_empty_is_the_originals() -> None:
    if not VECTORS.exists():
        pytest.skip("the reference vectors are not here")
    vector = json.loads(VECTORS.read_text())["qc_umi_percentile"]
    total = np.ravel(vector["umi_grid_3x5"]).astype(float)
    kept = above_percentile(total, np.zeros(15, int), vector["percentile"])
    np.testing.assert_array_equal(kept, np.ravel(vector["keep"]).astype(bool))


def test_a_group_without_counts_keeps_none_where_the_original_fails() -> None:
    total = np.array([0.0, 0, 3, 9, 1])
    assert above_percentile(total, np.array([0, 0, 1, 1, 1]), 30).tolist() == [False, False, True, True, False]


def two_looks():
    """Units 0–29 look one way and hold tens of counts, 30–59 the other way and hold hundreds; 5 and 40 are damaged."""
    section = training_section("s", 1)
    features = np.repeat(np.where(np.arange(60) < 30, -4.0, 4.0), 4)[:, None] + 0.1 * section.features
    library = np.where(np.arange(60) < 30, 50.0, 800.0) + np.arange(60)
    library[[5, 40]] = 7, 90
    place = np.column_stack(np.divmod(np.arange(240), 20))
    return replace(section, features=features.astype(np.float32), library=library, row_column=place)


def test_each_look_has_its_own_threshold() -> None:
    section = two_looks()
    groups = looks(section, 2, 0)
    assert len(set(groups[:30])) == len(set(groups[30:])) == 1 and groups[0] != groups[59]
    kept = enough_counts(section, QualitySettings(percentile=30, clusters=2))
    assert not kept[5] and not kept[40]  # 90 counts are many for the first look and few for the second
    assert kept[:30].sum() == 21 and kept[30:].sum() == 21
    assert enough_counts(section, QualitySettings()).all()


def test_what_is_too_empty_is_not_learned_from_and_is_scored() -> None:
    section = two_looks()
    fit = np.arange(60) % 3 != 0
    plan = MemberPlan(fit[None], np.zeros((1, 60), bool), ~fit[None])
    told: list[Event] = []
    got = without_few_counts(plan, [section], QualitySettings(percentile=30, clusters=2), told.append)
    kept = enough_counts(section, QualitySettings(percentile=30, clusters=2))
    np.testing.assert_array_equal(got.fit[0], fit & kept)
    np.testing.assert_array_equal(got.score, plan.score)
    assert any(isinstance(e, Note) and "18 of 60 units hold too few counts" in e.text for e in told)
    assert without_few_counts(plan, [section], QualitySettings(), told.append) is plan
    with pytest.raises(InputError, match="percentile smaller"):
        empty = replace(section, library=np.zeros(60))
        without_few_counts(plan, [empty], QualitySettings(percentile=30), told.append)


def test_maps_tell_what_was_measured_and_dropped() -> None:
    section = two_looks()
    layer = np.full((12, 20), MEASURED, np.uint8)
    got = marked(layer, section, QualitySettings(percentile=30, clusters=2))
    assert (got.ravel()[20:24] == FILTERED).all()  # unit 5
    assert (got == FILTERED).sum() == section.pooling[
        ~enough_counts(section, QualitySettings(percentile=30, clusters=2))
    ].nnz
    assert (layer == MEASURED).all() and marked(layer, section, QualitySettings()) is layer
