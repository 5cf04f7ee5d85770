"""A mother slide: one large H&E and several small captures on it, each a batch of its own, with known truth.

Nothing is held of the slide: the image is drawn strip by strip, a capture sheds the molecules around it, and the true
rates are worked out of any tile when asked for. Captures are Visium runs whose image was the mother slide.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from napari_pixelgene.arithmetic.tiles import Tile
from napari_pixelgene.elements.arrays import BoolArray, FloatArray
from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.simulate.capture_area import CaptureArea
from napari_pixelgene.simulate.cells import Population
from napari_pixelgene.simulate.genes import Expression
from napari_pixelgene.simulate.run import write_he
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.simulate.truth import expected, lattice_shape, tissue_of
from napari_pixelgene.simulate.visium import Assay, write_visium

# Where captures lie, as shares of the slide, and how they are turned: in no row, at no corner.
_CENTRES = ((0.25, 0.28), (0.73, 0.22), (0.51, 0.53), (0.27, 0.75), (0.76, 0.74))
_TURNS = (1.8, -3.1, 12.0, -8.0, 2.6)
_LONGEST_UM = 6500.0
_BATCH = 91


@dataclass(frozen=True, slots=True)
class MotherPlan:
    """How many captures of which side lie on the slide, and how much runs differ: the standard deviation of the log of
    a gene's yield and of a run's depth."""

    captures: int = 5
    side_um: float | None = None  # a fifth of the slide's shorter side, at most that of a Visium slide
    gene_sd: float = 0.25
    depth_sd: float = 0.3

    def areas(self, settings: SimulationSettings) -> list[CaptureArea]:
        """Where the captures lie."""
        size = np.array([settings.width_um, settings.height_um])
        side = self.side_um or min(0.2 * float(size.min()), _LONGEST_UM)
        places = [(_CENTRES[i % len(_CENTRES)], _TURNS[i % len(_TURNS)]) for i in range(self.captures)]
        return [CaptureArea.at(np.array(centre) * size, side, turn) for centre, turn in places]


@dataclass(frozen=True, slots=True)
class SimulatedMother:
    """The slide, its captures by name, and what is true of it."""

    folder: Path
    he: Path
    captures: dict[str, Path]
    areas: tuple[CaptureArea, ...]
    yields: FloatArray  # (captures, genes)
    population: Population
    expression: Expression

    @property
    def genes(self) -> tuple[str, ...]:
        """The panel."""
        return self.expression.programme.genes.symbols

    @property
    def group(self) -> dict[str, str]:
        """The pattern that each gene follows (simulate/genes.py)."""
        return dict(zip(self.genes, self.expression.programme.group, strict=True))

    @property
    def yx_shape(self) -> tuple[int, int]:
        """(rows, columns) of the slide in superpixels."""
        return lattice_shape(self.population.settings)

    def rates(self, tile: Tile) -> FloatArray:
        """Expected counts (genes, rows, columns) of the superpixels of a tile, at a yield of 1."""
        parts = [block for _, block in expected(self.population, self.expression, tile)]
        return np.concatenate(parts)

    def tissue(self, tile: Tile) -> BoolArray:
        """(rows, columns) which superpixels of a tile lie on tissue."""
        return tissue_of(self.population, tile)


def simulate_mother(
    folder: Path,
    settings: SimulationSettings,
    plan: MotherPlan | None = None,
    on_event: OnEvent = silent,
) -> SimulatedMother:
    """Write `he.ome.tif` and `D1/outs`, `D2/outs`, … into `folder`; what is there already is not written again."""
    plan = plan or MotherPlan()
    folder.mkdir(parents=True, exist_ok=True)
    population = Population(settings)
    expression = Expression(settings, population.architecture)
    he, areas = folder / "he.ome.tif", plan.areas(settings)
    if not he.exists():
        write_he(he, settings, population, on_event)
    rng = np.random.default_rng([settings.seed, _BATCH])
    genes = len(expression.programme.genes)
    yields = np.exp(
        plan.gene_sd * rng.standard_normal((plan.captures, genes))
        + plan.depth_sd * rng.standard_normal((plan.captures, 1))
    )
    captures = {f"D{i + 1}": folder / f"D{i + 1}" / "outs" for i in range(plan.captures)}
    for i, (area, outs) in enumerate(zip(areas, captures.values(), strict=True)):
        if not (outs / "spatial" / "scalefactors_json.json").exists():
            write_visium(outs, population, expression, he, on_event, Assay(area, yields[i], i + 1))
    return SimulatedMother(folder, he, captures, tuple(areas), yields, population, expression)
