"""A list of genes: order kept, repeats and files that are no list named."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.gene_list import read_gene_list


def written(folder: Path, content: bytes) -> Path:
    path = folder / "genes.txt"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize(
    "content", [b"CD3E\nACTA2\n\nERBB2", b"\xef\xbb\xbfCD3E\r\n ACTA2 \r\n\r\nERBB2\r\n"], ids=["plain", "spreadsheet"]
)
def test_symbols_in_their_order(tmp_path: Path, content: bytes) -> None:
    assert read_gene_list(written(tmp_path, content)) == ("CD3E", "ACTA2", "ERBB2")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"CD3E\n\nERBB2\nCD3E\n", ("CD3E", "rows 1 and 4")),
        (b"\n \n", ("no gene",)),
        (b"PK\x03\x04\x14\x00\xff\xfe", ("not a text file",)),
    ],
)
def test_what_is_no_list_is_told(tmp_path: Path, content: bytes, words: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as told:
        read_gene_list(written(tmp_path, content))
    assert all(word in str(told.value) for word in ("genes.txt", *words)), told.value
