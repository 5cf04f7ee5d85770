"""stain_texture: numbers known from elsewhere, borders, symmetry, and the same answer in any tile."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.color import rgb2lab
from skimage.feature import local_binary_pattern
from skimage.filters import scharr

from napari_pixelgene.encoders.base import Encoder
from napari_pixelgene.encoders.registry import available_encoders, get_encoder
from napari_pixelgene.encoders.stain_texture import StainTexture
from napari_pixelgene.errors import SettingsError

ENCODER = StainTexture()
CHANNELS = {name: i for i, name in enumerate(ENCODER.channels)}
STATE = {"nuclear_threshold": np.float32([0.15])}
HALO = ENCODER.halo_px // 16
rng = np.random.default_rng(3)


def encode(rgb: np.ndarray, inside: np.ndarray | None = None, threshold: float = 0.15) -> np.ndarray:
    """(rows, columns, channels) of an image that holds tile and halo."""
    inside = np.ones(rgb.shape[:2], bool) if inside is None else inside
    state = {"nuclear_threshold": np.float32([threshold])}
    return ENCODER.encode(torch.from_numpy(rgb)[None], torch.from_numpy(inside)[None], state)[0].numpy()


def whole(image: np.ndarray, threshold: float = 0.15) -> np.ndarray:
    """All superpixels of an image, past whose edge there is nothing."""
    pad = ENCODER.halo_px
    rgb = np.pad(image, ((pad, pad), (pad, pad), (0, 0)), constant_values=255)
    inside = np.pad(np.ones(image.shape[:2], bool), pad)
    return encode(rgb, inside, threshold)


def noisy(rows: int, columns: int) -> np.ndarray:
    """Noise that is smooth enough to look like tissue, different everywhere."""
    base = rng.integers(60, 240, (rows // 8 + 2, columns // 8 + 2, 3)).repeat(8, 0).repeat(8, 1)[:rows, :columns]
    return np.clip(base + rng.normal(0, 12, base.shape), 0, 255).astype(np.uint8)


IMAGE = noisy(16 * 9, 16 * 7)


def block(row: int, column: int) -> np.ndarray:
    return IMAGE[16 * row : 16 * row + 16, 16 * column : 16 * column + 16]


def test_channels_are_29_in_three_windows() -> None:
    assert len(ENCODER.channels) == 87 == len(set(ENCODER.channels))
    assert ENCODER.channels[28:30] == ("pattern_9_1", "red_mean_5")
    assert ENCODER.reach_px * 0.5 == 68  # µm: half of 136
    assert ENCODER.halo_px % 16 == 0 and ENCODER.halo_px >= 16 * 8 + 1 and ENCODER.tile_px % 16 == 0


@pytest.mark.parametrize(("row", "column"), [(0, 0), (4, 3), (8, 6)])
def test_means_and_spreads_of_colour(row: int, column: int) -> None:
    got = whole(IMAGE)[row, column]
    pixels = block(row, column).reshape(-1, 3) / 255
    for i, name in enumerate(("red", "green", "blue")):
        assert got[CHANNELS[f"{name}_mean_1"]] == pytest.approx(pixels[:, i].mean(), abs=1e-6)
        assert got[CHANNELS[f"{name}_sd_1"]] == pytest.approx(pixels[:, i].std(), abs=2e-5)
    lab = rgb2lab(block(row, column) / 255.0).reshape(-1, 3).mean(0) / 100
    names = ("lightness", "green_red", "blue_yellow")
    np.testing.assert_allclose([got[CHANNELS[f"{n}_mean_1"]] for n in names], lab, atol=2e-4)


@pytest.mark.parametrize("window", [5, 17])
def test_windows_are_means_over_what_lies_on_the_slide(window: int) -> None:
    got = whole(IMAGE)
    reach = window // 2
    for row, column in ((0, 0), (4, 3), (8, 1)):
        top, left = max(row - reach, 0) * 16, max(column - reach, 0) * 16
        pixels = IMAGE[top : (row + reach + 1) * 16, left : (column + reach + 1) * 16, 0] / 255
        assert got[row, column, CHANNELS[f"red_mean_{window}"]] == pytest.approx(pixels.mean(), abs=1e-6)
        assert got[row, column, CHANNELS[f"red_sd_{window}"]] == pytest.approx(pixels.std(), abs=2e-5)


def test_a_pure_stain_is_unmixed_into_itself() -> None:
    """0.4 of haematoxylin and nothing else, then of eosin: the published vectors, written out here again."""
    for vector, mine in (((0.650, 0.704, 0.286), "haematoxylin"), ((0.072, 0.990, 0.105), "eosin")):
        unit = np.array(vector) / np.linalg.norm(vector)
        colour = np.round(256 * 10 ** (-0.4 * unit) - 1).astype(np.uint8)
        got = whole(np.broadcast_to(colour, (48, 48, 3)).copy())[1, 1]
        for name in ("haematoxylin", "eosin", "residual"):
            wanted = 0.4 if name == mine else 0.0
            assert got[CHANNELS[f"{name}_mean_1"]] == pytest.approx(wanted, abs=0.01), (mine, name)
            assert got[CHANNELS[f"{name}_sd_1"]] == pytest.approx(0, abs=2e-3)


def test_texture_agrees_with_scikit_image() -> None:
    grey = IMAGE.astype(np.float32) / 255 @ np.float32([0.2126, 0.7152, 0.0722])
    got = whole(IMAGE)
    codes = local_binary_pattern((grey * 2**20).astype(np.int64), 8, 1, "uniform")  # not interpolated: see below
    row, column = 4, 3
    inner = slice(16 * row, 16 * row + 16), slice(16 * column, 16 * column + 16)
    # scikit-image places the eight neighbours on a circle and interpolates four of them; ours are the pixels.
    offsets = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))
    bits = np.stack([np.roll(grey, (-a, -b), (0, 1)) >= grey for a, b in offsets]).astype(int)
    changes = np.abs(np.diff(np.concatenate([bits, bits[:1]]), axis=0)).sum(0)
    exact = np.where(changes <= 2, bits.sum(0), 9)[inner]
    shares = [got[row, column, CHANNELS[f"pattern_{i}_1"]] for i in range(10)]
    np.testing.assert_allclose(shares, np.bincount(exact.ravel(), minlength=10) / 256, atol=1e-6)
    theirs = np.bincount(codes[inner].astype(int).ravel(), minlength=10) / 256
    assert np.abs(np.array(shares) - theirs).sum() < 0.75 and np.corrcoef(shares, theirs)[0, 1] > 0.7
    # scikit-image's magnitude is that of the two directions over root two.
    gradient = scharr(grey.astype(np.float64))[inner].mean() * np.sqrt(2)
    assert got[row, column, CHANNELS["gradient_1"]] == pytest.approx(gradient / 2, rel=1e-4)
    histogram = np.bincount((grey[inner] * 15.9999).astype(int).ravel(), minlength=16) / 256
    entropy = -(histogram[histogram > 0] * np.log2(histogram[histogram > 0])).sum()
    assert got[row, column, CHANNELS["grey_entropy_1"]] == pytest.approx(entropy, abs=1e-4)
    padded = np.pad(grey.astype(np.float64), 1, mode="edge")
    laplacian = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:] - 4 * grey
    energy = np.log((laplacian[inner] ** 2).mean() + 1e-6)
    assert got[row, column, CHANNELS["log_laplacian_energy_1"]] == pytest.approx(energy, abs=1e-4)


def test_the_nuclear_fraction_is_the_share_above_the_threshold() -> None:
    image = np.full((48, 48, 3), 240, np.uint8)
    image[16:24, 16:32] = (90, 60, 140)  # half of the middle superpixel is a nucleus
    got = whole(image)
    assert got[1, 1, CHANNELS["nuclear_fraction_1"]] == 0.5 and got[0, 0, CHANNELS["nuclear_fraction_1"]] == 0
    assert got[1, 1, CHANNELS["nuclear_fraction_5"]] == pytest.approx(0.5 / 9)


def test_otsu_splits_nuclei_from_the_rest() -> None:
    pixels = np.full((4000, 1, 3), (230, 190, 215), np.uint8)
    pixels[:800] = (80, 60, 140)
    threshold = ENCODER.prepare([pixels[::2], pixels[1::2]])["nuclear_threshold"]
    light, dark = whole(pixels[-1:].repeat(48, 0).repeat(48, 1)), whole(pixels[:1].repeat(48, 0).repeat(48, 1))
    low, high = (x[1, 1, CHANNELS["haematoxylin_mean_1"]] for x in (light, dark))
    assert low < threshold[0] < high
    assert ENCODER.prepare([])["nuclear_threshold"].shape == (1,)


def test_a_constant_image_says_the_same_at_the_border_as_inside() -> None:
    got = whole(np.broadcast_to(np.uint8([200, 120, 170]), (16 * 20, 16 * 19, 3)).copy())
    np.testing.assert_allclose(got, np.broadcast_to(got[10, 10], got.shape), atol=1e-5)


def test_a_slide_that_ends_within_a_superpixel_is_averaged_over_what_there_is() -> None:
    image = np.broadcast_to(np.uint8([200, 120, 170]), (16 * 3 + 5, 16 * 3, 3)).copy()
    pad = ENCODER.halo_px
    rgb = np.pad(image, ((pad, pad + 11), (pad, pad), (0, 0)))
    inside = np.pad(np.ones(image.shape[:2], bool), ((pad, pad + 11), (pad, pad)))
    got = encode(rgb, inside)
    assert got.shape[0] == 4
    np.testing.assert_allclose(got, np.broadcast_to(got[1, 1], got.shape), atol=1e-5)


def test_an_impulse_lies_in_the_middle_of_every_window() -> None:
    image = np.full((16 * 21, 16 * 23, 3), 200, np.uint8)
    image[16 * 10 : 16 * 11, 16 * 11 : 16 * 12] = 50
    got = whole(image)
    for window in (1, 5, 17):
        differs = np.argwhere(got[..., CHANNELS[f"red_mean_{window}"]] < 200 / 255 - 1e-5)
        assert differs.min(0).tolist() == [max(10 - window // 2, 0), 11 - window // 2]
        assert differs.max(0).tolist() == [10 + window // 2, 11 + window // 2]


@pytest.mark.parametrize("turn", [lambda x: x[:, ::-1], lambda x: x[::-1], lambda x: np.rot90(x)])
def test_a_mirrored_or_turned_image_has_mirrored_or_turned_features(turn: object) -> None:
    image = noisy(16 * 6, 16 * 5)
    ours, theirs = whole(np.ascontiguousarray(turn(image))), turn(whole(image))  # type: ignore[operator]
    np.testing.assert_allclose(ours, theirs, atol=2e-5)


def test_any_tile_says_the_same() -> None:
    image = noisy(16 * 40, 16 * 33)
    at_once = whole(image)
    pad = ENCODER.halo_px
    rgb = np.pad(image, ((pad, pad + 160), (pad, pad + 160), (0, 0)))
    inside = np.pad(np.ones(image.shape[:2], bool), ((pad, pad + 160), (pad, pad + 160)))
    side = 16 * 13
    for top in range(0, image.shape[0], side):
        for left in range(0, image.shape[1], side):
            window = slice(top, top + side + 2 * pad), slice(left, left + side + 2 * pad)
            tile = encode(np.ascontiguousarray(rgb[window]), np.ascontiguousarray(inside[window]))
            there = at_once[top // 16 : top // 16 + 13, left // 16 : left // 16 + 13]
            np.testing.assert_allclose(tile[: there.shape[0], : there.shape[1]], there, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("name", available_encoders())
def test_every_encoder_keeps_the_contract(name: str) -> None:
    encoder = get_encoder(name)
    assert isinstance(encoder, Encoder) and encoder.name == name and encoder.license
    assert encoder.tile_px % 16 == encoder.halo_px % 16 == 0
    assert len(set(encoder.channels)) == len(encoder.channels) and encoder.reach_px > 0


def test_an_unknown_encoder_is_told_with_its_neighbour() -> None:
    with pytest.raises(SettingsError, match="Did you mean 'stain_texture'"):
        get_encoder("stain_textur")
