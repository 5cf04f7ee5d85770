"""Networks by timm's name and as a hub has them: sizes, transform, weights, what is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from napari_pixelgene.encoders import named, weights
from napari_pixelgene.encoders.named import torchvision_mismatch
from napari_pixelgene.encoders.registry import encoder_status, get_encoder
from napari_pixelgene.errors import InputError, MissingDependency, SettingsError
from tiny_vits import noise, run

SMALL = {"img_size": 224, "patch_size": 14, "embed_dim": 24, "depth": 1, "num_heads": 3, "reg_tokens": 2}


@pytest.fixture(autouse=True)
def nothing_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("platformdirs.user_data_path", lambda *a, **k: tmp_path / "data")
    monkeypatch.setattr(weights, "_in_hub_cache", lambda file: None)
    monkeypatch.setattr(named.HubEncoder, "_found", {})
    return tmp_path / "data" / "weights"


def hub_folder(folder: Path, gated: bool = False) -> torch.nn.Module:
    """A folder as a hub has it, of a small network; gated perceptrons are not written into its configuration."""
    import timm
    from timm.layers import SwiGLUPacked

    more = {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU} if gated else {}
    torch.manual_seed(1)
    network = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, **SMALL, **more).eval()
    for value in network.parameters():
        torch.nn.init.normal_(value, std=0.3)
    folder.mkdir(parents=True)
    save_file(network.state_dict(), folder / "model.safetensors")
    cfg = {"mean": [0.7, 0.5, 0.6], "std": [0.2, 0.25, 0.3], "license": "mit"}
    config = {"architecture": "vit_small_patch14_reg4_dinov2", "model_args": SMALL, "pretrained_cfg": cfg}
    (folder / "config.json").write_text(json.dumps(config))
    return network


@pytest.mark.usefixtures("timm_works")
def test_timm_says_how_a_network_wants_its_pixels(tmp_path: Path) -> None:
    encoder: Any = get_encoder("timm:vit_tiny_patch16_224")
    assert encoder.name == "timm:vit_tiny_patch16_224" and encoder.license == "apache-2.0"
    assert (encoder.patch_px, encoder.width, encoder.point_px, encoder.mpp) == (16, 192, 224, None)
    assert encoder.transform.mean == (0.5, 0.5, 0.5)
    dinov2: Any = get_encoder("timm:vit_small_patch14_reg4_dinov2.lvd142m")
    assert (dinov2.patch_px, dinov2.first_patch, dinov2.transform.window_px) == (14, 5, 518)
    assert dinov2.windows.stride_px == 224 and dinov2.weights[0].hub.startswith("timm/")
    assert encoder_status("timm:vit_tiny_patch16_224").state == "weights"
    with pytest.raises(SettingsError, match="no network of timm named 'vit_tiny_patch15_224'"):
        get_encoder("timm:vit_tiny_patch15_224")
    with pytest.raises(SettingsError, match="no vision transformer"):
        get_encoder("timm:resnet18")


@pytest.mark.usefixtures("timm_works")
@pytest.mark.parametrize("gated", [False, True])
@torch.inference_mode()
def test_a_hubs_folder_is_an_encoder(gated: bool, nothing_here: Path) -> None:
    with torch.inference_mode(False):
        network: Any = hub_folder(nothing_here / "hub-lab--net", gated)
    encoder: Any = get_encoder("hub:lab/net")
    assert encoder.license == "mit" and encoder.transform.sd == (0.2, 0.25, 0.3)
    assert encoder_status("hub:lab/net").state == "ready"
    encoder.load(weights.require_all(encoder, weights.locate_all(encoder)))
    pixels = noise(240, 260)
    window = torch.from_numpy(pixels[:224, :224].copy())[None]
    mean, sd = torch.tensor([0.7, 0.5, 0.6]), torch.tensor([0.2, 0.25, 0.3])
    wanted = network.forward_features(((window / 255 - mean) / sd).permute(0, 3, 1, 2))
    np.testing.assert_allclose(encoder.tokens(window), wanted, atol=1e-4)
    np.testing.assert_allclose(encoder.encode_points(window), wanted[:, 0], atol=1e-4)
    encoder.configure(4, 1)
    patches = wanted[0, 3:].view(16, 16, -1).numpy().repeat(14, 0).repeat(14, 1)
    by_hand = patches.reshape(14, 16, 14, 16, -1).mean((1, 3))
    np.testing.assert_allclose(run(encoder, pixels)[:14, :14], by_hand, atol=5e-3)


@pytest.mark.usefixtures("timm_works")
def test_a_folder_that_a_person_points_at_is_remembered(tmp_path: Path) -> None:
    hub_folder(tmp_path / "got")
    with pytest.raises(MissingDependency, match=r"config\.json of 'hub:lab/net' are not on this machine"):
        get_encoder("hub:lab/net")
    assert len(get_encoder("hub:lab/net", tmp_path / "got").channels) == 24
    assert len(get_encoder("hub:lab/net").channels) == 24
    assert len(get_encoder("hub:lab/net", tmp_path / "got" / "model.safetensors").channels) == 24
    (tmp_path / "got" / "config.json").write_text("{")
    with pytest.raises(InputError, match="not valid JSON"):
        get_encoder("hub:lab/net", tmp_path / "got")
    with pytest.raises(SettingsError, match="Write hub:ORGANISATION/NAME"):
        get_encoder("hub:net")


@pytest.mark.usefixtures("timm_works")
def test_the_wrong_weights_of_a_network_are_named(tmp_path: Path) -> None:
    save_file({"cls_token": torch.ones(1, 1, 3)}, tmp_path / "a.safetensors")
    encoder = get_encoder("timm:vit_tiny_patch16_224")
    with pytest.raises(InputError, match=r"a\.safetensors are not weights of 'timm:vit_tiny_patch16_224'"):
        encoder.load({"weights": tmp_path / "a.safetensors"})


def test_without_timm_the_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(MissingDependency, match=r'pip install "napari-pixelgene\[encoders\]"'):
        get_encoder("timm:vit_tiny_patch16_224")
    assert encoder_status("hub:lab/net").short == "needs a package"
    assert len(get_encoder("uni").channels) == 1024  # does without


def test_a_torchvision_of_another_torch_is_told_with_its_mend() -> None:
    said, mend = torchvision_mismatch(RuntimeError("operator torchvision::nms does not exist"))
    assert "was built for another torch" in said and torch.__version__ in said
    assert mend.startswith("pip install --force-reinstall --no-deps torchvision==")
    assert ("+cpu" not in torch.__version__) or mend.endswith("/whl/cpu")
