"""What STPath answers: log1p counts of a spot, turned into compositions and into counts of a superpixel.

The network predicts natural log1p of raw counts of a whole spot. Negative predictions count as none. `counts` is
expm1 of that, divided by the superpixels that a unit covers. `log` is a composition, so it needs a total: the sum over
the genes of this run, scaled by the share of all counts that these genes had among the units it was fitted on (1 where
nothing was measured). With few genes that total is a rough one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse
from scipy.spatial import cKDTree

from napari_pixelgene.arithmetic.targets import PER
from napari_pixelgene.errors import InputError
from napari_pixelgene.models.base import Everything, Fitted, Quantity, View, pooled_units
from napari_pixelgene.models.stpath.inputs import encoded, scaled
from napari_pixelgene.models.stpath.network import Sizes, STPathNetwork
from napari_pixelgene.models.stpath.vocabulary import MASK, GeneVocabulary, few, require_human

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
    from napari_pixelgene.elements.genes import GeneTable
    from napari_pixelgene.models.base import Context, TrainingSection
    from napari_pixelgene.models.stpath.settings import STPathSettings
    from napari_pixelgene.settings import Section

NET, OWN = "net.", "own."
EMBED, HEAD = "input_encoder.gene_embed.weight", "gene_exp_head.1."
CLASS_TOKENS = "Use the class tokens of GigaPath: its encoder, or a file of embeddings made with it (file:PATH)."
# A measured unit stands for the point that is asked for where both lie within this.
_SAME_UM = 0.01
# A spot with more counts of one gene than half precision holds is a mistake of the network.
_MOST_LOG1P = math.log(6e4)
# Predictions held at once while totals are summed: 32 MB.
_AT_ONCE = 8_000_000


class FittedSTPath(Fitted):
    """The trunk, the rows of the head for this run's genes, and what members have of their own after fine-tuning.

    Arrays: `net.NAME` by the network's names (of the gene embedding only padding and mask where no context is used),
    `own.NAME` (members, …) in their stead, `labels` (2,) technology and organ, `share` (members,), `squares` (1,), and
    the `vocabulary` packed, where context is used.
    """

    def __init__(self, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> None:
        self._arrays = dict(arrays)
        self._settings: STPathSettings = settings  # type: ignore[assignment]
        self.genes = genes
        self.members = len(arrays["share"])
        self._known: GeneVocabulary | None = None

    def arrays(self) -> dict[str, Array]:
        """See `Fitted.arrays`."""
        return dict(self._arrays)

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> FittedSTPath:
        """See `Fitted.from_arrays`."""
        return cls(arrays, settings, genes)

    @property
    def is_tuned(self) -> bool:
        """Whether members differ in what they have learned."""
        return any(name.startswith(OWN) for name in self._arrays)

    @property
    def squares(self) -> float:
        """How many superpixels a unit covers."""
        return float(self._arrays["squares"][0])

    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, points, width) just before the last linear map; all points and the context see one another.

        Members that see the same are asked once. Raises InputError for vectors of another length or not finite.
        """
        features, xy_um = self._checked(view)
        shown = self._shown(view.context)
        answers: dict[tuple[bytes, int], FloatArray] = {}
        keys = []
        for member in range(self.members):
            key = (shown[member].tobytes() if shown is not None else b"", member if self.is_tuned else -1)
            keys.append(key)
            if key not in answers:
                units = None if shown is None else np.flatnonzero(shown[member])
                points = _Points.of(features, xy_um, view.context, units)
                answers[key] = self._asked(points, member, device)
        first = answers[keys[0]]
        if len(answers) == 1:
            return np.broadcast_to(first, (self.members, *first.shape))
        return np.stack([answers[key] for key in keys])

    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """See `Fitted.decode`; only the rows of the head that are asked for are used, but for a composition's total."""
        return np.stack([self._answer(latent[m : m + 1], [m], genes, quantity) for m in range(self.members)])

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """The mean of the members' log1p counts, and the quantity made of it."""
        latent = latent[:1] if _is_one(latent) and not self.is_tuned else latent
        return self._answer(latent, range(self.members), genes, quantity)

    def log1p_counts(self, latent: FloatArray, genes: IntArray) -> FloatArray:
        """(points, genes) as the network says it: log1p of the raw counts of a spot; may fall below 0."""
        latent = latent[:1] if _is_one(latent) and not self.is_tuned else latent
        return self._log1p(latent, range(self.members), genes)

    def units_from_latent(
        self, latent: FloatArray, pooling: sparse.csr_matrix, genes: IntArray, quantity: Quantity
    ) -> FloatArray:
        """See `Fitted.units_from_latent`: a point speaks for its unit, whose counts are those of all it covers."""
        return self._of_units(pooled_units(pooling, self.combine(latent, genes, quantity), quantity), quantity)

    def decode_units(
        self, latent: FloatArray, pooling: sparse.csr_matrix, genes: IntArray, quantity: Quantity
    ) -> FloatArray:
        """The same of each member alone."""
        each = [pooled_units(pooling, x, quantity) for x in self.decode(latent, genes, quantity)]
        return self._of_units(np.stack(each), quantity)

    def _of_units(self, values: FloatArray, quantity: Quantity) -> FloatArray:
        return values * self.squares if quantity == "counts" else values

    def _answer(self, latent: FloatArray, members: Sequence[int], genes: IntArray, quantity: Quantity) -> FloatArray:
        """(points, genes) of some members together, from their latents."""
        counts = _counts(self._log1p(latent, members, genes))
        if quantity == "counts":
            return counts / np.float32(self.squares)
        total = np.empty(len(counts), dtype=np.float64)
        everything, step = np.arange(len(self.genes)), max(1, _AT_ONCE // max(len(self.genes), 1))
        for start in range(0, len(counts), step):
            rows = slice(start, start + step)
            total[rows] = _counts(self._log1p(latent[:, rows], members, everything)).sum(axis=1, dtype=np.float64)
        share = float(self._arrays["share"][list(members)].mean())
        factor = np.divide(PER * share, total, out=np.zeros_like(total), where=total > 0)
        out: FloatArray = np.log1p(counts * factor[:, None].astype(np.float32))
        return out

    def _log1p(self, latent: FloatArray, members: Sequence[int], genes: IntArray) -> FloatArray:
        """(points, genes) the mean over members of what the head gives."""
        if not self.is_tuned:
            weight, bias = self._head(0, genes)
            return np.asarray(latent.mean(axis=0) @ weight.T + bias)
        heads = [self._head(m, genes) for m in members]
        each = [hidden @ weight.T + bias for hidden, (weight, bias) in zip(latent, heads, strict=True)]
        return np.asarray(np.mean(each, axis=0))

    def _head(self, member: int, genes: IntArray) -> tuple[FloatArray, FloatArray]:
        return tuple(self._tensor(f"{HEAD}{part}", member)[genes] for part in ("weight", "bias"))  # type: ignore[return-value]

    def _tensor(self, name: str, member: int) -> FloatArray:
        """A tensor of the network as a member has it."""
        own = self._arrays.get(f"{OWN}{name}")
        return np.asarray(self._arrays[f"{NET}{name}"] if own is None else own[member])

    def _network(self, member: int, device: str) -> STPathNetwork:
        """The network of a member, without the gene embedding and the last map, which are used row by row here."""
        names = [name.removeprefix(NET) for name in self._arrays if name.startswith(NET)]
        trunk = {name: self._tensor(name, member) for name in names if not name.startswith((HEAD, EMBED))}
        with torch.device("meta"):
            network = STPathNetwork(Sizes.of({name: tensor.shape for name, tensor in trunk.items()}))
        there = {name: torch.from_numpy(tensor).to(device) for name, tensor in trunk.items()}
        network.load_state_dict(there, strict=False, assign=True)
        return network.eval()

    def _asked(self, points: _Points, member: int, device: str) -> FloatArray:
        """(points, width) of a member, those that were only leaned on left out."""
        network = self._network(member, device)
        xy = torch.from_numpy(scaled(points.xy_um, self._settings.isotropic)).to(device)
        expression = torch.from_numpy(self._expression(points)).to(device)
        labels = torch.from_numpy(self._arrays["labels"]).to(device)
        with torch.no_grad():
            image = torch.from_numpy(points.features).to(device)
            hidden = network.hidden(image, expression, xy, labels[:1], labels[1:])
        out: FloatArray = hidden[: points.asked].cpu().numpy()
        return out

    def _expression(self, points: _Points) -> FloatArray:
        """(points or 1, width) the gene embedding of what each point shows: the mask, or what was measured there."""
        embed = self._arrays[f"{NET}{EMBED}"]
        mask = np.ascontiguousarray(embed[:, MASK])[None]
        if points.everything is None or not len(points.shown):
            return mask
        rows = encoded(points.everything.counts[points.rows], self._tokens(points.everything.genes), embed.shape[1],
                       duplicates="last" if self._settings.recipe == "original" else "max")  # fmt: skip
        out = np.repeat(mask, len(points.features), axis=0)
        out[points.shown] = np.asarray(rows @ embed.T)
        return out

    def _tokens(self, genes: GeneTable) -> IntArray:
        if self._known is None:
            self._known = GeneVocabulary.unpacked(self._arrays["vocabulary"])
        require_human(genes, "the context")
        tokens = self._known.tokens(genes)
        if not (tokens >= 0).any():
            raise InputError(
                f"STPath knows none of the genes that were measured, such as {few(genes.symbols)}.",
                "Import the counts with gene symbols (case counts) or Ensembl ids, or choose context=none.",
            )
        return tokens

    def _shown(self, context: Context | None) -> BoolArray | None:
        """(members, units) of the context that each member may see, or None where nothing is shown."""
        if context is None or not self._settings.leans:
            return None
        everything = context.section.everything
        out: BoolArray = context.use if everything is None else context.use & everything.may_lean
        return out

    def _checked(self, view: View) -> tuple[FloatArray, FloatArray]:
        """Features as float32 and places, or the error that says what is wrong with them."""
        features = np.ascontiguousarray(view.features, dtype=np.float32)
        length = self._arrays[f"{NET}input_encoder.image_embed.weight"].shape[1]
        if view.xy_um is None:
            raise InputError("STPath needs to know where its points lie.", "Give xy_um with the features.")
        if features.shape[1] != length:
            raise InputError(
                f"A point has {features.shape[1]:,} numbers, STPath reads {length:,}.",
                CLASS_TOKENS,
            )
        lost = int((~np.isfinite(features).all(axis=1)).sum())
        if lost:
            raise InputError(
                f"{lost:,} of {len(features):,} points have features that are not finite.", "Leave these points out."
            )
        return features, np.asarray(view.xy_um, dtype=np.float64)


class _Points:
    """What one pass sees: the points that are asked for, then measured units that lie elsewhere. `shown` are the
    places of those that show what was measured, `rows` the units of `everything` that stand there."""

    __slots__ = ("asked", "everything", "features", "rows", "shown", "xy_um")

    def __init__(self, features: FloatArray, xy_um: FloatArray) -> None:
        self.features, self.xy_um, self.asked = features, xy_um, len(features)
        self.everything: Everything | None = None
        self.shown: IntArray = np.zeros(0, dtype=np.int64)
        self.rows: IntArray = self.shown

    @classmethod
    def of(cls, features: FloatArray, xy_um: FloatArray, context: Context | None, units: IntArray | None) -> _Points:
        """With the units (k,) of the context that may be seen; a unit at a point that is asked for stands there."""
        out = cls(features, xy_um)
        if context is None or units is None or not len(units):
            return out
        section = context.section
        out.everything = everything_of(section)
        at = section.xy_um[units]
        apart, place = cKDTree(xy_um).query(at)
        here = apart <= _SAME_UM
        place[~here] = len(xy_um) + np.arange(int((~here).sum()))
        out.shown, first = np.unique(place, return_index=True)
        out.rows = units[first]
        more = units[~here]
        out.features = np.concatenate([features, section.features[more].astype(np.float32)])
        out.xy_um = np.concatenate([xy_um, section.xy_um[more]])
        return out


def everything_of(section: TrainingSection) -> Everything:
    """All that a section measured; what it holds of the run's genes where it tells no more."""
    if section.everything is None:
        raise InputError(f"{section.name} tells no genes beside its counts.", "Give the section's `everything`.")
    return section.everything


def _counts(log1p: FloatArray) -> FloatArray:
    out: FloatArray = np.expm1(np.clip(log1p, 0.0, _MOST_LOG1P))
    return out


def _is_one(latent: FloatArray) -> bool:
    """Whether all members gave the same answer, held once."""
    return len(latent) == 1 or latent.strides[0] == 0
