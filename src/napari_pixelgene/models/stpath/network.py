"""The network, tensor by tensor as released: 61 of them, 49,177,208 numbers (specs/stpath.md section 3).

Attention is over all spots of a slide, with a bias linear in their distance. The published code averages over four
eigenframes of every spot's surroundings; because their signs cancel, only the third column of `edge_bias` acts, and
the bias is column × distance. Here it is made block by block of queries, so that memory grows with the number of
spots and not with its square.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional

# Queries × keys whose distances are held at once: 8 MB a head of float32 biases.
_PAIRS = 1 << 21
_LEAST_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Sizes:
    """The sizes of a network; those of the released one are the defaults. `genes` counts padding and mask too."""

    genes: int = 38_984
    image: int = 1536
    width: int = 512
    blocks: int = 4
    heads: int = 4
    hidden: int = 1024
    technologies: int = 5
    organs: int = 25

    @classmethod
    def of(cls, shapes: Mapping[str, Sequence[int]]) -> Sizes:
        """The sizes that the shapes of tensors tell; two genes where the gene embedding is not among them. Raises
        KeyError that names a tensor which is not there."""
        first = "model.blks.0."
        return cls(
            genes=shapes.get("input_encoder.gene_embed.weight", (0, 2))[1],
            image=shapes["input_encoder.image_embed.weight"][1],
            width=shapes["input_encoder.image_embed.weight"][0],
            blocks=len({name.split(".")[2] for name in shapes if name.startswith("model.blks.")}),
            heads=shapes[f"{first}attn.edge_bias.0.weight"][0],
            hidden=shapes[f"{first}mlp.fc1.weight"][0],
            technologies=shapes["input_encoder.tech_embed.weight"][0],
            organs=shapes["input_encoder.organ_embed.weight"][0],
        )

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor's name and shape, in the order of the state dict."""
        with torch.device("meta"):
            return {name: tuple(tensor.shape) for name, tensor in STPathNetwork(self).state_dict().items()}


class InputEncoder(nn.Module):
    """Histology, expression, technology and organ of a spot, added up."""

    def __init__(self, sizes: Sizes) -> None:
        super().__init__()
        self.image_embed = nn.Linear(sizes.image, sizes.width)
        self.gene_embed = nn.Linear(sizes.genes, sizes.width, bias=False)
        # Their values are always loaded; drawing some first would import half of torch's compiler.
        self.tech_embed = nn.Embedding.from_pretrained(torch.zeros(sizes.technologies, sizes.width), freeze=False)  # type: ignore[no-untyped-call]
        self.organ_embed = nn.Embedding.from_pretrained(torch.zeros(sizes.organs, sizes.width), freeze=False)  # type: ignore[no-untyped-call]

    def forward(
        self, image: torch.Tensor, expression: torch.Tensor, technology: torch.Tensor, organ: torch.Tensor
    ) -> torch.Tensor:
        """(n, width) from histology (n, image), expression already embedded (n or 1, width), and ids (n,)."""
        out: torch.Tensor = self.image_embed(image) + expression + self.tech_embed(technology) + self.organ_embed(organ)
        return out


class Attention(nn.Module):
    """Every spot looks at all, near ones weighed by a learned slope a head. `written_out`: slowly, but with every
    derivative; for training on patches."""

    written_out = False

    def __init__(self, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.heads = sizes.heads
        self.layernorm_qkv = nn.Sequential(nn.LayerNorm(sizes.width), nn.Linear(sizes.width, 3 * sizes.width))
        self.W_output = nn.Sequential(nn.Linear(sizes.width, sizes.width), nn.Dropout(dropout))
        self.edge_bias = nn.Sequential(nn.Linear(3, sizes.heads, bias=False))

    def keys_values(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(heads, n, width of a head) each."""
        keys, values = self._projected(x, slice(1, 3)).chunk(2, dim=-1)
        return self._by_head(keys), self._by_head(values)

    def forward(
        self, x: torch.Tensor, xy: torch.Tensor, everybody: torch.Tensor, keys: torch.Tensor, values: torch.Tensor
    ) -> torch.Tensor:
        """(rows, width): what the spots `x` at `xy` (rows, 2) hear from all spots, which lie at `everybody` (n, 2)."""
        queries = self._by_head(self._projected(x, slice(0, 1)))
        heard = self._heard(queries, keys, values, self.bias(xy, everybody))
        out: torch.Tensor = self.W_output(heard.transpose(0, 1).flatten(1))
        return out

    def _heard(
        self, queries: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, bias: torch.Tensor
    ) -> torch.Tensor:
        """(heads, rows, width of a head): softmax over all spots. The slopes learn only where it is written out: the
        fast kernels have no derivative by the bias, and no rule for several members in one pass."""
        if self.written_out:
            logits = queries @ keys.transpose(1, 2) / math.sqrt(queries.shape[-1]) + bias
            return logits.softmax(-1) @ values
        # The fast kernel of processors takes four axes only.
        return functional.scaled_dot_product_attention(queries[None], keys[None], values[None], bias[None])[0]

    def bias(self, xy: torch.Tensor, everybody: torch.Tensor) -> torch.Tensor:
        """(heads, rows, n): slope × distance. Differences are taken directly: through a product they lose digits."""
        apart = torch.hypot(xy[:, :1] - everybody[:, 0], xy[:, 1:] - everybody[:, 1])
        slope: torch.Tensor = self.edge_bias[0].weight[:, 2]  # type: ignore[index]
        return slope[:, None, None] * apart

    def _projected(self, x: torch.Tensor, parts: slice) -> torch.Tensor:
        """Some of query, key and value, side by side."""
        norm, linear = self.layernorm_qkv
        rows = slice(parts.start * x.shape[-1], parts.stop * x.shape[-1])
        return functional.linear(norm(x), linear.weight[rows], linear.bias[rows])  # type: ignore[index]

    def _by_head(self, x: torch.Tensor) -> torch.Tensor:
        out: torch.Tensor = x.reshape(len(x), self.heads, -1).transpose(0, 1)
        return out


class Mlp(nn.Module):
    """Two layers with a norm between them, and none before."""

    def __init__(self, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.fc1 = nn.Linear(sizes.width, sizes.hidden)
        self.norm = nn.LayerNorm(sizes.hidden)
        self.fc2 = nn.Linear(sizes.hidden, sizes.width)
        self.drop = nn.Dropout(dropout)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(…, width) to the same."""
        hidden = self.norm(self.drop(functional.gelu(self.fc1(x))))
        out: torch.Tensor = self.drop(self.fc2(hidden))
        return out


class Block(nn.Module):
    """Attention and perceptron, each added to what comes in."""

    def __init__(self, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.attn = Attention(sizes, dropout)
        self.mlp = Mlp(sizes, dropout)

    def forward(self, x: torch.Tensor, xy: torch.Tensor, rows: int = 0) -> torch.Tensor:
        """(n, width) to the same, `rows` spots at a time; 0 takes as many as memory should hold."""
        keys, values = self.attn.keys_values(x)
        step = rows or max(_LEAST_BLOCK, _PAIRS // max(len(x), 1))
        parts = []
        for start in range(0, len(x), step):
            some = slice(start, start + step)
            heard = x[some] + self.attn(x[some], xy[some], xy, keys, values)
            parts.append(heard + self.mlp(heard))
        return torch.cat(parts)


class Trunk(nn.Module):
    """The blocks, one after another."""

    def __init__(self, sizes: Sizes, dropout: float) -> None:
        super().__init__()
        self.blks = nn.ModuleList(Block(sizes, dropout) for _ in range(sizes.blocks))

    def forward(self, x: torch.Tensor, xy: torch.Tensor, rows: int = 0) -> torch.Tensor:
        """(n, width) of all spots of one slide at `xy` (n, 2), to the same."""
        for block in self.blks:
            x = block(x, xy, rows)
        return x


class STPathNetwork(nn.Module):
    """Spots of one slide to log1p counts; its tensors have the released names."""

    def __init__(self, sizes: Sizes | None = None, dropout: float = 0.0) -> None:
        super().__init__()
        self.sizes = sizes or Sizes()
        self.input_encoder = InputEncoder(self.sizes)
        self.model = Trunk(self.sizes, dropout)
        self.gene_exp_head = nn.Sequential(
            nn.LayerNorm(self.sizes.width), nn.Linear(self.sizes.width, self.sizes.genes)
        )

    def hidden(
        self,
        image: torch.Tensor,
        expression: torch.Tensor,
        xy: torch.Tensor,
        technology: torch.Tensor,
        organ: torch.Tensor,
        rows: int = 0,
    ) -> torch.Tensor:
        """(n, width) just before the last linear map, which gives any gene on demand.

        `image` (n, image size); `expression` (n or 1, width): the gene embedding of what each spot shows; `xy` (n, 2)
        in [0, 100]; `technology` and `organ` (n or 1,) ids. All spots are of one slide: those of another are asked
        apart, which is what the published code's −1e9 between slides comes to.
        """
        x = self.model(self.input_encoder(image, expression, technology, organ), xy, rows)
        out: torch.Tensor = self.gene_exp_head[0](x)
        return out

    def forward(self, *inputs: torch.Tensor) -> torch.Tensor:
        """(n, genes of the head) log1p counts, from the inputs of `hidden`; they may fall below 0."""
        out: torch.Tensor = self.gene_exp_head[1](self.hidden(*inputs))  # type: ignore[arg-type]
        return out
