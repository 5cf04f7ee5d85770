"""Fingerprints are stable, and a change upstream makes what lies after it stale."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.settings import Section
from napari_pixelgene.store import provenance
from napari_pixelgene.store.documents import write_group
from napari_pixelgene.store.section import SectionStore


class Binning(Section):
    bin_um: float = 8.0
    genes: tuple[str, ...] = ("KRT8", "Ä")
    where: Path | None = None


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "a.section.zarr")


def write(store: SectionStore, stage: str, fingerprint: str, inputs: dict[str, str]) -> None:
    provenance.record(store, stage, fingerprint, {}, inputs, 1.23456, {"numpy": "2"})


def test_a_fingerprint_is_the_same_on_every_machine_and_for_any_order() -> None:
    expected = provenance.fingerprint(Binning(), {"he": "1", "captures/a": "2"})
    assert expected == provenance.fingerprint(Binning(), {"captures/a": "2", "he": "1"})
    assert expected == provenance.fingerprint(
        {"where": None, "genes": ["KRT8", "Ä"], "bin_um": 8.0}, {"captures/a": "2", "he": "1"}
    )
    code = (
        "from napari_pixelgene.store.provenance import fingerprint as f;"
        "print(f({'bin_um': 8.0, 'genes': ['KRT8', 'Ä'], 'where': None}, {'he': '1', 'captures/a': '2'}))"
    )
    said = subprocess.run([sys.executable, "-X", "utf8", "-c", code], capture_output=True, text=True, check=True).stdout
    assert said.strip() == expected == "7a164943b6b75c5f1e55a1c1cc085c96"


def test_any_change_gives_another_fingerprint() -> None:
    prints = {
        provenance.fingerprint(settings, inputs)
        for settings in (Binning(), Binning(bin_um=16.0), Binning(genes=("KRT8",)), {})
        for inputs in ({"he": "1"}, {"he": "2"}, {"captures/a": "1"}, {})
    }
    assert len(prints) == 16
    assert provenance.run_name("eval", "0123456789abcdef") == "eval-0123456789"


def test_records_come_back_in_flow_order(store: SectionStore) -> None:
    write(store, "training/panel", "t", {"features/uni": "f"})
    write(store, "features/uni", "f", {"he": "h"})
    write(store, "import", "i", {})
    assert list(provenance.records(store)) == ["import", "features/uni", "training/panel"]
    entry = provenance.records(store)["features/uni"]
    assert entry["inputs"] == {"he": "h"} and entry["seconds"] == 1.235 and entry["versions"] == {"numpy": "2"}
    assert provenance.fresh(store, "features/uni", "f")
    assert not provenance.fresh(store, "features/uni", "g") and not provenance.fresh(store, "features/hipt", "f")
    provenance.forget(store, "import")
    assert "import" not in provenance.records(store)


def test_staleness_walks_the_flow_and_spares_what_does_not_depend(store: SectionStore) -> None:
    write(store, "features/uni", "f", {"he": "h"})
    write(store, "registration/a", "r", {"he": "h", "captures/a/keypoints": "k"})
    write(store, "binning/a", "b", {"registration/a": "r"})
    write(store, "training/panel", "t", {"binning/a": "b", "features/uni": "f"})
    write(store, "prediction/panel", "p", {"training/panel": "t"})
    assert provenance.stale(store) == {}
    assert provenance.stale(store, {"captures/a/keypoints": "k2"}) == {
        "registration/a": "captures/a/keypoints changed",
        "binning/a": "registration/a is stale",
        "training/panel": "binning/a is stale",
        "prediction/panel": "training/panel is stale",
    }
    assert list(provenance.stale(store, {"he": "other"})) == list(provenance.records(store))
    assert provenance.stale(store, {"training/panel": "t2"}) == {
        "training/panel": "its settings or inputs changed",
        "prediction/panel": "training/panel is stale",
    }
    write(store, "binning/a", "b2", {"registration/a": "r"})
    assert set(provenance.stale(store)) == {"training/panel", "prediction/panel"}


def test_an_element_knows_its_own_fingerprint(store: SectionStore) -> None:
    assert provenance.made_with(store, "features", "uni") is None
    partial = store.begin("features", "uni", fingerprint="abc")
    write_group(partial.path, {"fingerprint": "abc"})
    assert provenance.made_with(store, "features", "uni") is None
    partial.publish()
    assert provenance.made_with(store, "features", "uni") == "abc"


def test_stages_after_one(store: SectionStore) -> None:
    assert provenance.stale_after("training/panel") == ("prediction", "evaluation", "analysis")
    with pytest.raises(SettingsError, match=r"no stage named 'trainin'.*Did you mean 'training'"):
        write(store, "trainin", "x", {})


def test_versions_leave_out_what_is_not_installed() -> None:
    found = provenance.versions("zarr", "no-such-package")
    assert set(found) == {"python", "napari-pixelgene", "numpy", "zarr"}
