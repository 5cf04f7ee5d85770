"""What the Import and Export menus offer, and where a person wants it. The dialogs stand here alone."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from qtpy.QtWidgets import QFileDialog, QInputDialog, QWidget

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
from napari_pixelgene.readers.spatialdata_landmarks import LANDMARKS

# A bare matrix does not say its direction: the first entry decides by the images, the others are told.
IMPORTS: tuple[tuple[str, Direction | None], ...] = (
    ("Keypoints or matrix (CSV, ZIP, JSON)…", None),
    ("Matrix H&E → Xenium (he_to_morphology)…", "he_to_morphology"),
    ("Matrix Xenium → H&E (morphology_to_he)…", "morphology_to_he"),
    ("Matrix µm of the run → H&E (stage_to_he)…", "stage_to_he"),
)
BIGWARP, STORE = "Landmarks of BigWarp (CSV)…", "Landmarks of a SpatialData store (.zarr folder)…"
TEXTS = "Pixel2Gene keypoints (two text files)…"


@dataclass(frozen=True, slots=True)
class Held:
    """What can be written: the pairs, the fit, the µm of a pixel of either image, and names for the pairs' elements."""

    keypoints: Keypoints
    transform: Transform | None
    pixels_um: tuple[float, float] = (1.0, 1.0)
    called: tuple[str, str] = LANDMARKS


@dataclass(frozen=True, slots=True)
class Export:
    """One way out: its words, a file name to begin with, what it needs, and how it is written.

    `folder`: what is written goes into a folder that is there.
    """

    text: str
    name: str
    write: Callable[[Path, Held], None]
    pairs: bool = False
    transform: bool = False
    morphology: bool = True  # its format holds morphology pixels only
    folder: bool = False

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


def _keypoints(path: Path, held: Held) -> None:
    write_explorer_keypoints(path, held.keypoints)


def _texts(path: Path, held: Held) -> None:
    write_keypoint_texts(path, path.with_name("he#0_tiff_keypoints.txt"), held.keypoints)


def _matrix(path: Path, held: Held) -> None:
    assert held.transform is not None
    write_explorer_matrix(path, held.transform)


def _pixel2gene_matrix(path: Path, held: Held) -> None:
    assert held.transform is not None
    write_pixel2gene_matrix(path, held.transform)


def _zip(path: Path, held: Held) -> None:
    assert held.transform is not None
    write_explorer_zip(path, held.keypoints, held.transform)


def _bigwarp(path: Path, held: Held) -> None:
    write_bigwarp(path, held.keypoints)


def _bigwarp_um(path: Path, held: Held) -> None:
    write_bigwarp(path, held.keypoints, held.pixels_um)


def _spatialdata(path: Path, held: Held) -> None:
    write_landmarks(path, held.keypoints, held.called)


def _json(path: Path, held: Held) -> None:
    write_alignment_json(path, held.keypoints if len(held.keypoints) else None, held.transform)


EXPORTS = (
    Export("Keypoints CSV (Xenium Explorer)…", "keypoints.csv", _keypoints, pairs=True),
    Export("Matrix CSV, H&E → Xenium (Xenium Explorer)…", "matrix.csv", _matrix, transform=True),
    Export("Keypoints and matrix, ZIP (Xenium Explorer)…", "alignment.zip", _zip, pairs=True, transform=True),
    Export("Matrix, Xenium → H&E (Pixel2Gene)…", "morphology_to_he.txt", _pixel2gene_matrix, transform=True),
    Export("Keypoints, two text files (Pixel2Gene)…", "morphology#0_keypoints.txt", _texts, pairs=True),
    Export("Landmarks CSV, in pixels (BigWarp)…", "landmarks.csv", _bigwarp, pairs=True),
    Export("Landmarks CSV, in µm (BigWarp)…", "landmarks-um.csv", _bigwarp_um, pairs=True),
    Export("Landmarks in a new store (SpatialData)…", "landmarks.zarr", _spatialdata, pairs=True, morphology=False),
    Export("Landmarks into a store (SpatialData)…", "", _spatialdata, pairs=True, morphology=False, folder=True),
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


def ask_folder(parent: QWidget, title: str) -> Path | None:
    """A folder that is there, or None."""
    path = QFileDialog.getExistingDirectory(parent, title.rstrip("…"))
    return Path(path) if path else None


def ask_unit(parent: QWidget) -> Literal["px", "um"] | None:
    """In what BigWarp's numbers are, which its file does not say."""
    units: dict[str, Literal["px", "um"]] = {"pixels": "px", "µm (the images had their pixel size)": "um"}
    chosen, given = QInputDialog.getItem(parent, BIGWARP.rstrip("…"), "Its numbers are", list(units), 0, False)
    return units[chosen] if given else None


def ask_name(parent: QWidget, taken: str) -> str | None:
    """Another name for landmarks in a store that has some of the usual name."""
    text = f"The store has '{taken}' already. Call these landmarks"
    name, given = QInputDialog.getText(parent, "Landmarks", text, text="landmarks_2")
    return name.strip() if given and name.strip() else None
