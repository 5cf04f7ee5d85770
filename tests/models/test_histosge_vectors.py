"""HisToSGE against numbers of the original code (shared/vectors/histosge/README.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.lib.npyio import NpzFile

from learnable import training_data
from napari_pixelgene.arithmetic.metrics import mae, mse, pearson
from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.models.base import Batch
from napari_pixelgene.models.histosge.network import OriginalNet, Transformer
from napari_pixelgene.models.histosge.original import RATE, plan_original
from napari_pixelgene.models.histosge.sets import by_order
from napari_pixelgene.models.registry import get_model

FOLDER = Path(__file__).parents[1] / "vectors" / "histosge"


def vectors(name: str) -> NpzFile:
    found: NpzFile = np.load(FOLDER / f"{name}.npz")
    return found


def tensor(values: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(values))


def state(v: NpzFile) -> dict[str, torch.Tensor]:
    return {name.removeprefix("sd/"): tensor(v[name]) for name in v.files if name.startswith("sd/")}


def tiny() -> OriginalNet:
    v = vectors("histosge_tiny")
    net = OriginalNet(8, 5, int(v["depth"]), int(v["heads"]), int(v["dim_head"]))
    net.load_state_dict(state(v), strict=True)
    return net


def test_names_and_size_of_the_published_network() -> None:
    """Names, shapes and 8,355,816 numbers at 1024 features and 1,000 genes."""
    found = {name: tuple(t.shape) for name, t in OriginalNet(1024, 1000).state_dict().items()}
    d = 1024
    assert found == {
        "x_embed.weight": (512, d), "y_embed.weight": (512, d),
        "trans.layers.0.0.norm.weight": (d,), "trans.layers.0.0.norm.bias": (d,),
        "trans.layers.0.0.fn.to_qkv.weight": (768, d),
        "trans.layers.0.0.fn.to_out.0.weight": (d, 256), "trans.layers.0.0.fn.to_out.0.bias": (d,),
        "trans.layers.0.1.norm.weight": (d,), "trans.layers.0.1.norm.bias": (d,),
        "trans.layers.0.1.fn.net.0.weight": (d, d), "trans.layers.0.1.fn.net.0.bias": (d,),
        "trans.layers.0.1.fn.net.3.weight": (d, d), "trans.layers.0.1.fn.net.3.bias": (d,),
        "gene_head.0.weight": (2048, d), "gene_head.0.bias": (2048,),
        "gene_head.2.weight": (2048,), "gene_head.2.bias": (2048,),
        "gene_head.3.weight": (1000, 2048), "gene_head.3.bias": (1000,),
        "layer_norm.weight": (d,), "layer_norm.bias": (d,),
    }  # fmt: skip
    assert sum(t.numel() for t in OriginalNet(1024, 1000).parameters()) == 8_355_816


@torch.no_grad()
def test_forward_of_the_original() -> None:
    v, net = vectors("histosge_tiny"), tiny()
    image, coords = tensor(v["image"]), tensor(v["coords"])
    np.testing.assert_allclose(net.hidden(image, coords), v["hidden"], rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(net(image, coords), v["pred"], rtol=1e-5, atol=1e-6)
    half = torch.tensor([0.5, 0.5])
    np.testing.assert_allclose(net(image, coords + half), v["pred_plus_half"], rtol=1e-5, atol=1e-6)
    assert np.array_equal(v["pred_plus_half"], v["pred"])  # whole numbers: half a step further is the same place
    half = torch.tensor([-0.5, 0.5])
    np.testing.assert_allclose(net(image, coords + half), v["pred_minus_half"], rtol=1e-5, atol=1e-6)


def test_eight_adam_steps_of_the_original() -> None:
    v, t = vectors("histosge_tiny"), vectors("histosge_train")
    net, model = tiny(), get_model("histosge", {"recipe": "original"})
    plan = plan_original(training_data(members=1), model.settings, 96)
    optimizer = model.optimizer(plan, list(net.parameters()))  # type: ignore[attr-defined]
    assert isinstance(optimizer, torch.optim.Adam) and optimizer.defaults["lr"] == RATE
    losses = []
    for step in range(8):
        i = slice(step % 2, step % 2 + 1)
        batch = Batch((), {"targets": tensor(v["target"])[i][0]}, torch.ones(1, 7))
        loss = plan.loss(net(tensor(v["image"])[i], tensor(v["coords"])[i]), batch)[0]
        losses.append(float(loss.detach()))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    np.testing.assert_allclose(losses, t["losses"], rtol=1e-4)
    with torch.no_grad():
        after = net(tensor(v["image"]), tensor(v["coords"]))
    np.testing.assert_allclose(after, t["pred_after"], rtol=1e-3, atol=2e-4)


@torch.no_grad()
def test_one_head_as_wide_as_the_token_has_no_projection() -> None:
    v = vectors("transformer_noproj")
    net = Transformer(8, 2, 1, 8, 12)
    net.load_state_dict(state(v), strict=True)
    np.testing.assert_allclose(net(tensor(v["x"])), v["out"], rtol=1e-5, atol=1e-6)


def test_sets_by_order_are_the_published_runs() -> None:
    v = vectors("chunking")
    assert [len(by_order(int(n))) for n in v["N"]] == v["chunk_counts"].tolist()
    assert [len(s) for s in by_order(1730)] == v["sizes_1730"].tolist()
    assert [len(s) for s in by_order(51)] == v["sizes_51"].tolist() == [26, 25]
    assert np.concatenate(by_order(1730)).tolist() == list(range(1730))


def test_targets_are_the_published_ones() -> None:
    """The file's `counts` were normalised in place: they are found again as whole numbers of the smallest share."""
    v = vectors("preprocess")
    np.testing.assert_array_equal(v["counts"], v["lognorm"])
    share = np.expm1(np.asarray(v["lognorm"], np.float64))
    counts = share / np.where(share > 0, share, np.inf).min(1, keepdims=True)
    np.testing.assert_allclose(counts, np.rint(counts), atol=1e-4)
    counts = np.rint(counts)
    assert counts.max() > 5 and len(np.unique(counts.sum(1))) > 5
    np.testing.assert_allclose(log1p_cp10k(counts, counts.sum(1)), v["lognorm"], rtol=1e-5, atol=1e-6)


def test_the_loss_is_the_mean_squared_error() -> None:
    """The other losses of the file are coded in the original and never added to it."""
    v = vectors("losses")
    plan = plan_original(training_data(members=1), get_model("histosge").settings, 96)
    batch = Batch((), {"targets": tensor(v["b"])}, torch.ones(1, 6))
    assert float(plan.loss(tensor(v["a"])[None], batch)[0]) == pytest.approx(float(v["mse"]), rel=1e-6)
    assert abs(float(v["mse"]) - float(v["l1"])) > 0.1


def test_metrics_of_the_original() -> None:
    v = vectors("metrics")
    r = pearson(v["pred"], v["truth"])
    np.testing.assert_allclose(r, v["pcc"], rtol=1e-9)
    assert np.isnan(r[3]) and np.nanmean(r) == pytest.approx(float(v["mean_pcc"]), rel=1e-9)
    assert mse(v["pred"], v["truth"]).mean() == pytest.approx(float(v["mean_mse"]), rel=1e-9)
    assert mae(v["pred"], v["truth"]).mean() == pytest.approx(float(v["mean_mae"]), rel=1e-9)


@torch.no_grad()
def test_no_adjacency_enters_and_no_unused_part_is_there() -> None:
    """The original builds neighbour graphs, a graph attention and texture descriptors and uses none: the order of a
    set changes nothing but the order of the answers, and the state dict has the tensors of the network alone."""
    v, net = vectors("histosge_tiny"), tiny()
    order = torch.tensor([4, 0, 6, 2, 1, 5, 3])
    image, coords = tensor(v["image"]), tensor(v["coords"])
    np.testing.assert_allclose(net(image[:, order], coords[:, order]), v["pred"][:, order], rtol=1e-5, atol=1e-6)
    assert len(net.state_dict()) == len(state(v)) == 21


def test_half_of_the_units_is_drawn_by_the_published_generator_but_not_in_its_order() -> None:
    """numpy's legacy generator; the original reorders by a set of Python, we would sort."""
    v = vectors("lattice")
    drawn = np.random.RandomState(int(v["recovery_seed"])).choice(9, round(0.5 * 9), replace=False)
    assert sorted(drawn) == sorted(v["recovery_sample_index"].tolist()) != v["recovery_sample_index"].tolist()
