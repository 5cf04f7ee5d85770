"""Organs, technologies and species by the numbers that STPath was trained with (specs/stpath.md section 4).

`organ_id` and `technology_id` look names up as the published code does: case counts, and a name it does not know is
padding, also "Others", its own default. `resolve_organ` and `resolve_technology` are what a person is better served by:
case does not count, an alias is understood, and what had to be bent or is not known is said.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

from napari_pixelgene.errors import SettingsError, unknown_name
from napari_pixelgene.progress import Note, OnEvent

UNKNOWN = "unknown"
Technology = Literal["unknown", "Spatial Transcriptomics", "Visium", "Xenium", "Visium HD"]
Organ = Literal[
    "unknown", "Spinal cord", "Brain", "Breast", "Bowel", "Skin", "Heart", "Kidney", "Prostate", "Lung", "Liver",
    "Uterus", "Bone", "Muscle", "Eye", "Pancreas", "Mouth", "Ovary", "Glioma", "Glioblastoma", "Stomach", "Colon",
    "Others",
]  # fmt: skip
TECHNOLOGIES: tuple[str, ...] = get_args(Technology)
# Two more stand between padding and the first organ: one that pretraining masked, one for organs it did not know.
ORGANS: tuple[str, ...] = (UNKNOWN, "<mask>", "<unk>", *get_args(Organ)[1:])
SPECIES: tuple[str, ...] = ("<pad>", "<mask>", "<unk>", "Mus musculus", "Homo sapiens", "others")

_OTHERS = (
    "Bladder", "Lymphoid", "Cervix", "Lymph node", "Ovary", "Embryo", "Lung/Brain", "Kidney/Brain", "Placenta",
    "Whole organism", "thymus", "joint", "undifferentiated pleomorphic sarcoma", "largeintestine", "lacrimal gland",
    "leiomyosarcoma", "endometrium", "brain+kidney", "cerebellum", "cervix", "colorectal", "lymphnode",
)  # fmt: skip
# Names as the two training sources spell them: one capitalised, the other in lower case.
_CAPITALISED = ORGANS[3:18]
_LOWER = (
    "brain", "breast", "heart", "kidney", "liver", "lung", "muscle", "pancreas", "prostate", "skin", "mouth", "ovary",
    "glioma", "glioblastoma", "stomach", "colon",
)  # fmt: skip
_PUBLISHED_ORGANS: Mapping[str, int] = {
    **{name: ORGANS.index(name) for name in _CAPITALISED},
    **{name: ORGANS.index(name.capitalize()) for name in _LOWER},
    **{name: ORGANS.index("Others") for name in _OTHERS},
}
_PUBLISHED_TECHNOLOGIES: Mapping[str, int] = {
    **{name: i for i, name in enumerate(TECHNOLOGIES) if i},
    "ST": 1,
    "VisiumHD": 4,
}
# How a person may say it: an organ's own name before the drawer that the published table puts "Ovary" into.
_ORGANS = {
    **{name.casefold(): "Others" for name in _OTHERS},
    **{name.casefold(): name for name in get_args(Organ)},
    "other": "Others",
    "none": UNKNOWN,
    "": UNKNOWN,
}
_TECHNOLOGIES = {
    **{name.casefold(): name for name in TECHNOLOGIES},
    "st": "Spatial Transcriptomics",
    "legacy st": "Spatial Transcriptomics",
    "visiumhd": "Visium HD",
    "visium_hd": "Visium HD",
    "none": UNKNOWN,
    "": UNKNOWN,
}


def organ_id(name: str | None) -> int:
    """The number the published code gives an organ; 0, which is padding, for a name it does not know."""
    return _PUBLISHED_ORGANS.get(name or "", 0)


def technology_id(name: str | None) -> int:
    """The number the published code gives a technology; 0 for a name it does not know."""
    return _PUBLISHED_TECHNOLOGIES.get(name or "", 0)


def organ_named(name: str) -> str:
    """The organ of the list that a name means, whatever its case; an unknown one is an error with its neighbour."""
    return _named("organ", name, _ORGANS, get_args(Organ))


def technology_named(name: str) -> str:
    """The technology of the list that a name means, whatever its case; an unknown one is an error."""
    return _named("technology", name, _TECHNOLOGIES, TECHNOLOGIES)


def resolve_organ(name: str | None, on_event: OnEvent) -> int:
    """The number of an organ; a warning says what a name was taken for, and that an unknown one is left out."""
    return _resolved("organ", name or UNKNOWN, on_event)


def resolve_technology(name: str | None, on_event: OnEvent) -> int:
    """The number of a technology; warns like `resolve_organ`."""
    return _resolved("technology", name or UNKNOWN, on_event)


def _resolved(kind: Literal["organ", "technology"], name: str, on_event: OnEvent) -> int:
    order = ORGANS if kind == "organ" else TECHNOLOGIES
    try:
        found = organ_named(name) if kind == "organ" else technology_named(name)
    except SettingsError as error:
        on_event(Note(f"{error.problem} It is left out, as if none were given. {error.mend}", "warning", "fit"))
        return 0
    if found != name:
        on_event(Note(f"The {kind} '{name}' is taken for '{found}'.", "warning", "fit"))
    return order.index(found)


def _named(kind: str, name: str, known: Mapping[str, str], listed: tuple[str, ...]) -> str:
    found = known.get(name.strip().casefold())
    if found is None:
        raise unknown_name(kind, name, listed)
    return found
