"""Keys on both canvases. A layer's keys win over its viewer's, so ours are bound to each layer instance as well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

Handler = Callable[[Any], Any]


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
