"""A trained HisToSGE: the networks of all members, and how a slide is laid out for them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.func import functional_call, vmap
from torch.nn import functional

from napari_pixelgene.arithmetic.targets import MOST_LOG, PER
from napari_pixelgene.models.base import Quantity, View
from napari_pixelgene.models.histosge.network import OriginalNet, SetNet
from napari_pixelgene.models.histosge.original import places
from napari_pixelgene.models.histosge.places import Layout, asking_of, cells_of, log_window, waves
from napari_pixelgene.models.histosge.settings import HistoSgeSettings
from napari_pixelgene.models.targets import FittedComponents

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.histosge.places import Asking
    from napari_pixelgene.settings import Section

    Ask = Callable[[Sequence[Array]], FloatArray]

RECIPES = ("default", "original")


class FittedHistoSge(FittedComponents):
    """Arrays: `net.<score>.<parameter>` (members, …) is the best snapshot by that stop score, `layout` the spacing,
    footprint and reach of a slide's cells in superpixels; beside them those of the targets."""

    def __init__(self, arrays: Mapping[str, Array], settings: object, genes: GeneTable) -> None:
        assert isinstance(settings, HistoSgeSettings)
        self._arrays = dict(arrays)
        self.settings: HistoSgeSettings = settings
        self.genes = genes
        self.recipe = RECIPES[int(arrays["recipe"][0])]
        self.members = len(next(a for name, a in arrays.items() if name.startswith("net.")))

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedHistoSge:
        """See `Fitted.from_arrays`."""
        return cls(arrays, settings, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, rows, columns, latent) of the view without its halo: components and the total, or the hidden token
        of the published network; 0 where there is no tissue."""
        view = self._scaled(view)
        layout = Layout(*(int(i) for i in self._arrays["layout"]))
        yx = tuple(n - 2 * view.halo for n in view.features.shape[:2])
        out = np.zeros((self.members, yx[0] * yx[1], self._latent_size()), dtype=np.float32)
        ask, cells = self.ask(device), cells_of(view, layout)
        for some in asking_of(view, layout, cells):
            there = some.index >= 0
            out[:, some.index[there]] = ask(self._inputs(view, some))[:, there]
        return out.reshape(self.members, *yx, out.shape[-1])

    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.decode`."""
        if self.recipe == "original":
            return self._published(latent, genes, quantity)
        return super().decode(latent, genes, quantity)

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.combine`."""
        if self.recipe == "original":
            return np.asarray(self._published(latent, genes, quantity).mean(axis=0))
        return super().combine(latent, genes, quantity)

    def _scaled(self, view: View) -> View:
        if self.recipe == "original":
            return view
        features = (view.features - self._arrays["feature_mean"]) / self._arrays["feature_sd"]
        return replace(view, features=features.astype(np.float32))

    def _latent_size(self) -> int:
        if self.recipe == "original":
            return int(self._arrays["net.last.x_embed.weight"].shape[-1])
        return int(self._arrays["components"].shape[1]) + 1

    def ask(self, device: str) -> Ask:
        """What asks the networks: their five inputs to (members, sets, asking, latent)."""
        # The composition's snapshot speaks for all but the last number, which the total's snapshot says.
        scores = sorted({name.split(".")[1] for name in self._arrays if name.startswith("net.")})
        runs = [self._run(score, device) for score in scores]

        def every(inputs: Sequence[Array]) -> FloatArray:
            said = [run(inputs) for run in runs]
            return said[0] if len(said) == 1 else np.concatenate([said[0][..., :-1], said[1][..., -1:]], axis=-1)

        return every

    def _run(self, score: str, device: str) -> Ask:
        """The networks of one snapshot."""
        prefix = f"net.{score}."
        arrays = {name[len(prefix) :]: a for name, a in self._arrays.items() if name.startswith(prefix)}
        net = self._network(arrays).eval().to(device)
        parameters = {name: torch.from_numpy(np.ascontiguousarray(a)).to(device) for name, a in arrays.items()}
        call = vmap(lambda p, *x: functional_call(net, p, x), in_dims=(0, *(None for _ in range(5))))

        @torch.inference_mode()
        def run(inputs: Sequence[Array]) -> FloatArray:
            out: FloatArray = (
                call(parameters, *(torch.from_numpy(np.ascontiguousarray(a)).to(device) for a in inputs)).cpu().numpy()
            )
            return out

        return run

    def _network(self, parameters: Mapping[str, Array]) -> nn.Module:
        if self.recipe == "original":
            net: nn.Module = OriginalNet(parameters["x_embed.weight"].shape[-1], len(self.genes))
            net.forward = net.towards  # type: ignore[assignment]
            return net
        waved = parameters["place.weight"].shape[-1] if "place.weight" in parameters else 0
        width, features = parameters["embed.weight"].shape[1:]
        hidden = parameters["gene_head.0.weight"].shape[1]
        outputs, absolute = parameters["gene_head.3.weight"].shape[1], self.settings.position == "absolute"
        return SetNet(features, waved, outputs, width, hidden, 0.0, absolute)

    def _inputs(self, view: View, some: Asking) -> list[Array]:
        """Features, places and how much each cell counts for the network."""
        h, (rows, columns, channels) = view.halo, view.features.shape
        inner = view.features[h : rows - h, h : columns - h].reshape(-1, channels)
        assert view.xy_um is not None
        xy = view.xy_um[h : rows - h, h : columns - h].reshape(-1, 2)[np.maximum(some.index, 0)]
        asking = np.where((some.index >= 0)[..., None], inner[np.maximum(some.index, 0)], 0.0).astype(np.float32)
        if self.recipe == "original":
            pitch = float(self._arrays["pitch_um"][0])
            bias = np.broadcast_to(
                np.where(some.valid, 0.0, -np.inf)[:, None], (*asking.shape[:2], some.valid.shape[1])
            )
            return [asking, some.seen, places(xy, pitch), places(some.seen_um, pitch), bias.astype(np.float32)]
        away = np.linalg.norm(xy[:, :, None] - some.seen_um[:, None], axis=-1)
        bias = log_window(away, float(self._arrays["reach_um"][0]))
        bias[~np.broadcast_to(some.valid[:, None], bias.shape)] = -np.inf
        lengths = self._arrays["lengths_um"]
        return [asking, some.seen, waves(xy, lengths), waves(some.seen_um, lengths), bias]

    def _published(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """(members, where…, genes): the head of the published network; counts are the composition of a superpixel of
        average depth."""
        a = {k: torch.from_numpy(np.ascontiguousarray(v)) for k, v in self._arrays.items() if ".gene_head." in k}
        flat, out = torch.from_numpy(latent.reshape(self.members, -1, latent.shape[-1])), []
        for member, x in enumerate(flat):
            weight = {k.partition(".gene_head.")[2]: v[member] for k, v in a.items()}
            x = torch.relu(functional.linear(x, weight["0.weight"], weight["0.bias"]))
            x = functional.layer_norm(x, x.shape[-1:], weight["2.weight"], weight["2.bias"])
            out.append(torch.relu(functional.linear(x, weight["3.weight"][genes], weight["3.bias"][genes])).numpy())
        log = np.stack(out).reshape(*latent.shape[:-1], len(genes))
        if quantity == "log":
            return log
        return np.asarray(np.expm1(np.minimum(log, MOST_LOG)) / PER * float(self._arrays["depth"][0]))
