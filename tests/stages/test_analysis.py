"""Clusters and names out of maps: planted regions are found, the original's labels are met, tiles do not show."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from napari_pixelgene.arithmetic.contrasts import Moments
from napari_pixelgene.elements.expression import Expression
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError, SettingsError
from napari_pixelgene.progress import Event, Progress
from napari_pixelgene.stages import analysis
from napari_pixelgene.stages.analysis import AnalysisSettings, annotate_maps, cluster_maps, label_moments

MARKER = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale" / "v14_marker" / "marker.json"
needs_vectors = pytest.mark.skipif(not MARKER.exists(), reason="shared/vectors is not beside the repository")


class Guarded:
    """Maps that refuse a read of more than a tile of a share of the genes."""

    def __init__(self, values: np.ndarray) -> None:
        self._values, self.shape, self.dtype = values, values.shape, values.dtype
        self.reads = 0

    def __getitem__(self, key: Any) -> Any:
        block = self._values[key]
        assert block.ndim == 3 and block.shape[0] <= 64 and max(block.shape[1:]) <= 512, block.shape
        self.reads += 1
        return block


def expression(values: np.ndarray, symbols: tuple[str, ...] = ()) -> Expression:
    genes = GeneTable(symbols or tuple(f"G{i}" for i in range(len(values))))
    shape = values.shape[1:]
    return Expression((Guarded(values),), genes, 8.0, np.zeros((len(genes), 2)), np.zeros(shape), "run")


def regions(rows: int = 40, columns: int = 56, genes: int = 9, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Maps (genes, rows, columns), and which of three regions a square is of: an upright strip, a corner, the rest.

    Region k has more of the genes k, k + 3, …; depth differs tenfold across the slide; a rim is background.
    """
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:rows, :columns]
    true = np.where(x < columns // 5, 1, np.where((y < rows // 3) & (x > columns // 2), 2, 0))
    depth = 10 ** (y / rows) * rng.uniform(0.8, 1.2, true.shape)
    more = np.arange(genes)[:, None, None] % 3 == true
    values = (0.2 + 0.8 * more) * rng.gamma(60, 1 / 60, (genes, rows, columns)) * depth
    values[:, :2], values[:, :, -1] = np.nan, np.nan
    return values.astype(np.float32), np.where(np.isfinite(values[0]), true, -1)


def test_regions_are_found_whatever_the_depth() -> None:
    values, true = regions()
    labels = cluster_maps(expression(values), AnalysisSettings(clusters=3, components=4))
    assert (labels == true).all()
    sizes = np.bincount(labels[labels >= 0])
    assert (np.diff(sizes) <= 0).all() and (np.diff(np.bincount(true[true >= 0])) < 0).all()


def test_islands_are_taken_in_and_empty_tissue_has_no_cluster() -> None:
    values, _ = regions()
    values[:, 20:22, 30:33] = values[:, 20:22, 2:5]  # six squares of region 1 in region 0
    values[:, 30, 40] = 0.0
    settings = AnalysisSettings(clusters=3, components=4, smallest=1)
    assert (cluster_maps(expression(values), settings)[20:22, 30:33] == 1).all()
    taken = cluster_maps(expression(values), settings.replace(smallest=7))
    assert (taken[20:22, 30:33] == 0).all() and taken[30, 40] == -1 == taken[0, 0]


def test_neither_tiles_nor_shares_show(monkeypatch: pytest.MonkeyPatch) -> None:
    values, true = regions()
    settings = AnalysisSettings(clusters=3, components=4)
    whole, panels = cluster_maps(expression(values), settings), {"a": ("G0", "G3"), "b": ("G1",)}
    named, moments = annotate_maps(expression(values), panels, settings), label_moments(expression(values), true, 3)
    monkeypatch.setattr(analysis, "_TILE", 13)
    monkeypatch.setattr(analysis, "_SHARE", 4)
    assert (cluster_maps(expression(values), settings) == whole).all()
    again = annotate_maps(expression(values), panels, settings)
    assert (again.labels == named.labels).all()
    pieces = label_moments(expression(values), true, 3)
    assert (pieces.count == moments.count).all()
    np.testing.assert_allclose(pieces.mean, moments.mean, rtol=1e-6)
    np.testing.assert_allclose(pieces.variance, moments.variance, rtol=1e-5)


def test_maps_larger_than_a_tile_are_read_tile_by_tile(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_SAMPLE", 2000)
    values, true = regions(530, 600, 6)
    maps, heard = expression(values), list[Event]()
    labels = cluster_maps(maps, AnalysisSettings(clusters=3, components=3), heard.append)
    assert (labels == true).mean() > 0.999
    assert maps.levels[0].reads == 3 * 4  # totals, sample, labels  # type: ignore[attr-defined]
    done = [(e.done, e.total) for e in heard if isinstance(e, Progress)]
    assert done == [(i, 4) for i in range(5)] * 3


def test_groups_are_sklearns_of_the_composition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(analysis, "_SHARE", 3)
    rng = np.random.default_rng(8)
    values = (rng.gamma(0.7, 1, (8, 26, 31)) * rng.lognormal(0, 1, (26, 31))).astype(np.float32)
    flat = values.reshape(8, -1).T.astype(np.float64)
    composition = np.log1p(flat / flat.sum(1, keepdims=True) * 1e4)
    scores = PCA(3).fit_transform(composition)
    theirs = KMeans(5, n_init=10, random_state=0).fit(scores).labels_
    ours = cluster_maps(expression(values), AnalysisSettings(clusters=5, components=3, smallest=1)).ravel()
    assert adjusted_rand_score(ours, theirs) > 0.99


def test_the_seed_decides_and_the_default_is_repeatable() -> None:
    values = np.random.default_rng(3).gamma(2, 1, (5, 30, 30)).astype(np.float32)
    first, again = (cluster_maps(expression(values), AnalysisSettings(clusters=6, smallest=1)) for _ in range(2))
    other = cluster_maps(expression(values), AnalysisSettings(clusters=6, smallest=1, seed=5))
    assert (first == again).all() and (first != other).any()


def test_what_cannot_be_grouped_is_told() -> None:
    values, _ = regions(4, 4, 3)
    with pytest.raises(SettingsError, match="6 squares, too few for 7 clusters"):
        cluster_maps(expression(values), AnalysisSettings(clusters=7))
    with pytest.raises(InputError, match="one gene"):
        cluster_maps(expression(values[:1]), AnalysisSettings())


@needs_vectors
def test_names_are_the_originals_at_every_threshold() -> None:
    v = json.loads(MARKER.read_text())
    tissue = np.array(v["mask_small_refined"]) > 0
    values = np.stack([np.where(tissue, np.array(x), np.nan) for x in v["genes"].values()])
    maps = expression(values, tuple(v["genes"]))
    panels = {"T cell": ("G1", "G2"), "B/Plasma": ("G3", "G4", "G2")}
    for threshold in (0.01, 0.05, 0.1, 0.3):
        found = annotate_maps(maps, panels, AnalysisSettings(confidence=threshold))
        assert found.labels.tolist() == v[f"labels_threshold_{threshold}"]
        np.testing.assert_allclose(found.confidence, np.array(v["confidence"], dtype=float), atol=1e-6)
    assert found.names == ("Unclassified", *v["label_order"])
    winners = np.where(found.labels > 0, found.labels - 1, -1)
    assert winners.tolist() == v["labels_argmax"]


@needs_vectors
def test_names_are_not_drawn_by_lot_where_the_original_can() -> None:
    """On purpose: its variant sharpens scores to probabilities and draws; here the same maps have the same names."""
    v = json.loads(MARKER.read_text())["temperature"]
    sharp = np.array(v["inp"]) ** (1 / v["T"])
    np.testing.assert_allclose(sharp / sharp.sum(), v["out"], atol=1e-9)
    values, _ = regions()
    a, b = (annotate_maps(expression(values), {"b": ("G1",), "a": ("G0",)}, AnalysisSettings()) for _ in range(2))
    assert (a.labels == b.labels).all()


def test_a_square_that_lacks_a_panel_is_named_by_another_and_one_that_lacks_all_is_unclassified() -> None:
    values = np.ones((3, 4, 5), dtype=np.float32) * np.linspace(1, 2, 20, dtype=np.float32).reshape(4, 5)
    values[0, :, 3:] = 0.0
    values[1:, 0, 4] = 0.0
    values[:, 3, 0] = np.nan
    found = annotate_maps(
        expression(values, ("A", "B", "C")), {"first": ("A",), "second": ("B", "C")}, AnalysisSettings(confidence=0.0)
    )
    assert found.labels[1, 3] == 2 and found.labels[0, 4] == 0 and found.labels[3, 0] == -1
    assert found.labels[3, 2] == 1  # among fewer squares A ranks higher there
    strict = annotate_maps(
        expression(values, ("A", "B", "C")), {"first": ("A",), "second": ("B", "C")}, AnalysisSettings(confidence=0.9)
    )
    assert strict.labels[1, 1] == 0 and strict.labels[3, 4] == 2


@given(seed=st.integers(0, 50))
def test_moments_are_numpys(seed: int) -> None:
    rng = np.random.default_rng(seed)
    values, labels = rng.gamma(1, 3, (3, 9, 7)).astype(np.float32), rng.integers(-1, 3, (9, 7))
    values[:, labels < 0] = np.nan
    found: Moments = label_moments(expression(values), labels, 4)
    assert found.count[3] == 0 and np.isnan(found.mean[3]).all()
    for label in np.unique(labels[labels >= 0]):
        np.testing.assert_allclose(found.mean[label], values[:, labels == label].mean(1), rtol=1e-5)
        np.testing.assert_allclose(found.variance[label], values[:, labels == label].var(1), rtol=1e-4, atol=1e-9)


def test_maps_that_are_the_same_everywhere_are_one_cluster_without_a_foreign_warning() -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        labels = cluster_maps(expression(np.ones((3, 6, 7), np.float32)), AnalysisSettings(clusters=3))
    assert (labels == 0).all() and not said, [str(one.message) for one in said]
