"""HIPT: 579 channels where they belong, neighbourhoods instead of the whole slide, true colours and borders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_pixelgene.encoders.base import Tokens
from napari_pixelgene.encoders.hipt import AROUND, Hipt, HiptLocal, mean_colour
from tiny_vits import TinyHipt, TinyHiptLocal, noise, run, write_weights

SHARED = Path(__file__).parents[2].parent / "shared" / "vectors"
needs_vectors = pytest.mark.skipif(not SHARED.is_dir(), reason="shared/vectors is not beside the repository")
PIXELS = noise(1100, 700, seed=8)


@pytest.fixture
def loaded(tmp_path: Path) -> Any:
    def load(kind: Any = TinyHipt, shifts: int = 1) -> Any:
        encoder = kind()
        encoder.configure(8, shifts)
        encoder.load(write_weights(encoder, tmp_path / encoder.name))
        return encoder

    return load


def test_579_channels_in_the_originals_order() -> None:
    channels = Hipt().channels
    assert len(channels) == 579 == len(set(channels)) and len(HiptLocal().channels) == 387
    assert channels[191:193] == ("cls_191", "sub_0") and channels[575:] == ("sub_383", "red", "green", "blue")
    assert Hipt().transform.mean == Hipt().transform.sd == (0.5, 0.5, 0.5)
    assert (Hipt().reach_px, HiptLocal().reach_px) == (2048, 256)
    assert [f.key for f in Hipt().weights] == ["vit256", "vit4k"] and "Commons Clause" in Hipt().license


@torch.inference_mode()
def test_a_patch_token_is_the_superpixel_under_it(loaded: Any) -> None:
    """Token (r, c) of window (R, C) is superpixel (16 R + r, 16 C + c), also in the second tile."""
    encoder = loaded(TinyHiptLocal)
    got = run(encoder, PIXELS)[..., :24]
    for top, left in ((256, 0), (512, 256), (768, 256)):
        window = torch.from_numpy(PIXELS[top : top + 256, left : left + 256].copy())[None]
        wanted = encoder.tokens(window)[0, 1:].view(16, 16, 24).numpy()
        np.testing.assert_allclose(got[top // 16 :, left // 16 :][:16, :16], wanted, atol=4e-3)


@torch.inference_mode()
def test_the_context_of_a_window_is_the_middle_of_15_by_15(loaded: Any) -> None:
    """Worked out here for the window at rows 512, columns 256; a slide of 5 × 3 windows, white ones around it."""
    encoder = loaded()
    got = run(encoder, PIXELS)[32, 16, :12]
    padded = np.pad(PIXELS, ((0, 1280 - 1100), (0, 768 - 700), (0, 0)), mode="edge")
    white = encoder.tokens(torch.full((1, 256, 256, 3), 255, dtype=torch.uint8))[0, 0]
    field = white.expand(15, 15, -1).clone()
    for row in range(5):
        for column in range(3):
            window = padded[row * 256 : row * 256 + 256, column * 256 : column * 256 + 256]
            token = encoder.tokens(torch.from_numpy(window.copy())[None])[0, 0]
            field[AROUND - 2 + row, AROUND - 1 + column] = token
    said = encoder._context_network(field.permute(2, 0, 1)[None])[0, 1:].view(15, 15, -1)[AROUND, AROUND]
    np.testing.assert_allclose(got, said, atol=4e-3)
    assert np.abs(got).max() > 0.1


@pytest.mark.parametrize("shifts", [1, 2, 4])
def test_neighbours_are_the_windows_side_by_side(loaded: Any, shifts: int) -> None:
    """With overlapping windows those that touch, not those that overlap; what was not looked at is a white window."""
    encoder = loaded(shifts=shifts)
    place = np.array([(r, c) for r in range(-8, 9) for c in range(-6, 8)])
    vectors = np.zeros((len(place), 24), np.float32)
    vectors[:, :2] = place + 100
    found = encoder._neighbourhoods(Tokens(place, vectors), np.array([[0, 1], [2, 2]]), torch.device("cpu"))
    assert found.shape == (2, 15, 15, 24)
    for window, (row, column) in enumerate(((0, 1), (2, 2))):
        for down, right in ((0, 0), (1, 0), (0, -1)):
            wanted = [row + shifts * down + 100, column + shifts * right + 100]
            assert found[window, AROUND + down, AROUND + right, :2].tolist() == wanted
    assert torch.equal(found[0, 14, 14], encoder._blank)


def test_a_far_window_changes_the_context_and_nothing_else(loaded: Any) -> None:
    """1,024 pixels apart it is seen by the neighbourhood, and not by the close look; other tiles' tokens arrive."""
    encoder = loaded()
    other = PIXELS.copy()
    other[:200, :200] = 255 - other[:200, :200]
    before, after = run(encoder, PIXELS)[66, 30], run(encoder, other)[66, 30]
    assert np.abs(before[:12] - after[:12]).max() > 1e-3
    np.testing.assert_array_equal(before[12:], after[12:])


@pytest.mark.parametrize("shifts", [1, 2])
def test_any_tile_says_the_same(loaded: Any, shifts: int) -> None:
    encoder = loaded(shifts=shifts)
    at_once = run(encoder, PIXELS)
    encoder.tile_px = 512
    np.testing.assert_allclose(run(encoder, PIXELS), at_once, atol=4e-3)
    assert np.isfinite(at_once).all() and at_once.shape == (69, 44, 39)


def test_background_is_white_to_its_neighbours(loaded: Any) -> None:
    """What lies where no tissue is, is not looked at, and changes nothing."""
    encoder = loaded()
    mask = np.zeros((69, 44), bool)
    mask[4:12, 3:9], mask[65:68, 36:44] = True, True
    other = PIXELS.copy()
    other[300:1000] = 7
    ours, theirs = run(encoder, PIXELS, mask), run(encoder, other, mask)
    assert np.isnan(ours[~mask]).all() and np.isfinite(ours[mask]).all()
    np.testing.assert_array_equal(ours[mask], theirs[mask])


@needs_vectors
def test_colour_is_the_exact_mean() -> None:
    """The original averages in half precision; its own vector holds the exact mean beside what it gave."""
    known = np.load(SHARED / "iscale" / "v07_rgb" / "rgb.npz")
    image = torch.from_numpy(known["image"])
    rows, columns = (side // 16 for side in image.shape[:2])
    ours = mean_colour(image, torch.ones(image.shape[:2], dtype=torch.bool), torch.ones((rows, columns), dtype=bool))
    np.testing.assert_allclose(ours.permute(2, 0, 1), known["rgb_float64"], atol=1e-7)
    assert np.abs(known["rgb_original"] - known["rgb_float64"]).max() > 1e-5


def test_colour_counts_only_what_lies_on_the_slide() -> None:
    rgb = torch.zeros((16, 32, 3), dtype=torch.uint8)
    rgb[:, :4] = torch.tensor([255, 51, 102], dtype=torch.uint8)
    inside = torch.zeros((16, 32), dtype=torch.bool)
    inside[:, :8] = True
    ours = mean_colour(rgb, inside, torch.tensor([[True, True]]))
    np.testing.assert_allclose(ours[0, 0], [0.5, 0.1, 0.2], atol=1e-6)
    assert torch.isnan(ours[0, 1]).all()


@needs_vectors
def test_the_rim_is_not_scaled_down(loaded: Any) -> None:
    """A slide of one colour says the same everywhere; the original's weights fall to a sixteenth, and to zero."""
    known = json.loads((SHARED / "pixel2gene" / "hipt.json").read_text())["shift_weights"]
    assert known["corner"] == 0.0625 and known["n_zero"] > 0
    encoder = loaded(TinyHiptLocal, shifts=4)
    got = run(encoder, np.full((400, 300, 3), 120, np.uint8))
    length = np.linalg.norm(got[..., :24], axis=-1)
    assert length.min() / length.max() > 0.75 and length.max() > 1
    np.testing.assert_allclose(got[..., -3:], 120 / 255, atol=1e-3)
