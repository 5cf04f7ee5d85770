"""Which spots of a patch are hidden while the network learns (specs/stpath.md sections 7 and 14).

Most spots lose their expression to the mask token. Of these the first nine tenths show nothing; the others keep what
was measured, but for a random half of the genes that the loss asks for. The loss is taken at all of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import IntArray

# Share of the masked spots that hold the mask token alone.
_HIDDEN = 0.9
# The share that is masked is drawn from this beta distribution; its mean is 0.91.
_BETA = (10.0, 1.0)
Permute = Callable[[int], "IntArray"]


@dataclass(frozen=True, slots=True)
class Masking:
    """Spots of a patch: `hidden` hold the mask token, `thinned` lose the genes at `dropped` (positions among those
    that the loss asks for); the loss is taken at both, in this order."""

    hidden: IntArray
    thinned: IntArray
    dropped: IntArray

    @property
    def scored(self) -> IntArray:
        """The spots that the loss is taken at."""
        return np.concatenate([self.hidden, self.thinned])


def mask_spots(spots: int, loss_genes: int, ratio: float, permute: Permute) -> Masking:
    """Mask `ratio` of the spots, at least one; `permute(n)` gives a random order of n."""
    count = max(1, int(spots * ratio))
    chosen = np.asarray(permute(spots))[:count]
    hidden = int(count * _HIDDEN)
    dropped = np.asarray(permute(loss_genes))[: loss_genes // 2]
    return Masking(chosen[:hidden], chosen[hidden:], dropped)


def mask_ratio(rng: np.random.Generator) -> float:
    """A share of spots to mask, as in pretraining."""
    return float(rng.beta(*_BETA))
