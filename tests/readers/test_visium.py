"""Visium folders of two generations: counts meet positions, pixels meet images, and what each fault says."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from napari_pixelgene.elements.capture import Units
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.readers.visium import find_visium, read_visium, visium_pixel_size, visium_slide
from space_ranger import Run

SHARED = Path(__file__).parents[2].parent / "shared" / "data"
CRC, FIXTURES = SHARED / "visium_crc16", SHARED / "fixtures"
needs_data = pytest.mark.skipif(not CRC.exists(), reason="the real data are not here")

# The full-resolution image: 0.4 µm per pixel, so that spots are 250 px apart. Hires is a fifth, lowres a twentieth.
MPP, PITCH_PX, SHAPE = 0.4, 250.0, (2400, 3600)
FACTORS = {"spot_diameter_fullres": 162.5, "tissue_hires_scalef": 0.2, "tissue_lowres_scalef": 0.05}
TURN = math.radians(7.0)


def xy_px(row: int, column: int) -> tuple[float, float]:
    """Where a spot of the turned array lies, to whole pixels as Space Ranger writes it."""
    x, y = column * PITCH_PX / 2, row * PITCH_PX * math.sqrt(3) / 2
    return round(500 + math.cos(TURN) * x - math.sin(TURN) * y), round(300 + math.sin(TURN) * x + math.cos(TURN) * y)


def spot(barcode: str, row: int, column: int, in_tissue: int = 1) -> list[object]:
    x, y = xy_px(row, column)
    return [barcode, in_tissue, row, column, y, x]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    spots = [spot(f"T{row}{column:02d}-1", row, column, 0) for row in range(6) for column in range(row % 2, 14, 2)]
    by_name = {str(each[0]): each for each in spots}
    for name in ("T004-1", "T311-1", "T402-1", "T000-1"):
        by_name[name][1] = 1
    counts = np.array([[0, 7, 1, 2], [3, 0, 0, 0], [0, 0, 5, 0]])
    return Run(tmp_path / "sample7" / "outs", spots, ["T311-1", "T402-1", "T004-1"], counts, factors=dict(FACTORS))


def he(yx_shape: tuple[int, int] = SHAPE, mpp: float | None = MPP, path: Path | None = None) -> Image:
    return Image((np.zeros((*yx_shape, 3), dtype=np.uint8),), mpp, path)


def units_of(run: Run, image: Image | None = None) -> Units:
    units = read_visium(run.folder, image or he()).units
    assert units is not None
    return units


def test_counts_meet_their_positions_in_the_order_of_the_counts(run: Run) -> None:
    told: list[Event] = []
    run.counts += 1
    run.write_h5("raw_feature_bc_matrix.h5")  # stands beside the filtered one and is not read
    run.counts -= 1
    capture = read_visium(run.write(), he(), told.append)
    units = capture.units
    assert units is not None
    assert (capture.name, capture.technology, units.frame) == ("sample7", "visium", "he_px")
    assert (units.footprint.shape, units.footprint.size_um) == ("disk", 55.0)
    assert units.ids.tolist() == ["T311-1", "T402-1", "T004-1"]
    assert units.xy.tolist() == [list(xy_px(3, 11)), list(xy_px(4, 2)), list(xy_px(0, 4))]
    assert units.lattice is not None and units.lattice.tolist() == [[11, 3], [2, 4], [4, 0]]
    assert units.genes.symbols == ("ERBB2", "CD8A", "ERBB2_ENSG03")
    assert units.counts.toarray().tolist() == [[0, 7, 2], [3, 0, 0], [0, 0, 0]]
    assert units.library.tolist() == [9.0, 3.0, 0.0]
    assert capture.facts["turn_deg"] == pytest.approx(7.0, abs=0.05)
    assert capture.facts["um_per_fullres_px"] == pytest.approx(MPP, rel=2e-3)
    assert capture.facts["software"] == "spaceranger-9.9.9"
    texts = [e.text for e in told if isinstance(e, Note)]
    assert any(re.search(r"Spots are 250 .*: 0\.3999 µm per pixel", text) for text in texts)
    assert "1 barcodes on tissue have no counts in filtered_feature_bc_matrix.h5 and are left out." in texts


@pytest.mark.parametrize(
    ("name", "header"),
    [("tissue_positions_list.csv", False), ("tissue_positions_list.csv", True), ("tissue_positions.csv", True)],
)
@pytest.mark.parametrize("folder", [True, False])
def test_every_generation_reads_the_same(run: Run, name: str, header: bool, folder: bool) -> None:
    run.write_spatial(name, header)
    run.write_mtx() if folder else run.write_h5("V1_Breast_filtered_feature_bc_matrix.h5")
    units = units_of(run)
    assert units.xy.tolist() == [list(xy_px(3, 11)), list(xy_px(4, 2)), list(xy_px(0, 4))]
    assert units.counts.toarray().tolist() == [[0, 7, 2], [3, 0, 0], [0, 0, 0]]


def test_a_raw_matrix_is_read_where_there_is_no_other_and_spots_off_the_tissue_leave(run: Run) -> None:
    run.write_spatial()
    run.barcodes = ["T202-1", "T402-1", "T004-1"]
    run.write_h5("raw_feature_bc_matrix.h5")
    told: list[Event] = []
    units = read_visium(run.folder, he(), told.append).units
    assert units is not None
    assert units.ids.tolist() == ["T402-1", "T004-1"]
    assert units.xy.tolist() == [list(xy_px(4, 2)), list(xy_px(0, 4))]
    assert units.counts.toarray().tolist() == [[3, 0, 0], [0, 0, 0]] and units.library.tolist() == [3.0, 0.0]
    texts = [e.text for e in told if isinstance(e, Note)]
    assert "outs has no filtered matrix: raw_feature_bc_matrix.h5 is read." in texts
    assert any("1 of 3 barcodes in raw_feature_bc_matrix.h5 lie off the tissue" in text for text in texts)


# Images


def test_positions_are_scaled_to_a_reduced_image(run: Run) -> None:
    run.write()
    full = np.array([xy_px(3, 11), xy_px(4, 2), xy_px(0, 4)])
    hires = run.write_image("tissue_hires_image.png", (480, 720))
    run.write_image("tissue_lowres_image.png", (120, 180))
    assert np.allclose(units_of(run, read_image(hires, 2.0)).xy, full * 0.2)
    renamed = he((120, 180), 8.0, run.folder / "any.tif")  # by its size
    assert np.allclose(units_of(run, renamed).xy, full * 0.05)
    hires.unlink()
    elsewhere = he((480, 719), 2.0, Path("GSM7_tissue_hires_image.png"))  # by its name, a pixel rounded away
    assert np.allclose(units_of(run, elsewhere).xy, full * 0.2)
    assert np.array_equal(units_of(run).xy, full)


def test_a_name_that_the_size_belies_is_refused(run: Run) -> None:
    run.write()
    run.write_image("tissue_lowres_image.png", (120, 180))
    with pytest.raises(InputError, match=r"720 × 480 pixels, but it has 3600 × 2400"):
        units_of(run, he(path=Path("tissue_hires_image.png")))


def test_the_run_brings_its_hires_image_measured_by_the_pitch(run: Run) -> None:
    run.write()
    assert visium_slide(run.folder) is None
    hires = run.write_image("tissue_hires_image.png", (480, 720))
    found = visium_slide(run.folder)
    assert found is not None and found[0] == hires
    assert found[1] == pytest.approx(MPP / 0.2, rel=2e-3)  # 55 / 162.5 / 0.2 would be 1.69
    assert visium_pixel_size(run.folder, he(mpp=None)) == pytest.approx(MPP, rel=2e-3)
    assert visium_pixel_size(run.folder, read_image(hires)) == pytest.approx(MPP / 0.2, rel=2e-3)


@pytest.mark.parametrize(("mpp", "fits"), [(0.38, True), (0.43, True), (0.355, False), (0.445, False), (0.2, False)])
def test_a_pixel_size_must_put_spots_a_pitch_apart_within_a_tenth(run: Run, mpp: float, fits: bool) -> None:
    run.write()
    if fits:
        units_of(run, he(mpp=mpp))
        return
    with pytest.raises(InputError) as caught:
        units_of(run, he(mpp=mpp))
    assert f"{mpp:g} µm per pixel" in caught.value.problem and "100 µm" in caught.value.problem
    apart, mend = (
        re.search(r"(?:are|--mpp) ([\d.]+)", str(text)) for text in (caught.value.problem, caught.value.mend)
    )
    assert apart is not None and float(apart[1]) == pytest.approx(100 * mpp / MPP, rel=2e-3)
    assert mend is not None and float(mend[1]) == pytest.approx(MPP, rel=2e-3)


# Faults


def broken_positions(run: Run) -> None:
    run.spots[3][4] = None


def swapped_spots(run: Run) -> None:
    places = [each[4:] for each in run.spots]
    for each, place in zip(run.spots, np.random.default_rng(1).permutation(places).tolist(), strict=True):
        each[4:] = place


def not_a_flag(run: Run) -> None:
    run.spots[5][1] = 2


def repeated(run: Run) -> None:
    run.spots[5][0] = run.spots[6][0]


def unplaced(run: Run) -> None:
    run.barcodes[1] = "ZZZ-1"


def off_tissue(run: Run) -> None:
    for each in run.spots:
        each[1] = 0


def bad_factor(run: Run) -> None:
    run.factors["tissue_hires_scalef"] = -0.2


def is_hd(run: Run) -> None:
    run.factors["bin_size_um"] = 8.0


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (broken_positions, ["tissue_positions.csv", "'T006-1'", "pxl_row_in_fullres", "nothing"]),
        (swapped_spots, ["tissue_positions.csv", "array_row"]),
        (not_a_flag, ["'T010-1'", "in_tissue", "2"]),
        (repeated, ["'T012-1' twice"]),
        (unplaced, ["'ZZZ-1'", "tissue_positions.csv"]),
        (off_tissue, ["None of the 3"]),
        (bad_factor, ["scalefactors_json.json", "tissue_hires_scalef", "-0.2"]),
        (is_hd, ["Visium HD"]),
    ],
)
def test_faults_name_the_place(run: Run, spoil: Callable[[Run], None], words: list[str]) -> None:
    spoil(run)
    run.write()
    with pytest.raises(InputError) as caught:
        units_of(run)
    assert all(word in caught.value.problem for word in words), caught.value.problem
    assert caught.value.mend


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", ["cannot be read"]),
        ("A-1,1,0,0\n", ["4 columns and no header"]),
        ("barcode,in_tissue,array_row\n", ["no column array_col"]),
        ("barcode,in_tissue,array_row,array_col,pxl_row_in_fullres,pxl_col_in_fullres\n", ["no rows"]),
        ("A-1,1,0,0,10,20\nB-1,1,0\n", ["'B-1'", "array_col", "nothing"]),
        ("A-1,1,0,0,10,here\n", ["'A-1'", "pxl_col_in_fullres", "here"]),
    ],
)
def test_tables_of_another_form_are_told(run: Run, text: str, words: list[str]) -> None:
    run.write()
    (run.folder / "spatial" / "tissue_positions.csv").write_text(text)
    with pytest.raises(InputError) as caught:
        units_of(run)
    assert all(word in caught.value.problem for word in ["tissue_positions.csv", *words]), caught.value.problem


def test_the_folder_to_give_is_told(run: Run, tmp_path: Path) -> None:
    run.write()
    for wrong, right in ((run.folder.parent, run.folder), (run.folder / "spatial", run.folder)):
        with pytest.raises(InputError) as caught:
            find_visium(wrong)
        assert caught.value.mend == f"Give {right}."
    with pytest.raises(InputError, match="no folder"):
        find_visium(tmp_path / "none")
    (run.folder / "B_filtered_feature_bc_matrix.h5").touch()
    with pytest.raises(InputError, match="several matrices"):
        find_visium(run.folder)
    for each in run.folder.glob("*.h5"):
        each.unlink()
    with pytest.raises(InputError, match="no counts"):
        find_visium(run.folder)
    (run.folder / "spatial" / "tissue_positions.csv").unlink()
    run.write_h5()
    with pytest.raises(InputError, match="none of tissue_positions"):
        find_visium(run.folder)
    (run.folder / "spatial" / "scalefactors_json.json").write_text("[1]")
    with pytest.raises(InputError, match="not a table of scale factors"):
        find_visium(run.folder)


# Real runs


@needs_data
def test_a_real_run_of_space_ranger_1_3() -> None:
    hires = read_image(CRC / "derived" / "tissue_hires_image.png")
    mpp = visium_pixel_size(CRC / "outs", hires)
    assert mpp == pytest.approx(4.516, abs=0.002)
    capture = read_visium(CRC / "outs", read_image(hires.path or Path(), mpp))
    units = capture.units
    assert units is not None
    assert capture.name == "visium_crc16" and capture.facts["software"] == "spaceranger-1.3.0"
    assert units.counts.shape == (3106, 36601)
    with h5py.File(CRC / "outs" / "filtered_feature_bc_matrix.h5") as file:
        assert units.counts.sum() == file["matrix/data"][:].sum()
        assert units.ids[7] == file["matrix/barcodes"][7].decode()
    line = next(
        line for line in (CRC / "outs/spatial/tissue_positions_list.csv").open() if line.startswith(str(units.ids[7]))
    )
    row, column = map(int, line.split(",")[4:])
    assert units.xy[7] == pytest.approx([column * 0.28600028, row * 0.28600028])
    assert (units.xy < np.array(hires.yx_shape)[::-1]).all()


@needs_data
def test_a_real_toy_of_space_ranger_1_0() -> None:
    folder = FIXTURES / "scanpy_visium" / "1.0.0"
    found = visium_slide(folder)
    assert found is not None and found[1] == pytest.approx(0.7252 / 0.150015, rel=1e-3)
    units = read_visium(folder, read_image(*found)).units
    assert units is not None and units.counts.shape == (100, 100) and units.counts.sum() == 932
