"""A Xenium output folder: experiment, gene list, transcripts, morphology. 10x's names are spelled here and beside.

Positions of a run are µm from the outer corner of the morphology image's first pixel, so that morphology
pixels are µm divided by `pixel_size` (10x state no half pixel; it would be 0.1 µm).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.capture import Capture
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers import xenium_transcripts
from napari_pixelgene.readers.xenium_cells import MATRIX, gene_table, read_boundaries, read_cells, read_features

__all__ = [
    "find_bundle",
    "find_morphology",
    "find_transcripts",
    "read_boundaries",
    "read_cells",
    "read_experiment",
    "read_morphology",
    "read_xenium",
]

EXPERIMENT = "experiment.xenium"
PANEL = "gene_panel.json"
_FOCUS_FOLDER = "morphology_focus"
_SINGLE_FILES = ("morphology_focus.ome.tif", "morphology_mip.ome.tif")
_CHANNEL_NUMBER = re.compile(r"^ch\d{4}_(?=.)")  # XOA 4 names its files ch0000_dapi.ome.tif
_TIFF_ENDS = (".ome.tif", ".ome.tiff")


def read_xenium(bundle: Path, on_event: OnEvent = silent, min_qv: float = 20.0, name: str = "") -> Capture:
    """A run as a stream of accepted transcripts (`stage_um`) with its morphology channels.

    `bundle` is the output folder or its `experiment.xenium`; `name` defaults to the region's. Genes come from the
    feature matrix, else the panel, else the transcripts. What is left out is told by notes.
    """
    bundle = find_bundle(Path(bundle))
    experiment = read_experiment(bundle)
    pixel_um = _pixel_size(bundle, experiment)
    table = xenium_transcripts.open_table(find_transcripts(bundle), min_qv)
    found = xenium_transcripts.survey(table, min_qv, on_event)
    genes = _gene_list(bundle, found.seen, on_event)
    stream = xenium_transcripts.stream(table, genes, found, min_qv, on_event)
    return Capture(
        name or str(experiment.get("region_name") or bundle.name),
        "xenium",
        genes,
        transcripts=stream,
        morphology=_morphology(bundle, pixel_um, on_event),
        stage_to_morphology=Transform(np.diag([1 / pixel_um, 1 / pixel_um, 1.0]), "stage_um", "morphology_px"),
    )


def find_bundle(path: Path) -> Path:
    """The folder that holds `experiment.xenium`, or the error that says which folder to give."""
    folder = path.parent if path.name == EXPERIMENT else path
    if (folder / EXPERIMENT).is_file():
        return folder
    if not folder.exists():
        raise InputError(f"There is no folder {folder}.", "Check the path.")
    if not folder.is_dir():
        raise InputError(
            f"{folder} is not a Xenium output folder.", f"Give the folder that holds {EXPERIMENT}, unpacked."
        )
    below = sorted({each.parent for pattern in ("*/", "*/*/") for each in folder.glob(pattern + EXPERIMENT)})
    if below:
        mend = f"Give {' or '.join(str(each) for each in below[:3])}."
    elif (folder.parent / EXPERIMENT).is_file():
        mend = f"Give {folder.parent}."
    else:
        mend = "Give the output folder of one region, with all its files."
    state = f"has no {EXPERIMENT}" if any(folder.iterdir()) else "is empty"
    raise InputError(f"{folder} {state}.", mend)


def read_experiment(bundle: Path) -> Mapping[str, Any]:
    """The fields of `experiment.xenium`: pixel size, versions, names, paths."""
    path = bundle / EXPERIMENT
    try:
        fields = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.", "Copy it again from its source.") from None
    if not isinstance(fields, dict):
        raise InputError(f"{path} is not a table of fields.", "Copy it again from its source.")
    return fields


def _pixel_size(bundle: Path, experiment: Mapping[str, Any]) -> float:
    value = experiment.get("pixel_size")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0.01 < value < 10:
        raise InputError(
            f"{bundle / EXPERIMENT}: the field 'pixel_size' is {value!r}.",
            "It must be the µm per pixel of the morphology image (Xenium: 0.2125).",
        )
    return float(value)


# Genes


def _gene_list(bundle: Path, seen: Mapping[str, int], on_event: OnEvent) -> GeneTable:
    """Of the feature matrix, else the panel, else the names that transcripts of genes carry, sorted."""
    if (bundle / MATRIX).is_file():
        features = read_features(bundle / MATRIX)
        return gene_table(features.genes, bundle / MATRIX, on_event)
    if (bundle / PANEL).is_file():
        return gene_table(_panel(bundle / PANEL), bundle / PANEL, on_event)
    on_event(Note(f"{bundle.name} has neither {MATRIX} nor {PANEL}: the genes are those its transcripts name."))
    return GeneTable(tuple(sorted(seen)))


def _panel(path: Path) -> list[tuple[str, str]]:
    """(id, symbol) of the targets that are genes."""
    try:
        targets = json.loads(path.read_text(encoding="utf-8"))["payload"]["targets"]
        kinds = [target["type"] for target in targets]
        data = [kind["data"] for kind in kinds if kind["descriptor"] == "gene"]
        return [(str(gene.get("id") or gene["name"]), str(gene["name"])) for gene in data]
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is not a gene panel ({error!r}).", "Copy it again from its source.") from None


def find_transcripts(bundle: Path) -> Path:
    """The table of transcripts of an output folder."""
    for each in xenium_transcripts.FILE_NAMES:
        if (bundle / each).is_file():
            return bundle / each
    raise InputError(
        f"{bundle} has none of {', '.join(xenium_transcripts.FILE_NAMES)}.", "Give the whole output folder of the run."
    )


# Morphology


def find_morphology(bundle: Path) -> list[Path]:
    """The focus images: a folder with one file a channel (from XOA 2 on), else a single file, else none."""
    folder = bundle / _FOCUS_FOLDER
    if folder.is_dir():
        several = sorted(each for each in folder.iterdir() if each.name.lower().endswith(_TIFF_ENDS))
        if several:
            return several
    return [bundle / each for each in _SINGLE_FILES if (bundle / each).is_file()][:1]


def read_morphology(bundle: Path, on_event: OnEvent = silent) -> tuple[Image, ...]:
    """The channels of the morphology image alone, without a look at the transcripts."""
    bundle = find_bundle(Path(bundle))
    return _morphology(bundle, _pixel_size(bundle, read_experiment(bundle)), on_event)


def _morphology(bundle: Path, pixel_um: float, on_event: OnEvent) -> tuple[Image, ...]:
    from napari_pixelgene.readers.tiff import read_channels  # tifffile and zarr, only where there is an image

    files = find_morphology(bundle)
    if not files:
        on_event(Note(f"{bundle.name} has no morphology image; there is nothing to register by eye.", "warning"))
    channels = (image for file in files for image in read_channels(file, pixel_um, on_event))
    return tuple(replace(image, name=_CHANNEL_NUMBER.sub("", image.name)) for image in channels)
