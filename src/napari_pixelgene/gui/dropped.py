"""Runs and slides dropped on napari: a run opens the New dialog with it, a slide becomes a lazy pyramid in µm.

The manifest claims names that only such files have; what a folder of another name is, `dropping.py` finds
out while a dock of ours is open.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.layers import LayerData

_SLIDES = (".svs", ".ndpi", ".scn", ".mrxs")
Reader = Callable[[str], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """napari asks whether a path is ours."""
    if not isinstance(path, str | Path):
        return None
    if Path(path).name.lower().endswith(_SLIDES):
        return read_slide
    from napari_pixelgene.pipeline.sources.finding import find_run

    return offer_run if find_run(Path(path)) is not None else None


def offer_run(path: str) -> list[LayerData]:
    """Open the Section dock's New dialog with the run; layers come with the section that is made of it."""
    from napari import current_viewer
    from qtpy.QtCore import QTimer

    from napari_pixelgene.gui.dropping import take

    viewer = current_viewer()
    QTimer.singleShot(0, lambda: take(viewer, Path(path)))
    return [(None,)]  # type: ignore[list-item]  # napari's word for "read, and there is nothing"


def read_slide(path: str) -> list[LayerData]:
    """A slide alone, not yet a section: its levels as they are, in µm where the file tells its pixel size."""
    from napari.utils.notifications import show_error, show_warning

    from napari_pixelgene.readers.images import needs_pyramid, read_image

    try:
        image = read_image(Path(path))
    except PixelGeneError as error:
        show_error(str(error))
        return [(None,)]  # type: ignore[list-item]
    if needs_pyramid(image):
        show_warning("This slide has no coarse levels and would be slow to browse: make a section of it.")
        return offer_run(path)
    look: dict[str, Any] = {"name": Path(path).stem, "multiscale": True, "rgb": image.is_rgb}
    if image.mpp is None:
        show_warning(f"{Path(path).name} does not say its pixel size: it is shown in pixels.")
    else:
        side = image.mpp
        look |= {"scale": (side, side), "translate": (side / 2, side / 2), "units": ("µm", "µm")}
    return [(list(image.levels), look, "image")]
