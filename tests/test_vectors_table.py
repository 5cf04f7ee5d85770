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


def test_every_entry_has_a_row_and_every_row_an_entry(script: ModuleType) -> None:
    rows = {(file, entry) for file, some in script.ROWS.items() for entry in some}
    assert rows == set(script.entries())


def test_every_verdict_but_not_yet_has_its_test(script: ModuleType) -> None:
    for some in script.ROWS.values():
        for row in some.values():
            if row.verdict == script.LATER:
                assert row.why and not row.test
                continue
            file, _, function = row.test.partition("::")
            names = {n.name for n in ast.parse((ROOT / file).read_text()).body if isinstance(n, ast.FunctionDef)}
            assert function in names, row.test
            assert row.verdict == script.SAME or row.why


def test_a_failing_comparison_is_told(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--no-run"]) == 0
    printed = capsys.readouterr().out
    assert "| homography.json | caseA | matched |" in printed and "| hipt.json | vit256 | not yet |" in printed
    test = script.row("homography.json", "caseA").test
    assert "**matched: its test fails**" in script.table({test})
    assert script.failed(["tests/no_such_file.py::test_x"]) == {"tests/no_such_file.py::test_x"}
