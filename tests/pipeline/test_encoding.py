"""Encoders with weights in the flow: what is looked for first, kept, continued and made again; vectors of points."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
import torch

from napari_pixelgene.encoders import registry, weights
from napari_pixelgene.errors import Cancelled, InputError, MissingDependency, SettingsError
from napari_pixelgene.pipeline.describing import stale
from napari_pixelgene.pipeline.encoding import encoder_of, ensure_point_features, require_ready
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.preparing import ensure_features, ensure_tissue
from napari_pixelgene.progress import Event, Note, Progress
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.store import provenance
from napari_pixelgene.store.features import points_name, read_features, read_points, write_points
from napari_pixelgene.store.section import SectionStore
from tiny_vits import TinyGigaPath, TinyHipt, TinyUni, noise, write_weights

pytestmark = pytest.mark.headless
_TINY = (("uni", "Uni"), ("hipt", "Hipt"), ("hipt-smooth", "HiptSmooth"), ("gigapath", "GigaPath"))
# H&E of 1,050 × 550 µm at 0.5 µm; tissue on the left 900 µm.
ROWS, COLUMNS = 1100, 2100


@pytest.fixture(scope="module")
def slide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("slide") / "he.tif"
    pixels = noise(ROWS, COLUMNS, seed=6)
    pixels[:, 1800:] = 244
    tifffile.imwrite(path, pixels, tile=(256, 256), photometric="rgb")
    return path


@pytest.fixture
def store(slide: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SectionStore:
    """A section on a machine that knows three tiny encoders and has no weights."""
    monkeypatch.setattr("platformdirs.user_data_path", lambda *a, **k: tmp_path / "data")
    monkeypatch.setattr(weights, "_in_hub_cache", lambda file: None)
    tiny = {f"tiny-{n}": f"tiny_vits:Tiny{c}" for n, c in _TINY}
    monkeypatch.setattr(registry, "_ENCODERS", registry._ENCODERS | tiny)
    return import_section(tmp_path / "a.section.zarr", slide, settings=ImportSettings(mpp=0.5))


def tiny(name: str, folder: Path, **more: Any) -> FeatureSettings:
    return FeatureSettings.make({"encoder": name, "weights": folder, "shifts": 1, **more})


def test_weights_are_asked_for_before_anything_slow(store: SectionStore, tmp_path: Path) -> None:
    settings = FeatureSettings(encoder="tiny-uni")
    with pytest.raises(MissingDependency, match="weights of 'tiny-uni' are not on this machine"):
        require_ready([store], settings)
    with pytest.raises(MissingDependency, match=r"huggingface\.co/MahmoodLab/UNI"):
        ensure_features(store, settings)
    with pytest.raises(InputError, match="There is no file"):
        ensure_features(store, tiny("tiny-uni", tmp_path / "gone.pth"))
    require_ready([store], FeatureSettings())


def test_features_follow_their_weights(store: SectionStore, tmp_path: Path) -> None:
    """Other weights make them stale; where weights are not here they hold as they are; the batch says nothing."""
    write_weights(TinyUni(), tmp_path / "w", seed=1)
    made = ensure_features(store, tiny("tiny-uni", tmp_path / "w"))
    assert made.array.dtype == np.float16 and made.array.shape == (69, 132, 24)
    mask = ensure_tissue(store).mask
    assert np.isfinite(made.array[:][mask]).all() and np.isnan(made.array[:][~mask]).all()
    key = "features/tiny-uni"
    record = provenance.records(store)[key]
    assert "weights/tiny-uni/weights" in record["inputs"]
    assert record["settings"] == {"encoder": "tiny-uni", "patches": 64, "seed": 0, "shifts": 1}

    ensure_features(store, tiny("tiny-uni", tmp_path / "w", batch=3))
    ensure_features(store, FeatureSettings(encoder="tiny-uni", shifts=1))  # their weights are not here
    require_ready([store], FeatureSettings(encoder="tiny-uni"))
    assert provenance.records(store)[key]["finished"] == record["finished"] and stale(store) == {}
    write_weights(TinyUni(), tmp_path / "other", seed=2)
    again = ensure_features(store, tiny("tiny-uni", tmp_path / "other"))
    assert np.abs(again.mean - made.mean).max() > 0.01
    assert provenance.records(store)[key]["inputs"] != record["inputs"]


def test_an_encoder_that_looks_twice_continues_bit_for_bit(store: SectionStore, tmp_path: Path) -> None:
    write_weights(TinyHipt(), tmp_path / "w")
    settings = tiny("tiny-hipt", tmp_path / "w")
    whole = ensure_features(store, settings).array[:]
    assert whole.shape == (69, 132, 39)
    mask = ensure_tissue(store).mask
    assert np.isfinite(whole[mask]).all() and np.ptp(whole[mask][:, :12], axis=0).min() > 0
    store.remove("features", "tiny-hipt")
    for look, done in (("", 2), ("neighbourhoods", 1)):

        def kill(event: Event, look: str = look, done: int = done) -> None:
            if isinstance(event, Progress) and (event.message, event.done) == (look, done):
                raise Cancelled

        with pytest.raises(Cancelled):
            ensure_features(store, settings, kill)
    seen: list[Progress] = []
    again = ensure_features(store, settings, lambda e: seen.append(e) if isinstance(e, Progress) else None)
    first = next(e for e in seen if e.stage == "features")
    assert first.done == first.total  # nothing is looked at again
    np.testing.assert_array_equal(again.array[:], whole)
    assert not (store.path / "features" / "tiny-hipt" / "tokens").exists()


def test_smooth_features_are_those_of_another_encoder_averaged(store: SectionStore, tmp_path: Path) -> None:
    """By hand at a border of the tissue and across tiles: 17 × 17 for the context, 5 × 5 close up, colour as it is."""
    write_weights(TinyHipt(), tmp_path / "w")
    smooth = ensure_features(store, tiny("tiny-hipt-smooth", tmp_path / "w"))
    assert store.encoders() == ["tiny-hipt", "tiny-hipt-smooth"]
    raw, got, mask = read_features(store, "tiny-hipt").array[:], smooth.array[:], ensure_tissue(store).mask
    assert np.isnan(got[~mask]).all()
    for row, column in ((0, 0), (63, 64), (40, int(np.flatnonzero(mask[40])[-1]))):
        for channels, reach in ((slice(0, 12), 8), (slice(12, 36), 2)):
            window = slice(max(row - reach, 0), row + reach + 1), slice(max(column - reach, 0), column + reach + 1)
            wanted = raw[window][mask[window]][:, channels].astype(np.float64).mean(0)
            np.testing.assert_allclose(got[row, column, channels], wanted, atol=3e-3)
    np.testing.assert_array_equal(got[..., 36:][mask], raw[..., 36:][mask])
    assert stale(store) == {}
    record = provenance.records(store)["features/tiny-hipt-smooth"]
    assert "features/tiny-hipt" in record["inputs"]
    ensure_features(store, tiny("tiny-hipt-smooth", tmp_path / "w"))
    assert provenance.records(store)["features/tiny-hipt-smooth"] == record


def test_points_see_the_square_around_them(store: SectionStore, slide: Path, tmp_path: Path) -> None:
    write_weights(TinyGigaPath(), tmp_path / "w")
    settings = tiny("tiny-gigapath", tmp_path / "w")
    rng = np.random.default_rng(2)
    xy = np.concatenate([[[300.0, 210.5], [0.0, 0.0], [1049.0, 549.0], [-3.0, 5.0]], rng.uniform(60, 500, (70, 2))])
    notes: list[str] = []
    found = ensure_point_features(store, settings, xy, lambda e: notes.append(e.text) if isinstance(e, Note) else None)
    assert found.vectors.shape == (74, 24) and notes == ["1 of 74 points lie off the slide: nothing is said of them."]
    assert np.isnan(found.vectors[3]).all() and np.isfinite(np.delete(found.vectors, 3, axis=0)).all()

    pixels = np.asarray(read_image(slide, 0.5).levels[0][:])
    encoder = encoder_of(settings)
    encoder.load(weights.require_all(encoder, weights.locate_all(encoder, tmp_path / "w")))
    by_hand = np.full((2, 224, 224, 3), 255, np.uint8)
    by_hand[0] = pixels[421 - 112 : 421 + 112, 600 - 112 : 600 + 112]
    by_hand[1, 112:, 112:] = pixels[:112, :112]  # white past the corner of the slide
    wanted = encoder.encode_points(torch.from_numpy(by_hand)).numpy()
    np.testing.assert_allclose(found.vectors[:2], wanted, atol=1e-4)

    assert ensure_point_features(store, FeatureSettings(encoder="tiny-gigapath"), xy).vectors.shape == (74, 24)
    name = points_name("tiny-gigapath", xy)
    assert store.names("points") == [name] and f"features/{name}" in provenance.records(store)
    assert store.encoders() == [] and stale(store) == {}


def test_points_continue_and_are_asked_for_sensibly(store: SectionStore, tmp_path: Path) -> None:
    write_weights(TinyGigaPath(), tmp_path / "w")
    settings = tiny("tiny-gigapath", tmp_path / "w")
    xy = np.random.default_rng(4).uniform(60, 500, (150, 2))

    def kill(event: Event) -> None:
        if isinstance(event, Progress) and event.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        ensure_point_features(store, settings, xy, kill)
    seen: list[Progress] = []
    ensure_point_features(store, settings, xy, lambda e: seen.append(e) if isinstance(e, Progress) else None)
    assert (seen[0].done, seen[0].total) == (2, 3)
    with pytest.raises(InputError, match="None of the 5 points lies on the slide"):
        ensure_point_features(store, settings, xy[:5] + 5000)
    with pytest.raises(SettingsError, match="'stain_texture' has no vector for a point"):
        ensure_point_features(store, FeatureSettings(), xy)


def test_vectors_made_elsewhere_are_kept_under_any_name(store: SectionStore) -> None:
    xy, vectors = np.array([[5.0, 6.0], [7.25, 8.5]]), np.float32([[1, 2, 3], [4, 5, 6]])
    write_points(store, "hub:lab/net", xy, vectors, "f")
    np.testing.assert_array_equal(read_points(store, "hub:lab/net", xy).vectors, vectors)
    assert points_name("hub:lab/net", xy) != points_name("hub:lab/net", xy[::-1])


def test_an_encoder_for_another_pixel_size_says_so(slide: Path, store: SectionStore, tmp_path: Path) -> None:
    write_weights(TinyUni(), tmp_path / "w")
    fine = import_section(tmp_path / "b.section.zarr", slide, settings=ImportSettings(mpp=0.5, work_mpp=1.0))
    with pytest.raises(SettingsError, match=r"made for 0\.5 µm per pixel, the section has 1\.0"):
        ensure_features(fine, tiny("tiny-uni", tmp_path / "w"))
