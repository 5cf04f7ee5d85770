"""The reader in napari: what it claims, what it gives, what it says when it cannot."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from napari.utils.notifications import notification_manager

from moved import move_references
from napari_pixelgene.gui.layers import KEY, swap_gene
from napari_pixelgene.gui.reader import get_reader, read_for_napari, read_section
from napari_pixelgene.store.maps import read_maps
from napari_pixelgene.store.section import SectionStore

PLUGIN = "napari-pixelgene"


@pytest.fixture
def notes():
    """Messages napari was told while the test ran."""
    notification_manager.records.clear()
    return lambda: [str(record.message) for record in notification_manager.records]


def test_only_sections_are_claimed(small_section: Path, tmp_path: Path):
    assert get_reader(str(small_section)) is read_for_napari
    plain = tmp_path / "plain.zarr"
    shutil.copytree(small_section / "maps", plain)
    other = tmp_path / "other.section.zarr"
    other.mkdir()
    assert get_reader(str(plain)) is None
    assert get_reader(str(other)) is None
    (other / "zarr.json").write_text(json.dumps({"attributes": {"ome": {}}}))
    assert get_reader(str(other)) is None
    (other / "zarr.json").write_text("[1")
    assert get_reader(str(other)) is None
    assert get_reader([str(small_section)]) is None
    assert get_reader(str(tmp_path / "missing.section.zarr")) is None


def test_asking_loads_no_engine(tmp_path: Path):
    code = (
        "import sys; from napari_pixelgene.gui.reader import get_reader; get_reader(sys.argv[1]);"
        "print([n for n in ('zarr', 'torch', 'napari', 'polars', 'tifffile') if n in sys.modules])"
    )
    asked = [sys.executable, "-c", code, str(tmp_path / "a.zarr")]
    assert subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_napari_opens_a_section(make_napari_viewer, small_section: Path, notes):
    viewer = make_napari_viewer(strict_qt="raise")
    viewer.open(small_section, plugin=PLUGIN)
    assert [layer.name for layer in viewer.layers] == [
        "H&E",
        "DAPI → H&E",
        "where it was measured",
        "HIGH (predicted)",
    ]
    assert [layer.visible for layer in viewer.layers] == [True, True, False, True]
    for layer, pixel in zip(viewer.layers, (0.5, 0.5, 8.0, 8.0), strict=True):
        np.testing.assert_allclose(layer.scale, pixel)
        np.testing.assert_allclose(layer.translate, pixel / 2)
        assert [str(unit) for unit in layer.units] == ["micrometer", "micrometer"]
        assert layer.multiscale and layer.metadata[KEY]["section"] == str(small_section)
    assert viewer.layers[0].rgb and viewer.layers[0].data[0].shape == (1120, 1400, 3)
    assert viewer.layers[1].data[0].shape == (1120, 1400)
    assert viewer.canvas.overlays.scale_bar.visible
    assert not notes()


def test_dapi_shines_where_the_slide_is_dark(small_section: Path):
    """Nuclei of the run lie on nuclei of the slide, through file, store, transform and warp."""
    layers = read_section(small_section)
    slide = np.asarray(layers[0][0][0][300:800, 400:1000])[..., 0].astype(float)
    dapi = np.asarray(layers[1][0][0][300:800, 400:1000]).astype(float)

    def agreement(down: int, right: int) -> float:
        return float(np.corrcoef(-slide.ravel(), np.roll(dapi, (down, right), axis=(0, 1)).ravel())[0, 1])

    shifts = {(d, r): agreement(d, r) for d in range(-2, 3) for r in range(-2, 3)}
    assert max(shifts, key=shifts.__getitem__) == (0, 0)
    assert shifts[0, 0] > 0.6 > agreement(20, -20) + 0.3


def test_two_viewers_do_not_meddle(make_napari_viewer, small_section: Path):
    one, two = make_napari_viewer(), make_napari_viewer()
    for viewer in (one, two):
        viewer.open(small_section, plugin=PLUGIN)
    maps = read_maps(SectionStore.open(small_section, writable=False), "first")
    swap_gene(one.layers[-1], maps, "LOW")
    assert (one.layers[-1].name, two.layers[-1].name) == ("LOW (predicted)", "HIGH (predicted)")
    at = (500.0, 100.0)  # far down, little to the right
    rows, columns = maps.levels[0].shape[1:]
    row, column = int(at[0] // 8), int(at[1] // 8)
    assert one.layers[-1].get_value(at, world=True)[1] == pytest.approx(column / (columns - 1), abs=2e-3)
    assert two.layers[-1].get_value(at, world=True)[1] == pytest.approx(10 * row / (rows - 1), abs=2e-2)


def test_a_moved_slide_is_a_sentence_not_a_traceback(make_napari_viewer, small_section: Path, tmp_path: Path, notes):
    lonely = tmp_path / "lonely.section.zarr"
    shutil.copytree(small_section, lonely)
    document = json.loads((lonely / "zarr.json").read_text())
    document["attributes"][KEY]["references"]["he"]["path"] = "gone.ome.tif"
    (lonely / "zarr.json").write_text(json.dumps(document))
    viewer = make_napari_viewer()
    assert viewer.open(lonely, plugin=PLUGIN) == []
    assert len(notes()) == 1 and "gone.ome.tif, which is not there" in notes()[0]
    assert notification_manager.records[0].severity.value == "error"


def test_a_run_without_a_place_leaves_the_slide(make_napari_viewer, small_section: Path, tmp_path: Path, notes):
    bare = tmp_path / "bare.section.zarr"
    shutil.copytree(small_section, bare)
    move_references(bare, small_section.parent)
    shutil.rmtree(next(bare.glob("captures/*/alignment")))
    shutil.rmtree(bare / "maps" / "first")
    viewer = make_napari_viewer()
    viewer.open(bare, plugin=PLUGIN)
    assert [layer.name for layer in viewer.layers] == ["H&E"]
    assert len(notes()) == 1 and "is not registered to the H&E yet" in notes()[0]
