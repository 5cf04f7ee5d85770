"""Keys on both canvases. A layer's keys win over its viewer's, so ours are bound to each layer instance as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from qtpy.QtGui import QKeySequence

if TYPE_CHECKING:
    from napari_pixelgene.gui.register.blending import Blending
    from napari_pixelgene.gui.register.controls import Controls
    from napari_pixelgene.gui.register.editing import Editor
    from napari_pixelgene.gui.register.swipe import Swipe

Handler = Callable[[Any], Any]


def handlers_of(controls: Controls, editor: Editor, blending: Blending, swipe: Swipe) -> dict[str, Handler]:
    """What each key does."""
    digits = {str(n): (lambda _, n=n: editor.select(n - 1)) for n in range(1, 10)}
    return {
        **digits,
        "P": lambda _: controls.pick.toggle(),
        "N": lambda _: editor.step(1),
        "Shift-N": lambda _: editor.step(-1),
        "F": lambda _: controls.flicker.toggle(),
        "C": lambda _: controls.look.checkers.click(),
        "S": lambda _: controls.look.swipe.click(),
        "X": lambda _: controls.look.nuclei.click(),
        "A": lambda _: controls.look.arrows.click(),
        "G": lambda _: controls.look.grid.click(),
        "R": lambda _: controls.turns.right.click(),
        "Shift-R": lambda _: controls.turns.left.click(),
        "M": lambda _: controls.turns.mirror.click(),
        "E": lambda _: controls.slide.turn(15.0),
        "Shift-E": lambda _: controls.slide.turn(-15.0),
        "T": lambda _: controls.turns.match.click(),
        "Shift-Left": lambda _: swipe.step(-1),
        "Shift-Right": lambda _: swipe.step(1),
        "Y": lambda _: controls.help.accept.click(),
        "Shift-Y": lambda _: controls.help.accept_all.click(),
        "D": lambda _: controls.help.reject.click(),
        "Shift-D": lambda _: controls.help.reject_all.click(),
        "Escape": lambda _: editor.drop_half(),
        "Delete": lambda _: editor.delete(),
        "Backspace": lambda _: editor.delete(),
        "Control-Z": lambda _: editor.undo(),
        "Control-Y": lambda _: editor.redo(),
        "Control-Shift-Z": lambda _: editor.redo(),
        "Space": blending.hold,
    }


def pressed(event: Any, handlers: Mapping[str, Handler]) -> bool:
    """Answer a key that nothing in the dock wanted; whether it was one of ours. Space is the buttons'."""
    name = QKeySequence(event.keyCombination()).toString()
    for qt, ours in (("Ctrl", "Control"), ("+", "-"), ("Esc", "Escape"), ("Del", "Delete")):
        name = name.replace(qt, ours)
    if name not in handlers or name == "Space":
        return False
    handlers[name](None)
    return True


class Keys:
    """Binds `handlers` (napari's key names) to viewer models and all their layers, now and later, while bound."""

    def __init__(self, viewers: list[Any], handlers: Mapping[str, Handler]) -> None:
        self._viewers, self._handlers = viewers, handlers
        self.bound = False

    def bind(self) -> None:
        """From now on these keys are ours."""
        if self.bound:
            return
        self.bound = True
        for viewer in self._viewers:
            viewer.layers.events.inserted.connect(self._inserted)
            for owner in (viewer, *viewer.layers):
                self._set(owner, self._handlers)

    def free(self) -> None:
        """Give them back."""
        if not self.bound:
            return
        self.bound = False
        for viewer in self._viewers:
            viewer.layers.events.inserted.disconnect(self._inserted)
            for owner in (viewer, *viewer.layers):
                self._set(owner, dict.fromkeys(self._handlers))

    def _inserted(self, event: Any) -> None:
        self._set(event.value, self._handlers)

    def _set(self, owner: Any, handlers: Mapping[str, Handler | None]) -> None:
        for key, handler in handlers.items():
            owner.bind_key(key, handler, overwrite=True)
