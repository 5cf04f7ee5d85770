"""`pixelgene models`: what can be trained, on which features, with which settings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener
from napari_pixelgene.encoders.registry import available_encoders, encoder_status, get_encoder
from napari_pixelgene.errors import PixelGeneError
from napari_pixelgene.models.registry import available_models, get_model
from napari_pixelgene.settings import Section


def models(
    *, json: Annotated[bool, Parameter(help="As one JSON document.", negative="")] = False, terminal: Listener
) -> None:
    """List the models and encoders, and their settings."""
    found = {
        "models": [model_card(name) for name in available_models()],
        "encoders": [encoder_card(name) for name in available_encoders()],
    }
    terminal.result(found, "\n".join(_lines(found)), json)


def model_card(name: str) -> dict[str, Any]:
    """A model: its title, what it needs, what of that is missing here, and every setting with default and meaning. One
    that cannot be loaded, as a package of somebody else may be, says why."""
    try:
        model = get_model(name)
    except (ImportError, AttributeError, PixelGeneError) as error:
        return {"name": name, "title": "", "needs": {}, "missing": [f"cannot be loaded: {error}"], "settings": []}
    missing = model.missing()
    return {
        "name": name,
        "title": model.title,
        "needs": {field: getattr(model.needs, field) for field in model.needs.__slots__},
        "missing": [missing] if missing else [],
        "settings": settings_card(model.Settings),
    }


def encoder_card(name: str) -> dict[str, Any]:
    """An encoder: its licence and the pixel size it was made for; what it lacks here. More: `pixelgene encoders`."""
    status = encoder_status(name)
    if status.state == "package":
        return {"name": name, "available": False, "why": f"{status.why} {status.mend}"}
    found = get_encoder(name)
    card = {"name": name, "available": status.state == "ready", "license": found.license, "mpp": found.mpp}
    return card if card["available"] else card | {"why": status.why}


def settings_card(section: type[Section]) -> list[dict[str, Any]]:
    """The fields of a settings section."""
    return [
        {
            "name": name,
            "default": field.get_default(call_default_factory=True),
            "type": getattr(field.annotation, "__name__", None) or str(field.annotation).replace("typing.", ""),
            "description": field.description or "",
        }
        for name, field in section.model_fields.items()
    ]


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    for model in found["models"]:
        yield f"{model['name']}: {model['title'] or model['missing'][0]}"
        if model["title"] and model["missing"]:
            yield f"    missing here: {model['missing'][0]}"
        for s in model["settings"]:
            yield f"    --set {s['name']}={s['default']}  {s['description']}"
    yield ""
    for encoder in found["encoders"]:
        told = f"licence {encoder['license']}" if encoder["available"] else encoder["why"]
        yield f"encoder {encoder['name']}: {told}"
