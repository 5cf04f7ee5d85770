"""STPath at full size, random weights: attention in blocks and 50 genes, beside full attention and the whole head.

    python benchmarks/stpath_attention.py [--spots N] [--largest N]

"Full" holds what the published code holds: the four eigenframes of every spot's surroundings, all pairs at once, a
dense row of 38,984 tokens for every spot, and every gene of the answer. Each part runs in a process of its own, on one
thread; memory is what the peak grows by once the weights and the spots are there. Goals: 4,000 spots at least 5 times
as fast in a tenth of the memory; 20,000 spots under 1 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch

from napari_pixelgene.models.stpath.network import Attention, STPathNetwork
from napari_pixelgene.models.stpath.vocabulary import MASK

GENES = 50


def main() -> None:
    """Each part in a process of its own, then the ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("part", nargs="?", choices=["blocks", "full"])
    parser.add_argument("--spots", type=int, default=4000)
    parser.add_argument("--largest", type=int, default=20_000)
    options = parser.parse_args()
    if options.part is not None:
        print(json.dumps(measure(options.part, options.spots)))
        return
    blocks, full = (run(part, options.spots) for part in ("blocks", "full"))
    faster, leaner = full["cpu_s"] / blocks["cpu_s"], full["grown_mb"] / blocks["grown_mb"]
    print(f"{options.spots:,} spots: {faster:.1f} times as fast, {leaner:.1f} times less memory")
    if options.largest:
        run("blocks", options.largest)


def run(part: str, spots: int) -> dict[str, float]:
    """One part in a fresh process."""
    command = [sys.executable, __file__, part, "--spots", str(spots)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    numbers = ", ".join(f"{name} {value:,.2f}" for name, value in found.items())
    print(f"{part:>6}, {spots:,} spots: {numbers}", flush=True)
    return found


def measure(part: str, spots: int) -> dict[str, float]:
    """Seconds of the processor, what the peak grew by, and the peak of the whole process (weights, torch and all)."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    network = STPathNetwork().eval()
    image, xy = torch.randn(spots, 1536), torch.rand(spots, 2) * 100
    before, start = peak_mb(), time.process_time()
    with torch.no_grad():
        out = blocks(network, image, xy) if part == "blocks" else full(network, image, xy)
    cpu_s = time.process_time() - start
    assert out.isfinite().all()
    return {"cpu_s": cpu_s, "grown_mb": peak_mb() - before, "peak_mb": peak_mb()}


def blocks(network: STPathNetwork, image: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    """As it is used: one column of the embedding, a block of queries at a time, the rows of 50 genes."""
    nothing = torch.zeros(1, dtype=torch.long)
    mask = network.input_encoder.gene_embed.weight[:, MASK][None]
    hidden = network.hidden(image, mask, xy, nothing, nothing)
    head: Any = network.gene_exp_head[1]
    return hidden @ head.weight[:GENES].T + head.bias[:GENES]


def full(network: STPathNetwork, image: torch.Tensor, xy: torch.Tensor) -> torch.Tensor:
    """All pairs, frames, tokens and genes at once."""
    for module in network.modules():
        if isinstance(module, Attention):
            module.written_out = True
            module.bias = lambda at, everybody, own=module: framed(own, at)  # type: ignore[method-assign,misc]
    nothing = torch.zeros(len(xy), dtype=torch.long)
    tokens = torch.zeros(len(xy), network.sizes.genes)
    tokens[:, MASK] = 1.0
    inputs = (image, network.input_encoder.gene_embed(tokens), xy, nothing, nothing)
    head: Any = network.gene_exp_head[1]
    return head(network.hidden(*inputs, rows=len(xy)))  # type: ignore[no-any-return]


def framed(attention: Attention, xy: torch.Tensor) -> torch.Tensor:
    """(heads, n, n) the bias averaged over four sign-flipped eigenframes of each spot (specs/stpath.md section 3)."""
    away = xy[:, None] - xy[None]
    centred = away - away.mean(1, keepdim=True)
    frames = torch.linalg.eigh(centred.transpose(1, 2) @ centred)[1]
    distance = away.norm(dim=-1, keepdim=True)
    total = 0
    for signs in np.array([[1, 1], [1, -1], [-1, 1], [-1, -1]], dtype=np.float32):
        local = centred @ (frames * torch.from_numpy(signs))
        total = total + attention.edge_bias(torch.cat([local, distance], dim=-1))
    return (total / 4).permute(2, 0, 1)  # type: ignore[attr-defined,no-any-return]


def peak_mb() -> float:
    """The largest this process has been."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
