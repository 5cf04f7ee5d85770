"""The prefix folder: rows meet by name, pixels of either level, and what a radius can mean."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.array_places import array_places
from napari_pixelgene.elements.capture import Footprint, Units
from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.prefix import PrefixSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.legacy_st import read_legacy_st
from napari_pixelgene.readers.prefix import SizeAnswers, find_image, find_prefix, prefix_of, read_prefix
from napari_pixelgene.readers.prefix_size import RadiusIs, bin_footprint, spot_footprint

COUNTS = pd.DataFrame({"KRT8": [4, 0, 7], "CD3E": [0, 5, 1]}, index=["b", "c", "a"])
LOCS = pd.DataFrame({"x": [300.0, 100.5, 500.0, 9.0], "y": [40.0, 60.0, 80.0, 9.0]}, index=["a", "b", "c", "d"])
MPP = 0.25


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three Visium spots 100 µm apart, of 110 px radius at 0.25 µm, and a fourth without counts."""
    COUNTS.to_csv(tmp_path / "cnts.tsv", sep="\t")
    (LOCS * [2, 1]).to_csv(tmp_path / "locs-raw.tsv", sep="\t")
    (tmp_path / "he-raw.png").write_bytes(b"png")
    (tmp_path / "pixel-size-raw.txt").write_text("0.25\n")
    (tmp_path / "radius-raw.txt").write_text("110")
    return tmp_path


def units_of(prefix: Path, he: str = "he-raw.png", told: list[Event] | None = None, **answers: object) -> Units:
    events: list[Event] = [] if told is None else told
    capture = read_prefix(prefix, prefix.parent / he, MPP, SizeAnswers(**answers), events.append)  # type: ignore[arg-type]
    assert capture.units is not None
    return capture.units


def notes_of(told: list[Event]) -> str:
    return "\n".join(event.text for event in told if isinstance(event, Note))


def test_rows_meet_by_name_in_the_order_of_the_counts(folder: Path) -> None:
    told: list[Event] = []
    units = units_of(folder, told=told)
    assert (units.frame, units.ids.tolist()) == ("he_px", ["b", "c", "a"])
    assert units.xy.tolist() == [[201.0, 60.0], [1000.0, 80.0], [600.0, 40.0]]
    assert units.genes.symbols == ("KRT8", "CD3E")
    assert units.counts.toarray().tolist() == [[4, 0], [0, 5], [7, 1]]
    assert units.footprint == Footprint("disk", 55.0)
    assert "1 of 4 rows in locs-raw.tsv have no counts" in notes_of(told)
    assert "radius-raw.txt (110) is the radius in pixels" in notes_of(told)


@pytest.mark.parametrize("form", ["parquet", "parquet, a column of names", "csv", "tsv.gz", "floats", "begin of names"])
def test_other_forms_of_the_same_tables_read_the_same(folder: Path, form: str) -> None:
    plain = units_of(folder)
    prefix = folder
    if form.startswith("parquet"):
        named = COUNTS.reset_index(names="barcode") if "names" in form else COUNTS.astype(float)
        named.to_parquet(folder / "cnts.parquet", index="names" not in form)
        (folder / "cnts.tsv").write_text("must\tnot\nbe\tread\n")
        (LOCS * [2, 1]).to_parquet(folder / "locs-raw.parquet")
    elif form == "csv":
        COUNTS.to_csv(folder / "cnts.csv")
        (folder / "cnts.tsv").unlink()
        (LOCS * [2, 1]).set_axis(["px", "py"], axis=1).to_csv(folder / "locs-raw.csv")
        (folder / "locs-raw.tsv").unlink()
    elif form == "tsv.gz":
        (folder / "cnts.tsv.gz").write_bytes(gzip.compress((folder / "cnts.tsv").read_bytes()))
        (folder / "cnts.tsv").unlink()
    elif form == "floats":
        COUNTS.astype(float).to_csv(folder / "cnts.tsv", sep="\t")
    else:
        for path in list(folder.iterdir()):
            path.rename(folder / f"S1-{path.name}")
        prefix = folder / "S1-"
    other = units_of(prefix, "S1-he-raw.png" if prefix != folder else "he-raw.png")
    assert other.ids.tolist() == plain.ids.tolist() and other.genes == plain.genes
    assert (other.counts != plain.counts).nnz == 0 and other.xy.tolist() == plain.xy.tolist()
    assert other.footprint == plain.footprint


def test_tables_without_names_meet_row_by_row_and_say_so(folder: Path) -> None:
    told: list[Event] = []
    LOCS[:3].reset_index(drop=True).to_csv(folder / "locs-raw.tsv", sep="\t")
    units = units_of(folder, told=told, size_um=10)
    assert units.xy.tolist() == LOCS[:3].to_numpy().tolist() and "row by row" in notes_of(told)


def test_work_pixels_are_those_of_the_rescaled_image(folder: Path) -> None:
    (LOCS * [1, 0.5]).round().astype(int).to_csv(folder / "locs.tsv", sep="\t")
    (folder / "he.jpg").write_bytes(b"jpg")
    (folder / "pixel-size.txt").write_text("0.5")
    (folder / "radius.txt").write_text("55")
    assert find_image(folder) == (folder / "he-raw.png", 0.25), "the slide as scanned goes first"
    units = read_prefix(folder, folder / "he.jpg", 0.5).units
    assert units is not None and units.xy.tolist() == [[100.0, 30.0], [500.0, 40.0], [300.0, 20.0]]
    assert units.footprint == Footprint("disk", 55.0)
    (folder / "he-raw.png").unlink()
    assert find_image(folder) == (folder / "he.jpg", 0.5)


def test_positions_of_the_other_level_are_converted(folder: Path) -> None:
    """Scanned positions over a rescaled image, as where only he.jpg was kept."""
    (folder / "he-raw.png").rename(folder / "he.png")
    (folder / "pixel-size.txt").write_text("0.5")
    units = read_prefix(folder, folder / "he.png", 0.5).units
    assert units is not None and units.xy.tolist() == [[100.5, 30.0], [500.0, 40.0], [300.0, 20.0]]
    assert units.footprint == Footprint("disk", 55.0)
    (folder / "pixel-size.txt").unlink()
    with pytest.raises(InputError, match="another image"):
        read_prefix(folder, folder / "he.png", 0.5)


def test_what_does_not_fit_together_is_warned_of(folder: Path) -> None:
    told: list[Event] = []
    (folder / "pixel-size-raw.txt").write_text("0.2738")
    assert len(units_of(folder, told=told)) == 3
    assert "pixel-size-raw.txt says 0.2738 µm per pixel; the 0.25 µm of the image are used" in notes_of(told)
    units_of(folder, he="other.svs", told=told)
    assert "taken as pixels of other.svs" in notes_of(told)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("cnts.tsv", COUNTS.rename(index={"c": "q"}).to_csv(sep="\t"), ["'q'", "locs-raw.tsv", "1 such of 3"]),
        ("cnts.tsv", COUNTS.rename(index={"c": "a"}).to_csv(sep="\t"), ["row 'a'", "2 and 3"]),
        ("cnts.tsv", COUNTS.set_axis(["A", "A"], axis=1).to_csv(sep="\t"), ["gene 'A'", "1 and 2"]),
        ("cnts.tsv", COUNTS.to_csv(sep="\t").replace("\t5", "\t-5"), ["row 2", "'CD3E'", "-5"]),
        ("cnts.tsv", COUNTS.to_csv(sep="\t").replace("\t5", "\t0.5"), ["row 2", "'CD3E'", "0.5"]),
        ("cnts.tsv", COUNTS.to_csv(sep="\t").replace("\t5", "\t"), ["row 2", "'CD3E'", "empty"]),
        ("cnts.tsv", COUNTS.to_csv(sep="\t").replace("\t5", "\tmany"), ["row 2", "'CD3E'", "many"]),
        ("cnts.tsv", COUNTS.assign(kind="T").to_csv(sep="\t"), ["'kind'", "no counts"]),
        ("locs-raw.tsv", LOCS.rename(index={"d": "a"}).to_csv(sep="\t"), ["row 'a'", "more than once"]),
        ("locs-raw.tsv", LOCS.to_csv(sep="\t").replace("60.0", ""), ["row 2", "position"]),
        ("locs-raw.tsv", LOCS.assign(z=1).drop(columns="y").assign(w=2).to_csv(sep="\t"), ["columns x and y"]),
        ("radius-raw.txt", "many", ["radius-raw.txt", "many", "positive number"]),
        ("pixel-size-raw.txt", "0", ["pixel-size-raw.txt", "positive number"]),
    ],
)
def test_faults_name_the_place(folder: Path, name: str, text: str, words: list[str]) -> None:
    (folder / name).write_text(text)
    with pytest.raises(InputError) as caught:
        units_of(folder)
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_what_is_missing_is_named(folder: Path) -> None:
    (folder / "radius-raw.txt").unlink()
    with pytest.raises(InputError, match="--size-um"):
        units_of(folder)
    assert units_of(folder, size_um=8, shape="square").footprint == Footprint("square", 8)
    (folder / "locs-raw.tsv").unlink()
    with pytest.raises(InputError, match=r"locs-raw\.\* and .*locs\.\* are not there"):
        find_prefix(folder)
    (folder / "cnts.tsv").unlink()
    with pytest.raises(InputError, match=r"cnts\.\* is not there"):
        find_prefix(folder)
    (folder / "cnts.pickle").write_bytes(b"\x80\x04.")
    with pytest.raises(InputError, match=r"pickle, which is never read.*to_parquet"):
        find_prefix(folder)


def test_the_source_finds_its_files_and_moves_with_them(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    source = PrefixSource.recognise(folder)
    assert source is not None and source.slide() == (folder / "he-raw.png", 0.25)
    tables = {"counts": "cnts.tsv", "locs": "locs-raw.tsv", "radius": "radius-raw.txt"}
    assert source.files() == {key: folder / name for key, name in tables.items()}
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert source.moved({"counts": elsewhere / "cnts.tsv"}).prefix == elsewhere
    assert prefix_of(elsewhere / "S2_cnts.tsv.gz") == elsewhere / "S2_"
    assert PrefixSource.recognise(elsewhere) is None and PrefixSource.recognise(folder / "cnts.tsv") is None


# What the radius means


def lattice(pitch_um: float) -> np.ndarray:
    """Hexagons, as Visium's, 12 × 7."""
    i, j = np.meshgrid(np.arange(12), np.arange(7))
    return np.stack([(i + 0.5 * (j % 2)) * pitch_um, j * pitch_um * np.sqrt(3) / 2], axis=-1).reshape(-1, 2)


@pytest.mark.parametrize(
    ("value", "pixel_um", "pitch_um", "expected"),
    [
        (110, 0.25, 100, Footprint("disk", 55)),  # Visium, radius in px as the scripts read it
        (55, 0.5, 100, Footprint("disk", 55)),  # radius in px and diameter in µm say the same
        (27.5, 0.25, 100, Footprint("disk", 55)),  # radius in µm
        (55, 0.25, 100, Footprint("disk", 55)),  # diameter in µm, as a README has it
        (220, 0.25, 100, Footprint("disk", 55)),  # diameter in px
        (72.5, 0.69, 200, Footprint("disk", 100.05)),  # legacy ST
        (14.61, 0.27378507871321013, 8, Footprint("square", 8)),  # Visium HD
        (8, 0.27378507871321013, 8, Footprint("square", 8)),
        (16.7, 0.3, 20, Footprint("disk", 10)),  # DBiT: channels of 10 µm
    ],
)
def test_the_one_plausible_reading_is_taken(
    value: float, pixel_um: float, pitch_um: float, expected: Footprint
) -> None:
    told: list[Event] = []
    found = spot_footprint(Path("radius-raw.txt"), value, pixel_um, lattice(pitch_um), on_event=told.append)
    assert found.shape == expected.shape and found.size_um == pytest.approx(expected.size_um, rel=5e-3)
    assert "radius-raw.txt" in notes_of(told) and "µm apart" in notes_of(told)


def test_an_ambiguous_radius_asks_and_takes_the_answer() -> None:
    """40 px at 0.5 µm with a pitch of 80 µm: disks of 40 µm, or of 80 µm side by side."""
    path, xy = Path("radius-raw.txt"), lattice(80)
    with pytest.raises(InputError, match="several ways") as caught:
        spot_footprint(path, 40, 0.5, xy)
    assert "--radius-is radius-px" in caught.value.problem and "--radius-is radius-um" in caught.value.problem
    assert spot_footprint(path, 40, 0.5, xy, "radius-px") == Footprint("disk", 40)
    assert spot_footprint(path, 40, 0.5, xy, "radius-um") == Footprint("square", 80)
    assert spot_footprint(path, 40, 0.5, xy, "diameter-px") == Footprint("disk", 20)
    with pytest.raises(InputError, match="several ways"):
        spot_footprint(path, 20, 0.25, lattice(20))  # channels 10 µm wide, or bins of 20 µm
    with pytest.raises(InputError, match="suits no reading"):
        spot_footprint(path, 900, 0.5, xy)


def test_a_radius_of_0_means_bins_of_a_superpixel_where_the_pitch_allows() -> None:
    assert bin_footprint(Path("radius-raw.txt"), 8.0, lattice(8)) == Footprint("square", 8.0)
    assert bin_footprint(Path("radius-raw.txt"), 8.0, lattice(3)) == Footprint("point")
    assert bin_footprint(Path("radius-raw.txt"), 8.0, lattice(100)) == Footprint("point")


def test_bins_of_the_xenium_formatter_are_squares_of_8_um(folder: Path) -> None:
    (folder / "radius-raw.txt").write_text("0.0\n")
    i, j = np.divmod(np.arange(20), 5)
    bins = pd.DataFrame(
        {"x": (j + 0.5) * 32, "y": (i + 0.5) * 32}, index=[f"{a}_{b}" for a, b in zip(i, j, strict=True)]
    )
    bins.to_csv(folder / "locs-raw.tsv", sep="\t")
    pd.DataFrame({"A": range(20)}, index=bins.index).to_csv(folder / "cnts.tsv", sep="\t")
    units = units_of(folder)
    assert units.footprint == Footprint("square", 8.0) and units.counts.sum() == 190


@given(
    st.sampled_from([(55.0, 100.0), (100.0, 200.0), (8.0, 8.0), (2.0, 2.0), (10.0, 20.0)]),
    st.floats(0.1, 1.5),
    st.sampled_from(["radius-px", "diameter-px", "radius-um", "diameter-um"]),
)
def test_a_known_design_is_never_misread_without_asking(
    design: tuple[float, float], pixel_um: float, reading: RadiusIs
) -> None:
    size, pitch = design
    value = size / {"radius-px": 2 * pixel_um, "diameter-px": pixel_um, "radius-um": 2, "diameter-um": 1}[reading]
    try:
        found = spot_footprint(Path("radius-raw.txt"), value, pixel_um, lattice(pitch))
    except InputError as error:
        assert "several ways" in error.problem
    else:
        assert found.size_um == pytest.approx(size, rel=0.25)


def test_the_folder_of_histex_is_read_and_its_array_found(tmp_path: Path) -> None:
    """Commas, positions without names, and a finer lattice beside, which is derived and left alone."""
    i, j = np.divmod(np.arange(20), 5)
    xy = np.column_stack([55 + 200 * i, 55 + 200 * j + 100 * (i % 2)])
    counts = np.random.default_rng(0).poisson(4, (20, 3))
    pd.DataFrame(xy, columns=["0", "1"]).to_csv(tmp_path / "locs.csv")
    pd.DataFrame(counts.astype(float), columns=["A", "B", "C"]).to_csv(tmp_path / "cnts.csv")
    (tmp_path / "radius.txt").write_text("55")
    (tmp_path / "pixel-size-raw.txt").write_text("0.2738")
    (tmp_path / "pixel-size.txt").write_text("0.5")
    (tmp_path / "gene-names.txt").write_text("A\nB\nC\n")
    (tmp_path / "he.jpg").write_bytes(b"jpg")
    for name in ("HRcnts.csv", "HRlocs.csv"):
        (tmp_path / name).write_text("not looked at")
    assert find_image(tmp_path) == (tmp_path / "he.jpg", 0.5)
    told: list[Event] = []
    units = read_prefix(tmp_path, tmp_path / "he.jpg", 0.5, on_event=told.append).units
    assert units is not None and units.footprint == Footprint("disk", 55.0)
    assert (units.xy == xy).all() and (units.counts.toarray() == counts).all()
    assert "'0' is taken as x, '1' as y" in notes_of(told)
    places = array_places(units.xy * 0.5)
    assert places is not None
    assert (places - places[0]).tolist() == np.column_stack([2 * j + i % 2, i]).tolist()


HER2ST = Path(__file__).parents[2].parent / "shared" / "data" / "her2st"


@pytest.mark.skipif(not HER2ST.is_dir(), reason="the real sections are not here")
def test_a_real_section_as_a_prefix_folder_is_the_section(tmp_path: Path) -> None:
    """her2st C3 in iStar's files: 180 spots with counts of 182, 145 px across at 0.69 µm."""
    (tmp_path / "cnts.tsv.gz").symlink_to(HER2ST / "C3-counts.tsv.gz")
    spots = pd.read_csv(HER2ST / "C3-spots.tsv", sep="\t")
    names = [f"{round(x)}x{round(y)}" for x, y in zip(spots["x"], spots["y"], strict=True)]
    locs = spots[["pixel_x", "pixel_y"]].set_axis(["x", "y"], axis=1).set_axis(names)
    locs[::-1].to_csv(tmp_path / "locs-raw.tsv", sep="\t")
    (tmp_path / "radius-raw.txt").write_text("72.5")
    told: list[Event] = []
    units = read_prefix(tmp_path, None, 0.69, on_event=told.append).units
    legacy = read_legacy_st(HER2ST / "C3-counts.tsv.gz", HER2ST / "C3-spots.tsv", 100.0).units
    assert units is not None and legacy is not None
    assert units.counts.shape == (180, 15821) and int(units.counts.sum()) == 2033498
    assert units.ids.tolist() == legacy.ids.tolist() and (units.xy == legacy.xy).all()
    assert (units.counts != legacy.counts).nnz == 0 and units.genes == legacy.genes
    assert units.footprint.shape == "disk" and units.footprint.size_um == pytest.approx(100, abs=0.1)
    assert "2 of 182 rows in locs-raw.tsv have no counts" in notes_of(told)
