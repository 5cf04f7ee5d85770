"""Denser spots: four times as many as were measured, each asked as a measured one is, as a table."""

from __future__ import annotations

from pathlib import Path

import anndata
import numpy as np
import pytest

from mother import Panel, mother, rates
from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.densifying import denser_spots, write_denser_spots
from napari_pixelgene.pipeline.learning import FitSettings, fit, load_fitted
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.pipeline.training_data import measured_units, training_section
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.store.section import SectionStore


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    """96 spots 50 µm apart, and a ridge that learned from them."""
    found = mother(tmp_path_factory.mktemp("mother"), {"A": Panel()})
    fit([found], "first", FitSettings(model="ridge", genes="top:8", folds=FoldSettings(folds=2)))
    return found


def test_a_measured_spot_is_asked_as_it_always_was(store: SectionStore) -> None:
    table = denser_spots(store, "first", genes=["G2", "G5"])
    fitted = load_fitted(store, "first")[0]
    measured = measured_units(store)
    section = training_section(measured, ensure_features(store), fitted.genes)
    log, counts = predict_units(fitted, section, fitted.genes.indices(["G2", "G5"]))
    there = table.obs["measured_there"].to_numpy()
    assert table.var_names.tolist() == ["G2", "G5"] and there.sum() == len(measured)
    np.testing.assert_allclose(table.obsm["spatial"][there], measured.xy_um)
    np.testing.assert_allclose(table.X[there], log, rtol=1e-5)
    np.testing.assert_allclose(table.layers["counts"][there], counts, rtol=1e-4)


def test_the_others_lie_half_way_and_say_what_was_there(store: SectionStore) -> None:
    told: list[Event] = []
    table = denser_spots(store, "first", on_event=told.append)
    new = ~table.obs["measured_there"].to_numpy()
    xy = table.obsm["spatial"]
    np.testing.assert_allclose(np.unique(np.round((xy - xy[0]) % 50, 6)), [0, 25])
    assert new.sum() > 2 * (~new).sum() and len(np.unique(xy, axis=0)) == len(xy)
    (note,) = [e.text for e in told if isinstance(e, Note) and "off the tissue" in e.text]
    assert note.startswith(f"{4 * 96 - table.n_obs} of 384 spots")
    parent = dict(zip(table.obs["copy_of"][~new], xy[~new], strict=True))
    away = [p - parent[of] for p, of in zip(xy[new], table.obs["copy_of"][new], strict=True) if of in parent]
    assert len(away) > 100 and {tuple(a) for a in np.round(away, 3)} == {(25, 0), (0, 25), (25, 25)}
    truth = np.log1p(1e4 * rates(xy[new], Panel(tuple(table.var_names))) / 400)
    assert pearson(table.X[new], truth).min() > 0.9


def test_the_file_is_there_whole_or_not_at_all(store: SectionStore, tmp_path: Path) -> None:
    table = denser_spots(store, "first", genes=["G1"])
    write_denser_spots(table, tmp_path / "denser.h5ad")
    back = anndata.read_h5ad(tmp_path / "denser.h5ad")
    np.testing.assert_array_equal(back.X, table.X)
    assert back.uns["pixelgene"]["run"] == "first" and back.obs_names[0] == "mother_0"
    with pytest.raises(InputError, match=r"ends in \.h5ad"):
        write_denser_spots(table, tmp_path / "denser.csv")
    with pytest.raises(InputError, match="cannot be written"):
        write_denser_spots(table, tmp_path / "nowhere" / "denser.h5ad")
    assert [p.name for p in tmp_path.iterdir()] == ["denser.h5ad"]
