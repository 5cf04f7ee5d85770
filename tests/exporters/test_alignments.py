"""What is written is read back to the last digit, in the direction and units the format asks for."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.arithmetic.splines import Spline
from napari_pixelgene.elements.alignment import Bend, Keypoints, Transform
from napari_pixelgene.errors import InputError
from napari_pixelgene.exporters import alignments as write
from napari_pixelgene.readers.alignments import read_alignment, read_alignment_json, read_keypoint_texts

MATRIX = np.array([[-0.0177, -0.7798, 3279.99812], [0.7798, -0.0181, 139.998], [-5.87e-7, 8.77e-7, 1.0]])
MORPHOLOGY_TO_HE = Transform(MATRIX, "morphology_px", "he_px", "homography")
# A pixel level divides: what would become subnormal loses digits, and is no place on a slide.
number = st.floats(-1e6, 1e6, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-300)
points = st.integers(2, 6).flatmap(lambda n: st.lists(st.tuples(*[number] * 4), min_size=n, max_size=n))


def some_keypoints() -> Keypoints:
    rng = np.random.default_rng(0)
    return Keypoints(rng.uniform(0, 9e4, (5, 2)), rng.uniform(0, 7e4, (5, 2)), enabled=np.arange(5) != 2)


@settings(max_examples=25, deadline=None)
@given(points)
def test_keypoints_come_back_bit_for_bit(rows: list[tuple[float, float, float, float]]) -> None:
    numbers = np.array(rows)
    keypoints = Keypoints(numbers[:, :2], numbers[:, 2:])
    with tempfile.TemporaryDirectory() as folder:
        path, other = Path(folder) / "k.csv", Path(folder) / "h.txt"
        write.write_explorer_keypoints(path, keypoints)
        explorer = read_alignment(path)
        write.write_alignment_json(path, keypoints)
        ours = read_alignment(path)
        write.write_keypoint_texts(path, other, keypoints, moving_level=3)
        texts = read_keypoint_texts(path, other, moving_level=3)
    for back in (explorer, ours, texts):
        assert isinstance(back, Keypoints)
        np.testing.assert_array_equal(back.moving_xy, keypoints.moving_xy)
        np.testing.assert_array_equal(back.fixed_xy, keypoints.fixed_xy)


@settings(max_examples=25, deadline=None)
@given(
    angle=st.floats(-3.1, 3.1),
    scale=st.floats(0.1, 10),
    mirror=st.booleans(),
    shift=st.tuples(number, number),
    tilt=st.floats(-2e-6, 2e-6),
)
def test_matrices_come_back_in_either_direction(
    angle: float, scale: float, mirror: bool, shift: tuple[float, float], tilt: float
) -> None:
    matrix = np.diag([scale, -scale if mirror else scale, 1.0])
    matrix[:2, :2] @= np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), 1.1 * np.cos(angle) + 0.01]])
    matrix[:2, 2] = shift
    matrix = matrix @ np.array([[1, 0, 0], [0, 1, 0], [tilt, -2 * tilt, 1]])
    if abs(np.linalg.det(matrix[:2, :2])) < 1e-3 * scale**2:
        return
    corners = np.array([[0.0, 0], [5e4, 100], [4e4, 4e4], [30, 3e4]])
    for transform in (Transform(matrix, "morphology_px", "he_px"), Transform(matrix, "he_px", "morphology_px")):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "matrix"
            write.write_explorer_matrix(path, transform)
            explorer = read_alignment(path)
            write.write_pixel2gene_matrix(path, transform)
            pixel2gene = read_alignment(path, direction="morphology_to_he")
            write.write_alignment_json(path, transform=transform)
            ours = read_alignment(path)
        names = ("he_to_morphology", "morphology_to_he", transform.name)
        for back, name in zip((explorer, pixel2gene, ours), names, strict=True):
            assert isinstance(back, Transform) and back.name == name
            same_way = back if name == transform.name else back.inverse()
            want = transform.apply(corners)
            assert np.abs(same_way.apply(corners) - want).max() <= 1e-9 * max(np.abs(want).max(), 1e5)


def test_explorer_gets_he_to_morphology(tmp_path: Path) -> None:
    write.write_explorer_matrix(tmp_path / "m.csv", MORPHOLOGY_TO_HE)
    bare = np.loadtxt(tmp_path / "m.csv", delimiter=",")
    he = MORPHOLOGY_TO_HE.apply(np.array([[4000.0, 3000.0]]))
    np.testing.assert_allclose(geometry.apply_matrix(bare, he), [[4000, 3000]])
    assert bare[2, 2] == 1
    write.write_explorer_keypoints(tmp_path / "k.csv", some_keypoints())
    header, first = (tmp_path / "k.csv").read_text().splitlines()[:2]
    assert header == "fixedX,fixedY,alignmentX,alignmentY"
    want = [*some_keypoints().moving_xy[0].tolist(), *some_keypoints().fixed_xy[0].tolist()]
    assert [float(cell) for cell in first.split(",")] == want


def test_pixel2gene_gets_morphology_to_he_in_numpys_text(tmp_path: Path) -> None:
    write.write_pixel2gene_matrix(tmp_path / "m.txt", MORPHOLOGY_TO_HE.inverse())
    np.testing.assert_allclose(np.loadtxt(tmp_path / "m.txt", delimiter=","), MATRIX, rtol=1e-9)
    np.savetxt(tmp_path / "theirs.txt", MATRIX, delimiter=",")
    write.write_pixel2gene_matrix(tmp_path / "m.txt", MORPHOLOGY_TO_HE)
    assert (tmp_path / "m.txt").read_text() == (tmp_path / "theirs.txt").read_text()
    stage = Transform(np.diag([4.7, 4.7, 1]), "stage_um", "morphology_px")
    write.write_pixel2gene_matrix(tmp_path / "s.txt", stage.inverse())
    np.testing.assert_allclose(np.loadtxt(tmp_path / "s.txt", delimiter=","), stage.matrix)


def test_disabled_pairs_stay_out_of_foreign_files_and_in_ours(tmp_path: Path) -> None:
    keypoints = some_keypoints()
    write.write_explorer_keypoints(tmp_path / "k.csv", keypoints)
    write.write_keypoint_texts(tmp_path / "m.txt", tmp_path / "h.txt", keypoints)
    on = keypoints.moving_xy[keypoints.enabled]
    for back in (read_alignment(tmp_path / "k.csv"), read_keypoint_texts(tmp_path / "m.txt", tmp_path / "h.txt")):
        assert isinstance(back, Keypoints)
        np.testing.assert_array_equal(back.moving_xy, on)
    write.write_alignment_json(tmp_path / "a.json", keypoints)
    ours = read_alignment(tmp_path / "a.json")
    assert isinstance(ours, Keypoints) and ours.enabled.tolist() == keypoints.enabled.tolist()


def test_keypoints_the_other_way_round_are_turned(tmp_path: Path) -> None:
    keypoints = some_keypoints()
    turned = Keypoints(keypoints.fixed_xy, keypoints.moving_xy, "he_px", "morphology_px", keypoints.enabled)
    write.write_explorer_keypoints(tmp_path / "a.csv", keypoints)
    write.write_explorer_keypoints(tmp_path / "b.csv", turned)
    assert (tmp_path / "a.csv").read_text() == (tmp_path / "b.csv").read_text()


def test_texts_are_divided_by_their_level_and_shifted_to_centres(tmp_path: Path) -> None:
    shapes = [(1001, 803), (400, 321)]  # no whole number explains these
    keypoints = some_keypoints()
    args = {"moving_level": 1, "moving_shapes": shapes, "fixed_level": 2, "origin": "centre"}
    write.write_keypoint_texts(tmp_path / "m.txt", tmp_path / "h.txt", keypoints, **args)  # type: ignore[arg-type]
    first = keypoints.moving_xy[0] / [803 / 321, 1001 / 400] - 0.5
    np.testing.assert_allclose(np.loadtxt(tmp_path / "m.txt")[0], first)
    np.testing.assert_allclose(np.loadtxt(tmp_path / "h.txt")[0], keypoints.fixed_xy[0] / 4 - 0.5)
    back = read_keypoint_texts(tmp_path / "m.txt", tmp_path / "h.txt", **args)  # type: ignore[arg-type]
    np.testing.assert_allclose(back.moving_xy, keypoints.moving_xy[keypoints.enabled], rtol=1e-12)


def test_json_states_direction_units_and_keeps_what_the_fit_left_over(tmp_path: Path) -> None:
    residual = np.array([0.5, 1.25, np.pi])
    full = Transform(
        MATRIX,
        "stage_um",
        "he_px",
        "homography",
        residual,
        residual * 0.2738,
        np.array([True, False, True]),
        np.array([1.0, np.nan, 2]),
    )
    write.write_alignment_json(tmp_path / "a.json", some_keypoints(), full)
    raw = json.loads((tmp_path / "a.json").read_text())
    assert raw["transform"]["name"] == "stage_to_he"
    assert (raw["transform"]["source_unit"], raw["transform"]["target_unit"]) == ("µm", "px")
    assert (raw["keypoints"]["moving_unit"], raw["keypoints"]["moving_frame"]) == ("px", "morphology_px")
    assert raw["transform"]["loo_um"] == [1.0, None, 2.0] and raw["origin"] == "corner"
    keypoints, back = read_alignment_json(tmp_path / "a.json")
    assert keypoints is not None and back is not None
    np.testing.assert_array_equal(back.matrix, MATRIX)
    for name in ("residual_px", "residual_um", "inlier", "loo_um"):
        np.testing.assert_array_equal(getattr(back, name), getattr(full, name))
    assert (back.kind, back.source, back.target) == ("homography", "stage_um", "he_px")


def test_the_archive_holds_both(tmp_path: Path) -> None:
    write.write_explorer_zip(tmp_path / "a.zip", some_keypoints(), MORPHOLOGY_TO_HE)
    back = read_alignment(tmp_path / "a.zip")
    assert isinstance(back, Keypoints) and len(back) == 4
    assert [p.name for p in tmp_path.iterdir()] == ["a.zip"]


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    stage = Transform(np.eye(3), "stage_um", "he_um")
    with pytest.raises(InputError, match=r"holds he_px → morphology_px, the transform maps stage_um → he_um"):
        write.write_explorer_matrix(tmp_path / "m.csv", stage)
    with pytest.raises(InputError, match=r"holds stage_um → morphology_px"):
        write.write_pixel2gene_matrix(tmp_path / "m.csv", stage)
    in_um = Keypoints(np.zeros((2, 2)), np.ones((2, 2)), "stage_um", "he_px")
    with pytest.raises(InputError, match="keypoints are in stage_um and he_px"):
        write.write_explorer_keypoints(tmp_path / "k.csv", in_um)
    with pytest.raises(InputError, match="nothing to write"):
        write.write_alignment_json(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def bent() -> Transform:
    """A homography with a bend of some tens of pixels, whose plane is no mere scale."""
    rng = np.random.default_rng(4)
    spline = Spline(rng.uniform(0, 9000, (9, 2)), rng.normal(0, 1e-8, (9, 2)), rng.normal(0, 1e-3, (3, 2)))
    return Transform(MATRIX, "morphology_px", "he_px", "spline", bend=Bend(spline, MATRIX @ np.diag([3.0, 2.0, 1.0])))


@pytest.mark.parametrize("turned", [False, True])
def test_json_holds_a_bend_to_the_last_digit(tmp_path: Path, turned: bool) -> None:
    transform = bent().inverse() if turned else bent()
    write.write_alignment_json(tmp_path / "a.json", transform=transform)
    back = read_alignment(tmp_path / "a.json")
    assert isinstance(back, Transform) and back.bend is not None and transform.bend is not None
    assert (back.name, back.kind, back.bend.backwards) == (transform.name, "spline", turned)
    xy = np.random.default_rng(0).uniform(0, 3000, (50, 2))
    np.testing.assert_allclose(back.apply(xy), transform.apply(xy), rtol=1e-12)
    assert np.abs(back.apply(xy) - geometry.apply_matrix(back.matrix, xy)).max() > 1
    centred = json.loads((tmp_path / "a.json").read_text()) | {"origin": "centre"}
    (tmp_path / "b.json").write_text(json.dumps(centred))
    shifted = read_alignment_json(tmp_path / "b.json")[1]
    assert shifted is not None
    np.testing.assert_allclose(shifted.apply(xy + 0.5), transform.apply(xy) + 0.5, rtol=1e-9)


@pytest.mark.parametrize("form", ["matrix", "zip", "pixel2gene"])
def test_a_bend_is_never_dropped_in_silence(tmp_path: Path, form: str) -> None:
    path = tmp_path / "file"
    with pytest.raises(InputError, match=r"cannot say how a spline bends.*JSON.*homography"):
        if form == "matrix":
            write.write_explorer_matrix(path, bent())
        elif form == "zip":
            write.write_explorer_zip(path, some_keypoints(), bent().inverse())
        else:
            write.write_pixel2gene_matrix(path, bent())
    assert not path.exists()


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("weights", [[1, 2]], r"bend\.weights is not 9 by 2 finite numbers"),
        ("linear", [1, 2], r"bend\.linear is not 3 by 2 finite numbers"),
        ("centres", [], r"bend\.centres is not a list with entries"),
        ("plane", [[0, 0, 0], [0, 0, 0], [0, 0, 1]], r"bend cannot be inverted"),
        ("backwards", "yes", r"bend\.backwards is 'yes'"),
    ],
)
def test_faults_in_a_bend_name_the_field(tmp_path: Path, field: str, value: object, message: str) -> None:
    write.write_alignment_json(tmp_path / "a.json", transform=bent())
    document = json.loads((tmp_path / "a.json").read_text())
    document["transform"]["bend"][field] = value
    (tmp_path / "a.json").write_text(json.dumps(document))
    with pytest.raises(InputError, match=message):
        read_alignment(tmp_path / "a.json")
