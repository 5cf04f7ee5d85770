"""The contract of a model, which is the manual for writing one.

A `Model` is a recipe: a plain object made from its `Settings`. `fit` turns `TrainingData` into a
`Fitted`, which is what is saved, sent to a colleague and asked for expression. Stages build
`TrainingData` and `View`; members consume them and know no file, no tile loop and no other member.

To write one (examples/02_write_a_model.py does it in 60 lines):

1. Settings: a `settings.Section` with a described field for everything a person may choose.
2. Fitted: `latent` looks at histology once, `decode` makes any genes of it on demand, for every member
   of the ensemble; `arrays` and `from_arrays` are each other's inverse. What is averaged, and how counts
   of a whole unit come about, has a sound default (`combine`, `units_from_latent`, `decode_units`).
3. Model: `name`, `title`, `needs`, and `fit`. A member of the ensemble learns from its row of `data.fit`,
   may stop or choose on its row of `data.stop`, and must not look at the counts of any other unit.
4. `registry.register_model("name", "your_package.module:YourModel")`. tests/models/test_contract.py says
   what must hold: the same maps for any tiling, a stored run that answers the same, seeds that repeat.

A model that is a torch network subclasses `TorchModel` and brings the idea: what is learned (`plan`),
the network, one epoch of batches, a loss for each member of the ensemble, a score on the stop units.
The loop, the optimiser, early stopping, checkpoints and devices are in `stages/training.py`. All members
run in one pass, so a batch must not depend on who learns from it: `weight` says that.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from pydantic import Field
from scipy import sparse

from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray, IntArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.progress import OnEvent
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    import torch
    from torch import nn

# What a model can be asked for: log1p of counts per 10,000 (composition), or expected counts per superpixel.
Quantity = Literal["log", "counts"]


@dataclass(frozen=True, slots=True)
class Needs:
    """What a model must be given; checked before hours are spent."""

    features: Literal["superpixels", "points"] = "superpixels"
    standardised: bool = True  # features z-scored over each section's tissue; False: as the encoder gave them
    halo: int = 0  # superpixels of features around a tile, or around the squares under a unit
    positions: bool = False  # where superpixels lie, in H&E µm
    lattice: bool = False  # the column and row of every unit on its array
    context_counts: bool = False  # measured units near by, where there are any
    gene_space: Literal["fitted", "fixed vocabulary"] = "fitted"
    training: bool = True  # False: nothing is learned here, so that a section without counts will do


@dataclass(frozen=True, slots=True)
class Everything:
    """What a model of a fixed vocabulary is told of a section's units besides the counts of the run's genes.

    `counts` (n, genes measured) CSR raw integers of `genes`, all that was measured. `may_lean` (n,): which units it
    may be shown as context. `squares`: how many superpixels a unit covers.
    """

    counts: sparse.csr_matrix
    genes: GeneTable
    may_lean: BoolArray
    squares: float = 1.0


@dataclass(frozen=True, slots=True)
class TrainingSection:
    """One section's share of the training data; of a slide with several captures, one capture's.

    `features` (s, channels) float32: vectors, standardised over the section's tissue, of the superpixels
    that units touch, and of the tissue around them as far as the model's `halo` asks. `pooling` (n, s) CSR:
    the footprints, rows sum to 1. `counts` (n, genes) CSR: raw integers. `library` (n,): totals over all
    genes of the file. `xy_um` (n, 2): centres in H&E µm. `row_column` (s, 2): which superpixels of the grid
    `features` are of, empty where the model asked for no place; `superpixel_um`: their side. `lattice`
    (n, 2): column and row of the units on their array, where they have one. A model that asks for features
    at points gets one vector a unit, and a `pooling` that is the identity; one of a fixed vocabulary `everything`,
    and columns of zeros in `counts` for genes of the run that the section did not measure.
    """

    name: str
    features: FloatArray
    pooling: sparse.csr_matrix
    counts: sparse.csr_matrix
    library: FloatArray
    xy_um: FloatArray
    row_column: IntArray = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    superpixel_um: float = 8.0
    lattice: IntArray | None = None
    everything: Everything | None = None
    unit_um: float = 0.0  # diameter of a spot or side of a bin; 0 where a unit is a point

    def __len__(self) -> int:
        return int(self.counts.shape[0])

    def centres_um(self) -> FloatArray:
        """(s, 2) centres (x, y) in H&E µm of the superpixels that `features` are of."""
        out: FloatArray = (self.row_column[:, ::-1] + 0.5) * self.superpixel_um
        return out


@dataclass(frozen=True, slots=True)
class Context:
    """Measured units that a model may lean on where it predicts; what is scored is never among them.

    `section` holds them with their counts of the model's genes, `use` (members, units) says which of them
    each member of the ensemble may see.
    """

    section: TrainingSection
    use: BoolArray


@dataclass(frozen=True, slots=True)
class TrainingData:
    """All that a model may learn from.

    `fit` and `stop` (members, units) say, over the units of all sections in order, what each member of
    the ensemble learns from and what it stops on. Units that score a member are in neither. `member_ids`
    seed the members, so that one trained alone equals the same one trained among others.
    """

    sections: tuple[TrainingSection, ...]
    genes: GeneTable
    channels: tuple[str, ...]
    fit: BoolArray
    stop: BoolArray
    seed: int = 0
    device: str = "cpu"
    member_ids: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        if not self.member_ids:
            object.__setattr__(self, "member_ids", tuple(range(len(self.fit))))

    @property
    def members(self) -> int:
        """Size of the ensemble."""
        return int(self.fit.shape[0])

    @property
    def section_of_unit(self) -> IntArray:
        """(units,) index of each unit's section."""
        return np.repeat(np.arange(len(self.sections)), [len(s) for s in self.sections])

    def only(self, member: int) -> TrainingData:
        """The data of one member of the ensemble."""
        rows = slice(member, member + 1)
        return replace(self, fit=self.fit[rows], stop=self.stop[rows], member_ids=(self.member_ids[member],))


@dataclass(frozen=True, slots=True)
class View:
    """What a fitted model sees when asked.

    `features`, standardised over their section's tissue, are (where, channels) of some superpixels or
    points, in any order; for a model that asks for a halo (rows, columns, channels) of a tile with `halo`
    more on every side, NaN off the tissue and past the grid. `xy_um`: their centres in H&E µm, the same shape
    with (x, y) last, where the model asked for positions or has a halo. `context`: measured units near by,
    None where nothing was measured or where it is left out. `asked` (rows, columns) of the tile without its halo: which
    answers are wanted, None where all are; a model may leave the others at 0.
    """

    features: FloatArray
    xy_um: FloatArray | None = None
    halo: int = 0
    context: Context | None = None
    asked: BoolArray | None = None


def pooled_units(pooling: sparse.csr_matrix, values: FloatArray, quantity: Quantity) -> FloatArray:
    """(units, …) from (superpixels, …): the mean over each footprint; counts add up over it.

    What is the same everywhere stays so to the last bit: rounding alone would correlate with the size of footprints.
    """
    first = values[:1]
    pooled = np.asarray(first + pooling @ (values - first))
    return pooled * pooling.getnnz(axis=1)[:, None] if quantity == "counts" else pooled


class Fitted(ABC):
    """A model that has learned."""

    genes: GeneTable
    members: int

    @abstractmethod
    def latent(self, view: View, device: str = "cpu") -> FloatArray:
        """(members, where, latent) for the tile without its halo, or for the points."""

    @abstractmethod
    def decode(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """(members, where, genes) of any genes, on demand, from what `latent` gave."""

    def combine(self, latent: FloatArray, genes: IntArray, quantity: Quantity) -> FloatArray:
        """(where, genes) of the ensemble from (members, where, latent): the mean of what members decode."""
        return np.asarray(self.decode(latent, genes, quantity).mean(axis=0))

    def predict(self, view: View, genes: IntArray, quantity: Quantity, device: str = "cpu") -> FloatArray:
        """(where, genes) of the ensemble: `log`, or `counts` expected in one superpixel."""
        return self.combine(self.latent(view, device), genes, quantity)

    def units_from_latent(
        self, latent: FloatArray, pooling: sparse.csr_matrix, genes: IntArray, quantity: Quantity
    ) -> FloatArray:
        """(units, genes) from the latents (members, superpixels, …) of what they cover: the mean over each
        footprint (rows of `pooling` sum to 1); counts are those of the whole unit."""
        return pooled_units(pooling, self.combine(latent, genes, quantity), quantity)

    def decode_units(
        self, latent: FloatArray, pooling: sparse.csr_matrix, genes: IntArray, quantity: Quantity
    ) -> FloatArray:
        """(members, units, genes): the same of each member alone, as a cross-validation asks."""
        return np.stack([pooled_units(pooling, x, quantity) for x in self.decode(latent, genes, quantity)])

    def remarks(self, captures: Sequence[str]) -> tuple[str, ...]:
        """What a person should know of what was learned, in sentences; `captures` names the training sections."""
        return ()

    @abstractmethod
    def arrays(self) -> dict[str, Array]:
        """Everything learned, for safetensors."""

    @classmethod
    @abstractmethod
    def from_arrays(cls, arrays: Mapping[str, Array], settings: Section, genes: GeneTable) -> Fitted:
        """The inverse of `arrays`."""


class Model(ABC):
    """A recipe. `Settings` is what a person may choose, `needs` what the data must bring."""

    name: ClassVar[str]
    title: ClassVar[str] = ""
    needs: Needs = Needs()
    Settings: ClassVar[type[Section]]
    fitted: ClassVar[type[Fitted]]  # the class that `from_arrays` is asked of
    without_context: ClassVar[str] = "histology alone decides"  # what is said where `context_counts` meets none
    joins_bins: ClassVar[bool] = False  # bins of few counts are joined before anything is learned (models/units.py)

    def __init__(self, settings: Section | None = None) -> None:
        self.settings: Any = settings if settings is not None else self.Settings()

    def missing(self) -> str:
        """What this needs and is not on this machine, and how to get it; empty where nothing is."""
        return ""

    def require(self, on_event: OnEvent) -> None:
        """Have everything at hand before hours are spent; fetches where a person allowed it. Raises PixelGeneError."""
        return

    def files(self) -> dict[str, Path]:
        """Files besides the data that decide what is learned or answered, by what they are."""
        return {}

    def identify(self, genes: GeneTable, where: str) -> tuple[str, ...]:
        """The id by which a model of a fixed vocabulary knows each gene of a section; empty for one that it does not.
        Raises InputError that names the section (`where`) for another species."""
        return genes.ids

    def named(self, names: Sequence[str]) -> GeneTable:
        """The genes of a fixed vocabulary by symbol or id, in this order. Raises InputError for those it lacks."""
        raise NotImplementedError(f"{self.name} has no vocabulary")

    def vocabulary(self, prefer: Sequence[str] = ()) -> GeneTable:
        """All genes of a fixed vocabulary, each by one symbol, of `prefer` where it has several."""
        raise NotImplementedError(f"{self.name} has no vocabulary")

    def fit(self, data: TrainingData, on_event: OnEvent) -> Fitted:
        """Learn. A torch member leaves this to the training stage."""
        raise NotImplementedError(f"{self.name} is trained by stages.training")


class TorchSettings(Section):
    """What every torch member lets a person choose."""

    epochs: int = Field(40, ge=1, description="At most so many passes over the units.")
    patience: int = Field(8, ge=1, description="Stop when no member has improved for so many epochs.")
    learning_rate: float = Field(1e-3, gt=0, description="Step size of AdamW.")
    weight_decay: float = Field(1e-2, ge=0, description="Pull of the weights towards zero (AdamW).")
    batch_units: int = Field(32, ge=1, description="Units (spots, bins, cells) in one step.")
    units_per_epoch: int = Field(20_000, ge=1, description="At most so many units, drawn anew, in one epoch.")


@dataclass(frozen=True, slots=True)
class Batch:
    """One step, or some of the units that judge an epoch.

    `inputs` go to the network and `targets` to the loss, the same for all members. `own_inputs` follow the
    inputs and have one row a member, as what a member may see of its context; `own` are targets with one row
    a member, and so is `weight` (members, units): 0 where a unit is not a member's to learn from.
    `members` says whose rows these are; empty: everybody's, in order.
    """

    inputs: tuple[torch.Tensor, ...]
    targets: Mapping[str, torch.Tensor]
    weight: torch.Tensor
    own: Mapping[str, torch.Tensor] = field(default_factory=dict)
    members: tuple[int, ...] = ()
    own_inputs: tuple[torch.Tensor, ...] = ()

    def only(self, members: tuple[int, ...]) -> Batch:
        """The same step for some of everybody."""
        rows = list(members)
        own = {name: tensor[rows] for name, tensor in self.own.items()}
        inputs = tuple(tensor[rows] for tensor in self.own_inputs)
        return replace(self, weight=self.weight[rows], own=own, own_inputs=inputs, members=members)


class Plan(ABC):
    """What a torch member has worked out from the training data before the first step: targets, scalings,
    tensors on the device."""

    members: int


@dataclass(frozen=True, slots=True)
class Scores:
    """Of one epoch, (members,) each. `stop`, larger is better: every score keeps its own best snapshot.
    `shown` is worth watching: the held-out correlation and its permuted control, by their names in
    `elements.scores`."""

    stop: Mapping[str, FloatArray]
    shown: Mapping[str, FloatArray]


@dataclass(slots=True)
class Snapshots:
    """The best parameters of every member, kept apart for each stop score: {score: {parameter: (members, …)}}."""

    parameters: dict[str, dict[str, torch.Tensor]] = field(default_factory=dict)


class TorchModel(Model):
    """A recipe whose heart is a network. `batched_members`: all members in one pass, else in turn. `effort`: how many
    times as long as a plain network on single superpixels it takes for as many of them (`benchmarks/estimates.py`)."""

    batched_members: ClassVar[bool] = True
    effort: ClassVar[float] = 1.0

    @abstractmethod
    def plan(self, data: TrainingData) -> Plan:
        """Targets, scalings, device tensors."""

    @abstractmethod
    def network(self, plan: Any) -> nn.Module:
        """The network of one member, freshly initialised; the loop seeds and stacks them."""

    @abstractmethod
    def batches(self, plan: Any, rng: np.random.Generator) -> Iterator[Batch]:
        """One epoch, in an order that `rng` alone decides, not what members learn from: a member trained alone
        must meet the same steps."""

    @abstractmethod
    def loss(self, plan: Any, output: torch.Tensor, batch: Batch) -> torch.Tensor:
        """(members,) from the output (members, …) of the network: one value each, already weighted. Members
        that have stopped are left out of output and batch."""

    @abstractmethod
    def stop_batches(self, plan: Any) -> Iterator[Batch]:
        """The stop units, the same each epoch; a batch may be for some members only (`Batch.members`)."""

    @abstractmethod
    def stop_scores(self, plan: Any, outputs: Sequence[torch.Tensor], batches: Sequence[Batch]) -> Scores:
        """How the members do on their stop units, from the outputs of `stop_batches`."""

    def optimizer(self, plan: Any, parameters: list[torch.Tensor]) -> torch.optim.Optimizer:
        """AdamW at a constant rate; it works on each number alone, so stacked members stay independent."""
        import torch

        rate, decay = self.settings.learning_rate, self.settings.weight_decay
        return torch.optim.AdamW(parameters, lr=rate, weight_decay=decay, fused=True)

    def epochs(self, plan: Any) -> tuple[int, int | None]:
        """At most so many epochs, and the patience; None never stops early and keeps the last state."""
        return self.settings.epochs, self.settings.patience

    @abstractmethod
    def finish(self, plan: Any, snapshots: Snapshots, data: TrainingData) -> Fitted:
        """Put the best parameters and the plan into what is saved."""
