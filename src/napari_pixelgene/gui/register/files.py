"""What the Import and Export menus offer, and where a person wants it. The dialogs stand here alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QWidget

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.exporters.alignments import (
    write_alignment_json,
    write_explorer_keypoints,
    write_explorer_matrix,
    write_explorer_zip,
    write_keypoint_texts,
    write_pixel2gene_matrix,
)
from napari_pixelgene.exporters.landmarks import write_bigwarp, write_landmarks
from napari_pixelgene.readers.alignments import Direction

# A bare matrix does not say its direction: the first entry decides by the images, the others are told.
IMPORTS: tuple[tuple[str, Direction | None], ...] = (
    ("Keypoints or matrix (CSV, ZIP, JSON)…", None),
    ("Matrix H&E → Xenium (he_to_morphology)…", "he_to_morphology"),
    ("Matrix Xenium → H&E (morphology_to_he)…", "morphology_to_he"),
    ("Matrix µm of the run → H&E (stage_to_he)…", "stage_to_he"),
)
TEXTS = "Pixel2Gene keypoints (two text files)…"


@dataclass(frozen=True, slots=True)
class Export:
    """One way out: its words, a file name to begin with, what it needs, and how it is written."""

    text: str
    name: str
    write: Callable[[Path, Keypoints, Transform | None], None]
    pairs: bool = False
    transform: bool = False
    morphology: bool = True  # its format holds morphology pixels only

    def why_not(self, keypoints: Keypoints, transform: Transform | None) -> str:
        """Why it cannot be written now; empty when it can."""
        if self.pairs and not keypoints.enabled.any():
            return "There is no pair yet."
        if self.transform and transform is None:
            return "There is no fit yet."
        if self.morphology and keypoints.moving_frame != "morphology_px":
            return "This format needs a morphology image; JSON states any frame."
        if not len(keypoints) and transform is None:
            return "There is nothing to write yet."
        return ""


def _keypoints(path: Path, keypoints: Keypoints, _: Transform | None) -> None:
    write_explorer_keypoints(path, keypoints)


def _texts(path: Path, keypoints: Keypoints, _: Transform | None) -> None:
    write_keypoint_texts(path, path.with_name("he#0_tiff_keypoints.txt"), keypoints)


def _matrix(path: Path, _: Keypoints, transform: Transform | None) -> None:
    assert transform is not None
    write_explorer_matrix(path, transform)


def _pixel2gene_matrix(path: Path, _: Keypoints, transform: Transform | None) -> None:
    assert transform is not None
    write_pixel2gene_matrix(path, transform)


def _zip(path: Path, keypoints: Keypoints, transform: Transform | None) -> None:
    assert transform is not None
    write_explorer_zip(path, keypoints, transform)


def _bigwarp(path: Path, keypoints: Keypoints, _: Transform | None) -> None:
    write_bigwarp(path, keypoints)


def _spatialdata(path: Path, keypoints: Keypoints, _: Transform | None) -> None:
    write_landmarks(path, keypoints)


def _json(path: Path, keypoints: Keypoints, transform: Transform | None) -> None:
    write_alignment_json(path, keypoints if len(keypoints) else None, transform)


EXPORTS = (
    Export("Keypoints CSV (Xenium Explorer)…", "keypoints.csv", _keypoints, pairs=True),
    Export("Matrix CSV, H&E → Xenium (Xenium Explorer)…", "matrix.csv", _matrix, transform=True),
    Export("Keypoints and matrix, ZIP (Xenium Explorer)…", "alignment.zip", _zip, pairs=True, transform=True),
    Export("Matrix, Xenium → H&E (Pixel2Gene)…", "morphology_to_he.txt", _pixel2gene_matrix, transform=True),
    Export("Keypoints, two text files (Pixel2Gene)…", "morphology#0_keypoints.txt", _texts, pairs=True),
    Export("Landmarks CSV, in pixels (BigWarp)…", "landmarks.csv", _bigwarp, pairs=True),
    Export("Landmarks in a store (SpatialData)…", "landmarks.zarr", _spatialdata, pairs=True, morphology=False),
    Export("Everything (JSON)…", "alignment.json", _json, morphology=False),
)


def ask_open(parent: QWidget, title: str) -> Path | None:
    """A file to read, or None."""
    path, _ = QFileDialog.getOpenFileName(
        parent, title.rstrip("…"), "", "Alignments (*.csv *.txt *.json *.zip);;All (*)"
    )
    return Path(path) if path else None


def ask_save(parent: QWidget, title: str, name: str) -> Path | None:
    """A file to write, or None."""
    path, _ = QFileDialog.getSaveFileName(parent, title.rstrip("…"), name)
    return Path(path) if path else None
