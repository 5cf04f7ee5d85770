"""Where our pictures differ from Pixel2Gene's on purpose: colours, ends of a scale, the picture under a map."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.colors import to_hex
from skimage.color import rgb2lab

from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.image import Image
from napari_pixelgene.report.canvas import EMPTY
from napari_pixelgene.report.content import GenePanel
from napari_pixelgene.report.gene_plots import gene_figure, scale_end
from napari_pixelgene.stages.tissue import overview

FILE = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene" / "evaluation_plots.json"
pytestmark = pytest.mark.skipif(not FILE.exists(), reason="shared/vectors is not beside the repository")


def vector(name: str) -> Any:
    return json.loads(FILE.read_text())[name]


def shown(values: np.ndarray) -> Any:
    """The picture of a map on a page."""
    return next(axes.images[0] for axes in gene_figure(GenePanel("G", "best", values, values, 0.5, 0.0, 0.8)).axes)


def test_brighter_is_more_where_the_originals_colours_rise_and_fall() -> None:
    """Theirs darkens towards both ends, so that much looks like little; without a value is grey here, white there."""
    v = vector("colour")
    values, theirs = np.array(v["x"], dtype=float), np.array(v["rgb"])
    there = np.isfinite(values)
    light = rgb2lab(theirs[there] / 255)[:, 0]
    assert light.argmax() == 2 and light[-1] < light[2] - 40
    ours = rgb2lab(shown(values).to_rgba(np.linspace(0, values[there].max(), 50))[:, :3])[:, 0]
    assert (np.diff(ours) > 0).all()
    mapped = shown(values).to_rgba(np.ma.masked_invalid(values))
    assert mapped[1, 2, 3] == 0 and theirs[1, 2].tolist() == [255, 255, 255]  # nothing is painted over the grey
    assert to_hex(shown(values).axes.get_facecolor()) == to_hex(EMPTY)


def test_values_are_shown_whole_where_the_original_cuts_them() -> None:
    """Theirs cuts values at a percentile and divides by it; here only the scale ends there, and the numbers stay."""
    v = vector("get_clipped")
    values = np.array(v["x"], dtype=float)
    cut = np.minimum(values, np.nanpercentile(values, 95))
    np.testing.assert_allclose(cut / np.nanmax(cut), np.array(v["p95"], dtype=float), atol=1e-9)
    image = shown(values[None])
    assert np.array_equal(np.ma.filled(image.get_array(), np.nan), values[None], equal_nan=True)
    assert image.get_clim() == (0.0, scale_end([values])) == (0.0, np.nanpercentile(values, 99.5))


def test_the_mean_colour_of_a_square_is_rounded_where_the_originals_is_cut() -> None:
    theirs = np.array(vector("img_reduce")["out"])
    image = (np.arange(32 * 32 * 3) % 251).astype(np.uint8).reshape(32, 32, 3)
    exact = image.reshape(2, 16, 2, 16, 3).mean(axis=(1, 3))
    np.testing.assert_array_equal(np.floor(exact), theirs)
    slide = Image((image,), mpp=0.5)
    ours = overview(slide, Grid.of_image(slide))
    np.testing.assert_array_equal(ours, np.round(exact))
    assert (ours > theirs).any()
