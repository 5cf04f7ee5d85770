"""Legacy ST tables: the join, both orientations, and what each fault says."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.capture import Units
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.legacy_st import read_legacy_st

HER2ST = Path(__file__).parents[2].parent / "shared" / "data" / "her2st"
COUNTS = "\tCD8A\tERBB2\tMS4A1\n10x21\t0\t7\t1\n9x20\t3\t0\t0\n12x5\t0\t0\t2\n"
SPOTS = (
    "x\ty\tnew_x\tnew_y\tpixel_x\tpixel_y\tselected\n"
    "9\t20\t9.1\t20\t300.5\t80.25\t1\n"
    "10\t21\t9.9\t21\t340\t120\t1\n"
    "12\t5\t12\t5\t410\t33\t1\n"
    "13\t6\t13\t6\t450\t66\t1\n"
)
Write = Callable[..., tuple[Path, Path]]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def files(counts: str = COUNTS, spots: str = SPOTS) -> tuple[Path, Path]:
        paths = tmp_path / "counts.tsv", tmp_path / "spots.tsv"
        for path, text in zip(paths, (counts, spots), strict=True):
            path.write_text(text)
        return paths

    return files


def units_of(paths: tuple[Path, Path]) -> Units:
    units = read_legacy_st(*paths, 100.0).units
    assert units is not None
    return units


def transposed(text: str) -> str:
    cells = [line.split("\t") for line in text.rstrip().split("\n")]
    return "\n".join("\t".join(column) for column in zip(*cells, strict=True)) + "\n"


def test_counts_meet_their_spots_in_the_order_of_the_counts(write: Write) -> None:
    told: list[Event] = []
    capture = read_legacy_st(*write(), 100.0, name="C9", on_event=told.append)
    units = capture.units
    assert units is not None
    assert (capture.name, capture.technology, units.frame) == ("C9", "legacy_st", "he_px")
    assert (units.footprint.shape, units.footprint.size_um) == ("disk", 100.0)
    assert units.ids.tolist() == ["10x21", "9x20", "12x5"]
    assert units.xy.tolist() == [[340.0, 120.0], [300.5, 80.25], [410.0, 33.0]]
    assert units.lattice is not None and units.lattice.tolist() == [[10, 21], [9, 20], [12, 5]]
    assert units.genes.symbols == ("CD8A", "ERBB2", "MS4A1")
    assert units.counts.toarray().tolist() == [[0, 7, 1], [3, 0, 0], [0, 0, 2]]
    assert units.library.tolist() == [8.0, 3.0, 2.0]
    assert [e.text for e in told if isinstance(e, Note)] == [
        "1 of 4 spots in spots.tsv have no counts and are left out."
    ]


@pytest.mark.parametrize(
    "counts",
    [
        transposed(COUNTS),
        COUNTS.removeprefix("\t"),  # R writes no corner
        COUNTS.replace("\n", "\r\n"),
        COUNTS.replace("\t7\t", "\t7.0\t").replace("10x21", "9.97x20.97"),
        COUNTS.replace("CD8A", '"CD8A"'),
    ],
    ids=["genes down", "no corner", "windows", "floats", "quotes"],
)
def test_other_spellings_of_the_same_table_read_the_same(write: Write, counts: str) -> None:
    plain, other = units_of(write()), units_of(write(counts))
    assert other.ids.tolist() == plain.ids.tolist()
    assert other.genes == plain.genes
    assert (other.counts != plain.counts).nnz == 0
    assert other.xy.tolist() == plain.xy.tolist()


def test_compressed_counts_read_the_same_whatever_their_name(write: Write) -> None:
    counts, spots = write()
    counts.write_bytes(gzip.compress(COUNTS.encode()))
    assert units_of((counts, spots)).counts.sum() == 13


def test_deselected_spots_leave_with_their_counts_and_are_told(write: Write) -> None:
    told: list[Event] = []
    paths = write(spots=SPOTS.replace("340\t120\t1", "340\t120\t0"))
    units = read_legacy_st(*paths, 100.0, on_event=told.append).units
    assert units is not None
    assert units.ids.tolist() == ["9x20", "12x5"]
    assert units.library.tolist() == [3.0, 2.0]
    assert any("1 of 4 spots in spots.tsv have selected = 0" in e.text for e in told if isinstance(e, Note))


def test_a_spot_table_without_selected_keeps_all(write: Write) -> None:
    spots = "\n".join(line.rsplit("\t", 1)[0] for line in SPOTS.strip().split("\n"))
    assert len(units_of(write(spots=spots))) == 3


@pytest.mark.parametrize(
    ("counts", "spots", "words"),
    [
        (COUNTS + "99x98\t1\t1\t1\n", SPOTS, ["99x98", "spots.tsv"]),
        (COUNTS + "9x20\t1\t1\t1\n", SPOTS, ["spot '9x20'", "2 and 4"]),
        (COUNTS.replace("MS4A1", "CD8A"), SPOTS, ["gene 'CD8A'", "1 and 3"]),
        (COUNTS.replace("\t3\t", "\tNaN\t"), SPOTS, ["counts.tsv", "'9x20'", "'CD8A'"]),
        (COUNTS.replace("\t3\t", "\t\t"), SPOTS, ["'9x20'", "'CD8A'", "empty"]),
        (COUNTS.replace("\t3\t", "\t-3\t"), SPOTS, ["'9x20'", "'CD8A'", "-3"]),
        (COUNTS.replace("\t3\t", "\t0.5\t"), SPOTS, ["'9x20'", "'CD8A'", "0.5"]),
        (COUNTS.replace("\t3\t", "\tmany\t"), SPOTS, ["'9x20'", "'CD8A'", "many"]),
        (COUNTS.replace("\t0\t2\n", "\t0\n"), SPOTS, ["'12x5'", "'MS4A1'", "empty"]),
        (COUNTS.split("\n")[0] + "\n", SPOTS, ["counts.tsv"]),
        ("", SPOTS, ["counts.tsv"]),
        (COUNTS.replace("x", "-"), SPOTS, ["10-21", "CD8A"]),
        (COUNTS, SPOTS.replace("pixel_x", "px"), ["spots.tsv", "pixel_x"]),
        (COUNTS, SPOTS.replace("80.25", "here"), ["line 2", "pixel_y", "here"]),
        (COUNTS, SPOTS.replace("\t120\t1", "\t\t1"), ["line 3", "pixel_y", "empty"]),
        (COUNTS, SPOTS.replace("10\t21", "9\t20"), ["spot '9x20'", "1 and 2"]),
        (COUNTS, SPOTS.replace("\t1\n", "\t0\n"), ["selected"]),
    ],
)
def test_faults_name_the_place(write: Write, counts: str, spots: str, words: list[str]) -> None:
    paths = write(counts, spots)
    with pytest.raises(InputError) as caught:
        read_legacy_st(*paths, 100.0)
    assert all(word in caught.value.problem for word in words), caught.value.problem
    assert caught.value.mend


def test_a_cut_off_archive_and_a_missing_file_are_told(write: Write, tmp_path: Path) -> None:
    counts, spots = write()
    counts.write_bytes(gzip.compress(COUNTS.encode() * 50)[:60])
    with pytest.raises(InputError, match="complete"):
        read_legacy_st(counts, spots, 100.0)
    with pytest.raises(InputError, match="no file"):
        read_legacy_st(tmp_path / "none.tsv", spots, 100.0)


@pytest.mark.parametrize("diameter", [0.0, -1.0, float("nan"), float("inf")])
def test_the_diameter_must_be_positive(write: Write, diameter: float) -> None:
    with pytest.raises(InputError, match="diameter"):
        read_legacy_st(*write(), diameter)


@pytest.mark.skipif(not HER2ST.is_dir(), reason="the real sections are not here")
@pytest.mark.parametrize(
    ("section", "spots", "genes", "total", "left_out"),
    [("C2", 187, 15706, 1926633, 0), ("C3", 180, 15821, 2033498, 2), ("C4", 184, 15842, 2213922, 3)],
)
def test_real_sections(section: str, spots: int, genes: int, total: int, left_out: int) -> None:
    told: list[Event] = []
    paths = HER2ST / f"{section}-counts.tsv.gz", HER2ST / f"{section}-spots.tsv"
    units = read_legacy_st(*paths, 100.0, on_event=told.append).units
    assert units is not None
    assert units.counts.shape == (spots, genes)
    assert int(units.counts.sum()) == total
    assert [e.text.split()[0] for e in told if isinstance(e, Note)] == ([str(left_out)] if left_out else [])
    array_x = [int(spot.split("x")[0]) for spot in units.ids]
    assert np.polyfit(array_x, units.xy[:, 0], 1)[0] == pytest.approx(290, rel=0.01)  # 200 µm at 0.690 µm/px
