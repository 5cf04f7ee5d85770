"""Words and values that several subcommands share: an option's help out of its setting, sections by path."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import CoercionError, Parameter, Token

from napari_pixelgene.cli.terminal import Terminal
from napari_pixelgene.errors import SettingsError, StoreError

if TYPE_CHECKING:
    from napari_pixelgene.settings import Section
    from napari_pixelgene.store.section import SectionStore

# The listener that `main` hands to a subcommand; not an option.
Listener = Annotated[Terminal, Parameter(parse=False)]
Overwrite = Annotated[bool, Parameter(help="Replace what is there under that name.", negative="")]
SectionPath = Annotated[Path, Parameter(help="The section: NAME.section.zarr.")]
SectionPaths = Annotated[
    list[Path], Parameter(help="The sections, one or several.", consume_multiple=True, negative="")
]


def whole(_kind: type, tokens: Sequence[Token]) -> int:
    """The number that is written; the parser's own way makes 2 of 2.5."""
    text = tokens[0].value
    try:
        return int(text.removesuffix(".0"))
    except ValueError:
        raise CoercionError(msg=f"{text} is no whole number.", token=tokens[0]) from None


def of(section: type[Section], field: str, **more: Any) -> Any:
    """The parameter that mirrors a field of a settings section: its words are the field's description."""
    if section.model_fields[field].annotation is int:
        more.setdefault("converter", whole)
    return Parameter(help=section.model_fields[field].description, **more)


def default(section: type[Section], field: str) -> Any:
    """What a person gets who does not choose."""
    return section.model_fields[field].get_default(call_default_factory=True)


def given(**values: Any) -> dict[str, Any]:
    """The values that a person chose; an option left out is None."""
    return {name: value for name, value in values.items() if value is not None}


def pairs(items: Sequence[str]) -> dict[str, Any]:
    """`hidden=128 recipe=original` as settings; numbers, true and false are read as such."""
    out: dict[str, Any] = {}
    for item in items:
        name, equals, text = item.partition("=")
        if not equals or not name:
            raise SettingsError(f"'{item}' does not set anything.", "Write --set NAME=VALUE, such as --set hidden=128.")
        out[name.strip()] = _value(text.strip())
    return out


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def counted(count: int, word: str) -> str:
    """`1 cell`, `1,234 cells`."""
    return f"{count:,} {word}" if count == 1 else f"{count:,} {word}s"


def open_section(path: Path, writable: bool = True) -> SectionStore:
    """The section at `path`; one that is not there is an error that says how to make it."""
    from napari_pixelgene.store.section import SectionStore

    if not path.exists():
        raise StoreError(f"There is no section {path}.", "Check the path, or make it with: pixelgene import …")
    return SectionStore.open(path, writable)


def open_sections(paths: Sequence[Path], writable: bool = True) -> list[SectionStore]:
    """The sections at `paths`, in order."""
    return [open_section(path, writable) for path in paths]


def holder(stores: Sequence[SectionStore], run: str) -> SectionStore:
    """The section that holds the run."""
    for store in stores:
        if run in store.runs():
            return store
    raise StoreError(
        f"No section named here holds a run '{run}'.", "Name the section it was trained on: --from SECTION."
    )
