"""The window while a run trains: frame times beside those of an idle window, and how soon a cancelled child is gone.

Run: xvfb-run -s "-screen 0 1600x1200x24" python benchmarks/window.py [rounds]     (with a screen: without xvfb-run)

A slide is panned on napari's real canvas, one move a frame, idle and while a run of the Run dock trains, in turns;
the child is then cancelled in the middle of a tile. Wants a quiet machine. Beside the wall time of a frame stands the
processor time of the window's own thread, which neighbours do not count in. Without a graphics card Mesa draws with
every core there is, which the run then takes a share of; one thread of it (LP_NUM_THREADS) stands for a card.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ROUNDS, SECONDS = 3, 8.0
WIDTH_UM, HEIGHT_UM = 1600, 1200


def make_section(folder: Path) -> Path:
    """A simulated slide with a registered run."""
    from napari_pixelgene.pipeline.aligning import register_matrix
    from napari_pixelgene.pipeline.importing import import_section
    from napari_pixelgene.pipeline.sources.xenium import XeniumSource
    from napari_pixelgene.simulate.run import simulate_run
    from napari_pixelgene.simulate.settings import SimulationSettings

    tissue = SimulationSettings(width_um=WIDTH_UM, height_um=HEIGHT_UM, genes=60, hidden_genes=3, seed=2)
    made = simulate_run(folder / "run", tissue)
    store = import_section(folder / "slide.section.zarr", made.he, XeniumSource(bundle=made.bundle))
    register_matrix(store, made.folder / "he_imagealignment.csv")
    return store.path


def until(true, seconds: float = 120.0) -> None:
    """Serve the window until it is so."""
    from qtpy.QtTest import QTest

    end = time.monotonic() + seconds
    while not true():
        if time.monotonic() > end:
            raise TimeoutError("it did not happen in time")
        QTest.qWait(20)


def frames(viewer, seconds: float) -> np.ndarray:
    """(frames, 2) milliseconds from frame to frame while the slide is panned in a circle, and of the window's own
    thread; every frame is really drawn."""
    from qtpy.QtWidgets import QApplication

    canvas = viewer.window._qt_viewer.canvas.native
    turn, times = 0.0, []
    end = last = time.perf_counter()
    end, worked = end + seconds, time.thread_time()
    while last < end:
        turn += 0.02
        middle = (0.0, HEIGHT_UM / 2 + 300 * np.sin(turn), WIDTH_UM / 2 + 300 * np.cos(turn))
        viewer.scene.camera.center = middle
        canvas.repaint()
        QApplication.processEvents()
        now, own = time.perf_counter(), time.thread_time()
        times.append((1000 * (now - last), 1000 * (own - worked)))
        last, worked = now, own
    return np.array(times[5:])


def start_run(dock, epochs: int = 100_000):
    """Press Run with settings that train for longer than is measured."""
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    form = dock.options.forms["pixel2gene"]
    form.set_value(form.kind(epochs=epochs, patience=epochs))
    dock.options.score.setChecked(False)
    until(dock.run.isEnabled)
    QTest.mouseClick(dock.run, Qt.MouseButton.LeftButton)
    return dock.progress.running


def cancel(dock, job) -> float:
    """Seconds from the click on Cancel until the child is gone."""
    import psutil
    from qtpy.QtCore import Qt
    from qtpy.QtTest import QTest

    begun = time.perf_counter()
    QTest.mouseClick(dock.progress.cancel, Qt.MouseButton.LeftButton)
    until(lambda: not psutil.pid_exists(job.pid) or psutil.Process(job.pid).status() == psutil.STATUS_ZOMBIE, 10)
    gone = time.perf_counter() - begun
    until(lambda: dock.progress.running is None)
    return gone


def stage(dock) -> str:
    """The stage that the followed job is in."""
    story = dock.progress.story
    return story.lines[-1].stage if story is not None and story.lines else ""


def told(name: str, times: np.ndarray) -> str:
    """A row of the table."""
    wall, own = times.T
    middle, most, nearly_all = np.percentile(wall, (50, 95, 99))
    return f"| {name} | {middle:.1f} | {most:.1f} | {nearly_all:.1f} | {wall.max():.1f} | {np.median(own):.1f} |"


def main(rounds: int) -> None:
    """Print the table."""
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("LP_NUM_THREADS", "1")
        os.environ["XDG_STATE_HOME"] = str(Path(folder) / "state")
        section = make_section(Path(folder))

        import napari

        from napari_pixelgene.gui.docks import show_dock
        from napari_pixelgene.gui.session import session_of

        viewer = napari.Viewer()
        viewer.window.resize(1400, 1000)
        session_of(viewer).open(section)
        dock = show_dock(viewer, "Run")
        until(lambda: dock.state == "full" and bool(dock.found))
        viewer.scene.camera.zoom = 1.2
        frames(viewer, 2.0)

        job = start_run(dock)
        until(lambda: stage(dock) == "features")
        in_tile = cancel(dock, job)
        idle, busy, gone = [], [], []
        for _ in range(rounds):
            idle.append(frames(viewer, SECONDS))
            job = start_run(dock)
            until(lambda: stage(dock) == "fit" and len(dock.progress.story.curve.reached) > 1, 600)
            busy.append(frames(viewer, SECONDS))
            gone.append(cancel(dock, job))
        quiet, training = np.concatenate(idle), np.concatenate(busy)
        print("| window | median ms | 95 % | 99 % | longest | own thread, median ms |\n|---|---|---|---|---|---|")
        print(told("idle", quiet))
        print(told("while a run trains", training))
        wall, own = np.median(training, axis=0) / np.median(quiet, axis=0)
        stalls, idle_stalls = ((times[:, 0] > 200).sum() for times in (training, quiet))
        print(f"\nmedian {wall:.2f} × idle, own thread {own:.2f} ×; frames over 200 ms: {stalls} (idle: {idle_stalls})")
        print(f"cancelled in the middle of a tile: gone after {in_tile:.2f} s; while it trains: {max(gone):.2f} s")
        viewer.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else ROUNDS)
