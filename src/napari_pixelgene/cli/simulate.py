"""`pixelgene simulate`: a synthetic slide with its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener
from napari_pixelgene.simulate.run import simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings


def simulate(
    folder: Annotated[Path, Parameter(help="An empty or new folder.")],
    *,
    settings: Annotated[SimulationSettings | None, Parameter(name="*")] = None,
    visium: Annotated[bool, Parameter(help="Also a Visium run of the slide, visium/outs.", negative="")] = False,
    visium_hd: Annotated[bool, Parameter(help="Also a Visium HD run, visium_hd/outs.", negative="")] = False,
    terminal: Listener,
) -> None:
    """Write a synthetic slide and its Xenium run, with known truth."""
    made = simulate_run(folder, settings or SimulationSettings(), terminal, visium, visium_hd)
    files = {"bundle": made.bundle, "he": made.he, "keypoints": made.keypoints, "truth": made.truth}
    files |= {kind: path for kind in ("visium", "visium_hd") if (path := getattr(made, kind)) is not None}
    runs = {"xenium": made.bundle, "visium": made.visium, "visium-hd": made.visium_hd}
    next_steps = [
        f"pixelgene import {kind} NAME.section.zarr --bundle {path} --he {made.he}"
        for kind, path in runs.items()
        if path is not None
    ]
    told = f"A slide and its run{'s' if len(next_steps) > 1 else ''} are in {folder}. Next: {' or '.join(next_steps)}"
    terminal.result({k: str(p) for k, p in files.items()}, told)
