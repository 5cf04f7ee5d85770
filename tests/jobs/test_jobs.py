"""Jobs: children that outlive who started them, are found again, stopped at once, and say how they ended."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from following import Started, until
from napari_pixelgene import jobs
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.jobs import folder, job, process, starting
from napari_pixelgene.progress import Note, Progress

STEADY = "step(1, 9, loss=0.5)\ntime.sleep(60)"
ENDED = "step(1, 1)\ntell(event='result', run='first', metrics={'r': 0.5})"


def gone(pid: int) -> bool:
    """Whether a process has ended; who is not its parent may see it a while longer as a zombie."""
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_what_it_tells_is_read_once_and_in_order(program: Started) -> None:
    made = program(
        "step(0, 2)\n"
        "tell(event='progress', stage='fit', done=1, total=2, message='', values={'held-out r': None})\n"
        "tell(event='note', level='warning', stage='', text='It is coarse.')\n"
        "print('a library says hello')\n"
        "tell(event='result', run='first')"
    )
    seen, position = [], 0
    until(lambda: made.state() == "done")
    while new := made.events(position):
        if not new[0]:
            break
        seen += new[0]
        position = new[1]
    assert seen[0] == Progress("fit", 0, 2) and math.isnan(seen[1].values["held-out r"])
    assert seen[2:4] == [Note("It is coarse.", "warning"), Note("a library says hello", stage="output")]
    assert seen[4]["run"] == "first" and made.result() == seen[4] and len(seen) == 5
    assert abs(seen[0].at - made.started) < 5
    assert made.events(position) == ([], position) and made.fault() is None


def test_half_a_line_waits_for_its_other_half(program: Started) -> None:
    made = program(ENDED)
    until(lambda: made.state() == "done")
    file = made.folder / "events.jsonl"
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    first, position = made.events(0)
    assert first == [Progress("fit", 1, 1)]
    until(lambda: made.state() == "failed")
    file.write_bytes(whole)
    second, end = made.events(position)
    assert second[0]["event"] == "result" and end == len(whole) and made.state() == "done"


def test_a_result_longer_than_a_block_is_found(program: Started) -> None:
    made = program("step(0, 1)\ntell(event='result', genes=['ERBB2'] * 200_000)")
    until(lambda: made.state() == "done")
    result = made.result()
    assert result is not None and len(result["genes"]) == 200_000
    events, position = made.events(0)
    assert events == [Progress("fit", 0, 1)]
    assert len(made.events(position)[0][0]["genes"]) == 200_000


@pytest.mark.parametrize("stubborn", [False, True])
def test_cancel_ends_the_whole_group_at_once_and_keeps_what_it_told(program: Started, stubborn: bool) -> None:
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" if stubborn else ""
    grandchild = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])"
    made = program(f"{deaf}child = {grandchild}\nstep(child.pid, 9)\nwhile True: sum(range(10**7))")
    until(lambda: made.events()[0])
    child = psutil.Process(made.events()[0][0].done)
    begun = time.monotonic()
    made.cancel()
    assert time.monotonic() - begun < 2.0
    assert made.state() == "cancelled" and made.fault() is None
    assert gone(made.pid)
    assert gone(child.pid)
    assert len(made.events()[0]) == 1


def test_a_job_outlives_who_started_it_and_is_found_again(tmp_path: Path) -> None:
    """Another process starts one and ends; here it is found, followed and stopped, though it is no child of ours."""
    starter = (
        "import sys; from pathlib import Path; from napari_pixelgene import jobs; from napari_pixelgene.jobs import "
        f"folder, starting; folder.user_state_path = lambda *a, **k: Path({str(tmp_path / 'state' / 'ours')!r})\n"
        'text = \'import json,time\\nprint(json.dumps(dict(event="progress",stage="fit",done=3,total=9)),flush=True)'
        "\\ntime.sleep(60)'\n"
        "starting.command_of = lambda config, overwrite=False: [sys.executable, '-c', text, str(config)]\n"
        f"jobs.start('Over night', '', [Path({str(tmp_path)!r}) / 'A.section.zarr'])"
    )
    subprocess.run([sys.executable, "-c", starter], check=True, timeout=30)
    (found,) = jobs.running()
    assert found.title == "Over night" and found.sections == ((tmp_path / "A.section.zarr").resolve(),)
    assert jobs.find(found.id) == found and jobs.working_on(tmp_path / "A.section.zarr") == found
    until(lambda: found.events()[0])
    assert found.events()[0][0] == Progress("fit", 3, 9)
    found.cancel()
    assert found.state() == "cancelled" and jobs.running() == [] and gone(found.pid)


@pytest.mark.skipif(os.name == "nt", reason="there is no SIGKILL")
def test_a_killed_child_failed_and_says_so(program: Started) -> None:
    made = program("sys.stderr.write('loading…\\n'); sys.stderr.flush()\n" + STEADY)
    until(lambda: made.events()[0])
    os.kill(made.pid, signal.SIGKILL)
    until(lambda: made.state() == "failed")
    fault = made.fault()
    assert fault is not None and "memory" in fault.problem and "continue" in fault.mend and fault.details == "loading…"
    process._children.pop(made.pid)  # as another napari sees it, which is not its parent
    fault = made.fault()
    assert fault is not None and "without saying why" in fault.problem


def test_a_crash_names_its_signal_and_a_traceback_is_its_details(program: Started) -> None:
    made = program("step(0, 1)\nos.kill(os.getpid(), signal.SIGSEGV)")
    until(lambda: made.state() == "failed")
    fault = made.fault()
    assert fault is not None and "SIGSEGV" in fault.problem
    broken = program("import no_such_package")
    until(lambda: broken.state() == "failed")
    fault = broken.fault()
    assert fault is not None and "could not begin" in fault.problem and "no_such_package" in fault.details


def test_an_error_is_told_in_the_childs_words(program: Started, tmp_path: Path) -> None:
    (tmp_path / "details.txt").write_text("Traceback: line 3", encoding="utf-8")
    said = {"event": "error", "problem": "There is no room.", "mend": "Free some.", "exit_code": 2}
    made = program(f"tell(**{said!r}, details={str(tmp_path / 'details.txt')!r})\nsys.exit(2)")
    until(lambda: made.state() == "failed")
    assert made.fault() == ("There is no room.", "Free some.", "Traceback: line 3")
    stopped = program("tell(event='error', problem='Stopped.', mend='', exit_code=130)\nsys.exit(130)")
    until(lambda: stopped.state() == "cancelled")


def test_two_jobs_never_write_one_section(program: Started, tmp_path: Path) -> None:
    a, b = tmp_path / "A.section.zarr", tmp_path / "B.section.zarr"
    first = program(STEADY, (a, b), "Train on A")
    with pytest.raises(PixelGeneError, match=r"'Train on A' is working on B\.section\.zarr.*cancel"):
        program(STEADY, (tmp_path / "x" / ".." / "B.section.zarr",))
    assert len(jobs.all()) == 1
    elsewhere = program(STEADY, (tmp_path / "C.section.zarr",))
    assert {j.id for j in jobs.running()} == {first.id, elsewhere.id}
    first.cancel()
    assert program(ENDED, (a,)).sections == (a.resolve(),)


def test_another_process_with_the_same_id_is_not_ours(program: Started) -> None:
    """The id of a job that is long gone now belongs to this test."""
    made = program(ENDED)
    until(lambda: made.state() == "done")
    process._children[made.pid].wait()
    (made.folder / "events.jsonl").write_text('{"event": "progress", "stage": "fit"}\n', encoding="utf-8")
    card = json.loads((made.folder / "job.json").read_text())
    (made.folder / "job.json").write_text(json.dumps({**card, "pid": os.getpid()}))
    again = jobs.find(made.id)
    assert again is not None and again.state() == "failed"
    again.cancel()  # and this test is still here
    own = {**card, "pid": os.getpid(), "born": psutil.Process().create_time()}
    (made.folder / "job.json").write_text(json.dumps(own))
    assert jobs.find(made.id).state() == "running"  # the ruler measures
    (made.folder / "job.json").unlink()  # or what clears up after tests would end this one


def test_a_restart_and_another_computer_lose_a_job(program: Started, monkeypatch: pytest.MonkeyPatch) -> None:
    made = program(STEADY)
    until(lambda: made.events()[0])
    made.cancel()
    (made.folder / "cancelled").unlink()
    assert made.state() == "failed"
    monkeypatch.setattr(job.psutil, "boot_time", lambda: time.time() + 100)
    assert made.state() == "lost" and "restarted" in made.fault().problem
    monkeypatch.setattr(job.platform, "node", lambda: "elsewhere")
    assert made.state() == "lost" and f"'{made.host}'" in made.fault().problem


def test_finished_jobs_are_forgotten_in_time_and_running_ones_never(
    program: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(folder, "KEPT_JOBS", 2)
    steady = program(STEADY, title="old but at work")
    for i in range(4):
        made = program(ENDED, title=f"{i}")
        until(lambda made=made: made.state() == "done")
    assert [j.title for j in jobs.all()] == ["3", "2", "1", "old but at work"]  # pruned when one is started
    with pytest.raises(PixelGeneError, match="still running"):
        jobs.forget(steady)
    jobs.forget(jobs.all()[0])
    assert [j.title for j in jobs.all()] == ["2", "1", "old but at work"]
    assert steady.seconds() > 0 and steady.state() == "running"


def test_a_folder_without_a_readable_card_is_no_job(program: Started) -> None:
    made = program(ENDED)
    (jobs.home() / "torn").mkdir()
    (jobs.home() / "torn" / "job.json").write_text("{")
    assert [j.id for j in jobs.all()] == [made.id] and not (jobs.home() / "torn" / "job.json").exists()


def test_a_place_that_takes_no_files_is_told(tmp_path: Path, program: Started) -> None:
    (tmp_path / "state").write_text("a file where a folder should be")
    with pytest.raises(PixelGeneError, match="cannot be started"):
        program(ENDED)


@pytest.mark.slow
def test_the_real_command_is_followed_to_its_end(tmp_path: Path) -> None:
    """`pixelgene run` on a settings file: an error of ours comes back as its sentence."""
    text = f'[[import]]\nsection = "{(tmp_path / "A.section.zarr").as_posix()}"\nkind = "image"\nhe = "/no/such.tif"\n'
    made = jobs.start("Import", text, [tmp_path / "A.section.zarr"], kind="import")
    assert made.config.read_text() == text and made.state() == "running"
    until(lambda: made.state() == "failed", 60)
    fault = made.fault()
    assert fault is not None and "such.tif" in fault.problem and fault.mend


def test_a_core_is_left_to_the_window_unless_a_person_said_otherwise(
    program: Started, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(psutil, "cpu_count", lambda logical=True: 4)
    words = "tell(event='result', **{k: os.environ[k] for k in ('OMP_NUM_THREADS', 'OMP_WAIT_POLICY', 'PYTHONUTF8')})"
    made = program(words)
    until(lambda: made.state() == "done")
    told = made.result()
    assert told is not None
    assert (told["OMP_NUM_THREADS"], told["OMP_WAIT_POLICY"], told["PYTHONUTF8"]) == ("3", "PASSIVE", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    assert starting.environment()["OMP_NUM_THREADS"] == "2"


def test_of_many_the_failed_ones_are_its_details(program: Started) -> None:
    failed = [{"what": "b.svs", "problem": "It is no slide.", "mend": "Copy it again."}]
    made = program(f"tell(event='error', problem='1 of 3 failed.', mend='Mend it.', exit_code=2, failed={failed!r})")
    until(lambda: made.state() == "failed")
    assert made.fault() == ("1 of 3 failed.", "Mend it.", "b.svs: It is no slide. Copy it again.")
