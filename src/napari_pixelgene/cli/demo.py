"""`pixelgene demo`: the whole flow on a simulated slide."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, default, of
from napari_pixelgene.simulate.settings import SimulationSettings


def demo(
    folder: Annotated[Path, Parameter(help="Where everything is written.")] = Path("demo"),
    *,
    width_um: Annotated[float, of(SimulationSettings, "width_um")] = default(SimulationSettings, "width_um"),
    height_um: Annotated[float, of(SimulationSettings, "height_um")] = default(SimulationSettings, "height_um"),
    genes: Annotated[int, of(SimulationSettings, "genes")] = default(SimulationSettings, "genes"),
    seed: Annotated[int, of(SimulationSettings, "seed")] = default(SimulationSettings, "seed"),
    window: Annotated[bool, Parameter(help="Leave the section open in napari, where there is a screen.")] = True,
    terminal: Listener,
) -> None:
    """Simulate a small slide and do the whole flow on it."""
    from napari_pixelgene.pipeline.demo import run_demo

    made = run_demo(folder, terminal, width_um, height_um, genes, seed, window)
    values = {"report": str(made.report), "metrics": str(made.metrics), "section": str(made.section)}
    terminal.result(values, str(made))
