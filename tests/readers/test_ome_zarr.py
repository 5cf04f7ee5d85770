"""OME-Zarr of both versions, as other programs and as our own store write it, and what each fault says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.images import needs_pyramid, read_image
from napari_pixelgene.readers.ome_zarr import read_ome_zarr
from napari_pixelgene.store.pyramids import write_pyramid
from napari_pixelgene.store.references import pixel_hash, reference
from napari_pixelgene.store.section import SectionStore

MARK = {2: ".zattrs", 3: "zarr.json"}
Change = Callable[[dict[str, Any]], None]


def picture(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(rows).integers(0, 255, (rows, columns, 3), dtype=np.uint8)


def write(
    path: Path, image: np.ndarray, axes: str = "cyx", version: int = 3, levels: int = 2, um: float = 0.25
) -> Path:
    """A pyramid of every second pixel; axes other than y, x, c have length 1. The unit is the micrometre."""
    group = zarr.open_group(str(path), mode="w", zarr_format=version)  # type: ignore[arg-type]
    datasets = []
    for level in range(levels):
        order = [axis for axis in axes if axis in "yxc"]
        block = image[:: 2**level, :: 2**level].transpose(["yxc".index(axis) for axis in order])
        shape = tuple(block.shape[order.index(axis)] if axis in order else 1 for axis in axes)
        chunks = tuple(64 if axis in "yx" else 1 for axis in axes)
        group.create_array(f"s{level}", data=block.reshape(shape), chunks=chunks)
        scale = [um * 2**level if axis in "yx" else 1.0 for axis in axes]
        datasets.append({"path": f"s{level}", "coordinateTransformations": [{"type": "scale", "scale": scale}]})
    kind = {"c": "channel", "t": "time"}
    names = [{"name": a, "type": kind.get(a, "space")} | ({"unit": "micrometer"} if a in "zyx" else {}) for a in axes]
    document = {"multiscales": [{"axes": names, "datasets": datasets, "version": "0.4"}]}
    group.attrs.update({"ome": {"version": "0.5", **document}} if version == 3 else document)
    return path


def edit(path: Path, change: Change, version: int = 3) -> Path:
    """Change the image's metadata in place."""
    file = path / MARK[version]
    document = json.loads(file.read_text())
    change(document["attributes"]["ome"]["multiscales"][0] if version == 3 else document["multiscales"][0])
    file.write_text(json.dumps(document))
    return path


def texts(told: list[Event]) -> list[str]:
    return [event.text for event in told if isinstance(event, Note)]


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("axes", ["cyx", "yxc", "tczyx", "ycx"])
def test_axes_in_any_order_read_as_rows_columns_colours(tmp_path: Path, axes: str, version: int) -> None:
    full = picture(150, 230)
    image = read_image(write(tmp_path / "a.ome.zarr", full, axes, version))
    assert image.mpp == 0.25 and image.name == "a" and image.path == tmp_path / "a.ome.zarr"
    assert [level.shape for level in image.levels] == [(150, 230, 3), (75, 115, 3)]
    assert image.levels[0].chunks == (64, 64, 3)  # type: ignore[attr-defined]
    assert (image.levels[0][30:101, 60:200] == full[30:101, 60:200]).all()
    assert (image.levels[1][:, :] == full[::2, ::2]).all()
    assert image.downsample(1) == (2.0, 2.0)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.integers(1, 90), columns=st.integers(1, 90), data=st.data())
def test_any_region_is_that_region(tmp_path: Path, rows: int, columns: int, data: st.DataObject) -> None:
    full = picture(rows, columns)
    level = read_ome_zarr(write(tmp_path / "p.zarr", full, "cyx", levels=1)).levels[0]
    top, left = data.draw(st.integers(0, rows - 1)), data.draw(st.integers(0, columns - 1))
    bottom, right = data.draw(st.integers(top, rows)), data.draw(st.integers(left, columns))
    assert (level[top:bottom, left:right] == full[top:bottom, left:right]).all()
    assert level[top:bottom, left:right].shape == (bottom - top, right - left, 3)


@pytest.mark.parametrize("name", ["FormatV04", "FormatV05"])
def test_what_ome_zarr_writes(tmp_path: Path, name: str) -> None:
    ome_format = pytest.importorskip("ome_zarr.format", reason="ome-zarr is not installed")
    from ome_zarr.writer import write_image

    full = picture(551, 419)
    axes = [{"name": "c", "type": "channel"}] + [{"name": a, "type": "space", "unit": "nanometer"} for a in "yx"]
    sizes = [(551, 419), (275, 209), (137, 104)]
    placed = [[{"type": "scale", "scale": [1, 300 * 551 / r, 300 * 419 / c]}] for r, c in sizes]
    write_image(full.transpose(2, 0, 1), str(tmp_path / "b.zarr"), fmt=getattr(ome_format, name)(), axes=axes,
                scale_factors=[2, 4], coordinate_transformations=placed)  # fmt: skip
    told: list[Event] = []
    image = read_image(tmp_path / "b.zarr", on_event=told.append)
    assert image.mpp == pytest.approx(0.3) and not texts(told)
    assert [level.shape[:2] for level in image.levels] == sizes
    assert (image.levels[0][:, :] == full).all()
    assert abs(image.levels[2][:, :].mean() - full.mean()) < 2


def test_what_our_own_store_writes(tmp_path: Path) -> None:
    full = picture(700, 1100)
    store = SectionStore.create(tmp_path / "s.section.zarr")
    write_pyramid(store, Image((full,), 0.5, None, "slide"))
    told: list[Event] = []
    image = read_image(tmp_path / "s.section.zarr" / "images" / "he", on_event=told.append)
    assert image.mpp == 0.5 and not texts(told)
    assert [level.shape[:2] for level in image.levels] == [(700, 1100), (350, 550), (175, 275)]
    assert (image.levels[0][600:, 900:] == full[600:, 900:]).all()
    with pytest.raises(InputError, match="no 'multiscales'") as raised:
        read_image(tmp_path / "s.section.zarr")
    assert "images/he" in raised.value.mend


@pytest.mark.parametrize(
    ("unit", "mpp"), [("nanometer", 0.00025), ("millimeter", 250.0), ("micrometer", 0.25), ("pixel", None), ("", None)]
)
def test_the_unit_of_the_axes_decides_the_pixel_size(tmp_path: Path, unit: str, mpp: float | None) -> None:
    def change(document: dict[str, Any]) -> None:
        for axis in document["axes"]:
            axis["unit"] = unit

    path, told = edit(write(tmp_path / "u.zarr", picture(40, 60)), change), []
    image = read_ome_zarr(path, on_event=told.append)
    assert image.mpp == (None if mpp is None else pytest.approx(mpp))
    assert any("without a unit of length" in text for text in texts(told)) == (mpp is None)
    assert read_ome_zarr(path, 0.5).mpp == 0.5


def test_a_scale_of_the_whole_pyramid_counts_and_a_named_system_does_not(tmp_path: Path) -> None:
    whole = {"type": "scale", "scale": [1, 2, 2]}
    named = {"type": "affine", "affine": [[1, 0, 0], [0, 1, 0]], "input": {"name": "cyx"}, "output": {"name": "global"}}
    path = write(tmp_path / "w.zarr", picture(40, 60))
    edit(path, lambda document: document.update(coordinateTransformations=[whole]))
    assert read_ome_zarr(path).mpp == 0.5
    edit(path, lambda document: document.update(coordinateTransformations=[named, {**whole, "output": {"name": "g"}}]))
    assert read_ome_zarr(path).mpp == 0.25


def test_a_pixel_size_of_exactly_one_is_doubted(tmp_path: Path) -> None:
    told: list[Event] = []
    assert read_ome_zarr(write(tmp_path / "o.zarr", picture(40, 60), um=1.0), on_event=told.append).mpp == 1.0
    assert "see that it is so" in texts(told)[0]


def placed(levels: list[tuple[list[float], list[float]]]) -> Change:
    def change(document: dict[str, Any]) -> None:
        for dataset, (scale, translation) in zip(document["datasets"], levels, strict=True):
            dataset["coordinateTransformations"] = [
                {"type": "scale", "scale": [1, *scale]},
                {"type": "translation", "translation": [0, *translation]},
            ]

    return change


@pytest.mark.parametrize(
    ("second", "kept"),
    [
        (([2, 2], [1, 1]), True),  # centres: half a pixel of its own
        (([2, 2], [0.5, 0.5]), True),  # the first pixel of level 0 at half
        (([2, 2], [40.5, 0.5]), False),
        (([2, 3], [0.5, 0.5]), False),
        (([1, 1], [0.5, 0.5]), True),  # nothing is said of it
    ],
)
def test_a_level_that_lies_elsewhere_is_left_out(tmp_path: Path, second: Any, kept: bool) -> None:
    path, told = write(tmp_path / "l.zarr", picture(150, 230)), []
    edit(path, placed([([1, 1], [0.5, 0.5]), second]))
    image = read_ome_zarr(path, 0.5, told.append)
    assert len(image.levels) == (2 if kept else 1)
    assert any("level 's1' of l.zarr does not lie where its shape says" in text for text in texts(told)) == (not kept)


def test_of_several_series_the_largest_is_read(tmp_path: Path) -> None:
    root, told = tmp_path / "many.zarr", []
    zarr.open_group(str(root), mode="w", zarr_format=2).attrs.update({"bioformats2raw.layout": 3})
    full = picture(90, 120)
    write(root / "0", picture(30, 40), "tczyx", 2)
    write(root / "1", full, "tczyx", 2)
    image = read_image(root, on_event=told.append)
    assert (image.levels[0][:, :] == full).all() and image.path == root
    assert "also holds the images 0; only the largest, 1" in texts(told)[0]


def test_a_fourth_channel_is_left_out(tmp_path: Path) -> None:
    full, told = np.random.default_rng(1).integers(0, 255, (40, 60, 4), dtype=np.uint8), []
    image = read_ome_zarr(write(tmp_path / "r.zarr", full), on_event=told.append)
    assert (image.levels[0][:, :] == full[..., :3]).all() and "fourth channel" in texts(told)[0]


def test_chunks_that_are_gone_are_told(tmp_path: Path) -> None:
    path, told = write(tmp_path / "h.zarr", picture(150, 230), version=2), []
    gone = sorted(file for file in (path / "s0").rglob("*") if file.name[0].isdigit() and file.is_file())
    gone[-1].unlink()
    read_ome_zarr(path, on_event=told.append)
    assert any(f"1 of {len(gone)} chunks of h.zarr are not there" in text for text in texts(told))


def files(path: Path) -> Iterator[Path]:
    return (file for file in path.rglob("*") if file.is_file() and file.name not in ("zarr.json", *MARK.values()))


def test_a_chunk_that_cannot_be_decoded_is_an_error_with_its_place(tmp_path: Path) -> None:
    path = write(tmp_path / "d.zarr", picture(150, 230))
    for file in files(path / "s0"):
        file.write_bytes(file.read_bytes()[:20])
    with pytest.raises(InputError, match=r"d\.zarr cannot be decoded at row 10, column 20"):
        read_ome_zarr(path).levels[0][10:20, 20:40]


def test_faults_name_what_is_wrong(tmp_path: Path) -> None:
    grey, deep = picture(40, 60)[..., :1], tmp_path / "deep.zarr"
    cases = {
        "1 channel": write(tmp_path / "grey.zarr", grey),
        "uint16": write(tmp_path / "wide.zarr", picture(40, 60).astype(np.uint16)),
        "level 's9' is not there": edit(
            write(tmp_path / "gone.zarr", picture(40, 60)), lambda d: d["datasets"][1].update(path="s9")
        ),
        "2 axes": edit(write(tmp_path / "axes.zarr", picture(40, 60)), lambda d: d["axes"].pop(0)),
        "axes c, row, x": edit(
            write(tmp_path / "names.zarr", picture(40, 60)), lambda d: d["axes"][1].update(name="row")
        ),
        "cannot be read": edit(write(tmp_path / "set.zarr", picture(40, 60)), lambda d: d.pop("datasets")),
        "not square": edit(
            write(tmp_path / "long.zarr", picture(40, 60)),
            placed([([0.25, 0.5], [0, 0]), ([0.5, 1], [0, 0])]),
        ),
    }
    write(deep, picture(40, 60), "zcyx")
    for level in ("s0", "s1"):
        zarr.open_group(str(deep)).create_array(level, shape=(5, 3, 40, 60), dtype="u1", overwrite=True)
    cases["several planes along z"] = deep
    bare = tmp_path / "bare.zarr"
    zarr.create_array(str(bare), data=picture(40, 60))
    cases["bare Zarr array"] = bare
    for words, path in cases.items():
        with pytest.raises(InputError, match=words) as raised:
            read_image(path)
        assert str(path) in raised.value.problem and raised.value.mend


def test_a_level_without_pixels_is_incomplete(tmp_path: Path) -> None:
    path = write(tmp_path / "e.zarr", picture(40, 60))
    for file in list(files(path / "s0")):
        file.unlink()
    with pytest.raises(InputError, match="has no pixels"):
        read_image(path)


def test_a_large_image_without_coarse_levels_needs_a_pyramid(tmp_path: Path) -> None:
    group = zarr.open_group(str(tmp_path / "big.zarr"), mode="w")
    group.create_array("0", shape=(5000, 4200, 3), chunks=(512, 512, 3), dtype="u1")[:5, :5] = 7
    datasets = [{"path": "0", "coordinateTransformations": [{"type": "scale", "scale": [0.5, 0.5, 1]}]}]
    axes = [{"name": "y", "unit": "micrometer"}, {"name": "x", "unit": "micrometer"}, {"name": "c", "type": "channel"}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    assert needs_pyramid(read_image(tmp_path / "big.zarr"))
    assert not needs_pyramid(read_image(write(tmp_path / "small.zarr", picture(40, 60))))


def test_a_folder_is_referred_to_by_names_and_sizes(tmp_path: Path) -> None:
    path = write(tmp_path / "r.ome.zarr", picture(150, 230))
    image = read_image(path)
    first = reference(image, tmp_path / "a.section.zarr")
    assert first["path"] == "r.ome.zarr" and first["pixels"] == pixel_hash(image)
    assert first["size"] == sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    (path / "more").write_text("x")
    second = reference(image, tmp_path / "a.section.zarr")
    assert second["hash"] != first["hash"] and second["pixels"] == first["pixels"]
