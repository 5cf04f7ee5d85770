"""What a Zarr folder says of itself, by its one small file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def zarr_attributes(folder: Path) -> dict[str, Any]:
    """The attributes of the root group, Zarr 2 or 3; {} for anything else."""
    for name in ("zarr.json", ".zattrs"):
        try:
            document = json.loads((folder / name).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
        found = document.get("attributes", {}) if name == "zarr.json" else document
        return found if isinstance(found, dict) else {}
    return {}
