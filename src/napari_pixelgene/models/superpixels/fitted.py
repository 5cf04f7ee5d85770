"""A trained network over superpixels: the perceptrons of all members, and what makes expression of their outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Self

import numpy as np
import torch
from torch.func import functional_call, vmap

from napari_pixelgene.models.base import Fitted, Quantity, View
from napari_pixelgene.models.heads import Perceptron
from napari_pixelgene.models.superpixels import likelihood, minmax
from napari_pixelgene.models.superpixels.settings import SuperpixelSettings
from napari_pixelgene.models.targets import components_counts, components_log, components_mean

if TYPE_CHECKING:
    from torch import nn

    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.settings import Section

_ROWS = 8192  # superpixels through the network at once: about 80 MB for ten members
RECIPES = ("components", "likelihood", "original")


class FittedSuperpixels(Fitted):
    """Arrays: `net.<score>.<parameter>` (members, …) is the best snapshot by that stop score."""

    def __init__(self, arrays: Mapping[str, Array], settings: SuperpixelSettings, genes: GeneTable) -> None:
        self._arrays = dict(arrays)
        self.settings = settings
        self.genes = genes
        self.recipe = RECIPES[int(arrays["recipe"][0])]
        self.members = len(next(a for name, a in arrays.items() if name.startswith("net.")))

    def arrays(self) -> dict[str, Array]:
        """See `Fitted.arrays`."""
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> Self:
        """See `Fitted.from_arrays`."""
        assert isinstance(settings, SuperpixelSettings)
        return cls(arrays, settings, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, where…, latent): programmes or components and the total; the hidden layer in `original`."""
        features = view.features[view.halo : -view.halo, view.halo : -view.halo] if view.halo else view.features
        where = features.shape[:-1]
        flat = features.reshape(-1, features.shape[-1])
        dtype = next(a.dtype for name, a in self._arrays.items() if name.startswith("net."))
        flat = ((flat - self._arrays["feature_mean"]) / self._arrays["feature_sd"]).astype(dtype)
        runs = [self._run(flat, score, device) for score in self._snapshots()]
        # The composition's snapshot speaks for all but the last number, which the total's snapshot says.
        latent = runs[0] if len(runs) == 1 else np.concatenate([runs[0][..., :-1], runs[1][..., -1:]], axis=-1)
        return latent.reshape(self.members, *where, -1)

    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.decode`."""
        where = latent.shape[1:-1]
        flat = latent.reshape(self.members, -1, latent.shape[-1])
        if self.recipe == "components":
            out = components_log(self._arrays, flat, genes, slice(None))
            if quantity == "counts":
                out = components_counts(self._arrays, out, flat[..., -1])
                out = out * self._arrays["calibration"][:-1, None][..., genes]
        elif self.recipe == "likelihood":
            out = likelihood.likelihood_each(self._arrays, flat, genes, quantity)
        else:
            out = self._original(flat, genes, quantity)
        return out.reshape(self.members, *where, len(genes))

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """The ensemble's mean, taken where the members are linear: before counts are made of logs."""
        where = latent.shape[1:-1]
        flat = latent.reshape(self.members, -1, latent.shape[-1])
        if self.recipe == "original":
            return super().combine(latent, genes, quantity)
        mean = components_mean if self.recipe == "components" else likelihood.likelihood_mean
        return mean(self._arrays, flat, genes, quantity).reshape(*where, len(genes))

    def _original(self, flat: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        weight, bias = self._arrays["net.last.net_out.linear.weight"], self._arrays["net.last.net_out.linear.bias"]
        raw = np.einsum("mnh,mgh->mng", flat, weight, optimize=True) + bias[:, None]
        lifted = np.where(raw > 0, raw, minmax.FLOOR * np.expm1(np.minimum(raw, 0))) + minmax.FLOOR
        if quantity == "counts":
            return minmax.original_each(self._arrays, lifted, genes)
        # A model of counts has no composition of its own: its counts divided by their own sum.
        counts = minmax.original_each(self._arrays, lifted, np.arange(len(self.genes)))
        share = counts / np.maximum(counts.sum(-1, keepdims=True), 1e-12)
        return np.asarray(np.log1p(1e4 * share[..., genes]))

    def _snapshots(self) -> list[str]:
        found = {name.split(".")[1] for name in self._arrays if name.startswith("net.")}
        return sorted(found)  # "composition" before "total"; "last" alone

    def _network(self, parameters: Mapping[str, Array]) -> nn.Module:
        if self.recipe == "original":
            shape = parameters["net_lat.0.linear.weight"].shape
            return minmax.OriginalNet(shape[-1], len(self.genes), shape[1])
        first, last = parameters["0.weight"].shape, parameters["6.weight"].shape
        return Perceptron(first[-1], last[1], first[1], self.settings.dropout)

    @torch.inference_mode()
    def _run(self, flat: FloatArray, score: str, device: str) -> FloatArray:
        prefix = f"net.{score}."
        arrays = {name[len(prefix) :]: a for name, a in self._arrays.items() if name.startswith(prefix)}
        net = self._network(arrays).eval().to(device)
        if self.recipe == "original":
            net.forward = net.latent  # type: ignore[assignment]
        parameters = {name: torch.from_numpy(np.ascontiguousarray(a)).to(device) for name, a in arrays.items()}
        call = vmap(lambda p, x: functional_call(net, p, (x,)), in_dims=(0, None))
        parts = [
            call(parameters, torch.from_numpy(flat[start : start + _ROWS]).to(device)).cpu().numpy()
            for start in range(0, max(len(flat), 1), _ROWS)
        ]
        return np.concatenate(parts, axis=1)
