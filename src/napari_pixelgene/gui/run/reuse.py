"""A run that is there, used as it is on other sections: nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_pixelgene import jobs
from napari_pixelgene.errors import InputError
from napari_pixelgene.jobs import Job


def predict_with(run: str, home: Path, sections: Sequence[Path], device: str) -> Job:
    """Start predicting `sections` with a run that `home` holds. Raises PixelGeneError where that cannot be."""
    from napari_pixelgene.pipeline.config import PredictStep, RunConfig, to_toml

    if not sections:
        raise InputError("No section is ticked under Predict.", "Tick those to predict, above.")
    step = PredictStep(sections=tuple(sections), run=run, source=home, device=device)
    return jobs.start(f"Predict with {run}", to_toml(RunConfig(predict=step).tables()), sections)
