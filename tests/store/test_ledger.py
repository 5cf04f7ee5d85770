"""The ledger: kills at every file operation leave the old element or the new one, and the next run continues."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import ledger
from napari_pixelgene.store.ledger import Partial

# Writes five numbered pieces and publishes; kills itself at the n-th change of the file system.
WORKER = """
import os, signal, sys
from pathlib import Path
parent, fingerprint, fatal = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
from napari_pixelgene.store.ledger import Partial
seen = 0
CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate"}
def hook(event, args):
    global seen
    writes = event == "open" and args[1] is not None and any(c in args[1] for c in "wax+")
    if event in CHANGES or writes:
        seen += 1
        if seen == fatal:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
partial = Partial.begin(parent, "element", fingerprint)
wrote = 0
for i in range(5):
    if not partial.done(str(i)):
        (partial.path / str(i)).write_text(f"{fingerprint} {i}")
        partial.mark(str(i))
        wrote += 1
(partial.path / "zarr.json").write_text("{}")
partial.publish()
print(wrote, seen)
"""


def work(parent: Path, fingerprint: str, fatal: int = 0) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-c", WORKER, str(parent), fingerprint, str(fatal)], capture_output=True, text=True
    )
    assert done.returncode in (0, -9), done.stderr
    return done.returncode, done.stdout


def write(parent: Path, fingerprint: str) -> None:
    """What the worker does, in this process."""
    partial = Partial.begin(parent, "element", fingerprint)
    for i in range(5):
        if not partial.done(str(i)):
            (partial.path / str(i)).write_text(f"{fingerprint} {i}")
            partial.mark(str(i))
    (partial.path / "zarr.json").write_text("{}")
    partial.publish()


def content(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != ledger.LEDGER}


def whole(fingerprint: str) -> dict[str, str]:
    return {"zarr.json": "{}"} | {str(i): f"{fingerprint} {i}" for i in range(5)}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
def test_a_kill_at_any_file_operation_leaves_the_old_or_the_new_and_resumes(tmp_path: Path) -> None:
    outcomes = set()
    for fatal in range(1, 100):
        parent = tmp_path / str(fatal)
        write(parent, "old")
        code, _ = work(parent, "new", fatal)
        seen = ledger.locate(parent, "element")
        assert seen is not None, f"nothing readable after a kill at operation {fatal}"
        assert content(seen) in (whole("old"), whole("new"))
        assert ledger.names(parent) == ["element"]
        outcomes.add(content(seen)["0"][:3])
        write(parent, "new")
        assert content(parent / "element") == whole("new")
        assert [path.name for path in parent.iterdir()] == ["element"]
        assert not (parent / "element" / ledger.LEDGER).exists()
        if code == 0:
            break
    assert fatal > 20 and outcomes == {"old", "new"}


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
def test_a_kill_while_an_unfinished_element_is_discarded_never_leaves_half_of_it_as_done(tmp_path: Path) -> None:
    for fatal in range(1, 12):
        parent = tmp_path / str(fatal)
        half = Partial.begin(parent, "element", "half")
        for i in range(3):
            (half.path / str(i)).write_text(f"half {i}")
            half.mark(str(i))
        work(parent, "new", fatal)
        write(parent, "half")
        assert content(parent / "element") == whole("half")


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL is a POSIX signal")
def test_finished_pieces_are_not_written_again(tmp_path: Path) -> None:
    work(tmp_path, "a", fatal=9)
    finished = Partial.begin(tmp_path, "element", "a").finished
    assert 0 < len(finished) < 5
    _, said = work(tmp_path, "a")
    assert int(said.split()[0]) == 5 - len(finished)


def test_the_ledger_goes_before_what_it_speaks_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Partial.begin(tmp_path, "x", "a").mark("1")

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ledger.shutil, "rmtree", killed)
    with pytest.raises(KeyboardInterrupt):
        Partial.begin(tmp_path, "x", "b")
    monkeypatch.undo()
    assert not Partial.begin(tmp_path, "x", "a").resumed


def test_another_fingerprint_starts_afresh(tmp_path: Path) -> None:
    first = Partial.begin(tmp_path, "x", "a")
    (first.path / "data").write_text("old")
    first.mark("0,0")
    assert Partial.begin(tmp_path, "x", "a").done("0,0")
    second = Partial.begin(tmp_path, "x", "b")
    assert not second.resumed and not second.done("0,0") and not (second.path / "data").exists()


@pytest.mark.parametrize("torn", [b'"tile', b'"tile 2"', b"\x00\x00"])
def test_a_torn_last_line_is_not_done_and_does_not_spoil_the_next(tmp_path: Path, torn: bytes) -> None:
    partial = Partial.begin(tmp_path, "x", "a")
    partial.mark("tile 1")
    with (partial.path / ledger.LEDGER).open("ab") as file:
        file.write(torn)
    again = Partial.begin(tmp_path, "x", "a")
    assert again.finished == {"tile 1"}
    again.mark("tile 3\nwith a break")
    assert Partial.begin(tmp_path, "x", "a").finished == {"tile 1", "tile 3\nwith a break"}


def test_a_garbled_ledger_starts_afresh(tmp_path: Path) -> None:
    partial = Partial.begin(tmp_path, "x", "a")
    partial.mark("1")
    path = partial.path / ledger.LEDGER
    path.write_bytes(json.dumps({"fingerprint": "a"}).encode() + b"\n\x00\x00\n")
    assert not Partial.begin(tmp_path, "x", "a").resumed


def test_unfinished_elements_are_not_listed(tmp_path: Path) -> None:
    partial = Partial.begin(tmp_path, "x", "a")
    (partial.path / "zarr.json").write_text("{}")
    assert ledger.names(tmp_path) == [] and ledger.locate(tmp_path, "x") is None
    assert partial.publish() == tmp_path / "x"
    assert ledger.names(tmp_path) == ["x"]


def test_torn_chunks_of_an_earlier_kill_are_swept(tmp_path: Path) -> None:
    partial = Partial.begin(tmp_path, "x", "a")
    (partial.path / "zarr.json").write_text("{}")
    (partial.path / "0.0123456789abcdef0123456789abcdef.partial").write_text("half a chunk")
    (partial.path / "notes.partial").write_text("someone's own")
    final = partial.publish()
    assert sorted(path.name for path in final.iterdir()) == ["notes.partial", "zarr.json"]


def test_remove_takes_it_out_of_sight(tmp_path: Path) -> None:
    partial = Partial.begin(tmp_path, "x", "a")
    (partial.path / "zarr.json").write_text("{}")
    partial.publish()
    ledger.remove(tmp_path, "x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["", ".", "a/b", "a\\b", "..", ".hidden", "x.partial", "x.replaced", "zarr.json", "a:b"]
)
def test_names_that_would_escape_or_collide_are_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(StoreError, match="cannot name"):
        Partial.begin(tmp_path, name, "a")
    assert list(tmp_path.iterdir()) == []
