"""Import and export in the Register dock. An import is a step of the history like any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from napari_pixelgene.elements.alignment import Keypoints, Transform
from napari_pixelgene.errors import InputError
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.register import steps
from napari_pixelgene.gui.register.files import (
    BIGWARP,
    STORE,
    TEXTS,
    Export,
    Held,
    ask_folder,
    ask_name,
    ask_open,
    ask_save,
    ask_unit,
)
from napari_pixelgene.gui.register.fitting import settings_of
from napari_pixelgene.gui.register.history import Draft
from napari_pixelgene.gui.register.landmark_dialog import StoreLandmarks
from napari_pixelgene.gui.register.pairs import Pairs
from napari_pixelgene.gui.register.text_files import TextFiles
from napari_pixelgene.gui.register.work import Work
from napari_pixelgene.pipeline.aligning import text_keypoints
from napari_pixelgene.pipeline.drafting import read_file
from napari_pixelgene.pipeline.landmark_files import bigwarp_landmarks, store_elements, store_landmarks
from napari_pixelgene.pipeline.pairing import around_work, looked_into
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.alignments import Direction
from napari_pixelgene.readers.spatialdata_landmarks import LANDMARKS
from napari_pixelgene.stages.mispairings import Reading
from napari_pixelgene.store.section import SUFFIX

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.dock import RegisterDock


class Transfer:
    """Asks for files and hands what they hold to the dock's editor; a fault is told in the dock."""

    def __init__(self, dock: RegisterDock) -> None:
        self.dock = dock

    def bring(self, text: str, direction: Direction | None) -> None:
        """Import ▸ a file of one kind."""
        path = ask_open(self.dock, text)
        if path is not None:
            self._import(lambda: self._bring(path, direction))

    def bring_texts(self) -> None:
        """Import ▸ Pixel2Gene's two text files."""
        asked = TextFiles.ask(self.dock, TEXTS)
        if asked is not None:
            self._import(lambda: self._bring_texts(asked))

    def bring_bigwarp(self) -> None:
        """Import ▸ BigWarp's file, whose unit it does not say."""
        path = ask_open(self.dock, BIGWARP)
        unit = ask_unit(self.dock) if path is not None else None
        if path is not None and unit is not None:
            self._import(lambda: self._bring_bigwarp(path, unit))

    def bring_store(self) -> None:
        """Import ▸ two elements of a SpatialData store."""
        path = ask_folder(self.dock, STORE)
        if path is not None:
            self._import(lambda: self._bring_store(path))

    def write(self, way: Export) -> None:
        """Export ▸ one way."""
        name = f"{self._stem()}-{way.name}"
        path = ask_folder(self.dock, way.text) if way.folder else ask_save(self.dock, way.text, name)
        if path is not None:
            guarded(lambda _: self._write(way, path))(self.dock)

    def _import(self, bring: Callable[[], None]) -> None:
        """What was said of the import before is of the past."""
        self.dock.notes.clear()
        guarded(lambda _: bring())(self.dock)

    def _stem(self) -> str:
        """Of the section, so that files of two sections stay two."""
        return self.dock.session.require().path.name.removesuffix(SUFFIX)

    def _bring(self, path: Path, direction: Direction | None) -> None:
        work = self._work()
        found = read_file(self.dock.session.require(), work.moving.capture, path, direction, self._hear)
        self._take(*found, path)

    def _bring_texts(self, asked: TextFiles) -> None:
        work = self._work()
        store, levels = self.dock.session.require(), (asked.moving_level, asked.fixed_level)
        pairs = text_keypoints(store, asked.moving, asked.fixed, levels, work.moving.capture)
        self._take(pairs, None, asked.moving)

    def _bring_bigwarp(self, path: Path, unit: Literal["px", "um"]) -> None:
        store, name = self.dock.session.require(), self._work().moving.capture
        self._take(bigwarp_landmarks(store, path, unit, name, self._hear), None, path)

    def _bring_store(self, path: Path) -> None:
        asked = StoreLandmarks.ask(self.dock, path, store_elements(path))
        if asked is not None:
            self._take(store_landmarks(path, asked.elements, asked.images, asked.system), None, path)

    def _take(
        self, keypoints: Keypoints | None, transform: Transform | None, path: Path | None, meant: bool = False
    ) -> None:
        """A step of the history; of pairs that make no sense it is said how they are probably meant."""
        work, fault = self._work(), self.dock.fault
        draft = draft_of(work, keypoints, transform)
        self.dock.editor.bring(steps.imported(path, meant), draft)
        if keypoints is None:
            return
        here, around = draft.pairs.keypoints(work.moving.frame), around_work(work.moving, work.he)
        said, reading = looked_into(here, around, settings_of(draft))
        if said:
            fault.say(said)
        if reading is not None:
            fault.offer("Use it so", partial(guarded(lambda _: self._take_as_meant(reading, path)), self.dock))

    def _take_as_meant(self, meant: Reading, path: Path | None) -> None:
        """Another step of the history, so that it can be undone alone."""
        if meant.is_mirror:
            self.dock.editor.mirror(True)
            self.dock.fault.clear()
        else:
            self._take(meant.keypoints, None, path, True)

    def _write(self, way: Export, path: Path) -> None:
        work = self._work()
        called = self._called(path) if way.folder else LANDMARKS
        if called is None:
            return
        sizes = work.moving.um_per_unit, work.he.require_mpp()
        try:
            way.write(path, Held(work.keypoints, work.transform, sizes, called))
        except OSError as error:
            raise InputError(f"{path} cannot be written: {error.strerror}.", "Choose another folder.") from None
        self.dock.notes.add(f"Written: {path.name} in {path.absolute().parent}")

    def _called(self, store: Path) -> tuple[str, str] | None:
        """Names that the landmarks can have in a store that is there; None when a person changes their mind."""
        there = store_elements(store).elements
        taken = next((name for name in LANDMARKS if name in there), "")
        if not taken:
            return LANDMARKS
        name = ask_name(self.dock, taken)
        return None if name is None else (f"{name}_moving", f"{name}_fixed")

    def _work(self) -> Work:
        assert self.dock.work is not None
        return self.dock.work

    def _hear(self, event: Event) -> None:
        if isinstance(event, Note):
            self.dock.notes.add(event.text, event.level)


def draft_of(work: Work, keypoints: Keypoints | None, transform: Transform | None) -> Draft:
    """The draft that a file's content makes of the present one.

    Pairs take the place of pairs. A matrix that no pairs explain is used as it is given; the pairs there are stay
    beside it, to judge it by.
    """
    draft = work.draft
    if keypoints is not None:
        here = work.moving.keypoints_here(keypoints, work.he.require_mpp())
        choice = "auto" if draft.choice == "given" else draft.choice
        draft = replace(draft, pairs=Pairs.of(here), choice=choice)
    if transform is not None and (keypoints is None or transform.kind == "given"):
        draft = replace(draft, given=work.moving.transform_from_here(transform), choice="given", rough=None)
    return draft
