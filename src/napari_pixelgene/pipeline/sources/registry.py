"""Sources by kind, resolved only when one is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from napari_pixelgene.errors import SettingsError, unknown_name
from napari_pixelgene.pipeline.sources.base import Source

_HERE = "napari_pixelgene.pipeline.sources"
# In the order in which a folder or file of a person is tried.
SOURCES: dict[str, str] = {
    "xenium": "xenium:XeniumSource",
    "visium": "visium:VisiumSource",
    "visium-hd": "visium_hd:VisiumHdSource",
    "st": "legacy_st:LegacyStSource",
    "cosmx": "cosmx:CosmxSource",
    "iscale": "iscale:IscaleSource",
    "prefix": "prefix:PrefixSource",
    "table": "table:TableSource",
    "anndata": "anndata:AnnDataSource",
    "spatialdata": "spatialdata:SpatialDataSource",
}


def source_class(kind: str) -> type[Source]:
    """The source of that kind, or the error that lists the kinds there are."""
    if kind not in SOURCES:
        raise unknown_name("kind", kind, SOURCES)
    module, name = SOURCES[kind].split(":")
    found: type[Source] = getattr(import_module(f"{_HERE}.{module}"), name)
    return found


def source_from(plain: Mapping[str, Any]) -> Source:
    """The source of plain values, as `Source.plain` gives them."""
    values = dict(plain)
    if "kind" not in values:
        raise SettingsError("The kind of the run is not given.", f"Kinds: {', '.join(SOURCES)}.")
    return source_class(str(values.pop("kind"))).make(values)


def kind_of(path: Path) -> str | None:
    """The kind of a run's file or folder, also where a person must say more about it; None where no kind claims it."""
    return next((kind for kind in SOURCES if source_class(kind).claims(path)), None)


def recognise(path: Path) -> Source | None:
    """What kind of run a file or folder is; None where no kind claims it."""
    found = (source_class(kind).recognise(path) for kind in SOURCES)
    return next((source for source in found if source is not None), None)
