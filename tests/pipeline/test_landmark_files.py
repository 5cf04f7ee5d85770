"""The same pairs out of every kind of file give the same transform."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.cli.main import main
from napari_pixelgene.elements.alignment import Keypoints
from napari_pixelgene.errors import RegistrationError
from napari_pixelgene.exporters.alignments import (
    write_alignment_json,
    write_explorer_keypoints,
    write_explorer_zip,
    write_keypoint_texts,
)
from napari_pixelgene.exporters.landmarks import write_bigwarp, write_landmarks
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.landmark_files import bigwarp_landmarks, store_landmarks
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore


@pytest.fixture(scope="module")
def section(tmp_path_factory: pytest.TempPathFactory, small_run: SimulatedRun) -> SectionStore:
    path = tmp_path_factory.mktemp("landmarks") / "a.section.zarr"
    return import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle), ImportSettings(name="run"))


def registered(section: SectionStore, *options: str) -> np.ndarray:
    assert main(["register", str(section.path), "--kind", "homography", *options]) == 0
    transform = read_capture(section, "run").to_he
    assert transform is not None
    return transform.apply(np.array([[10.0, 20.0], [3000.0, 100.0], [900.0, 2500.0]]))


def test_every_format_gives_the_same_transform(section: SectionStore, small_run: SimulatedRun, tmp_path: Path) -> None:
    pytest.importorskip("spatialdata")
    pairs = read_alignment(small_run.keypoints)
    assert isinstance(pairs, Keypoints)
    expected = registered(section, "--keypoints", str(small_run.keypoints))
    mpp = float(section.meta()["mpp"])
    write_bigwarp(tmp_path / "px.csv", pairs)
    write_bigwarp(tmp_path / "um.csv", pairs, (0.2125, mpp))
    write_landmarks(tmp_path / "l.zarr", pairs, ("m", "f"))
    write_alignment_json(tmp_path / "a.json", pairs)
    write_explorer_keypoints(tmp_path / "e.csv", pairs)
    write_keypoint_texts(tmp_path / "m.txt", tmp_path / "h.txt", pairs)
    write_explorer_zip(tmp_path / "e.zip", pairs, register_keypoints(section, pairs).transform)
    ways = (
        ["px.csv"],
        ["um.csv", "--unit", "um"],
        ["l.zarr", "--landmarks", "m", "f"],
        ["a.json"],
        ["e.csv"],
        ["m.txt", str(tmp_path / "h.txt")],
        ["e.zip"],
    )
    for name, *more in ways:
        got = registered(section, "--keypoints", str(tmp_path / name), *more)
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-6, err_msg=name)


def test_what_does_not_fit_is_told(section: SectionStore, small_run: SimulatedRun, tmp_path: Path) -> None:
    (tmp_path / "m.csv").write_text("1,0,5\n0,1,6\n0,0,1\n")
    with pytest.raises(RegistrationError, match="holds a matrix"):
        bigwarp_landmarks(section, tmp_path / "m.csv", "um")
    pytest.importorskip("spatialdata")
    with pytest.raises(ValueError, match="is no SpatialData store"):
        store_landmarks(tmp_path)
