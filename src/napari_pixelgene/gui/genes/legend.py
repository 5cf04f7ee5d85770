"""A colour bar with gene and unit on the canvas, whenever a map is shown: boxed, so that it reads on any slide.

napari draws both: each image layer has a colour bar, and the canvas takes text of ours. Predicted on the right,
measured on the left unless it shares the bar.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

PREDICTED, MEASURED = "pixelgene_predicted", "pixelgene_measured"
_CORNERS = {PREDICTED: "top_right", MEASURED: "top_left"}
_BAR_PX = (20, 150)


@dataclass(frozen=True, slots=True)
class Legend:
    """What stands beside a bar, line by line; nothing means no bar."""

    predicted: str = ""
    measured: str = ""


def legend(gene: str, predicted_unit: str, measured_unit: str, shown: tuple[bool, bool], linked: bool) -> Legend:
    """The words for what is shown, (predicted, measured); linked maps share one bar."""
    predicted, measured = shown
    if predicted and measured and linked:
        return Legend(f"{gene}\npredicted and measured\n{measured_unit}")
    return Legend(
        f"{gene}\npredicted\n{predicted_unit}" if predicted else "",
        f"{gene}\nmeasured\n{measured_unit}" if measured else "",
    )


def draw_legend(viewer: Any, says: Legend, predicted: Any | None, measured: Any | None) -> None:
    """Bring the canvas in line with the words; the layers may be gone."""
    for key, text, layer in ((PREDICTED, says.predicted, predicted), (MEASURED, says.measured, measured)):
        _write(viewer, key, text if layer is not None else "")
        _bar(layer, key, bool(text))


def _write(viewer: Any, key: str, text: str) -> None:
    """Text of ours in its corner, taken away when there is none."""
    canvas = viewer.canvas
    found = canvas.overlays.get(key)
    if found is None and text:
        from napari.components.overlays import TextOverlay

        canvas.overlay_tiling.top_right = canvas.overlay_tiling.top_left = "vertical"
        canvas.overlays[key] = TextOverlay(text=text, position=_CORNERS[key], visible=True, box=True)
    elif found is not None and text:
        if found.text != text:
            found.text = text
    elif found is not None:
        del canvas.overlays[key]


def _bar(layer: Any | None, key: str, shown: bool) -> None:
    if layer is None:
        return
    bar = layer.colorbar
    if shown and not bar.visible:
        bar.position, bar.size, bar.box = _CORNERS[key], _BAR_PX, True
    if bar.visible != shown:
        bar.visible = shown
