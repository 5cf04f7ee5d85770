"""Fails when the GUI exists and not one of its tests passed: a GUI suite that skips itself is switched off."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree

ROOT = Path(__file__).parents[1]


def passed_gui_tests(report: Path) -> int:
    """How many tests under tests/gui neither failed nor were skipped, in a JUnit report."""
    cases = ElementTree.parse(report).iter("testcase")
    return sum(
        case.get("classname", "").startswith("tests.gui.")
        and not {child.tag for child in case} & {"failure", "error", "skipped"}
        for case in cases
    )


def main(argv: list[str]) -> int:
    """Judge the JUnit report named by the only argument."""
    gui_files = [file for file in (ROOT / "src/napari_pixelgene/gui").rglob("*.py") if file.name != "__init__.py"]
    count = passed_gui_tests(Path(argv[0]))
    print(f"{count} GUI tests passed; the GUI has {len(gui_files)} files.")
    return 1 if gui_files and not count else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
