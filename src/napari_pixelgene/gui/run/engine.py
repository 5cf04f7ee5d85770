"""What there is to choose from: models, encoders, devices. Loading them takes seconds, so it is done in a thread."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import PixelGeneError

if TYPE_CHECKING:
    from napari_pixelgene.models.base import Needs
    from napari_pixelgene.settings import Section


@dataclass(frozen=True, slots=True)
class Member:
    """A model, an encoder or a device: its name, a line about it, and why it cannot be chosen, if so; `lacks` says
    that in two words. `needs` is what a model works from."""

    name: str
    title: str
    why_not: str = ""
    settings: type[Section] | None = None
    lacks: str = ""
    needs: str = ""


@dataclass(frozen=True, slots=True)
class Engine:
    """Everything the Run dock offers."""

    models: tuple[Member, ...]
    encoders: tuple[Member, ...]
    devices: tuple[Member, ...]

    def model(self, name: str) -> Member:
        """The model of that name."""
        return next(member for member in self.models if member.name == name)


def load_engine(on_event: Callable[[Any], None]) -> Engine:
    """Import the members and look for a graphics card."""
    from napari_pixelgene.encoders.registry import available_encoders
    from napari_pixelgene.models.registry import available_models
    from napari_pixelgene.pipeline import config, estimating, queueing  # noqa: F401 - no press of a button waits for it

    models = tuple(_tried(name, _model) for name in available_models())
    encoders = tuple(_tried(name, _encoder) for name in available_encoders())
    return Engine(models, encoders, _devices())


def _tried(name: str, find: Callable[[str], Member]) -> Member:
    """A member that cannot be loaded is offered all the same, with the reason."""
    try:
        return find(name)
    except PixelGeneError as error:
        return Member(name, "", str(error))
    except ImportError as error:
        return Member(name, "", f"A package is missing: {error}.")


def _model(name: str) -> Member:
    """A model that lacks a file can be chosen: its settings are where the file is named."""
    from napari_pixelgene.models.registry import get_model

    model = get_model(name)
    lacks = "files missing" if model.missing() else ""
    return Member(name, model.title, "", model.Settings, lacks, needs_in_words(model.needs))


def needs_in_words(needs: Needs) -> str:
    """What a model works from."""
    words = ["histology at points" if needs.features == "points" else "histology of 8 µm squares"]
    words += ["with its surroundings"] if needs.halo else []
    words += ["measured spots or squares near by, where there are any"] if needs.context_counts else []
    words += ["spots in rows and columns"] if needs.lattice else []
    words += ["genes of its own vocabulary"] if needs.gene_space != "fitted" else []
    return ", ".join(words)


def missing_for(name: str, settings: dict[str, Any]) -> str:
    """What a model with these settings lacks on this machine, and how to get it; empty where nothing is."""
    from napari_pixelgene.models.registry import get_model

    return get_model(name, settings).missing()


def _encoder(name: str) -> Member:
    from napari_pixelgene.encoders.registry import encoder_status, get_encoder

    status, encoder = encoder_status(name), get_encoder(name)
    why = f"{status.why} {status.place or status.mend}".strip()
    title = f"{len(encoder.channels)} numbers for every superpixel. Licence: {encoder.license}."
    return Member(name, title, why, lacks=status.short)


def _devices() -> tuple[Member, ...]:
    import torch

    there = torch.cuda.is_available()
    why = "" if there else "There is no NVIDIA graphics card here that PyTorch can use."
    best = torch.cuda.get_device_name(0) if there else "processor"
    return (
        Member("auto", f"Automatic ({best})"),
        Member("cpu", "Processor (CPU)"),
        Member("cuda", "Graphics card (CUDA)", why),
    )
