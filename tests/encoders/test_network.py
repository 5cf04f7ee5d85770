"""The transformer against the reference vectors of the original HIPT classes, and against timm's for the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_pixelgene.encoders.hipt import Hipt
from napari_pixelgene.encoders.network import Shape, VisionTransformer, build, normalised
from napari_pixelgene.encoders.vit import GigaPath, Uni, Uni2h, Virchow2

SHARED = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not SHARED.is_dir(), reason="shared/vectors is not beside the repository")


def hipt_vectors() -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SHARED / "pixel2gene" / "hipt.json").read_text())
    return found


def by_formula(network: VisionTransformer, scale: float) -> VisionTransformer:
    """Arrays sorted by name, index k; element n is scale · sin(0.37 n + k), one more for weights of norms."""
    filled = {}
    for k, (name, value) in enumerate(sorted(network.state_dict().items())):
        numbers = scale * torch.sin(0.37 * torch.arange(value.numel(), dtype=torch.float64) + k)
        is_norm = "norm" in name and name.endswith("weight")
        filled[name] = (numbers.view(value.shape) + is_norm).float()
    network.load_state_dict(filled, assign=True)
    return network


def iscale_filled(network: VisionTransformer, names: list[list[Any]]) -> VisionTransformer:
    """Arrays in the listed order: 0.1 · sin(0.37 t + i + 1), one more for weights of norms."""
    filled = {}
    for i, (name, shape) in enumerate(names):
        count = int(np.prod(shape))
        base = 1.0 if "norm" in name and name.endswith("weight") else 0.0
        numbers = base + 0.1 * np.sin(0.37 * np.arange(count) + i + 1)
        filled[name] = torch.from_numpy(numbers.astype(np.float32)).view(shape)
    network.load_state_dict(filled, assign=True)
    return network


@needs_vectors
@torch.inference_mode()
def test_vit256_is_the_originals() -> None:
    known = hipt_vectors()["vit256"]
    network = by_formula(build(Hipt.shape), 0.05)
    state = network.state_dict()
    assert sum(v.numel() for v in state.values()) == known["n_params"] and len(state) == known["n_tensors"]
    assert sorted(state)[:4] == known["first_names"]
    c, row, column = torch.meshgrid(torch.arange(3), torch.arange(256), torch.arange(256), indexing="ij")
    out = network(torch.sin(0.01 * (c + 1) * row + 0.02 * column)[None])[0]
    assert list(out.shape) == known["out_shape"]
    for token, name in ((0, "cls"), (1, "token_0_0"), (2, "token_0_1"), (256, "token_15_15")):
        np.testing.assert_allclose(out[token, :8], known[f"{name}_first8"], atol=1e-3)
    assert float(out.abs().sum()) == pytest.approx(known["sum_abs"], rel=1e-4)


@needs_vectors
@torch.inference_mode()
def test_vit4k_is_the_originals() -> None:
    known = hipt_vectors()["vit4k"]
    network = by_formula(build(Hipt.context_shape), known["param_scale"])
    state = network.state_dict()
    assert sum(v.numel() for v in state.values()) == known["n_params"] and len(state) == known["n_tensors"]
    c, row, column = torch.meshgrid(torch.arange(384), torch.arange(3), torch.arange(5), indexing="ij")
    out = network(torch.cos(0.013 * c + 0.5 * row - 0.3 * column)[None])[0]
    assert list(out.shape) == known["out_shape"]
    for token, name in ((0, "cls"), (1, "token_r0c0"), (2, "token_r0c1"), (15, "token_r2c4")):
        np.testing.assert_allclose(out[token, :8], known[f"{name}_first8"], atol=1e-3)
    assert float(out.abs().sum()) == pytest.approx(known["sum_abs"], rel=1e-4)


@needs_vectors
@torch.inference_mode()
def test_large_logits_do_not_overflow() -> None:
    """The original's softmax gives NaN at this scale of weights."""
    known = hipt_vectors()["vit4k_softmax_overflow"]
    assert known["result_all_nan"] and known["max_logit_first_block"] > 88
    network = by_formula(build(Hipt.context_shape), known["param_scale"])
    c, row, column = torch.meshgrid(torch.arange(384), torch.arange(3), torch.arange(5), indexing="ij")
    assert torch.isfinite(network(torch.cos(0.013 * c + 0.5 * row - 0.3 * column)[None])).all()


@needs_vectors
@torch.inference_mode()
def test_the_tables_of_positions_are_resized_as_the_original_does() -> None:
    known = hipt_vectors()["vit256"]["pos_embed_interp"]
    table = by_formula(build(Hipt.shape), 0.05).positions(16, 16)[0]
    assert len(table) == known["out_tokens"]
    for place in (0, 17, 255):
        np.testing.assert_allclose(table[1 + place, :4], known[f"tok_{place}_first4"], atol=1e-5)
    arrays = np.load(SHARED / "iscale" / "v25_vit" / "vit.npz")
    small = build(Shape(width=12, depth=2, heads=3, hidden=48, given_scale=True))
    small.pos_embed = torch.nn.Parameter(torch.from_numpy(arrays["pos_embed_in"]))
    np.testing.assert_allclose(small.positions(3, 5).detach(), arrays["pos_interp_3x5"], atol=1e-5)
    np.testing.assert_allclose(small.positions(16, 16).detach(), arrays["pos_interp_16x16"], atol=1e-5)


@needs_vectors
@torch.inference_mode()
def test_small_networks_are_iscales() -> None:
    said = json.loads((SHARED / "iscale" / "v25_vit" / "vit.json").read_text())
    arrays = np.load(SHARED / "iscale" / "v25_vit" / "vit.npz")
    small = build(Shape(width=12, depth=2, heads=3, hidden=48, given_scale=True))
    out = iscale_filled(small, said["vit256"]["params"])(torch.from_numpy(arrays["in256"]))
    np.testing.assert_allclose(out, arrays["out256"], atol=1e-5)
    small = build(Shape(width=6, depth=2, heads=2, hidden=24, inputs=12, given_scale=True))
    out = iscale_filled(small, said["vit4k"]["params"])(torch.from_numpy(arrays["in4k"]))
    np.testing.assert_allclose(out, arrays["out4k"], atol=1e-5)


# As the publishers' loading code hands them to timm; small in depth and width, so that both fit a test.
TIMM: dict[Any, dict[str, Any]] = {
    Uni: {"model_name": "vit_large_patch16_224", "init_values": 1e-5, "dynamic_img_size": True},
    Uni2h: {
        **{"model_name": "vit_giant_patch14_224", "img_size": 224, "patch_size": 14, "init_values": 1e-5},
        **{"mlp_ratio": 2.66667 * 2, "no_embed_class": True, "reg_tokens": 8, "dynamic_img_size": True},
    },
    Virchow2: {
        **{"model_name": "vit_huge_patch14_224", "img_size": 224, "init_values": 1e-5},
        **{"mlp_ratio": 5.3375, "reg_tokens": 4, "dynamic_img_size": True},
    },
    GigaPath: {
        **{"model_name": "vit_giant_patch14_dinov2", "img_size": 224, "patch_size": 16},
        **{"init_values": 1e-5, "mlp_ratio": 5.33334},
    },
}
FULL = {
    Uni: (1024, 24, 16, 303_350_784),
    Uni2h: (1536, 24, 24, 681_394_176),
    Virchow2: (1280, 32, 16, 631_239_424),
    GigaPath: (1536, 40, 24, 1_134_953_984),
}


def timms(member: Any, **more: Any) -> Any:
    import timm
    from timm.layers import SwiGLUPacked

    gates = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU} if member.shape.gated else {}
    return timm.create_model(**TIMM[member], **gates, **more, num_classes=0, pretrained=False).eval()


@pytest.mark.usefixtures("timm_works")
@pytest.mark.parametrize("member", TIMM, ids=lambda m: m.name)
def test_names_and_sizes_are_those_of_the_published_networks(member: Any) -> None:
    width, depth, heads, parameters = FULL[member]
    with torch.device("meta"):
        theirs = timms(member, embed_dim=width, depth=depth, num_heads=heads).state_dict()
    ours = build(member.shape).state_dict()
    assert {n: tuple(v.shape) for n, v in ours.items()} == {n: tuple(v.shape) for n, v in theirs.items()}
    assert sum(v.numel() for v in ours.values()) == parameters


@pytest.mark.usefixtures("timm_works")
@pytest.mark.parametrize("member", TIMM, ids=lambda m: m.name)
@torch.inference_mode()
def test_small_networks_say_what_timms_say(member: Any) -> None:
    from dataclasses import replace

    torch.manual_seed(3)
    width = 48
    theirs = timms(member, embed_dim=width, depth=2, num_heads=3)
    for value in theirs.parameters():
        value.copy_(torch.randn_like(value) * 0.2)
    state = theirs.state_dict()
    hidden = len(state["blocks.0.mlp.fc1.bias"])
    ours = build(replace(member.shape, width=width, depth=2, heads=3, hidden=hidden))
    ours.load_state_dict(state, assign=True)
    pixels = torch.randn(2, 3, 224, 224)
    np.testing.assert_allclose(ours(pixels), theirs.forward_features(pixels), atol=2e-5)


def test_colours_are_red_first_and_normalised() -> None:
    rgb = torch.tensor([[[[255, 0, 51]]]], dtype=torch.uint8)
    out = normalised(rgb, (0.5, 0.25, 0.1), (0.5, 0.5, 0.2))
    np.testing.assert_allclose(out[0, :, 0, 0], [1.0, -0.5, 0.5], atol=1e-6)
