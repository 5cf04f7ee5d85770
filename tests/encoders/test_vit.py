"""UNI, UNI2-h, Virchow2 and Prov-GigaPath with a thousandth of their size: places, points, colours."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_pixelgene.encoders.patches import IMAGENET_MEAN, IMAGENET_SD
from napari_pixelgene.encoders.registry import get_encoder
from napari_pixelgene.encoders.vit import GigaPath, Uni, Uni2h, Virchow2
from napari_pixelgene.errors import SettingsError, StoreError
from tiny_vits import PUBLISHED, TinyGigaPath, TinyUni, TinyUni2h, TinyVirchow2, noise, run, write_weights

PIXELS = noise(300, 420, seed=4)


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    def load(kind: Any, shifts: int = 1) -> Any:
        encoder = kind()
        encoder.configure(4, shifts)
        encoder.load(write_weights(encoder, tmp_path / encoder.name))
        return encoder

    return load


def test_the_table_of_transforms() -> None:
    """Red first, ImageNet's colours, windows of 224 at 0.5 µm; patches of one superpixel or of 7 µm."""
    for kind, patch, width, point in (
        (Uni, 16, 1024, 1024), (Uni2h, 14, 1536, 1536), (Virchow2, 14, 1280, 2560), (GigaPath, 16, 1536, 1536),
    ):  # fmt: skip
        encoder = kind()
        assert (encoder.mpp, encoder.point_px, encoder.patch_px) == (0.5, 224, patch)
        assert (len(encoder.channels), encoder.point_channels) == (width, point)
        assert encoder.transform.mean == IMAGENET_MEAN == (0.485, 0.456, 0.406)
        assert encoder.transform.sd == IMAGENET_SD == (0.229, 0.224, 0.225)
        assert encoder.reach_px == 224 and encoder.windows.stride_px == 112
        assert (
            encoder.weights[0].gated and "gated" in encoder.license and encoder.name == get_encoder(encoder.name).name
        )


@pytest.mark.parametrize("kind", PUBLISHED, ids=lambda k: k.name)
@torch.inference_mode()
def test_superpixels_get_the_patches_over_them(loaded: Any, kind: Any) -> None:
    """The first window of the slide, seen alone: its tokens, resampled here by hand."""
    encoder = loaded(kind)
    got = run(encoder, PIXELS)
    window = torch.from_numpy(PIXELS[:224, :224].copy())[None]
    tokens = encoder.tokens(window)[0, encoder.first_patch :]
    k = 224 // encoder.patch_px
    spread = tokens.view(k, k, -1).numpy().repeat(encoder.patch_px, 0).repeat(encoder.patch_px, 1)
    wanted = spread.reshape(14, 16, 14, 16, -1).mean((1, 3))
    assert np.std(wanted, axis=(0, 1)).min() > 0.01
    np.testing.assert_allclose(got[:14, :14], wanted, atol=4e-3)  # float16
    assert np.isfinite(got).all() and got.shape == (19, 27, 24)


@torch.inference_mode()
def test_registers_are_no_patches(loaded: Any) -> None:
    for kind, before in ((TinyUni, 1), (TinyUni2h, 9), (TinyVirchow2, 5), (TinyGigaPath, 1)):
        encoder = loaded(kind)
        tokens = encoder.tokens(torch.zeros((1, 224, 224, 3), dtype=torch.uint8))
        assert encoder.first_patch == before and tokens.shape[1] == before + (224 // encoder.patch_px) ** 2


@torch.inference_mode()
def test_a_point_is_the_class_token_and_of_virchow_the_mean_patch_too(loaded: Any) -> None:
    squares = torch.from_numpy(np.stack([PIXELS[i : i + 224, 2 * i : 2 * i + 224] for i in range(6)]))
    for kind in (TinyGigaPath, TinyVirchow2):
        encoder = loaded(kind)
        got, tokens = encoder.encode_points(squares), encoder.tokens(squares)
        assert got.shape == (6, encoder.point_channels)
        np.testing.assert_allclose(got[:, :24], tokens[:, 0], atol=1e-5)
        assert not torch.allclose(got[0, :24], got[5, :24], atol=1e-3)
    np.testing.assert_allclose(got[:, 24:], tokens[:, 5:].mean(1), atol=1e-5)
    assert encoder.encode_points(squares[:0]).shape == (0, 48)


@torch.inference_mode()
def test_red_is_red(loaded: Any) -> None:
    encoder = loaded(TinyUni)
    swapped = run(encoder, np.ascontiguousarray(PIXELS[..., ::-1]))
    assert np.abs(swapped - run(encoder, PIXELS)).max() > 0.1


def test_without_weights_it_says_so() -> None:
    with pytest.raises(StoreError, match="'uni' are not loaded"):
        Uni().encode_points(torch.zeros((1, 224, 224, 3), dtype=torch.uint8))
    with pytest.raises(SettingsError, match="'stain_texture' has no vector for a point"):
        get_encoder("stain_texture").encode_points(torch.zeros((1, 1, 1, 3), dtype=torch.uint8))
