"""Print a table of the reference vectors of the five systems: matched, different on purpose, or not yet.

Every file in ../shared/vectors has a row, or one for each of its entries; scripts/vectors/SYSTEM.py holds them. A
row that is not "not yet" names the test that compares; the tests are run, and a row whose test fails or is missing
says so. With --no-run the table is printed without running them; with names of systems only theirs.
"""

from __future__ import annotations

import importlib
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT.parent / "shared" / "vectors"
sys.path.insert(0, str(ROOT / "scripts" / "vectors"))

from rows import LATER, Row  # noqa: E402  (the folder of rows is known only now)

SYSTEMS = ("pixel2gene", "iscale", "histex", "histosge", "stpath")
# What stands in the folders besides vectors.
_ASIDE = ("README.md",)


def rows_of(system: str) -> dict[str, dict[str, Row]]:
    """{file: {entry: row}} of a system."""
    found: dict[str, dict[str, Row]] = importlib.import_module(system).ROWS
    return found


def entries(system: str) -> list[tuple[str, str]]:
    """(file, entry) of everything in a system's folder: the top-level names of a JSON file, or "*" for all of it."""
    found, rows = [], rows_of(system)
    for path in sorted((FOLDER / system).rglob("*")):
        file = path.relative_to(FOLDER / system).as_posix()
        if not path.is_file() or path.name in _ASIDE:
            continue
        if path.suffix == ".json" and "*" not in rows.get(file, {}):
            content = json.loads(path.read_text(encoding="utf-8"))
            found += [(file, name) for name in content if name != "note"]
        else:
            found.append((file, "*"))
    return found


def row(system: str, file: str, entry: str) -> Row:
    """The row of an entry; one that nobody has looked at is not yet done."""
    return rows_of(system).get(file, {}).get(entry, Row(LATER, "nobody has looked at it"))


def failed(tests: list[str]) -> set[str]:
    """Those of the tests that do not pass."""
    command = [sys.executable, "-m", "pytest", "-q", "--no-header", "-rfEs", "--tb=no", *tests]
    run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    lines = [line for line in run.stdout.splitlines() if line.startswith(("FAILED", "ERROR", "SKIPPED"))]
    if run.returncode not in (0, 1):
        return set(tests)
    return {test for test in tests if any(test in line or ("SKIPPED" in line) for line in lines)}


def table(systems: list[str], bad: set[str]) -> str:
    """The table in markdown."""
    lines = ["| system | file | entry | verdict | why | compared in |", "| --- | --- | --- | --- | --- | --- |"]
    for system in systems:
        for file, entry in entries(system):
            r = row(system, file, entry)
            verdict = f"**{r.verdict}: its test fails**" if r.test in bad else r.verdict
            lines.append(f"| {system} | {file} | {entry} | {verdict} | {r.why} | {r.test and f'`{r.test}`'} |")
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Print the table; 1 when a comparison fails."""
    if not FOLDER.is_dir():
        print("The reference vectors (shared/vectors) are not beside the repository.", file=sys.stderr)
        return 2
    systems = [name for name in SYSTEMS if name in argv] or list(SYSTEMS)
    tests = sorted({row(s, *e).test for s in systems for e in entries(s)} - {""})
    bad = failed(tests) if "--no-run" not in argv else set()
    print(table(systems, bad))
    return 1 if bad else 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
