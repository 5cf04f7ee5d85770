"""HISTEX's blocks and its published recipe against numbers of the original code (specs/histex.md)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_pixelgene.arithmetic.pooling import disk_mask, disk_weights, integer_disk_weights
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.models.base import View
from napari_pixelgene.models.histex.context import nearest
from napari_pixelgene.models.histex.fitted_original import FittedOriginal
from napari_pixelgene.models.histex.network import (
    BidirectionalCrossAttention,
    CrossAttention,
    HistexNet,
    OffsetLinear,
)
from napari_pixelgene.models.histex.original import batch_size
from napari_pixelgene.models.histex.settings import HistexSettings
from napari_pixelgene.models.histex.windows import sliding_windows

HERE = Path(__file__).parents[1] / "vectors" / "histex"
SHARED = Path(__file__).parents[2].parent / "shared" / "vectors" / "histex"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="shared/vectors is not beside the repository")

_PROJECTIONS = ("query_proj", "key_proj", "value_proj", "output_proj")
# The published names; a rename would orphan every checkpoint.
NAMES = {
    *(
        f"{block}.cross_attention{i}.{p}.{w}"
        for block in ("MCA1", "MCA2")
        for i in (1, 2, 3)
        for p in _PROJECTIONS
        for w in ("weight", "bias")
    ),
    "l1.weights", "l2.weights", *(f"output_module.{i}.weights" for i in range(4)), "fal_out.weights",
}  # fmt: skip


def tensor(array: Any) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array))


def weights(vectors: Any) -> dict[str, np.ndarray]:
    """Small integers times a scale, as they are kept."""
    names = [k.removeprefix("q/") for k in vectors.files if k.startswith("q/")]
    return {n: vectors[f"q/{n}"].astype(np.float32) * np.float32(vectors[f"scale/{n}"]) for n in names}


def tiny() -> tuple[HistexNet, Any]:
    v = np.load(HERE / "spapsc_tiny.npz")
    net = HistexNet(11, 6, 16)
    net.load_state_dict({name: tensor(a) for name, a in weights(v).items()})
    return net, v


def test_cross_attention_of_the_original() -> None:
    v = np.load(HERE / "cross_attention_tiny.npz")
    net = BidirectionalCrossAttention(12, 6, 16)
    net.load_state_dict({k.removeprefix("sd/"): tensor(v[k]) for k in v.files if k.startswith("sd/")})
    a, b = tensor(v["A"]), tensor(v["B"])
    with torch.no_grad():
        got = {"layer1": net.cross_attention1(a, b), "layer2": net.cross_attention2(b, a), "out": net(a, b)}
        got |= {"order": net.cross_attention1(a, b.flip(1))}
    for name in ("layer1", "layer2", "out"):
        np.testing.assert_allclose(got[name], v[name], atol=1e-6)
    np.testing.assert_allclose(got["order"], v["layer1"], atol=1e-6)  # the order of units says nothing


def test_scores_are_scaled_by_the_number_of_heads_and_not_by_their_width() -> None:
    torch.manual_seed(0)
    net = CrossAttention(3, 2, 16)  # 8 heads of width 2
    query, key = torch.randn(1, 4, 3), torch.randn(1, 5, 2)
    with torch.no_grad():
        q, k, v = net.query_proj(query), net.key_proj(key), net.value_proj(key)
        heads = [
            (q[..., 2 * h : 2 * h + 2] @ k[..., 2 * h : 2 * h + 2].mT / 8**0.5).softmax(-1) @ v[..., 2 * h : 2 * h + 2]
            for h in range(8)
        ]
        np.testing.assert_allclose(net(query, key), net.output_proj(torch.cat(heads, -1)), atol=1e-6)


def test_custom_linear_of_the_original() -> None:
    v = np.load(HERE / "linear_tiny.npz")
    bent, plain = OffsetLinear(5, 4, bias=True, elu=True), OffsetLinear(5, 4)
    bent.load_state_dict({"weights": tensor(v["a/weights"]), "bias": tensor(v["a/bias"])})
    plain.load_state_dict({"weights": tensor(v["b/weights"])})
    x = tensor(v["x"])
    with torch.no_grad():
        np.testing.assert_allclose(bent(x), v["out_elu_bias"], atol=1e-6)
        np.testing.assert_allclose(bent(x, torch.tensor([2, 0])), v["out_elu_bias_idx"], atol=1e-6)
        np.testing.assert_allclose(plain(x), v["out_identity"], atol=1e-6)
    fresh = OffsetLinear(400, 25).weights
    assert 0.199 < float(fresh.detach().abs().max()) <= 0.2  # ±1/√out, not √in


def test_names_and_shapes_of_the_published_network() -> None:
    net = HistexNet(1029, 1000)
    state = net.state_dict()
    assert set(state) == NAMES
    assert sum(t.numel() for t in state.values()) == pytest.approx(4.19e6, rel=2e-3)
    assert tuple(state["MCA1.cross_attention2.value_proj.weight"].shape) == (128, 1029)
    assert tuple(state["MCA2.cross_attention1.key_proj.weight"].shape) == (128, 1000)
    assert [tuple(state[f"output_module.{i}.weights"].shape) for i in range(4)] == [
        (1157, 1024), (1024, 512), (512, 512), (512, 512),
    ]  # fmt: skip


def test_forward_of_the_original_layer_by_layer_and_folded() -> None:
    net, v = tiny()
    his, gene = tensor(v["his"]), tensor(v["gene"])
    with torch.no_grad():
        latent = net.latent(his, gene)
        np.testing.assert_allclose(latent, v["latent"], atol=1e-6)
        np.testing.assert_allclose(net.output(latent, his), v["out"], atol=1e-6)
        np.testing.assert_allclose(net.output(latent, his, torch.tensor([4, 1])), v["out_genes_4_1"], atol=1e-6)
        np.testing.assert_allclose(net(his, gene), v["out"], atol=1e-6)
        inside = tensor(disk_mask(3.4375)[1:-1, 1:-1].ravel())
        loss = ((net(his, gene)[:, inside].mean(1) - tensor(v["y"])) ** 2).mean()
    assert float(loss) == pytest.approx(float(v["loss"]), abs=1e-6)


def test_ten_adam_steps_of_the_original_through_the_folded_head() -> None:
    net, v = tiny()
    after = np.load(HERE / "spapsc_train.npz")
    inside = tensor(disk_mask(3.4375)[1:-1, 1:-1].ravel())
    his, gene, y = (tensor(v[k]) for k in ("his", "gene", "y"))
    adam, losses = torch.optim.Adam(net.parameters(), lr=1e-4), []
    for _ in range(5):
        for some in (slice(0, 3), slice(3, 6)):
            loss = ((net(his[some], gene[some])[:, inside].mean(1) - y[some]) ** 2).mean()
            losses.append(float(loss.detach()))
            adam.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            adam.step()
    np.testing.assert_allclose(losses, after["losses"], atol=1e-5)
    np.testing.assert_allclose(net(his, gene).detach(), after["out_after"], atol=1e-5)
    np.testing.assert_allclose(net.fal_out.weights.detach(), after["fal_out_after"], atol=1e-6)


def test_batches_of_the_original() -> None:
    assert [batch_size(n) for n in (1500, 320, 40, 15)] == [32, 20, 2, 1]  # the published rule gives 0 for 15


# Disks, patches, neighbours


def test_disks_of_the_original() -> None:
    v = np.load(HERE / "datasets.npz")
    np.testing.assert_array_equal(disk_mask(3.4375)[1:-1, 1:-1], v["disk_mask_3p4375"])
    assert v["disk_mask_3p4375"].sum(1).tolist() == [3, 5, 7, 7, 7, 5, 3]
    np.testing.assert_array_equal(disk_mask(5), v["disk_mask_5"])
    i = np.arange(-5, 6)
    ring = disk_mask(5) & (i[:, None] ** 2 + i[None, :] ** 2 >= (5 - 2) ** 2)
    np.testing.assert_array_equal(ring, v["disk_ring_5_w2"])


def test_patches_are_the_windows_of_a_disk() -> None:
    v = np.load(HERE / "datasets.npz")
    for place, patch in zip(v["locs"], v["patches"], strict=True):
        rows, columns = (slice(i - 3, i + 4) for i in place)
        np.testing.assert_array_equal(v["emb"][rows, columns].reshape(49, 3), patch)
    under = integer_disk_weights(v["locs"], 3.4375, (30, 28))
    pooled = under @ v["emb"].reshape(-1, 3)
    np.testing.assert_allclose(pooled, v["patches"][:, v["disk_mask_3p4375"].ravel()].mean(1), rtol=1e-5)
    # Ours lie where the spot lies, not at whole superpixels; at a whole one both are the same 37.
    ours = disk_weights((v["locs"][:, ::-1] + 0.5) * 8.0, 27.5, 8.0, (30, 28))
    assert (ours != under).nnz == 0 and ours.getnnz(axis=1).tolist() == [37] * 4


def test_blocks_and_neighbours_where_maps_are_predicted() -> None:
    v = np.load(HERE / "datasets.npz")
    y, x = np.mgrid[-6:34, -6:41]
    features = np.zeros((*y.shape, 1), np.float32)
    features[(y < 0) | (y >= 28) | (x < 0) | (x >= 35)] = np.nan
    view = View(features, (np.stack([x, y], -1) + 0.5) * 8.0, 6)
    windows = sliding_windows(view, 7, published=True)
    assert windows.centres_um is not None
    np.testing.assert_allclose(windows.centres_um[:, ::-1] / 8 - 0.5, v["centres_h28_w35_b7"])
    hr = (v["hr_locs"][:, ::-1] + 0.5) * 8.0
    # 16 of the 20 blocks are in the vectors: those of a map of 28 × 28.
    blocks = windows.centres_um[windows.centres_um[:, 0] < 28 * 8]
    expected = v["test_gene_patches_k5"]
    got = v["hr_y"][nearest(hr, blocks, 5).index]
    np.testing.assert_array_equal(np.sort(got, axis=1), np.sort(expected, axis=1))


def test_the_shipped_training_context_is_that_of_another_spot() -> None:
    """The n-th unit was given the surroundings of the n-th point of the denser lattice; ours are its own."""
    v = np.load(HERE / "datasets.npz")
    hr = v["hr_locs"].astype(float)
    shipped = v["hr_y"][nearest(hr, hr, 5).index]
    np.testing.assert_array_equal(np.sort(shipped, axis=1), np.sort(v["train_gene_patches_k5"], axis=1))
    ours = v["hr_y"][nearest(hr, v["locs"].astype(float), 5).index]
    same = [np.array_equal(np.sort(a, axis=0), np.sort(b, axis=0)) for a, b in zip(ours, shipped, strict=False)]
    assert same.count(True) < len(same)


@needs_shared
def test_the_prediction_stage_of_the_original() -> None:
    v = np.load(SHARED / "predict_stage.npz")
    states = [weights(np.load(SHARED / f"{f}.npz")) for f in ("spapsc_tiny", "predict_state1_weights")]
    low, high = v["cnts_min"], v["cnts_max"]
    arrays = {f"net.last.{name}": np.stack([s[name] for s in states]) for name in states[0]}
    arrays |= {"low": np.stack([low, low]), "span": np.stack([high - low] * 2), "unit_size": np.array([37.0])}
    arrays |= {"side": np.array([7]), "mean_context": np.zeros((2, 6), np.float32)}
    genes = GeneTable(tuple("abcdef"))
    fitted = FittedOriginal(arrays, HistexSettings(recipe="original"), genes)
    points = ((v["en_locs"][:, ::-1] + 0.5) * 8.0, v["en_cnts"])
    fitted._dense = lambda member, context: points  # type: ignore[method-assign]
    y, x = np.mgrid[-6:23, -6:21]
    seen = np.full((*y.shape, 11), np.nan, np.float32)
    seen[6:-6, 6:-6] = v["embs"]
    latent = fitted.latent(View(seen, (np.stack([x, y], -1) + 0.5) * 8.0, 6))
    counts = fitted.combine(latent, np.arange(6), "counts")
    np.testing.assert_allclose(counts, v["super_hwg"][:17, :15], atol=1e-6)
    np.testing.assert_allclose(fitted.combine(latent, np.array([4, 1]), "counts"), counts[..., [4, 1]], atol=1e-7)
    median = np.moveaxis(np.median(latent, axis=0)[..., :16], -1, 0)
    np.testing.assert_allclose(median, v["latent_chw"][:, :17, :15], atol=1e-6)
    back = FittedOriginal.from_arrays(fitted.arrays(), fitted.settings, genes)
    assert torch.equal(back.folded()[1][0], fitted.folded()[1][0])
