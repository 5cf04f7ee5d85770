"""Errors where their cause is: one sentence, the next step, and details that can be copied."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QFrame, QHBoxLayout, QLabel, QPushButton, QVBoxLayout, QWidget

from napari_pixelgene import __version__
from napari_pixelgene.errors import Cancelled, PixelGeneError
from napari_pixelgene.gui.wording import in_window


class FaultBox(QFrame):
    """Hidden until something is wrong. `tell(error)` shows it; `clear()` hides it again."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.setObjectName("fault")
        # Dark red on a light field reads on both themes, and says so to the colour-blind by its sign.
        self.setStyleSheet(
            "#fault { background: #fdecea; border: 1px solid #b3261e; border-radius: 4px; }"
            "#fault QLabel { color: #410e0b; background: transparent; }"
        )
        self._text = QLabel()
        self._text.setObjectName("fault-text")
        self._text.setWordWrap(True)
        self._text.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self._copy = QPushButton("Copy details")
        self._copy.setToolTip("Copy the whole story for a colleague or a bug report.")
        self._copy.clicked.connect(self._to_clipboard)
        hide = QPushButton("Dismiss")
        hide.clicked.connect(self.clear)
        self.way_out = QPushButton()
        self._does: Callable[[], Any] = self.clear
        self.way_out.clicked.connect(lambda: self._does())
        row = QHBoxLayout()
        row.addWidget(self.way_out)
        row.addWidget(self._copy)
        row.addWidget(hide)
        row.addStretch()
        layout = QVBoxLayout(self)
        layout.addWidget(self._text)
        layout.addLayout(row)
        self.details = ""
        self.hide()

    @property
    def text(self) -> str:
        """What is shown; empty when nothing is."""
        return "" if self.isHidden() else self._text.text()

    def tell(self, error: BaseException) -> None:
        """Show what a person can mend as it stands, and a defect of ours as one."""
        trace = "".join(traceback.format_exception(error))
        if isinstance(error, PixelGeneError):
            self.say(error.problem, error.mend, trace)
        else:
            problem = f"This is a defect of PixelGene: {type(error).__name__}: {error}"
            self.say(problem, "The window goes on; please report it with the details.", trace)

    def say(self, problem: str, mend: str = "", details: str = "") -> None:
        """Show a sentence and its next step."""
        problem, mend = in_window(problem), in_window(mend)
        self._text.setText(f"✗ {problem} {mend}".strip())
        self._copy.setText("Copy details")
        self.way_out.hide()
        self.details = f"napari-pixelgene {__version__}\n{problem}\n{mend}\n\n{details}".strip()
        self.show()

    def offer(self, text: str, does: Callable[[], Any]) -> None:
        """A button beside the sentence that is shown: where to mend it."""
        self.way_out.setText(text)
        self._does = does
        self.way_out.show()

    def clear(self) -> None:
        """Nothing is wrong any more."""
        self.hide()
        self._text.clear()
        self.details = ""

    def _to_clipboard(self) -> None:
        clipboard = QApplication.clipboard()
        if clipboard is not None:
            clipboard.setText(self.details)
        self._copy.setText("Copied")


def guarded(handler: Callable[..., Any]) -> Callable[..., Any]:
    """For methods that answer a button: what goes wrong is told in the `fault` box of their widget."""
    told = watched(handler)

    @wraps(handler)
    def safe(self: Any, *_: Any) -> Any:
        self.fault.clear()
        return told(self)

    return safe


def watched(handler: Callable[..., Any]) -> Callable[..., Any]:
    """The same for what nobody pressed a button for: what was told before stays until somebody does something."""

    @wraps(handler)
    def safe(self: Any, *_: Any) -> Any:
        try:
            return handler(self)
        except Cancelled:
            return None
        except Exception as error:  # noqa: BLE001 - the last one to hear of it: a person gets a sentence
            self.fault.tell(error)
            return None

    return safe
