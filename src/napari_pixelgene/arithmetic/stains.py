"""Images of nuclei: what makes an H&E, a fluorescence channel and another stain look alike.

Light through stain follows Beer and Lambert: optical density adds up stain by stain. The vectors are those of Ruifrok
and Johnston (Anal. Quant. Cytol. Histol. 23, 2001, 291-299), R, G, B of haematoxylin, eosin and DAB, each of length 1.
DAB is among them so that the brown of an immunostain is not taken for nuclei.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
FloatArray = npt.NDArray[np.float32]

HAEMATOXYLIN, EOSIN, DAB = (0.650, 0.704, 0.286), (0.072, 0.990, 0.105), (0.268, 0.570, 0.776)
# Glass is at least this bright in every channel, whatever the lamp's colour; a patch without glass has no whiter.
_DARKEST_WHITE = 190.0
# Haematoxylin of a dense nucleus, in units of its vector: it becomes 1. Ink is denser and is cut at twice that.
_DENSE = 1.0
_MOST = 2.0
# The share of a nuclear image that is its brightest: these become 1.
_BRIGHT_PERCENT = 98.0
# Where nothing stands out by more, in amount of haematoxylin or as a share of the brightest pixel, there are no nuclei.
_LEAST_HAEMATOXYLIN, _LEAST_CONTRAST = 0.03, 1e-4
# Of a fluorescence image at most this share of its range lies below its mean; of a brightfield image more.
_BRIGHTFIELD_MEAN = 0.5


def white_point(rgb: Array) -> FloatArray:
    """The colour (3,) of empty glass: of the brightest hundredth of (h, w, 3), as far as that can be glass."""
    pixels = rgb.reshape(-1, 3)[:: max(1, rgb.shape[0] * rgb.shape[1] // 65536)]
    dim = pixels.min(axis=1)
    bright = pixels[dim >= np.percentile(dim, 99)]
    return np.asarray(np.clip(np.median(bright, axis=0), _DARKEST_WHITE, 255.0), dtype=np.float32)


def haematoxylin(rgb: Array, white: Array | None = None) -> FloatArray:
    """How much haematoxylin each pixel of (h, w, 3) uint8 holds: (h, w) float32, 0 on glass, about 1 in dense nuclei.

    `white` (3,) is the colour of empty glass; without it `white_point` of this very image is taken.
    """
    lamp = white_point(rgb) if white is None else np.asarray(white, dtype=np.float32)
    if not rgb.size:
        return np.zeros(rgb.shape[:2], np.float32)
    density = -np.log10((np.arange(256, dtype=np.float32)[:, None] + 1) / (lamp + 1))
    # What each value of each channel adds, looked up: five times as fast as to part all three stains.
    table = np.clip(density, 0, None) * _unmixing()[:, 0] / np.float32(_DENSE)
    parts = cv2.LUT(np.ascontiguousarray(rgb), table.astype(np.float32)[None])
    return np.asarray(np.clip(cv2.transform(parts, np.ones((1, 3))), 0, _MOST), dtype=np.float32)


def _unmixing() -> FloatArray:
    """(3, 3): optical densities in R, G, B to amounts of the three stains."""
    stains = np.array([HAEMATOXYLIN, EOSIN, DAB], dtype=np.float64)
    unit = stains / np.linalg.norm(stains, axis=1, keepdims=True)
    return np.linalg.inv(unit).astype(np.float32)


def is_brightfield(grey: Array) -> bool:
    """Whether a one-channel picture (h, w) of a whole slide, or any large part, shows dark on bright."""
    low, high = np.percentile(grey, (1, 99))
    return bool(high > low and (float(grey.mean()) - low) / (high - low) > _BRIGHTFIELD_MEAN)


def nuclear(
    image: Array, is_rgb: bool, background_px: float = 12.0, brightfield: bool = False, mask: Array | None = None
) -> FloatArray:
    """An image in which nuclei are bright whatever the stain: (h, w) float32, 0 between nuclei, about 1 in them.

    `image` is (h, w, 3) uint8 for RGB (its haematoxylin is taken), else one channel (h, w), dark on bright where
    `brightfield` says so. What varies over `background_px` (a Gaussian's sigma; wider than a nucleus) or more is taken
    off, then the brightest 2 % become 1. `mask` (h, w) tells where there is an image at all; 0 elsewhere.
    """
    if is_rgb:
        signal = haematoxylin(image)
    else:
        signal = np.asarray(image, dtype=np.float32) * np.float32(-1 if brightfield else 1)
    inside = np.ones(signal.shape, np.float32) if mask is None else np.asarray(mask, dtype=np.float32)
    above = (signal - _local_mean(signal, inside, background_px)) * inside
    top = np.percentile(above[inside > 0], _BRIGHT_PERCENT) if inside.any() else 0.0
    if top <= (_LEAST_HAEMATOXYLIN if is_rgb else _LEAST_CONTRAST * np.abs(signal).max()):
        return np.zeros(signal.shape, np.float32)
    return np.asarray(np.clip(above / np.float32(top), 0, 1), dtype=np.float32)


def _local_mean(signal: FloatArray, inside: FloatArray, sigma_px: float) -> FloatArray:
    """Mean over a Gaussian, of what is inside only."""
    blur = [cv2.GaussianBlur(a, (0, 0), sigma_px, borderType=cv2.BORDER_REFLECT) for a in (signal * inside, inside)]
    return np.asarray(blur[0] / np.maximum(blur[1], 1e-3), dtype=np.float32)
