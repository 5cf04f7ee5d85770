"""The gene table: what was measured, once a gene."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches

import numpy as np

from napari_pixelgene.elements.arrays import IntArray
from napari_pixelgene.errors import InputError, unknown_name


@dataclass(frozen=True, slots=True)
class GeneTable:
    """Unique gene symbols in order, and their ids (Ensembl where known, else the symbol)."""

    symbols: tuple[str, ...]
    ids: tuple[str, ...] = ()
    _index: dict[str, int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.ids:
            object.__setattr__(self, "ids", self.symbols)
        index = {symbol: i for i, symbol in enumerate(self.symbols)}
        if len(index) != len(self.symbols):
            seen: set[str] = set()
            twice = next(s for s in self.symbols if s in seen or seen.add(s))  # type: ignore[func-returns-value]
            raise InputError(f"The gene '{twice}' stands more than once in the gene table.", "Make gene names unique.")
        object.__setattr__(self, "_index", index)

    def __len__(self) -> int:
        return len(self.symbols)

    def __contains__(self, symbol: object) -> bool:
        return symbol in self._index

    def index(self, symbol: str) -> int:
        """Position of a symbol; an unknown one is an error that names the nearest."""
        if symbol not in self._index:
            raise unknown_name("gene", symbol, self.symbols)
        return self._index[symbol]

    def nearest(self, symbol: str) -> str | None:
        """The symbol that is spelled most like this one: in other letters' case, else closely; None where none is."""
        same = next((one for one in self.symbols if one.casefold() == symbol.casefold()), None)
        return same or next(iter(get_close_matches(symbol, self.symbols, n=1)), None)

    def indices(self, symbols: Iterable[str]) -> IntArray:
        """Positions of several symbols."""
        return np.array([self.index(s) for s in symbols], dtype=np.int64)

    def take(self, indices: Sequence[int] | IntArray) -> GeneTable:
        """The table of the genes at `indices`, in that order."""
        return GeneTable(tuple(self.symbols[int(i)] for i in indices), tuple(self.ids[int(i)] for i in indices))
