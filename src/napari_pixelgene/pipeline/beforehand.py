"""What is wrong with a request is told before anything slow begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.choosing import Chosen
from napari_pixelgene.readers.gene_list import read_gene_list
from napari_pixelgene.stages.genes import require_form
from napari_pixelgene.store.references import references

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore


def require_genes(spec: str) -> None:
    """A choice of genes that can be read at all; whether they were measured is asked later."""
    if spec.startswith("file:"):
        read_gene_list(Path(spec.removeprefix("file:")))
    else:
        require_form(spec)


def superpixel_um(store: SectionStore) -> float:
    """Side of the section's squares, as it was written at import."""
    return float(store.meta()["grid"]["superpixel_um"])


def require_same_squares(store: SectionStore, side_um: float) -> None:
    """A model knows squares of one size: on others its features and its counts would mean something else."""
    own = superpixel_um(store)
    if abs(own - side_um) > 1e-6:
        raise SettingsError(
            f"{store.path.name} has squares of {own:g} µm, the training section {side_um:g} µm.",
            f"Import it with --work-mpp {side_um / (own / float(store.meta()['work_mpp'])):g}.",
        )


def measured_files(chosen: Sequence[Chosen]) -> list[str]:
    """Hashes of the files that captures were read from, whatever the section is called and wherever it lies."""
    return sorted(
        {
            str(ref["hash"])
            for each in chosen
            for key, ref in references(each.store).items()
            if key.rpartition("/")[0] in {f"captures/{name}" for name in each.captures}
            and key.endswith(("/counts", "/transcripts"))
        }
    )


def seen_by(chosen: Chosen, run: str, meta: Mapping[str, Any]) -> tuple[str, ...]:
    """The captures whose counts a run has learned from."""
    if "train_files" not in meta:
        raise SettingsError(f"The run '{run}' does not tell what it was trained on.", "Train it again.")
    known = set(meta["train_files"])
    return tuple(c for c in chosen.captures if known & set(measured_files([Chosen(chosen.store, (c,))])))
