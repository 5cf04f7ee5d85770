"""What the first section would wait for is ready before it is opened."""

from __future__ import annotations

import subprocess
import sys

# In a process of its own: this one has loaded everything long ago.
_PROGRAM = """
import sys
import napari
from napari_pixelgene.gui.docks import show_dock
viewer = napari.Viewer(show=False)
before = {name for name in ("xarray", "polars") if name in sys.modules}
show_dock(viewer, "Section")
from napari_pixelgene.gui.warming import warm_up
thread = warm_up()
thread.join(60)
print(sorted(before), sorted({"xarray", "polars"} & set(sys.modules)), warm_up() is thread, thread.is_alive())
viewer.close()
"""


def test_a_dock_begins_to_load_what_a_section_needs_and_does_so_once():
    done = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, timeout=120)
    assert done.stdout.split("\n")[0] == "[] ['polars', 'xarray'] True False", done.stdout + done.stderr
