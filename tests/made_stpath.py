"""A small STPath: files of weights and vocabulary with random numbers, and sections for it."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from scipy import sparse

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.models.base import Everything, TrainingData, TrainingSection
from napari_pixelgene.models.stpath.network import Sizes, STPathNetwork

# Files for whoever asks by settings alone; gone when the tests are through.
_FOLDER = TemporaryDirectory(prefix="stpath-")
VECTORS = Path(__file__).parent / "vectors" / "stpath"
GENES = 30


def symbol_table(genes: int = GENES) -> dict[str, str]:
    """Symbols G0, G1, … whose ids run the other way, so that neither order is the other's; every third has an alias."""
    table = {f"G{i}": f"ENSG{2000 - 7 * i:011d}" for i in range(genes)}
    return table | {f"ALIAS{i}": table[f"G{i}"] for i in range(0, genes, 3)}


def random_state(sizes: Sizes, seed: int = 0, slope: float = -0.05) -> dict[str, torch.Tensor]:
    """Random tensors, norms too; near spots count more, by `slope` for a hundredth of the tissue's side."""
    torch.manual_seed(seed)
    state = {name: 0.3 * torch.randn(shape) for name, shape in sizes.shapes().items()}
    for name, tensor in state.items():
        if name.endswith("edge_bias.0.weight"):
            tensor[:, 2] = slope * torch.rand(sizes.heads)
        elif "norm" in name or name.startswith("gene_exp_head.0"):
            tensor += float(name.endswith("weight"))
    return state


def write_files(folder: Path, image: int = 6, genes: int = GENES, seed: int = 0) -> dict[str, Any]:
    """Weights and vocabulary in a folder, as the settings that name them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "symbol2ensembl.json").write_text(json.dumps(symbol_table(genes)), encoding="utf-8")
    state = random_state(Sizes(genes + 2, image, 16, 2, 4, 32), seed)
    torch.save(state, folder / "stfm.pth")
    found = {"weights": folder / "stfm.pth", "vocabulary": folder / "symbol2ensembl.json"}
    return {**{key: str(path) for key, path in found.items()}, "released": False}


@cache
def small_files() -> dict[str, Any]:
    """Settings that name a small network and its vocabulary."""
    return write_files(Path(_FOLDER.name))


def network_of(arrays: dict[str, Any]) -> STPathNetwork:
    """The network of a vector file, whose tensors are called sd/NAME."""
    state = {key[3:]: torch.from_numpy(arrays[key]) for key in arrays if key.startswith("sd/")}
    network = STPathNetwork(Sizes.of({name: tuple(tensor.shape) for name, tensor in state.items()}))
    network.load_state_dict(state)
    return network.eval()


def load(name: str) -> dict[str, Any]:
    """A vector file."""
    with np.load(VECTORS / name) as file:
        return {key: file[key] for key in file.files}


def at_points(section: TrainingSection, genes: GeneTable) -> TrainingSection:
    """A section as a point model sees it: the mean features of every unit, and all that was measured."""
    n = len(section)
    measured = Everything(section.counts, genes, np.ones(n, dtype=bool), 4.0)
    return TrainingSection(
        section.name, np.asarray(section.pooling @ section.features, dtype=np.float32),
        sparse.identity(n, format="csr", dtype=np.float32), section.counts, section.library, section.xy_um,
        everything=measured,
    )  # fmt: skip


def data_at_points(data: TrainingData) -> TrainingData:
    """Training data as a point model gets them."""
    return replace(data, sections=tuple(at_points(s, data.genes) for s in data.sections))
