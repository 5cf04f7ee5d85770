"""The released tensors from a file on this machine, or, when a person says so, from the hub (specs/stpath.md, 2).

A file is read as tensors and nothing else, on the processor wherever it was saved, and compared name by name and shape
by shape: the first tensor that differs is named.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from napari_pixelgene.errors import InputError, MissingDependency
from napari_pixelgene.models.stpath import vocabulary
from napari_pixelgene.models.stpath.network import Sizes, STPathNetwork
from napari_pixelgene.models.stpath.vocabulary import GeneVocabulary, read_vocabulary
from napari_pixelgene.progress import Note, OnEvent, silent

if TYPE_CHECKING:
    from napari_pixelgene.models.stpath.settings import STPathSettings

# Where the two files are: weights by their authors; the vocabulary, which is in their code, in a mirror.
WEIGHTS = ("tlhuang/STPath", "stfm.pth")
VOCABULARY = ("RendeiroLab/LazySlide-models", f"STPath/{vocabulary.FILE}")
_HOW = (
    f"Get {WEIGHTS[1]} from huggingface.co/{WEIGHTS[0]} and {vocabulary.FILE} from the code of STPath, and give their "
    "paths in the settings 'weights' and 'vocabulary'; or switch 'download' on."
)

State = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class Released:
    """The network as it was trained, and the genes that its axis stands for."""

    state: State
    sizes: Sizes
    vocabulary: GeneVocabulary
    weights_path: Path
    vocabulary_path: Path


def find(settings: STPathSettings) -> dict[str, Path | None]:
    """The files by what they are, where they are on this machine: as given, in the folder of weights, in the hub's
    cache. A path that is given stands, whether there is a file or not."""
    return {
        "weights": settings.weights or _somewhere(WEIGHTS, ("stfm.pth", "stpath.pkl")),
        "vocabulary": settings.vocabulary or _somewhere(VOCABULARY, (vocabulary.FILE,)),
    }


def missing(settings: STPathSettings) -> str:
    """What is not on this machine, and how to get it; empty where all is here or may be fetched."""
    found = find(settings)
    lacking = [what for what, path in found.items() if path is None or not path.is_file()]
    if not lacking or (settings.download and all(found[what] is None for what in lacking)):
        return ""
    return f"Not on this machine: STPath's {' and '.join(lacking)}. {_HOW}"


def load(settings: STPathSettings, on_event: OnEvent = silent) -> Released:
    """Read both files, and hold them against each other. Raises MissingDependency where one is not here and may not be
    fetched, InputError for one that is not what it should be."""
    found, paths = find(settings), {}
    for what, source in (("weights", WEIGHTS), ("vocabulary", VOCABULARY)):
        path = found[what]
        if path is None and not settings.download:
            raise MissingDependency(f"Not on this machine: STPath's {what}.", _HOW)
        paths[what] = path if path is not None else fetch(source, on_event)
    genes = read_vocabulary(paths["vocabulary"], settings.released)
    state, sizes = read_weights(paths["weights"], settings.released)
    if len(genes) != sizes.genes:
        raise InputError(
            f"{paths['vocabulary']} gives {len(genes):,} genes, padding and mask included; the weights "
            f"{paths['weights'].name} have {sizes.genes:,}.",
            "Give the vocabulary that belongs to the weights.",
        )
    return Released(state, sizes, genes, paths["weights"], paths["vocabulary"])


def read_weights(path: Path, released: bool = True) -> tuple[State, Sizes]:
    """The state dict of a file, float32, and its sizes; `released` refuses a network of other sizes.

    Raises InputError for a file that is not there, holds more than tensors, or differs in a tensor.
    """
    state = _tensors(path)
    sizes = Sizes() if released else _sizes(state, path)
    _require_same(state, sizes.shapes(), path)
    return {name: tensor.to(torch.float32) for name, tensor in state.items()}, sizes


def make_network(state: State, sizes: Sizes) -> STPathNetwork:
    """The network that owns these tensors, ready to be asked."""
    with torch.device("meta"):
        network = STPathNetwork(sizes)
    network.load_state_dict(state, strict=True, assign=True)
    return network.eval()


def fetch(what: tuple[str, str], on_event: OnEvent = silent) -> Path:
    """A file of the hub, from its cache or downloaded. Called when a person said 'download', and never else.

    A login that the hub asks for is the hub's own (`hf auth login`): nothing is typed here.
    """
    repository, name = what
    try:
        from huggingface_hub import hf_hub_download
    except ImportError:
        raise MissingDependency(
            "Downloading needs the package huggingface_hub.", 'Install it: pip install "napari-pixelgene[encoders]".'
        ) from None
    on_event(Note(f"Fetching {name} from Hugging Face ({repository}).", stage="fit"))
    try:
        return Path(hf_hub_download(repository, name))
    except Exception as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(
            f"{name} could not be fetched from Hugging Face ({repository}): {said[0]}",
            "Check the connection, or fetch the file by hand and give its path.",
        ) from error


def _somewhere(source: tuple[str, str], names: tuple[str, ...]) -> Path | None:
    """A file in the folder of weights that encoders use too, or in the hub's own cache; nothing is fetched."""
    from platformdirs import user_data_path

    folder = user_data_path("napari-pixelgene", appauthor=False) / "weights"
    own = next((folder / name for name in names if (folder / name).is_file()), None)
    if own is not None:
        return own
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    cached = try_to_load_from_cache(*source)
    return Path(cached) if isinstance(cached, str) else None


def _tensors(path: Path) -> State:
    if not path.is_file():
        raise InputError(f"There are no STPath weights {path}.", _HOW)
    try:
        found: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise InputError(f"{path} cannot be read as PyTorch tensors alone: {said}", _HOW) from None
    if not isinstance(found, Mapping) or not all(isinstance(x, torch.Tensor) for x in found.values()):
        raise InputError(f"{path} is no state dict: it holds more than named tensors.", _HOW)
    return dict(found)


def _require_same(state: State, expected: Mapping[str, tuple[int, ...]], path: Path) -> None:
    """The first difference in the order of the network, then what the file has besides."""
    for name, shape in expected.items():
        if name not in state:
            raise InputError(f"{path} is not STPath: it has no tensor '{name}'.", _HOW)
        found = tuple(state[name].shape)
        if found != shape:
            raise InputError(f"{path} is not this STPath: '{name}' has shape {found}, expected {shape}.", _HOW)
        if not state[name].is_floating_point():
            raise InputError(f"{path} is not STPath: '{name}' holds {state[name].dtype}, expected numbers.", _HOW)
        if not torch.isfinite(state[name]).all():
            raise InputError(f"{path} is damaged: '{name}' holds values that are not finite.", "Fetch it again.")
    more = next((name for name in state if name not in expected), None)
    if more is not None:
        raise InputError(f"{path} is not STPath: it also has '{more}'.", _HOW)


def _sizes(state: State, path: Path) -> Sizes:
    """The sizes that the tensors themselves tell."""
    try:
        return Sizes.of({name: tuple(tensor.shape) for name, tensor in state.items()})
    except KeyError as error:
        raise InputError(f"{path} is not STPath: it has no tensor {error}.", _HOW) from None
    except IndexError:
        raise InputError(f"{path} is not STPath: its embeddings are no matrices.", _HOW) from None
