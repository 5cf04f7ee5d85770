"""Which genes are learned, chosen on the training sections only."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError, SettingsError

FORMS = "top:N, variable:N, file:FILE, panel or all"


def common_genes(tables: Sequence[GeneTable]) -> GeneTable:
    """The genes that all sections measured, in the first one's order."""
    first = tables[0]
    keep = [i for i, symbol in enumerate(first.symbols) if all(symbol in t for t in tables[1:])]
    if not keep:
        raise InputError("The training sections share no gene.", "Check that all name genes alike (symbols or ids).")
    return first.take(keep)


def choose_genes(
    spec: str, tables: Sequence[GeneTable], totals: Sequence[FloatArray], spread: Sequence[FloatArray]
) -> GeneTable:
    """The genes that `spec` asks for, out of those that all training sections measured.

    `totals` and `spread` (genes,) of each section's own table: counts, and the ratio of their variance to
    their mean. `top:N` ranks totals, `variable:N` the ratio, ties alphabetically; `panel` and `all` take
    every gene with a count. For `file:FILE` see `listed_genes`.
    """
    kind, count = require_form(spec)
    common = common_genes(tables)
    where = [t.indices(common.symbols) for t in tables]
    total = np.sum([t[i] for t, i in zip(totals, where, strict=True)], axis=0)
    if count is None:
        return common.take(np.flatnonzero(total > 0))
    rank = total if kind == "top" else np.mean([s[i] for s, i in zip(spread, where, strict=True)], axis=0)
    order = sorted(np.flatnonzero(total > 0).tolist(), key=lambda i: (-rank[i], common.symbols[i]))
    return common.take(order[:count])


def listed_genes(names: Sequence[str], tables: Sequence[GeneTable]) -> GeneTable:
    """The named genes; those that some training section lacks are named in the error."""
    common = common_genes(tables)
    unknown = [n for n in names if n not in common]
    if unknown:
        shown = ", ".join(unknown[:5]) + (f" and {len(unknown) - 5} more" if len(unknown) > 5 else "")
        raise InputError(f"Genes that not all training sections measured: {shown}.", "Take them off the list.")
    return common.take(common.indices(names))


def require_form(spec: str) -> tuple[str, int | None]:
    """What a choice of genes asks for, as kind and number; None: every gene. Needs no data."""
    kind, _, argument = spec.partition(":")
    if kind not in ("top", "variable", "panel", "all") or (kind in ("panel", "all")) == bool(argument):
        raise SettingsError(f"'{spec}' does not say which genes.", f"Use {FORMS}.")
    return kind, _count(spec, argument) if argument else None


def _count(spec: str, argument: str) -> int:
    if not argument.isdecimal() or int(argument) < 1:
        raise SettingsError(f"'{spec}' needs a whole number of genes.", f"Use {FORMS}.")
    return int(argument)
