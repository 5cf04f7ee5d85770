"""Transcripts: too many to hold, so they come in batches."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from napari_pixelgene.elements.alignment import Frame
from napari_pixelgene.elements.arrays import FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable


@dataclass(frozen=True, slots=True)
class TranscriptBatch:
    """Some accepted transcripts: positions (n, 2) in the frame of their `Transcripts`, gene codes (n,) int32."""

    xy: FloatArray
    gene: IntArray


@dataclass(frozen=True, slots=True)
class Transcripts:
    """Accepted transcripts of a run, streamed. `batches()` starts again from the first row each time.

    `rows` counts the file's rows before filters. `filters` says in words what was left out
    (QV threshold, control classes), so that reports can repeat it.
    """

    path: Path
    genes: GeneTable
    rows: int
    batches: Callable[[], Iterator[TranscriptBatch]]
    frame: Frame = "stage_um"
    filters: Mapping[str, str] = field(default_factory=dict)
