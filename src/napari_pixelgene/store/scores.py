"""Held-out scores beside the run they are of: the content of `metrics.json`, and a table of every gene as Parquet.

They stand inside the run's own folder, so that a run that is replaced takes its scores with it.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_pixelgene.elements.scores import GeneScores, headline
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store.disk import disk_errors
from napari_pixelgene.store.documents import read_attributes, read_json, write_group, write_json
from napari_pixelgene.store.section import SectionStore

METRICS, GENES = "metrics.json", "genes.parquet"
_SCORES = "scores"


@dataclass(frozen=True, slots=True)
class StoredScores:
    """The scores of a run. `metrics` is read already; `genes` reads the table when it is asked."""

    folder: Path
    metrics: dict[str, Any]
    held_out: str  # on what: "blocks" of the training sections, or other "sections"
    fingerprint: str

    @property
    def headline(self) -> dict[str, Any]:
        """`held_out_r`, `chance` and `verdict` over all sections."""
        return headline(self.metrics["sections"])

    def genes(self) -> GeneScores:
        """Every gene beside its controls."""
        return GeneScores.from_columns(self.table())

    def table(self) -> dict[str, list[Any]]:
        """All columns as they were written: `section`, `gene`, `total` and the numbers of both quantities."""
        import pyarrow.parquet as pq

        path = self.folder / GENES
        try:
            columns: dict[str, list[Any]] = pq.read_table(path).to_pydict()
        except (OSError, ValueError) as error:
            raise StoreError(f"{path} cannot be read: {error}.", "Score the run again.") from None
        return columns


def write_scores(
    store: SectionStore,
    run: str,
    metrics: Mapping[str, Any],
    per_gene: Mapping[str, Any],
    held_out: str = "blocks",
    fingerprint: str = "",
) -> None:
    """Put scores beside a run, in the stead of older ones. `per_gene`: equally long columns, `gene` among them."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    partial = store.afresh("models", run, _SCORES)
    with disk_errors(partial.path):
        write_group(partial.path, {"fingerprint": fingerprint, "held_out": held_out})
        write_json(partial.path / METRICS, metrics)
        pq.write_table(pa.table(dict(per_gene)), partial.path / GENES)
    partial.publish()


def read_scores(store: SectionStore, run: str) -> StoredScores | None:
    """The scores of a run, None where it was never scored."""
    folder = store.find("models", run, _SCORES)
    if folder is None:
        return None
    values = read_attributes(folder)
    held_out, fingerprint = str(values.get("held_out", "blocks")), str(values.get("fingerprint", ""))
    return StoredScores(folder, read_json(folder / METRICS), held_out, fingerprint)


def copy_scores(source: SectionStore, target: SectionStore, run: str) -> None:
    """Copy a run's scores into another section that holds the run; none there are none here."""
    origin, place = (store.find("models", run, _SCORES) for store in (source, target))
    if origin is None or (place is not None and _same(origin, place)):
        return
    partial = target.afresh("models", run, _SCORES)
    with disk_errors(partial.path):
        for name in (METRICS, GENES):
            shutil.copyfile(origin / name, partial.path / name)
        write_group(partial.path, read_attributes(origin))
    partial.publish()


def _same(a: Path, b: Path) -> bool:
    return all((a / name).read_bytes() == (b / name).read_bytes() for name in (METRICS, GENES))
