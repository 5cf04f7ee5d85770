"""From files to a gene map in Python: simulate a small run, align it, train, score, predict.

python examples/01_from_files_to_a_map.py [FOLDER]
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

import napari_pixelgene as pg
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.stages.folds import FoldSettings

folder = Path(sys.argv[1] if len(sys.argv) > 1 else tempfile.mkdtemp())

# A real Xenium output folder and its H&E; put your own in their place.
run = pg.simulate_run(folder / "simulated", SimulationSettings(width_um=700, height_um=560, genes=24, hidden_genes=8))

section = pg.import_section(folder / "simulated.section.zarr", he=run.he, source=pg.XeniumSource(bundle=run.bundle))
registration = pg.register_keypoints(section, run.keypoints)
print(registration.recommendation)

settings = FitSettings(
    genes="panel",
    model_settings={"epochs": 2, "hidden": 32},  # a minute's training is not enough for a paper
    folds=FoldSettings(block_um=150, folds=3, partitions=1),  # 500 µm blocks need a larger slide than this one
)
print(pg.evaluate([section], settings=settings).verdict)

pg.fit([section], "first", settings)
maps = pg.predict(section, "first")
gene = maps.genes.symbols[0]
print(f"{gene}: {np.nanmean(maps.levels[0][0]):.2f} {maps.unit} on average over the tissue")
