"""napari's way in for `NAME.section.zarr`: claims nothing else, and opens without reading."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui.layers import (
    KEY,
    LayerData,
    first_gene,
    he_layer,
    map_layer,
    measured_layer,
    morphology_layer,
)
from napari_pixelgene.progress import Event, Note

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.showing import ShownSection

_SUFFIX = ".section.zarr"
Reader = Callable[[str], list[LayerData]]


def get_reader(path: str | Sequence[str]) -> Reader | None:
    """napari asks whether a path is ours. Reads one small file, and only of a folder with our ending."""
    if not isinstance(path, str | Path):
        return None
    folder = Path(path)
    return read_for_napari if folder.name.endswith(_SUFFIX) and _is_section(folder) else None


def _is_section(folder: Path) -> bool:
    try:
        document = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        return KEY in document["attributes"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


def read_for_napari(path: str) -> list[LayerData]:
    """The section's layers; a fault a person can mend becomes a notification and no layer."""
    from napari.utils.notifications import show_error

    try:
        layers = read_section(Path(path))
    except PixelGeneError as error:
        show_error(str(error))
        return [(None,)]  # type: ignore[list-item]  # napari's word for "read, and there is nothing"
    show_scale_bar()
    return layers


def read_section(path: Path) -> list[LayerData]:
    """Layers from bottom to top: H&E, morphology, measured, map. Raises PixelGeneError when it cannot be opened."""
    from napari_pixelgene.pipeline.showing import open_section
    from napari_pixelgene.store.section import SectionStore

    return section_layers(open_section(SectionStore.open(path, writable=False), tell))


def section_layers(shown: ShownSection) -> list[LayerData]:
    """The layer tuples of what was opened. The first channel of a run, its nuclei, is visible."""
    layers = [he_layer(shown.he, shown.path)]
    captures = [name for name, _ in shown.morphology]
    for i, (capture, image) in enumerate(shown.morphology):
        layers.append(morphology_layer(image, shown.path, capture, visible=capture not in captures[:i]))
    if shown.maps is not None and len(shown.maps.genes):
        layers.append(measured_layer(shown.maps, shown.path))
        layers.append(map_layer(shown.maps, shown.best_gene or first_gene(shown.maps), shown.path))
    return layers


def tell(event: Event) -> None:
    """Notes become napari's notifications."""
    from napari.utils.notifications import show_info, show_warning

    if isinstance(event, Note):
        (show_warning if event.level == "warning" else show_info)(event.text)


def show_scale_bar() -> None:
    """Turn the scale bar of the active viewer on."""
    from napari import current_viewer

    viewer = current_viewer()
    if viewer is not None:
        show_scale_bar_of(viewer)


def show_scale_bar_of(viewer: Any) -> None:
    """Turn a viewer's scale bar on, boxed so that it reads on a white slide."""
    bar = viewer.canvas.overlays.scale_bar
    bar.visible, bar.box = True, True
