"""A gene that the histology does not show scores nothing: the protocol's blocks, buffers and parts hold tight."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from scipy import ndimage, sparse

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.arithmetic.pooling import disk_weights
from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.tissue import MemberPlan
from napari_pixelgene.models.base import TrainingData, TrainingSection
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.stages.folds import deal_blocks, members
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train

SIDE, GENES, CHANNELS = 400, 20, 24  # superpixels of 8 µm: 3.2 mm; channels of the histology
PITCH_UM, DISK_UM = 56.0, 40.0
REACH_UM = 68.0 + DISK_UM / 2  # half a window of 136 µm and half a disk


def fields(count: int, seed: int) -> np.ndarray:
    """Independent fields (count, rows, columns), standardised, whose correlation falls to 1/e within 100 µm."""
    white = np.random.default_rng(seed).normal(size=(count, SIDE, SIDE)).astype(np.float32)
    smooth = ndimage.gaussian_filter(white, (0, 6, 6), mode="wrap")  # e^(-d²/4σ²): 1/e at 2σ = 96 µm
    return np.asarray(smooth / smooth.std((1, 2), keepdims=True))


def windows(seed: int) -> np.ndarray:
    """Features (rows, columns, channels) that see 136 µm of a slide which knows nothing of the genes."""
    white = np.random.default_rng(seed).normal(size=(CHANNELS, SIDE, SIDE)).astype(np.float32)
    seen = ndimage.uniform_filter(white, (0, 17, 17), mode="wrap")
    return np.moveaxis(seen / seen.std((1, 2), keepdims=True), 0, -1)


@cache
def section(seed: int, around: bool = False) -> TrainingSection:
    """Units of a slide; with `around` also the tissue around them, for a model that looks there."""
    rng = np.random.default_rng(seed)
    along = np.arange(60.0, SIDE * 8 - 60, PITCH_UM)
    xy = np.stack(np.meshgrid(along, along), axis=-1).reshape(-1, 2) + rng.uniform(-8, 8, (len(along) ** 2, 2))
    pooling = disk_weights(xy, DISK_UM / 2, 8.0, (SIDE, SIDE))
    expected = pooling @ np.exp(0.8 * fields(GENES, 100 + seed)).reshape(GENES, -1).T * 60
    counts = rng.poisson(expected)
    touched = np.arange(SIDE**2) if around else np.unique(pooling.indices)
    features = windows(200 + seed).reshape(-1, CHANNELS)[touched]
    places = np.stack(np.divmod(touched, SIDE), axis=1)
    pooled, library = pooling[:, touched].tocsr(), counts.sum(1).astype(float)
    return TrainingSection("s", features, pooled, sparse.csr_matrix(counts), library, xy, places, unit_um=DISK_UM)


def score(model: str, settings: dict[str, object], plan: MemberPlan, seed: int) -> float:
    """Mean r over genes, each unit predicted by the member that held it out."""
    made = get_model(model, settings)
    one = section(seed, made.needs.halo > 0)
    genes = GeneTable(tuple(f"G{i}" for i in range(GENES)))
    data = TrainingData((one,), genes, tuple(map(str, range(CHANNELS))), plan.fit, plan.stop, seed)
    fitted = train(made, data).fitted
    log, _ = predict_units(fitted, one, np.arange(GENES), plan.score, needs=made.needs)
    truth = log1p_cp10k(one.counts, one.library)
    scored = plan.score.any(0)
    return float(pearson(log[scored], truth[scored]).mean())


def blocks(seed: int, halo: int = 0) -> MemberPlan:
    xy = section(seed).xy_um
    return members(deal_blocks(xy, 500.0, 5, seed, partitions=1), "cross", REACH_UM + halo * 8.0, xy)


def at_random(seed: int) -> MemberPlan:
    """Units dealt one by one: neighbours of a scored unit are learned from."""
    fold = np.random.default_rng(seed).integers(0, 5, len(section(seed)))
    own = np.array([fold == k for k in range(5)])
    stop = np.roll(own, -1, axis=0)
    return MemberPlan(~own & ~stop, stop, own)


# Twice the default rate and a small network, so that it learns what there is in seconds.
FLEXIBLE = {"recipe": "components", "hidden": 64, "epochs": 12, "learning_rate": 4e-3, "superpixels_per_unit": 3}
AROUND = {"reach": 10, "width": 32, "hidden": 64, "epochs": 12, "learning_rate": 4e-3, "superpixels_per_unit": 3}
MODELS: dict[str, dict[str, object]] = {"pixel2gene": FLEXIBLE, "ridge": {}, "histosge": AROUND}
SEEDS = {"histosge": 1}  # minutes, else


@pytest.mark.slow
@pytest.mark.parametrize("model", MODELS)
def test_what_the_histology_does_not_show_scores_nothing(model: str) -> None:
    halo = get_model(model, MODELS[model]).needs.halo
    scores = [score(model, MODELS[model], blocks(seed, halo), seed) for seed in range(SEEDS.get(model, 3))]
    assert np.abs(scores).max() < 0.05 and abs(np.mean(scores)) < 0.05, scores


@pytest.mark.slow
@pytest.mark.parametrize("model", ["pixel2gene", "histosge"])
def test_units_dealt_at_random_would_leak(model: str) -> None:
    """Why blocks: with neighbours in both parts the same network scores what is not there."""
    assert score(model, MODELS[model], at_random(0), 0) > 0.08


def test_the_fields_are_as_short_as_they_are_said_to_be() -> None:
    field = fields(4, 1)
    correlation = [float(np.mean(field * np.roll(field, d, axis=2))) for d in (0, 12, 25, 60)]
    assert correlation[0] == pytest.approx(1, abs=0.02) and correlation[1] == pytest.approx(np.exp(-1), abs=0.06)
    assert abs(correlation[2]) < 0.08 and abs(correlation[3]) < 0.05
