"""Marks that follow from where a test lies, so that none can be forgotten."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parent
# CI repeats these with the core installed alone: the flow and the command line, end to end.
HEADLESS = {"pipeline", "cli", "simulate"}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """tests/gui is `gui`; the rooms that run the whole engine are `headless`."""
    for item in items:
        room = item.path.relative_to(ROOT).parts[0] if item.path.is_relative_to(ROOT) else ""
        if room == "gui":
            item.add_marker("gui")
        if room in HEADLESS:
            item.add_marker("headless")
