"""The command, and what it must say when the input is bad."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

from napari_pixelgene.cli.main import main

COMMAND = (sys.executable, "-m", "napari_pixelgene.cli.main")


def environment(cwd: Path) -> dict[str, str]:
    """One thread, and state of its own."""
    return {**os.environ, "OMP_NUM_THREADS": "1", "XDG_STATE_HOME": str(cwd / "state")}


def pixelgene(
    *arguments: object, cwd: Path, before: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run it to its end: here, which saves seconds of imports, or in a child, which calls `before` first."""
    if before is None:
        return _here(tuple(map(str, arguments)), cwd)
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=cwd,
        env=environment(cwd),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        preexec_fn=before,
    )


def _here(arguments: tuple[str, ...], cwd: Path) -> subprocess.CompletedProcess[str]:
    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), patch.dict(os.environ, environment(cwd)), redirect_stdout(out), redirect_stderr(err):
        code = main(list(arguments))
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())


def assert_told(done: subprocess.CompletedProcess[str], *words: str) -> None:
    """Exit code 2, one error sentence that holds these words, no traceback."""
    assert done.returncode == 2, f"exit code {done.returncode}: {done.stderr}"
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1, done.stderr
    for word in words:
        assert word in errors[0], f"'{word}' is not in: {errors[0]}"


def content(folder: Path) -> str:
    """A hash of every file's name and bytes."""
    digest = hashlib.blake2b()
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        digest.update(path.relative_to(folder).as_posix().encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
