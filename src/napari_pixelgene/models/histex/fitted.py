"""A trained HISTEX of the sound recipe: windows slide over a tile and look at what was measured near by."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch

from napari_pixelgene.models.base import Fitted, View
from napari_pixelgene.models.histex.components import ALONE, NEAR
from napari_pixelgene.models.histex.context import Near, Points, Scale, absent, nearest, tokens_of
from napari_pixelgene.models.histex.fitted_original import FittedOriginal
from napari_pixelgene.models.histex.network import WindowNet
from napari_pixelgene.models.histex.settings import HistexSettings
from napari_pixelgene.models.histex.targets import context_values
from napari_pixelgene.models.histex.windows import Sliding, joined_um, sliding_windows
from napari_pixelgene.models.targets import FittedComponents
from napari_pixelgene.models.units import merged_section

if TYPE_CHECKING:
    from napari_pixelgene.arithmetic.dense_lattice import IntArray
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import Context, TrainingData
    from napari_pixelgene.models.histex.windows import UnitWindows
    from napari_pixelgene.settings import Section

# Tokens through one member's network at once, and units that calibrate the counts.
_TOKENS, _CALIBRATING, _AT_ONCE, _SAMPLES = 16_384, 5_000, 64, 24


class FittedWindows(FittedComponents):
    """Arrays: `net.<state>.<parameter>` (members, …): the state that did best alone, and the one with context."""

    settings: HistexSettings

    def __init__(self, arrays: Mapping[str, Array], settings: HistexSettings, genes: GeneTable) -> None:
        super().__init__(arrays, settings, genes)
        self.side = int(arrays["side"][0])
        self._around: tuple[Context, _Around] | None = None

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> Fitted:
        """See `Fitted.from_arrays`; of either recipe, which its arrays tell."""
        assert isinstance(settings, HistexSettings)
        if FittedOriginal.made(arrays):
            return FittedOriginal(arrays, settings, genes)
        return cls(arrays, settings, genes)

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, where…, components + 2): components, 1, and the total."""
        dtype = self._arrays[f"net.{ALONE}.own.weight"].dtype
        features = ((view.features - self._arrays["feature_mean"]) / self._arrays["feature_sd"]).astype(dtype)
        seen = View(features, view.xy_um, view.halo, view.context)
        windows = sliding_windows(seen, self.side)
        around = self._near(windows, view.context)
        out = [self._member(m, windows, around, device) for m in range(self.members)]
        return self._whole(np.stack(out))

    def _member(self, member: int, windows: Sliding, around: tuple[_Around, Near] | None, device: str) -> FloatArray:
        """(where…, components + 1) of one member."""
        net = self.network(member, ALONE if around is None else NEAR).to(device)
        count, width = self.settings.neighbours, self._outputs + 2

        def mixed(projected: torch.Tensor) -> Iterator[tuple[slice, FloatArray]]:
            for some in windows.chunks(_TOKENS):
                tokens = torch.from_numpy(windows.tokens[some]).to(device)
                given = absent(1, len(tokens), count, width, windows.features.dtype)
                if around is not None:
                    given = around[0].tokens(member, around[1].rows(some), count).astype(given.dtype)
                unit = torch.from_numpy(given[0]).to(device)
                yield some, net.mix(projected[tokens], tokens >= 0, unit).cpu().numpy()

        with torch.inference_mode():
            projected = _in_parts(net.project, torch.from_numpy(windows.features).to(device))
            blended = torch.from_numpy(windows.blended(mixed(projected), self.settings.embedding)).to(device)
            own = projected[torch.from_numpy(windows.asked).to(device)]
            out = _in_parts(net.outputs, own, blended).cpu().numpy()
        return np.asarray(out.reshape(*windows.yx_shape, -1))

    @property
    def _outputs(self) -> int:
        return int(self._arrays["axes"].shape[2]) + 1

    def network(self, member: int, state: str) -> WindowNet:
        """The network of one member in one of its states."""
        prefix, s = f"net.{state}.", self.settings
        arrays = {k.removeprefix(prefix): a[member] for k, a in self._arrays.items() if k.startswith(prefix)}
        channels = arrays["own.weight"].shape[1]
        net = WindowNet(channels, self._outputs + 2, self._outputs, s.embedding, s.hidden, s.dropout)
        net = net.to(torch.from_numpy(arrays["own.weight"]).dtype)
        net.load_state_dict({name: torch.from_numpy(array) for name, array in arrays.items()})
        return net.eval()

    def _whole(self, outputs: FloatArray) -> FloatArray:
        """What networks say (members, …, components + 1) as latents: with the 1 whose component is the member's own
        mean, and the total on everybody's scale."""
        own, shared = self._arrays["own_total"], self._arrays["total"]
        shape = (self.members, *[1] * (outputs.ndim - 2))
        total = own[:, 0].reshape(shape) + own[:, 1].reshape(shape) * outputs[..., -1]
        total = (total - shared[0]) / max(float(shared[1]), 1e-8)
        parts = (outputs[..., :-1], np.ones_like(outputs[..., :1]), total[..., None].astype(outputs.dtype))
        return np.concatenate(parts, axis=-1)

    def _near(self, windows: Sliding, context: Context | None) -> tuple[_Around, Near] | None:
        """What lies around each window, where something was measured and windows have a place."""
        if context is None or windows.centres_um is None or not len(context.section):
            return None
        if self._around is None or self._around[0] is not context:
            self._around = (context, _Around(context, self._arrays, self.settings))
        around = self._around[1]
        return around, nearest(around.xy_um, windows.centres_um)

    def calibrate_on(self, windows: UnitWindows, data: TrainingData) -> None:
        """Set the factors on counts, each unit asked alone."""
        rng = np.random.default_rng([data.seed, 5])
        chosen = np.arange(len(windows.tokens))
        if len(chosen) > _CALIBRATING:
            chosen = np.sort(rng.choice(chosen, _CALIBRATING, replace=False))
        parts = [chosen[i : i + _AT_ONCE] for i in range(0, len(chosen), _AT_ONCE)]
        nets = [self.network(m, ALONE).to(windows.features.device) for m in range(self.members)]
        self.calibrate(((units, self._asked_alone(nets, windows, units, rng)) for units in parts), data,
                       data.fit | data.stop)  # fmt: skip

    @torch.inference_mode()
    def _asked_alone(
        self, nets: list[WindowNet], windows: UnitWindows, units: IntArray, rng: np.random.Generator
    ) -> FloatArray:
        """(members, units, samples, latent) of superpixels that units cover, some of them twice where they are few."""
        features, there, inside = windows.sample(units, _SAMPLES, rng)
        order = np.argsort(-inside.cpu().numpy(), axis=1, kind="stable")
        mine = (inside > 0).sum(1, keepdim=True).cpu().numpy()
        turn = np.take_along_axis(order, np.arange(order.shape[1]) % mine, 1)
        nothing = absent(1, len(units), self.settings.neighbours, self._outputs + 2, np.dtype(np.float32))
        unit = torch.from_numpy(nothing[0]).to(features)
        out = np.stack([net(features, there, unit).cpu().numpy() for net in nets])
        return self._whole(np.take_along_axis(out, turn[None, :, :, None], 2))


def _in_parts(call: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """A call over rows, some at a time."""
    parts = range(0, max(len(inputs[0]), 1), _TOKENS)
    return torch.cat([call(*(x[i : i + _TOKENS] for x in inputs)) for i in parts])


class _Around:
    """A context, ready to be looked at: points, their values, and who may see which."""

    def __init__(self, context: Context, arrays: dict[str, Array], settings: HistexSettings) -> None:
        from napari_pixelgene.arithmetic.dense_lattice import mean_of

        # Joined as they were when it learned: one bin of few counts says something else than many do.
        widest_um = joined_um(settings, context.section.superpixel_um)
        section, use = merged_section(context.section, context.use, widest_um=widest_um)
        points = Points.of(section.xy_um, settings.dense_context)
        self.xy_um = points.xy_um
        self.values = mean_of(points.parents, context_values(section, use, arrays))
        self.usable: BoolArray = points.usable(use)
        self.scale = Scale(*(float(x) for x in arrays["context_um"]))

    def tokens(self, member: int, near: Near, count: int) -> FloatArray:
        """(1, windows, count, components + 3) for one member."""
        allowed = self.usable[member][near.index] & (near.distance <= self.scale.reach)
        return tokens_of(self.values[member : member + 1], near, allowed[None], self.scale, count)
