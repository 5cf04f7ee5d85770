"""Small JSON documents: plain values in, one atomic replacement of the file out.

The attributes of a group are such a document (`zarr.json`); they are read from the file each time, because
another process (a run) may have changed them since.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import BaseModel

from napari_pixelgene.errors import StoreError

NAMESPACE = "napari_pixelgene"


def plain(value: Any) -> Any:
    """`value` in JSON's own types; NaN and infinity, which JSON has not, become null."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value.as_posix() if isinstance(value, Path) else value


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file, or the error that names it."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StoreError(f"There is no file {path}.", "The section is incomplete: run that stage again.") from None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise StoreError(f"{path} is not valid JSON: {error}.", "Restore it, or run that stage again.") from None
    if not isinstance(value, dict):
        raise StoreError(f"{path} holds no JSON object.", "Restore it, or run that stage again.")
    return value


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Replace `path` in one step: whoever reads sees the old document or the new one."""
    text = json.dumps(plain(value), ensure_ascii=False, allow_nan=False, indent=1)
    write_bytes(path, text.encode("utf-8"))


def write_bytes(path: Path, content: bytes) -> None:
    """Replace a file in one step, on the disk before it is in sight."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def read_attributes(group: Path) -> dict[str, Any]:
    """What stands under `napari_pixelgene` in a group's attributes, {} when there is nothing."""
    value = read_json(group / "zarr.json").get("attributes", {}).get(NAMESPACE, {})
    return value if isinstance(value, dict) else {}


def update_attributes(group: Path, changes: Mapping[str, Any]) -> None:
    """Change some of a group's attributes under `napari_pixelgene`, and leave the rest."""
    document = read_json(group / "zarr.json")
    document.setdefault("attributes", {}).setdefault(NAMESPACE, {}).update(changes)
    write_json(group / "zarr.json", document)


def write_group(group: Path, attributes: Mapping[str, Any]) -> None:
    """Make a folder a Zarr v3 group with these attributes under `napari_pixelgene`."""
    group.mkdir(parents=True, exist_ok=True)
    document = {"zarr_format": 3, "node_type": "group", "attributes": {NAMESPACE: attributes} if attributes else {}}
    write_json(group / "zarr.json", document)
