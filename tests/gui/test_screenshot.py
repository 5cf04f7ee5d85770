"""The real window saved by a child process, as `make demo` does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.gui.screenshot import main


def test_the_window_is_saved(small_section: Path, tmp_path: Path):
    cv2 = pytest.importorskip("cv2")
    out = tmp_path / "pictures" / "window.png"
    asked = [sys.executable, "-m", "napari_pixelgene.gui.screenshot", str(small_section), str(out), "--gene", "LOW"]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=180, check=False)
    assert done.returncode == 0, done.stderr
    picture = cv2.imread(str(out)).astype(float)
    assert picture.shape[0] >= 600 and picture.shape[1] >= 1000
    # LOW grows to the right: the upper end of viridis (yellow: red above blue) lies right of its lower end (violet).
    canvas = picture[100:-150, 400:]
    yellow = np.flatnonzero((canvas[..., 2] - canvas[..., 0] > 40).sum(axis=0) > 50)
    violet = np.flatnonzero((canvas[..., 0] - canvas[..., 1] > 50).sum(axis=0) > 50)
    assert len(yellow) > 50 and len(violet) > 50
    assert np.median(yellow) > np.median(violet) + 100


def test_a_gene_that_is_not_there_is_a_sentence(small_section: Path, tmp_path: Path, make_napari_viewer, capsys):
    assert main([str(small_section), str(tmp_path / "a.png"), "--gene", "LWO"]) == 2
    assert "no gene named 'LWO'" in capsys.readouterr().err
    assert not (tmp_path / "a.png").exists()
