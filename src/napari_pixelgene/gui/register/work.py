"""One capture's alignment in progress: its moving image, the history of drafts, the present fit, and what is saved.

No window here: the dock shows it, tests drive it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.register import steps
from napari_pixelgene.gui.register.fitting import Fit, fit, settings_of
from napari_pixelgene.gui.register.history import Draft, History
from napari_pixelgene.gui.register.pairs import Pairs
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.drafting import chosen_settings, keep_keypoints, keep_transform, unregister
from napari_pixelgene.pipeline.moving import Moving
from napari_pixelgene.pipeline.pairing import around_work
from napari_pixelgene.pipeline.rough import keep_rough_transform, rough_score
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore

# From so many pairs on they are better than a rough alignment.
_REFINE = 3


class Work:
    """What a person does to one capture. `he` is the slide, `moving` what is laid onto it."""

    def __init__(self, he: Image, moving: Moving, draft: Draft, standing: Transform | None = None) -> None:
        self.he, self.moving = he, moving
        self.history = History(draft)
        self.saved = draft
        self.standing = standing  # the stored transform, drawn while the pairs give none
        self.said = ""  # what the last Undo or Redo did, until the next step
        self.preview: Transform | None = None  # drawn while a person decides on it; nothing else knows of it
        self.fit = self._fit()

    @classmethod
    def load(cls, store: SectionStore, he: Image, moving: Moving) -> Work:
        """As the section has it."""
        capture = read_capture(store, moving.capture)
        settings = chosen_settings(store, moving.capture)
        stands = moving.transform_from_here(capture.to_he) if capture.to_he is not None else None
        pairs = Pairs()
        if capture.keypoints is not None:
            pairs = Pairs.of(moving.keypoints_here(capture.keypoints, he.require_mpp()))
        given = stands if stands is not None and (stands.kind == "given" or not len(pairs)) else None
        choice = "given" if given is not None else settings.kind
        rough = rough_score(store, moving.capture) if given is not None else None
        mirrored = settings.allow_mirror or (rough is not None and given is not None and turns_over(given))
        return cls(he, moving, Draft(pairs, choice, mirrored, settings.threshold_um, given, rough), stands)

    @property
    def draft(self) -> Draft:
        """What holds now."""
        return self.history.now

    @property
    def pairs(self) -> Pairs:
        """The pairs that hold now."""
        return self.history.now.pairs

    @property
    def keypoints(self) -> Keypoints:
        """The whole pairs."""
        return self.pairs.keypoints(self.moving.frame)

    @property
    def transform(self) -> Transform | None:
        """What is drawn: the fit, or while there is none the transform that is stored."""
        return self.fit.transform or self.standing

    @property
    def drawn(self) -> Transform | None:
        """What is seen: the transform, or a proposal for one."""
        return self.preview or self.transform

    @property
    def unsaved(self) -> bool:
        """Whether the section does not have this draft yet."""
        return not self.draft.settled().same(self.saved.settled())

    def set_pairs(self, name: str, pairs: Pairs) -> None:
        """A step that changes points, switches or the selection. Pairs take the place of a rough alignment, once
        there are enough to do better."""
        draft = replace(self.draft, pairs=pairs)
        if draft.is_rough and _counting(self.pairs) < _REFINE <= _counting(pairs):
            draft = replace(draft, choice="rigid" if self.moving.known_scale else "auto")
        self.do(name, draft)

    def keep_preview(self, score: float) -> None:
        """The rough alignment that is seen becomes what holds: a step."""
        given, self.preview = self.preview, None
        if given is not None:
            given = replace(given, kind="given")
            mirrored = turns_over(given)
            kept = replace(self.draft, given=given, choice="given", mirrored=mirrored, rough=score)
            self.do("kept the rough alignment", kept)

    def do(self, name: str, draft: Draft) -> None:
        """A step; the fit follows."""
        selection_only = draft.same(self.draft)
        self.history.do(name, draft)
        if not selection_only:
            self.said, self.fit = "", self._fit()

    def undo(self) -> None:
        """One step back."""
        self.said = steps.undone(self.history.undoable)
        self.history.undo()
        self.fit = self._fit()

    def redo(self) -> None:
        """One step forth."""
        self.said = steps.redone(self.history.redoable)
        self.history.redo()
        self.fit = self._fit()

    def save(self, store: SectionStore) -> None:
        """Write pairs and transform; pairs that give none are kept beside the transform that stands."""
        draft, name = self.draft, self.moving.capture
        if draft.choice == "given" and draft.given is not None:
            pairs = self.keypoints if len(draft.pairs) else None
            if draft.rough is None:
                keep_transform(store, name, draft.given, pairs)
            else:
                keep_rough_transform(store, name, draft.given, draft.rough, pairs)
            self.standing = draft.given
        elif self.fit.transform is not None:
            around = around_work(self.moving, self.he).unseen()
            made = register_keypoints(store, self.keypoints, settings_of(draft), name, around=around)
            self.standing = made.transform
        elif len(draft.pairs):
            keep_keypoints(store, name, self.keypoints)
        else:
            unregister(store, name)
            self.standing = None
        self.saved = draft

    def _fit(self) -> Fit:
        return fit(self.draft, self.keypoints, self.he.require_mpp(), self.moving.um_per_unit)


def turns_over(transform: Transform) -> bool:
    """Whether it lays the image down mirrored."""
    return geometry.is_mirrored(transform.matrix, np.zeros((1, 2)))


def _counting(pairs: Pairs) -> int:
    return sum(pair.enabled for pair in pairs.pairs)
