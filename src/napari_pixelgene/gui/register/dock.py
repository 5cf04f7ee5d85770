"""The Register dock: both images side by side, pairs clicked in them, and the transform they support.

It shows a `Work` and saves it. Steps are in `editing`, pictures in `views` and `overlay`, files in `transfer`, words
in `wording`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar

from qtpy.QtCore import QTimer

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import Dock, button, words
from napari_pixelgene.gui.faults import watched
from napari_pixelgene.gui.register.blending import Blending
from napari_pixelgene.gui.register.controls import Controls
from napari_pixelgene.gui.register.editing import Editor
from napari_pixelgene.gui.register.helping import Helping
from napari_pixelgene.gui.register.judging import Judging
from napari_pixelgene.gui.register.keys import Keys, handlers_of, pressed
from napari_pixelgene.gui.register.looking import Looking
from napari_pixelgene.gui.register.overlay import Overlay
from napari_pixelgene.gui.register.transfer import Transfer
from napari_pixelgene.gui.register.turned_slide import TurnedSlide
from napari_pixelgene.gui.register.views import Heard, Views, farewell
from napari_pixelgene.gui.register.wording import hint, saved
from napari_pixelgene.gui.register.work import Work
from napari_pixelgene.gui.session import ALIGNMENT, FILES, TISSUE, on
from napari_pixelgene.pipeline.moving import Moving, movable, open_moving

_SAVE_MS, _PULSE_MS = 1500, 450


class RegisterDock(Dock):
    """Pairs, fit and overlay of one capture."""

    title: ClassVar[str] = "Register"

    def __init__(self, napari_viewer: Any) -> None:
        super().__init__(napari_viewer)
        self.works: dict[str, Work] = {}
        self.work: Work | None = None
        self._wanted: str | None = None  # the capture to be opened when the dock is seen
        self._task: workers.Task | None = None
        self._saving, self.why_unsaved = False, ""
        self._in_front = True
        say = partial(setattr, self.session.viewer, "status")  # napari's own line
        self.editor = Editor(self.redraw, lambda index: self.views.look_at(index), say)
        self.transfer = Transfer(self)
        self.contrasts = self.session.contrasts
        self.overlay = Overlay(self.session, self.contrasts)
        self.blending, self.looking = Blending(self), Looking(self)
        self.helping, self.judging = Helping(self), Judging(self)
        self.controls = Controls(self)
        editor = self.editor
        heard = Heard(editor.click, editor.move, editor.select, self.controls.hint.setText)
        slide = TurnedSlide(self.session, self.notes.add)
        self.views = Views(slide, self.controls.canvas, heard, self.contrasts)
        self._handlers = handlers_of(self.controls, editor, self.blending, self.looking.swipe)
        self.keys = Keys([self.session.viewer, self.controls.canvas.model], self._handlers)
        self._say = words("")
        self._go_to = "Section"
        self._go = button("", lambda: self.session.asked.emit(self._go_to))
        self.empty_body.addWidget(self._say)
        self.empty_body.addWidget(self._go)
        self._save_soon = self._timer(_SAVE_MS, self.save)
        self._save_soon.setSingleShot(True)
        self._pulse = self._timer(_PULSE_MS, self.views.pulse)
        on(self.session.closing, self._leave, self)
        on(self.contrasts.changed, self.looking.show_contrast, self)
        drawn = [each.leave for each in self.looking.lines] + [each.leave for each in self.helping.begin()]
        self.destroyed.connect(farewell(self.keys.free, self.views.leave, *drawn))
        self.refresh()

    # What is open

    def refresh(self) -> None:
        """Another section, or none."""
        self._forget()
        store = self.session.store
        if store is None:
            self._nothing("Open a section in the Section dock; its run is registered to the H&E here.", "Section")
        elif names := movable(store):
            self._open(names[0])
        elif store.captures():
            self._nothing("The run lies on this H&E by itself: it needs no registration.", "Run")
        else:
            self._nothing("This section is an H&E alone: there is nothing to register.", "Run")

    def _changed(self, what: str) -> None:
        if what == FILES or (what == ALIGNMENT and not self._saving):
            self.save(reload=False)
            self.refresh()
        elif what == TISSUE:
            self.judging.look_again()

    def showEvent(self, event: Any) -> None:
        """It is seen."""
        super().showEvent(event)
        self._come()

    def hideEvent(self, event: Any) -> None:
        """It is closed, or the window is."""
        super().hideEvent(event)
        with suppress(RuntimeError):  # Qt may have taken the widgets already
            self._go_behind()

    def keyPressEvent(self, event: Any) -> None:
        """The canvases' keys, for whoever works in the table."""
        if self.work is None or not pressed(event, self._handlers):
            super().keyPressEvent(event)

    def brought(self, to_front: bool) -> None:
        """Behind another dock it neither picks nor shows its rings."""
        with suppress(RuntimeError):  # Qt may have taken the widgets already
            (self._come if to_front else self._go_behind)()

    def _come(self) -> None:
        """What had to wait until somebody looks."""
        self._in_front = True
        self.keys.bind()
        self._show_drawn(True)
        self.looking.come()
        for role in ("tissue", "region"):  # they would hide the nuclei that are clicked
            for layer in self.session.layers(role):
                layer.visible = False
        if self._wanted is not None:
            self._open(self._wanted)

    def _go_behind(self) -> None:
        """Nothing stays unsaved, nothing picks."""
        self._in_front = False
        self.controls.pick.setChecked(False)
        self.controls.flicker.setChecked(False)
        self.keys.free()
        self._show_drawn(False)
        self.looking.go()
        self.save(reload=self.window().isVisible())

    def _show_drawn(self, visible: bool) -> None:
        for part in (self.views, self.helping, self.judging):
            part.set_visible(visible)

    def _nothing(self, text: str, to: str) -> None:
        self._say.setText(text)
        self._go_to = to
        self._go.setText(f"{to} →")
        self.show_empty()

    def _open(self, name: str) -> None:
        """Show a capture: at once when it was open before, else when its image is."""
        self._wanted = None
        if name in self.works:
            self._take(self.works[name])
            return
        self.show_loading(f"Opening the images of '{name}'…")
        if not self.isVisible():
            self._wanted = name
            return
        store = self.session.require()
        self._task = workers.start(
            self,
            lambda hear: open_moving(store, name, hear),
            self._opened,
            self.show_broken,
            self.notes.hear,
        )

    def _opened(self, moving: Moving) -> None:
        shown = self.session.shown
        try:
            assert shown is not None
            self._take(Work.load(self.session.require(), shown.he, moving))
        except PixelGeneError as error:
            self.show_broken(error)

    def _take(self, work: Work, channel: int = 0) -> None:
        self.work = self.editor.work = self.works[work.moving.capture] = work
        self.show_full()
        self.looking.off()
        self.views.take(work, channel, {"role": "keypoints", "section": str(self.session.require().path)})
        self.overlay.take(work, channel)
        self.controls.list_channels(work, channel, movable(self.session.require()))
        self.looking.show_channel(channel)
        self.helping.take()
        self.judging.take()
        self.redraw()

    def _leave(self) -> None:
        """The section is about to be closed."""
        self.save(reload=False)
        self._forget()
        self.show_empty()

    def _forget(self) -> None:
        if self._task is not None:
            self._task.cancel()
        for timer in (self._save_soon, self._pulse):
            timer.stop()
        self.controls.pick.setChecked(False)
        self.controls.flicker.setChecked(False)
        self.looking.forget()
        self.helping.busy.stop()
        self.work = self.editor.work = self._wanted = None
        self.works, self.why_unsaved = {}, ""
        self.views.take(None, 0, {})
        self.overlay.take(None)
        self.helping.take()
        self.judging.take()

    # What a person does beside editing

    def choose(self, index: int) -> None:
        """Another channel, or another capture, of the list."""
        name, channel = self.controls.channel.itemData(index)
        if self.work is None or name != self.work.moving.capture:
            self.save()
            self._open(name)
            return
        self.overlay.choose(channel)
        self.views.show_channel(channel)
        self.looking.show_channel(channel)
        self._draw()

    def set_picking(self, on_: bool) -> None:
        """Whether clicks count."""
        self.views.pick(on_ and self.work is not None)
        self.controls.pick.setText("Picking" if on_ else "Pick")
        if self.work is not None:
            self.controls.hint.setText(hint(self.work, on_))

    def to_run(self) -> None:
        """Save, and on."""
        self.save()
        self.session.asked.emit("Run")

    # What follows

    def redraw(self) -> None:
        """The work has another draft: show it, draw it, save it soon."""
        work = self.work
        if work is None:
            return
        self.views.show()
        self.fault.clear()
        self._draw()
        (self._pulse.start if work.pairs.half is not None else self._pulse.stop)()
        self.controls.show(work)
        self.helping.reflect()
        self.judging.reflect()
        if work.unsaved:
            self._save_soon.start()
        self._show_saved()
        self.views.set_visible(self._in_front)

    @watched
    def _draw(self) -> None:
        """The moving image where the present transform puts it."""
        self.overlay.update()
        if self._in_front:
            self.looking.update()
        self.views.raise_rings()

    def save(self, reload: bool = True) -> None:
        """Write what is new; a section that cannot be written is said, and nothing is lost here."""
        self._save_soon.stop()
        self._saving, self.why_unsaved = True, ""
        try:
            for work in self.works.values():
                if work.unsaved:
                    work.save(self.session.require_writable())
                    if reload:
                        self._saved_now()
        except PixelGeneError as error:
            self.why_unsaved = str(error)
        finally:
            self._saving = False
        self._show_saved()

    def _saved_now(self) -> None:
        """Everyone looks again; what stands may be another transform now, or none."""
        self.session.reload(ALIGNMENT)
        if self.work is not None:
            self._draw()
            self.controls.show(self.work)

    def _show_saved(self) -> None:
        if self.work is not None:
            self.controls.saved.setText(saved(self.work, self.why_unsaved))

    def _timer(self, milliseconds: int, does: Callable[[], Any]) -> QTimer:
        timer = QTimer(self)
        timer.setInterval(milliseconds)
        timer.timeout.connect(does)
        return timer
