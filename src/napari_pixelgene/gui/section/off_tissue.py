"""What was measured off the tissue, as points over the slide."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.pipeline.checking import off_tissue

if TYPE_CHECKING:
    from napari_pixelgene.gui.session import Session

# More points than this make the canvas slow and show nothing more.
_MOST = 20_000


def show_off_tissue(session: Session) -> None:
    """Add or replace the layer of places off the tissue, for all captures."""
    store = session.require()
    found = [each for name in store.captures() if (each := off_tissue(store, name)) is not None]
    xy = np.concatenate([each.xy_um for each in found]) if found else np.zeros((0, 2))
    if len(xy) > _MOST:
        xy = xy[np.random.default_rng(0).choice(len(xy), _MOST, replace=False)]
    old = session.layer("off tissue")
    if old is not None:
        session.viewer.layers.remove(old)
    look = {
        "name": "off the tissue",
        "size": 16,
        "face_color": "#ff00c8",
        "border_color": "white",
        "border_width": 0.1,
        "units": ("µm", "µm"),
        "metadata": {KEY: {"role": "off tissue", "section": str(store.path)}},
    }
    session.add((xy[:, ::-1], look, "points"))
