"""Cell-less places, against the original's mask, and what becomes of expression there."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.arithmetic.cell_less import likely_cells, pooled_moments, texture_ratio, without

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="shared/vectors is not beside the repository")


@needs_vectors
def test_the_originals_mask_of_likely_cells() -> None:
    known = np.load(VECTORS / "v09_refine_mask" / "refine_mask.npz")
    pixels = known["he"].astype(np.float64).reshape(8, 16, 10, 16, 3).swapaxes(1, 2).reshape(8, 10, 256, 3)
    tissue = known["mask"].reshape(8, 16, 10, 16).any(axis=(1, 3))
    mean, sd = pooled_moments(pixels.mean(2), pixels.std(2))
    shown = tissue.ravel() & (known["tile_mean"] > 0)
    np.testing.assert_allclose(mean.ravel()[shown], known["tile_mean"][shown], rtol=1e-5)
    np.testing.assert_allclose(sd.ravel()[shown], known["tile_std"][shown], rtol=1e-4, atol=1e-3)
    keep = likely_cells(mean, sd, tissue, background=True)
    np.testing.assert_array_equal(keep.ravel(), known["conserve_index_flat"])
    np.testing.assert_array_equal(keep * 255, known["mask_small_refined"])
    whole = np.kron(keep, np.ones((16, 16), bool)) & (known["mask"] > 0)
    assert int(whole.sum()) * 255 == int(known["mask_refined_sum"])


@needs_vectors
def test_expression_without_cells_is_the_originals() -> None:
    known = json.loads((VECTORS / "v10_refine_gene" / "refine_gene.json").read_text())
    expression, out = (np.array(known[k], dtype=np.float32) for k in ("expression", "out"))
    keep = np.array(known["keep_flat_row_major"]).reshape(expression.shape)
    found = without(expression, keep)
    assert found.dtype == np.dtype(known["dtype"])
    np.testing.assert_array_equal(found, out)
    np.testing.assert_array_equal(without(expression, keep, np.nan), np.where(keep, expression, np.nan))


def test_dark_and_varied_is_kept_and_bright_or_flat_is_not() -> None:
    """Three kinds of tissue beside one another, and background that is brighter than all of them."""
    rng = np.random.default_rng(3)
    kinds = np.repeat(np.array([0, 1, 2, 3]), 30).reshape(12, 10)  # nuclei, flat stroma, bright lumen, background
    mean = np.choose(kinds, [120.0, 175.0, 225.0, 245.0]) + rng.normal(0, 4, kinds.shape)
    sd = np.choose(kinds, [45.0, 10.0, 8.0, 2.0]) + rng.normal(0, 1, kinds.shape)
    keep = likely_cells(mean, sd, kinds < 3)
    assert (keep == (kinds == 0)).mean() > 0.98


def test_glass_around_the_tissue_changes_nothing_where_the_published_split_keeps_all() -> None:
    rng = np.random.default_rng(5)
    mean, sd = rng.normal(150, 6, (40, 40)), rng.normal(12, 2, (40, 40))
    nuclei = np.zeros((40, 40), bool)
    nuclei[:18, :20] = True
    sd[nuclei] += 16
    keep = likely_cells(mean, sd, np.ones((40, 40), bool))
    assert (keep == nuclei).mean() > 0.97
    wide = [np.pad(values, 80, constant_values=fill) for values, fill in ((mean, 245.0), (sd, 1.0))]
    tissue = np.pad(np.ones((40, 40), bool), 80)
    np.testing.assert_array_equal(likely_cells(wide[0], wide[1], tissue)[80:120, 80:120], keep)
    assert likely_cells(wide[0], wide[1], tissue, background=True).sum() > 1.5 * nuclei.sum()
    assert not likely_cells(mean, sd, np.zeros((40, 40), bool)).any()


def test_a_slide_of_one_colour_keeps_its_tissue() -> None:
    tissue = np.eye(5, dtype=bool)
    same = np.full((5, 5), 200.0)
    np.testing.assert_array_equal(likely_cells(same, np.zeros((5, 5)), tissue), tissue)
    np.testing.assert_allclose(
        texture_ratio(same, np.diag([1.0, 2, 3, 4, 5])), np.diag([0.2, 0.4, 0.6, 0.8, 1]), rtol=1e-6
    )


def test_moments_of_channels_together_are_those_of_all_values() -> None:
    values = np.random.default_rng(1).gamma(2.0, 30.0, (6, 50, 3))
    mean, sd = pooled_moments(values.mean(1), values.std(1))
    np.testing.assert_allclose(mean, values.reshape(6, -1).mean(1))
    np.testing.assert_allclose(sd, values.reshape(6, -1).std(1))
