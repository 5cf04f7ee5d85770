"""The contract of a source: the files of one technology, how to read them, and what they bring along.

A source is a settings section: its fields are the options of `pixelgene import KIND`, the keys of an `[[import]]`
table and the form of the window's *New* dialog, each with the words of its description. To add a technology, write
its reader in `readers/` (files to a `Capture`), a `Source` in a file beside this one, and its line in `registry.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, Self

from napari_pixelgene.progress import OnEvent, silent
from napari_pixelgene.settings import Section

if TYPE_CHECKING:
    from napari_pixelgene.elements.capture import Capture
    from napari_pixelgene.elements.image import Image

# What a person reads for the choices that several kinds have in common.
COORDINATES = {
    "he_px": "pixels of the H&E",
    "he_um": "µm of the H&E",
    "stage_um": "the instrument's own µm (to be registered)",
}
SHAPES = {"disk": "disks (spots, beads)", "square": "squares (bins)", "point": "points (cells)"}


class SlideFile(NamedTuple):
    """An H&E that comes with a run, and its µm per pixel where the run's files tell."""

    path: Path
    mpp: float | None = None


class Source(Section):
    """One run's files.

    `kind` is its name on the command line and in TOML, `title` what a biologist calls it, `places` the fields that
    are paths (a relative one in a TOML file is beside that file).
    """

    kind: ClassVar[str]
    title: ClassVar[str]
    places: ClassVar[tuple[str, ...]]

    @abstractmethod
    def files(self) -> dict[str, Path]:
        """What the section refers to and hashes, by a short key; raises InputError for what is missing.

        The file with the numbers themselves is `counts` or `transcripts`: by its hash a section knows what it was
        trained on. Keys that are fields' names are found again after the files moved (see `moved`).
        """

    @abstractmethod
    def read(self, he: Image, on_event: OnEvent = silent) -> Capture:
        """The capture as imported: counts of units, or a stream of transcripts.

        Units in `he_px` are in level-0 pixels of `he`; those in `stage_um` are registered next. Raises InputError
        that names file and row or field; what is left out is told by notes.
        """

    def captures(self) -> tuple[Self, ...]:
        """This source once for every capture that its files hold on one slide; the first makes the section, the others
        are added to it."""
        return (self,)

    def slide(self) -> SlideFile | None:
        """The H&E among the run's files, taken where a person names no other."""
        return None

    def pixel_size(self, he: Image) -> float | None:
        """µm per pixel of an H&E that states none itself, where the run's files tell it."""
        return None

    def morphology(self, on_event: OnEvent = silent) -> tuple[Image, ...]:
        """Images in the run's own frame, one a channel: what is registered by eye."""
        return ()

    def moved(self, files: Mapping[str, Path]) -> Self:
        """The same source where `files` (by the keys of `files()`) lie now."""
        return self.replace(**{key: path for key, path in files.items() if key in type(self).model_fields})

    def plain(self) -> dict[str, Any]:
        """Plain values, with the kind, that `registry.source_from` reads back."""
        return {"kind": self.kind, **self.model_dump(mode="json")}

    @classmethod
    def recognise(cls, path: Path) -> Self | None:
        """The source that a file or folder is, seen by its names and first bytes; None where it is none, or where
        a person must say more. Quick, and never an error."""
        return None

    @classmethod
    def claims(cls, path: Path) -> bool:
        """Whether it is of this kind, though a person may have to say more. Quick, and never an error."""
        return cls.recognise(path) is not None
