"""Name to "module:Class", resolved late, so that a missing optional package costs nothing until asked for.

Packages of others register theirs with an entry point of the group `napari_pixelgene.models`, by name; a name that is
built in stays ours.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from napari_pixelgene.errors import unknown_name
from napari_pixelgene.models.base import Model

_MODELS: dict[str, str] = {
    "histosge": "napari_pixelgene.models.histosge.model:HistoSge",
    "histex": "napari_pixelgene.models.histex.model:Histex",
    "iscale": "napari_pixelgene.models.iscale.model:Iscale",
    "knn": "napari_pixelgene.models.knn:KnnModel",
    "mean": "napari_pixelgene.models.mean:MeanModel",
    "pixel2gene": "napari_pixelgene.models.pixel2gene.model:Pixel2Gene",
    "ridge": "napari_pixelgene.models.ridge:RidgeModel",
    "spatial": "napari_pixelgene.models.spatial:SpatialModel",
    "stpath": "napari_pixelgene.models.stpath.model:STPath",
    "trees": "napari_pixelgene.models.trees:TreesModel",
}


# The group of entry points that packages of others put their models in.
GROUP = "napari_pixelgene.models"


def available_models() -> tuple[str, ...]:
    """The names that can be asked for, ours first."""
    return tuple(_known())


def _known() -> dict[str, str]:
    found = {entry.name: entry.value for entry in entry_points(group=GROUP)}
    return {**_MODELS, **{name: value for name, value in found.items() if name not in _MODELS}}


def register_model(name: str, target: str) -> None:
    """Add a member: `target` is "module:Class"."""
    _MODELS[name] = target


def model_class(name: str) -> type[Model]:
    """The class of that name; import errors of its own pass through."""
    known = _known()
    if name not in known:
        raise unknown_name("model", name, known)
    module, _, attribute = known[name].partition(":")
    found: type[Model] = getattr(import_module(module), attribute)
    return found


def get_model(name: str, settings: dict[str, Any] | None = None) -> Model:
    """Make the recipe of that name from plain settings; a wrong one is named."""
    found = model_class(name)
    return found(found.Settings.make(settings or {}, where=name))
