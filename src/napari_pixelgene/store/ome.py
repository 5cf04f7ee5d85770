"""OME-Zarr 0.5 metadata of maps and of masks over the grid.

The first axis is `gene`, of type `gene`: a `channel` would make viewers ask for one layer a gene. A level's
translation puts the centre of its first pixel at half its own pixel size, for 0 is the outer corner.
"""

from __future__ import annotations

from typing import Any

VERSION = "0.5"


def multiscales(name: str, levels: int, superpixel_um: float, genes: bool) -> dict[str, Any]:
    """The `ome` attribute of a group with levels "0", "1", … of (gene, y, x) or (y, x), each half of the one before;
    how they were made is said where there are several."""
    space = [{"name": axis, "type": "space", "unit": "micrometer"} for axis in ("y", "x")]
    return {
        "version": VERSION,
        "multiscales": [
            {
                "name": name,
                "axes": [{"name": "gene", "type": "gene"}, *space] if genes else space,
                "datasets": [_dataset(level, superpixel_um * 2**level, genes) for level in range(levels)],
                **({"type": "mean"} if levels > 1 else {}),
            }
        ],
    }


def _dataset(level: int, pixel_um: float, genes: bool) -> dict[str, Any]:
    first = ([1.0], [0.0]) if genes else ([], [])
    scale, translation = [*first[0], pixel_um, pixel_um], [*first[1], pixel_um / 2, pixel_um / 2]
    return {
        "path": str(level),
        "coordinateTransformations": [
            {"type": "scale", "scale": scale},
            {"type": "translation", "translation": translation},
        ],
    }
