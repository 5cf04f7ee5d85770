"""The small simulated section that people try first: slide, run, keypoints, a quick model and its maps.

`python -m napari_pixelgene.pipeline.sample FOLDER` makes it and tells its progress as JSON lines.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.pipeline.aligning import register_keypoints
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.judging import judge_run
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Event, OnEvent, silent
from napari_pixelgene.simulate.run import simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.registration import RegistrationSettings

SECTION, RUN = "simulated.section.zarr", "pixelgene-sample"
TISSUE = SimulationSettings(
    width_um=1250,
    height_um=1000,
    genes=30,
    hidden_genes=3,
    transcripts_per_cell=100,
    perspective=0.01,
    click_sd_um=0.1,
    seed=3,
)
# Enough to look at within seconds on two cores; a real run learns longer.
LEARNING = FitSettings(
    genes="all",
    folds=FoldSettings(folds=4),
    model_settings={"epochs": 6, "batch_units": 256, "units_per_epoch": 6000, "hidden": 96},
)


def make_sample(
    folder: Path,
    on_event: OnEvent = silent,
    tissue: SimulationSettings = TISSUE,
    learning: FitSettings = LEARNING,
) -> Path:
    """Write the run, the slide and the section with maps into `folder`; gives the section. Half a minute's work."""
    made = simulate_run(folder, tissue, on_event)
    store = import_section(folder / SECTION, made.he, XeniumSource(bundle=made.bundle), None, on_event, overwrite=True)
    register_keypoints(store, made.keypoints, RegistrationSettings(kind="homography"), on_event=on_event)
    fit([store], RUN, learning, on_event)
    predict(store, RUN, on_event=on_event)
    judge_run(RUN, [store], (), learning, on_event=on_event)
    return store.path


def print_event(event: Event) -> None:
    """One JSON line on standard output."""
    print(json.dumps(event.as_dict()), flush=True)


def main(argv: list[str]) -> int:
    """Make the sample in the folder that is the only argument."""
    try:
        make_sample(Path(argv[0]), print_event)
    except PixelGeneError as error:
        print(json.dumps({"event": "error", "problem": error.problem, "mend": error.mend}), flush=True)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
