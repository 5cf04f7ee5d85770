"""Any vision transformer that timm knows: `timm:NAME`, or `hub:ORG/NAME` with the hub's `config.json`.

timm builds the network and says how it wants its pixels; the weights come as of every other encoder. The pixels are the
section's work pixels, whatever the network was trained on. A hub's network whose perceptrons are gated (SwiGLU) has to
be built so, which its configuration does not always say; its arrays do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from napari_pixelgene.encoders.base import WeightFile
from napari_pixelgene.encoders.network import normalised
from napari_pixelgene.encoders.patches import IMAGENET_MEAN, IMAGENET_SD, PatchEncoder, Transform
from napari_pixelgene.encoders.weights import ENCODERS_EXTRA, fetch, locate, missing, read_state
from napari_pixelgene.errors import InputError, MissingDependency, SettingsError, StoreError, unknown_name

if TYPE_CHECKING:
    from torch import nn

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")


class TimmEncoder(PatchEncoder):
    """A network of timm's by its name there, which may end in the name of its training: `timm:vit_small_…`."""

    def __init__(self, name: str, given: Path | None = None, may_download: bool = False) -> None:
        self.name = name
        network = name.partition(":")[2]
        timm = require_timm()
        _require_known(network)
        published = timm.get_pretrained_cfg(network)
        hub = str(getattr(published, "hf_hub_id", None) or "")
        source = f"https://huggingface.co/{hub}" if hub else "its publisher"
        self.weights = (WeightFile("weights", (network, network.partition(".")[0]), source, hub, _HUB_FILES),)
        self.license = str(getattr(published, "license", None) or "as its publisher says")
        self._options: dict[str, Any] = {"name": network}
        self._learn_sizes({})

    def _learn_sizes(self, said: Mapping[str, Any]) -> None:
        """Patch, width, window and colours, from a network built without memory; `said` overrules timm."""
        with torch.device("meta"):
            network: Any = self._made({})
        embed: Any = getattr(network, "patch_embed", None)
        prefix: Any = getattr(network, "num_prefix_tokens", None)
        if prefix is None or getattr(embed, "img_size", None) is None or not hasattr(network, "blocks"):
            raise SettingsError(
                f"'{self.name}' is no vision transformer of one size, with patches.", "Choose one that is."
            )
        patch = embed.patch_size
        self.patch_px = int(patch[0] if isinstance(patch, tuple | list) else patch)
        self.width, self._first = int(network.num_features), int(prefix)
        known = {**network.pretrained_cfg, **said}
        mean, sd = (tuple(known.get(key) or usual) for key, usual in (("mean", IMAGENET_MEAN), ("std", IMAGENET_SD)))
        self.transform = Transform(int(embed.img_size[0]), mean, sd)
        self._lay_windows()

    def _lay_windows(self) -> None:
        super()._lay_windows()
        if not self._first:
            self.point_px = None

    @property
    def first_patch(self) -> int:
        """What timm calls prefix tokens."""
        return self._first

    @property
    def point_channels(self) -> int:
        """The class token, where there is one."""
        return self.width if self._first else 0

    def build(self) -> nn.Module:
        """See `PatchEncoder.build`."""
        return self._made({})

    def part(self, key: str, path: Path) -> nn.Module:
        """See `PatchEncoder.part`."""
        return self._made(_gates(path))

    def tokens(self, rgb: torch.Tensor) -> torch.Tensor:
        """See `PatchEncoder.tokens`; timm's own call would keep the class token only."""
        if self._network is None:
            raise StoreError(f"The weights of '{self.name}' are not loaded.", "Call load with its files first.")
        network: Any = self._network
        out: torch.Tensor = network.forward_features(normalised(rgb, self.transform.mean, self.transform.sd))
        return out

    def _made(self, more: Mapping[str, Any]) -> nn.Module:
        timm = require_timm()
        options = {**self._options, **more}
        name = options.pop("name")
        try:
            made: nn.Module = timm.create_model(name, pretrained=False, num_classes=0, **options)
        except (TypeError, RuntimeError, ValueError, AssertionError) as error:
            said = " ".join(str(error).split())[:200]
            raise SettingsError(f"timm cannot build '{name}': {said}", "Choose another network.") from None
        return made


class HubEncoder(TimmEncoder):
    """A network as a hub has it: `config.json` with `architecture` and `model_args`, and its weights.

    Both come from a folder (`--weights`), the folder of weights, the hub's cache, or, when allowed, the hub. Where the
    configuration of a name was found is remembered, for those who ask about the encoder later and know no folder.
    """

    _found: ClassVar[dict[str, Path]] = {}

    def __init__(self, name: str, given: Path | None = None, may_download: bool = False) -> None:
        require_timm()
        self.name = name
        hub = name.partition(":")[2]
        if hub.count("/") != 1:
            raise SettingsError(f"'{name}' names no network on the hub.", "Write hub:ORGANISATION/NAME.")
        source = f"https://huggingface.co/{hub}"
        self.weights = (WeightFile("weights", (hub.partition("/")[2],), source, hub, _HUB_FILES),)
        config = self._config(WeightFile("config", ("config",), source, hub, ("config.json",)), given, may_download)
        architecture = str(config.get("architecture", ""))
        _require_known(architecture)
        self._options = {"name": architecture, **config.get("model_args", {})}
        self._options.pop("num_classes", None)
        said = config.get("pretrained_cfg", {})
        self.license = str(said.get("license") or "as its publisher says; see its page")
        self._learn_sizes(said)

    def _config(self, file: WeightFile, given: Path | None, may_download: bool) -> dict[str, Any]:
        path = locate(file, self, given, (".json",)) if given is None or given.is_dir() else _beside(given)
        path = path or self._found.get(self.name)
        if path is None:
            if not may_download:
                raise MissingDependency(*missing(self, file, "config.json"))
            path = fetch(self, file)
        self._found[self.name] = path
        try:
            found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} is not valid JSON: {error}.", "Get the file again.") from None
        return found


def require_timm() -> Any:
    """The package timm. Raises MissingDependency where it is not there, or cannot be imported."""
    try:
        import timm
    except ImportError as error:
        if error.name == "timm":
            raise MissingDependency("Networks by name need the package timm.", ENCODERS_EXTRA) from None
        raise MissingDependency(f"timm cannot be imported: {error}.", ENCODERS_EXTRA) from None
    except RuntimeError as error:
        raise MissingDependency(*torchvision_mismatch(error)) from None
    return timm


def torchvision_mismatch(error: BaseException) -> tuple[str, str]:
    """That timm fails because torchvision was built for another torch, and how to mend it; else what it said."""
    from importlib import metadata

    if "torchvision" not in str(error):
        return f"timm cannot be imported: {error}.", ENCODERS_EXTRA
    have, vision = torch.__version__, metadata.version("torchvision")
    where = f"https://download.pytorch.org/whl/{have.partition('+')[2]}" if "+" in have else ""
    return (
        f"timm cannot be imported: it needs torchvision, and torchvision {vision} here was built for another torch "
        f"than {have}.",
        f"pip install --force-reinstall --no-deps torchvision=={vision.partition('+')[0]}"
        + (f" --index-url {where}" if where else ""),
    )


def _require_known(network: str) -> None:
    timm = require_timm()
    if not timm.is_model(network):
        raise unknown_name("network of timm", network, timm.list_models())


def _gates(path: Path) -> dict[str, Any]:
    """The options that a network with gated perceptrons is built with, where its arrays show that it has them."""
    state = read_state(path)
    first = next((v for k, v in state.items() if k.endswith("blocks.0.mlp.fc1.weight")), None)
    second = next((v for k, v in state.items() if k.endswith("blocks.0.mlp.fc2.weight")), None)
    if first is None or second is None or first.shape[0] != 2 * second.shape[1]:
        return {}
    from timm.layers import SwiGLUPacked

    return {"mlp_layer": SwiGLUPacked, "act_layer": torch.nn.SiLU}


def _beside(given: Path) -> Path | None:
    path = given.parent / "config.json"
    return path if path.is_file() else None
