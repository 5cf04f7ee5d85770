"""Panels of markers: what is read, and what is told of a table that is wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.marker_panel import read_marker_panel

MARKER = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale" / "v14_marker" / "marker.json"


@pytest.mark.skipif(not MARKER.exists(), reason="shared/vectors is not beside the repository")
def test_the_originals_panel_is_read(tmp_path: Path) -> None:
    v = json.loads(MARKER.read_text())
    (tmp_path / "m.csv").write_text(v["markers_csv"])
    found = read_marker_panel(tmp_path / "m.csv")
    assert found == {"T cell": ("G1", "G2", "G9"), "B/Plasma": ("G3", "G4", "G2")}
    assert sorted(found) == v["label_order"]


@pytest.mark.parametrize("text", ["label\tgene\tnote\nT\tCD3E\tx\n\nT\tCD4\t\n", "\ufeffGene;Label\nCD3E; T\nCD4 ;T\n"])
def test_tabs_semicolons_other_columns_and_empty_lines_pass(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.txt").write_text(text, encoding="utf-8")
    assert read_marker_panel(tmp_path / "m.txt") == {"T": ("CD3E", "CD4")}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no column gene, label"),
        ("gene,type\nA,T\n", "no column label (it has: gene, type)"),
        ("gene,label\nA,T\n,B\n", "no gene in row 3"),
        ("gene,label\nA,T\nB\n", "no label in row 3"),
        ("gene,label\nA,T\nB,T\nA,T\n", "gives 'A' to 'T' in rows 2 and 4"),
        ("gene,label\n", "lists no marker"),
        ("gene,label\nA,T\nB,unclassified\n", "the label 'unclassified' in row 3"),
    ],
)
def test_a_wrong_table_names_file_and_row(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "m.csv").write_text(text)
    with pytest.raises(InputError) as told:
        read_marker_panel(tmp_path / "m.csv")
    assert words in str(told.value) and str(tmp_path / "m.csv") in str(told.value)


def test_what_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(InputError, match=r"cannot be read as a table of markers.*Save it as UTF-8"):
        read_marker_panel(tmp_path / "m.csv")
    with pytest.raises(InputError, match="There is no table of markers"):
        read_marker_panel(tmp_path / "n.csv")
