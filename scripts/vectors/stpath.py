"""Rows of STPath: a file has a row for each of its top-level names, or one row named "*" for all of it."""

from __future__ import annotations

from rows import Row

ROWS: dict[str, dict[str, Row]] = {}
