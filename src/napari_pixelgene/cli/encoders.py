"""`pixelgene encoders`: what can look at a slide, what it needs, what is missing here and how to get it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, of
from napari_pixelgene.encoders.registry import available_encoders, encoder_status, get_encoder
from napari_pixelgene.errors import MissingDependency
from napari_pixelgene.stages.features import FeatureSettings


def encoders(
    names: Annotated[
        list[str] | None,
        Parameter(help="Only these; timm:NAME and hub:ORG/NAME are answered too.", show=True, negative=""),
    ] = None,
    /,
    *,
    weights: Annotated[Path | None, of(FeatureSettings, "weights")] = None,
    json: Annotated[bool, Parameter(help="As one JSON document.", negative="")] = False,
    terminal: Listener,
) -> None:
    """List the encoders: what each sees, its licence, and whether its weights are on this machine."""
    found = [encoder_card(name, weights) for name in names or available_encoders()]
    terminal.result({"encoders": found, "weights_folder": _folder()}, "\n".join(_lines(found)), json)


def encoder_card(name: str, weights: Path | None = None) -> dict[str, Any]:
    """An encoder: its status and, where it can be made, what it sees and gives, and where its weights are."""
    status = encoder_status(name, weights)
    card = {**status.as_dict(), "available": status.state == "ready"}
    try:
        encoder = get_encoder(name, weights)
    except (MissingDependency, ImportError):
        return card
    from napari_pixelgene.encoders.weights import locate_all

    files = locate_all(encoder, weights)
    return card | {
        "license": encoder.license,
        "mpp": encoder.mpp,
        "channels": len(encoder.channels),
        "reach_px": encoder.reach_px,
        "point_px": encoder.point_px,
        "point_channels": encoder.point_channels,
        "weights": [
            {
                "key": file.key,
                "source": file.source,
                "gated": file.gated,
                "path": str(files[file.key]) if files[file.key] else None,
            }
            for file in encoder.weights
        ],
    }


def _folder() -> str:
    from napari_pixelgene.encoders.weights import weights_folder

    return str(weights_folder())


def _lines(found: list[dict[str, Any]]) -> Iterator[str]:
    for card in found:
        yield f"{card['name']:<14} {card['state'] if card['available'] else 'needs ' + _WHAT[card['state']]}"
        if "license" in card:
            yield from _about(card)
        if not card["available"]:
            yield f"    {card['why']}"
            yield f"    {card['mend']}"
    yield ""
    yield "Any vision transformer by name: --encoder timm:NAME or hub:ORG/NAME (with the extra `encoders`)."
    yield f"Weights are looked for in {_folder()}, then in the hub's own cache."


def _about(card: Mapping[str, Any]) -> Iterator[str]:
    size = f" at {card['mpp']:g} µm a pixel" if card["mpp"] is not None else ""
    points = f"; {card['point_channels']:,} for a point" if card["point_channels"] else ""
    yield f"    {card['channels']:,} numbers a square{points}; sees {card['reach_px']:,} pixels around{size}"
    yield f"    licence: {card['license']}"
    yield from (f"    weights: {file['path']}" for file in card["weights"] if file["path"])


_WHAT = {"package": "a package", "weights": "weights"}
