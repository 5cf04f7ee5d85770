"""For a run without an image: a button that takes one that is open in napari, or a file, and asks its pixel size."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMenu, QPushButton

from napari_pixelgene.errors import InputError, PixelGeneError
from napari_pixelgene.exporters.images import write_image
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.pipeline.morphology import take_morphology

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.dock import RegisterDock
    from napari_pixelgene.gui.register.work import Work

_TIP = (
    "This run brings no image, so its cells or transcripts are shown. Have you one, such as DAPI? Its first pixel's "
    "corner must be 0, 0 of the run's µm."
)


class GivenImage(QPushButton):
    """Shown only where a run brings no image of its own."""

    def __init__(self, dock: RegisterDock) -> None:
        super().__init__("Use an image…")
        self.setToolTip(_TIP)
        self._dock = dock
        self._menu = QMenu(self)
        self._menu.aboutToShow.connect(self._list)
        self.setMenu(self._menu)
        self.hide()

    def reflect(self, work: Work) -> None:
        """Show or hide the button."""
        self.setVisible(work.moving.frame == "stage_um")

    def take(self, path: Path, mpp: float) -> None:
        """Register by this image from now on; what is wrong is told in the dock."""
        dock = self._dock
        dock.fault.clear()
        assert dock.work is not None
        name = dock.work.moving.capture
        try:
            dock.save(reload=False)
            take_morphology(dock.session.require_writable(), name, path, mpp, dock.session.hear)
        except PixelGeneError as error:
            dock.fault.tell(error)
            return
        dock.works.pop(name, None)
        dock.work = None
        dock.refresh()

    def _list(self) -> None:
        self._menu.clear()
        self._menu.addAction("A file…").triggered.connect(self._ask_file)
        for layer in self._dock.session.viewer.layers:
            if type(layer).__name__ == "Image" and not layer.rgb and not layer.metadata.get(KEY):
                action = self._menu.addAction(f"Layer: {layer.name}")
                action.triggered.connect(lambda _=False, layer=layer: self._take_layer(layer))

    def _ask_file(self) -> None:
        chosen, _ = QFileDialog.getOpenFileName(self, "An image of the run (OME-TIFF or TIFF)")
        if chosen and (mpp := self._ask_size(Path(chosen).name)) is not None:
            self.take(Path(chosen), mpp)

    def _take_layer(self, layer: Any) -> None:
        mpp = self._ask_size(layer.name)
        if mpp is None:
            return
        try:
            self.take(saved_channel(layer, self._dock.session.require().path, mpp), mpp)
        except PixelGeneError as error:
            self._dock.fault.tell(error)

    def _ask_size(self, name: str) -> float | None:
        size, given = QInputDialog.getDouble(self, "Pixel size", f"µm per pixel of {name}:", 0.5, 0.01, 20.0, 4)
        return size if given else None


def saved_channel(layer: Any, section: Path, mpp: float) -> Path:
    """The file behind a layer of one channel, or one written beside the section from its finest level."""
    behind = layer.source.path
    if behind and Path(behind).is_file():
        return Path(behind).absolute()
    data: Any = layer.data[0] if layer.multiscale else layer.data
    if data.ndim != 2 or np.dtype(data.dtype).kind != "u":
        raise InputError(
            f"The layer '{layer.name}' has shape {tuple(data.shape)} of {np.dtype(data.dtype)}.",
            "Take one channel of rows and columns with whole numbers.",
        )
    stem = section.name.removesuffix(".section.zarr")
    return write_image(section.with_name(f"{stem}.{layer.name.replace(' ', '-')}.ome.tif"), data, mpp)
