"""`pixelgene features`: what an encoder sees, computed once a section."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPaths, default, of, open_sections
from napari_pixelgene.pipeline.learning import FitSettings, choose_device
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.stages.features import FeatureSettings


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """With which encoder, and how it looks."""

    encoder: Annotated[str, of(FeatureSettings, "encoder")] = default(FeatureSettings, "encoder")
    weights: Annotated[Path | None, of(FeatureSettings, "weights")] = None
    download: Annotated[bool, of(FeatureSettings, "download", negative="")] = default(FeatureSettings, "download")
    shifts: Annotated[Literal[1, 2, 4], of(FeatureSettings, "shifts")] = default(FeatureSettings, "shifts")
    batch: Annotated[int, of(FeatureSettings, "batch")] = default(FeatureSettings, "batch")
    patches: Annotated[int, of(FeatureSettings, "patches")] = default(FeatureSettings, "patches")
    seed: Annotated[int, of(FeatureSettings, "seed")] = default(FeatureSettings, "seed")


def features(
    sections: SectionPaths,
    /,
    *,
    looked: Looked = Looked(),
    device: Annotated[str, of(FitSettings, "device")] = default(FitSettings, "device"),
    terminal: Listener,
) -> None:
    """Compute the histology features of sections."""
    settings = FeatureSettings.make(asdict(looked))
    where = choose_device(device)
    for store in open_sections(sections):
        found = ensure_features(store, settings, terminal, where)
        values = {"section": str(store.path), "encoder": found.encoder, "channels": len(found.channels)}
        terminal.result(values, f"{store.path.name}: {len(found.channels)} channels of {found.encoder}.")
