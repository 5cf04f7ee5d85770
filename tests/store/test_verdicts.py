"""A verdict comes back as it was written, what is unknown included."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.verdict import SEEN, UNKNOWN, UNLIKE, QualityMap, Verdict, WorstPlace
from napari_pixelgene.store.arrays import write_arrays
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.verdicts import read_verdict, verdict_words, write_verdict


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    """A section with a stand-in for a capture."""
    store = SectionStore.create(tmp_path / "A.section.zarr")
    write_arrays(store, "captures", "run 1", arrays={"a": np.zeros(1)}, fingerprint="")
    return store


def made(level: str = "look here") -> Verdict:
    """Three places, one of each state."""
    found = QualityMap(
        np.array([[10.0, 20.5], [310.25, 20], [10, 320]]),
        np.array([[1.5, -2.25], [np.nan, np.nan], [np.nan, np.nan]]),
        np.array([SEEN, UNLIKE, UNKNOWN]),
        np.array([0.61, 0.05, np.nan]),
        np.array([0.8, 0.1, np.nan]),
        np.array([0.7, np.nan, 12.5]),
        300.0,
        160.0,
    )
    worst = (WorstPlace((10.0, 20.5), 2.7, "nuclei lie 2.7 µm apart"), WorstPlace((310.25, 20.0), np.nan, "unlike"))
    numbers = {"median_error_um": 2.7, "loo_rmse_um": None, "places": 3}
    return Verdict(level, "nuclei", "Look here: µm.", ("One.", "Two."), numbers, worst, found)  # type: ignore[arg-type]


def test_all_of_it_comes_back(store: SectionStore) -> None:
    write_verdict(store, "run 1", made(), "f1")
    back, was = read_verdict(store, "run 1"), made()
    assert back is not None
    for field in fields(QualityMap):
        np.testing.assert_array_equal(getattr(back.map, field.name), getattr(was.map, field.name))
    assert (back.level, back.basis, back.sentence, back.reasons) == (was.level, was.basis, was.sentence, was.reasons)
    assert dict(back.numbers) == dict(was.numbers)
    assert back.worst[0] == was.worst[0] and np.isnan(back.worst[1].error_um) and back.worst[1].why == "unlike"
    assert verdict_words(store, "run 1") == {
        "level": "look here", "basis": "nuclei", "sentence": "Look here: µm.",
    }  # fmt: skip


def test_a_newer_one_takes_its_place_and_none_is_none(store: SectionStore) -> None:
    assert read_verdict(store, "run 1") is None and verdict_words(store, "run 1") is None
    write_verdict(store, "run 1", made())
    write_verdict(store, "run 1", made("good"))
    again = read_verdict(store, "run 1")
    assert again is not None and again.level == "good"
