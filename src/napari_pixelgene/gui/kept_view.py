"""How a section was left, as a value: gene, run, contrast, colours, pins, layers, camera. No Qt here."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from napari_pixelgene.gui.genes.looks import STORED, Look

Pair = tuple[float, float]


class _Kept(BaseModel):
    """What a newer version adds is let alone; what is garbled is not believed."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class KeptLayer(_Kept):
    """One layer: seen or not, and how much."""

    visible: bool
    opacity: float = Field(ge=0, le=1)


class KeptCamera(_Kept):
    """Where the canvas looks: (y, x) in H&E µm, and screen pixels a µm."""

    centre_um: Pair
    zoom: float = Field(gt=0)


class KeptView(_Kept):
    """One section's view; `layers` by what they show (`layer_key`), `contrasts` by capture and channel."""

    run: str = ""
    gene: str = ""
    pins: tuple[str, ...] = ()
    percent: Pair = STORED
    numbers: Pair | None = None
    by_hand: Pair | None = None
    colormap: str = Look().colormap
    linked: bool = True
    measured: bool = False
    contrasts: dict[str, Pair] = Field(default_factory=dict)
    layers: dict[str, KeptLayer] = Field(default_factory=dict)
    camera: KeptCamera | None = None

    @property
    def look(self) -> Look:
        """Contrast and colours."""
        return Look(self.percent, self.numbers, self.colormap, self.linked)


def view_from(values: dict[str, Any]) -> KeptView | None:
    """A view from a file's values; None where they are none."""
    try:
        return KeptView.model_validate(values) if values else None
    except ValidationError:
        return None


def layer_key(says: dict[str, Any]) -> str:
    """What a layer's metadata says it shows, as a name that is the same when the section is opened again."""
    return "/".join(str(says[key]) for key in ("role", "capture", "channel") if says.get(key))
