"""The size of things, the names, the manifest's link, the pins: rules of the house that no linter knows."""

from __future__ import annotations

import ast
import re
import statistics
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "napari_pixelgene"
FILES = sorted(SOURCE.rglob("*.py"))

LONGEST_FILE, LONGEST_GUI_FILE = 400, 300
LONGEST_FUNCTION, NINE_IN_TEN_UNDER, MEDIAN_UNDER = 60, 25, 8
MOST_PARAMETERS = 8

Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.AST) -> Iterator[Function]:
    """Every function and method, nested ones too."""
    return (node for node in ast.walk(tree) if isinstance(node, Function))


def function_lines(node: Function) -> int:
    """Lines from `def` to the end, docstring left out."""
    total = (node.end_lineno or node.lineno) - node.lineno + 1
    first = node.body[0]
    if ast.get_docstring(node, clean=False) is not None:
        total -= (first.end_lineno or first.lineno) - first.lineno + 1
    return total


def parameters(node: Function) -> int:
    """Named parameters, without `self`, `cls`, *args, **kwargs, and `on_event`, which every long work takes."""
    named = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len([name for name in named if name not in ("self", "cls", "on_event")])


def source_functions() -> list[tuple[str, Function]]:
    """(where, node) of every function of the package."""
    return [
        (f"{file.relative_to(SOURCE)}:{node.lineno} {node.name}", node)
        for file in FILES
        for node in functions(ast.parse(file.read_text(encoding="utf-8")))
    ]


def test_the_rulers_measure() -> None:
    """The rulers below are right on a function whose sizes are known."""
    head = "class A:\n  def f(self, a, /, b, *args, c=1, on_event=None, **kw):\n"
    code = head + '    """One.\n\n    Two.\n    """\n    x = 1\n    return x\n'
    node = next(functions(ast.parse(code)))
    assert function_lines(node) == 3
    assert parameters(node) == 3


def test_no_function_is_long() -> None:
    long = {where: n for where, node in source_functions() if (n := function_lines(node)) > LONGEST_FUNCTION}
    assert not long, f"Functions over {LONGEST_FUNCTION} lines: {long}"


def test_most_functions_are_short() -> None:
    sizes = sorted(function_lines(node) for _, node in source_functions())
    assert statistics.median(sizes) <= MEDIAN_UNDER
    assert sizes[int(0.9 * len(sizes))] <= NINE_IN_TEN_UNDER


def test_no_function_takes_too_many_parameters() -> None:
    many = {where: n for where, node in source_functions() if (n := parameters(node)) > MOST_PARAMETERS}
    assert not many, f"More than {MOST_PARAMETERS} parameters want a Settings: {many}"


def test_no_file_is_long() -> None:
    long = {}
    for file in FILES:
        lines = len(file.read_text(encoding="utf-8").splitlines())
        if lines > (LONGEST_GUI_FILE if "gui" in file.relative_to(SOURCE).parts else LONGEST_FILE):
            long[str(file.relative_to(SOURCE))] = lines
    assert not long, f"A file this long wants to be a folder: {long}"


def test_every_file_says_what_it_is() -> None:
    silent = [str(f.relative_to(SOURCE)) for f in FILES if not ast.get_docstring(ast.parse(f.read_text("utf-8")))]
    assert not silent, f"No module docstring: {silent}"


def test_no_file_has_a_name_that_means_nothing() -> None:
    empty = {"utils", "util", "helpers", "helper", "common", "misc", "_legacy", "legacy", "tools"}
    named = [str(file.relative_to(SOURCE)) for file in SOURCE.rglob("*") if file.stem.lower() in empty]
    assert not named


def test_the_manifest_at_the_top_is_the_one_inside() -> None:
    link, inside = ROOT / "napari.yaml", SOURCE / "napari.yaml"
    if not link.exists():
        pytest.skip("not a checkout: a source distribution holds the inner manifest only")
    assert link.is_symlink() and not Path(link.readlink()).is_absolute()
    assert link.resolve() == inside.resolve()
    assert link.read_bytes() == inside.read_bytes()


def pins() -> dict[str, str]:
    """Normalised name -> version of every line of constraints.txt, which may hold nothing else."""
    found = {}
    for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            match = re.fullmatch(r"([A-Za-z0-9._-]+)==([0-9][0-9a-z.]*)", line)
            assert match, f"constraints.txt holds exact pins only, not {line!r}"
            found[normalised(match[1])] = match[2]
    return found


def normalised(requirement: str) -> str:
    """The package a requirement names, as indexes spell it."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name, requirement
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_every_requirement_is_pinned() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = chain.from_iterable(project["project"]["optional-dependencies"].values())
    wanted = [*project["project"]["dependencies"], *extras, *project["dependency-groups"]["dev"]]
    names = {normalised(line) for line in wanted} - {"napari-pixelgene"}
    assert names <= pins().keys(), f"Not in constraints.txt: {sorted(names - pins().keys())}"


def test_pins_that_keep_machines_alive() -> None:
    """A plain torch fetches CUDA by the gigabyte; PySide6 6.12 aborts on Python 3.11."""
    assert pins()["torch"] == "2.13.0"
    assert tuple(map(int, pins()["pyside6"].split(".")[:2])) < (6, 12)


def test_core_asks_for_no_screen() -> None:
    """napari and a Qt binding come with extras only."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    core = {normalised(line) for line in project["dependencies"]}
    assert not core & {"napari", "pyside6", "pyside2", "pyqt6", "pyqt5", "pytest"}
    assert "napari" in {normalised(line) for line in project["optional-dependencies"]["gui"]}


def test_no_file_names_a_machine() -> None:
    """A path into somebody's home works on one machine only."""
    home = re.compile(r"/(?:root|home|Users)/\w")
    places = [ROOT / name for name in ("src", "tests", "docs", "examples", "benchmarks", "scripts", ".ci")]
    kinds = {".py", ".md", ".sh", ".toml", ".yaml", ".txt", ""}
    files = [f for place in places for f in place.rglob("*") if f.is_file() and f.suffix in kinds]
    files += [ROOT / "README.md", ROOT / "Makefile", ROOT / "pyproject.toml"]
    named = [str(f.relative_to(ROOT)) for f in files if f.exists() and home.search(f.read_text("utf-8"))]
    assert not named
