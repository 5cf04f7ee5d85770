"""Runs: arrays and cards come back, travel to other sections, and are never pickles."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import models
from napari_pixelgene.store.models import Checkpoint, begin_run, copy_run, load_run, run_meta, save_run
from napari_pixelgene.store.section import SectionStore

ARRAYS = {
    "net.weight": np.random.default_rng(0).normal(size=(3, 5)).astype(np.float32),
    "transposed": np.arange(12, dtype=np.float64).reshape(3, 4).T,
    "scalar": np.array(2.5),
    "half": np.array([1.5, np.nan], np.float16),
    "codes": np.array([1, -2], np.int64),
    "mask": np.array([[True], [False]]),
    "nothing": np.zeros((0, 4), np.float32),
}
META = {"fingerprint": "f1", "genes": {"symbols": ["EPCAM", "Ä"]}, "history": [{"loss": 1.5, "stop": float("nan")}]}


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "a.section.zarr")


def assert_same(back: dict[str, np.ndarray], arrays: dict[str, np.ndarray]) -> None:
    assert set(back) == set(arrays)
    for name, values in arrays.items():
        assert back[name].shape == values.shape and back[name].dtype == values.dtype, name
        assert back[name].tobytes() == values.tobytes(), name


def test_a_run_comes_back_to_the_last_bit(store: SectionStore) -> None:
    save_run(store, "panel", ARRAYS, META)
    arrays, meta = load_run(store, "panel")
    assert_same(arrays, ARRAYS)
    assert meta == {**META, "history": [{"loss": 1.5, "stop": None}]} == run_meta(store, "panel")
    assert store.runs() == ["panel"]
    assert sorted(p.name for p in (store.path / "models/panel").iterdir()) == [
        "model.json",
        "model.safetensors",
        "zarr.json",
    ]
    assert json.loads((store.path / "models/panel/zarr.json").read_text())["attributes"] == {
        "napari_pixelgene": {"fingerprint": "f1"}
    }


def test_epochs_are_kept_until_the_run_is_saved(store: SectionStore) -> None:
    kept = Checkpoint(begin_run(store, "panel", "f1"))
    assert kept.load() is None and kept.meta() == {}
    kept.save({"w": np.zeros(3)}, {"epoch": 1})
    kept.save(ARRAYS, {"epoch": 2, "Ä": [1.5]})
    assert store.runs() == []
    again = Checkpoint(begin_run(store, "panel", "f1"))
    assert_same(again.load() or {}, ARRAYS)
    assert again.meta() == {"epoch": 2, "Ä": [1.5]}
    save_run(store, "panel", ARRAYS, META)
    assert not (store.path / "models/panel" / models.CHECKPOINT).exists()
    assert Checkpoint(begin_run(store, "panel", "f2")).load() is None


def test_a_kill_while_an_epoch_is_kept_leaves_the_one_before(
    store: SectionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    kept = Checkpoint(begin_run(store, "panel", "f1"))
    kept.save({"w": np.ones(3)})

    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        kept.save({"w": np.zeros(3)})
    assert_same(kept.load() or {}, {"w": np.ones(3)})


def test_a_run_is_copied_once_and_replaced_when_it_differs(store: SectionStore, tmp_path: Path) -> None:
    other = SectionStore.create(tmp_path / "b.section.zarr")
    with pytest.raises(StoreError, match=r"no finished 'models/panel'"):
        copy_run(store, other, "panel")
    save_run(store, "panel", ARRAYS, META)
    copy_run(store, other, "panel")
    assert_same(load_run(other, "panel")[0], ARRAYS)
    stamp = (other.path / "models/panel/model.json").stat().st_mtime_ns
    copy_run(store, other, "panel")
    copy_run(store, store, "panel")
    assert (other.path / "models/panel/model.json").stat().st_mtime_ns == stamp
    save_run(store, "panel", {"w": np.ones(2)}, META)
    copy_run(store, other, "panel")
    assert_same(load_run(other, "panel")[0], {"w": np.ones(2)})


def test_text_and_objects_are_refused_and_leave_the_old_run(store: SectionStore) -> None:
    save_run(store, "panel", ARRAYS, META)
    for wrong in (np.array(["EPCAM"]), np.array([None])):
        with pytest.raises(StoreError, match="'genes' is of type"):
            save_run(store, "panel", {"genes": wrong}, META)
    assert_same(load_run(store, "panel")[0], ARRAYS)


def test_spoilt_weights_are_named(store: SectionStore) -> None:
    save_run(store, "panel", ARRAYS, META)
    path = store.path / "models/panel/model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])
    with pytest.raises(StoreError, match=r"model\.safetensors cannot be read"):
        load_run(store, "panel")
    path.unlink()
    with pytest.raises(StoreError, match=r"model\.safetensors cannot be read"):
        load_run(store, "panel")
