"""Any table: molecules a row or units a row, well-known names found, everything else asked for."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.capture import Capture, Footprint
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError, PixelGeneError, SettingsError
from napari_pixelgene.pipeline.sources.table import TableSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.tables import Names, read_long, read_units
from napari_pixelgene.readers.xenium_transcripts import open_table as open_xenium
from napari_pixelgene.readers.xenium_transcripts import survey as survey_xenium

SHARED = Path(__file__).parents[2].parent / "shared"
MOLEXP = SHARED / "data" / "fixtures" / "molexp_xenium" / "sample1" / "transcripts.csv"

MERSCOPE = (
    ",barcode_id,global_x,global_y,global_z,x,y,fov,gene,transcript_id\n"
    "3,7,900.5,20.25,0,12,99,0,PTPRC,T1\n"
    "9,2,11.0,4001.5,1,13,98,1,CD8A,T2\n"
    "4,9,640,70,0,14,97,0,Blank-12,T3\n"
    "8,7,901.5,21.25,3,15,96,0,PTPRC,T1\n"
)
GEM = (
    "#FileFormat=GEMv0.1\n#OffsetX=100\ngeneID\tx\ty\tMIDCount\tExonCount\n"
    "Gapdh\t10\t7\t2\t1\nActb\t3\t40\t1\t1\nGapdh\t10\t8\t1\t0\n"
)
WIDE = "cell,center_x,center_y,volume,MS4A1,CD3E\nk9,40,7,120,0,5\na1,3,90,80,2,0\nz,11,12,99,0,0\n"
HE = Image((np.zeros((40, 60, 3), np.uint8),), 0.5, Path("he.png"))


def written(folder: Path, text: str, name: str) -> Path:
    path = folder / name
    path.write_text(text)
    return path


def molecules_of(capture: Capture) -> list[tuple[float, float, str]]:
    assert capture.transcripts is not None
    stream = capture.transcripts
    return [
        (float(x), float(y), stream.genes.symbols[g])
        for batch in stream.batches()
        for (x, y), g in zip(batch.xy, batch.gene, strict=True)
    ]


def notes_of(told: list[Event]) -> str:
    return "\n".join(event.text for event in told if isinstance(event, Note))


def test_merscope_is_read_by_its_global_micrometres(tmp_path: Path) -> None:
    told: list[Event] = []
    path = written(tmp_path, MERSCOPE, "detected_transcripts.csv")
    capture = read_long(path, Names(), "stage_um", on_event=told.append)
    assert molecules_of(capture) == [(900.5, 20.25, "PTPRC"), (11.0, 4001.5, "CD8A"), (901.5, 21.25, "PTPRC")]
    assert capture.transcripts is not None
    assert (capture.transcripts.rows, capture.transcripts.frame) == (4, "stage_um")
    assert capture.genes.symbols == ("CD8A", "PTPRC")
    assert "x = 'global_x', y = 'global_y', gene = 'gene', every row is one molecule" in notes_of(told)
    assert "1 of 4 rows in detected_transcripts.csv are of 1 control targets (Blank-12)" in notes_of(told)
    assert capture.facts == {"molecules": 3, "extent": "x 11 to 902, y 20 to 4,002 µm"}


def test_a_gem_file_counts_molecules_at_half_a_micrometre(tmp_path: Path) -> None:
    source = TableSource.recognise(written(tmp_path, GEM, "A.gem"))
    assert source is not None and (source.coordinates, source.unit_um) == ("stage_um", 0.5)
    gapdh, actb = (5.0, 3.5, "Gapdh"), (1.5, 20.0, "Actb")
    assert molecules_of(source.read(HE)) == [gapdh, gapdh, actb, (5.0, 4.0, "Gapdh")]
    assert source.files() == {"transcripts": tmp_path / "A.gem"}


def test_names_that_a_person_gives_go_before_known_ones(tmp_path: Path) -> None:
    path = written(tmp_path, "u,v,x,y,what,n,count\n1,2,50,60,A,2,9\n3,9,70,80,B,1,9\n", "t.csv")
    source = TableSource(table=path, coordinates="he_px", x="u", y="v", gene="what", count="n")
    assert molecules_of(source.read(HE)) == [(1.0, 2.0, "A"), (1.0, 2.0, "A"), (3.0, 9.0, "B")]
    assert source.read(HE).transcripts.frame == "he_px"  # type: ignore[union-attr]


def test_units_of_a_wide_table_keep_order_names_and_counts(tmp_path: Path) -> None:
    told: list[Event] = []
    path = written(tmp_path, WIDE, "cells.csv")
    capture = read_units(path, Names(), Footprint("square", 10.0), "he_um", 2.0, told.append)
    units = capture.units
    assert units is not None and (units.frame, units.footprint) == ("he_um", Footprint("square", 10.0))
    assert units.ids.tolist() == ["k9", "a1", "z"]
    assert units.xy.tolist() == [[80.0, 14.0], [6.0, 180.0], [22.0, 24.0]]
    assert units.genes.symbols == ("MS4A1", "CD3E")
    assert units.counts.toarray().tolist() == [[0, 5], [2, 0], [0, 0]]
    assert units.library.tolist() == [5.0, 2.0, 0.0]
    assert "names = 'cell', 2 genes from 'MS4A1' to 'CD3E'" in notes_of(told)
    assert "Columns of cells.csv left out: volume." in notes_of(told)


def test_a_unit_without_a_name_has_its_number(tmp_path: Path) -> None:
    path = written(tmp_path, "x,y,A\n1,2,3\n4,9,0\n", "t.csv")
    units = TableSource(table=path, coordinates="he_px", shape="point").read(HE).units
    assert units is not None and units.ids.tolist() == ["1", "2"] and units.footprint == Footprint("point")


@pytest.mark.parametrize(
    ("text", "more", "words"),
    [
        (MERSCOPE.replace("global_x", "gx").replace(",x,", ",mx,"), {}, ["positions", "--x"]),
        (MERSCOPE.replace("4001.5", ""), {}, ["row 2", "position"]),
        (MERSCOPE, {"gene": "symbol"}, ["no column 'symbol'", "barcode_id"]),
        (MERSCOPE, {"x": "global_x"}, ["Only one", "--y"]),
        (MERSCOPE, {"gene": "gene", "x": "gene", "y": "global_y"}, ["'gene'", "both x and gene"]),
        (MERSCOPE, {"controls": ("PT", "CD", "Bl")}, ["No molecule", "control"]),
        (GEM.replace("\t2\t1", "\t-2\t1"), {}, ["row 1", "'MIDCount'", "-2"]),
        (GEM.replace("\t2\t1", "\t1.5\t1"), {}, ["row 1", "1.5"]),
        (WIDE, {}, ["covers", "--shape"]),
        (WIDE, {"shape": "disk"}, ["size", "--size-um"]),
        (WIDE.replace("volume", "type"), {"shape": "point", "others": ("kind",)}, ["no column 'kind'"]),
        (WIDE.replace(",120,", ",B cell,").replace("volume", "type"), {"shape": "point"}, ["'type'", "--others"]),
        (WIDE.replace("0,5", "0,5.5"), {"shape": "point"}, ["row 1", "'CD3E'", "5.5"]),
        (WIDE.replace("2,0", ",0"), {"shape": "point"}, ["row 2", "'MS4A1'", "empty"]),
        (WIDE.replace("CD3E", "MS4A1"), {"shape": "point"}, ["gene 'MS4A1'", "1 and 2"]),
        (WIDE.replace("a1", "z"), {"shape": "point"}, ["row 'z'", "2 and 3"]),
        (WIDE.replace("3,90", ",90"), {"shape": "point"}, ["row 2", "position"]),
    ],
)  # fmt: skip
def test_faults_name_the_place(tmp_path: Path, text: str, more: dict[str, object], words: list[str]) -> None:
    path = written(tmp_path, text, "t.csv")
    with pytest.raises(InputError) as caught:
        TableSource.make({"table": path, "coordinates": "stage_um", **more}).read(HE)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, ["coordinates", "not given"]),
        ({"coordinates": "he_px", "unit_um": 0.5}, ["unit_um", "pixels"]),
        ({"coordinates": "he_um", "shape": "point", "size_um": 5}, ["size_um", "point"]),
        ({"coordinates": "he_um", "shap": "point"}, ["shape"]),
    ],
)
def test_settings_that_contradict_one_another_are_refused(values: dict[str, object], words: list[str]) -> None:
    with pytest.raises(SettingsError) as caught:
        TableSource.make({"table": "t.csv", **values})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_only_tables_whose_units_are_known_are_recognised(tmp_path: Path) -> None:
    merscope = written(tmp_path, MERSCOPE, "detected_transcripts.csv")
    for place in (tmp_path, merscope):
        found = TableSource.recognise(place)
        assert found is not None and (found.table, found.unit_um) == (merscope, 1.0)
    for path in (written(tmp_path, WIDE, "w.csv"), written(tmp_path, "", "e.csv"), tmp_path / "none.csv"):
        assert TableSource.recognise(path) is None
    assert TableSource.recognise(written(tmp_path, GEM, "g.rtf")) is None


def test_a_moved_table_is_found_again(tmp_path: Path) -> None:
    source = TableSource(table=tmp_path / "a.csv", coordinates="he_px")
    assert source.moved({"transcripts": tmp_path / "b" / "c.csv"}).table == tmp_path / "b" / "c.csv"
    with pytest.raises(PixelGeneError, match="no file"):
        source.files()


@pytest.mark.skipif(not MOLEXP.is_file(), reason="the fixtures are not here")
def test_a_real_table_of_transcripts_reads_as_its_owner_reads_it() -> None:
    """Xenium's, with an unnamed first column: without a quality threshold both readers count the same."""
    capture = read_long(MOLEXP, Names(), "stage_um")
    found = Counter(gene for _, _, gene in molecules_of(capture))
    theirs = open_xenium(MOLEXP, 0)
    assert found == survey_xenium(theirs, 0).accepted and found.total() == 957
    x, y, gene = molecules_of(capture)[0]
    assert (x, y, gene) == (4900.0063, 6407.46, "Neurod6")
