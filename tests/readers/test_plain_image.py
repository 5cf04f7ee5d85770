from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note
from napari_pixelgene.readers import plain_image
from napari_pixelgene.readers.images import needs_pyramid, read_image
from napari_pixelgene.readers.plain_image import read_header

DATA = Path(__file__).parents[2].parent / "shared" / "data"


def picture(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def save(path: Path, pixels: np.ndarray) -> Path:
    encode = imagecodecs.png_encode if path.suffix == ".png" else imagecodecs.jpeg8_encode
    path.write_bytes(encode(pixels))
    return path


def test_a_png_is_read_exactly_and_only_when_asked(tmp_path, monkeypatch):
    image = picture(61, 83, 3)
    read = read_image(save(tmp_path / "a.png", image))
    decoded: list[Path] = []
    real = plain_image.decode
    monkeypatch.setattr(plain_image, "decode", lambda p: decoded.append(p) or real(p))
    assert read.levels[0].shape == (61, 83, 3) and read.mpp is None and not decoded
    np.testing.assert_array_equal(read.levels[0][5:60, 7], image[5:60, 7])
    np.testing.assert_array_equal(read.levels[0][60, ::-2], image[60, ::-2])
    assert len(decoded) == 1


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_given_size_is_taken(tmp_path, suffix):
    assert read_image(save(tmp_path / f"a{suffix}", picture(20, 30, 3)), mpp=0.69).mpp == 0.69


def test_transparency_is_left_out_and_told(tmp_path):
    image, events = picture(20, 30, 4), []
    read = read_image(save(tmp_path / "a.png", image), on_event=events.append)
    np.testing.assert_array_equal(read.levels[0][:, :], image[..., :3])
    assert any(isinstance(e, Note) and "transparency" in e.text for e in events)


@pytest.mark.parametrize(
    ("name", "pixels", "says"),
    [
        ("grey.png", picture(9, 9), "greyscale with 8 bits"),
        ("grey.jpg", picture(9, 9), "greyscale with 8 bits"),
        ("deep.png", picture(9, 9, 3).astype(np.uint16), "RGB with 16"),
        ("cmyk.jpg", picture(9, 9, 4), "CMYK"),
    ],
)
def test_what_is_no_he_is_named(tmp_path, name, pixels, says):
    with pytest.raises(InputError, match=says):
        read_image(save(tmp_path / name, pixels))


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_a_cut_file_is_refused_when_opened(tmp_path, suffix):
    path = save(tmp_path / f"a{suffix}", picture(200, 300, 3))
    path.write_bytes(path.read_bytes()[:-3000])
    with pytest.raises(InputError, match="its end is missing"):
        read_image(path)


def test_an_image_too_large_to_decode_names_a_converter(tmp_path, monkeypatch):
    monkeypatch.setattr(plain_image, "MAX_PIXELS", 500)
    with pytest.raises(InputError, match=r"600 pixels.*vips tiffsave a\.png a-tiled\.tif --tile --pyramid"):
        read_image(save(tmp_path / "a.png", picture(20, 30, 3)))


@pytest.mark.parametrize(
    ("name", "yx_shape", "large"),
    [("her2st/C2-he.jpg", (9911, 9274), True), ("landmarks/Rat-Kidney_HE.jpg", (787, 1164), False)],
)
def test_the_real_jpegs_state_no_pixel_size(name, yx_shape, large):
    if not (DATA / name).exists():
        pytest.skip(f"{name} is not in this clone")
    image = read_image(DATA / name)
    assert image.yx_shape == yx_shape and image.mpp is None and needs_pyramid(image) is large
    assert read_header(DATA / name).colours == "RGB"
