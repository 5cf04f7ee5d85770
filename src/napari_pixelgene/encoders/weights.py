"""Weights: found on this machine first, fetched from a hub only when a person says so, read without running code.

A file is looked for where a person points, then in the folder of weights (`weights_folder`), then in the hub's own
cache. A log-in is the hub client's business: no token is asked for, passed on or written down here. Files are read as
safetensors, or as PyTorch's with `weights_only`, and every array is held against the network that wants it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.encoders.base import Encoder, WeightFile
from napari_pixelgene.errors import InputError, MissingDependency, unknown_name

if TYPE_CHECKING:
    import torch
    from torch import nn

    State = dict[str, torch.Tensor]

ENDINGS = (".safetensors", ".pth", ".pt", ".bin", ".ckpt")
_MODEL_NAMES = ("model", "pytorch_model", "open_clip_pytorch_model")
# Where a checkpoint keeps the network, and what stands before its names.
_WRAPPERS = ("teacher", "state_dict", "model", "model_state_dict", "student")
_PREFIXES = ("module.", "backbone.", "teacher.", "student.", "encoder.", "model.", "_orig_mod.", "visual.trunk.")
# Parts of a training that no feature needs.
_LEFT_OUT = ("head.", "fc_norm.", "fc.", "dino_head.", "ibot_head.", "projector.", "predictor.", "decoder")
_LEFT_OUT_WHOLE = ("mask_token",)
_POINTER = b"version https://git-lfs"
ENCODERS_EXTRA = 'pip install "napari-pixelgene[encoders]"'


def weights_folder() -> Path:
    """Where weights are looked for: `weights` in the user's data folder of napari-pixelgene."""
    from platformdirs import user_data_path

    return user_data_path("napari-pixelgene", appauthor=False) / "weights"


def own_folder(file: WeightFile, encoder: Encoder) -> Path:
    """The folder of an encoder's own within the folder of weights."""
    return weights_folder() / (file.folder or encoder.name.replace(":", "-").replace("/", "--"))


def locate(
    file: WeightFile, encoder: Encoder, given: Path | None = None, endings: tuple[str, ...] = ENDINGS
) -> Path | None:
    """The file on this machine, or None. `given` is a file, or a folder that holds it."""
    is_alone = len(encoder.weights) == 1
    if given is None:
        own = _in_folder(file, own_folder(file, encoder), is_alone, endings)
        return own or _by_stem(file, weights_folder(), endings) or _in_hub_cache(file)
    path = Path(given).expanduser()
    if path.is_dir():
        return _in_folder(file, path, is_alone, endings)
    if not path.exists():
        raise InputError(f"There is no file {path}.", "Check the path that --weights names.")
    return path if is_alone else _by_stem(file, path.parent, endings)


def locate_all(encoder: Encoder, given: Path | None = None) -> dict[str, Path | None]:
    """The file of every key of an encoder's `weights`. Raises InputError where `given` holds none of them."""
    found = {file.key: locate(file, encoder, given) for file in encoder.weights}
    if given is not None and found and not any(found.values()):
        names = " or ".join(stem for file in encoder.weights for stem in file.stems)
        raise InputError(
            f"There are no weights of '{encoder.name}' at {given}.",
            f"Give the file, or a folder that holds {names} ({', '.join(ENDINGS)}).",
        )
    return found


def require_all(encoder: Encoder, found: Mapping[str, Path | None], may_download: bool = False) -> dict[str, Path]:
    """Every file, fetched where it is not among those `found` and a person allowed it. Raises MissingDependency."""
    out = {}
    for file in encoder.weights:
        path = found[file.key]
        if path is None:
            if not (may_download and file.hub):
                raise MissingDependency(*missing(encoder, file))
            path = fetch(encoder, file)
        out[file.key] = path
    return out


def missing(encoder: Encoder, file: WeightFile, what: str = "") -> tuple[str, str]:
    """That a file is not here, and how to get it."""
    hub = ""
    if file.hub:
        login = "log in once with `hf auth login` and " if file.gated else ""
        hub = f", or {login}allow the download with --download"
    which = what or (f"weights ({file.stems[0]})" if len(encoder.weights) > 1 else "weights")
    problem = f"The {which} of '{encoder.name}' are not on this machine."
    return problem, f"{how_to_place(encoder, file)} Or give them with --weights{hub}."


def how_to_place(encoder: Encoder, file: WeightFile) -> str:
    """Where a person gets a file, and where it is put: the way that needs no command."""
    asked = "accept its terms there, and " if file.gated else ""
    return f"Get them from {file.source}: {asked}put them into {own_folder(file, encoder)}."


def fetch(encoder: Encoder, file: WeightFile) -> Path:
    """Fetch a file from the hub into the hub's cache, as whoever is logged in there."""
    try:
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import (
            EntryNotFoundError,
            GatedRepoError,
            LocalEntryNotFoundError,
            RepositoryNotFoundError,
        )
    except ImportError:
        raise MissingDependency("Fetching weights needs huggingface_hub.", ENCODERS_EXTRA) from None
    for name in file.hub_files:
        try:
            return Path(hf_hub_download(file.hub, name))
        except LocalEntryNotFoundError as error:  # no way to the hub, and not in its cache
            said = " ".join(str(error).split())[:200]
            raise MissingDependency(f"{file.hub} could not be fetched: {said}.", missing(encoder, file)[1]) from None
        except EntryNotFoundError:
            continue
        except (GatedRepoError, RepositoryNotFoundError):
            raise MissingDependency(
                f"The hub does not give {file.hub} to you: its terms are not accepted, or nobody is logged in.",
                f"Accept them at {file.source}, log in with `hf auth login`, and try again.",
            ) from None
        except (OSError, ValueError) as error:
            said = " ".join(str(error).split())[:200]
            raise MissingDependency(f"{file.hub} could not be fetched: {said}", missing(encoder, file)[1]) from None
    raise MissingDependency(f"{file.hub} holds none of: {', '.join(file.hub_files)}.", missing(encoder, file)[1])


def read_state(path: Path) -> State:
    """The arrays of a file by name, on the CPU. Raises InputError for a pointer, a broken file or one with code."""
    if not path.is_file():
        raise InputError(f"There is no file {path}.", "Check the path of the weights.")
    with path.open("rb") as stream:
        if stream.read(len(_POINTER)) == _POINTER:
            raise InputError(
                f"{path} is a pointer of Git LFS, not the weights.", "Fetch the file itself: git lfs pull, or by hand."
            )
    found = _read_safetensors(path) if path.suffix == ".safetensors" else _read_torch(path)
    state = _unwrapped(found)
    if not state:
        raise InputError(
            f"{path} holds no arrays by name.", "Give a state dict: .safetensors, or PyTorch's .pth or .bin."
        )
    return state


def fit_state(network: nn.Module, state: State, path: Path, encoder: str) -> State:
    """Exactly the arrays that a network asks for, under its names. Raises InputError that names the first that is
    missing, of another shape, or nobody's."""
    wanted = {name: tuple(value.shape) for name, value in network.state_dict().items()}
    named = _without_prefixes(state, wanted)
    for name, shape in wanted.items():
        if name not in named:
            near = unknown_name("array", name, named).mend
            raise InputError(f"{path} are not weights of '{encoder}': it lacks '{name}'.", _shortened(near))
        if tuple(named[name].shape) != shape:
            raise InputError(
                f"{path} are not weights of '{encoder}': '{name}' has shape {tuple(named[name].shape)}, not {shape}.",
                "Give the weights of that encoder, or choose the encoder that these are of.",
            )
    for name in named:
        if name not in wanted and not name.startswith(_LEFT_OUT) and name not in _LEFT_OUT_WHOLE:
            raise InputError(
                f"{path} are not weights of '{encoder}': nothing in it is called '{name}'.",
                "Give the weights of that encoder, or choose the encoder that these are of.",
            )
    return {name: named[name] for name in wanted}


def load_network(network: nn.Module, path: Path, encoder: str, device: str = "cpu") -> nn.Module:
    """Put the weights of a file into a network, as float32, on a device; it is not trained any further."""
    state = {name: value.float() for name, value in fit_state(network, read_state(path), path, encoder).items()}
    network.load_state_dict(state, assign=True)
    return network.to(device).eval().requires_grad_(False)


def _in_folder(file: WeightFile, folder: Path, is_alone: bool, endings: tuple[str, ...]) -> Path | None:
    """In a folder of its own: by its names; where an encoder has one file, also by those that hubs use, or the only
    file of weights there."""
    named = _by_stem(file, folder, endings)
    if named is not None or not is_alone or not folder.is_dir():
        return named
    usual = [p for stem in _MODEL_NAMES for end in endings if (p := folder / f"{stem}{end}").is_file()]
    only = usual or [p for p in sorted(folder.iterdir()) if p.suffix in endings and p.is_file()]
    return only[0] if usual or len(only) == 1 else None


def _by_stem(file: WeightFile, folder: Path, endings: tuple[str, ...]) -> Path | None:
    return next((p for stem in file.stems for end in endings if (p := folder / f"{stem}{end}").is_file()), None)


def _in_hub_cache(file: WeightFile) -> Path | None:
    if not file.hub:
        return None
    try:
        from huggingface_hub import try_to_load_from_cache
    except ImportError:
        return None
    for name in file.hub_files:
        found = try_to_load_from_cache(file.hub, name)
        if isinstance(found, str):
            return Path(found)
    return None


def _read_safetensors(path: Path) -> Any:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}.", "Get the file again; it is broken.") from None


def _read_torch(path: Path) -> Any:
    import argparse
    import pickle
    import zipfile

    import torch

    # DINO's checkpoints keep the options of their training beside the arrays: names and plain values.
    torch.serialization.add_safe_globals([argparse.Namespace])
    try:
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        if "Unsupported" not in str(error) and "GLOBAL" not in str(error):
            raise InputError(f"{path} is no file of PyTorch: {_first_line(error)}.", "Get the file again.") from None
        raise InputError(
            f"{path} holds more than arrays, which is not read, since it could run code.",
            "Where you trust it, save its arrays alone with safetensors, and give that file.",
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {_first_line(error)}.", "Get the file again; it is broken.") from None


def _unwrapped(found: Any) -> State:
    """The arrays of a checkpoint, wherever it keeps them."""
    import torch

    for _ in range(3):
        if not isinstance(found, Mapping):
            return {}
        inner = next((found[key] for key in _WRAPPERS if isinstance(found.get(key), Mapping)), None)
        if inner is None:
            break
        found = inner
    arrays = {str(name): value for name, value in found.items() if isinstance(value, torch.Tensor)}
    if any(name.startswith("teacher.") for name in arrays):  # a training's, flat: the teacher is what is published
        arrays = {name: value for name, value in arrays.items() if not name.startswith("student.")}
    return arrays


def _without_prefixes(state: State, wanted: Mapping[str, Any]) -> State:
    """The arrays under their plain names: a prefix goes as long as that makes more of them known."""
    for _ in range(4):
        known = sum(name in wanted for name in state)
        better = [
            (sum(name in wanted for name in shorter), shorter)
            for prefix in _PREFIXES
            if (shorter := {name.removeprefix(prefix): value for name, value in state.items()}).keys() != state.keys()
        ]
        most = max(better, key=lambda found: found[0], default=(-1, state))
        if most[0] < known or (most[0] == known and known):
            return state
        state = most[1]
    return state


def _shortened(mend: str) -> str:
    return mend if len(mend) < 160 else "Give the weights of that encoder, or choose the encoder that these are of."


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")[:200]
