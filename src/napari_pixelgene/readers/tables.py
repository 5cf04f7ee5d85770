"""Tables of any technology: long (a molecule a row) or wide (a unit a row, a gene a column).

Columns that are not named are taken only from well-known names, and told: those of MERSCOPE
(`global_x`, `global_y`, `gene`), Stereo-seq GEM (`geneID`, `x`, `y`, `MIDCount`), and plain ones.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_pixelgene.elements.alignment import Frame
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.cosmx import CONTROLS as COSMX_CONTROLS
from napari_pixelgene.readers.molecules import Layout, extent_words, stream, survey
from napari_pixelgene.readers.streamed_table import StreamedTable, open_table
from napari_pixelgene.readers.wide_counts import read_wide
from napari_pixelgene.readers.xenium_transcripts import CONTROL_PREFIXES

# The begins of names that instruments give to what is no gene, MERSCOPE's blanks among them.
CONTROLS = (*CONTROL_PREFIXES, *COSMX_CONTROLS)
MERSCOPE = ("global_x", "global_y", "gene")
STEREO_SEQ = (("geneID", "x", "y", "MIDCount"), ("geneID", "x", "y", "MIDCounts"))
DNB_UM = 0.5  # pitch of Stereo-seq's DNA nanoballs, the unit of its positions
# MERSCOPE's x and y are pixels of a field of view: the global pair goes first.
_POSITIONS = (
    ("global_x", "global_y"), ("x_global_px", "y_global_px"), ("x_location", "y_location"),
    ("x_centroid", "y_centroid"), ("center_x", "center_y"), ("pxl_col_in_fullres", "pxl_row_in_fullres"),
    ("pixel_x", "pixel_y"), ("xcoord", "ycoord"), ("x_um", "y_um"), ("x_px", "y_px"), ("x", "y"),
)  # fmt: skip
_GENES = ("genename", "gene_name", "gene", "feature_name", "target", "geneid", "gene_id", "symbol")
_COUNTS = ("midcount", "midcounts", "umicount", "umi_count", "umicounts", "count", "counts")
_UNIT: dict[Frame, str] = {"he_px": "px", "he_um": "µm", "stage_um": "µm", "morphology_px": "px"}
_IDS = ("id", "barcode", "barcodes", "cell_id", "cell", "entityid", "spot", "bin", "")
# Numbers about a unit that are no gene's counts.
_ABOUT = (
    "fov", "z", "global_z", "volume", "area", "cell_area", "nucleus_area", "cluster", "in_tissue", "array_row",
    "array_col", "total_counts", "n_counts", "n_genes", "n_genes_by_counts", "ncount_rna", "nfeature_rna",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Names:
    """Columns as a person names them; empty: a well-known name is looked for."""

    x: str = ""
    y: str = ""
    gene: str = ""
    count: str = ""
    identity: str = ""
    others: tuple[str, ...] = ()  # columns of a wide table that are no genes


def is_long(table: StreamedTable, names: Names) -> bool:
    """Whether a column with genes' names is there; else each gene has a column."""
    found = table.place(names.gene) if names.gene else table.place(*_GENES)
    return bool(names.gene) or (found is not None and table.is_text[found])


def has_columns(path: Path, columns: Sequence[str]) -> bool:
    """Whether a table has these columns; False for what is no table."""
    try:
        table = open_table(path)
    except InputError:
        return False
    return all(table.place(column) is not None for column in columns)


def read_long(
    path: Path,
    names: Names,
    frame: Frame,
    um: float = 1.0,
    controls: tuple[str, ...] = CONTROLS,
    on_event: OnEvent = silent,
) -> Capture:
    """Molecules streamed in `frame`; `um` multiplies the positions. Genes begin with none of `controls`."""
    table = open_table(path)
    x, y = _position(table, names)
    gene = _asked(table, names.gene, "the gene's name", "--gene", *_GENES)
    count = table.require(names.count, "how many molecules a row counts") if names.count else table.place(*_COUNTS)
    _require_apart(table, x=x, y=y, gene=gene, count=count)
    told = [f"x = '{table.columns[x]}', y = '{table.columns[y]}', gene = '{table.columns[gene]}'"]
    told.append("every row is one molecule" if count is None else f"count = '{table.columns[count]}'")
    on_event(Note(f"{table.path.name} is read as one molecule or count a row: {', '.join(told)}."))
    layout = Layout(table, x, y, gene, count, tuple(control.lower() for control in controls))
    found = survey(layout, on_event)
    molecules = stream(layout, found, um, frame, on_event)
    facts: dict[str, str | int | float] = {
        "molecules": sum(found.molecules.values()),
        "extent": extent_words(found.low * um, found.high * um, _UNIT[frame]),
    }
    return Capture(_stem(table.path), "table", molecules.genes, transcripts=molecules, facts=facts)


def read_units(
    path: Path, names: Names, footprint: Footprint, frame: Frame, um: float = 1.0, on_event: OnEvent = silent
) -> Capture:
    """Units of a wide table: position, counts of one gene a column, and a name where there is one."""
    table = open_table(path)
    x, y = _position(table, names)
    identity = _identity(table, names)
    aside = {x, y, identity} | {table.require(other, "no gene") for other in names.others}
    about = [i for i, column in enumerate(table.columns) if column.lower() in _ABOUT and i not in aside]
    genes = [i for i in range(len(table.columns)) if i not in aside and i not in about]
    _require_numbers(table, genes)
    _tell_wide(table, (x, y, identity), genes, about, on_event)
    wide = read_wide(table, identity, genes, (x, y), on_event)
    found = GeneTable(wide.genes)
    units = Units(wide.ids, wide.xy * um, wide.counts, found, footprint, frame)
    extent = extent_words(units.xy.min(axis=0), units.xy.max(axis=0), _UNIT[frame])
    return Capture(_stem(table.path), "table", found, units=units, facts={"units": len(units), "extent": extent})


def _position(table: StreamedTable, names: Names) -> tuple[int, int]:
    if bool(names.x) != bool(names.y):
        raise InputError(f"Only one of the columns x and y of {table.path} is named.", "Name both: --x and --y.")
    pairs = ((names.x, names.y),) if names.x else _POSITIONS
    if names.x:
        return table.require(names.x, "x"), table.require(names.y, "y")
    for pair in pairs:
        x, y = table.place(pair[0]), table.place(pair[1])
        if x is not None and y is not None:
            return x, y
    raise _unasked(table, "positions", "--x and --y")


def _asked(table: StreamedTable, name: str, what: str, option: str, *known: str) -> int:
    found = table.require(name, what) if name else table.place(*known)
    if found is None:
        raise _unasked(table, what, option)
    return found


def _unasked(table: StreamedTable, what: str, option: str) -> InputError:
    shown = ", ".join(table.columns[:20]) + (", …" if len(table.columns) > 20 else "")
    return InputError(f"No column of {table.path} has a name known for {what}; it has {shown}.", f"Name it: {option}.")


def _require_apart(table: StreamedTable, **places: int | None) -> None:
    """No column can be two things."""
    seen: dict[int, str] = {}
    for what, place in places.items():
        if place is not None and place in seen:
            raise InputError(
                f"The column '{table.columns[place]}' of {table.path} is named for both {seen[place]} and {what}.",
                "Name another one.",
            )
        if place is not None:
            seen[place] = what


def _identity(table: StreamedTable, names: Names) -> int | None:
    if names.identity:
        return table.require(names.identity, "the unit's name")
    return table.index if table.index is not None else table.place(*_IDS)


def _require_numbers(table: StreamedTable, genes: Sequence[int]) -> None:
    text = [table.columns[i] for i in genes if table.is_text[i]]
    if text:
        raise InputError(
            f"The column '{text[0]}' of {table.path} holds no counts ({len(text)} such columns).",
            "Name what is no gene with --others, the units' names with --identity.",
        )
    if not genes:
        raise InputError(f"{table.path} has no column of counts.", "A wide table has one gene a column.")


def _tell_wide(
    table: StreamedTable,
    places: tuple[int, int, int | None],
    genes: Sequence[int],
    about: Sequence[int],
    on_event: OnEvent,
) -> None:
    names = [table.columns[i] for i in genes]
    x, y, identity = places
    said = "units are numbered" if identity is None else f"names = '{table.columns[identity]}'"
    on_event(
        Note(
            f"{table.path.name} is read as one unit a row: x = '{table.columns[x]}', y = '{table.columns[y]}', {said}, "
            f"{len(names):,} genes from '{names[0]}' to '{names[-1]}'."
        )
    )
    if about:
        on_event(Note(f"Columns of {table.path.name} left out: {', '.join(table.columns[i] for i in about)}."))


def _stem(path: Path) -> str:
    """`a.tsv.gz` → `a`."""
    return path.name.split(".")[0] or path.name
