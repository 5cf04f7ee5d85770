"""Molecules: each cell sheds Poisson counts around its centre, the instrument decodes most of them and assigns them."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from scipy.spatial import cKDTree

from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.simulate.cells import BLOCK_UM, VERTICES, Cells
from napari_pixelgene.simulate.detection import Detection
from napari_pixelgene.simulate.genes import Expression
from napari_pixelgene.simulate.placement import morphology_shape
from napari_pixelgene.simulate.settings import MORPHOLOGY_MPP

# How far molecules lie from the centre of their cell, a kind each: standard deviation in µm along x and y.
SPREAD_UM = np.array([3.2, 3.2, 4.6, 4.0, 2.4, 3.8, 5.0])
# Some drift farther off, into lumina and fat.
DRIFTED, DRIFT_UM = 0.3, 9.0
ACCEPTED = 0.88  # share of molecules decoded with a quality of 20 or more
CONTROL_SHARE = 0.004  # of all rows
PROBES, CODEWORDS, UNASSIGNED = 20, 41, 30
_SEEING = 61


@dataclass(frozen=True, slots=True)
class Molecules:
    """Rows of a transcript table in arrays of one length; `feature` counts genes, then controls, `cell` -1 is none."""

    feature: IntArray
    xy_um: FloatArray  # (n, 2) on the stage
    z_um: FloatArray
    quality: FloatArray
    cell: IntArray
    in_nucleus: BoolArray
    nucleus_distance_um: FloatArray

    def where(self, keep: BoolArray | IntArray) -> Molecules:
        """Some of them."""
        return Molecules(*(getattr(self, f.name)[keep] for f in fields(self)))

    def __len__(self) -> int:
        return len(self.feature)


def molecules_of(detection: Detection, expression: Expression, column: int, row: int) -> Molecules:
    """What the cells of one block shed within the run, decoded and assigned."""
    cells = detection.population.block(column, row)
    rng = np.random.default_rng([detection.settings.seed, _SEEING, column, row])
    n_genes = len(expression.programme.genes)
    gene, around = shed(cells, expression.rates(cells) / ACCEPTED, rng)
    feature, xy = _with_controls(gene, around, n_genes, rng)
    order = rng.permutation(len(xy))
    return _decoded(detection, feature[order], xy[order], rng)


def shed(cells: Cells, rates: FloatArray, rng: np.random.Generator) -> tuple[IntArray, FloatArray]:
    """Genes (n,) and places (n, 2) in H&E µm of molecules that cells lose at `rates` (cells, genes)."""
    counts = rng.poisson(rates)
    drawn = (np.repeat(axis, counts.ravel()) for axis in np.indices(counts.shape).reshape(2, -1))
    source, gene = (np.asarray(d, dtype=np.int64) for d in drawn)
    spread = np.where(rng.random(len(source)) < DRIFTED, DRIFT_UM, SPREAD_UM[cells.kind[source]])
    return gene, cells.xy_um[source] + rng.standard_normal((len(source), 2)) * spread[:, None]


def _with_controls(
    feature: IntArray, xy: FloatArray, n_genes: int, rng: np.random.Generator
) -> tuple[IntArray, FloatArray]:
    """A few rows of controls, lying among the others."""
    count = rng.poisson(CONTROL_SHARE * len(xy))
    control = n_genes + rng.integers(PROBES + CODEWORDS + UNASSIGNED, size=count)
    where = xy[rng.integers(max(len(xy), 1), size=count)] + rng.normal(0, 15, (count, 2)) if len(xy) else xy[:0]
    return np.concatenate([feature, control[: len(where)]]), np.concatenate([xy, where])


def _decoded(detection: Detection, feature: IntArray, xy_um: FloatArray, rng: np.random.Generator) -> Molecules:
    """Quality, stage coordinates and cell of molecules at points in H&E µm; those off the image are not seen."""
    accepted = rng.random(len(xy_um)) < ACCEPTED
    good = np.where(rng.random(len(xy_um)) < 0.75, 40.0, rng.uniform(20, 40, len(xy_um)))
    quality = np.where(accepted, good, rng.uniform(2, 19.9, len(xy_um))).astype(np.float32)
    z = rng.uniform(12, 24, len(xy_um)).astype(np.float32)
    pixels = detection.um_to_morphology.apply(xy_um) if len(xy_um) else xy_um
    size = np.array(morphology_shape(detection.settings))[::-1]
    on_image = ((pixels >= 0) & (pixels < size)).all(axis=1)
    cell, in_nucleus, away = assigned(detection, xy_um[on_image])
    found = feature[on_image], pixels[on_image] * MORPHOLOGY_MPP, z[on_image], quality[on_image]
    return Molecules(*found, cell, in_nucleus, away)


def assigned(detection: Detection, xy_um: FloatArray) -> tuple[IntArray, BoolArray, FloatArray]:
    """Number of the detected cell whose outline holds each point (n, 2) of H&E µm, else -1; in its nucleus; µm to it.

    Outlines never cross the middle line to a neighbour, so only the nearest centre can hold a point.
    """
    nothing = np.full(len(xy_um), -1), np.zeros(len(xy_um), dtype=bool), np.full(len(xy_um), 99.0, dtype=np.float32)
    if not len(xy_um):
        return nothing
    cells = detection.population.within(xy_um.min(axis=0) - BLOCK_UM / 4, xy_um.max(axis=0) + BLOCK_UM / 4)
    if not len(cells):
        return nothing
    _, nearest = cKDTree(cells.xy_um).query(xy_um)
    offset = xy_um - cells.xy_um[nearest]
    number = detection.number(cells)[nearest]
    inside = within_outline(cells.cell_um - cells.xy_um[:, None], nearest, offset) > 0
    to_nucleus = within_outline(cells.nucleus_um - cells.xy_um[:, None], nearest, offset)
    return (
        np.where(inside, number, -1),
        np.asarray((to_nucleus > 0) & (number >= 0)),
        np.maximum(-to_nucleus, 0).astype(np.float32),
    )


def within_outline(outline: FloatArray, which: IntArray, offset: FloatArray) -> FloatArray:
    """Signed distance in µm, positive inside, of points `offset` (n, 2) from a centre to the edge they face of outline
    `which` (n,), star-shaped around that centre: (m, VERTICES, 2)."""
    turn = np.arctan2(offset[:, 1], offset[:, 0]) % (2 * np.pi)
    sector = np.minimum((turn * (VERTICES / (2 * np.pi))).astype(np.int64), VERTICES - 1)
    start, stop = outline[which, sector], outline[which, (sector + 1) % VERTICES]
    edge, away = stop - start, offset - start
    return np.asarray((edge[:, 0] * away[:, 1] - edge[:, 1] * away[:, 0]) / np.hypot(edge[:, 0], edge[:, 1]))
