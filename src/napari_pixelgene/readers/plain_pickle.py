"""Pickles of the published systems, read only as far as they are plain containers, numbers, text and numpy arrays.

A pickle may name any function of any library, which runs when it is opened. Here the few names that arrays are made of
are known, and every other one is refused before anything of it runs.
"""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np

from napari_pixelgene.errors import InputError

_ARRAYS = ("_reconstruct", "scalar")
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


class _Plain(pickle.Unpickler):
    """Finds nothing but what arrays are made of."""

    def find_class(self, module: str, name: str) -> Any:
        if module in _MULTIARRAY and name in _ARRAYS:
            return getattr(np._core.multiarray, name)  # type: ignore[attr-defined]
        if module in _NUMERIC and name == "_frombuffer":
            return getattr(np._core.numeric, name)  # type: ignore[attr-defined]
        if (module, name) in (("numpy", "ndarray"), ("numpy", "dtype")):
            return getattr(np, name)
        if (module, name) == ("_codecs", "encode"):
            return _encode
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _encode(text: str, encoding: str) -> bytes:
    """Bytes as older protocols write them."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"it encodes as {encoding}")
    return text.encode("latin1")


def read_plain(path: Path) -> Any:
    """What a pickle holds. Raises InputError for one that names anything but arrays, and for a spoilt one."""
    try:
        with path.open("rb") as file:
            return _Plain(file).load()
    except (pickle.UnpicklingError, EOFError, ValueError, IndexError, AttributeError, KeyError, TypeError) as error:
        raise InputError(
            f"{path} is not read: {error}.",
            "Only pickles of arrays and text are; write it as a table where you trust it.",
        ) from None
