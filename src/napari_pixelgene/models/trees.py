"""A forest of regression trees on the mean features of a unit.

scikit-learn grows the trees, all components of the composition and the total in one (`models/targets.py`). What is
saved is plain arrays: for every node the channel it asks, its threshold, its two children and its mean target. They
are walked with numpy, so a stored run needs no scikit-learn and no pickle.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field

from napari_pixelgene.models.base import Model, TrainingData, View
from napari_pixelgene.models.targets import FittedComponents, component_targets
from napari_pixelgene.models.units import distinct, drawn, merged, unit_means
from napari_pixelgene.progress import OnEvent, Progress
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.elements.arrays import Array, FloatArray
    from napari_pixelgene.elements.genes import GeneTable

_ROWS = 16_384
_NO_CHILD = -1


class TreesSettings(Section):
    """Settings of the forest."""

    forest: Literal["extra", "random"] = Field(
        "extra", description="extra: thresholds drawn at random (extremely randomised trees); random: a random forest."
    )
    trees: int = Field(100, ge=1, description="Trees in the forest.")
    least_units: int = Field(5, ge=1, description="Units that a leaf holds at least.")
    channels_tried: float = Field(0.33, gt=0, le=1, description="Share of the channels tried at each split.")
    components: int = Field(8, ge=1, description="Principal components of the targets.")


class FittedTrees(FittedComponents):
    """Beside the arrays of `FittedComponents`: `channel`, `threshold`, `left`, `right` (nodes,) and `value` (nodes,
    components + 1) of all trees one after another, a leaf being its own child; `roots` (forests, trees);
    `forest_of` (members,)."""

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedTrees:
        """See `Fitted.from_arrays`."""
        return cls(arrays, settings, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, where, components + 1)."""
        flat = view.features.reshape(-1, view.features.shape[-1]).astype(np.float32)
        forests = [self._forest(flat, roots) for roots in self._arrays["roots"]]
        out = np.stack([forests[i] for i in self._arrays["forest_of"]])
        return out.reshape(self.members, *view.features.shape[:-1], out.shape[-1])

    def _forest(self, flat: FloatArray, roots: Array) -> FloatArray:
        """(where, components + 1): the mean over trees."""
        value = self._arrays["value"]
        out = np.zeros((len(flat), value.shape[1]), dtype=np.float32)
        for start in range(0, len(flat), _ROWS):
            part = slice(start, start + _ROWS)
            for root in roots:
                out[part] += value[self._leaves(flat[part], int(root))]
        return out / np.float32(len(roots))

    def _leaves(self, x: FloatArray, root: int) -> Array:
        """(where,) the leaf that each row of x ends in."""
        a, rows = self._arrays, np.arange(len(x))
        node = np.full(len(x), root, dtype=np.int64)
        while True:
            below = np.where(x[rows, a["channel"][node]] <= a["threshold"][node], a["left"][node], a["right"][node])
            if np.array_equal(below, node):
                return node
            node = below


class TreesModel(Model):
    """A forest in feature space."""

    name: ClassVar[str] = "trees"
    title: ClassVar[str] = "A forest of regression trees on the mean features of a unit (baseline)"
    Settings = TreesSettings
    joins_bins: ClassVar[bool] = True
    fitted = FittedTrees

    def fit(self, data: TrainingData, on_event: OnEvent) -> FittedTrees:
        """One forest for each set of units; members that learn from the same units share it."""
        data = merged(data)
        learned = data.fit | data.stop
        targets = component_targets(data, self.settings.components, learned)
        means = unit_means(data).astype(np.float32)
        first, forest_of = distinct(learned)
        forests = []
        for done, member in enumerate(first):
            on_event(Progress("fit", done, len(first)))
            forests.append(self._grow(means[learned[member]], targets.values[member, learned[member]], data.seed))
        arrays = targets.arrays() | plain_arrays(forests) | {"forest_of": forest_of}
        fitted = FittedTrees(arrays, self.settings, data.genes)
        latents = ((units, fitted.latent(View(data.sections[i].features[rows]))) for units, rows, i in drawn(data))
        fitted.calibrate(latents, data, learned)
        on_event(Progress("fit", len(first), len(first)))
        return fitted

    def _grow(self, x: FloatArray, y: FloatArray, seed: int) -> Sequence[Any]:
        """The fitted trees of scikit-learn."""
        from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

        chosen = self.settings
        kind = ExtraTreesRegressor if chosen.forest == "extra" else RandomForestRegressor
        forest = kind(
            n_estimators=chosen.trees, min_samples_leaf=chosen.least_units, max_features=chosen.channels_tried,
            random_state=seed % (1 << 32),
        )  # fmt: skip
        found: Sequence[Any] = forest.fit(x, y).estimators_
        return found


def plain_arrays(forests: Sequence[Sequence[Any]]) -> dict[str, Array]:
    """Trees of scikit-learn as arrays: nodes of all trees one after another, children numbered from the first."""
    parts: dict[str, list[Array]] = {name: [] for name in ("channel", "threshold", "left", "right", "value")}
    roots, start = np.zeros((len(forests), len(forests[0])), dtype=np.int64), 0
    for place in np.ndindex(roots.shape):
        tree = forests[place[0]][place[1]].tree_
        leaf, own = tree.children_left == _NO_CHILD, np.arange(tree.node_count)
        parts["channel"].append(np.where(leaf, 0, tree.feature).astype(np.int32))
        parts["threshold"].append(np.where(leaf, np.inf, tree.threshold))
        parts["left"].append((np.where(leaf, own, tree.children_left) + start).astype(np.int32))
        parts["right"].append((np.where(leaf, own, tree.children_right) + start).astype(np.int32))
        parts["value"].append(tree.value.reshape(tree.node_count, -1).astype(np.float32))
        roots[place] = start
        start += tree.node_count
    return {name: np.concatenate(some) for name, some in parts.items()} | {"roots": roots}
