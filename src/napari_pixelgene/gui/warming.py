"""What the first section would have to wait for, made ready while a person looks for it.

The libraries that read sections take a second or two to load, napari loads others with its first layer and compiles the
colours of labels when they are drawn first: in a thread of its own none of it is noticed, in the window's all of it is.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import cache


@cache
def warm_up() -> threading.Thread:
    """Begin, once in a process; gives the thread."""
    _units()
    thread = threading.Thread(target=_warm, name="pixelgene: warming up", daemon=True)
    thread.start()
    return thread


def _units() -> None:
    """pint reads its units at the first use, which two threads must not do at once: here, where layers come from."""
    import pint

    pint.get_application_registry().Quantity(1, "pixel")  # type: ignore[no-untyped-call]


def _warm() -> None:
    for step in (_load, _a_layer, _colours_of_labels):
        with suppress(Exception):  # whoever needs it says what is wrong with it
            step()


def _load() -> None:
    import napari_pixelgene.gui.reader
    import napari_pixelgene.pipeline.measured_maps
    import napari_pixelgene.pipeline.moving
    import napari_pixelgene.pipeline.showing  # noqa: F401
    from napari_pixelgene.pipeline.sources.registry import SOURCES, source_class

    for kind in SOURCES:
        source_class(kind)


def _a_layer() -> None:
    """What napari loads with the first layer: units, xarray; no viewer sees this one."""
    import numpy as np
    from napari.layers import Image

    Image(np.zeros((2, 2)), units=("µm", "µm"))


def _colours_of_labels() -> None:
    import numpy as np
    from napari.utils import DirectLabelColormap

    DirectLabelColormap(color_dict={None: (0.0, 0.0, 0.0, 0.0), 1: (1.0, 1.0, 1.0, 1.0)}).map(
        np.ones(1, dtype=np.uint8)
    )
