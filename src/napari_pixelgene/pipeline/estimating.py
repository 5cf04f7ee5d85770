"""What a run will cost, told before anybody presses Run: time, memory and disk, from sizes and not from pixels.

Good to a factor of two or three on a machine like the one it was measured on; the words it is said in are as round.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psutil

from napari_pixelgene.encoders.registry import get_encoder
from napari_pixelgene.models.base import TorchModel, TorchSettings
from napari_pixelgene.models.registry import model_class
from napari_pixelgene.models.units import ENOUGH_COUNTS
from napari_pixelgene.pipeline.choosing import choose_captures, holds
from napari_pixelgene.pipeline.learning import FitSettings, choose_device
from napari_pixelgene.pipeline.slide import is_streamed
from napari_pixelgene.progress import Note
from napari_pixelgene.readers.gene_list import read_gene_list
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.disk import in_words
from napari_pixelgene.store.tissue import read_tissue

if TYPE_CHECKING:
    from napari_pixelgene.settings import Section
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

# Measured with `python benchmarks/estimates.py` on one thread of an x86-64 server core (AVX-512, November 2026), in
# processor seconds so that neighbours do not count. More threads help little with networks this small; nothing is
# taken off for them. No GPU has been measured.
_START_S = 4.0  # Python, torch, opening files
_STAGE_S = 0.5  # beginning a stage
_TILE_S = 0.6  # stain_texture on a tile of 64 × 64 superpixels, reading included
_TRANSCRIPT_S = 0.4e-6  # binning
_FLOPS = 70e9  # multiply-adds count twice; a training step is three forward passes
_LOSS_S = 28e-9  # likelihood, per unit, gene and member
_RUNNING_SCORE_S = 65e-9  # held-out r of an epoch, per unit, gene and partition
_GATHER_S = 0.2e-3  # counts, features and folds of a unit
_WRITE_S = 220e-9  # decoding, packing and coarse levels, per superpixel and gene
_SCORE_S = 2.3e-6  # controls, shuffles and ceiling, per unit and gene
_EPOCHS_USED = 0.7  # of those allowed; the rest is saved by stopping early
# Bytes. Maps: float16, packed, coarse levels included. A scored gene keeps two predictions and its controls.
_BASE_BYTES, _TILE_BYTES = 0.5e9, 0.45e9
_MAP_BYTES, _SCORED_BYTES, _LEARNED_BYTES, _COUNT_BYTES = 2.0, 64.0, 12.0, 36.0
_DECODED_BYTES = 0.65e9
# The genes that STPath knows, and the numbers of a point it reads.
_VOCABULARY, _POINT_CHANNELS = 38_982, 1536
# Where the tissue has not been found yet, so much of a slide is taken for tissue.
_USUAL_TISSUE = 0.6
_TILE = 64
_NETWORKS = 2  # the snapshots of composition and total


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a run takes. `parts` are the seconds of each stage; `notes` say what is not known or will not do; `is_least`
    that model or encoder take longer than what was measured."""

    seconds: float
    memory_bytes: float
    disk_bytes: float
    notes: tuple[Note, ...] = ()
    parts: Mapping[str, float] = field(default_factory=dict)
    is_least: bool = False

    @property
    def enough(self) -> bool:
        """Whether memory and disk will do."""
        return not any(note.level == "warning" for note in self.notes)

    def __str__(self) -> str:
        """As a person says it: About 4 min · 1.2 GB memory · 310 MB on disk."""
        time, memory, disk = duration_in_words(self.seconds), self.memory_bytes, self.disk_bytes
        time = f"at least {time.removeprefix('about ')}" if self.is_least else time
        return f"{time[0].upper()}{time[1:]} · {rounded_size(memory)} memory · {rounded_size(disk)} on disk"


@dataclass(frozen=True, slots=True)
class _Slide:
    """Sizes of a section, in superpixels and units."""

    store: SectionStore
    grid: tuple[int, int]
    tissue: float
    is_tissue_known: bool

    @property
    def tiles(self) -> float:
        """Tiles of features that hold tissue; its rim touches more than its area fills."""
        rows, columns = (-(-n // _TILE) for n in self.grid)
        everywhere = float(rows * columns)
        share = self.tissue / max(self.grid[0] * self.grid[1], 1)
        return max(1.0, min(everywhere, 1.2 * share * everywhere + math.sqrt(everywhere)))


@dataclass(frozen=True, slots=True)
class _Learning:
    """What training means in numbers."""

    units: float
    samples: float  # superpixels of a unit in one step
    genes: int
    members: int
    partitions: int
    channels: int
    settings: Section
    is_likelihood: bool
    transcripts: float = 0.0
    effort: float = 1.0

    @property
    def network_flops(self) -> float:
        """One forward pass of one network at one superpixel."""
        hidden = float(getattr(self.settings, "hidden", 0))
        rank = float(
            getattr(self.settings, "rank", 24) if self.is_likelihood else getattr(self.settings, "components", 8)
        )
        mix = rank * self.genes if self.is_likelihood else 0.0
        return float(2 * self.effort * (self.channels * hidden + hidden**2 + hidden * (rank + 1) + mix))

    @property
    def seconds(self) -> float:
        """All epochs that are expected."""
        if not isinstance(self.settings, TorchSettings):  # in closed form
            return self.units * self.channels * (self.channels + self.genes) * 2 / _FLOPS * 2
        units = min(self.units, self.settings.units_per_epoch)
        step = units * self.samples * self.members * 3 * self.network_flops / _FLOPS
        loss = units * self.members * self.genes * _LOSS_S if self.is_likelihood else 0.0
        score = min(self.units, 20_000) * self.partitions * self.genes * _RUNNING_SCORE_S
        return float(_EPOCHS_USED * self.settings.epochs * (step + loss + score))


def estimate(
    sections: Sequence[SectionStore],
    settings: FitSettings | None = None,
    predict: Sequence[SectionStore] = (),
    evaluate: bool = False,
    genes: int | None = None,
) -> Estimate:
    """The cost of a fit on `sections`, of maps over `predict`, and of cross-validated scores where asked for.

    Without `sections` only of maps; `genes` is then how many the run knows. Reads attributes and tissue masks. What
    is finished (features, bins) costs nothing. Raises PixelGeneError as the run itself would.
    """
    settings = settings or FitSettings()
    slides = {s.path.resolve(): _slide(s) for s in (*sections, *predict)}
    trained = [slides[s.path.resolve()] for s in sections]
    mapped = [slides[s.path.resolve()] for s in predict]
    learning = _learning(trained, settings, genes)
    parts = _seconds(list(slides.values()), mapped, learning, settings, bool(trained), evaluate)
    memory = _memory(trained, learning, bool(mapped), evaluate)
    disk = _disk(list(slides.values()), mapped, learning, settings, bool(trained) + bool(trained and evaluate))
    notes = tuple(_notes(list(slides.values()), settings, memory, disk))
    is_least = bool(trained) and bool(_longer(settings))
    return Estimate(sum(parts.values()), memory, disk, notes, parts, is_least)


def duration_in_words(seconds: float) -> str:
    """A time as roughly as it is known: a few seconds, about 40 s, about 4 min, about 2.5 h."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds / 10) * 10} s"
    minutes = seconds / 60
    if minutes < 9.5:
        return f"about {max(1, round(minutes))} min"
    if minutes < 57.5:
        return f"about {round(minutes / 5) * 5} min"
    hours = minutes / 60
    return f"about {round(2 * hours) / 2:g} h" if hours < 4.75 else f"about {round(hours)} h"


def rounded_size(size: float) -> str:
    """Bytes with two digits that count: 310.0 MB is never more than 310 MB."""
    power = max(0, len(str(int(max(size, 1)))) - 2)
    number, _, unit = in_words(round(size / 10**power) * 10**power).partition(" ")
    return f"{float(number):g} {unit}"


def _slide(store: SectionStore) -> _Slide:
    rows, columns = store.meta()["grid"]["yx_shape"]
    known = store.find("tissue", "mask") is not None
    tissue = float(read_tissue(store).mask.sum()) if known else _USUAL_TISSUE * rows * columns
    return _Slide(store, (int(rows), int(columns)), tissue, known)


def _learning(trained: Sequence[_Slide], settings: FitSettings, genes: int | None) -> _Learning:
    own = _own(settings)
    pairs = [(slide, capture) for slide in trained for capture in _captures(slide, settings)]
    captures = [capture for _, capture in pairs]
    there = sum(_units(slide, capture) for slide, capture in pairs)
    units = min(there, settings.max_units)
    streamed, model = all(is_streamed(c) for c in captures), model_class(settings.model)
    transcripts = sum(map(_transcripts, captures))
    joined = model.joins_bins and streamed
    if joined:
        units /= max(1.0, ENOUGH_COUNTS * there / max(transcripts, 1.0))
    recipe = getattr(own, "recipe", "components")
    return _Learning(
        units=units,
        samples=1.0 if streamed and not joined else float(getattr(own, "superpixels_per_unit", 1)),
        genes=genes if genes is not None else _genes(settings.genes, captures),
        members=settings.folds.folds * settings.folds.partitions,
        partitions=settings.folds.partitions,
        channels=_POINT_CHANNELS if _is_at_points(settings) else len(get_encoder(settings.features.encoder).channels),
        settings=own,
        is_likelihood=recipe == "likelihood" or (recipe == "auto" and streamed),
        transcripts=transcripts,
        effort=model.effort if issubclass(model, TorchModel) else 1.0,
    )


def _own(settings: FitSettings) -> Section:
    """The settings of the model itself."""
    return model_class(settings.model).Settings.make(settings.model_settings)


def _captures(slide: _Slide, settings: FitSettings) -> list[StoredCapture]:
    """Those that are learned from, less what would be refused for another section's name."""
    named, without = (
        [n for n in names if holds(slide.store, [n])] for names in (settings.captures, settings.without_captures)
    )
    chosen = choose_captures([slide.store], named, without)[0]
    return [read_capture(slide.store, name) for name in chosen.captures]


def _units(slide: _Slide, capture: StoredCapture) -> float:
    """Units on tissue: of bins at most one a superpixel, and no more than there are transcripts."""
    if not is_streamed(capture):
        return float(capture.units_count)
    if slide.store.find("captures", capture.name, "bins") is not None:
        bins: Any = slide.store.group("captures", capture.name, "bins")["counts/obs/superpixel"]
        return min(float(bins.shape[0]), slide.tissue)
    return min(_transcripts(capture), slide.tissue)


def _transcripts(capture: StoredCapture) -> float:
    return float(capture.transcripts["rows"]) if capture.transcripts else 0.0


def _genes(spec: str, captures: Sequence[StoredCapture]) -> int:
    """How many genes a choice means; those that all sections measured."""
    shared = set(captures[0].genes.symbols).intersection(*(c.genes.symbols for c in captures)) if captures else set()
    kind, _, number = spec.partition(":")
    if kind == "vocabulary":
        return _VOCABULARY
    if kind == "file":
        from pathlib import Path

        return len(shared & set(read_gene_list(Path(number)))) or len(shared)
    return min(int(number), len(shared)) if number.isdigit() else len(shared)


def _seconds(
    slides: Sequence[_Slide],
    mapped: Sequence[_Slide],
    learning: _Learning,
    settings: FitSettings,
    is_fitted: bool,
    evaluate: bool,
) -> dict[str, float]:
    """By stage, in flow order."""
    parts = {"start": _START_S}
    parts["features"] = sum(_TILE_S * s.tiles for s in _without_features(slides, settings))
    if is_fitted:
        parts["binning"] = sum(map(_binning, slides))
        parts["fit"] = 2 * _STAGE_S + _GATHER_S * learning.units + learning.seconds
    networks = _NETWORKS * learning.members * learning.network_flops / _FLOPS
    parts["predict"] = sum(_STAGE_S + s.tissue * (networks + learning.genes * _WRITE_S) for s in mapped)
    if is_fitted and evaluate:
        parts["evaluate"] = parts["fit"] + learning.units * learning.genes * _SCORE_S
    return parts


def _is_at_points(settings: FitSettings) -> bool:
    """Whether the model looks at points, whose vectors are no features of superpixels."""
    return model_class(settings.model).needs.features == "points"


def _without_features(slides: Sequence[_Slide], settings: FitSettings) -> list[_Slide]:
    """The slides whose features are still to be made."""
    encoder = settings.features.encoder
    return [] if _is_at_points(settings) else [s for s in slides if encoder not in s.store.encoders()]


def _binning(slide: _Slide) -> float:
    store = slide.store
    waiting = [name for name in store.captures() if store.find("captures", name, "bins") is None]
    return _TRANSCRIPT_S * sum(_transcripts(read_capture(store, name)) for name in waiting)


def _memory(trained: Sequence[_Slide], learning: _Learning, is_mapped: bool, evaluate: bool) -> float:
    """The highest of what the stages need, each on top of the program itself."""
    pixels = learning.units * learning.samples * learning.channels * 4 * 3
    counts = _COUNT_BYTES * learning.transcripts
    learned = pixels + counts + learning.units * learning.genes * _LEARNED_BYTES
    scored = learned + learning.units * learning.genes * _SCORED_BYTES if evaluate else 0.0
    return _BASE_BYTES + max(_TILE_BYTES, _DECODED_BYTES if is_mapped else 0.0, learned if trained else 0.0, scored)


def _disk(
    slides: Sequence[_Slide], mapped: Sequence[_Slide], learning: _Learning, settings: FitSettings, runs: int
) -> float:
    """Features that are not there yet, runs, maps."""
    features = sum(s.tissue for s in _without_features(slides, settings)) * learning.channels * 4 * 1.2
    weights = runs * learning.members * _NETWORKS * learning.network_flops / 2 * 4
    return features + weights + sum(s.tissue for s in mapped) * learning.genes * _MAP_BYTES


def _notes(slides: Sequence[_Slide], settings: FitSettings, memory: float, disk: float) -> Iterator[Note]:
    free_memory = float(psutil.virtual_memory().available)
    if memory > free_memory:
        text = f"This needs about {rounded_size(memory)} of memory and {rounded_size(free_memory)} are free."
        yield Note(f"{text} Choose fewer genes or fewer units (max_units), or close other programs.", "warning")
    places = {s.store.path.parent for s in slides}
    free = min((float(shutil.disk_usage(place).free) for place in places), default=float("inf"))
    if disk > free:
        text = f"This writes about {rounded_size(disk)} and the disk has {rounded_size(free)} free."
        yield Note(f"{text} Free some space, or choose fewer genes.", "warning")
    guessed = [s.store.path.name for s in slides if not s.is_tissue_known]
    if guessed:
        yield Note(f"The tissue of {', '.join(guessed)} is not found yet: {_USUAL_TISSUE:.0%} of the slide is assumed.")
    if longer := _longer(settings):
        yield Note(longer)
    if choose_device(settings.device).startswith("cuda"):
        yield Note("With a GPU it takes less; how much was not measured.")


def _longer(settings: FitSettings) -> str:
    """Why it takes longer than what was measured: networks in their own recipes, and the plain encoder."""
    if _is_at_points(settings):
        return f"How long '{settings.model}' takes grows with the square of its points; expect longer."
    model, own = model_class(settings.model), _own(settings)
    if getattr(own, "recipe", "") == "original":
        return "How long the published recipe takes was not measured. It makes hundreds of passes: expect far longer."
    if issubclass(model, TorchModel) and model.effort == 1 and model(own).needs.halo:
        return (
            f"'{settings.model}' looks around every square: expect several times longer, and far longer with many bins."
        )
    if settings.features.encoder != "stain_texture":
        return f"How long '{settings.features.encoder}' takes was not measured; expect longer."
    return ""
