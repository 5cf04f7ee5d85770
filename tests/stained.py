"""The same nuclei in two stains: an H&E, and a DAPI image under a transform that is known."""

from __future__ import annotations

import cv2
import numpy as np

from napari_pixelgene.arithmetic.stains import EOSIN, HAEMATOXYLIN
from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.image import Image

HE_MPP, DAPI_MPP = 0.5, 0.4
HE_SHAPE, DAPI_SHAPE = (1000, 1300), (1500, 1200)
SIZE_UM = np.array([650.0, 500.0])
# Turned by 98 degrees and mirrored, a little perspective, scaled; it takes DAPI pixels to H&E pixels.
_TURN = np.deg2rad(98.0)
MATRIX = (
    np.array([[1, 0, 650.0], [0, 1, 500.0], [0, 0, 1]])
    @ np.array([[1, 0, 0], [0, 1, 0], [2e-5, -1e-5, 1]])
    @ np.diag([0.81, 0.81, 1])
    @ np.array([[np.cos(_TURN), -np.sin(_TURN), 0], [np.sin(_TURN), np.cos(_TURN), 0], [0, 0, 1]])
    @ np.array([[-1, 0, 610.0], [0, 1, -740.0], [0, 0, 1]])
)
TRUE = Transform(MATRIX / MATRIX[2, 2], "morphology_px", "he_px")


def nuclei_um(seed: int, count: int = 1500) -> tuple[np.ndarray, np.ndarray]:
    """Centres (n, 2) and outlines (n, 12, 2) in µm over the slide, without order; the left 120 µm are glass."""
    rng = np.random.default_rng(seed)
    centre = rng.uniform((120, 0), SIZE_UM, (count, 2))
    around = np.arange(12) * np.pi / 6
    axes, turn = rng.uniform(2, 5, (count, 2, 1)), rng.uniform(0, np.pi, count)[:, None]
    x, y = axes[:, 0] * np.cos(around), axes[:, 1] * np.sin(around)
    outline = np.stack([x * np.cos(turn) - y * np.sin(turn), x * np.sin(turn) + y * np.cos(turn)], axis=-1)
    return centre, centre[:, None] + outline


def painted(outline_px: np.ndarray, tones: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Soft polygons (n, v, 2), continuous pixels, each with its tone; (rows, columns) float32."""
    image = np.zeros(shape, np.float32)
    for points, tone in zip(np.rint((outline_px - 0.5) * 16).astype(np.int32), tones, strict=True):
        cv2.fillPoly(image, [points], float(tone), cv2.LINE_8, 4)
    return cv2.GaussianBlur(image, (0, 0), 1.0)


def he_of(outline_um: np.ndarray, seed: int = 1) -> Image:
    """The H&E: pink tissue with violet nuclei, glass at the left."""
    rng = np.random.default_rng(seed)
    amount = painted(outline_um / HE_MPP, rng.uniform(0.5, 0.9, len(outline_um)), HE_SHAPE)
    tissue = (np.arange(HE_SHAPE[1]) * HE_MPP > 120)[None, :] * np.ones((HE_SHAPE[0], 1))
    stains = [np.array(v) / np.linalg.norm(v) for v in (HAEMATOXYLIN, EOSIN)]
    density = amount[..., None] * stains[0] + 0.4 * tissue[..., None] * stains[1]
    rgb = 243 * 10**-density + rng.normal(0, 1.5, (*HE_SHAPE, 1))
    return pyramid(np.clip(np.rint(rgb), 0, 255).astype(np.uint8), HE_MPP)


def dapi_of(outline_um: np.ndarray, transform: Transform = TRUE, seed: int = 2) -> Image:
    """The DAPI image: bright nuclei on a dark, uneven, noisy ground."""
    rng = np.random.default_rng(seed)
    there = transform.inverse().apply(outline_um.reshape(-1, 2) / HE_MPP).reshape(outline_um.shape)
    bright = painted(there, rng.uniform(0.5, 1.0, len(there)), DAPI_SHAPE)
    ground = 60 + 0.1 * np.arange(DAPI_SHAPE[1]) + rng.normal(0, 12, DAPI_SHAPE)
    return pyramid(np.maximum(2000 * bright + ground, 0).astype(np.uint16), DAPI_MPP)


def pyramid(finest: np.ndarray, mpp: float) -> Image:
    """Three levels by means of 2 × 2; sides divide by four."""
    levels = [finest]
    for _ in range(2):
        rows, columns = levels[-1].shape[:2]
        blocks = levels[-1].reshape(rows // 2, 2, columns // 2, 2, *finest.shape[2:])
        levels.append(blocks.mean(axis=(1, 3)).astype(finest.dtype))
    return Image(tuple(levels), mpp)


def shifted(transform: Transform, shift_um: tuple[float, float]) -> Transform:
    """The transform with an error: everything lands that much too far, (x, y) in µm of the H&E."""
    off = np.eye(3)
    off[:2, 2] = np.array(shift_um) / HE_MPP
    return Transform(off @ transform.matrix, transform.source, transform.target)
