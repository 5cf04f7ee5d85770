"""A copy of a section elsewhere, still referring to the files of the original."""

from __future__ import annotations

import json
from pathlib import Path


def move_references(section: Path, old_home: Path) -> None:
    """Make the references of a copied section, which were relative to `old_home`, absolute."""
    for folder in (section, *(each for each in section.glob("captures/*") if each.is_dir())):
        document = json.loads((folder / "zarr.json").read_text(encoding="utf-8"))
        for reference in document["attributes"]["napari_pixelgene"]["references"].values():
            reference["path"] = str((old_home / reference["path"]).resolve())
        (folder / "zarr.json").write_text(json.dumps(document), encoding="utf-8")
