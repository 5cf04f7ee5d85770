"""The verdict on what is stored: computed beside the window, drawn over the H&E, written as a page."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices

from napari_pixelgene.arithmetic import geometry
from napari_pixelgene.errors import PixelGeneError, StoreError
from napari_pixelgene.gui.faults import guarded
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.register.files import ask_save
from napari_pixelgene.gui.register.quality import Judged, by_nuclei, picture
from napari_pixelgene.gui.register.verdict_box import viridis
from napari_pixelgene.gui.session import TISSUE, VERDICT
from napari_pixelgene.pipeline.registration_report import registration_report
from napari_pixelgene.pipeline.verdict import judge_registration, kept_verdict

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import BoolArray, FloatArray
    from napari_pixelgene.elements.verdict import Verdict
    from napari_pixelgene.gui.register.dock import RegisterDock
    from napari_pixelgene.gui.register.work import Work

_ROLE = "quality"
_CHECKING, _WRITING = "Checking the registration", "Writing the report"
_STOPPED = "The check was stopped: what it checked has changed."


class Judging:
    """Answers the buttons of the verdict box."""

    def __init__(self, dock: RegisterDock) -> None:
        self.dock = dock
        self.judged: Judged | None = None
        self._asked: Judged | None = None  # on what the check that runs was begun; its verdict is not there yet

    def take(self) -> None:
        """Another capture, or none: what the section keeps of it."""
        self.judged = self._asked = None
        self._box.map.setChecked(False)
        work = self.dock.work
        if work is None:
            return
        try:
            kept = kept_verdict(self.dock.session.require(), work.moving.capture)
        except PixelGeneError:  # of another version, or spoilt: as if it had never been made
            kept = None
        if kept is not None:
            verdict, holds = kept[0], kept[1] and not work.unsaved
            self.judged = Judged(verdict, work.pairs if holds else None, work.transform if holds else None)

    def check(self) -> None:
        """Judge what is there now."""
        self._run(_CHECKING, judge_registration, self._checked)

    def report(self) -> None:
        """Write the page where a person wants it, and open it."""
        work = self.dock.work
        if work is None:
            return
        stem = self.dock.session.require().path.name.removesuffix(".section.zarr")
        path = ask_save(self.dock, "Report on the registration", f"{stem}-{work.moving.capture}-registration.html")
        if path is not None:
            path = path if path.suffix else path.with_suffix(".html")
            self._run(_WRITING, partial(_reported, path), partial(self._written, path))

    def reflect(self) -> None:
        """The verdict, whether it still holds, and what can be pressed."""
        work = self.dock.work
        if work is None:
            return
        if not self.dock.helping.busy.running:
            self._asked = None
        elif self._asked is not None and not self._asked.holds(work.pairs, work.transform):
            self._asked = None
            self.dock.helping.busy.stop()
            self.dock.notes.add(_STOPPED)
        judged, fresh = self.judged, self.fresh
        self._box.show_verdict(judged.verdict if judged is not None else None, not fresh)
        if not fresh:
            self._box.map.setChecked(False)
        self._allow(work, fresh)

    @property
    def fresh(self) -> bool:
        """Whether there is a verdict on what is there now."""
        work = self.dock.work
        return self.judged is not None and work is not None and self.judged.holds(work.pairs, work.transform)

    def show_map(self, on: bool) -> None:
        """The map over the H&E, or not."""
        guarded(lambda dock: dock.judging._show_map(on))(self.dock)

    def go(self, index: int) -> None:
        """Both images at one of the worst places, near enough to see nuclei."""
        work = self.dock.work
        if work is None or self.judged is None or work.transform is None:
            return
        views, he_px = self.dock.views, np.array([self.judged.verdict.worst[index].xy_um]) / work.he.require_mpp()
        there = views.seated("moving", work.transform.inverse().apply(he_px))[0]
        views.link.look_close(views.seated("fixed", he_px)[0], there)

    def set_visible(self, visible: bool) -> None:
        """The map is seen with the dock only."""
        layer = self.dock.session.layer(_ROLE)
        if layer is not None:
            layer.visible = visible and self._box.map.isChecked()

    def look_again(self) -> None:
        """The tissue is another: what is kept may hold no more."""
        if not self.dock.helping.busy.running:
            self.take()
            self.reflect()

    def marked_anew(self) -> None:
        """It was said of which section the run is: a verdict that was made otherwise is of before."""
        self.dock.helping.busy.stop()
        self.take()
        self.reflect()
        self.dock.session.changed.emit(VERDICT)

    def _run(self, what: str, function: Any, done: Any) -> None:
        guarded(lambda dock: dock.judging._begin(what, function, done))(self.dock)

    def _begin(self, what: str, function: Any, done: Any) -> None:
        dock, work = self.dock, self.dock.work
        assert work is not None
        dock.save()
        dock.session.require_writable()
        if dock.why_unsaved:
            raise StoreError(dock.why_unsaved, "What is checked is what the section holds.")
        store, name = dock.session.require(), work.moving.capture
        had = store.find("tissue", "mask") is not None
        asked = Judged(_NO_VERDICT, work.pairs, work.transform)
        dock.helping.busy.run(
            what, lambda hear: function(store, capture=name, on_event=hear), partial(done, asked, had)
        )
        self._asked = asked

    def _checked(self, asked: Judged, had_tissue: bool, verdict: Verdict) -> None:
        self.judged = replace(asked, verdict=verdict)
        self.reflect()
        session = self.dock.session
        session.changed.emit(VERDICT)  # the others say it too
        if not had_tissue:
            session.reload(TISSUE)

    def _written(self, path: Path, asked: Judged, had_tissue: bool, verdict: Verdict) -> None:
        self._checked(asked, had_tissue, verdict)
        self.dock.notes.add(f"Written: {path.name} in {path.absolute().parent}")
        open_page(path)

    def _show_map(self, on: bool) -> None:
        session, judged = self.dock.session, self.judged
        layer = session.layer(_ROLE)
        if layer is not None:
            session.viewer.layers.remove(layer)
        self._box.show_legend(judged.verdict if on and judged is not None else None)
        if on and judged is not None and self.dock.work is not None:
            self._draw(judged.verdict, self.dock.work)
            self.dock.views.raise_rings()

    def _draw(self, verdict: Verdict, work: Work) -> None:
        session = self.dock.session
        rgba, pixel = picture(verdict.map, work.he.size_um, viridis, partial(_under_run, work))
        layers = session.viewer.layers
        active = layers.selection.active
        session.viewer.add_image(
            rgba,
            name="QC map (µm apart)" if by_nuclei(verdict.map) else "QC map (µm that pairs leave open)",
            rgb=True,
            scale=(pixel, pixel),
            translate=(pixel / 2, pixel / 2),
            units=("µm", "µm"),
            blending="translucent_no_depth",
            interpolation2d="linear",
            metadata={KEY: {"role": _ROLE, "section": str(session.require().path)}},
        )
        if active is not None:
            layers.selection.active = active

    def _allow(self, work: Work, fresh: bool) -> None:
        helping = self.dock.helping
        busy = f"First wait for it, or cancel: {helping.busy.what}" if helping.busy.running else ""
        asked = "First keep or discard the rough alignment" if helping.found is not None else ""
        none = "" if work.fit.transform is not None or work.standing is not None else "There is no fit to check yet"
        why = busy or asked or none
        shown = "" if fresh else "Check first" if self.judged is None else "It changed since: check again"
        self._box.allow(why, shown, why)

    @property
    def _box(self) -> Any:
        return self.dock.controls.verdict


def open_page(path: Path) -> None:
    """Show a page in whatever the person reads pages with."""
    QDesktopServices.openUrl(QUrl.fromLocalFile(str(path)))


def _under_run(work: Work, um: FloatArray) -> BoolArray:
    """Whether the run's image lies at places (n, 2) of the H&E."""
    assert work.transform is not None
    there = work.transform.inverse().apply(um / work.he.require_mpp())
    there = geometry.apply_matrix(np.linalg.inv(work.moving.picture_to_frame), there)
    rows, columns = work.moving.channels[0].yx_shape
    return np.asarray(((there >= 0) & (there <= (columns, rows))).all(axis=1))


def _reported(path: Path, store: Any, capture: str, on_event: Any) -> Verdict:
    return registration_report(store, path, capture, on_event)


# Stands in a verdict's place until there is one.
_NO_VERDICT: Any = None
