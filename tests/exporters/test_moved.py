"""Rows written with their place on the H&E: the same numbers as numpy's, in batches, whole or not at all."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.errors import Cancelled, InputError
from napari_pixelgene.exporters.moved import Placing, write_moved
from napari_pixelgene.progress import Event, Progress

# Turned by about 90°, mirrored, sheared, and with a horizon far from the data.
MATRIX = np.array([[0.11, -0.83, 3279.9], [-0.79, 0.06, 2900.2], [-5.9e-6, 8.8e-6, 1.0]])
PLACING = Placing(Transform(MATRIX, "stage_um", "he_px", "homography"), 0.27, (2600, 3200))


def batch(xy: np.ndarray, first: int = 0) -> pa.RecordBatch:
    names = pa.array([f"G{i % 3}" for i in range(len(xy))]).dictionary_encode()
    rows = np.arange(first, first + len(xy))
    return pa.RecordBatch.from_pydict({"y": xy[:, 1], "row": rows, "feature_name": names, "x": xy[:, 0]})


def test_places_are_those_of_the_homography(tmp_path: Path) -> None:
    xy = np.random.default_rng(0).uniform(0, 3000, (5000, 2))
    done = write_moved(tmp_path / "t.parquet", [batch(xy[:1700]), batch(xy[1700:], 1700)], ("x", "y"), PLACING, 5000)
    found = pq.read_table(done.path)
    assert found.column_names == ["y", "row", "feature_name", "x", "x_he_px", "y_he_px", "x_he_um", "y_he_um"]
    homogeneous = np.column_stack([xy, np.ones(len(xy))]) @ MATRIX.T
    expected = homogeneous[:, :2] / homogeneous[:, 2:]
    px = np.stack([found["x_he_px"], found["y_he_px"]], axis=1)
    np.testing.assert_allclose(px, expected, rtol=0, atol=1e-8)
    np.testing.assert_allclose(np.stack([found["x_he_um"], found["y_he_um"]], axis=1), expected * 0.27, atol=1e-8)
    assert found["row"].to_pylist() == list(range(5000))
    inside = ((expected >= 0) & (expected <= [3200, 2600])).all(axis=1)
    assert (done.rows, done.outside, done.placeless) == (5000, int((~inside).sum()), 0) and 0 < done.outside < 5000
    notes = json.loads(found.schema.metadata[b"napari_pixelgene"])
    assert notes["mpp"] == 0.27 and np.array_equal(notes["transform"]["matrix"], MATRIX)


def test_what_has_no_place_is_nan_and_counted(tmp_path: Path) -> None:
    behind = np.array([[2e5, 0.0], [10.0, 20.0], [np.nan, 3.0]])  # the first lies beyond the horizon
    done = write_moved(tmp_path / "t.parquet", [batch(behind)], ("x", "y"), PLACING)
    assert (done.rows, done.placeless) == (3, 2)
    assert np.isnan(pq.read_table(done.path)["x_he_px"]).tolist() == [True, False, True]


def test_a_cancelled_export_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path, seen = tmp_path / "t.parquet", []

    def stop(event: Event) -> None:
        assert isinstance(event, Progress)
        seen.append(event.done)
        if event.done >= 20:
            raise Cancelled

    write_moved(path, [batch(np.ones((4, 2)))], ("x", "y"), PLACING)
    with pytest.raises(Cancelled):
        write_moved(path, (batch(np.ones((10, 2))) for _ in range(5)), ("x", "y"), PLACING, 50, stop)
    assert seen == [10, 20]
    assert [each.name for each in tmp_path.iterdir()] == ["t.parquet"] and pq.read_table(path).num_rows == 4


def test_a_fault_on_the_way_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.RecordBatch]:
        yield batch(np.ones((10, 2)))
        raise InputError("The file breaks off.")

    for batches in (broken(), iter(())):
        with pytest.raises(InputError):
            write_moved(tmp_path / "t.parquet", batches, ("x", "y"), PLACING)
    with pytest.raises(InputError, match="cannot be written"):
        write_moved(tmp_path / "gone" / "t.parquet", [batch(np.ones((4, 2)))], ("x", "y"), PLACING)
    assert not list(tmp_path.iterdir())


def test_memory_holds_a_batch(tmp_path: Path) -> None:
    def many(count: int) -> Iterator[pa.RecordBatch]:
        return (batch(np.random.default_rng(i).uniform(0, 3000, (20_000, 2))) for i in range(count))

    peaks = []
    for count in (3, 24):
        pa.default_memory_pool().release_unused()
        tracemalloc.start()
        write_moved(tmp_path / f"{count}.parquet", many(count), ("x", "y"), PLACING)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]
