"""Whether a capture is of the very section that the slide shows, or of a neighbouring one: what a person said of it.

Neighbouring (serial) sections share no nuclei, so that their registration is judged by pairs and outlines.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from napari_pixelgene.pipeline.slide import require_capture

if TYPE_CHECKING:
    from napari_pixelgene.elements.verdict import Sections
    from napari_pixelgene.store.section import SectionStore

_KEY = "sections"


def mark_sections(store: SectionStore, capture: str | None, sections: Sections) -> str:
    """Keep that a capture and the slide are the same section, serial ones, or that nobody knows; returns its name.

    A verdict that was made under another mark is out of date then.
    """
    name = require_capture(store, capture).name
    others = {key: value for key, value in _marks(store).items() if key != name}
    store.update_meta(_KEY, others if sections == "unknown" else {**others, name: sections})
    return name


def marked_sections(store: SectionStore, capture: str) -> Sections:
    """What was said of a capture; unknown where nothing was."""
    return _marks(store).get(capture, "unknown")


def _marks(store: SectionStore) -> dict[str, Sections]:
    found: dict[str, Sections] = store.meta().get(_KEY, {})
    return found
