"""What may be wrong with tables of spots and counts: each ends with exit code 2 and a sentence that names the place.

The installed command runs in a process of its own on a small made-up slide.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from commands import assert_told, pixelgene
from made_tables import SPOILT, Inputs, legacy_st


@pytest.fixture
def inputs(tmp_path: Path) -> Inputs:
    return legacy_st(tmp_path)


def imported(inputs: Inputs) -> subprocess.CompletedProcess[str]:
    """`pixelgene import st` on them."""
    inputs.write()
    size = [] if inputs.mpp is None else ["--mpp", inputs.mpp]
    files = ["--he", "he.png", "--counts", "counts.tsv.gz", "--spots", "spots.tsv"]
    return pixelgene("import", "st", "A.section.zarr", *files, *size, "--spot-diameter-um", 100, cwd=inputs.folder)


def test_the_inputs_are_good_before_they_are_broken(inputs: Inputs) -> None:
    inputs.spots.append(["6", "6", "800", "200"])  # a spot without counts, as real files have
    done = imported(inputs)
    assert done.returncode == 0, done.stderr
    assert "A.section.zarr is imported" in done.stdout
    assert "1 of 21 spots in spots.tsv have no counts and are left out." in done.stderr.splitlines()
    assert not any(line.startswith("error") for line in done.stderr.splitlines())


@pytest.mark.parametrize(("spoil", "words"), SPOILT)
def test_a_table_that_is_wrong_is_told(inputs: Inputs, spoil: Callable[[Inputs], None], words: tuple[str, ...]) -> None:
    spoil(inputs)
    assert_told(imported(inputs), *words)
    assert not (inputs.folder / "A.section.zarr").exists()
