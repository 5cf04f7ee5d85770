"""The sample while it is made: what is done, how far it is, and a way to stop."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import Cancelled
from napari_pixelgene.progress import TimeLeft, event_from

if TYPE_CHECKING:
    from napari_pixelgene.gui.dock import Dock

# Where in the whole each stage begins and ends, as timed.
_SPANS = {
    "transcripts": (0.0, 0.06),
    "morphology": (0.07, 0.09),
    "histology": (0.10, 0.18),
    "features": (0.22, 0.55),
    "fit": (0.57, 0.75),
    "predict": (0.76, 0.79),
}
# After the maps it trains once more, on blocks, for the scores.
_SCORING = (0.80, 0.98)
_WHAT = "The sample is made, only once: about a minute.\n{stage}"


class SampleProgress:
    """Shows the child's progress on a dock's loading page; `hear` is its listener."""

    def __init__(self, dock: Dock) -> None:
        self._dock, self._left = dock, TimeLeft()
        self._cancelled = False
        self._predicted = False
        self._reached = 0.0
        dock.show_loading(_WHAT.format(stage="starting…"), None, self.cancel)

    def cancel(self) -> None:
        """Stop at the next word."""
        self._cancelled = True

    def hear(self, values: dict[str, Any]) -> None:
        """Show one event; raises Cancelled once a person has asked."""
        if self._cancelled:
            raise Cancelled
        event = event_from(values)
        if event is None:
            return
        self._left.take(event)
        self._predicted |= self._left.stage == "predict"
        scoring = self._predicted and self._left.stage == "fit"
        begin, end = _SCORING if scoring else _SPANS.get(self._left.stage, (0.0, 0.0))
        self._reached = max(self._reached, begin + (end - begin) * (self._left.fraction or 0.0))
        self._dock.show_loading(_WHAT.format(stage=f"now: {self._left.stage}"), self._reached, self.cancel)
