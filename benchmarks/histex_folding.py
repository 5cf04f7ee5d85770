"""HISTEX's maps of 1,000 genes: the published head layer by layer, against its one affine map, and the sound recipe.

    OMP_NUM_THREADS=1 python benchmarks/histex_folding.py [--genes 1000] [--channels 1029] [--side 70]

One state each, of the published sizes (UNI's 1,024 channels, colour and position), over side × side superpixels.
The published code recomputes the head for every hundred genes. Processor seconds of the best of three, so that other
work on the machine matters little. Goal: 20 times.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.models.base import View
from napari_pixelgene.models.histex.fitted import FittedWindows
from napari_pixelgene.models.histex.fitted_original import FittedOriginal
from napari_pixelgene.models.histex.network import HistexNet, WindowNet
from napari_pixelgene.models.histex.settings import HistexSettings

SIDE, NEIGHBOURS, COMPONENTS = 7, 5, 8


def main() -> None:
    """Print seconds and ratios."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--genes", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=1029)
    parser.add_argument("--side", type=int, default=70)
    options = parser.parse_args()
    torch.manual_seed(0)
    view, genes = tile(options.side, options.channels), np.arange(options.genes)
    net = HistexNet(options.channels, options.genes)
    published, sound = fitted_original(net, options.genes), fitted_windows(options.channels, options.genes)
    latent = published.latent(view)
    unfolded = seconds(lambda: head_by_layers(net, latent[0], genes))
    folded = seconds(lambda: published.combine(latent, genes, "counts"))
    layers, once = head_by_layers(net, latent[0], genes), published.combine(latent, genes, "counts")
    before = seconds(lambda: published.latent(view))
    ours = seconds(lambda: sound.predict(view, genes, "counts"))
    print(f"{options.side} × {options.side} superpixels, {options.channels} channels, {options.genes} genes, one state")
    print(f"largest difference of the folded head: {np.abs(layers - once).max():.1e} of {np.abs(layers).max():.2g}")
    print("| | processor seconds | the published code over it |\n| --- | --- | --- |")
    rows = {
        "published: head layer by layer, in groups of genes": (unfolded, unfolded),
        "published: the head folded": (folded, unfolded),
        "published: attention and head": (before + unfolded, before + unfolded),
        "published: attention and the folded head": (before + folded, before + unfolded),
        "recipe components, all of it": (ours, before + unfolded),
    }
    for name, (took, of) in rows.items():
        print(f"| {name} | {took:.2f} | {of / took:.1f} × |")


def seconds(call: Callable[[], object]) -> float:
    """Processor seconds of the best of three."""
    out = []
    for _ in range(3):
        start = time.process_time()
        call()
        out.append(time.process_time() - start)
    return min(out)


@torch.inference_mode()
def head_by_layers(net: HistexNet, latent: np.ndarray, genes: np.ndarray) -> np.ndarray:
    """(rows, columns, genes) counts, the head computed anew for each group of genes, in the published order."""
    blocks = torch.from_numpy(latent.reshape(-1, latent.shape[-1]))
    embedding, histology = blocks[:, :128], blocks[:, 128:]
    groups = np.array_split(genes, len(genes) // 100 + 1)
    parts = [net.output(embedding, histology, torch.from_numpy(g)).numpy() for g in groups]
    out = np.concatenate(parts, axis=-1).astype(np.float64) * (3.0 / 37) + 1.0 / 37
    return np.asarray(out.reshape(*latent.shape[:2], -1))


def tile(side: int, channels: int) -> View:
    """A tile without anything around it, which begins where a block begins."""
    halo = SIDE - 1
    features = np.full((side + 2 * halo, side + 2 * halo, channels), np.nan, np.float32)
    values = np.random.default_rng(0).normal(size=(side, side, channels))
    features[halo:-halo, halo:-halo] = values
    y, x = np.mgrid[-halo : side + halo, -halo : side + halo]
    return View(features, (np.stack([x, y], -1) + 0.5) * 8.0, halo)


def arrays_of(net: torch.nn.Module, state: str) -> dict[str, np.ndarray]:
    """One state's parameters as a run keeps them."""
    return {f"net.{state}.{k}": v.detach().numpy()[None] for k, v in net.state_dict().items()}


def fitted_original(net: HistexNet, genes: int) -> FittedOriginal:
    """A run of the published recipe, not trained."""
    arrays = arrays_of(net, "last") | {
        "low": np.ones((1, genes)), "span": np.full((1, genes), 3.0), "unit_size": np.array([37.0]),
        "side": np.array([SIDE]), "mean_context": np.random.default_rng(1).random((1, genes)).astype(np.float32),
    }  # fmt: skip
    return FittedOriginal(arrays, HistexSettings(recipe="original"), names(genes))


def fitted_windows(channels: int, genes: int) -> FittedWindows:
    """A run of the sound recipe, not trained."""
    settings = HistexSettings()
    net = WindowNet(channels, COMPONENTS + 3, COMPONENTS + 1, settings.embedding, settings.hidden, settings.dropout)
    rng = np.random.default_rng(2)
    arrays = arrays_of(net, "alone") | {
        "components": rng.normal(size=(1, COMPONENTS + 1, genes)).astype(np.float32), "scale": np.ones(1),
        "gene_mean": np.ones(genes), "gene_sd": np.ones(genes), "total": np.array([8.0, 0.5]),
        "own_total": np.array([[8.0, 0.5]]), "axes": np.zeros((1, genes, COMPONENTS), np.float32),
        "calibration": np.ones((2, genes)), "unit_size": np.array([37.0]), "side": np.array([SIDE]),
        "feature_mean": np.zeros(channels), "feature_sd": np.ones(channels),
    }  # fmt: skip
    return FittedWindows(arrays, settings, names(genes))


def names(genes: int) -> GeneTable:
    """Genes by number."""
    return GeneTable(tuple(f"G{i}" for i in range(genes)))


if __name__ == "__main__":
    main()
