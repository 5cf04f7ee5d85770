"""What a window shows of a section: the slide, the run's images drawn onto it, the maps. Opened, not read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.looks import CLUSTERS
from napari_pixelgene.pipeline.moving import open_moving
from napari_pixelgene.pipeline.slide import of_several, open_morphology, open_slide, require_capture
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.stages.warping import warped_pyramid
from napari_pixelgene.store.maps import read_maps
from napari_pixelgene.store.scores import read_scores

if TYPE_CHECKING:
    from pathlib import Path

    from napari_pixelgene.elements.alignment import Transform
    from napari_pixelgene.elements.expression import Expression
    from napari_pixelgene.elements.image import Image
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore


@dataclass(frozen=True, slots=True)
class ShownSection:
    """A section's lazy parts. `morphology` holds (capture, channel on the H&E's pixels), `maps` one run's maps;
    `best_gene` is the one with the highest held-out score, empty where nothing was scored."""

    path: Path
    he: Image
    morphology: tuple[tuple[str, Image], ...] = ()
    maps: Expression | None = None
    best_gene: str = ""


def open_section(store: SectionStore, on_event: OnEvent = silent) -> ShownSection:
    """Everything that can be shown. What cannot (a run that moved, or is not registered yet) is told by notes."""
    he = open_slide(store)
    runs = store.mapped_runs()
    if len(runs) > 1:
        on_event(Note(f"{store.path.name} has maps of {', '.join(runs)}; those of '{runs[0]}' are shown."))
    morphology = [(name, image) for name in store.captures() for image in _drawn(store, name, he, on_event)]
    maps = read_maps(store, runs[0]) if runs else None
    return ShownSection(store.path, he, tuple(morphology), maps, _best(store, maps))


def _best(store: SectionStore, maps: Expression | None) -> str:
    """The gene of the maps that scored highest on held-out tissue."""
    scores = read_scores(store, maps.run) if maps is not None else None
    if maps is None or scores is None:
        return ""
    columns = scores.table()
    mapped = set(maps.genes.symbols)
    rows = zip(columns.get("gene", ()), columns.get("log_pearson", ()), strict=False)
    ranked = [(float(r), str(gene)) for gene, r in rows if gene in mapped and r is not None and np.isfinite(r)]
    return max(ranked)[1] if ranked else ""


def _drawn(store: SectionStore, name: str, he: Image, on_event: OnEvent) -> tuple[Image, ...]:
    """A capture's morphology channels, warped onto the H&E."""
    capture = require_capture(store, name)
    if capture.stage_to_morphology is None:
        return ()
    to_he = morphology_to_he(capture)
    if to_he is None:
        register = f"Register it: pixelgene register {store.path.name}{of_several(store, name)}"
        text = f"The run '{name}' of {store.path.name} is not registered to the H&E yet, so its images are not drawn."
        on_event(Note(f"{text} {register} --keypoints FILE", "warning"))
        return ()
    try:
        channels = open_morphology(store, capture, on_event)
    except PixelGeneError as error:  # the slide and the maps can be looked at all the same
        on_event(Note(f"The images of the run '{name}' are not shown. {error}", "warning"))
        return ()
    return tuple(warped_pyramid(channel, to_he, he.yx_shape, he.require_mpp()) for channel in channels)


def drawn_capture(store: SectionStore, name: str, he: Image, on_event: OnEvent = silent) -> Image | None:
    """A registered capture on the H&E's pixels, by its image or, where it has none, by its units' clusters; None for
    one that is not registered."""
    capture = require_capture(store, name)
    if capture.to_he is None:
        return None
    moving = open_moving(store, name, on_event)
    image = next((channel for channel in moving.channels if channel.name == CLUSTERS), moving.channels[0])
    drawn_by = moving.drawn_by(moving.transform_from_here(capture.to_he))
    return warped_pyramid(image, drawn_by, he.yx_shape, he.require_mpp())


def morphology_to_he(capture: StoredCapture) -> Transform | None:
    """From morphology pixels to H&E pixels, whichever of the run's frames was registered; None before that."""
    to_he = capture.to_he
    if to_he is None or to_he.source == "morphology_px" or capture.stage_to_morphology is None:
        return to_he
    return capture.stage_to_morphology.inverse().then(to_he)
