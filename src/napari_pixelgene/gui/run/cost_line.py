"""What a run will cost, said before it is started: time, memory, disk, and whether they will do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QTimer, Signal  # type: ignore[attr-defined]
from qtpy.QtWidgets import QVBoxLayout, QWidget

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.gui import workers
from napari_pixelgene.gui.dock import words
from napari_pixelgene.gui.run.choices import Choices

if TYPE_CHECKING:
    from napari_pixelgene.pipeline.estimating import Estimate

_SETTLE_MS = 300


class CostLine(QWidget):
    """`ask(choices)` reckons in a thread, a moment after the last change; `told(Estimate)` is emitted."""

    told = Signal(object)

    def __init__(self) -> None:
        super().__init__()
        self.line, self.warnings = words("", "estimate"), words("", "estimate-warnings")
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(self.line)
        column.addWidget(self.warnings)
        self._asked: Choices | None = None
        self._task: Any = None
        self._settle = QTimer(self)
        self._settle.setSingleShot(True)
        self._settle.setInterval(_SETTLE_MS)
        self._settle.timeout.connect(self._begin)
        self.hide()

    def ask(self, choices: Choices | None) -> None:
        """Reckon for these choices; None where there is nothing to be run, or what was reckoned no longer holds."""
        if choices is None:
            self._asked = None
            self.hide()
        elif choices != self._asked:
            self._asked = choices
            self._settle.start()

    def _begin(self) -> None:
        if self._asked is None:
            return
        if self._task is not None:
            self._task.cancel()
        self._task = workers.start(self, _estimator(self._asked), self._show, self._fail)

    def _show(self, found: Estimate) -> None:
        self.line.setText(str(found))
        self.line.setToolTip("\n".join(note.text for note in found.notes if note.level != "warning"))
        self._warn([note.text for note in found.notes if note.level == "warning"])
        self.told.emit(found)

    def _fail(self, error: BaseException) -> None:
        """What keeps it from being reckoned would stop the run too."""
        self.line.setText("")
        self._warn([str(error) if isinstance(error, PixelGeneError) else "What it costs cannot be told."])

    def _warn(self, texts: list[str]) -> None:
        self.line.setVisible(bool(self.line.text()))
        self.warnings.setText("\n".join(f"⚠ {text}" for text in texts))
        self.warnings.setVisible(bool(texts))
        self.show()


def _estimator(choices: Choices) -> Callable[[Any], Estimate]:
    def work(on_event: Any) -> Estimate:
        from napari_pixelgene.pipeline.estimating import estimate
        from napari_pixelgene.store.section import SectionStore

        train, predict = (
            [SectionStore.open(path, writable=False) for path in paths] for paths in (choices.train, choices.predict)
        )
        return estimate(train, choices.fit, predict, choices.score)

    return work
