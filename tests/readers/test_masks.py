from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.masks import read_mask, reduce_mask


def blob(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return ((y / rows - 0.3) ** 2 + (x / columns - 0.6) ** 2) < 0.05


def save(path: Path, pixels: np.ndarray) -> Path:
    if path.suffix == ".tif":
        tifffile.imwrite(path, pixels)
    else:
        encode = imagecodecs.png_encode if path.suffix == ".png" else imagecodecs.jpeg8_encode
        path.write_bytes(encode(pixels))
    return path


def test_the_published_reduction_keeps_what_exceeds_half():
    # vectors/pixel2gene/geometry.json, reduce_mask16: ones (20, 24) padded with zeros to (32, 32).
    mask = np.zeros((32, 32), bool)
    mask[:20, :24] = True
    assert reduce_mask(mask, (2, 2), (16, 16)).tolist() == [[True, False], [False, False]]


@pytest.mark.parametrize("size", [(30, 50), (60, 100), (91, 149), (600, 1000)])
@pytest.mark.parametrize("kind", ["grey.png", "rgb.png", "rgba.png", "ones.tif", "jpeg.jpg", "labels.tif"])
def test_a_mask_of_any_size_lands_on_the_grid(tmp_path, size, kind):
    drawn = blob(*size)
    pixels = {
        "grey": drawn * np.uint8(255),
        "rgb": np.repeat((drawn * np.uint8(255))[:, :, None], 3, axis=2),
        "rgba": np.dstack([np.repeat((drawn * np.uint8(255))[:, :, None], 3, axis=2), np.full(size, 255, np.uint8)]),
        "ones": drawn.astype(np.uint8),
        "jpeg": drawn * np.uint8(255),
        "labels": drawn.astype(np.uint16) * 7,
    }[kind.split(".")[0]]
    mask = read_mask(save(tmp_path / kind, pixels), (30, 50))
    assert mask.shape == (30, 50) and mask.dtype == bool
    assert np.mean(mask != blob(30, 50)) < 0.02 and 0.1 < mask.mean() < 0.2
    assert mask[9, 30] and not mask[20, 10]


def test_the_slide_may_end_within_the_last_cells(tmp_path):
    pixels = np.zeros((104, 80), np.uint8)
    pixels[:, 64:] = 255
    mask = read_mask(save(tmp_path / "m.png", pixels), (7, 5), covered=(6.5, 5.0))
    assert mask.tolist() == [[False] * 4 + [True]] * 7


def test_another_aspect_is_refused_with_both_sizes(tmp_path):
    path = save(tmp_path / "m.png", blob(500, 700) * np.uint8(255))
    with pytest.raises(InputError, match=r"500 rows × 700 columns.*300 × 500.*16 %") as raised:
        read_mask(path, (300, 500))
    assert "whole slide" in raised.value.mend
    read_mask(save(tmp_path / "n.png", blob(500, 825) * np.uint8(255)), (300, 500))


def test_what_is_no_mask_is_named(tmp_path):
    with pytest.raises(InputError, match="many values of type uint16"):
        read_mask(save(tmp_path / "m.tif", np.arange(600, dtype=np.uint16).reshape(20, 30)), (20, 30))
    (tmp_path / "m.txt").write_text("mask")
    with pytest.raises(InputError, match="neither TIFF"):
        read_mask(tmp_path / "m.txt", (20, 30))
    (tmp_path / "cut.tif").write_bytes((tmp_path / "m.tif").read_bytes()[:300])
    with pytest.raises(InputError, match=r"cut\.tif"):
        read_mask(tmp_path / "cut.tif", (20, 30))


def test_an_even_mask_is_all_or_nothing(tmp_path):
    assert read_mask(save(tmp_path / "a.png", np.full((20, 30), 255, np.uint8)), (20, 30)).all()
    assert not read_mask(save(tmp_path / "b.png", np.zeros((20, 30), np.uint8)), (20, 30)).any()


def test_a_huge_mask_is_refused_before_it_is_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("napari_pixelgene.readers.masks._MAX_PIXELS", 500)
    for name in ("m.png", "m.tif"):
        with pytest.raises(InputError, match="600 pixels"):
            read_mask(save(tmp_path / name, np.zeros((20, 30), np.uint8)), (20, 30))
