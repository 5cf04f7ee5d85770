"""Which captures are scored, and that nothing a run has learned from is among them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.pipeline.beforehand import measured_files, require_same_squares, seen_by, superpixel_um
from napari_pixelgene.pipeline.choosing import Chosen, choose_captures, holds
from napari_pixelgene.pipeline.fitting import chosen_to_learn, reach_um
from napari_pixelgene.pipeline.measured import Measured
from napari_pixelgene.pipeline.prepared import FitSettings
from napari_pixelgene.pipeline.slide import grid_of, is_placed
from napari_pixelgene.pipeline.training_data import measured_units, take_units
from napari_pixelgene.progress import Note, OnEvent
from napari_pixelgene.stages.folds import sees
from napari_pixelgene.store.captures import read_capture

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore

STAGE = "evaluate"


def held_out(
    train: Sequence[SectionStore],
    test: Sequence[SectionStore],
    settings: FitSettings,
    test_captures: Sequence[str],
    on_event: OnEvent,
) -> tuple[Chosen, ...]:
    """What is scored: the captures named, of the test sections or else of the training ones; without names all of each
    test section, less those that are learned from. Nothing where neither is given: then blocks are scored."""
    if not test and not test_captures:
        return ()
    own = {s.path.resolve() for s in train}
    stores = test or [s for s in train if holds(s, test_captures)] or train
    out = []
    for each in choose_captures(stores, test_captures, (), on_event, STAGE):
        require_same_squares(each.store, superpixel_um(train[0]))
        if each.store.path.resolve() in own and not test_captures:
            each = _not_learned(each, settings)
        out.append(each)
    return tuple(out)


def _not_learned(chosen: Chosen, settings: FitSettings) -> Chosen:
    """The captures of a training section that the settings do not name to learn from."""
    left: tuple[str, ...] = ()
    if settings.captures or settings.without_captures:
        learned = chosen_to_learn([chosen.store], settings)[0].captures
        left = tuple(c for c in chosen.captures if c not in learned)
    if not left:
        raise SettingsError(
            f"{chosen.store.path.name} is named to train on and to test on.",
            "Test on another section, or on some of its captures: --test-captures NAME.",
        )
    return replace(chosen, captures=left)


def kept_apart(train: Sequence[SectionStore], scored: Sequence[Chosen], on_event: OnEvent) -> tuple[Measured, ...]:
    """The scored captures that lie on a slide that is trained on."""
    own = {s.path.resolve() for s in train}
    same = [c for c in scored if c.store.path.resolve() in own]
    return tuple(measured_units(c.store, name, on_event) for c in same for name in c.captures)


def unseen(
    stores: Sequence[SectionStore],
    run: str,
    meta: Mapping[str, Any],
    test_captures: Sequence[str],
    on_event: OnEvent,
) -> tuple[Chosen, ...]:
    """The captures that a stored run can be scored on; those that it has learned from are refused, or left out and
    told where others remain."""
    out = []
    for each in choose_captures(stores, test_captures, (), on_event, STAGE):
        seen = seen_by(each, run, meta)
        left = tuple(c for c in each.captures if c not in seen)
        if not left or (seen and test_captures):
            what = each.store.path.name if not left else f"'{seen[0]}' of {each.store.path.name}"
            raise SettingsError(f"The run '{run}' was trained on {what}.", "Score it on a section it has not seen.")
        if seen:
            text = f"{each.store.path.name}: {', '.join(seen)} not scored, '{run}' was trained on it."
            on_event(Note(text, stage=STAGE))
        out.append(replace(each, captures=left))
    return tuple(out)


def unlearned_units(measured: Measured, run: str, meta: Mapping[str, Any], on_event: OnEvent) -> Measured:
    """The units of a capture that no unit sees which a stored run has learned from, by another capture of the slide."""
    store = measured.store
    placed = tuple(n for n in store.captures() if is_placed(read_capture(store, n)))
    settings = FitSettings.make(meta["settings"])
    needs, mpp = get_model(settings.model, settings.model_settings).needs, grid_of(store).work_mpp
    seen = np.zeros(len(measured), dtype=bool)
    for name in seen_by(Chosen(store, placed), run, meta):
        learned = measured_units(store, name)
        reach = reach_um(settings.features.encoder, mpp, needs, learned)
        seen |= sees(measured.xy_um, measured.footprint.size_um / 2, learned.xy_um, reach)
    if not seen.any():
        return measured
    if seen.all():
        raise SettingsError(
            f"All of {measured.name} lies where the run '{run}' was trained.",
            f"Train anew without it: pixelgene evaluate --train {store.path.name} --test-captures {measured.capture}",
        )
    text = f"{measured.name}: {int(seen.sum()):,} of {len(measured):,} units lie where '{run}' was trained."
    on_event(Note(f"{text} They are not scored.", stage=STAGE))
    return take_units(measured, np.flatnonzero(~seen))


def training_units(source: SectionStore, meta: Mapping[str, Any], on_event: OnEvent) -> list[Measured] | None:
    """The captures of `source` that a stored run learned from, where those were all; else None."""
    placed = tuple(n for n in source.captures() if is_placed(read_capture(source, n)))
    learned = tuple(n for n in placed if set(measured_files([Chosen(source, (n,))])) & set(meta["train_files"]))
    if learned and measured_files([Chosen(source, learned)]) == meta["train_files"]:
        return [measured_units(source, name, on_event) for name in learned]
    return None
