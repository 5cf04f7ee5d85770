"""`pixelgene features`: what an encoder sees, computed once a section."""

from __future__ import annotations

from typing import Annotated

from napari_pixelgene.cli.options import Listener, SectionPaths, default, of, open_sections
from napari_pixelgene.pipeline.learning import FitSettings, choose_device
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.stages.features import FeatureSettings


def features(
    sections: SectionPaths,
    /,
    *,
    encoder: Annotated[str, of(FeatureSettings, "encoder")] = default(FeatureSettings, "encoder"),
    patches: Annotated[int, of(FeatureSettings, "patches")] = default(FeatureSettings, "patches"),
    seed: Annotated[int, of(FeatureSettings, "seed")] = default(FeatureSettings, "seed"),
    device: Annotated[str, of(FitSettings, "device")] = default(FitSettings, "device"),
    terminal: Listener,
) -> None:
    """Compute the histology features of sections."""
    settings = FeatureSettings.make({"encoder": encoder, "patches": patches, "seed": seed})
    where = choose_device(device)
    for store in open_sections(sections):
        found = ensure_features(store, settings, terminal, where)
        values = {"section": str(store.path), "encoder": found.encoder, "channels": len(found.channels)}
        terminal.result(values, f"{store.path.name}: {len(found.channels)} channels of {found.encoder}.")
