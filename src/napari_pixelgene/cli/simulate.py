"""`pixelgene simulate`: a synthetic slide with its run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, whole
from napari_pixelgene.simulate.mother import MotherPlan, simulate_mother
from napari_pixelgene.simulate.run import simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings


def simulate(
    folder: Annotated[Path, Parameter(help="An empty or new folder.")],
    *,
    settings: Annotated[SimulationSettings | None, Parameter(name="*")] = None,
    visium: Annotated[bool, Parameter(help="Also a Visium run of the slide, visium/outs.", negative="")] = False,
    visium_hd: Annotated[bool, Parameter(help="Also a Visium HD run, visium_hd/outs.", negative="")] = False,
    captures: Annotated[
        int,
        Parameter(
            help="A mother slide instead: so many small Visium captures on it, each a batch of its own (D1, …).",
            converter=whole,
        ),
    ] = 0,
    terminal: Listener,
) -> None:
    """Write a synthetic slide and its Xenium run, or small captures on it, with known truth."""
    if captures > 0:
        return _mother(folder, settings or SimulationSettings(), captures, terminal)
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
    return None


def _mother(folder: Path, settings: SimulationSettings, captures: int, terminal: Listener) -> None:
    made = simulate_mother(folder, settings, MotherPlan(captures=captures), terminal)
    files = {"he": made.he, **made.captures}
    first = next(iter(made.captures.values()))
    told = f"A mother slide and {captures} captures are in {folder}. Next: pixelgene import visium NAME.section.zarr "
    told += f"--bundle {first} --he {made.he} --name D1, then the others with --add."
    terminal.result({k: str(p) for k, p in files.items()}, told)
