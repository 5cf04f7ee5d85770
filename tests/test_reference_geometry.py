"""Lattice, image and smoothing vectors of the original: the same where it is right, shown to differ where not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_pixelgene.arithmetic.pooling import point_weights
from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.encoders.stain_texture import StainTexture
from napari_pixelgene.readers.masks import reduce_mask

FOLDER = Path(__file__).parents[1].parent / "shared" / "vectors" / "pixel2gene"
pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="shared/vectors is not beside the repository")


def vector(file: str, name: str) -> Any:
    return json.loads((FOLDER / file).read_text())[name]


def ruled(shape: list[int]) -> np.ndarray:
    y, x = np.mgrid[: shape[0], : shape[1]]
    return np.stack([(11 * y + 3 * x) % 256, (5 * y + 7 * x) % 256, (x * y) % 256], axis=-1).astype(np.uint8)


def resampled(name: str) -> tuple[np.ndarray, dict[str, Any]]:
    v = vector("geometry.json", name)
    image = ruled(v["in_shape"])
    grid = Grid.of_image(Image((image,), mpp=v["scale"] * 0.5))
    tile = Tile(Span(0, grid.work_shape[0]), Span(0, grid.work_shape[1]))
    return work_pixels((image,), v["scale"] * 0.5, 0.5, tile)[0], v


def test_an_image_at_the_work_pixel_is_left_alone() -> None:
    ours, v = resampled("rescale_same")
    assert ours.shape == tuple(v["out_shape"]) and ours[0].tolist() == v["uint8_truncated_row0"]


@pytest.mark.parametrize("name", ["rescale_down", "rescale_up"])
def test_resampling_is_an_exact_mean_over_the_pixels_square(name: str) -> None:
    """On purpose: the original blurs with a Gaussian, stretches to a whole number of pixels and truncates."""
    ours, v = resampled(name)
    assert (
        ours.shape[:2] in {tuple(v["out_shape"][:2]), tuple(s + 1 for s in v["out_shape"][:2])} or name == "rescale_up"
    )
    theirs = np.array(v["uint8_truncated_row0"], dtype=float)
    width = min(len(theirs), ours.shape[1])
    assert 0 < np.abs(ours[0, :width] - theirs[:width]).mean() < 6


def test_what_lies_past_the_image_is_left_out_of_means_not_padded_white() -> None:
    v = vector("geometry.json", "pad_white16")
    image = ruled(v["in_shape"])
    grid = Grid.of_image(Image((image,), mpp=0.5))
    assert [16 * side for side in grid.yx_shape] == v["out_shape"][:2]
    rgb, inside = work_pixels((image,), 0.5, 0.5, grid.whole().scaled(16))
    assert rgb[22, 30].tolist() == v["kept_corner"] and rgb[31, 31].tolist() == v["bottom_right"]
    assert inside.sum() == 23 * 31


def test_a_mask_is_reduced_over_what_it_covers() -> None:
    v = vector("geometry.json", "reduce_mask16")
    padded = np.zeros((32, 32), bool)
    padded[:20, :24] = True
    assert reduce_mask(padded, (2, 2), (16.0, 16.0)).astype(int).tolist() == v["out"]  # half is not more than half


def test_bin_centres_fall_into_their_superpixels() -> None:
    """Without rounding to whole work pixels on the way, which the original does half to even."""
    v = vector("geometry.json", "locs")
    xy_um = np.array(v["locs_raw_xy"]) * v["pixel_size_raw"]
    grid = Grid((2000, 2000), (32000, 32000))
    assert grid.row_column(xy_um).tolist() == v["superpixel_rowcol"]
    np.testing.assert_allclose(xy_um / v["pixel_size"], v["locs_xy"], atol=0.5)
    assert vector("geometry.json", "rounding")["out"] == np.round(vector("geometry.json", "rounding")["in_"]).tolist()


def test_bins_lie_on_the_lattice_where_the_originals_crop_is_half_a_superpixel_off() -> None:
    v = vector("geometry.json", "crop_shift")
    bins = np.array(v["bin_index_x"])
    grid = Grid((1, 100), (16, 1600))
    centres = grid.centres_um(bins)[:, 0]
    work_px = centres / 0.5 % 16
    assert set(work_px.tolist()) == {8.0} and set(v["x_mod16"]) == {0}
    raw = (bins + 0.5) * v["size"] * (8 / v["size"])
    np.testing.assert_allclose(raw, centres)


def test_units_that_share_a_superpixel_are_all_kept() -> None:
    """On purpose: the original drops every unit that shares its superpixel with another."""
    v = vector("qc_folds_genes.json", "superpixel_collisions")
    places = point_weights(np.array(v["locs_xy"], dtype=float), 16.0, (3, 7))
    assert np.column_stack(np.divmod(places.indices, 7)).tolist() == v["rowcol"]
    assert (places.getnnz(axis=1) == 1).all() and len(v["rows_kept_in_unique_order"]) == 3 < places.shape[0]


@pytest.mark.parametrize("box", ["16", "4"])
def test_windows_are_odd_where_the_originals_boxes_drift(box: str) -> None:
    v = vector("smoothing_rgb.json", box)
    (top, bottom), (left, right) = v["rows"], v["cols"]
    row, column = v["impulse_at"]
    assert (row - top, bottom - row) != (column - left - 1, right - column) or bottom - row != row - top
    assert (top + bottom) / 2 == row + 0.5 or (top + bottom) / 2 == row - 0.5  # half a superpixel off its middle
    encoder = StainTexture()
    impulse = np.full((16 * 35, 16 * 35, 3), 200, np.uint8)
    impulse[16 * 17 : 16 * 18, 16 * 17 : 16 * 18] = 0
    features = encode(encoder, impulse)
    seen = np.argwhere(features[..., encoder.channels.index("red_mean_17")] < 200 / 255 - 1e-4)
    assert seen.min(0).tolist() == [9, 9] and seen.max(0).tolist() == [25, 25]


def test_colour_means_are_exact_where_the_originals_are_in_half_precision() -> None:
    v = vector("smoothing_rgb.json", "rgb")
    y, x = np.mgrid[:32, :48]
    red = (7 * y + 5 * x) % 256
    image = np.stack([red, 255 - red, red // 3], axis=-1).astype(np.uint8)
    encoder = StainTexture()
    features = encode(encoder, image)
    for i, name in enumerate(("red", "green", "blue")):
        ours = features[..., encoder.channels.index(f"{name}_mean_1")]
        np.testing.assert_allclose(ours, v["exact_mean_float64"][i], atol=1e-6)
    assert np.abs(np.array(v["out_chw_float32"]) - v["exact_mean_float64"]).max() > 5e-5


def encode(encoder: StainTexture, image: np.ndarray) -> np.ndarray:
    pad = encoder.halo_px
    rgb = np.pad(image, ((pad, pad), (pad, pad), (0, 0)))
    inside = np.pad(np.ones(image.shape[:2], bool), pad)
    state = {"nuclear_threshold": np.float32([0.15])}
    return encoder.encode(torch.from_numpy(rgb)[None], torch.from_numpy(inside)[None], state)[0].numpy()
