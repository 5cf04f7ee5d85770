"""Windows on a tile: lattices of 14 and 16 pixels meet, borders and seams, the same answer in any tile."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.encoders.windows import Windows
from napari_pixelgene.errors import SettingsError
from tiny_vits import Told, noise, patch_means, run

SHIFT = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale" / "v06_shift" / "shift.json"


def superpixel_means(values: np.ndarray) -> np.ndarray:
    rows, columns = (side // 16 for side in values.shape)
    return values[: rows * 16, : columns * 16].reshape(rows, 16, columns, 16).mean((1, 3))


def spread_patches(pixels: np.ndarray, patch: int) -> np.ndarray:
    """Every pixel with the mean of the patch it lies in; patches begin at the corner of the slide."""
    rows, columns = (side // patch * patch for side in pixels.shape)
    blocks = pixels[:rows, :columns].reshape(rows // patch, patch, columns // patch, patch)
    out: np.ndarray = blocks.mean((1, 3)).repeat(patch, 0).repeat(patch, 1)
    return out


@given(patch=st.sampled_from([8, 14, 16, 28, 32]), steps=st.integers(1, 4), shifts=st.sampled_from([1, 2, 4]))
@settings(max_examples=40, deadline=None)
def test_windows_leave_no_gap_and_fit_tiles(patch: int, steps: int, shifts: int) -> None:
    side = steps * int(np.lcm(patch, 16))
    w = Windows.plan(side, patch, shifts)
    assert w.stride_px <= side and w.stride_px % patch == 0 == w.stride_px % 16
    assert w.tile_px % w.stride_px == 0 == w.tile_px % 16 == w.halo_px % 16
    first, last = w.lattice(w.tile_px)[0] * w.stride_px, w.lattice(w.tile_px)[-1] * w.stride_px
    assert -w.halo_px <= first and last + side <= w.tile_px + w.halo_px
    assert first - w.stride_px + side <= 0 and last + w.stride_px >= w.tile_px  # none that reaches in is missing
    np.testing.assert_allclose(w.shares().sum(1), 1.0, atol=1e-6)
    assert w.taper().max() <= 1 and (w.taper() > 0).all() and torch.equal(w.taper(), w.taper().flip(0))


def test_a_patch_of_14_is_shared_among_superpixels_of_16() -> None:
    shares = Windows.plan(224, 14, 2).shares()
    assert shares.shape == (14, 16)
    np.testing.assert_allclose(shares[0, :3], [14 / 16, 2 / 16, 0])
    np.testing.assert_allclose(shares[1, :4], [0, 12 / 16, 4 / 16, 0])
    np.testing.assert_allclose(shares.sum(0), 14 / 16)
    assert torch.equal(Windows.plan(224, 16, 2).shares(), torch.eye(14))


@pytest.mark.parametrize(("patch", "shifts"), [(16, 1), (16, 4), (14, 2), (32, 2)])
def test_patches_come_to_lie_where_their_pixels_are(patch: int, shifts: int) -> None:
    """More than a tile by less than one; what a superpixel says is the mean of the patches over it."""
    pixels = noise(1120 + 190, 455, seed=patch)
    got = run(Told(patch_means(patch), patch, shifts=shifts), pixels)[..., 0]
    spread = spread_patches(pixels[..., 0].astype(np.float64), patch)
    wanted = superpixel_means(spread)
    inner = (slice(0, wanted.shape[0] - 1), slice(0, wanted.shape[1] - 1))
    np.testing.assert_allclose(got[: wanted.shape[0], : wanted.shape[1]][inner], wanted[inner], atol=0.15)  # float16
    assert np.isfinite(got).all()


def test_any_tile_says_the_same_also_where_windows_see_their_surroundings() -> None:
    def with_surroundings(rgb: torch.Tensor) -> torch.Tensor:
        own = patch_means(14)(rgb)
        return own + rgb.mean((1, 2, 3))[:, None, None] + torch.arange(256)[None, :, None] * 0.1

    class Coarser(Told):
        def configure(self, batch: int, shifts: int) -> None:
            super().configure(batch, shifts)
            self.tile_px = 4 * self.windows.stride_px

    pixels = noise(1200, 700, seed=2)
    fine, coarse = (run(kind(with_surroundings, 14), pixels) for kind in (Coarser, Told))
    assert np.ptp(fine) > 20
    np.testing.assert_allclose(fine, coarse, atol=0.26)  # a step of float16 at 400


@pytest.mark.parametrize(("rows", "columns"), [(700, 555), (100, 90), (16, 1500)])
def test_a_constant_slide_says_the_same_at_its_border(rows: int, columns: int) -> None:
    pixels = np.broadcast_to(np.uint8([77, 9, 200]), (rows, columns, 3)).copy()
    for patch in (14, 16):
        np.testing.assert_array_equal(run(Told(patch_means(patch), patch), pixels), 77.0)


def test_where_a_window_ends_nothing_jumps() -> None:
    """A network that says how far from its window's left edge a patch lies: alone it makes a saw."""

    def column(rgb: torch.Tensor) -> torch.Tensor:
        return torch.arange(14.0).repeat(14).expand(len(rgb), -1)[..., None]

    pixels = noise(400, 1500)
    alone, twice, often = (run(Told(column, 16, shifts=s), pixels)[10, 15:-15, 0] for s in (1, 2, 4))
    assert np.abs(np.diff(alone)).max() == 13
    assert np.abs(np.diff(twice)).max() < 2 and np.abs(np.diff(often)).max() < 1.5
    assert twice.min() > 4 and twice.max() < 9


def test_background_is_not_looked_at() -> None:
    pixels = noise(900, 1100)
    mask = np.zeros((57, 69), bool)
    mask[20:23, 40:52] = True
    told, everywhere = Told(patch_means(16), 16), Told(patch_means(16), 16)
    got, whole = run(told, pixels, mask), run(everywhere, pixels)
    assert np.isnan(got[~mask]).all()
    np.testing.assert_allclose(got[mask], whole[mask], atol=1e-6)
    # Rows 320–368 and columns 640–832 of pixels, windows of 224 at every 112.
    assert told.seen == 3 * 4 and everywhere.seen > 90


@pytest.mark.skipif(not SHIFT.exists(), reason="shared/vectors is not beside the repository")
def test_shift_averages_are_the_originals_inside_and_true_at_the_rim() -> None:
    """Theirs is attenuated over the first 96 µm and zero over the last 128 µm; ours is the mean of what there is."""
    known = json.loads(SHIFT.read_text())
    rows, columns = known["image_hw"]
    ramp = np.repeat(np.arange(rows) % 256, columns).reshape(rows, columns)
    pixels = np.stack([ramp, ramp // 256, ramp], axis=-1).astype(np.uint8)
    pixels[..., 1] = np.repeat(np.arange(rows) // 256, columns).reshape(rows, columns)

    def row(rgb: torch.Tensor) -> torch.Tensor:
        n = len(rgb)
        values = rgb[..., 0] + 256 * rgb[..., 1]
        return values.view(n, 16, 16, 16, 16).mean((2, 4)).view(n, 256, 1)

    class Exact(Told):
        dtype = "float32"

    got = run(Exact(row, 16, side_px=256, shifts=4), pixels)[:, 12, 0]
    theirs = np.array(known["ramp_column12"])
    whole = np.array(known["ones_column15"])[: len(theirs)] == 1.0
    assert whole.sum() > 15
    np.testing.assert_allclose(got[whole], theirs[whole], atol=1e-3)
    np.testing.assert_allclose(got, np.arange(len(got)) * 16 + 7.5, atol=1e-3)
    assert theirs[0] == 1.875 and theirs[-1] == 0


def test_a_window_that_fits_no_superpixel_is_refused() -> None:
    with pytest.raises(SettingsError, match="at least 112 pixels wide"):
        Windows.plan(98, 14, 1)
