"""From which percentile to which a channel's grey reaches, as a person left it: of one session, kept in its section.

A channel is named by its capture and its own name, so that other sections' settings never meet.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from psygnal import Signal

from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.layers import PERCENTILES, percentile_limits

Percent = tuple[float, float]


class Contrasts:
    """The percentiles of each channel of each capture. `changed` when a person sets them, or a section is opened."""

    changed = Signal()

    def __init__(self) -> None:
        self._percent: dict[str, Percent] = {}

    def of(self, capture: str, channel: str) -> Percent:
        """The percentiles of a channel, by default those of every layer."""
        return self._percent.get(_key(capture, channel), PERCENTILES)

    def keep(self, capture: str, channel: str, percent: Percent) -> None:
        """Remember them."""
        self._percent[_key(capture, channel)] = percent
        self.changed.emit()

    def limits(self, capture: str, image: Image) -> Percent:
        """The display limits they give, by the pixels of the coarsest level."""
        return percentile_limits(np.asarray(image.levels[-1]), self.of(capture, image.name))

    def kept(self) -> dict[str, Percent]:
        """All that were set, by "capture/channel"."""
        return dict(self._percent)

    def take(self, kept: Mapping[str, Percent]) -> None:
        """Those of another section."""
        if dict(kept) != self._percent:
            self._percent = dict(kept)
            self.changed.emit()


def _key(capture: str, channel: str) -> str:
    return f"{capture}/{channel}"
