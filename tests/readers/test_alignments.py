"""Alignment files are known by content; levels, directions and half pixels are exact; faults name their line."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note
from napari_pixelgene.readers.alignment_json import JSON_FORMAT
from napari_pixelgene.readers.alignments import (
    level_ratio,
    read_alignment,
    read_alignment_json,
    read_keypoint_texts,
)

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "pixel2gene" / "homography.json").read_text())
KEYPOINTS = "fixedX,fixedY,alignmentX,alignmentY\n10.5,20,31.25,42\n110,25.5,140,45\n60,90,66,120.75\n"
# H&E (3000 × 4000) turned by 90° and enlarged by 1.25 onto a morphology image of 5100 × 3900.
HE_TO_MORPHOLOGY = np.array([[0.0, -1.25, 3800.0], [1.25, 0.0, 30.0], [0, 0, 1]])


def put(folder: Path, name: str, content: object) -> Path:
    path = folder / name
    if isinstance(content, np.ndarray):
        np.savetxt(path, content, delimiter=",")
    else:
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


# Named as one thing, holding the other: only content counts.
@pytest.mark.parametrize("name", ["keypoints.csv", "slide_he_imagealignment.csv", "morphology_to_he.txt", "x.json"])
@pytest.mark.parametrize("edit", ["plain", "bom", "crlf", "spaces", "quotes", "semicolons", "shuffled"])
def test_explorer_keypoints_are_known_by_their_header(tmp_path: Path, name: str, edit: str) -> None:
    text = {
        "plain": KEYPOINTS,
        "bom": "\ufeff" + KEYPOINTS,
        "crlf": KEYPOINTS.replace("\n", "\r\n") + "\r\n\r\n",
        "spaces": KEYPOINTS.replace(",", " , ").upper(),
        "quotes": KEYPOINTS.replace("fixedX", '"fixedX"').replace(",20,", ',"20",'),
        "semicolons": KEYPOINTS.replace(",", ";"),
        "shuffled": "i,alignmentY,alignmentX,fixedX,fixedY\na,42,31.25,10.5,20\nb,45,140,110,25.5\nc,120.75,66,60,90\n",
    }[edit]
    found = read_alignment(put(tmp_path, name, text))
    assert isinstance(found, Keypoints)
    assert (found.moving_frame, found.fixed_frame) == ("morphology_px", "he_px")
    np.testing.assert_array_equal(found.moving_xy, [[10.5, 20], [110, 25.5], [60, 90]])
    np.testing.assert_array_equal(found.fixed_xy, [[31.25, 42], [140, 45], [66, 120.75]])
    assert found.enabled.all() and len(found.enabled) == 3


@pytest.mark.parametrize("name", ["morphology_to_he.txt", "keypoints.csv"])
def test_a_bare_matrix_is_explorers_unless_told_otherwise_and_says_so(tmp_path: Path, name: str) -> None:
    path = put(tmp_path, name, HE_TO_MORPHOLOGY)
    notes: list[Note] = []
    found = read_alignment(path, on_event=notes.append)  # type: ignore[arg-type]
    assert isinstance(found, Transform) and found.name == "he_to_morphology"
    np.testing.assert_array_equal(found.matrix, HE_TO_MORPHOLOGY)
    np.testing.assert_allclose(found.apply(np.array([[100.0, 200.0]])), [[3550.0, 155.0]])
    assert len(notes) == 1 and "H&E px → morphology px" in notes[0].text
    for direction in ("morphology_to_he", "stage_to_morphology", "stage_to_he"):
        told = read_alignment(path, direction=direction, on_event=notes.append)  # type: ignore[arg-type]
        assert isinstance(told, Transform) and told.name == direction
        np.testing.assert_array_equal(told.matrix, HE_TO_MORPHOLOGY)
    assert len(notes) == 1


def test_pixel2genes_matrices_chain_to_its_points(tmp_path: Path) -> None:
    case, points = VECTORS["caseA"], VECTORS["transform"]
    stage = read_alignment(
        put(tmp_path, "stage_to_morph.txt", np.array(case["stage_to_morph"])), direction="stage_to_morphology"
    )
    morph = read_alignment(
        put(tmp_path, "morphology_to_he.txt", np.array(case["morphology_to_he"])), direction="morphology_to_he"
    )
    assert isinstance(stage, Transform) and isinstance(morph, Transform)
    chain = stage.then(morph)
    assert chain.name == "stage_to_he"
    np.testing.assert_allclose(chain.apply(np.array(points["stage_um_xy"])), points["he_px_float32"], rtol=3e-6)


def test_a_pure_scale_is_pointed_out(tmp_path: Path) -> None:
    notes: list[Note] = []
    path = put(tmp_path, "m.csv", np.diag([1 / 0.2125, 1 / 0.2125, 1]))
    read_alignment(path, on_event=notes.append)  # type: ignore[arg-type]
    assert "stage_to_morph" in notes[0].text


def test_points_with_centres_at_integers_move_by_half_a_pixel(tmp_path: Path) -> None:
    found = read_alignment(put(tmp_path, "k.csv", KEYPOINTS), origin="centre")
    assert isinstance(found, Keypoints)
    np.testing.assert_array_equal(found.moving_xy[0], [11.0, 20.5])
    np.testing.assert_array_equal(found.fixed_xy[0], [31.75, 42.5])
    path = put(tmp_path, "m.csv", HE_TO_MORPHOLOGY)
    ours, theirs = read_alignment(path, origin="centre"), read_alignment(path)
    assert isinstance(ours, Transform) and isinstance(theirs, Transform)
    centre = np.array([[17.0, 5.0]])  # a pixel's index there is its centre; half a pixel more is ours
    np.testing.assert_allclose(ours.apply(centre + 0.5), theirs.apply(centre) + 0.5)
    stage = read_alignment(path, origin="centre", direction="stage_to_morphology")
    assert isinstance(stage, Transform)
    np.testing.assert_allclose(stage.apply(centre), theirs.apply(centre) + 0.5)  # µm have no pixel centres


def two_texts(folder: Path, case: str = "caseB") -> tuple[Path, Path]:
    d = VECTORS[case]
    paths = folder / "morphology.txt", folder / "he.txt"
    np.savetxt(paths[0], d["morph_keypoints_xy"], fmt="%.6f")
    np.savetxt(paths[1], d["he_keypoints_xy"], fmt="%.6f", delimiter="\t")
    return paths


def test_keypoint_texts_are_scaled_from_their_level(tmp_path: Path) -> None:
    moving, fixed = two_texts(tmp_path)
    found = read_keypoint_texts(moving, fixed, moving_level=3, fixed_level=1)
    np.testing.assert_allclose(found.moving_xy, np.array(VECTORS["caseB"]["morph_keypoints_xy"]) * 8)
    np.testing.assert_allclose(found.fixed_xy, np.array(VECTORS["caseB"]["he_keypoints_xy"]) * 2)
    assert (found.moving_frame, found.fixed_frame) == ("morphology_px", "he_px")


def test_the_levels_real_ratio_counts_where_it_is_known(tmp_path: Path) -> None:
    moving, fixed = two_texts(tmp_path)
    shapes = [(1001, 803), (500, 401), (167, 134)]  # halved with the odd edge dropped, then a third of that
    found = read_keypoint_texts(moving, fixed, moving_level=2, moving_shapes=shapes, fixed_level=0, origin="centre")
    first = np.array(VECTORS["caseB"]["morph_keypoints_xy"][0])
    np.testing.assert_allclose(found.moving_xy[0], (first + 0.5) * [6, 6])  # 2 to the level would be 4
    np.testing.assert_allclose(found.fixed_xy[0], np.array(VECTORS["caseB"]["he_keypoints_xy"][0]) + 0.5)
    np.testing.assert_array_equal(level_ratio(1, shapes), [2, 2])
    np.testing.assert_array_equal(level_ratio(1, [(1000, 800), (400, 300)]), [800 / 300, 2.5])
    with pytest.raises(InputError, match="no pyramid level 3: the image has levels 0 to 2"):
        level_ratio(3, shapes)
    with pytest.raises(InputError, match="no pyramid level -1"):
        level_ratio(-1)


def test_texts_of_unequal_length_are_refused(tmp_path: Path) -> None:
    moving, fixed = two_texts(tmp_path)
    fixed.write_text("\n".join(fixed.read_text().splitlines()[:-1]))
    with pytest.raises(InputError, match=r"morphology.txt holds 8 points, .*he.txt holds 7"):
        read_keypoint_texts(moving, fixed)
    with pytest.raises(InputError, match="one image's half of the keypoints"):
        read_alignment(moving)
    with pytest.raises(InputError, match=r"line 1: 'fixedX fixedY alignmentX alignmentY' is a header"):
        read_keypoint_texts(put(tmp_path, "k.csv", KEYPOINTS), fixed)


def test_explorers_archive_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "alignment.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/matrix.csv", "0,-1.25,3800\n1.25,0,30\n0,0,1\n")
        archive.writestr("__MACOSX/a/._keypoints.csv", b"\x00\x05\x16\x07")
        archive.writestr("a/keypoints.csv", KEYPOINTS)
    found = read_alignment(path)
    assert isinstance(found, Keypoints) and len(found) == 3
    with zipfile.ZipFile(tmp_path / "empty.zip", "w") as archive:
        archive.writestr("readme.md", "nothing")
    with pytest.raises(InputError, match="holds no CSV file"):
        read_alignment(tmp_path / "empty.zip")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (KEYPOINTS.replace("110", "11o"), r"bad\.csv, line 3, column fixedX: '11o' is not a finite number"),
        (KEYPOINTS.replace("120.75", "nan"), r"line 4, column alignmentY: 'nan' is not a finite number"),
        (KEYPOINTS.replace("66,", "inf,"), r"line 4, column alignmentX: 'inf'"),
        (KEYPOINTS.replace("140,45", "140"), r"line 3: 3 values, expected 4"),
        (KEYPOINTS.replace("fixedY", "fixed_y"), r"has the columns fixedX, fixed_y, .*; fixedY is missing"),
        (KEYPOINTS.splitlines()[0], "has a header and no rows"),
        ("", r"bad\.csv is empty"),
        ("1,0,0\n0,1,0\n", "holds 2 rows of 3 bare values"),
        ("1,0,0\n0,1\n0,0,1\n", "line 2: 2 values, expected 3"),
        ("1,0,0\n0,x1,5\n0,0,1\n", r"line 2, column 2: 'x1'"),
        ("1,2,0\n2,4,0\n0,0,1\n", r"The matrix in .*bad\.csv cannot be inverted"),
        ("0,0,5\n0,0,5\n0,0,1\n", "cannot be inverted"),
        ("1,0,5\n0,1,5\n0,0,0\n", "cannot be inverted"),
        ("0.99,-0.12,0\n0.12,0.99,0\n940,3046,1\n", r"bad\.csv is transposed: its shift stands in the last row"),
        ("{", r"bad\.csv, line 1: not valid JSON"),
        ('{"format": "other"}', f"its 'format' is not '{JSON_FORMAT}'"),
    ],
)
def test_faults_name_file_and_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_alignment(put(tmp_path, "bad.csv", text))


def test_what_is_not_there_or_not_text_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="There is no file"):
        read_alignment(tmp_path / "none.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\xff\xfe\x00")
    with pytest.raises(InputError, match=r"picture\.csv is not text"):
        read_alignment(tmp_path / "picture.csv")


def document() -> dict:
    return {
        "format": JSON_FORMAT,
        "version": 1,
        "keypoints": {
            "moving_frame": "stage_um",
            "fixed_frame": "he_px",
            "pairs": [{"moving": [1.5, 2], "fixed": [3, 4]}, {"moving": [5, 6], "fixed": [7, 8], "enabled": False}],
        },
        "transform": {"source": "stage_um", "target": "he_px", "matrix": [[2, 0, 1], [0.5, 4, 2], [0, 0, 2]]},
    }


def test_json_by_hand_needs_frames_and_numbers_only(tmp_path: Path) -> None:
    keypoints, transform = read_alignment_json(put(tmp_path, "a.json", document()))
    assert keypoints is not None and transform is not None
    assert keypoints.enabled.tolist() == [True, False]
    assert (transform.name, transform.kind, transform.loo_um) == ("stage_to_he", "given", None)
    np.testing.assert_array_equal(transform.matrix, [[1, 0, 0.5], [0.25, 2, 1], [0, 0, 1]])
    assert isinstance(read_alignment(tmp_path / "a.json"), Keypoints)
    only = {k: v for k, v in document().items() if k != "keypoints"}
    assert isinstance(read_alignment(put(tmp_path, "b.json", only)), Transform)


def test_json_with_its_origin_in_the_centre_is_converted_on_pixel_sides_only(tmp_path: Path) -> None:
    keypoints, transform = read_alignment_json(put(tmp_path, "a.json", {**document(), "origin": "centre"}))
    assert keypoints is not None and transform is not None
    np.testing.assert_array_equal(keypoints.moving_xy[0], [1.5, 2])
    np.testing.assert_array_equal(keypoints.fixed_xy[0], [3.5, 4.5])
    np.testing.assert_allclose(transform.apply(np.zeros((1, 2))), [[1.0, 1.5]])


@pytest.mark.parametrize(
    ("where", "value", "message"),
    [
        (("version",), 2, "has version 2, this program reads 1"),
        (("origin",), "middle", "'origin' is 'middle'"),
        (("keypoints", "moving_frame"), "um", r"keypoints\.moving_frame is 'um'.*he_px"),
        (("keypoints", "pairs"), [], r"keypoints\.pairs is not a list with entries"),
        (("keypoints", "pairs", 1, "fixed"), [7], r"keypoints\.pairs\[1\]\.fixed is not 2 finite numbers"),
        (("keypoints", "pairs", 0, "moving"), [1, "a"], r"keypoints\.pairs\[0\]\.moving is not 2 finite numbers"),
        (("keypoints", "pairs", 1), 5, r"keypoints\.pairs\[1\] is not an object"),
        (("transform", "matrix"), [[1, 2], [3, 4]], r"transform\.matrix is not 3 by 3 finite numbers"),
        (("transform", "kind"), "bspline", r"transform\.kind is 'bspline'.*homography, spline"),
        (("transform", "kind"), "spline", r"transform\.bend is not an object"),
        (("transform", "name"), "he_to_stage", r"name says he_to_stage, its source and target say stage_to_he"),
        (("transform", "residual_px"), ["a"], r"transform\.residual_px is not a list of numbers"),
        (("transform", "target"), "stage_px", r"transform\.target is 'stage_px'"),
    ],
)
def test_faults_in_json_name_the_field(tmp_path: Path, where: tuple, value: object, message: str) -> None:
    content = document()
    place = content
    for key in where[:-1]:
        place = place[key]
    place[where[-1]] = value
    with pytest.raises(InputError, match=message):
        read_alignment(put(tmp_path, "a.json", content))
