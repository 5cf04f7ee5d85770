"""Maps without cell-less tissue: what is left out, how it is told, and that the rest stays as it was predicted."""

from __future__ import annotations

import numpy as np
import pytest

from mother import darkness
from napari_pixelgene.pipeline.learning import FitSettings, fit, predict
from napari_pixelgene.pipeline.refining import CellLess, cells_likely
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_tissue


@pytest.fixture(scope="module")
def run(mother_store: SectionStore) -> str:
    settings = FitSettings(model="ridge", genes="panel", folds=FoldSettings(block_um=120, folds=3, partitions=1))
    fit([mother_store], "refined", settings)
    return "refined"


def level(store: SectionStore, run: str, cell_less: CellLess) -> tuple[np.ndarray, list[str]]:
    told: list[Event] = []
    maps = predict(store, run, genes=["G2", "G3"], on_event=told.append, cell_less=cell_less)
    return np.asarray(maps.levels[0][:], dtype=np.float32), [e.text for e in told if isinstance(e, Note)]


def test_dark_tissue_is_likely_to_hold_cells(mother_store: SectionStore) -> None:
    keep, tissue = cells_likely(mother_store), read_tissue(mother_store).mask
    assert (tissue | ~keep).all() and 0.1 < keep.sum() / tissue.sum() < 0.9
    dark = darkness()[: tissue.shape[0] * 8 // 8 * 8 : 8, ::8][: tissue.shape[0], : tissue.shape[1]]
    there = tissue[: dark.shape[0], : dark.shape[1]]
    kept = keep[: dark.shape[0], : dark.shape[1]]
    assert dark[kept].mean() > dark[there & ~kept].mean() + 0.2


def test_cell_less_tissue_becomes_zero_or_background(mother_store: SectionStore, run: str) -> None:
    keep, tissue = cells_likely(mother_store), read_tissue(mother_store).mask
    plain, notes = level(mother_store, run, "keep")
    assert not any("likely holds no cells" in text for text in notes)
    for cell_less, value in (("zero", 0.0), ("nan", np.nan)):
        found, notes = level(mother_store, run, cell_less)  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, np.where(keep | ~tissue, plain, value))
        lost = f"{1 - keep.sum() / tissue.sum():.0%} of the tissue of mother.section.zarr likely holds no cells"
        assert any(text.startswith(lost) for text in notes)
        assert provenance.records(mother_store)[f"prediction/{run}"]["settings"] == {"cell_less": cell_less}
    again, notes = level(mother_store, run, "nan")
    assert any("nothing to predict" in text for text in notes)
    np.testing.assert_array_equal(np.isnan(again), np.isnan(found))
