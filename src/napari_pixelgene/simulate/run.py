"""One call: a slide, the run that measured it, keypoints, and the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.simulate.cells import Population
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.genes import Expression
from napari_pixelgene.simulate.histology import Histology
from napari_pixelgene.simulate.placement import clicked, exact_keypoints, morphology_to_he
from napari_pixelgene.simulate.pyramid import PyramidPlan, write_pyramid
from napari_pixelgene.simulate.settings import SimulationSettings, name_of
from napari_pixelgene.simulate.truth import write_keypoints, write_transform, write_truth
from napari_pixelgene.simulate.visium import write_visium, write_visium_hd
from napari_pixelgene.simulate.xenium import write_run

_HE_TILE_PX = 512


@dataclass(frozen=True, slots=True)
class SimulatedRun:
    """Where everything lies. `morphology_to_he` is the true 3×3 matrix between level-0 pixels."""

    folder: Path
    bundle: Path
    he: Path
    keypoints: Path
    truth: Path
    morphology_to_he: FloatArray
    visium: Path | None = None
    visium_hd: Path | None = None


def simulate_run(
    folder: Path,
    settings: SimulationSettings,
    on_event: OnEvent = silent,
    visium: bool = False,
    visium_hd: bool = False,
) -> SimulatedRun:
    """Write a synthetic slide with a Xenium run of it into `folder`.

    `outs/` is the run, `he.ome.tif` the slide, `keypoints.csv` pairs as clicked by hand, `he_imagealignment.csv` the
    true matrix in Xenium Explorer's direction (H&E to morphology), `truth/` what a measurement only samples. On request
    `visium/outs` and `visium_hd/outs` are runs of the same slide on those arrays.
    """
    run = SimulatedRun(
        folder,
        folder / "outs",
        folder / "he.ome.tif",
        folder / "keypoints.csv",
        folder / "truth",
        morphology_to_he(settings).matrix,
        folder / "visium" / "outs" if visium else None,
        folder / "visium_hd" / "outs" if visium_hd else None,
    )
    folder.mkdir(parents=True, exist_ok=True)
    population = Population(settings)
    expression = Expression(settings, population.architecture)
    detection = Detection.of(settings, population)
    write_run(run.bundle, detection, expression, on_event)
    write_he(run.he, settings, population, on_event)
    write_truth(run.truth, detection, expression, on_event)
    _write_alignment(run, settings, population)
    if run.visium is not None:
        write_visium(run.visium, population, expression, run.he, on_event)
    if run.visium_hd is not None:
        write_visium_hd(run.visium_hd, population, expression, run.he, on_event)
    return run


def write_he(path: Path, settings: SimulationSettings, population: Population, on_event: OnEvent) -> None:
    """The slide as an OME-TIFF of tiles in JPEG, a strip at a time."""
    metadata = {
        "UUID": name_of(settings, "he"),
        "PhysicalSizeX": settings.he_mpp,
        "PhysicalSizeXUnit": "µm",
        "PhysicalSizeY": settings.he_mpp,
        "PhysicalSizeYUnit": "µm",
    }
    options = {"photometric": "rgb", "compression": "jpeg", "compressionargs": {"level": 90}}
    plan = PyramidPlan(settings.he_shape, 3, "uint8", settings.he_mpp, _HE_TILE_PX, options, metadata)
    write_pyramid(path, plan, Histology(settings, population).render, "histology", on_event)


def _write_alignment(run: SimulatedRun, settings: SimulationSettings, population: Population) -> None:
    """Keypoints on nuclei of the middle of the slide, and the matrix as Xenium Explorer writes it."""
    transform = morphology_to_he(settings)
    exact = exact_keypoints(settings, _landmarks(population))
    write_transform(run.truth, transform, exact)
    write_keypoints(run.keypoints, clicked(exact, settings))
    inverse = transform.inverse().matrix
    np.savetxt(run.folder / "he_imagealignment.csv", inverse / inverse[2, 2], delimiter=",", fmt="%.12g")


def _landmarks(population: Population) -> FloatArray:
    """Nuclei to click, at most a few a block."""
    columns, rows = population.blocks
    return np.concatenate([population.block(i, j).xy_um[::40] for j in range(rows) for i in range(columns)])
