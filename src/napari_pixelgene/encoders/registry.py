"""Name to "module:Class", resolved late: a missing optional package costs nothing until it is asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

from napari_pixelgene.encoders.base import Encoder
from napari_pixelgene.errors import MissingDependency, unknown_name

_HERE = "napari_pixelgene.encoders"
_ENCODERS: dict[str, str] = {
    "stain_texture": f"{_HERE}.stain_texture:StainTexture",
    "hipt": f"{_HERE}.hipt:Hipt",
    "hipt-local": f"{_HERE}.hipt:HiptLocal",
    "hipt-smooth": f"{_HERE}.hipt:HiptSmooth",
    "uni": f"{_HERE}.vit:Uni",
    "uni2-h": f"{_HERE}.vit:Uni2h",
    "virchow2": f"{_HERE}.vit:Virchow2",
    "gigapath": f"{_HERE}.vit:GigaPath",
}
# Names that begin so are made by a class that is told the whole name.
_FAMILIES: dict[str, str] = {"timm:": f"{_HERE}.named:TimmEncoder", "hub:": f"{_HERE}.named:HubEncoder"}


@dataclass(frozen=True, slots=True)
class EncoderStatus:
    """Whether an encoder can be used here, before anything is begun: `ready`, or what it needs and how to get it."""

    name: str
    state: Literal["ready", "package", "weights"]
    why: str = ""
    mend: str = ""
    place: str = ""  # how to mend it without a command, where there is such a way

    @property
    def short(self) -> str:
        """In two words, for a list; empty when ready."""
        return {"ready": "", "package": "needs a package", "weights": "needs weights"}[self.state]

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)


def available_encoders() -> tuple[str, ...]:
    """The names that can be asked for; besides, `timm:NAME` and `hub:ORG/NAME`."""
    return tuple(_ENCODERS)


def require_name(name: str) -> None:
    """Raise SettingsError for a name that no encoder has. Whether the encoder can be used here is not asked."""
    if name not in _ENCODERS and not name.startswith(tuple(_FAMILIES)):
        raise unknown_name("encoder", name, [*_ENCODERS, "timm:NAME", "hub:ORG/NAME"])


def register_encoder(name: str, target: str) -> None:
    """Add a member: `target` is "module:Class"."""
    _ENCODERS[name] = target


def get_encoder(name: str, weights: Path | None = None, may_download: bool = False) -> Encoder:
    """Make the encoder of that name, without its weights; import errors of its own pass through.

    `weights` and `may_download` matter to `hub:` names, whose sizes are in a file beside the weights.
    """
    for prefix, target in _FAMILIES.items():
        if name.startswith(prefix):
            family: Encoder = _resolve(target)(name, weights, may_download)
            return family
    require_name(name)
    encoder: Encoder = _resolve(_ENCODERS[name])()
    return encoder


def encoder_status(name: str, weights: Path | None = None) -> EncoderStatus:
    """What an encoder lacks on this machine. Looks for files and opens none."""
    from napari_pixelgene.encoders.weights import how_to_place, locate_all, missing

    try:
        encoder = get_encoder(name, weights)
    except MissingDependency as error:
        is_weights = "not on this machine" in error.problem
        return EncoderStatus(name, "weights" if is_weights else "package", error.problem, error.mend)
    except ImportError as error:
        return EncoderStatus(name, "package", f"A package is missing: {error}.", "Install it.")
    found = locate_all(encoder, weights)
    for file in encoder.weights:
        if found[file.key] is None:
            return EncoderStatus(name, "weights", *missing(encoder, file), how_to_place(encoder, file))
    return EncoderStatus(name, "ready")


def _resolve(target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)
