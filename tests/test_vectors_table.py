"""The table of reference vectors leaves nothing out, and every test it names is there."""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def script() -> ModuleType:
    found = importlib.util.spec_from_file_location("vectors_table", ROOT / "scripts" / "vectors_table.py")
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    sys.modules["vectors_table"] = module
    found.loader.exec_module(module)
    if not module.FOLDER.is_dir():
        pytest.skip("shared/vectors is not beside the repository")
    return module


SYSTEMS = ("pixel2gene", "iscale", "histex", "histosge", "stpath")


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_row_has_an_entry(script: ModuleType, system: str) -> None:
    rows = {(file, entry) for file, some in script.rows_of(system).items() for entry in some}
    assert rows <= set(script.entries(system))


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_verdict_but_not_yet_has_its_test(script: ModuleType, system: str) -> None:
    for some in script.rows_of(system).values():
        for row in some.values():
            if row.verdict == script.LATER:
                assert row.why and not row.test
                continue
            file, _, function = row.test.partition("::")
            names = {n.name for n in ast.parse((ROOT / file).read_text()).body if isinstance(n, ast.FunctionDef)}
            assert function in names, row.test
            assert row.verdict == "matched" or row.why


def test_a_failing_comparison_is_told(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--no-run", "pixel2gene"]) == 0
    printed = capsys.readouterr().out
    assert "| pixel2gene | homography.json | caseA | matched |" in printed and "| iscale |" not in printed
    test = script.row("pixel2gene", "homography.json", "caseA").test
    assert "**matched: its test fails**" in script.table(["pixel2gene"], {test})
    assert script.failed(["tests/no_such_file.py::test_x"]) == {"tests/no_such_file.py::test_x"}
