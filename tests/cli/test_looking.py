"""What `info`, `relink` and `models` tell, on a small section."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_pixelgene.cli.main import main
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import write_edits

SHAPE = (600, 800)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """`slides/he.tif` and a section of it, tissue on the left half."""
    (tmp_path / "slides").mkdir()
    rgb = np.full((*SHAPE, 3), 245, np.uint8)
    rgb[:, :400] = np.random.default_rng(0).integers(90, 170, (600, 400, 3))
    tifffile.imwrite(tmp_path / "slides" / "he.tif", rgb, tile=(256, 256), photometric="rgb")
    assert main(["import", "image", str(section(tmp_path)), "--he", str(he(tmp_path)), "--mpp", "0.5"]) == 0
    return tmp_path


def section(folder: Path) -> Path:
    return folder / "A.section.zarr"


def he(folder: Path) -> Path:
    return folder / "slides" / "he.tif"


def info(folder: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `info --json` says."""
    capsys.readouterr()
    assert main(["info", str(section(folder)), "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_info_tells_what_is_there(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = info(folder, capsys)
    assert found["grid"]["yx_shape"] == [38, 50] and found["mpp"] == 0.5
    assert found["files"] == [{"key": "he", "path": str(he(folder)), "state": "there"}]
    assert (found["tissue"], found["features"], found["stale"], found["unfinished"]) == (None, [], {}, [])
    assert main(["features", str(section(folder))]) == 0
    found = info(folder, capsys)
    assert "Otsu" in found["tissue"] and found["features"] == ["stain_texture"] and found["stale"] == {}
    assert main(["info", str(section(folder))]) == 0
    assert "50 × 38 superpixels" in capsys.readouterr().out


def test_a_changed_mask_makes_features_stale(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["features", str(section(folder))]) == 0
    edits = np.zeros((38, 50), np.uint8)
    edits[2:5, 40:45] = 1
    write_edits(SectionStore.open(section(folder)), edits)
    assert info(folder, capsys)["stale"] == {"features/stain_texture": "tissue mask changed"}
    assert main(["features", str(section(folder))]) == 0
    assert info(folder, capsys)["stale"] == {}


def test_a_moved_slide_is_told_and_linked_again(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.move(folder / "slides", folder / "moved")
    assert info(folder, capsys)["files"][0]["state"] == "gone"
    assert main(["tissue", str(section(folder))]) == 2
    assert "pixelgene relink A.section.zarr" in capsys.readouterr().err
    assert main(["relink", str(section(folder)), str(folder / "moved")]) == 0
    assert info(folder, capsys)["files"][0] == {"key": "he", "path": str(folder / "moved/he.tif"), "state": "there"}
    assert main(["tissue", str(section(folder))]) == 0


def test_another_slide_is_not_linked(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "other").mkdir()
    tifffile.imwrite(folder / "other/he.tif", np.zeros((*SHAPE, 3), np.uint8), tile=(256, 256), photometric="rgb")
    assert main(["relink", str(section(folder)), str(folder / "other"), "--key", "he"]) == 2
    assert "other content" in capsys.readouterr().err
    assert main(["relink", str(section(folder)), str(folder / "other"), "--key", "hee"]) == 2
    assert "'hee'" in capsys.readouterr().err
    (folder / "nothing").mkdir()
    assert main(["relink", str(section(folder)), str(folder / "nothing")]) == 2
    assert "he.tif" in capsys.readouterr().err
    assert info(folder, capsys)["files"][0]["state"] == "there"


def test_a_mask_of_ones_own_is_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[:, 600:] = 255
    tifffile.imwrite(folder / "mask.tif", mask)
    capsys.readouterr()
    assert main(["tissue", str(section(folder)), "--mask", str(folder / "mask.tif"), "--progress", "json"]) == 0
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["fraction"] == pytest.approx(0.25, abs=0.02) and "mask.tif" in last["source"]
    assert main(["tissue", str(section(folder))]) == 0  # asked for nothing: the mask stays
    assert "mask.tif" in info(folder, capsys)["tissue"]


def test_models_are_listed_with_their_settings(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["models", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    models = {m["name"]: m for m in found["models"]}
    hidden = next(s for s in models["pixel2gene"]["settings"] if s["name"] == "hidden")
    assert hidden == {"name": "hidden", "default": 256, "type": "int", "description": "Width of the hidden layers."}
    assert {"pixel2gene", "ridge"} <= models.keys()
    assert {e["name"]: e["available"] for e in found["encoders"]}["stain_texture"] is True
    assert main(["models"]) == 0
    assert "--set hidden=256  Width of the hidden layers." in capsys.readouterr().out
