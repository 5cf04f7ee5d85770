"""Pairs for other programs' own landmark files: BigWarp's CSV, and two elements of a SpatialData store.

The readers of the same formats say what they hold: `readers/bigwarp.py`, `readers/spatialdata_landmarks.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from napari_pixelgene.elements.alignment import Frame, Keypoints
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.errors import InputError
from napari_pixelgene.exporters.alignments import pairs_of_both, write_text
from napari_pixelgene.readers.spatialdata_elements import is_store, names, require_package
from napari_pixelgene.readers.spatialdata_landmarks import LANDMARKS

# Circles that can be seen, in units of the landmarks.
_RADIUS = 10.0


def write_bigwarp(path: Path | str, keypoints: Keypoints, pixels: tuple[float, float] = (1.0, 1.0)) -> None:
    """BigWarp's landmarks, moving = morphology and fixed = H&E, all pairs with their switches.

    `pixels` are the sizes of a morphology and of an H&E pixel as ImageJ knows them; 1 where the images have no pixel
    size there. BigWarp's 0 is the centre of the first pixel.
    """
    moving, fixed, on = pairs_of_both(keypoints)
    table = np.hstack([(moving - 0.5) * pixels[0], (fixed - 0.5) * pixels[1]])
    rows = []
    for i, (numbers, switch) in enumerate(zip(table.tolist(), on.tolist(), strict=True)):
        cells = [f"Pt-{i}", str(switch).lower(), *map(repr, numbers)]
        rows.append(",".join(f'"{cell}"' for cell in cells) + "\n")
    write_text(path, "".join(rows))


def write_landmarks(store: Path | str, keypoints: Keypoints, called: tuple[str, str] = LANDMARKS) -> None:
    """Two elements of circles in a SpatialData store, a new one or one that is there: moving and fixed points.

    Enabled pairs only, since who aligns by them knows no switch. Each element lies in a coordinate system with the name
    of its frame. Elements of these names that are there already are an error. Needs the extra `spatialdata`.
    """
    path = Path(store)
    require_package()
    import spatialdata

    if path.exists() and not is_store(path):
        raise InputError(f"{path} is there and no SpatialData store.", "Give another name.")
    there = [name for name in called if path.exists() and name in (*names(path, "shapes"), *names(path, "points"))]
    if there:
        raise InputError(f"{path} has '{there[0]}' already.", "Give the landmarks other names, or another store.")
    on = keypoints.enabled
    sides = (keypoints.moving_xy[on], keypoints.moving_frame), (keypoints.fixed_xy[on], keypoints.fixed_frame)
    made = {name: _circles(*side) for name, side in zip(called, sides, strict=True)}
    if not path.exists():
        spatialdata.SpatialData(shapes=made).write(path)
        return
    kept = spatialdata.read_zarr(path, selection=("shapes",))
    for name, shapes in made.items():
        kept.shapes[name] = shapes
        kept.write_element(name)


def _circles(xy: FloatArray, frame: Frame) -> Any:
    from spatialdata.models import ShapesModel
    from spatialdata.transformations import Identity

    where = {frame: Identity()}
    return ShapesModel.parse(np.asarray(xy, dtype=np.float64), geometry=0, radius=_RADIUS, transformations=where)
