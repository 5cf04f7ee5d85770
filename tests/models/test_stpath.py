"""STPath against numbers of the original code: network, tokens, masking, training steps, the whole inference."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from scipy import sparse

from made_stpath import VECTORS, load, network_of
from napari_pixelgene.arithmetic.metrics import mse, pearson, r_squared
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Context, Everything, TrainingData, TrainingSection, View
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.models.stpath.inputs import counted, encoded, nearest, scaled
from napari_pixelgene.models.stpath.labels import (
    ORGANS,
    SPECIES,
    TECHNOLOGIES,
    organ_id,
    organ_named,
    technology_id,
)
from napari_pixelgene.models.stpath.masking import mask_ratio, mask_spots
from napari_pixelgene.models.stpath.network import Attention, Block, Sizes, STPathNetwork
from napari_pixelgene.models.stpath.tuning import ClippedAdam, masked_error
from napari_pixelgene.models.stpath.vocabulary import GeneVocabulary, read_vocabulary
from napari_pixelgene.stages.training import train

CLOSE: dict[str, Any] = {"rtol": 0, "atol": 1e-5}


def tensor(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.asarray(array))


# The network


def test_names_and_shapes_are_those_of_the_released_weights() -> None:
    shapes = Sizes().shapes()
    assert len(shapes) == 61 and sum(int(np.prod(shape)) for shape in shapes.values()) == 49_177_208
    assert shapes["input_encoder.gene_embed.weight"] == (512, 38_984) and shapes["gene_exp_head.1.bias"] == (38_984,)
    assert shapes["model.blks.3.attn.layernorm_qkv.1.weight"] == (1536, 512)
    assert shapes["model.blks.0.attn.edge_bias.0.weight"] == (4, 3)
    assert {name for name in shapes if name.startswith("model.blks.2.")} == {
        f"model.blks.2.{name}"
        for name in (
            "attn.layernorm_qkv.0.weight", "attn.layernorm_qkv.0.bias", "attn.layernorm_qkv.1.weight",
            "attn.layernorm_qkv.1.bias", "attn.W_output.0.weight", "attn.W_output.0.bias",
            "attn.edge_bias.0.weight", "mlp.fc1.weight", "mlp.fc1.bias", "mlp.norm.weight", "mlp.norm.bias",
            "mlp.fc2.weight", "mlp.fc2.bias",
        )
    }  # fmt: skip
    assert {name.partition(".")[0] for name in shapes} == {"input_encoder", "model", "gene_exp_head"}


@pytest.mark.parametrize("rows", [3, 11])
def test_attention_is_the_originals_slide_by_slide(rows: int) -> None:
    v = load("attention_tiny.npz")
    attention = Attention(Sizes(2, 8, 16, 1, int(v["heads"]), 32), 0.0)
    attention.load_state_dict({key[3:]: tensor(value) for key, value in v.items() if key.startswith("sd/")})
    x, coords, slides = v["x"][0], v["coords"][0], v["batch_idx"]
    assert len(np.unique(slides)) == 2
    for out, which in ((v["out"][0], [slides == k for k in np.unique(slides)]), (v["out_nomask"][0], [slides >= 0])):
        for mine in which:
            mine_x, mine_xy = tensor(x[mine]), tensor(coords[mine])
            keys, values = attention.keys_values(mine_x)
            for start in range(0, len(mine_x), rows):
                some = slice(start, start + rows)
                with torch.no_grad():
                    heard = attention(mine_x[some], mine_xy[some], mine_xy, keys, values)
                np.testing.assert_allclose(heard.numpy(), out[mine][some], **CLOSE)


def test_frame_averaging_leaves_a_slope_times_the_distance() -> None:
    v = load("attention_tiny.npz")
    attention = Attention(Sizes(2, 8, 16, 1, int(v["heads"]), 32), 0.0)
    attention.load_state_dict({key[3:]: tensor(value) for key, value in v.items() if key.startswith("sd/")})
    at = tensor(v["coords"][0])
    bias = attention.bias(at, at).detach().numpy().transpose(1, 2, 0)
    same = v["batch_idx"][:, None] == v["batch_idx"][None]
    np.testing.assert_allclose(bias[same], v["spatial_bias_nmh"][same], rtol=0, atol=1e-5)
    with torch.no_grad():
        attention.edge_bias[0].weight[:, :2] = 1e3  # type: ignore[index]  # the frames' columns act on nothing
    np.testing.assert_array_equal(attention.bias(at, at).detach().numpy().transpose(1, 2, 0), bias)


def forward(network: STPathNetwork, v: dict[str, Any], mine: np.ndarray, rows: int = 0) -> dict[str, torch.Tensor]:
    inputs = [tensor(v[key][mine]) for key in ("img", "coords", "tech_ids", "organ_ids")]
    expression = tensor(v["ge_tokens"][mine]) @ network.input_encoder.gene_embed.weight.T
    image, xy, technology, organ = inputs
    encoded_spots = network.input_encoder(image, expression, technology, organ)
    hidden = network.model(encoded_spots, xy, rows)
    pred = network.gene_exp_head[1](network.hidden(image, expression, xy, technology, organ, rows))
    return {"encoded": encoded_spots, "hidden": hidden, "pred": pred}


@pytest.mark.parametrize(("rows", "written_out"), [(0, False), (2, False), (0, True)])
def test_the_network_is_the_originals_at_every_stage(rows: int, written_out: bool) -> None:
    v = load("stfm_tiny.npz")
    network = network_of(v)
    for module in network.modules():
        if isinstance(module, Attention):
            module.written_out = written_out
    for slide in np.unique(v["batch_idx"]):
        mine = v["batch_idx"] == slide
        with torch.no_grad():
            out = forward(network, v, mine, rows)
        for stage, values in out.items():
            np.testing.assert_allclose(values.numpy(), v[stage][mine], **CLOSE, err_msg=stage)


def test_the_slopes_of_distance_learn_only_where_attention_is_written_out() -> None:
    sizes = Sizes(5, 3, 8, 1, 2, 16)
    block = Block(sizes, 0.0)
    block.attn.written_out = True
    block(torch.randn(6, 8), torch.rand(6, 2) * 100).sum().backward()
    gradient = block.attn.edge_bias[0].weight.grad  # type: ignore[union-attr]
    assert (gradient[:, 2] != 0).all() and (gradient[:, :2] == 0).all()


# What it is fed


def test_tokens_are_ranks_of_ids_and_symbols_lead_to_them() -> None:
    t = json.loads((VECTORS / "tokenizers.json").read_text())
    v = read_vocabulary(VECTORS / "symbol2ensembl_tiny.json", released=False)
    assert {gene: v.token(gene) for gene in v.ids} == t["gene2id"] and len(v) == t["n_tokens"]
    names = t["encode_names"]
    tokens = v.tokens(GeneTable(tuple(names)))
    assert [x for x in tokens if x >= 0] == t["encode_obs_ids"] and tokens[names.index("ZZZ")] == -1
    counts = sparse.csr_matrix(np.array(t["encode_counts"]))
    for how, key in (("last", "encode_dense"), ("max", "encode_sparse_max_dense")):
        dense = encoded(counts, tokens, len(v), how).toarray()  # type: ignore[arg-type]
        np.testing.assert_allclose(dense, np.log1p(t[key]), rtol=1e-6)
    assert v.token("ENSG00000000100.7") == 3 and v.token("genea") is None


def test_all_genes_are_listed() -> None:
    t = json.loads((VECTORS / "tokenizers.json").read_text())
    v = read_vocabulary(VECTORS / "symbol2ensembl_tiny.json", released=False)
    table = v.table(prefer=("ALIASA", "NOTINVOC"))
    assert list(table.ids[2:]) == t["available_genes_as_returned"] and len(table) == len(v) - 2 == 5
    assert table.symbols == ("GENEC", "ALIASA", "GENEB", "GENEE", "GENED")
    assert v.tokens(table).tolist() == [2, 3, 4, 5, 6]
    assert GeneVocabulary.unpacked(v.packed()).table() == v.table()


def test_unknown_symbols_are_told() -> None:
    t = json.loads((VECTORS / "tokenizers.json").read_text())
    v = read_vocabulary(VECTORS / "symbol2ensembl_tiny.json", released=False)
    tokens, places = t["symbol2id_demo"]
    known = {token: place for place, token in enumerate(map(v.token, ("GENED", "NOTINVOC", "GENEA"))) if token}
    assert (list(known), list(known.values())) == (tokens, places)
    assert v.named(("GENED", "ENSG00000000100")).ids == ("ENSG00000000400", "ENSG00000000100")
    with pytest.raises(InputError, match=r"without an Ensembl id .* knows: NOTINVOC, genea\."):
        v.named(("GENED", "NOTINVOC", "genea"))
    with pytest.raises(InputError, match="'GENEA' and 'ALIASA' are one gene"):
        v.named(("GENEA", "GENED", "ALIASA"))


def test_the_normalisation_drops_rare_genes_and_takes_logs() -> None:
    t = json.loads((VECTORS / "tokenizers.json").read_text())
    counts, names = sparse.csr_matrix(np.array(t["encode_counts"])), np.array(t["encode_names"])
    kept = counted(counts)
    assert names[kept].tolist() == t["log1pv2_kept_genes"]
    v = read_vocabulary(VECTORS / "symbol2ensembl_tiny.json", released=False)
    taken = encoded(counts[:, kept], v.tokens(GeneTable(tuple(names[kept]))), len(v))
    columns = [v.token(str(name)) for name in names[kept]]
    np.testing.assert_allclose(taken.toarray()[:, columns], t["log1pv2_X"], rtol=1e-6)


def test_names_of_organs_and_technologies_are_looked_up_as_published() -> None:
    t = json.loads((VECTORS / "tokenizers.json").read_text())
    assert {name: organ_id(name) for name in t["organ"]} == t["organ"]
    assert {name: technology_id(name) for name in t["tech"]} == t["tech"]
    assert organ_id(None) == technology_id(None) == 0
    assert ["<pad>", *ORGANS[1:]] == list(t["organ_vocab"]) and ["<pad>", *TECHNOLOGIES[1:]] == list(t["tech_vocab"])
    assert list(SPECIES) == list(t["specie_vocab"])
    assert organ_id("Ovary") == 24 and ORGANS.index(organ_named("OVARY")) == 19  # ours says what a person means


def test_places_are_scaled_and_neighbours_found_as_in_the_original() -> None:
    v = load("sampler.npz")
    np.testing.assert_allclose(scaled(v["coords"]), v["rescaled"], **CLOSE)
    assert nearest(v["coords"], 0, 7).tolist() == v["nearest_center0_k7"].tolist()
    legacy = np.random.RandomState(42)  # the published sampler draws its centres from numpy's old generator
    drawn = [nearest(v["coords"], int(legacy.randint(0, 20)), 6).tolist() for _ in range(3)]
    assert drawn == v["seeded_batch6"].tolist()
    assert nearest(v["coords"], 5, 20).tolist() == list(range(20))


def test_masking_is_the_originals() -> None:
    v = load("masking.npz")
    torch.manual_seed(int(v["seed"]))
    spots, genes = v["obs_gene_ids"].shape
    masking = mask_spots(spots, genes, float(v["mask_ratio"]), lambda n: torch.randperm(n).numpy())
    assert masking.scored.tolist() == v["mask_ids"].tolist()
    tokens = v["tokens"].copy()
    tokens[masking.hidden] = np.eye(tokens.shape[1])[1]
    for row in masking.thinned:
        tokens[row, v["obs_gene_ids"][row][masking.dropped]] = 0
    np.testing.assert_array_equal(tokens, v["masked_tokens"])
    np.testing.assert_array_equal(v["tokens"][masking.scored], v["gt_tokens"])
    assert mask_spots(3, 4, 0.0, np.random.default_rng(0).permutation).scored.size == 1
    ratios = [mask_ratio(np.random.default_rng(seed)) for seed in range(400)]
    assert np.mean(ratios) == pytest.approx(10 / 11, abs=0.01)


# Training


def asked_of(v: dict[str, Any]) -> torch.Tensor:
    """(masked spots, tokens) which entries the loss is taken over: the observed ids of each, 0 being padding."""
    asked = np.zeros(v["ge_labels"].shape, dtype=bool)
    for row, ids in enumerate(v["obs_gene_ids"][v["mask_positions"]]):
        asked[row, ids[ids > 0]] = True
    return tensor(asked)


def predicted(network: STPathNetwork, v: dict[str, Any]) -> torch.Tensor:
    """(spots, tokens) slide by slide."""
    slides = v["batch_idx"]
    order = np.concatenate([np.flatnonzero(slides == k) for k in np.unique(slides)])
    parts = [forward(network, v, slides == k)["pred"] for k in np.unique(slides)]
    return torch.cat(parts)[np.argsort(order)]


def test_five_steps_of_training_are_the_originals() -> None:
    v, steps = load("stfm_tiny.npz"), load("stfm_train5.npz")
    network = network_of(v)
    for module in network.modules():
        if isinstance(module, Attention):
            module.written_out = True
    optimizer = ClippedAdam(list(network.parameters()), lr=5e-4)
    losses, norms = [], []
    for _ in range(5):
        out = predicted(network, v)[v["mask_positions"]]
        error = masked_error(out[None], tensor(v["ge_labels"]), asked_of(v)).sum()
        optimizer.zero_grad()
        error.backward()  # type: ignore[no-untyped-call]
        norms.append(float(torch.linalg.vector_norm(torch.stack([p.grad.norm() for p in network.parameters()]))))
        optimizer.step()
        losses.append(float(error.detach()))
    assert losses[0] == pytest.approx(float(v["loss"]), abs=1e-5)
    np.testing.assert_allclose(losses, steps["losses"], rtol=0, atol=1e-5)
    np.testing.assert_allclose(norms, steps["grad_norms"], rtol=1e-4)
    with torch.no_grad():
        np.testing.assert_allclose(predicted(network, v).numpy(), steps["pred_after"], rtol=0, atol=2e-5)


def test_scores_are_the_originals() -> None:
    m = json.loads((VECTORS / "metrics.json").read_text())
    a, b, result = np.array(m["pred"]), np.array(m["target"]), m["result"]
    r = [each["pearson_corr"] for each in result["pearson_corrs"]]
    np.testing.assert_allclose(pearson(a, b), r, atol=1e-9)
    np.testing.assert_allclose(mse(a, b), result["l2_errors"], atol=1e-9)
    np.testing.assert_allclose(r_squared(a, b), result["r2_scores"], atol=1e-9)
    summary = [np.mean(pearson(a, b)), np.std(pearson(a, b)), *np.percentile(mse(a, b), [25, 50, 75])]
    names = ("pearson_mean", "pearson_std", "l2_error_q1", "l2_error_q2", "l2_error_q3")
    np.testing.assert_allclose(summary, [result[name] for name in names], atol=1e-9)


# The whole way


def fitted_on(v: dict[str, Any], tmp_path: Any, **chosen: Any) -> tuple[Any, TrainingSection]:
    """The recipe on the spots of the inference vectors: files, vocabulary, resolver and all."""
    torch.save({key[3:]: tensor(x) for key, x in v.items() if key.startswith("sd/")}, tmp_path / "stpath.pkl")
    files = {"weights": tmp_path / "stpath.pkl", "vocabulary": VECTORS / "symbol2ensembl_tiny.json", "released": False}
    n = len(v["coords"])
    measured = GeneTable(tuple(map(str, v["context_gene_names"])))
    counts = sparse.csr_matrix(v["raw_counts"])
    wanted = GeneTable(tuple(map(str, v["save_gene_names"])))
    section = TrainingSection(
        "INT", v["features"], sparse.identity(n, format="csr"), counts[:, measured.indices(wanted.symbols)],
        np.asarray(counts.sum(1)).ravel(), v["coords"], everything=Everything(counts, measured, np.ones(n, bool)),
    )  # fmt: skip
    ones = np.ones((1, n), dtype=bool)
    channels = tuple(map(str, range(v["features"].shape[1])))
    data = TrainingData((section,), wanted, channels, ones, ~ones)
    return train(get_model("stpath", {**files, **chosen}), data).fitted, section


@pytest.mark.parametrize(
    ("key", "chosen"),
    [
        ("pred_kidney_visium", {"organ": "kidney", "technology": "visium"}),
        ("pred_none_none", {}),
        ("pred_none_none", {"recipe": "original", "organ": "Others"}),
        ("pred_context", {"organ": "Kidney", "technology": "Visium"}),
    ],
)
def test_inference_is_the_originals(key: str, chosen: dict[str, Any], tmp_path: Any) -> None:
    v = load("inference_tiny.npz")
    fitted, section = fitted_on(v, tmp_path, **chosen)
    use = np.zeros((1, len(section)), dtype=bool)
    use[0, v["context_ids"]] = key == "pred_context"
    latent = fitted.latent(View(v["features"].astype(np.float64), v["coords"].copy(), 0, Context(section, use)))
    np.testing.assert_allclose(fitted.log1p_counts(latent, np.arange(3)), v[key], **CLOSE)
    np.testing.assert_allclose(scaled(v["coords"]), v["norm_coords"], **CLOSE)
    np.testing.assert_allclose(fitted.log1p_counts(latent, np.array([2])), v[key][:, [2]], **CLOSE)


def test_context_from_elsewhere_on_the_slide_counts_as_on_the_spot(tmp_path: Any) -> None:
    """Asked at the masked spots alone, measured ones being further points: the same answer as all together."""
    v = load("inference_tiny.npz")
    fitted, section = fitted_on(v, tmp_path, organ="Kidney", technology="Visium")
    use = np.zeros((1, len(section)), dtype=bool)
    use[0, v["context_ids"]] = True
    masked = v["masked_ids"]
    latent = fitted.latent(View(v["features"][masked], v["coords"][masked], 0, Context(section, use)))
    np.testing.assert_allclose(fitted.log1p_counts(latent, np.arange(3)), v["pred_context"][masked], **CLOSE)
