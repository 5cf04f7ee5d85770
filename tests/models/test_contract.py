"""What holds for every registered model, built-in or a stranger's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from guarded import GuardedArray
from learnable import training_data
from made_stpath import data_at_points, small_files
from napari_pixelgene.arithmetic.tiles import Tile, tiles
from napari_pixelgene.elements.features import Features
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.models.base import Fitted, Needs, Quantity, TrainingData, TrainingSection, View
from napari_pixelgene.models.registry import available_models, get_model, model_class
from napari_pixelgene.models.stpath.network import Sizes
from napari_pixelgene.stages.prediction import QUANTITIES, Asked, predict_tiles, predict_units
from napari_pixelgene.stages.training import train
from napari_pixelgene.store.models import load_run, save_run
from napari_pixelgene.store.section import SectionStore

# Cheap settings where the defaults take long.
SETTINGS: dict[str, dict[str, Any]] = {
    "iscale": {"epochs": 2, "hidden": 16},
    "pixel2gene": {"epochs": 2, "hidden": 16},
    "histosge": {"epochs": 2, "width": 16, "hidden": 16},
    "histex": {"epochs": 2, "hidden": 16, "embedding": 8},
    "stpath": {**small_files(), "fine_tune": "head", "epochs": 2},
    "trees": {"trees": 5},
}
# What is saved of a model whose latents are components and the total.
COMPONENTS = {"components", "scale", "gene_mean", "gene_sd", "total", "unit_size", "calibration"}
SUPERPIXELS = {
    "recipe", "feature_mean", "feature_sd", "unit_size", "components", "scale", "gene_mean", "gene_sd", "total",
    "calibration",
    *(f"net.{s}.{i}.{p}" for s in ("composition", "total") for i in (0, 3, 6) for p in ("weight", "bias")),
}  # fmt: skip
HISTOSGE = (
    "embed.weight", "embed.bias", "place.weight", "trans.layers.0.0.norm.weight", "trans.layers.0.0.norm.bias",
    "trans.layers.0.0.fn.to_qkv.weight", "trans.layers.0.0.fn.to_out.0.weight", "trans.layers.0.0.fn.to_out.0.bias",
    *(f"trans.layers.0.1.{n}.{p}" for n in ("norm", "fn.net.0", "fn.net.3") for p in ("weight", "bias")),
    *(f"gene_head.{n}.{p}" for n in (0, 2, 3) for p in ("weight", "bias")),
)  # fmt: skip
# The names under which a run is saved: a rename would orphan every stored run.
NAMES = {
    "histosge": {
        *COMPONENTS, "recipe", "feature_mean", "feature_sd", "layout", "reach_um", "lengths_um",
        *(f"net.{s}.{p}" for s in ("composition", "total") for p in HISTOSGE),
    },
    "iscale": {*SUPERPIXELS, "shift_genes", "shift_total", "shift_raw"},
    "pixel2gene": SUPERPIXELS,
    "knn": {*COMPONENTS, "units", "feature_mean", "feature_sd", "targets", "learned", "neighbours"},
    "mean": {"log", "counts"},
    "spatial": {*COMPONENTS, "width_um", "linear", "mean", "same_as"},
    "trees": {*COMPONENTS, "channel", "threshold", "left", "right", "value", "roots", "forest_of"},
    "ridge": {"weights", "intercept", "gene_mean", "gene_sd", "total", "unit_size", "calibration"},
    "stpath": {
        *(f"net.{name}" for name in Sizes(12, 6, 16, 2, 4, 32).shapes()), "labels", "share", "squares", "vocabulary",
        *(f"own.gene_exp_head.{i}.{p}" for i in (0, 1) for p in ("weight", "bias")),
    },
}  # fmt: skip
YX = (37, 53)
ALL = np.arange(12)


def cross_data(name: str) -> TrainingData:
    """Each member is scored on the units that the next one stops on."""
    data = training_data()
    data = data_at_points(data) if needs(name).features == "points" else data
    return replace(data, fit=data.fit & ~np.roll(data.stop, -1, axis=0))


def needs(name: str) -> Needs:
    return get_model(name, SETTINGS.get(name)).needs


@cache
def fitted(name: str) -> Fitted:
    return train(get_model(name, SETTINGS.get(name)), cross_data(name)).fitted


@pytest.fixture(params=available_models())
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def tiled(name: str) -> str:
    """A model that is asked tile by tile; one that speaks at points sees all of them at once."""
    if needs(name).features == "points":
        pytest.skip(f"{name} sees all points of a slide at once")
    return name


def view(name: str, features: np.ndarray) -> View:
    """Vectors: in a row of superpixels with nothing around it for a model with a halo, at places of their own for one
    that speaks at points."""
    halo = needs(name).halo
    if halo:
        wide = np.full((1 + 2 * halo, len(features) + 2 * halo, features.shape[1]), np.nan, np.float32)
        wide[halo, halo : halo + len(features)] = features
        x, y = (8 * (np.arange(n) + 0.5) for n in (wide.shape[1], wide.shape[0]))
        return View(wide, np.stack(np.meshgrid(x, y), axis=-1), halo)
    at = np.random.default_rng(2).uniform(0, 500, (len(features), 2))
    return View(features, at if needs(name).features == "points" else None)


def answers(model: Fitted, name: str, features: np.ndarray, quantity: Quantity) -> np.ndarray:
    """(vectors, genes) of all genes."""
    genes = np.arange(len(model.genes))
    return model.predict(view(name, features), genes, quantity).reshape(len(features), len(genes))


def units(name: str, section: TrainingSection, held_out: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """What a model says of a section's units."""
    return predict_units(fitted(name), section, np.arange(12), held_out, needs=needs(name))


def slide() -> tuple[Features, Tissue]:
    """Features over a grid whose tissue is a blob; far from it nothing was encoded."""
    rng = np.random.default_rng(8)
    values = rng.normal(size=(*YX, 6)).astype(np.float32) * 2 + 1
    y, x = np.mgrid[: YX[0], : YX[1]]
    mask = (y - 20) ** 2 + (x - 22) ** 2 < 260
    values[:, 45:] = np.nan
    channels = tuple(f"c{i}" for i in range(6))
    return Features(values, channels, "made up", np.full(6, 1.0), np.full(6, 2.0)), Tissue(mask)


class Sink:
    """Maps in memory, the genes in shares of five."""

    def __init__(self, side: int, genes: int) -> None:
        self.tile_side = side
        self.maps = np.full((genes, *YX), -1.0, np.float32)
        self.written: list[tuple[tuple[int, int], int]] = []

    def shares(self) -> list[slice]:
        return [slice(i, min(i + 5, len(self.maps))) for i in range(0, len(self.maps), 5)]

    def done(self, index: tuple[int, int], genes: slice) -> bool:
        return (index, genes.start) in self.written

    def write(self, tile: Tile, block: np.ndarray, genes: slice) -> None:
        self.maps[(genes, *tile.region)] = block
        self.written.append((tile.index, genes.start))


def maps(name: str, side: int, genes: np.ndarray = ALL) -> np.ndarray:
    features, tissue = slide()
    needs = get_model(name, SETTINGS.get(name)).needs
    guarded = GuardedArray(features.array, (side + 2 * needs.halo, side + 2 * needs.halo))
    sink = Sink(side, len(genes))
    grid = Grid(YX, (YX[0] * 16, YX[1] * 16))
    asked = Asked(fitted(name), needs, replace(features, array=guarded), grid, tissue)
    predict_tiles(asked, genes, sink)
    assert len(sink.written) == len(set(sink.written)) == len(sink.shares()) * len(list(tiles(YX, side)))
    return sink.maps


def test_any_tiling_gives_the_same_maps(tiled: str) -> None:
    whole = maps(tiled, 64)
    mask = slide()[1].mask
    assert np.isfinite(whole[:, mask]).all() and np.isnan(whole[:, ~mask]).all()
    assert (whole[:, mask] >= 0).all() and whole[:, mask].std() > 0
    for side in (7, 16):
        np.testing.assert_allclose(maps(tiled, side), whole, rtol=2e-5, atol=1e-6)


def test_genes_are_decoded_on_demand(tiled: str) -> None:
    some = np.array([7, 2])
    np.testing.assert_allclose(maps(tiled, 64, some), maps(tiled, 64)[some], rtol=2e-5, atol=1e-6)


def test_a_stored_run_answers_the_same(name: str, tmp_path: Path) -> None:
    store = SectionStore.create(tmp_path / "a.section.zarr")
    save_run(store, "run", fitted(name).arrays(), {"fingerprint": "f"})
    arrays, _ = load_run(store, "run")
    found = model_class(name)
    back = found.fitted.from_arrays(arrays, found.Settings.make(SETTINGS.get(name, {})), fitted(name).genes)
    assert back.members == fitted(name).members == 4
    seen = np.random.default_rng(1).normal(size=(40, 6)).astype(np.float32)
    for quantity in QUANTITIES:
        ours, theirs = (answers(f, name, seen, quantity) for f in (fitted(name), back))
        assert ours.shape == (40, 12) and ours.tobytes() == theirs.tobytes()


def test_a_seed_repeats(name: str) -> None:
    again = train(get_model(name, SETTINGS.get(name)), cross_data(name)).fitted.arrays()
    for key, values in fitted(name).arrays().items():
        assert values.tobytes() == again[key].tobytes(), key


def test_names_in_a_stored_run_are_pinned(name: str) -> None:
    if name not in NAMES:
        pytest.skip(f"{name} pins its names in a test of its own")
    assert set(fitted(name).arrays()) == NAMES[name]


def test_units_and_members(name: str) -> None:
    """The ensemble's answer at units, and that of the members that held a unit out, are of one kind."""
    data = cross_data(name)
    section = data.sections[0]
    log, counts = units(name, section)
    assert log.shape == counts.shape == (60, 12) and np.isfinite(log).all() and (counts >= 0).all()
    everyone = units(name, section, np.ones((4, 60), bool))
    np.testing.assert_allclose(everyone[0], log, rtol=0.1, atol=0.4)
    held_out = ~(data.fit | data.stop)[:, :60]
    assert (held_out.sum(0) == 1).all()
    held_out[:, 5] = False
    apart = units(name, section, held_out)[0]
    assert np.isnan(apart[5]).all() and np.isfinite(np.delete(apart, 5, axis=0)).all()
    one = units(name, section, np.arange(4)[:, None] == np.full((1, 60), 2))[0]
    mine = held_out[2]
    np.testing.assert_allclose(apart[mine], one[mine], rtol=1e-5, atol=1e-6)
    assert np.abs(apart[~mine & ~np.isnan(apart[:, 0])] - one[~mine & ~np.isnan(apart[:, 0])]).max() > 1e-3


def test_a_model_card_is_complete(name: str) -> None:
    found = model_class(name)
    assert found.name == name and found.title
    for field, info in found.Settings.model_fields.items():
        assert info.description, f"{name}.{field} has no description"
    with pytest.raises(SettingsError, match=f"{name}.no_such_setting"):
        get_model(name, {"no_such_setting": 1})


def test_an_unknown_model_is_told_with_its_neighbour() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'pixel2gene'"):
        get_model("pixl2gene")


def test_far_from_what_was_learned_counts_stay_finite(name: str) -> None:
    """Another stain, a scanner's artefact: features that no training tissue had must not fill a map with infinities."""
    model = fitted(name)
    far = np.random.default_rng(3).normal(size=(200, 6)).astype(np.float32) * 60
    counts = answers(model, name, far, "counts")
    assert np.isfinite(counts).all() and counts.min() >= 0
    assert counts.max() < 65504  # what a map of half precision holds
