"""What a person may choose: frozen values, one section a stage, TOML in and out.

Every field has a description with its unit; the form's tooltip, `--help` and the docs take their
words from it. A misspelt name is an error, never ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from napari_pixelgene.errors import InputError, SettingsError, unknown_name


class Section(BaseModel):
    """Base of all settings: frozen, strict about names, comparable, serialisable."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def make(cls, values: dict[str, Any], where: str = "") -> Self:
        """Validate plain values; the first fault becomes one sentence that names the field."""
        try:
            return cls(**values)
        except ValidationError as error:
            # A misspelt name also leaves the right one out: the misspelling says more.
            first = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")[0]
            field = ".".join([where, *map(str, first["loc"])]).strip(".")
            if first["type"] == "extra_forbidden":
                raise unknown_name("setting", field, cls._known(first["loc"], where)) from None
            known = ", ".join(cls.model_fields)
            said = "is not given" if first["type"] == "missing" else f"is wrong: {first['msg']}"
            raise SettingsError(f"The setting '{field}' {said}.", f"Settings here: {known}.") from None

    @classmethod
    def _known(cls, loc: tuple[int | str, ...], where: str) -> list[str]:
        """Full names of the settings that stand beside the one at `loc`."""
        section: Any = cls
        for name in loc[:-1]:
            section = section.model_fields[str(name)].annotation
        return [".".join([where, *map(str, loc[:-1]), name]).strip(".") for name in section.model_fields]

    def replace(self, **changes: Any) -> Self:
        """A copy with some fields changed, validated again."""
        return self.make({**self.model_dump(), **changes})


def shown(*, words: Mapping[str, str] | None = None, empty: str = "", rare: bool = False) -> dict[str, Any]:
    """How a field is shown to a person, for its `json_schema_extra`: the words of its choices, what stands in it
    while it is empty, and whether it is asked for so seldom that it is folded away."""
    return {"words": dict(words or {}), "empty": empty, "rare": rare}


def read_toml(path: Path) -> dict[str, Any]:
    """The tables of a TOML file, or an error that names the line."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(f"There is no file {path}.", "Check the path.") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not valid TOML: {error}.", "Mend that line.") from None
