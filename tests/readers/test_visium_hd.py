"""Visium HD folders: which bins are meant, where they lie, and that a turned array moves none."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.arithmetic.pooling import square_weights
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.visium import find_visium
from napari_pixelgene.readers.visium_hd import find_bins, hd_pixel_size, hd_slide, read_visium_hd
from space_ranger import Run

FIXTURE = Path(__file__).parents[2].parent / "shared" / "data" / "fixtures" / "seurat_visium_hd"
needs_data = pytest.mark.skipif(not FIXTURE.exists(), reason="the real data are not here")
MPP, SHAPE = 0.25, (900, 1500)


def xy_px(row: int, column: int, side_um: int, turn_deg: float) -> tuple[float, float]:
    """Rows count upwards, as 10x's do."""
    x, y, turn = (column + 0.5) * side_um, (row + 0.5) * side_um, math.radians(turn_deg)
    return (
        (40 + math.cos(turn) * x + math.sin(turn) * y) / MPP,
        (200 + math.sin(turn) * x - math.cos(turn) * y) / MPP,
    )


def bins(folder: Path, side_um: int, turn_deg: float = 0.0) -> Run:
    """A square's folder of 10 × 30 bins, of which three were counted."""
    names = {(r, c): f"s_{side_um:03d}um_{r:05d}_{c:05d}-1" for r in range(10) for c in range(30)}
    spots = [[name, int(r != 9), r, c, *xy_px(r, c, side_um, turn_deg)[::-1]] for (r, c), name in sorted(names.items())]
    counted = [names[2, 17], names[9, 0], names[0, 4]]
    run = Run(
        folder / "binned_outputs" / f"square_{side_um:03d}um",
        spots,
        counted,
        np.array([[0, 7, 1, 2], [3, 0, 0, 0], [0, 0, 5, 1]]),
        factors={
            "bin_size_um": float(side_um),
            "microns_per_pixel": MPP,
            "spot_diameter_fullres": side_um / MPP,
            "tissue_hires_scalef": 0.4,
            "tissue_lowres_scalef": 0.04,
        },
    )
    run.write_h5()
    run.write_spatial("tissue_positions.parquet")
    return run


@pytest.fixture
def outs(tmp_path: Path) -> Path:
    folder = tmp_path / "sample9" / "outs"
    bins(folder, 8)
    bins(folder, 16)
    return folder


def he(mpp: float = MPP, yx_shape: tuple[int, int] = SHAPE) -> Image:
    return Image((np.zeros((*yx_shape, 3), dtype=np.uint8),), mpp)


def test_bins_are_squares_where_the_table_puts_them(outs: Path) -> None:
    told: list[Event] = []
    capture = read_visium_hd(outs, he(), on_event=told.append)
    units = capture.units
    assert units is not None
    assert (capture.name, capture.technology, units.frame) == ("sample9", "visium_hd", "he_px")
    assert (units.footprint.shape, units.footprint.size_um) == ("square", 8.0)
    assert units.ids.tolist() == ["s_008um_00002_00017-1", "s_008um_00000_00004-1"]
    assert units.xy == pytest.approx(np.array([xy_px(2, 17, 8, 0), xy_px(0, 4, 8, 0)]))
    assert units.counts.toarray().tolist() == [[0, 7, 2], [0, 0, 1]]
    assert (capture.facts["bin_um"], capture.facts["turn_deg"]) == (8.0, 0.0)
    texts = [e.text for e in told if isinstance(e, Note)]
    assert any("1 of 3 barcodes" in text for text in texts) and not any("turned" in text for text in texts)


def test_a_size_is_asked_for_or_is_that_of_the_folder(outs: Path) -> None:
    coarse = outs / "binned_outputs" / "square_016um"
    for given, size in ((outs, 16), (outs / "binned_outputs", 16), (coarse, 16), (coarse, None)):
        assert find_bins(given, size).path == coarse
    assert find_bins(outs).path.name == "square_008um"
    (outs / "spatial").mkdir()  # some versions leave the factors of 2 µm beside the whole run's images
    (outs / "spatial" / "scalefactors_json.json").write_text('{"bin_size_um": 2.0}')
    assert find_bins(outs).path.name == "square_008um"
    renamed = outs / "my_bins"
    coarse.rename(renamed)
    assert find_bins(renamed).path == renamed
    capture = read_visium_hd(renamed, he())
    assert capture.units is not None and capture.units.footprint.size_um == 16.0
    assert capture.units.xy[0] == pytest.approx(xy_px(2, 17, 16, 0))


def test_sizes_and_folders_that_are_not_there_are_told(outs: Path, tmp_path: Path) -> None:
    fine = outs / "binned_outputs" / "square_008um"
    for given, size, words in (
        (outs, 2, "no bins of 2 µm; it has 8, 16"),
        (fine, 16, "bins of 8 µm, not of 16"),
        (tmp_path, None, "not a Visium HD output folder"),
        (tmp_path / "none", None, "no folder"),
    ):
        with pytest.raises(InputError, match=words):
            find_bins(given, size)
    for folder in (outs, fine):
        with pytest.raises(InputError, match="Visium HD run") as caught:
            find_visium(folder)
        assert "visium-hd" in str(caught.value.mend)
    fine.rename(outs / "binned_outputs" / "square_024um")
    with pytest.raises(InputError, match="says 8 µm for the side of the bins of square_024um"):
        find_bins(outs, 24)


def test_an_array_that_does_not_fit_the_pixel_size_is_refused(outs: Path) -> None:
    with pytest.raises(
        InputError, match=r"0.5 µm per pixel neighbouring bins are 16 µm apart; they must be 8 µm"
    ) as no:
        read_visium_hd(outs, he(0.5))
    assert "--mpp 0.25" in str(no.value.mend)


def test_the_slide_is_the_bins_own_or_the_runs(outs: Path) -> None:
    assert hd_slide(outs) is None
    (outs / "spatial").mkdir()
    (outs / "spatial" / "tissue_hires_image.png").touch()
    found = hd_slide(outs)
    assert found is not None and found[0].parent == outs / "spatial" and found[1] == pytest.approx(MPP / 0.4)
    own = outs / "binned_outputs" / "square_008um" / "spatial" / "tissue_hires_image.png"
    own.touch()
    assert hd_slide(outs) == (own, pytest.approx(MPP / 0.4))
    assert hd_pixel_size(outs, he()) == MPP


@pytest.mark.parametrize("turn_deg", [0.0, 13.0, 40.0])
def test_a_turn_is_told_and_moves_no_bin(tmp_path: Path, turn_deg: float) -> None:
    """Every bin is pooled over about its own area, nowhere further than a bin's half diagonal from its centre."""
    bins(tmp_path, 16, turn_deg)
    told: list[Event] = []
    capture = read_visium_hd(tmp_path, he(), 16, told.append)
    assert capture.units is not None
    assert any(f"turned by {turn_deg:.1f}°" in e.text for e in told if isinstance(e, Note)) == (turn_deg > 0)
    assert capture.units.xy[0] == pytest.approx(xy_px(2, 17, 16, turn_deg))
    centres = np.array([xy_px(r, c, 16, turn_deg) for r in range(10) for c in range(30)]) * MPP
    centres += np.array([320, 160])  # inside the lattice
    pooled = square_weights(centres, 16, 8, (100, 120))
    unit, superpixel = pooled.nonzero()
    assert np.unique(np.diff(pooled.indptr)).tolist() == [4]
    at = (np.stack([superpixel % 120, superpixel // 120], axis=1) + 0.5) * 8
    apart = at - centres[unit]
    assert np.abs(apart).max() <= 8.0 + 1e-6
    assert np.abs(apart.mean(axis=0)).max() < 0.5


@needs_data
def test_a_real_toy() -> None:
    """Its 8 µm folder holds every other bin: its array says 0.137 µm per pixel. Its 16 µm matrix is another's."""
    found = hd_slide(FIXTURE)
    assert found is not None and found[1] == pytest.approx(0.27376 / 0.25404, rel=1e-4)
    capture = read_visium_hd(FIXTURE, he(0.1369))
    units = capture.units
    assert units is not None and units.counts.shape == (1368, 100)
    assert capture.facts["turn_deg"] == pytest.approx(-0.38, abs=0.01)
    with pytest.raises(InputError, match=r"\(2,053 such\)"):
        read_visium_hd(FIXTURE, he(0.27376), 16)
    with pytest.raises(InputError, match="16 µm apart"):
        read_visium_hd(FIXTURE, he(0.27376))
