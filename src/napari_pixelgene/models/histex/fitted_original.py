"""A trained HISTEX of the published recipe: blocks side by side, one affine map for its head, the median of states."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from napari_pixelgene.arithmetic.targets import composition_log, min_max
from napari_pixelgene.models.base import Fitted, Quantity, View
from napari_pixelgene.models.histex.context import nearest
from napari_pixelgene.models.histex.network import OFFSET, HistexNet
from napari_pixelgene.models.histex.original import dense_units
from napari_pixelgene.models.histex.settings import HistexSettings
from napari_pixelgene.models.histex.windows import Sliding, sliding_windows

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import Context
    from napari_pixelgene.settings import Section

_TOKENS = 16_384


class FittedOriginal(Fitted):
    """Arrays: `net.last.<parameter>` (members, …), under the published names."""

    def __init__(self, arrays: Mapping[str, Array], settings: HistexSettings, genes: GeneTable) -> None:
        self._arrays = dict(arrays)
        self.settings = settings
        self.genes = genes
        self.members = len(arrays["low"])
        self.side = int(arrays["side"][0])
        self._folded: list[tuple[torch.Tensor, torch.Tensor]] | None = None
        self._lattice: tuple[Context, list[tuple[FloatArray, FloatArray]]] | None = None

    def arrays(self) -> dict[str, Array]:
        """See `Fitted.arrays`."""
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedOriginal:
        """See `Fitted.from_arrays`."""
        assert isinstance(settings, HistexSettings)
        return cls(arrays, settings, genes)

    @staticmethod
    def made(arrays: Mapping[str, Array]) -> bool:
        """Whether arrays are those of this recipe."""
        return "mean_context" in arrays

    def network(self, member: int) -> HistexNet:
        """One member's network."""
        arrays = {k.removeprefix("net.last."): a[member] for k, a in self._arrays.items() if k.startswith("net.last.")}
        embed, channels = arrays["MCA1.cross_attention1.query_proj.weight"].shape
        net = HistexNet(channels, arrays["fal_out.weights"].shape[1], embed)
        net = net.to(torch.from_numpy(arrays["l1.weights"]).dtype)
        net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        return net.eval()

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, where…, embedding + channels): what the head's one affine map is asked at."""
        windows = sliding_windows(view, self.side, published=True)
        return np.stack([self._member(m, windows, view.context, device) for m in range(self.members)])

    def _member(self, member: int, windows: Sliding, context: Context | None, device: str) -> FloatArray:
        net = self.network(member).to(device)
        width = self._arrays["net.last.l1.weights"].shape[1] + windows.features.shape[1]
        given = self._tokens(member, windows, context)
        features = np.concatenate([windows.features, np.zeros_like(windows.features[:1])])  # -1: nothing there

        def parts() -> Iterator[tuple[slice, FloatArray]]:
            for some in windows.chunks(_TOKENS):
                histology = torch.from_numpy(features[windows.tokens[some]]).to(device)
                unit = torch.from_numpy(np.ascontiguousarray(given[some])).to(histology)
                yield some, torch.cat([net.latent(histology, unit), histology], dim=-1).cpu().numpy()

        with torch.inference_mode():
            return windows.blended(parts(), width).reshape(*windows.yx_shape, width)

    def _tokens(self, member: int, windows: Sliding, context: Context | None) -> FloatArray:
        """(windows, k, genes): the nearest points of the 2× lattice; without context what training saw on average."""
        count = self.settings.neighbours
        xy, values = self._dense(member, context) if windows.centres_um is not None else (np.zeros((0, 2)), None)
        if windows.centres_um is None or values is None or not len(xy):
            mean = self._arrays["mean_context"][member]
            return np.broadcast_to(mean, (len(windows.tokens), count, len(mean)))
        near = nearest(xy, windows.centres_um, count)
        return np.asarray(values[near.index], dtype=windows.features.dtype)

    def _dense(self, member: int, context: Context | None) -> tuple[FloatArray, FloatArray | None]:
        if context is None:
            return np.zeros((0, 2)), None
        if self._lattice is None or self._lattice[0] is not context:
            made = [dense_units(context.section, use) for use in context.use]
            self._lattice = (context, [(xy, min_max(v)[0] if len(v) else v) for xy, v in made])
        return self._lattice[1][member]

    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.decode`; only the genes that are asked for are computed."""
        if quantity == "counts":
            return self._counts(latent, genes)
        # A model of counts has no composition of its own: its counts divided by their own sum.
        return np.stack([self._composition(each, genes) for each in self._counts(latent, np.arange(len(self.genes)))])

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """The median of the states' counts, as published."""
        if quantity == "counts":
            return _median(self._each(latent, genes))
        return self._composition(_median(self._each(latent, np.arange(len(self.genes)))), genes)

    def _composition(self, counts: FloatArray, genes: IntArray) -> FloatArray:
        flat = counts.reshape(-1, counts.shape[-1])
        return composition_log(flat[:, genes], flat.sum(1)).reshape(*counts.shape[:-1], len(genes))

    def _counts(self, latent: FloatArray, genes: IntArray) -> FloatArray:
        """(members, where…, genes) counts in one superpixel."""
        return np.stack([each.numpy() for each in self._each(latent, genes)])

    def _each(self, latent: FloatArray, genes: IntArray) -> list[torch.Tensor]:
        """Of every member (where…, genes): output · range / K + minimum / K, each step in the place of the last."""
        size, where = float(self._arrays["unit_size"][0]), latent.shape[1:-1]
        every = len(genes) == len(self.genes) and bool((genes == np.arange(len(genes))).all())
        out = []
        for m, maps in enumerate(self.folded()):
            weights, bias = maps if every else (x[..., genes] for x in maps)
            span = torch.from_numpy(self._arrays["span"][m, genes] / size).to(weights)
            low = torch.from_numpy(self._arrays["low"][m, genes] / size).to(weights)
            flat = torch.from_numpy(np.ascontiguousarray(latent[m])).reshape(-1, latent.shape[-1])
            raw = nn.functional.elu(torch.addmm(bias, flat, weights), alpha=OFFSET, inplace=True)
            out.append(raw.mul_(span).add_(low + OFFSET * span).reshape(*where, len(genes)))
        return out

    def folded(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """The head of every member as one affine map, (embedding + channels, genes) and (genes,)."""
        if self._folded is None:
            with torch.inference_mode():
                self._folded = [self.network(m).folded() for m in range(self.members)]
        return self._folded


def _median(states: list[torch.Tensor]) -> FloatArray:
    """The middle of the states, the mean of two where there is none."""
    if len(states) == 1:
        return np.asarray(states[0].numpy())
    ordered = torch.stack(states).sort(dim=0).values
    half = len(states) // 2
    middle = ordered[half] if len(states) % 2 else (ordered[half - 1] + ordered[half]) / 2
    return np.asarray(middle.numpy())
