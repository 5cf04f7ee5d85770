"""Haematoxylin out of an H&E, and nuclei that look alike in two stains."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from napari_pixelgene.arithmetic.stains import (
    DAB,
    EOSIN,
    HAEMATOXYLIN,
    haematoxylin,
    is_brightfield,
    nuclear,
    white_point,
)


def light(amounts: dict[tuple[float, float, float], float | np.ndarray], shape=(40, 60), white=(245, 245, 245)):
    """The colour of stains through which light fell: vectors are made of length 1."""
    density = np.zeros((*shape, 3))
    for vector, amount in amounts.items():
        unit = np.array(vector) / np.linalg.norm(vector)
        density += np.broadcast_to(np.asarray(amount, dtype=float), shape)[..., None] * unit
    return np.clip(np.rint(np.array(white) * 10**-density), 0, 255).astype(np.uint8)


def nuclei(seed: int = 3, shape=(160, 200), count: int = 60) -> np.ndarray:
    """Soft disks of about 4 pixels at places without any symmetry, 0..1."""
    rng = np.random.default_rng(seed)
    image = np.zeros(shape, np.float32)
    for _ in range(count):
        at = (int(rng.uniform(0, shape[1])), int(rng.uniform(0, shape[0])))
        cv2.circle(image, at, int(rng.integers(3, 6)), float(rng.uniform(0.6, 1)), -1)
    return cv2.GaussianBlur(image, (0, 0), 0.7)


@pytest.mark.parametrize("eosin", [0.0, 0.4])
def test_amounts_come_back(eosin: float) -> None:
    """0.3, 0.6 and 0.9 of haematoxylin are told whatever eosin lies over them; glass and DAB hold none."""
    for amount in (0.3, 0.6, 0.9):
        rgb = light({HAEMATOXYLIN: amount, EOSIN: eosin})
        assert haematoxylin(rgb, white=np.array([245, 245, 245])) == pytest.approx(amount, abs=0.03)
    for other in (light({DAB: 0.7}), light({EOSIN: 0.8}), light({})):
        assert haematoxylin(other, white=np.array([245, 245, 245])).max() < 0.03


def test_the_colour_of_the_lamp_does_not_matter() -> None:
    """Under a yellow lamp the white is found on the slide itself, and the amounts stay."""
    amount = np.where(np.arange(60) < 20, 0.0, 0.7) * np.ones((40, 1))
    neutral = haematoxylin(light({HAEMATOXYLIN: amount}))
    yellow = light({HAEMATOXYLIN: amount}, white=(250, 240, 205))
    assert white_point(yellow) == pytest.approx([250, 240, 205], abs=2)
    assert np.abs(haematoxylin(yellow) - neutral).max() < 0.03


def test_white_is_never_the_pink_of_a_patch_without_glass() -> None:
    """Where all is stained the brightest pixels are not glass."""
    assert (white_point(light({EOSIN: 0.9, HAEMATOXYLIN: 0.2})) >= 190).all()


@pytest.mark.parametrize("kind", ["fluorescence", "brightfield", "he", "pale he on yellow", "stain gradient"])
def test_stains_look_alike(kind: str) -> None:
    """The same nuclei, drawn in five ways, give images that correlate above 0.9 with what was drawn."""
    drawn = nuclei()
    ramp = np.linspace(0.2, 0.6, drawn.shape[1])[None, :]
    image, is_rgb = {
        "fluorescence": ((40 + 900 * ramp + 3000 * drawn).astype(np.uint16), False),
        "brightfield": ((230 - 60 * ramp - 90 * drawn).astype(np.uint8), False),
        "he": (light({HAEMATOXYLIN: 0.8 * drawn, EOSIN: 0.5}, drawn.shape), True),
        "pale he on yellow": (light({HAEMATOXYLIN: 0.3 * drawn, EOSIN: 0.2}, drawn.shape, (248, 240, 215)), True),
        "stain gradient": (light({HAEMATOXYLIN: 0.7 * drawn + 0.3 * ramp, EOSIN: ramp}, drawn.shape), True),
    }[kind]
    found = nuclear(image, is_rgb, brightfield=kind == "brightfield")
    assert found.dtype == np.float32 and found.min() >= 0 and found.max() <= 1
    assert np.corrcoef(found.ravel(), drawn.ravel())[0, 1] > 0.9


def test_what_lies_outside_the_image_says_nothing() -> None:
    """Beyond the image is 0, and its border does not shine."""
    drawn = 3000 + 1000 * nuclei()
    mask = np.ones(drawn.shape, bool)
    mask[:, 120:] = False
    found = nuclear(np.where(mask, drawn, 0), False, mask=mask)
    assert not found[~mask].any()
    whole = nuclear(drawn[:, :120], False)
    assert np.abs(found[:, 100:120].mean() - whole[:, 100:120].mean()) < 0.02


def test_nothing_gives_nothing() -> None:
    """An even image has no nuclei; neither has glass with the camera's noise, nor one of which nothing is there."""
    glass = np.random.default_rng(2).normal(243, 1.5, (50, 60, 3)).astype(np.uint8)
    assert not nuclear(glass, True).any()
    assert not nuclear(np.full((30, 40), 700, np.uint16), False).any()
    assert not nuclear(nuclei(), False, mask=np.zeros((160, 200), bool)).any()


def test_bright_and_dark_field_are_told_apart() -> None:
    """Also with the tissue on half of the picture."""
    drawn = nuclei()
    assert is_brightfield(230 - 120 * drawn) and not is_brightfield(20 + 3000 * drawn)
    assert not is_brightfield(np.zeros((9, 9)))
