"""Places that look alike lend one another their counts: a model of a package of its own, in under 60 lines."""

import numpy as np
from pydantic import Field
from scipy import sparse

from napari_pixelgene.models.base import Fitted, Model
from napari_pixelgene.settings import Section


class SimilarPlacesSettings(Section):
    width: float = Field(3.0, gt=0, description="How unlike places may look and still count, in standard deviations.")
    landmarks: int = Field(500, ge=2, description="At most so many measured places are kept.")


class FittedSimilarPlaces(Fitted):
    """`features` (places, channels), `counts` (places, genes) in one superpixel, the total of all genes last, and
    `mine` (members, places): which member has learned from which place."""

    def __init__(self, arrays, settings, genes):
        self._arrays, self._settings, self.genes, self.members = dict(arrays), settings, genes, len(arrays["mine"])

    def latent(self, view, device="cpu"):
        """(members, where, places) how much each place counts; all genes follow from that."""
        away = ((view.features[..., None, :] - self._arrays["features"]) ** 2).mean(-1) / self._settings.width**2
        weight = np.exp(-(away - away.min(-1, keepdims=True)))[None] * self._each(away.ndim)
        return weight / np.maximum(weight.sum(-1, keepdims=True), 1e-12)

    def _each(self, dimensions):
        return self._arrays["mine"].reshape(self.members, *(1,) * (dimensions - 1), -1)

    def decode(self, latent, genes, quantity):
        counts = latent @ self._arrays["counts"]
        if quantity == "counts":
            return counts[..., genes]
        return np.log1p(1e4 * counts[..., genes] / np.maximum(counts[..., -1:], 1e-12))

    def arrays(self):
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays, settings, genes):
        return cls(arrays, settings, genes)


class SimilarPlaces(Model):
    name, title = "similar_places", "Places that look alike lend one another their counts (example)"
    Settings, fitted = SimilarPlacesSettings, FittedSimilarPlaces

    def fit(self, data, on_event):
        features = np.concatenate([np.asarray(s.pooling @ s.features) for s in data.sections])
        counts = sparse.vstack([sparse.hstack([s.counts, s.library[:, None]]) for s in data.sections]).tocsr()
        size = np.concatenate([s.pooling.getnnz(axis=1) for s in data.sections])
        some = np.random.default_rng(data.seed).permutation(len(size))[: self.settings.landmarks]
        arrays = {"features": features[some], "counts": counts[some].toarray() / size[some, None]}
        arrays["mine"] = (data.fit | data.stop)[:, some].astype(np.float32)
        return FittedSimilarPlaces(arrays, self.settings, data.genes)
