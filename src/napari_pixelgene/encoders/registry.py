"""Name to "module:Class", resolved late: a missing optional package costs nothing until it is asked for."""

from __future__ import annotations

from importlib import import_module

from napari_pixelgene.encoders.base import Encoder
from napari_pixelgene.errors import unknown_name

_ENCODERS: dict[str, str] = {
    "stain_texture": "napari_pixelgene.encoders.stain_texture:StainTexture",
}


def available_encoders() -> tuple[str, ...]:
    """The names that can be asked for."""
    return tuple(_ENCODERS)


def register_encoder(name: str, target: str) -> None:
    """Add a member: `target` is "module:Class"."""
    _ENCODERS[name] = target


def get_encoder(name: str) -> Encoder:
    """Make the encoder of that name; import errors of its own pass through."""
    if name not in _ENCODERS:
        raise unknown_name("encoder", name, _ENCODERS)
    module, _, attribute = _ENCODERS[name].partition(":")
    encoder: Encoder = getattr(import_module(module), attribute)()
    return encoder
