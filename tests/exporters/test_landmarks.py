"""Landmarks for BigWarp and SpatialData: read back to the last digit that matters, and taken by their own parsers."""

from __future__ import annotations

import csv
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic.geometry import fit
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import InputError
from napari_pixelgene.exporters.alignments import write_explorer_keypoints, write_explorer_matrix
from napari_pixelgene.exporters.landmarks import write_bigwarp, write_landmarks
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.alignments import read_alignment
from napari_pixelgene.readers.spatialdata_landmarks import read_landmarks

PEER = Path(__file__).parents[2] / ".venv-peers" / "bin" / "python"
numbers = st.floats(-1e5, 1e5, allow_nan=False)
rows = st.lists(st.tuples(numbers, numbers, numbers, numbers, st.booleans()), min_size=1, max_size=7)


def made(count: int = 9) -> Keypoints:
    """Turned by 80°, scaled by 0.6, with one pair switched off."""
    moving = np.random.default_rng(5).uniform(0, 30_000, (count, 2))
    turn = 0.6 * np.array([[np.cos(1.4), -np.sin(1.4)], [np.sin(1.4), np.cos(1.4)]])
    return Keypoints(moving, moving @ turn.T + [19_000, 310], enabled=np.arange(count) != 2)


@settings(max_examples=50, deadline=None)
@given(rows, st.sampled_from([(1.0, 1.0), (0.2125, 0.2738), (1e-3, 3.0)]))
def test_bigwarp_comes_back(table: list[tuple[float, float, float, float, bool]], pixels: tuple[float, float]) -> None:
    xy = np.array([row[:4] for row in table])
    keypoints = Keypoints(xy[:, :2], xy[:, 2:], enabled=np.array([row[4] for row in table]))
    with tempfile.TemporaryDirectory() as folder:
        write_bigwarp(Path(folder) / "any.name", keypoints, pixels)
        back = read_alignment(Path(folder) / "any.name", bigwarp_pixels=pixels)
    assert isinstance(back, Keypoints)
    np.testing.assert_allclose(back.moving_xy, keypoints.moving_xy, rtol=0, atol=1e-9)
    np.testing.assert_allclose(back.fixed_xy, keypoints.fixed_xy, rtol=0, atol=1e-9)
    np.testing.assert_array_equal(back.enabled, keypoints.enabled)


def test_bigwarp_is_written_as_it_writes_itself(tmp_path: Path) -> None:
    """Six fields, all in quotes, no header; 0 is the centre of a pixel, and lengths where images have a pixel size."""
    write_bigwarp(tmp_path / "l.csv", Keypoints(np.array([[0.5, 100.5]]), np.array([[7.25, 1.5]])), (0.5, 0.25))
    assert (tmp_path / "l.csv").read_text() == '"Pt-0","true","0.0","50.0","1.6875","0.25"\n'
    write_bigwarp(tmp_path / "l.csv", made())
    with (tmp_path / "l.csv").open(newline="") as file:
        read = list(csv.reader(file))
    assert {len(row) for row in read} == {6} and [row[1] for row in read].count("false") == 1
    turned = Keypoints(made().fixed_xy, made().moving_xy, "he_px", "morphology_px", made().enabled)
    before = (tmp_path / "l.csv").read_text()
    write_bigwarp(tmp_path / "l.csv", turned)
    assert (tmp_path / "l.csv").read_text() == before  # moving is the morphology, whichever side it was on
    with pytest.raises(InputError, match="morphology and H&E pixels"):
        write_bigwarp(tmp_path / "l.csv", Keypoints(np.zeros((1, 2)), np.zeros((1, 2)), "stage_um", "he_px"))


def test_bigwarp_as_others_write_it(tmp_path: Path) -> None:
    """Numbered rows, points that are not set, a comma in a name; what is left out and what is assumed is told."""
    text = '"a, b","true","0","1.5","2.5","10.0","1.0E2"\n"Pt-1","false","1","3","4","5","6"\n'
    text += '"Pt-2","false","2","Infinity","Infinity","5","6"\n\n'
    (tmp_path / "l.csv").write_text(text)
    heard: list[Event] = []
    back = read_alignment(tmp_path / "l.csv", on_event=heard.append)
    assert isinstance(back, Keypoints)
    np.testing.assert_array_equal(back.moving_xy, [[2, 3], [3.5, 4.5]])
    np.testing.assert_array_equal(back.fixed_xy, [[10.5, 100.5], [5.5, 6.5]])
    assert back.enabled.tolist() == [True, False]
    told = [event.text for event in heard if isinstance(event, Note)]
    assert "read as pixels" in told[0] and "Pt-2 has a point in one image only and is left out" in told[1]


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("Pt-0,true,1,2,3,4,5,6\n", "line 1: 8 values, these are landmarks in three dimensions"),
        ("Pt-0,true,1,2,3,4\nPt-1,true,1,2,3\n", "line 2: not a row of BigWarp's"),
        ("Pt-0,true,1,2,3,4\nPt-1,true,1,2,x,4\n", "line 2: could not convert"),
        ("Pt-0,true,1,2,Infinity,Infinity\n", "holds no pair"),
    ],
)
def test_bad_landmarks_name_the_line(tmp_path: Path, text: str, match: str) -> None:
    (tmp_path / "l.csv").write_text(text)
    with pytest.raises(InputError, match=match):
        read_alignment(tmp_path / "l.csv")


# SpatialData


def test_landmarks_come_back_from_a_store(tmp_path: Path) -> None:
    pytest.importorskip("spatialdata")
    for name, frames in (("a.zarr", ("morphology_px", "he_px")), ("b.zarr", ("stage_um", "he_um"))):
        keypoints = Keypoints(made().moving_xy, made().fixed_xy, *frames, made().enabled)
        write_landmarks(tmp_path / name, keypoints)
        back = read_landmarks(tmp_path / name)
        np.testing.assert_array_equal(back.moving_xy, keypoints.moving_xy[keypoints.enabled])
        np.testing.assert_array_equal(back.fixed_xy, keypoints.fixed_xy[keypoints.enabled])
        assert (back.moving_frame, back.fixed_frame) == frames
    write_landmarks(tmp_path / "a.zarr", made(4), ("m2", "f2"))  # beside what is there
    assert len(read_landmarks(tmp_path / "a.zarr", ("m2", "f2"))) == 3 and len(read_landmarks(tmp_path / "a.zarr")) == 8
    with pytest.raises(InputError, match="has 'landmarks_moving' already"):
        write_landmarks(tmp_path / "a.zarr", made())
    with pytest.raises(InputError, match=r"no 'x'.*--landmarks; it has: f2, landmarks_fixed, landmarks_moving, m2"):
        read_landmarks(tmp_path / "a.zarr", ("x", "f2"))
    with pytest.raises(InputError, match="'landmarks_moving' holds 8 points, 'f2' holds 3"):
        read_landmarks(tmp_path / "a.zarr", ("landmarks_moving", "f2"))


def test_landmarks_clicked_on_images_of_a_store(tmp_path: Path) -> None:
    """As napari-spatialdata saves them: circles or points in a coordinate system where the images lie scaled."""
    spatialdata = pytest.importorskip("spatialdata")
    from spatialdata.models import Image2DModel, PointsModel, ShapesModel
    from spatialdata.transformations import Scale

    keypoints, picture = made(5), np.zeros((3, 8, 8), np.uint8)
    um = [keypoints.moving_xy * 0.2125, keypoints.fixed_xy * 0.3]
    images = {
        name: Image2DModel.parse(picture, transformations={"global": Scale([mpp, mpp], ("x", "y"))})
        for name, mpp in (("dapi", 0.2125), ("he", 0.3))
    }
    circles = {"on_dapi": ShapesModel.parse(um[0], geometry=0, radius=1.0)}
    points = {"on_he": PointsModel.parse(um[1])}
    spatialdata.SpatialData(images=images, shapes=circles, points=points).write(tmp_path / "s.zarr")
    back = read_landmarks(tmp_path / "s.zarr", ("on_dapi", "on_he"), images=("dapi", "he"))
    np.testing.assert_allclose(back.moving_xy, keypoints.moving_xy, atol=1e-9)
    np.testing.assert_allclose(back.fixed_xy, keypoints.fixed_xy, atol=1e-9)
    plain = read_landmarks(tmp_path / "s.zarr", ("on_dapi", "on_he"))
    np.testing.assert_allclose(plain.moving_xy, um[0])


# Other programs

READ = """
import json, sys, numpy as np, pandas as pd, spatialdata as sd, tifffile
from spatialdata.models import Image2DModel
from spatialdata.transformations import align_elements_using_landmarks, get_transformation
from spatialdata.transformations import get_transformation_between_landmarks
from spatialdata_io import xenium_aligned_image
folder = sys.argv[1]
store = sd.read_zarr(f"{folder}/l.zarr")
m, f = store["landmarks_moving"], store["landmarks_fixed"]
axes = dict(input_axes=("x", "y"), output_axes=("x", "y"))
between = get_transformation_between_landmarks(f, m).to_affine_matrix(**axes)
image = [Image2DModel.parse(np.zeros((3, 8, 8), np.uint8)) for _ in range(2)]
aligned = align_elements_using_landmarks(f, m, *image).to_affine_matrix(**axes)
tifffile.imwrite(f"{folder}/he.ome.tif", np.zeros((16, 16, 3), np.uint8), photometric="rgb")
he = xenium_aligned_image(f"{folder}/he.ome.tif", f"{folder}/matrix.csv")
matrix = get_transformation(he, "global").to_affine_matrix(**axes)
table = pd.read_csv(f"{folder}/keypoints.csv")
print(json.dumps({
    "between": between.tolist(), "aligned": aligned.tolist(), "matrix": np.asarray(matrix).tolist(),
    "fixed": table[["fixedX", "fixedY"]].to_numpy().tolist(),
    "alignment": table[["alignmentX", "alignmentY"]].to_numpy().tolist(),
}))
"""


def test_other_programs_take_what_we_write(tmp_path: Path) -> None:
    """spatialdata aligns by our landmarks as we do; spatialdata-io places the H&E by our matrix as Explorer would."""
    pytest.importorskip("spatialdata")
    if not PEER.exists():
        pytest.skip("no .venv-peers here; scripts/peer_env.sh makes it")
    keypoints = made()
    keypoints.moving_xy[~keypoints.enabled] += 4000  # a wrong pair, switched off
    write_landmarks(tmp_path / "l.zarr", keypoints)
    write_explorer_keypoints(tmp_path / "keypoints.csv", keypoints)
    on = keypoints.enabled
    true = fit("similarity", keypoints.moving_xy[on], keypoints.fixed_xy[on])
    write_explorer_matrix(tmp_path / "matrix.csv", Transform(true, "morphology_px", "he_px"))
    run = subprocess.run([PEER, "-c", READ, tmp_path], capture_output=True, text=True, timeout=300)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout.splitlines()[-1])
    np.testing.assert_allclose(found["between"], true, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["aligned"], true, rtol=0, atol=1e-6)
    np.testing.assert_allclose(found["matrix"], np.linalg.inv(true), rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["fixed"], keypoints.moving_xy[keypoints.enabled], rtol=0, atol=1e-9)
    np.testing.assert_allclose(found["alignment"], keypoints.fixed_xy[keypoints.enabled], rtol=0, atol=1e-9)
