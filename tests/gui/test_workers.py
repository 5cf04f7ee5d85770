"""Work in a thread, at the end of the process: it is asked to stop, and has the time to."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import time
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QApplication
from napari_pixelgene.gui import workers
from napari_pixelgene.progress import Progress

app, owner = QApplication([]), QObject()

def work(hear):
    try:
        for i in range(2000):
            time.sleep(0.01)
            hear(Progress("work", i, 2000))
    finally:
        print("left in order", flush=True)

task = workers.start(owner, work, print, print)
while task.progress is None:
    time.sleep(0.01)
"""


def test_what_still_runs_when_the_process_ends_leaves_in_order():
    asked = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(asked, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0 and "left in order" in done.stdout, done.stderr
