"""Each check passes what is right and names the reason for what is not."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.capture import Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.tissue import Tissue
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.stages import checks

GRID = Grid((50, 200), (800, 3200))  # 1,600 µm wide, 400 µm high
DISK = Footprint("disk", 55.0)


def lattice(pitch: float, columns: int = 14, rows: int = 4) -> FloatArray:
    """Spots on the right part of a wide image, hexagonal, row by row."""
    return np.array(
        [[150.0 + pitch * (j + i % 2 / 2), 30.0 + pitch * i * 0.75**0.5] for i in range(rows) for j in range(columns)]
    )


def ids(xy: FloatArray) -> np.ndarray:
    return np.array([f"s{i}" for i in range(len(xy))])


def mask(right_of: int) -> Tissue:
    """Tissue on the columns right of one, upper 44 rows."""
    out = np.zeros(GRID.yx_shape, dtype=bool)
    out[:44, right_of:] = True
    return Tissue(out)


def test_a_visium_like_capture_passes_in_silence() -> None:
    xy = lattice(100.0)
    told: list[Event] = []
    counts = sparse.csr_matrix((len(xy), 1), dtype=np.int32)
    units = Units(ids(xy), xy / 0.5, counts, GeneTable(("A",)), DISK, "he_px")
    checks.check_units(units, xy, GRID, 0.5, mask(15), told.append)
    assert told == []


@pytest.mark.parametrize("mpp", [0.0, 0.049, 20.1, -1.0, float("nan"), float("inf")])
def test_a_pixel_size_no_scanner_has_is_an_error(mpp: float) -> None:
    with pytest.raises(InputError, match=r"0\.05 to 20") as caught:
        checks.check_pixel_size(mpp)
    assert "--mpp" in caught.value.mend


@pytest.mark.parametrize(("mpp", "notes"), [(0.05, 0), (0.25, 0), (1.0, 0), (1.3, 1), (20.0, 1)])
def test_a_coarse_image_is_a_warning(mpp: float, notes: int) -> None:
    told: list[Event] = []
    checks.check_pixel_size(mpp, told.append)
    assert [e.level for e in told if isinstance(e, Note)] == ["warning"] * notes


@pytest.mark.parametrize(
    ("pitch", "footprint", "fine"),
    [
        (100.0, DISK, True),
        (200.0, Footprint("disk", 100.0), True),
        (8.0, Footprint("square", 8.0), True),
        (42.0, DISK, True),
        (41.0, DISK, False),
        (274.0, DISK, True),
        (276.0, DISK, False),
        (2.0, Footprint("square", 8.0), False),
        (1.0, Footprint("point"), True),
    ],
)
def test_pitch_must_suit_the_size(pitch: float, footprint: Footprint, fine: bool) -> None:
    if fine:
        return checks.check_pitch(lattice(pitch), footprint, 0.5)
    with pytest.raises(InputError, match="pitch disagree"):
        checks.check_pitch(lattice(pitch), footprint, 0.5)
    return None


def test_the_pitch_message_names_the_pixel_size_that_would_fit() -> None:
    with pytest.raises(InputError) as caught:  # true 0.5 µm per pixel, said to be 5
        checks.check_pitch(lattice(100.0) * 10, DISK, 5.0)
    assert "1000 µm apart" in caught.value.problem
    assert "18 times their diameter of 55 µm" in caught.value.problem
    assert "0.275 to 0.55 µm per pixel" in caught.value.mend


def test_units_on_one_another_have_no_pitch() -> None:
    with pytest.raises(InputError, match="are 0 µm apart"):
        checks.check_pitch(np.ones((5, 2)), DISK, 0.5)
    checks.check_pitch(np.ones((2, 2)), DISK, 0.5)  # two units say nothing


def test_the_nearest_distance_ignores_lost_points_and_samples_large_sets() -> None:
    xy = np.concatenate([lattice(7.0, 90, 90), [[np.nan, 1.0], [1e6, 1e6]]])
    assert checks.nearest_distance(xy) == pytest.approx(7.0)
    assert checks.nearest_distance(np.ones((5, 2))) == 0.0


def test_swapped_axes_are_recognised() -> None:
    xy = lattice(100.0)[:, ::-1]
    with pytest.raises(InputError) as caught:
        checks.check_placement(xy, ids(xy), GRID)
    assert "1,600 × 400 µm" in caught.value.problem
    assert "With x and y swapped 100%" in caught.value.mend


def test_positions_of_another_image_are_told_with_both_extents() -> None:
    xy = lattice(100.0) * 4
    with pytest.raises(InputError) as caught:
        checks.check_placement(xy, ids(xy), GRID)
    assert "x 600 to 6,000" in caught.value.problem
    assert "swap" not in caught.value.mend
    assert "one section" in caught.value.mend


def test_a_few_units_outside_are_named() -> None:
    xy = lattice(100.0)
    xy[[3, 7]] = [[-1.0, 5.0], [np.nan, 5.0]]
    told: list[Event] = []
    checks.check_placement(xy, ids(xy), GRID, told.append)
    assert [e.text for e in told if isinstance(e, Note)] == [
        "2 of 56 units lie outside the H&E and are not used: s3, s7."
    ]


def test_units_off_the_tissue_are_an_error_then_a_warning_then_fine() -> None:
    xy = lattice(100.0)
    with pytest.raises(InputError, match="Only 4 of 56 units lie on the tissue") as caught:
        checks.check_on_tissue(xy, GRID, mask(180))
    assert "mask" in caught.value.mend
    told: list[Event] = []
    checks.check_on_tissue(xy, GRID, mask(80), told.append)
    assert [e.level for e in told if isinstance(e, Note)] == ["warning"]
    told.clear()
    checks.check_on_tissue(xy, GRID, mask(60), told.append)
    assert told == []


def test_swapped_axes_on_a_square_image_show_on_the_tissue() -> None:
    grid = Grid((50, 50), (800, 800))
    out = np.zeros((50, 50), dtype=bool)
    out[30:, :12] = True
    xy = np.array([[8.0 * j, 250.0 + 8 * i] for i in range(12) for j in range(11)])
    checks.check_on_tissue(xy, grid, Tissue(out))
    with pytest.raises(InputError, match="swapped 100%"):
        checks.check_on_tissue(xy[:, ::-1], grid, Tissue(out))
