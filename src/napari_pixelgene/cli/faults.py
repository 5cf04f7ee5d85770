"""From what went wrong to a sentence on standard error and an exit code.

2: a person can mend it (bad input, a full disk, a wrong option). 130: stopped by a person. 1: a defect of ours,
with the traceback in a file. Nothing computed is lost by any of them: stages keep what is finished.
"""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import Cancelled, PixelGeneError

if TYPE_CHECKING:
    from napari_pixelgene.cli.terminal import Terminal

DEFECT, BAD_INPUT, STOPPED, NO_READER = 1, 2, 130, 141
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}
KEPT = "What is finished is kept: run the same command again to continue."


def guarded(work: Callable[[], int], terminal: Terminal, debug: bool = False) -> int:
    """Run a subcommand; whatever leaves it becomes an exit code, said on standard error."""
    try:
        return work()
    except BrokenPipeError:
        # Nobody reads any more; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return NO_READER
    except (KeyboardInterrupt, Cancelled):
        return _tell(terminal, "Stopped.", KEPT, STOPPED)
    except Exception as error:  # noqa: BLE001 - the last one to hear of it: a person gets a sentence, not a traceback
        known = in_words(error)
        if debug:
            terminal.close()
            traceback.print_exc()
        if known is not None:
            return _tell(terminal, known.problem, known.mend, BAD_INPUT, failures=getattr(known, "failures", ()))
        details = None if debug else _keep_details(error)
        return _tell(terminal, _defect(error), _where(details, debug), DEFECT, details)
    finally:
        terminal.close()


def in_words(error: BaseException) -> PixelGeneError | None:
    """The sentence for what a person can mend, None for what is our own fault."""
    if isinstance(error, PixelGeneError):
        return error
    if isinstance(error, OSError) and error.errno in _FULL | _FORBIDDEN:
        return _of_disk(error)
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return PixelGeneError(
            "The memory is not enough.", f"Close other programs, or use --device cpu or fewer genes. {KEPT}"
        )
    return None


def _defect(error: BaseException) -> str:
    """What went wrong, in the words of the error below it where a package could not be loaded."""
    if isinstance(error, ImportError):
        why = error.__cause__ if isinstance(error.__cause__, ImportError) else error
        return f"A package is missing or broken: {why}. `pixelgene doctor` tells which, and how to mend it."
    return f"This is a defect of pixelgene: {type(error).__name__}: {error}."


def _of_disk(error: OSError) -> PixelGeneError:
    name = error.filename or "the section"
    if error.errno in _FULL:
        return PixelGeneError(f"There is no room on the disk to write {name}.", f"Free some space. {KEPT}")
    return PixelGeneError(f"{name} cannot be read or written: permission denied.", "Ask for permission, or copy it.")


def _tell(
    terminal: Terminal,
    problem: str,
    mend: str,
    code: int,
    details: Path | None = None,
    failures: Sequence[tuple[str, str, str]] = (),
) -> int:
    if terminal.mode == "json":
        line: dict[str, Any] = {"event": "error", "problem": problem, "mend": mend, "exit_code": code}
        line["details"] = str(details) if details is not None else None
        failed = [dict(zip(("what", "problem", "mend"), each, strict=True)) for each in failures]
        terminal.line({**line, "failed": failed} if failed else line)
    terminal.write(f"{'' if code == STOPPED else 'error: '}{problem} {mend}".rstrip())
    return code


def _keep_details(error: BaseException) -> Path | None:
    """Write the traceback where state belongs; None where that cannot be."""
    text = "".join(traceback.format_exception(error))
    try:
        path = _details_file()
        path.write_text(f"{' '.join(sys.argv)}\n\n{text}", encoding="utf-8")
    except OSError:
        return None
    return path


def _where(details: Path | None, debug: bool) -> str:
    """Where a person finds the traceback."""
    if debug:
        return "The traceback is above."
    if details is None:
        return "Its traceback could not be written; run again with --debug to see it."
    return f"Details in {details}"


def _details_file() -> Path:
    from platformdirs import user_state_path

    folder = user_state_path("napari-pixelgene", appauthor=False) / "errors"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{datetime.now():%Y%m%d-%H%M%S}-{os.getpid()}.txt"
