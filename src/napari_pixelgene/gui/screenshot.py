"""A section in a real napari window: saved as a picture, or left open for a person.

`python -m napari_pixelgene.gui.screenshot SECTION OUT.png --gene NAME`; without OUT the window stays open.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import PixelGeneError, StoreError
from napari_pixelgene.gui.layers import KEY, swap_gene

if TYPE_CHECKING:
    from napari import Viewer

PLUGIN = "napari-pixelgene"
SIZE = (1400, 900)
# The window, its canvas and the layers' first slices take a few turns of the event loop each.
_TURNS, _PAUSE_MS = 10, 50


def save_screenshot(section: Path, out: Path, gene: str | None = None, size: tuple[int, int] = SIZE) -> Path:
    """Open the section through the plugin's reader, draw it, save the whole window as PNG, and close it."""
    viewer = _viewer_of(section, gene, size)
    try:
        _settle()
        out.parent.mkdir(parents=True, exist_ok=True)
        viewer.screenshot(str(out), canvas_only=False, flash=False)
    finally:
        viewer.close()
    return out


def open_window(section: Path, gene: str | None = None, size: tuple[int, int] = SIZE) -> None:
    """Open the section in napari and return when the person closes the window."""
    import napari

    _viewer_of(section, gene, size)
    napari.run()


def _viewer_of(section: Path, gene: str | None, size: tuple[int, int]) -> Viewer:
    """A shown viewer with the section's layers, the whole slide in view; closed again when that fails."""
    import napari

    viewer = napari.Viewer(title=f"{section.name} – PixelGene", show_welcome_screen=False)
    try:
        _fill(viewer, section, gene, size)
    except BaseException:
        viewer.close()
        raise
    return viewer


def _fill(viewer: Viewer, section: Path, gene: str | None, size: tuple[int, int]) -> None:
    viewer.window.resize(*size)
    _settle()
    viewer.open(section, plugin=PLUGIN)
    if not viewer.layers:
        raise StoreError(f"{section} could not be opened.", "Check it with `pixelgene info`.")
    if gene is not None:
        _show_gene(viewer, section, gene)
    viewer.reset_view()


def _show_gene(viewer: Viewer, section: Path, gene: str) -> None:
    from napari_pixelgene.store.maps import read_maps
    from napari_pixelgene.store.section import SectionStore

    layer = map_of(viewer)
    if layer is None:
        raise StoreError(f"{section} has no maps, so '{gene}' cannot be shown.", "Predict a run first.")
    run = layer.metadata[KEY]["run"]
    swap_gene(layer, read_maps(SectionStore.open(section, writable=False), run), gene)


def map_of(viewer: Viewer) -> Any | None:
    """The layer that shows a gene's map, or None."""
    return next((layer for layer in viewer.layers if layer.metadata.get(KEY, {}).get("role") == "map"), None)


def _settle() -> None:
    """Let the window draw itself."""
    from qtpy.QtTest import QTest
    from qtpy.QtWidgets import QApplication

    for _ in range(_TURNS):
        QApplication.processEvents()
        QTest.qWait(_PAUSE_MS)


def main(argv: list[str] | None = None) -> int:
    """Save a screenshot, or open the window when no file is named."""
    parser = argparse.ArgumentParser(description="Show a section in napari, or save a picture of the window.")
    parser.add_argument("section", type=Path)
    parser.add_argument("out", type=Path, nargs="?")
    parser.add_argument("--gene")
    asked = parser.parse_args(argv)
    try:
        if asked.out is None:
            open_window(asked.section, asked.gene)
        else:
            print(save_screenshot(asked.section, asked.out, asked.gene))
    except PixelGeneError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
