"""Sections that were open before, newest first, kept with the person's state."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path

_MOST = 12


def recent() -> list[Path]:
    """Those that are still there."""
    try:
        listed = json.loads(_file().read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return []
    return [Path(each) for each in listed if isinstance(each, str) and Path(each).is_dir()]


def remember(path: Path) -> None:
    """Put a section on top of the list. A list that cannot be written is no reason to stop."""
    paths = [path, *(each for each in recent() if each != path)][:_MOST]
    with suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        _file().write_text(json.dumps([str(each) for each in paths], indent=1), encoding="utf-8")


def _file() -> Path:
    from platformdirs import user_state_path

    return user_state_path("napari-pixelgene", appauthor=False) / "recent.json"
