"""Write a model of your own, register it, train it, and keep it: nearest neighbours in feature space.

`napari_pixelgene/models/base.py` is the manual. A model is a recipe (`Model`, with what a person may choose in its
`Settings`) and what it has learned (`Fitted`). Tiles, files, folds and progress are the stages' business.
"""

import numpy as np
from pydantic import Field
from scipy import sparse
from scipy.spatial import cKDTree

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.models.base import Fitted, Model, TrainingData, TrainingSection, View
from napari_pixelgene.models.registry import get_model, register_model
from napari_pixelgene.settings import Section
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train


class NeighbourSettings(Section):
    neighbours: int = Field(15, ge=1, description="How many units that look alike are averaged.")


class FittedNeighbours(Fitted):
    """`features` (units, channels) of training units, `counts` (units, genes) in one superpixel of each, the total
    over all genes last, `mine` (members, units) who may look at whom."""

    def __init__(self, arrays, settings, genes: GeneTable) -> None:
        self._arrays, self._settings, self.genes = dict(arrays), settings, genes
        self.members = len(arrays["mine"])
        self._units = [np.flatnonzero(row) for row in arrays["mine"]]
        self._trees = [cKDTree(arrays["features"][units]) for units in self._units]

    def latent(self, view: View, device: str = "cpu"):
        """(members, where, neighbours): which training units look alike; all genes follow from that."""
        k = min(self._settings.neighbours, *map(len, self._units))
        near = [units[tree.query(view.features, k=[*range(1, k + 1)])[1]] for tree, units in self._pairs()]
        return np.stack(near)

    def decode(self, latent, genes, quantity):
        mean = self._arrays["counts"][latent].mean(axis=-2)  # (members, where, genes + 1)
        if quantity == "counts":
            return mean[..., genes]
        return np.log1p(1e4 * mean[..., genes] / np.maximum(mean[..., -1:], 1e-12))

    def arrays(self):
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays, settings, genes):
        return cls(arrays, settings, genes)

    def _pairs(self):
        return zip(self._trees, self._units, strict=True)


class Neighbours(Model):
    name, title = "neighbours", "Nearest neighbours in feature space"
    Settings, fitted = NeighbourSettings, FittedNeighbours

    def fit(self, data: TrainingData, on_event) -> FittedNeighbours:
        features = np.concatenate([np.asarray(s.pooling @ s.features) for s in data.sections])
        counts = np.concatenate([np.column_stack([s.counts.toarray(), s.library]) for s in data.sections])
        size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
        arrays = {"features": features, "counts": counts / size[:, None], "mine": data.fit | data.stop}
        return FittedNeighbours(arrays, self.settings, data.genes)


def made_up(units: int = 400, genes: int = 5, seed: int = 0) -> TrainingSection:
    """Units of one superpixel whose composition follows two features."""
    rng = np.random.default_rng(seed)
    features = rng.normal(size=(units, 4)).astype(np.float32)
    rate = 40 * np.exp(features[:, :2] @ np.random.default_rng(9).normal(size=(2, genes)) * 0.7)
    counts = rng.poisson(rate)
    xy_um = rng.uniform(0, 3000, (units, 2))
    return TrainingSection(
        "made up", features, sparse.identity(units, format="csr", dtype=np.float32), sparse.csr_matrix(counts),
        counts.sum(1).astype(float), xy_um,
    )  # fmt: skip


def main() -> float:
    register_model(
        "neighbours", f"{__name__}:Neighbours"
    )  # a package of yours would say "your_package.module:Neighbours"
    section, names = made_up(), GeneTable(tuple(f"GENE{i}" for i in range(5)))
    scored = np.arange(400) % 4 == np.arange(4)[:, None]  # four members, each scored on a quarter it has never seen
    data = TrainingData((section,), names, ("a", "b", "c", "d"), ~scored, np.zeros_like(scored))
    fitted = train(get_model("neighbours", {"neighbours": 9}), data).fitted
    log, _ = predict_units(fitted, section, np.arange(5), held_out=scored)
    truth = np.log1p(1e4 * section.counts.toarray() / section.library[:, None])
    r = float(np.mean([np.corrcoef(log[:, g], truth[:, g])[0, 1] for g in range(5)]))
    print(f"held-out correlation, mean over genes: {r:.2f}")
    return r


if __name__ == "__main__":
    main()
