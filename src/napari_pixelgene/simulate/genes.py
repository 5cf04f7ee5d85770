"""Gene programmes: what an average cell of a kind, at a place, is expected to yield.

Four groups. `types` follow the kind of cell. `architecture` follows fields of 50 to 200 µm that the stain shows:
grade, collagen, nearness to glands and aggregates. `gradient` follows a slow field the stain shows faintly. `hidden`
follows fields of its own, one a gene, that nothing else in the slide depends on.

The visible genes of a cell share a fixed part of its total, so that the share of a hidden gene says nothing of the
histology.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.simulate.cells import KINDS, Cells
from napari_pixelgene.simulate.noise import LatticeNoise, normal
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.simulate.tissue import Architecture

GROUPS = ("types", "architecture", "gradient", "hidden")
# Transcripts of a cell of each kind against an average one: small round cells hold few, lone ones many, so that the
# depth of a place varies less than its crowding.
_TOTAL = np.array([0.72, 0.7, 1.5, 1.4, 0.5, 1.5, 2.6])
_SIZE_SD = 0.25
_HIDDEN_SD = 0.8
_HIDDEN_WEIGHT = 2.0  # abundance of a hidden gene against a visible one
_SIZE, _FIELD, _PANEL = 31, 32, 33


@dataclass(frozen=True, slots=True)
class Programme:
    """The panel: names, groups and coefficients, all drawn from `panel_seed`."""

    genes: GeneTable
    group: tuple[str, ...]
    by_kind: FloatArray  # (kinds, genes) relative abundance
    by_field: FloatArray  # (fields, genes) effect of a standardised field on the log
    hidden: FloatArray  # (genes,) share of a cell's total, 0 for visible genes

    @classmethod
    def drawn(cls, settings: SimulationSettings) -> Programme:
        """A panel of `settings.genes` genes, the groups mixed in order."""
        rng = np.random.default_rng([settings.panel_seed, _PANEL])
        group = _groups(settings, rng)
        is_hidden = group == "hidden"
        by_kind, by_field = _by_kind(group, rng), _by_field(group, rng)
        weight = is_hidden * rng.lognormal(0, 0.25, len(group)) * _HIDDEN_WEIGHT
        hidden = weight / (weight.sum() + (~is_hidden).sum())
        return cls(GeneTable(*_names(group)), tuple(group), by_kind * ~is_hidden, by_field, hidden)


def _groups(settings: SimulationSettings, rng: np.random.Generator) -> FloatArray:
    """The group of each gene: of the visible ones half types, three in eight architecture, one in eight gradient."""
    visible = settings.genes - settings.hidden_genes
    counts = [visible - round(visible * 3 / 8) - round(visible / 8), round(visible * 3 / 8), round(visible / 8)]
    return rng.permutation(np.repeat(np.array(GROUPS), [*counts, settings.hidden_genes]))


def _names(group: FloatArray) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Symbols that tell the group, and ids."""
    seen = dict.fromkeys(GROUPS, 0)
    symbols = []
    for name in group:
        seen[name] += 1
        symbols.append(f"{name[:3].upper()}{seen[name]:03d}")
    return tuple(symbols), tuple(f"SIMG{i + 1:011d}" for i in range(len(symbols)))


def _by_kind(group: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Relative abundance (kinds, genes): `types` genes belong to one kind, some to two; others to all alike."""
    out = np.ones((len(KINDS), len(group)))
    order = np.resize([0, 2, 4, 0, 5, 2, 1, 4, 3, 0, 2, 6], len(group))
    for n, gene in enumerate(np.flatnonzero(group == "types")):
        out[:, gene] = rng.uniform(0.04, 0.15, len(KINDS))
        out[order[n], gene] = 3.0
        if n % 4 == 3:
            out[order[(n * 5 + 2) % len(order)], gene] = 1.5
    return np.asarray(out * rng.lognormal(0, 0.45, len(group)))


def _by_field(group: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Effects (fields, genes): an architecture gene has one field of its own and a little of a second."""
    out = np.zeros((len(_FIELDS), len(group)))
    for n, gene in enumerate(np.flatnonzero(group == "architecture")):
        sign = 1 if n % 3 else -1
        out[(0, 1, 0, 2, 1, 3)[n % 6], gene] = sign * rng.uniform(0.75, 1.1)
        out[rng.integers(2), gene] += rng.normal(0, 0.25)
    gradient = group == "gradient"
    out[4, gradient] = np.resize([0.8, -0.8, 0.6], gradient.sum())
    return out


_FIELDS = ("grade", "collagen", "near_gland", "near_immune", "gradient")


def field_values(architecture: Architecture, xy_um: FloatArray) -> FloatArray:
    """The fields that genes follow at points (n, 2), about standardised: (n, 5) in the order of `_FIELDS`."""
    near_gland = np.exp(np.minimum(architecture.depth_um(xy_um), 0) / 45)
    near_immune = architecture.immune(xy_um, soft_um=28.0)
    return np.stack(
        [
            architecture.grade(xy_um),
            architecture.collagen(xy_um),
            (near_gland - 0.65) / 0.3,
            np.minimum((near_immune - 0.2) / 0.3, 2.0),
            architecture.gradient(xy_um),
        ],
        axis=1,
    )


class Expression:
    """Expected accepted counts of cells."""

    def __init__(self, settings: SimulationSettings, architecture: Architecture) -> None:
        self.settings = settings
        self.architecture = architecture
        self.programme = Programme.drawn(settings)
        self._hidden = LatticeNoise(settings.seed, _FIELD, settings.hidden_um, int((self.programme.hidden > 0).sum()))

    def rates(self, cells: Cells) -> FloatArray:
        """Expected accepted counts (cells, genes): Poisson noise is all that stands between them and the table."""
        panel = self.programme
        visible = panel.by_kind[cells.kind] * np.exp(field_values(self.architecture, cells.xy_um) @ panel.by_field)
        share = (1 - panel.hidden.sum()) * visible / visible.sum(axis=1, keepdims=True)
        is_hidden = panel.hidden > 0
        share[:, is_hidden] = panel.hidden[is_hidden] * self.hidden_factors(cells.xy_um)
        return np.asarray(self._totals(cells)[:, None] * share)

    def hidden_factors(self, xy_um: FloatArray) -> FloatArray:
        """By how much each hidden gene is raised at points (n, 2): (n, hidden genes), mean 1."""
        return np.asarray(np.exp(_HIDDEN_SD * self._hidden.at(xy_um) - _HIDDEN_SD**2 / 2))

    def _totals(self, cells: Cells) -> FloatArray:
        """Expected accepted transcripts of each cell."""
        draw = normal(self.settings.seed, _SIZE, cells.block[:, 0], cells.block[:, 1], cells.index)
        size = np.exp(_SIZE_SD * draw - _SIZE_SD**2 / 2)
        return np.asarray(self.settings.transcripts_per_cell * _TOTAL[cells.kind] * size)
