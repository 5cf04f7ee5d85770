"""The network as published, its tensors named so, and the same idea for any features and any place.

Published (specs/histosge.md section 4): token = feature + look-up of column + look-up of row; a block `x += attention`,
`x += perceptron`, each after a layer norm; a head of two layers. `SetNet` brings features of any width into the token,
knows places by waves instead of whole numbers, and tells who asks (superpixels) from whom they look at (units).
"""

from __future__ import annotations

import torch
from torch import nn

# What is added to asking tokens and to those they see.
Places = tuple[torch.Tensor, torch.Tensor]
# Columns and rows that the published look-ups hold.
PLACES = 512
# Width of the published head, its heads of attention and their width.
HEAD, HEADS, DIM_HEAD = 2048, 4, 64


class Attention(nn.Module):
    """Several heads of scaled dot products; the projection out is left out where one head is as wide as the token."""

    def __init__(self, dim: int, heads: int, dim_head: int) -> None:
        super().__init__()
        inner = heads * dim_head
        self.heads, self.inner = heads, inner
        self.to_qkv = nn.Linear(dim, 3 * inner, bias=False)
        plain = heads == 1 and dim_head == dim
        self.to_out = nn.Identity() if plain else nn.Sequential(nn.Linear(inner, dim), nn.Dropout(0.0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, tokens, dim): every token looks at all, itself among them."""
        q, k, v = self.to_qkv(x).chunk(3, dim=-1)
        q, k, v = (self._split(t) for t in (q, k, v))
        share = torch.softmax(q @ k.transpose(-1, -2) * self._scale(), dim=-1)
        out: torch.Tensor = self.to_out(self._merge(share @ v))
        return out

    def towards(
        self, asking: torch.Tensor, seen: torch.Tensor, bias: torch.Tensor, at: Places | None = None
    ) -> torch.Tensor:
        """(…, asking, dim): every asking token looks at itself and at the tokens seen (…, seen, dim), to whose weight
        the logarithms `bias` (…, asking, seen) are added; -inf is not seen. `at`: what is added to asking and seen
        tokens where they are compared, but is not passed on."""
        placed, placed_seen = (asking + at[0], seen + at[1]) if at is not None else (asking, seen)
        of_query, of_key, of_value = self.to_qkv.weight.chunk(3)
        q, k, v = (self._heads(x, w) for x, w in ((placed, of_query), (placed, of_key), (asking, of_value)))
        key, value = self._heads(placed_seen, of_key), self._heads(seen, of_value)
        itself = (q * k).sum(-1, keepdim=True) * self._scale()
        others = q @ key.transpose(-1, -2) * self._scale() + bias.unsqueeze(-3)
        share = torch.softmax(torch.cat([itself, others], dim=-1), dim=-1)
        out: torch.Tensor = self.to_out(self._merge(share[..., :1] * v + share[..., 1:] @ value))
        return out

    def _heads(self, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return self._split(nn.functional.linear(x, weight))

    def _scale(self) -> float:
        return float((self.inner // self.heads) ** -0.5)

    def _split(self, x: torch.Tensor) -> torch.Tensor:
        """(…, tokens, inner) to (…, heads, tokens, dim_head)."""
        return x.reshape(*x.shape[:-1], self.heads, x.shape[-1] // self.heads).transpose(-2, -3)

    def _merge(self, x: torch.Tensor) -> torch.Tensor:
        return x.transpose(-2, -3).flatten(-2)


class FeedForward(nn.Module):
    """Two linear maps with GELU between."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(dim, hidden), nn.GELU(), nn.Dropout(0.0), nn.Linear(hidden, dim), nn.Dropout(0.0)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, dim) to (…, dim)."""
        out: torch.Tensor = self.net(x)
        return out


class PreNorm(nn.Module):
    """A layer norm, then `fn`."""

    def __init__(self, dim: int, fn: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(dim)
        self.fn = fn

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, dim) to (…, dim)."""
        out: torch.Tensor = self.fn(self.norm(x))
        return out


class Transformer(nn.Module):
    """Blocks of attention and perceptron, each added to what goes in."""

    def __init__(self, dim: int, depth: int, heads: int, dim_head: int, hidden: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            nn.ModuleList([PreNorm(dim, Attention(dim, heads, dim_head)), PreNorm(dim, FeedForward(dim, hidden))])
            for _ in range(depth)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, tokens, dim) to (…, tokens, dim)."""
        for block in self.layers:
            assert isinstance(block, nn.ModuleList)
            x = block[0](x) + x
            x = block[1](x) + x
        return x

    def towards(
        self, asking: torch.Tensor, seen: torch.Tensor, bias: torch.Tensor, at: Places | None = None
    ) -> torch.Tensor:
        """(…, asking, dim) of one block: what is asked looks at what is seen (see `Attention.towards`)."""
        block = self.layers[0]
        assert isinstance(block, nn.ModuleList)
        look, forward = block
        assert isinstance(look, PreNorm) and isinstance(look.fn, Attention)
        asking = look.fn.towards(look.norm(asking), look.norm(seen), bias, at) + asking
        out: torch.Tensor = forward(asking) + asking
        return out


class OriginalNet(nn.Module):
    """(…, tokens, features) and their whole columns and rows to (…, tokens, genes), never negative."""

    def __init__(
        self, dim: int, genes: int, depth: int = 1, heads: int = HEADS, dim_head: int = DIM_HEAD, head: int = HEAD
    ) -> None:
        super().__init__()
        self.x_embed, self.y_embed = nn.Embedding(PLACES, dim), nn.Embedding(PLACES, dim)
        self.trans = Transformer(dim, depth, heads, dim_head, dim)
        self.gene_head = nn.Sequential(
            nn.Linear(dim, head), nn.ReLU(), nn.LayerNorm(head), nn.Linear(head, genes), nn.ReLU()
        )
        self.layer_norm = nn.LayerNorm(dim)  # of the published state dict; nothing goes through it

    def token(self, features: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """(…, dim) of features (…, dim) and columns and rows (…, 2), cut to whole numbers."""
        whole = place.long().clamp(0, PLACES - 1)
        out: torch.Tensor = features + self.x_embed(whole[..., 0]) + self.y_embed(whole[..., 1])
        return out

    def hidden(self, features: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """(…, tokens, dim): every token of a set after the block."""
        out: torch.Tensor = self.trans(self.token(features, place))
        return out

    def towards(
        self,
        asking: torch.Tensor,
        seen: torch.Tensor,
        asking_at: torch.Tensor,
        seen_at: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        """(…, asking, dim): each asking token in a set of its own, with the tokens it sees."""
        return self.trans.towards(self.token(asking, asking_at), self.token(seen, seen_at), bias)

    def forward(self, features: torch.Tensor, place: torch.Tensor) -> torch.Tensor:
        """(…, tokens, genes)."""
        out: torch.Tensor = self.gene_head(self.hidden(features, place))
        return out


class SetNet(nn.Module):
    """Superpixels that ask (…, asking, features) and the units they see (…, seen, features) to (…, asking, outputs).

    Places come as waves (…, waves); `bias` (…, asking, seen) is the logarithm of how much a unit counts. Where the
    waves start anywhere (`absolute` False), places are compared but not passed on: they say nothing by themselves.
    """

    def __init__(
        self, features: int, waves: int, outputs: int, width: int, hidden: int, dropout: float, absolute: bool = False
    ) -> None:
        super().__init__()
        self.embed = nn.Linear(features, width)
        self.place = nn.Linear(waves, width, bias=False) if waves else None
        self.trans = Transformer(width, 1, HEADS, max(width // HEADS, 1), width)
        self.dropout, self.absolute = dropout, absolute
        self.gene_head = nn.Sequential(
            nn.Linear(width, hidden), nn.ReLU(), nn.LayerNorm(hidden), nn.Linear(hidden, outputs)
        )

    def forward(
        self,
        asking: torch.Tensor,
        seen: torch.Tensor,
        asking_at: torch.Tensor,
        seen_at: torch.Tensor,
        bias: torch.Tensor,
    ) -> torch.Tensor:
        """(…, asking, outputs)."""
        x, others, at = self.embed(asking), self.embed(seen), None
        if self.place is not None and self.absolute:
            x, others = x + self.place(asking_at), others + self.place(seen_at)
        elif self.place is not None:
            at = (self.place(asking_at), self.place(seen_at))
        x = self.trans.towards(x, others, bias, at)
        x = nn.functional.dropout(self.gene_head[:3](x), self.dropout, self.training)
        out: torch.Tensor = self.gene_head[3](x)
        return out
