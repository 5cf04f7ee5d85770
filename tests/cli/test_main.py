"""The command's face: light to start, in flow order, every subcommand there, every ending an exit code."""

from __future__ import annotations

import errno
import importlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from napari_pixelgene import __version__
from napari_pixelgene.cli import main as command
from napari_pixelgene.cli.faults import guarded
from napari_pixelgene.cli.main import main
from napari_pixelgene.cli.terminal import Terminal
from napari_pixelgene.errors import Cancelled, InputError

NAMES = [name for _, name, _, _ in command._COMMANDS]
_KINDS = [name.replace("-", "_") for name, _ in command._IMPORTS]
PLACES = [where for _, _, where, _ in command._COMMANDS] + [f"importing:import_{kind}" for kind in _KINDS]
HEAVY = ("torch", "zarr", "scipy", "numpy", "polars", "anndata", "napari", "qtpy", "matplotlib", "cv2", "skimage")


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield tmp_path / "state"


def test_help_names_every_command_in_flow_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = [line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith("│ ")]
    shown = [word for word in shown if word in ("import", *NAMES)]
    assert shown == ["import", *NAMES]
    assert shown.index("register") < shown.index("fit") < shown.index("predict") < shown.index("evaluate")


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from napari_pixelgene.cli.main import main; main(['--help']); main(['--version'])\n"
        f"print([n for n in {HEAVY!r} if n in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


@pytest.mark.parametrize("where", PLACES)
def test_every_command_is_where_the_table_says(where: str) -> None:
    module, _, name = where.partition(":")
    function = getattr(importlib.import_module(f"napari_pixelgene.cli.{module}"), name)
    assert function.__doc__


@pytest.mark.parametrize("words", [["import", name] for name, _ in command._IMPORTS] + [[name] for name in NAMES])
def test_every_command_explains_itself(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """A sentence, and a word to every option; those that mirror a setting have the setting's."""
    assert main([*words, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    sentence = dict([(n, s) for _, n, _, s in command._COMMANDS] + list(command._IMPORTS))[words[-1]]
    assert sentence in out
    if words == ["fit"]:
        assert "Side of a spatial block in µm" in out and "[default: 500.0]" in out


def test_an_import_error_is_not_taken_for_an_unknown_command(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], state: Path
) -> None:
    """A broken package is told as what it is, with its traceback kept."""
    monkeypatch.delitem(sys.modules, "napari_pixelgene.cli.info", raising=False)
    monkeypatch.setitem(sys.modules, "napari_pixelgene.pipeline.describing", None)
    assert main(["info", "A.section.zarr"]) == 1
    said = capsys.readouterr().err
    assert "napari_pixelgene.pipeline.describing" in said and "Traceback" not in said
    (kept,) = (state / "napari-pixelgene" / "errors").iterdir()
    assert str(kept) in said and "Traceback" in kept.read_text(encoding="utf-8")


def failing(error: BaseException) -> Callable[[], int]:
    def work() -> int:
        raise error

    return work


@pytest.mark.parametrize(
    ("error", "code", "words"),
    [
        (InputError("It is blue.", "Paint it."), 2, "error: It is blue. Paint it."),
        (OSError(errno.ENOSPC, "full", "a/b"), 2, "no room on the disk to write a/b"),
        (PermissionError(errno.EACCES, "no", "a/b"), 2, "a/b cannot be read or written: permission denied"),
        (MemoryError(), 2, "memory"),
        (KeyboardInterrupt(), 130, "What is finished is kept"),
        (Cancelled(), 130, "What is finished is kept"),
        (ZeroDivisionError("by zero"), 1, "defect of pixelgene: ZeroDivisionError: by zero"),
        (OSError(errno.EIO, "input/output"), 1, "defect"),
    ],
)
def test_what_leaves_a_command_becomes_a_sentence_and_a_code(
    error: BaseException, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert guarded(failing(error), Terminal("none")) == code
    said = capsys.readouterr()
    assert words in said.err and "Traceback" not in said.err and said.out == ""


def test_machines_hear_of_errors_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(failing(InputError("It is blue.", "Paint it.")), Terminal("json")) == 2
    said = capsys.readouterr()
    told = json.loads(said.out)
    assert told.pop("time") > 0
    assert told == {"event": "error", "problem": "It is blue.", "mend": "Paint it.", "exit_code": 2, "details": None}
    assert said.err == "error: It is blue. Paint it.\n"


def test_debug_shows_the_traceback(capsys: pytest.CaptureFixture[str], state: Path) -> None:
    assert guarded(failing(ZeroDivisionError("by zero")), Terminal("none"), debug=True) == 1
    assert "Traceback" in capsys.readouterr().err
    assert not state.exists()


def test_a_reader_that_left_is_no_defect() -> None:
    """`pixelgene models | head -1` ends in silence."""
    script = f"{sys.executable} -m napari_pixelgene.cli.main models --json | head -1"
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "{\n" and done.stderr == ""


@pytest.mark.parametrize(
    "words",
    [
        ("fit", "--train", "A", "--run", "r", "--epochs"),
        ("simulate", "F", "--captures"),
        ("evaluate", "--run", "r", "--halves"),
    ],
)
def test_a_whole_number_is_not_rounded(words: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*words, "2.5"]) == 2
    assert f"Invalid value for {words[-1]}: 2.5 is no whole number." in " ".join(capsys.readouterr().err.split())
