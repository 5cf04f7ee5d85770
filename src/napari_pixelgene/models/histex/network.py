"""The blocks of HISTEX, and its published network with the published state-dict names (specs/histex.md section 7).

Shapes: histology tokens (…, T, F), unit tokens (…, K, C), embeddings (…, T, E).
"""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import nn

HEADS = 8
# What every custom linear layer adds to its output, and the α of the last one's ELU.
OFFSET = 0.01
# Widths of the published head.
_HEAD = (1024, 512, 512, 512)


class CrossAttention(nn.Module):
    """Queries look at keys through 8 heads; scores are scaled by the root of the number of heads, as published."""

    def __init__(self, n_query: int, n_key: int, embed: int) -> None:
        super().__init__()
        self.query_proj = nn.Linear(n_query, embed)
        self.key_proj = nn.Linear(n_key, embed)
        self.value_proj = nn.Linear(n_key, embed)
        self.output_proj = nn.Linear(embed, embed)

    def forward(self, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        """(…, T, n_query) and (…, K, n_key) to (…, T, E)."""
        return self.attend(self.query_proj(query), self.key_proj(key), self.value_proj(key))

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, there: torch.Tensor | None = None
    ) -> torch.Tensor:
        """The same from projections (…, T, E), (…, K, E); `there` (…, K) is False where a key does not exist."""
        q, k, v = (_split(x) for x in (query, key, value))  # (…, 8, T | K, E/8)
        scores = k @ q.transpose(-1, -2) * HEADS**-0.5  # (…, 8, K, T): few keys first, which is faster
        if there is not None:
            scores = scores.masked_fill(~there[..., None, :, None], -math.inf)
        mixed = (scores.softmax(-2).transpose(-1, -2) @ v).transpose(-3, -2).flatten(-2)  # (…, T, E)
        out: torch.Tensor = self.output_proj(mixed)
        return out


def _split(x: torch.Tensor) -> torch.Tensor:
    """(…, tokens, E) to (…, 8, tokens, E/8)."""
    return x.reshape(*x.shape[:-1], HEADS, -1).transpose(-3, -2)


class BidirectionalCrossAttention(nn.Module):
    """Histology looks at units, units look at histology, and the first looks at the second."""

    def __init__(self, n_histology: int, n_unit: int, embed: int) -> None:
        super().__init__()
        self.cross_attention1 = CrossAttention(n_histology, n_unit, embed)
        self.cross_attention2 = CrossAttention(n_unit, n_histology, embed)
        self.cross_attention3 = CrossAttention(embed, embed, embed)

    def forward(self, histology: torch.Tensor, unit: torch.Tensor, there: torch.Tensor | None = None) -> torch.Tensor:
        """(…, T, n_histology), (…, K, n_unit) to (…, T, E); `there` (…, T): which histology tokens exist."""
        return self.mix(self.project(histology), unit, there)

    def project(self, histology: torch.Tensor) -> torch.Tensor:
        """(…, T, 3E) what each histology token asks, answers to and says: it knows nothing of its window yet."""
        first, second = self.cross_attention1, self.cross_attention2
        parts = (first.query_proj(histology), second.key_proj(histology), second.value_proj(histology))
        return torch.cat(parts, dim=-1)

    def mix(self, projected: torch.Tensor, unit: torch.Tensor, there: torch.Tensor | None = None) -> torch.Tensor:
        """The rest, from what `project` gave of the tokens of one window."""
        return self.both(projected, unit, there)[0]

    def both(
        self, projected: torch.Tensor, unit: torch.Tensor, there: torch.Tensor | None = None
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """What the block gives, and what the tokens took from the units themselves, (…, T, E) each."""
        first, second, third = self.cross_attention1, self.cross_attention2, self.cross_attention3
        query, key, value = projected.chunk(3, dim=-1)
        informed = first.attend(query, first.key_proj(unit), first.value_proj(unit))  # (…, T, E)
        asked = second.attend(second.query_proj(unit), key, value, there)  # (…, K, E)
        return third(informed, asked), informed


class OffsetLinear(nn.Module):
    """`x @ weights (+ bias)`, then ELU with α = 0.01 where asked for, then 0.01 more; weights (in, out)."""

    def __init__(self, n_in: int, n_out: int, bias: bool = False, elu: bool = False) -> None:
        super().__init__()
        bound = n_out**-0.5
        self.weights = nn.Parameter(torch.empty(n_in, n_out).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(n_out).uniform_(-bound, bound)) if bias else None
        self.elu = elu

    def forward(self, x: torch.Tensor, columns: torch.Tensor | None = None) -> torch.Tensor:
        """(…, in) to (…, out), or to some `columns` of it."""
        weights: torch.Tensor = self.weights
        bias: torch.Tensor | None = self.bias
        if columns is not None:
            weights, bias = weights[:, columns], None if bias is None else bias[columns]
        out = x @ weights if bias is None else x @ weights + bias
        return (nn.functional.elu(out, alpha=OFFSET) if self.elu else out) + OFFSET


class HistexNet(nn.Module):
    """The published network: tokens of a window and units near by to a positive number a gene and token."""

    def __init__(self, n_features: int, n_genes: int, embed: int = 128) -> None:
        super().__init__()
        self.MCA1 = BidirectionalCrossAttention(n_features, n_genes, embed)
        self.l1 = OffsetLinear(embed, embed)
        self.MCA2 = BidirectionalCrossAttention(embed, n_genes, embed)
        self.l2 = OffsetLinear(embed, embed)
        widths = (embed + n_features, *_HEAD)
        self.output_module = nn.Sequential(*(OffsetLinear(a, b) for a, b in pairwise(widths)))
        self.fal_out = OffsetLinear(_HEAD[-1], n_genes, elu=True)

    def latent(self, histology: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """(…, T, F) and (…, K, G) to (…, T, E)."""
        x = self.MCA1(histology, unit)
        x = self.l1(x) + x
        x = self.MCA2(x, unit)
        out: torch.Tensor = self.l2(x) + x
        return out

    def output(
        self, latent: torch.Tensor, histology: torch.Tensor, columns: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Layer by layer, as published: (…, T, G), or some `columns` of it."""
        out: torch.Tensor = self.fal_out(self.output_module(torch.cat([latent, histology], dim=-1)), columns)
        return out

    def folded(self) -> tuple[torch.Tensor, torch.Tensor]:
        """The head as one affine map, weights (E + F, G) and bias (G,), before the ELU: nothing bends between its
        layers. Exact but for rounding, and the same gradients."""
        first, *others = [layer.weights for layer in self.output_module if isinstance(layer, OffsetLinear)]
        weights: torch.Tensor = first
        bias = torch.full_like(first[0], OFFSET)
        for each in others:
            weights, bias = weights @ each, bias @ each + OFFSET
        return weights @ self.fal_out.weights, bias @ self.fal_out.weights

    def forward(self, histology: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """(…, T, F) and (…, K, G) to (…, T, G), through the folded head."""
        weights, bias = self.folded()
        latent = torch.cat([self.latent(histology, unit), histology], dim=-1)
        return activate(latent @ weights + bias)


def activate(x: torch.Tensor) -> torch.Tensor:
    """What the last layer does to its sums: never negative."""
    return nn.functional.elu(x, alpha=OFFSET) + OFFSET


class WindowNet(nn.Module):
    """The same blocks with a head that bends: tokens and units near by to components and the total.

    What tokens take from the units is added to what a block gives. In the published block it only steers the last
    attention, whose values are histology: measured values next door hardly change what is predicted.
    """

    def __init__(self, n_features: int, n_unit: int, n_outputs: int, embed: int, hidden: int, dropout: float) -> None:
        super().__init__()
        self.MCA1 = BidirectionalCrossAttention(n_features, n_unit, embed)
        self.l1 = OffsetLinear(embed, embed)
        self.MCA2 = BidirectionalCrossAttention(embed, n_unit, embed)
        self.l2 = OffsetLinear(embed, embed)
        self.own = nn.Linear(n_features, hidden)
        self.window = nn.Linear(embed, hidden, bias=False)
        self.head = nn.Sequential(
            nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, n_outputs),
        )  # fmt: skip

    def forward(self, histology: torch.Tensor, there: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """(…, T, F), which tokens exist (…, T), and (…, K, C) to (…, T, outputs)."""
        projected = self.project(histology)
        return self.outputs(projected, self.mix(projected, there, unit))

    def project(self, histology: torch.Tensor) -> torch.Tensor:
        """(…, T, 3E + hidden) of each superpixel, whatever windows it will be part of."""
        return torch.cat([self.MCA1.project(histology), self.own(histology)], dim=-1)

    def mix(self, projected: torch.Tensor, there: torch.Tensor, unit: torch.Tensor) -> torch.Tensor:
        """(…, T, E) what the window and the units near by say of its tokens, from what `project` gave of them."""
        x = sum(self.MCA1.both(projected[..., : -self.own.out_features], unit, there))
        x = self.l1(x) + x
        x = sum(self.MCA2.both(self.MCA2.project(x), unit, there))
        out: torch.Tensor = self.l2(x) + x
        return out

    def outputs(self, projected: torch.Tensor, mixed: torch.Tensor) -> torch.Tensor:
        """(…, outputs) of superpixels, from what `project` and `mix` gave of them."""
        out: torch.Tensor = self.head(projected[..., -self.own.out_features :] + self.window(mixed))
        return out
