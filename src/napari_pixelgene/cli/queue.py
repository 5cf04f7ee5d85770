"""`pixelgene queue`: a folder of slides with one run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, Overwrite, default, given, of
from napari_pixelgene.pipeline.config import PredictStep, read_config
from napari_pixelgene.pipeline.importing import ImportSettings
from napari_pixelgene.pipeline.queueing import plan_queue
from napari_pixelgene.pipeline.running import run_config


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """What is predicted, and how the slides are read."""

    mpp: Annotated[float | None, of(ImportSettings, "mpp")] = None
    genes: Annotated[
        tuple[str, ...],
        Parameter(help="Predict these only.", consume_multiple=True, negative="", show_default=False),
    ] = ()
    device: Annotated[str, of(PredictStep, "device")] = default(PredictStep, "device")


def queue(
    slides: Annotated[
        list[Path], Parameter(help="A folder of slides, or slides and sections.", consume_multiple=True, negative="")
    ],
    /,
    *,
    run: Annotated[str, Parameter(help="Name of the trained run.")],
    source: Annotated[Path, Parameter(name="--from", help="The section that holds the run.")],
    out: Annotated[Path, Parameter(help="Where sections and table are written.")],
    chosen: Chosen = Chosen(),
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Predict a folder of slides with one run; one that fails stops no other."""
    fields = given(genes=list(chosen.genes) or None, device=chosen.device)
    named = slides[0] if len(slides) == 1 else slides
    plan = plan_queue(named, run, source, out, chosen.mpp, fields, terminal)
    file = out / "queue.toml"
    out.mkdir(parents=True, exist_ok=True)
    file.write_text(plan.toml(), encoding="utf-8")
    done = run_config(read_config(file), terminal, overwrite)
    terminal.result(done, f"{len(plan.slides)} slides are done: {plan.table}. The same again: pixelgene run {file}")
