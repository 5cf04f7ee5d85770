"""The genes that STPath knows: human Ensembl ids in their order as text, and the symbols that lead to them.

Token 0 is padding, 1 the mask, then the ids from 2 on (specs/stpath.md section 4). Another release of the table would
move every column, and nothing would look wrong: hence the count is checked.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, IntArray

PAD, MASK, FIRST = 0, 1, 2
RELEASED_GENES = 38_982
FILE = "symbol2ensembl.json"
# An Ensembl gene id, with its species between ENS and G where it is not human, and maybe a version.
_ENSEMBL = re.compile(r"^(ENS([A-Z]{3,4})?G\d{6,})(\.\d+)?$")
# A symbol as mouse genes are written: Actb, mt-Nd1, 1700001C02Rik; human ones have capitals only, but for "orf".
_MOUSE = re.compile(r"^(?:mt-|[A-Z0-9])[A-Za-z0-9.\-]*[a-z]")
# So many genes are looked at before a species is guessed, and this share of them decides.
_LEAST_GENES, _MOST = 5, 0.5
_NAMED = 5


class GeneVocabulary:
    """`ids` in token order (the first has token 2), and the token of every symbol."""

    __slots__ = ("_symbols", "_token", "ids")

    def __init__(self, symbols: Mapping[str, str]) -> None:
        self._symbols = dict(symbols)
        self.ids: tuple[str, ...] = tuple(sorted(set(self._symbols.values())))
        self._token = {gene: rank + FIRST for rank, gene in enumerate(self.ids)}

    def __len__(self) -> int:
        """How many tokens, padding and mask included: the width of the network's gene axis."""
        return len(self.ids) + FIRST

    def token(self, name: str) -> int | None:
        """The token of a symbol (case counts) or of an Ensembl id (its version does not); None: not known."""
        ensembl = _ENSEMBL.match(name)
        return self._token.get(ensembl[1] if ensembl else self._symbols.get(name, ""))

    def tokens(self, genes: GeneTable) -> IntArray:
        """(genes,) tokens by id, else by symbol; -1 where neither is known."""
        found = ((self.token(i), self.token(s)) for i, s in zip(genes.ids, genes.symbols, strict=True))
        return np.array([next((t for t in pair if t is not None), -1) for pair in found], dtype=np.int64)

    def table(self, prefer: Iterable[str] = ()) -> GeneTable:
        """All genes in token order. A gene with several symbols has one of `prefer`, else the first of the file."""
        symbol_of: dict[str, str] = {}
        for symbol in [*prefer, *self._symbols]:
            gene = self._symbols.get(symbol)
            if gene is not None:
                symbol_of.setdefault(gene, symbol)
        return GeneTable(tuple(symbol_of[gene] for gene in self.ids), self.ids)

    def named(self, names: Sequence[str]) -> GeneTable:
        """The genes of these symbols or Ensembl ids under these names; raises InputError for those that are unknown,
        or that are one gene under two names."""
        tokens = [self.token(name) for name in names]
        unknown = [name for name, token in zip(names, tokens, strict=True) if token is None]
        if unknown:
            raise InputError(
                f"Genes without an Ensembl id that STPath knows: {few(unknown)}.",
                "Take them off the list, or name them by the symbols or Ensembl ids of its vocabulary (case counts).",
            )
        first: dict[int, str] = {}
        for name, token in zip(names, tokens, strict=True):
            assert token is not None
            if first.setdefault(token, name) != name:
                raise InputError(f"'{first[token]}' and '{name}' are one gene.", "Take one of them off the list.")
        return GeneTable(tuple(names), tuple(self.ids[token - FIRST] for token in first))

    def packed(self) -> Array:
        """The table as bytes, to be kept with a run."""
        return np.frombuffer(zlib.compress(json.dumps(self._symbols).encode()), dtype=np.uint8).copy()

    @classmethod
    def unpacked(cls, packed: Array) -> GeneVocabulary:
        """The inverse of `packed`."""
        return cls(json.loads(zlib.decompress(packed.tobytes())))


def read_vocabulary(path: Path, released: bool = True) -> GeneVocabulary:
    """The vocabulary of a JSON object {symbol: Ensembl id}; `released` refuses another number of distinct ids."""
    if not path.is_file():
        raise InputError(f"There is no gene vocabulary {path}.", f"Give the {FILE} of the STPath repository.")
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is not valid JSON: {error}.", f"Fetch {FILE} again.") from None
    if not isinstance(table, dict) or not table or not all(isinstance(gene, str) for gene in table.values()):
        raise InputError(f"{path} is no object of symbols and Ensembl ids.", f"Give the {FILE} of STPath.")
    wrong = [f"'{s}': '{gene}'" for s, gene in table.items() if not _ENSEMBL.match(gene)]
    if len(wrong) > _MOST * len(table):
        raise InputError(f"{path} has {wrong[0]}, which is no Ensembl gene id.", f"Give the {FILE} of STPath.")
    found = GeneVocabulary(table)
    if released and len(found.ids) != RELEASED_GENES:
        raise InputError(
            f"{path} has {len(found.ids):,} distinct Ensembl ids, STPath was trained with {RELEASED_GENES:,}.",
            "Its numbers for genes would all be shifted: give the file that belongs to the weights.",
        )
    return found


def require_human(genes: GeneTable, where: str) -> None:
    """Refuse the genes of another species: the network has no word for them."""
    species = _other_species(genes)
    if species:
        shown = ", ".join(genes.symbols[:_NAMED])
        raise InputError(
            f"The genes of {where} look like {species} ({shown}…); STPath knows human genes only.",
            "Choose a model that is trained on your section, such as pixel2gene.",
        )


def _other_species(genes: GeneTable) -> str:
    """What genes look like if not human; empty where they may be human."""
    found = [_ENSEMBL.match(name) for name in genes.ids]
    ensembl = [match for match in found if match]
    if len(ensembl) >= max(_LEAST_GENES, _MOST * len(genes)):
        foreign = [match[2] for match in ensembl if match[2]]
        if len(foreign) > _MOST * len(ensembl):
            return "mouse" if foreign[0] == "MUS" else f"another species (ENS{foreign[0]}G)"
        return ""
    names = [s for s in genes.symbols if any(c.isalpha() for c in s)]
    mouse = sum(bool(_MOUSE.match(s)) and "orf" not in s for s in names)
    return "mouse" if len(names) >= _LEAST_GENES and mouse > _MOST * len(names) else ""


def few(names: Sequence[str]) -> str:
    """The first few of some names, and how many more there are."""
    more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
