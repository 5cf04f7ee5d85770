"""What an analysis found, as tables: CSV for people and spreadsheets, Parquet for every square.

| file | a row |
|---|---|
| `clusters.csv`, `annotation.csv` | a cluster or name: squares, area in mm², share of all that are named |
| `clusters_genes.csv`, `annotation_genes.csv` | a gene in it: mean, variance, sum, and what differs elsewhere |
| `enrichment.csv` | a name of the annotation: log2 of its odds inside each cluster over those outside |
| `agreement.csv` | another labelling of the same squares: how much the clusters agree with it |
| `partners.csv` | a cluster, and the one of the other labelling it goes with |
| `squares.parquet` | a square: row, column, centre in H&E µm, cluster, name, confidence |

An empty field is a number that is not defined. Files are there whole or not at all. A folder that holds some of them is
asked about first.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from napari_pixelgene.arithmetic.agreement import agreement, best_partners, joint_counts, odds_ratios
from napari_pixelgene.arithmetic.contrasts import contrasts
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.labelling import UNCLASSIFIED, Labelling
from napari_pixelgene.errors import InputError, StoreError

_KINDS = ("clusters", "annotation")
NAMES = (
    *(f"{kind}{end}.csv" for kind in _KINDS for end in ("", "_genes")),
    *("enrichment.csv", "agreement.csv", "partners.csv", "squares.parquet"),
)


def label_table(found: Labelling, superpixel_um: float) -> pl.DataFrame:
    """A row a cluster or name."""
    squares = found.squares()
    return pl.DataFrame(
        {
            found.kind: found.names,
            "squares": squares,
            "area_mm2": squares * superpixel_um**2 / 1e6,
            "share": squares / max(int(squares.sum()), 1),
        }
    )


def gene_table(found: Labelling, genes: GeneTable) -> pl.DataFrame:
    """A row a cluster or name and gene, the genes that set it apart most first.

    `mean`, `variance` and `sum` of expected counts over its squares; `mean_elsewhere` over all other named squares,
    `fold_change` the ratio of both means, `difference` their difference in standard deviations inside the labels
    (specs/iscale.md section 5.6).
    """
    moments, other = found.moments, contrasts(found.moments)
    shape = moments.mean.shape
    columns = {
        found.kind: np.repeat(np.array(found.names, dtype=object), shape[1]).tolist(),
        "gene": list(genes.symbols) * shape[0],
        "squares": np.repeat(moments.count, shape[1]),
        "mean": moments.mean.ravel(),
        "variance": moments.variance.ravel(),
        "sum": (moments.mean * moments.count[:, None]).ravel(),
        "mean_elsewhere": other.outside.ravel(),
        "fold_change": other.fold_change.ravel(),
        "difference": other.difference.ravel(),
    }
    place = np.repeat(np.arange(shape[0]), shape[1])
    order = np.lexsort((-np.nan_to_num(other.difference.ravel(), nan=-np.inf), place))
    return _defined(pl.DataFrame(columns)[order])


def enrichment_table(clusters: Labelling, annotation: Labelling) -> pl.DataFrame:
    """A row a name, a column a cluster: log2 odds ratio; negative where it is depleted, -inf where it is absent."""
    joint = joint_counts(clusters.labels, annotation.labels, (len(clusters.names), len(annotation.names)))
    with np.errstate(divide="ignore"):
        logs = np.log2(odds_ratios(joint))
    kept = [place for place, name in enumerate(annotation.names) if name != UNCLASSIFIED]
    table = {annotation.kind: [annotation.names[place] for place in kept]}
    return _defined(pl.DataFrame(table | {name: logs[row, kept] for row, name in enumerate(clusters.names)}))


def agreement_table(clusters: Labelling, others: Mapping[str, Labelling]) -> pl.DataFrame:
    """A row a labelling that the clusters are compared with; Unclassified squares are left out."""
    rows = []
    for name, other in others.items():
        labels = named_only(other)
        joint = joint_counts(clusters.labels, labels, (len(clusters.names), len(other.names)))
        squares = int(joint.sum())
        rows.append({"with": name, "squares": squares, **agreement(clusters.labels, labels, joint)})
    return _defined(pl.DataFrame(rows))


def partner_table(clusters: Labelling, other: Labelling) -> pl.DataFrame:
    """A row a cluster: which of the other labelling it goes with, one to one, so that most squares lie on pairs; null
    where none is left for it that shares a square."""
    joint = joint_counts(clusters.labels, named_only(other), (len(clusters.names), len(other.names)))
    rows, columns = best_partners(joint)
    squares = np.zeros(len(clusters.names), dtype=np.int64)
    squares[rows] = joint[rows, columns]
    found = dict(zip(rows.tolist(), columns.tolist(), strict=True))
    partners = [other.names[found[row]] if many else None for row, many in enumerate(squares)]
    table = {clusters.kind: clusters.names, "partner": pl.Series(partners, dtype=pl.String), "squares": squares}
    return pl.DataFrame(table)


def named_only(found: Labelling) -> np.ndarray:
    """The labels, -1 where they say Unclassified."""
    nobody = found.names.index(UNCLASSIFIED) if UNCLASSIFIED in found.names else -1
    return np.where(found.labels == nobody, -1, found.labels)


def square_table(clusters: Labelling, annotation: Labelling | None, superpixel_um: float) -> pl.DataFrame:
    """A row a square that either labelling names."""
    there = clusters.labels >= 0 if annotation is None else (clusters.labels >= 0) | (annotation.labels >= 0)
    row, column = np.nonzero(there)
    table: dict[str, Any] = {
        "row": row.astype(np.int32),
        "column": column.astype(np.int32),
        "x_he_um": (column + 0.5) * superpixel_um,
        "y_he_um": (row + 0.5) * superpixel_um,
    }
    for found in (clusters, annotation):
        if found is not None:
            table |= {found.kind.removesuffix("s"): _words(found, there)}
    if annotation is not None and annotation.confidence is not None:
        table["confidence"] = annotation.confidence[there]
    return _defined(pl.DataFrame(table))


def require_folder(folder: Path, overwrite: bool) -> None:
    """A place for the tables: no file in the way, writable, and without tables of an analysis unless `overwrite`."""
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    if not there.is_dir():
        raise InputError(f"{there} is a file; tables go into a folder.", "Name another place with --out.")
    if not os.access(there, os.W_OK | os.X_OK):
        raise InputError(f"{there} cannot be written.", "Name another place with --out.")
    found = [name for name in NAMES if (folder / name).exists()]
    if found and not overwrite:
        raise StoreError(
            f"{folder} holds tables of an analysis already ({', '.join(found)}).",
            "Name another folder with --out, or pass --overwrite.",
        )


def remove_others(folder: Path, written: Collection[Path]) -> list[str]:
    """Remove tables of an analysis before that are not among those written now; their names."""
    old = [name for name in NAMES if folder / name not in written and (folder / name).is_file()]
    for name in old:
        (folder / name).unlink()
    return old


def write_tables(folder: Path, tables: Mapping[str, pl.DataFrame]) -> tuple[Path, ...]:
    """Write {file name: table} into a folder, made where it is not there; tables of those names are replaced."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        return tuple(_write(folder / name, table) for name, table in tables.items())
    except OSError as error:
        raise InputError(f"{folder} cannot be written: {error.strerror or error}.", "Choose another place.") from None


def _write(path: Path, table: pl.DataFrame) -> Path:
    part = path.with_name(path.name + ".partial")
    try:
        if path.suffix == ".parquet":
            table.write_parquet(part)
        else:
            table.write_csv(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _words(found: Labelling, there: np.ndarray) -> pl.Series:
    """The name of each square that is there, null where it has none."""
    values = found.labels[there]
    names = np.array([*found.names, None], dtype=object)[values]
    return pl.Series(names.tolist(), dtype=pl.String)


def _defined(table: pl.DataFrame) -> pl.DataFrame:
    """The same with null for NaN."""
    return table.with_columns(pl.col(pl.Float32, pl.Float64).fill_nan(None))
