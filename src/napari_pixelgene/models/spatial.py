"""Interpolation of what was measured on the same section: what place alone says, without histology.

A place gets the weighted mean of the nearest measured units (`smooth`: weights fall as exp(-d² / 2h²); h is what
predicts a training unit best from the others), or the value at it of the triangles between the units (`linear`). What
is interpolated are components of the composition and the total (`models/targets.py`). On a section without measured
units, or where they are what is scored, the answer is the training mean everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy.spatial import QhullError, cKDTree

from napari_pixelgene.arithmetic.targets import log1p_cp10k
from napari_pixelgene.models.base import Context, Model, Needs, TrainingData, View
from napari_pixelgene.models.targets import FittedComponents, component_targets
from napari_pixelgene.models.units import distinct, merged, merged_section
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import TrainingSection

_NEIGHBOURS = 32
# Widths that are tried, in distances between neighbouring units.
_WIDTHS = (0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 3.0)


class SpatialSettings(Section):
    """Settings of the interpolation."""

    method: Literal["smooth", "linear"] = Field(
        "smooth", description="smooth: a weighted mean of the units near by; linear: on the triangles between them."
    )
    components: int = Field(16, ge=1, description="Principal components of the targets.")


class FittedSpatial(FittedComponents):
    """Beside the arrays of `FittedComponents`: `width_um` (members,) of the weights, `linear` (1,),
    `mean` (members, components + 1) of the units each member learned from, and `same_as` (members,), equal for members
    that learned from the same ones."""

    def __init__(self, arrays: Mapping[str, Array], settings: object, genes: GeneTable) -> None:
        super().__init__(arrays, settings, genes)
        self._known: tuple[Context, _Measured] | None = None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedSpatial:
        """See `Fitted.from_arrays`."""
        return cls(arrays, settings, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, where, components + 1); the training mean for a member without measured units."""
        where, mean = view.features.shape[:-1], self._arrays["mean"].astype(np.float32)
        out: FloatArray = np.repeat(mean[:, None], int(np.prod(where)), axis=1)
        if view.context is not None:
            assert view.xy_um is not None
            measured, xy = self._measured(view.context), view.xy_um.reshape(-1, 2)
            learned_alike = self._arrays["same_as"][:, None] == np.arange(self.members)
            first, which = distinct(np.column_stack([measured.use, learned_alike]))
            answers = [self._answer(measured, m, xy, out[m]) for m in first]
            out = np.stack([answers[i] for i in which])
        return out.reshape(self.members, *where, out.shape[-1])

    def _answer(self, measured: _Measured, member: int, xy: FloatArray, nothing: FloatArray) -> FloatArray:
        use = measured.use[member]
        if not use.any():
            return nothing
        known, values = measured.xy_um[use], measured.values[member][use]
        if self._arrays["linear"][0]:
            return linear(known, values, xy).astype(np.float32)
        return smooth(known, values, xy, float(self._arrays["width_um"][member])).astype(np.float32)

    def _measured(self, context: Context) -> _Measured:
        """The context's units as targets; kept, because the next tile asks of the same ones."""
        if self._known is None or self._known[0] is not context:
            self._known = context, self._targets(context)
        return self._known[1]

    def _targets(self, context: Context) -> _Measured:
        section, use = merged_section(context.section, context.use)
        return _Measured(section.xy_um, self.values_of(section), use)

    def values_of(self, section: TrainingSection) -> FloatArray:
        """(members, units, components + 1) of measured units, on the scale of the training sections."""
        a = self._arrays
        spread = np.where(a["gene_sd"] > 0, a["gene_sd"], 1.0)
        z = (log1p_cp10k(section.counts, section.library) - a["gene_mean"]) / spread
        mean, sd = a["total"]
        total = (np.log(np.maximum(section.library, 1.0)) - mean) / max(sd, 1e-8)
        basis = a["components"].astype(np.float64) / a["scale"][:, None, None]
        each = [np.column_stack([z @ b.T, total]) for b in basis]
        return np.stack(each)


class _Measured:
    """Measured units ready to be interpolated: `xy_um` (n, 2), `values` (members, n, outputs), `use` (members, n)."""

    def __init__(self, xy_um: FloatArray, values: FloatArray, use: BoolArray) -> None:
        self.xy_um, self.values, self.use = xy_um, values, use


def smooth(known_um: FloatArray, values: FloatArray, xy_um: FloatArray, width_um: float) -> FloatArray:
    """(where, outputs) weighted means of the nearest units; far from all of them, the nearest one's value."""
    distance, index = cKDTree(known_um).query(xy_um, min(_NEIGHBOURS, len(known_um)))
    distance, index = distance.reshape(len(xy_um), -1), index.reshape(len(xy_um), -1)
    return _weighted(distance, values[index], width_um)


def _weighted(distance: FloatArray, values: FloatArray, width_um: float) -> FloatArray:
    square = distance**2 - distance[:, :1] ** 2  # the nearest weighs 1 however far it is
    weight = np.exp(-square / (2 * width_um**2))
    out: FloatArray = np.einsum("nk,nkc->nc", weight / weight.sum(1, keepdims=True), values)
    return out


def linear(known_um: FloatArray, values: FloatArray, xy_um: FloatArray) -> FloatArray:
    """(where, outputs) on the triangles between units; outside of them all, the nearest one's value."""
    from scipy.interpolate import LinearNDInterpolator

    nearest = cKDTree(known_um).query(xy_um)[1]
    out = np.asarray(values[nearest], dtype=np.float64)
    try:
        inside = LinearNDInterpolator(known_um, values)(xy_um)
    except (QhullError, ValueError):  # fewer than three units, or all on one line
        return out
    return np.where(np.isfinite(inside), inside, out)


def best_width_um(known_um: list[FloatArray], values: list[FloatArray]) -> float:
    """The width by which units of the sections are best predicted from the other units of theirs."""
    pitches, errors = [], np.zeros(len(_WIDTHS))
    found = [cKDTree(xy).query(xy, min(_NEIGHBOURS + 1, len(xy))) for xy in known_um if len(xy) > 2]
    pitches = [float(np.median(distance[:, 1])) for distance, _ in found]
    if not found:
        return 100.0
    pitch = float(np.mean(pitches))
    for (distance, index), own in zip(found, [v for v in values if len(v) > 2], strict=True):
        others = own[index[:, 1:]]
        for i, width in enumerate(_WIDTHS):
            errors[i] += ((_weighted(distance[:, 1:], others, width * pitch) - own) ** 2).sum()
    return _WIDTHS[int(errors.argmin())] * pitch


class SpatialModel(Model):
    """Interpolation of measured units."""

    name: ClassVar[str] = "spatial"
    title: ClassVar[str] = "Interpolation of the units measured on the same section, without histology (baseline)"
    needs = Needs(positions=True, context_counts=True)
    without_context: ClassVar[str] = "every place gets the training mean"
    Settings = SpatialSettings
    joins_bins: ClassVar[bool] = True
    fitted = FittedSpatial

    def fit(self, data: TrainingData, on_event: OnEvent) -> FittedSpatial:
        """Components of each member's own units, and how far a unit speaks for its surroundings."""
        data = merged(data)
        learned = data.fit | data.stop
        targets = component_targets(data, self.settings.components, learned)
        section = data.section_of_unit
        parts: list[IntArray] = [np.flatnonzero(section == i) for i in range(len(data.sections))]
        xy = np.concatenate([s.xy_um for s in data.sections])
        widths: list[float] = []
        first, which = distinct(learned)
        for member in first:
            mine = [p[learned[member, p]] for p in parts]
            widths.append(best_width_um([xy[p] for p in mine], [targets.values[member, p] for p in mine]))
        arrays = targets.arrays() | {
            "width_um": np.array([widths[i] for i in which]),
            "mean": np.stack([v[rows].mean(0) for v, rows in zip(targets.values, learned, strict=True)]),
            "same_as": which,
            "linear": np.array([self.settings.method == "linear"]),
        }
        fitted = FittedSpatial(arrays, self.settings, data.genes)
        self._calibrate(fitted, data, parts, learned)
        on_event(Progress("fit", data.members, data.members))
        return fitted

    def _calibrate(self, fitted: FittedSpatial, data: TrainingData, parts: list[IntArray], learned: BoolArray) -> None:
        """Factors on counts, from what the units of each section say of themselves and of one another."""
        latents = []
        for part, section in zip(parts, data.sections, strict=True):
            view = View(np.zeros((len(part), 0), np.float32), section.xy_um, 0, Context(section, learned[:, part]))
            latents.append((part, fitted.latent(view)[:, :, None]))
        fitted.calibrate(latents, data, learned)
