"""Models that speak at points, from files to maps: vectors out of a file or an encoder, context, genes, the table."""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import anndata
import h5py
import numpy as np
import pytest
import tifffile
import torch
from scipy import sparse

from made_stpath import write_files
from mother import HEIGHT, MPP, WIDTH, Panel, darkness, picture, spots, table
from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.encoders import registry
from napari_pixelgene.encoders.base import Encoder
from napari_pixelgene.errors import InputError, MissingDependency, PixelGeneError, SettingsError, StoreError
from napari_pixelgene.models.base import View
from napari_pixelgene.pipeline.adding import CaptureSettings, add_capture
from napari_pixelgene.pipeline.estimating import estimate
from napari_pixelgene.pipeline.fitting import learned_context, prepare_fit
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.judging import evaluate, evaluate_run
from napari_pixelgene.pipeline.learning import FitSettings, fit, load_fitted, predict
from napari_pixelgene.pipeline.point_features import FILE, lattice
from napari_pixelgene.pipeline.point_sections import as_spots, joined_points, point_section, squares_of
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.pipeline.slide import grid_of
from napari_pixelgene.pipeline.training_data import measured_units
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.features import FeatureSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.stages.prediction import predict_units
from napari_pixelgene.stages.training import train
from napari_pixelgene.store.point_tables import read_point_table
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.tissue import read_tissue, write_region

AREA, BESIDE = (60, 60, 700, 660), (740, 60, 1040, 660)
FOLDS = FoldSettings(block_um=240, folds=3, partitions=1)
QUICK = EvaluationSettings(permutations=2, halves=1)
PATCH = 112 / MPP


def vectors_at(xy_um: np.ndarray) -> np.ndarray:
    """(n, 6) what is seen around points: how dark it is, twice curved, and noise that belongs to the place."""
    x, y = np.clip(xy_um / MPP, 0, [WIDTH - 1, HEIGHT - 1]).astype(int).T
    dark = darkness()[y, x][:, None] - 0.5
    noise = np.stack([np.sin(x * 0.7 + 3 * y), np.cos(y * 1.3 + x), np.sin(x * y * 0.01)], axis=1)
    return np.concatenate([2 * dark, np.sin(4 * dark), dark**2, 0.3 * noise], axis=1).astype(np.float32)


def write_embeddings(
    path: Path, xy_um: np.ndarray, barcodes: list[str] | None = None, corner: float = PATCH / 2
) -> FeatureSettings:
    """An .h5 of patches around points; coordinates are `corner` px left of and above the centre."""
    with h5py.File(path, "w") as file:
        file["embeddings"] = vectors_at(xy_um)
        file["coords"] = xy_um / MPP - corner
        if barcodes is not None:
            file["barcodes"] = np.array(barcodes, dtype="S12")[:, None]
    return FeatureSettings(encoder=f"{FILE}{path}")


def barcodes(capture: str, n: int) -> list[str]:
    return [f"{capture}-{i}" for i in range(n)]


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("points")


@pytest.fixture(scope="module")
def files(folder: Path) -> dict[str, Any]:
    return write_files(folder / "files")


@pytest.fixture(scope="module")
def store(folder: Path) -> SectionStore:
    """One slide, one capture; its nuclei are found once, for the controls."""
    slide = folder / "mother.tif"
    tifffile.imwrite(slide, picture(), photometric="rgb", tile=(256, 256), resolution=(1e4, 1e4),
                     resolutionunit="CENTIMETER")  # fmt: skip
    source = table(folder, "A", spots(AREA), Panel(depth=900.0), 0)
    made = import_section(folder / "mother.section.zarr", slide, source, ImportSettings(name="A"))
    ensure_features(made)
    return made


@pytest.fixture(scope="module")
def embeddings(folder: Path, store: SectionStore) -> FeatureSettings:
    """Patches at the spots by name, in another order, and more between them that no unit has."""
    xy = spots(AREA)
    between = spots(BESIDE, 60.0)
    order = np.random.default_rng(3).permutation(len(xy))
    names = [barcodes("A", len(xy))[i] for i in order] + barcodes("patch", len(between))
    return write_embeddings(folder / "mother.h5", np.concatenate([xy[order], between]), names)


def settings(files: dict[str, Any], given: FeatureSettings, genes: str = "panel", **chosen: Any) -> FitSettings:
    return FitSettings(
        model="stpath", model_settings={**files, **chosen}, features=given, genes=genes, folds=FOLDS, device="cpu"
    )


# Vectors of a file


def test_rows_of_a_file_are_found_by_name_and_by_place(
    folder: Path, store: SectionStore, files: dict[str, Any], embeddings: FeatureSettings
) -> None:
    xy = spots(AREA)
    by_name = prepare_fit([store], settings(files, embeddings), "cross")
    section = by_name.data.sections[0]
    np.testing.assert_allclose(section.features, vectors_at(section.xy_um))
    order = np.random.default_rng(4).permutation(len(xy))
    for corner in (0.0, PATCH / 2):  # nameless rows, that count from the centre or from the corner
        given = write_embeddings(folder / "places.h5", xy[order], corner=corner)
        np.testing.assert_array_equal(
            prepare_fit([store], settings(files, given), "cross").data.sections[0].features, section.features
        )
    (folder / "many").mkdir()
    write_embeddings(folder / "many" / "mother.h5", xy, barcodes("A", len(xy)))
    of_folder = settings(files, FeatureSettings(encoder=f"{FILE}{folder / 'many'}"))
    np.testing.assert_array_equal(prepare_fit([store], of_folder, "cross").data.sections[0].features, section.features)


def test_units_without_a_vector_are_left_out_and_told(folder: Path, store: SectionStore, files: dict[str, Any]) -> None:
    xy = spots(AREA)
    whole = measured_units(store)
    kept = xy[:, 0] < 500
    notes: list[Event] = []
    names = np.array(barcodes("A", len(xy)))[kept].tolist()
    given = write_embeddings(folder / "some.h5", xy[kept], names)
    ready = prepare_fit([store], settings(files, given), "cross", notes.append)
    lost = int((whole.xy_um[:, 0] >= 500).sum())
    assert len(ready.measured[0]) == len(ready.data.sections[0].features) == len(whole) - lost and 0 < lost < 60
    assert f"mother: {lost} of {len(whole)} units have no vector and are left out." in texts(notes)


def test_a_file_of_another_slide_is_refused(folder: Path, store: SectionStore, files: dict[str, Any]) -> None:
    xy = spots(AREA)
    elsewhere = write_embeddings(folder / "far.h5", xy + np.array([333.0, 90.0]))
    with pytest.raises(
        InputError, match=r"far\.h5 does not belong to mother: of 1[0-9][0-9] units [0-9]+% have a vector, within 8 µm"
    ):
        prepare_fit([store], settings(files, elsewhere), "cross")
    turned = write_embeddings(
        folder / "turned.h5", xy[::-1] * np.array([1, -1]) + np.array([0, 700]), barcodes("A", len(xy))
    )
    with pytest.raises(InputError, match=r"turned\.h5 does not belong to mother: it knows the barcodes, but"):
        prepare_fit([store], settings(files, turned), "cross")
    strangers = write_embeddings(folder / "strangers.h5", xy + 4000, barcodes("X", len(xy)))
    with pytest.raises(InputError, match="0% have a vector, by barcode or within 8 µm"):
        prepare_fit([store], settings(files, strangers), "cross")
    with pytest.raises(InputError, match=r"There is no file of embeddings .*gone\.h5"):
        prepare_fit([store], settings(files, FeatureSettings(encoder=f"{FILE}{folder / 'gone.h5'}")))
    with pytest.raises(SettingsError, match="'file:' names no embeddings"):
        prepare_fit([store], settings(files, FeatureSettings(encoder=FILE)))


# Before hours are spent


def test_what_is_missing_is_said_first(
    folder: Path,
    store: SectionStore,
    files: dict[str, Any],
    embeddings: FeatureSettings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(folder / "nothing"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder / "nothing"))
    lacking = {key: value for key, value in files.items() if key != "weights"}
    with pytest.raises(MissingDependency, match=r"Not on this machine: STPath's weights\. Get stfm\.pth from"):
        prepare_fit([store], settings(lacking, embeddings))
    with pytest.raises(SettingsError, match="'stain_texture' has no vector for a point"):
        prepare_fit([store], settings(files, FeatureSettings()))
    longer = write_files(folder / "longer", image=9)
    with pytest.raises(InputError, match=r"A point has 6 numbers, STPath reads 9\. Use the class tokens of GigaPath"):
        fit([store], "longer", settings(longer, embeddings))
    with pytest.raises(SettingsError, match=r"stpath\.organ"):
        prepare_fit([store], settings(files, embeddings, organ="Spleen"))
    with pytest.raises(SettingsError, match=r"stpath\.context.*use measured, region, file:FILE or none"):
        prepare_fit([store], settings(files, embeddings, context="near"))


def test_genes_that_the_vocabulary_lacks(
    folder: Path, files: dict[str, Any], store: SectionStore, embeddings: FeatureSettings
) -> None:
    few = write_files(folder / "few", genes=5)
    notes: list[Event] = []
    ready = prepare_fit([store], settings(few, embeddings), "fit", notes.append)
    assert ready.genes.symbols == ("G0", "G1", "G2", "G3", "G4") and ready.genes.ids[1] == f"ENSG{1993:011d}"
    assert any(
        "3 of 8 genes have no Ensembl id that stpath knows and are left out: G5, G6, G7." in t for t in texts(notes)
    )
    (folder / "list.txt").write_text("G3\nG77\n")
    with pytest.raises(InputError, match=r"list\.txt: Genes without an Ensembl id that STPath knows: G77\."):
        prepare_fit([store], settings(files, embeddings, f"file:{folder / 'list.txt'}"))


def test_a_panel_is_extended(
    folder: Path, files: dict[str, Any], store: SectionStore, embeddings: FeatureSettings
) -> None:
    """Genes that were not measured, by symbol, alias and id: their columns are empty, and they are predicted."""
    (folder / "more.txt").write_text(f"ALIAS21\nG4\nENSG{2000 - 7 * 11:011d}\nALIAS3\n")
    notes: list[Event] = []
    chosen = settings(files, embeddings, f"file:{folder / 'more.txt'}")
    ready = prepare_fit([store], chosen, "cross", notes.append)
    assert ready.genes.symbols == ("G4", "G3") and any("2 genes were not measured" in t for t in texts(notes))
    ready = prepare_fit([store], chosen, "fit", notes.append)
    assert ready.genes.symbols == ("ALIAS21", "G4", "ENSG00000001923", "G3")
    assert any("Of 4 genes 2 were measured; the other 2 are only predicted." in t for t in texts(notes))
    section = ready.data.sections[0]
    measured = ready.measured[0]
    np.testing.assert_array_equal(section.counts[:, [1, 3]].toarray(), measured.counts[:, [4, 3]].toarray())
    assert section.counts[:, [0, 2]].nnz == 0 and section.everything is not None
    assert len(section.everything.genes) == 8 and section.everything.squares == pytest.approx(np.pi * 20**2 / 64)
    fitted = fit([store], "extended", chosen, overwrite=True)
    assert len(fitted.genes) == 4
    everything = prepare_fit([store], settings(files, embeddings, "vocabulary"))
    assert len(everything.genes) == 30 and set(everything.genes.symbols) >= {"G0", "G7", "G29"}


# What is predicted


@pytest.fixture(scope="module")
def predicted(store: SectionStore, files: dict[str, Any], embeddings: FeatureSettings) -> list[str]:
    """A run in context, and one by histology alone; both with maps."""
    notes: list[Event] = []
    for run, context in (("leaning", "measured"), ("zero-shot", "none")):
        fit([store], run, settings(files, embeddings, context=context), notes.append)
        predict(store, run, on_event=notes.append)
    return texts(notes)


def test_every_square_shows_its_nearest_point(store: SectionStore, predicted: list[str]) -> None:
    maps = predict(store, "zero-shot")
    fitted, _ = load_fitted(store, "zero-shot")
    points = np.concatenate([spots(AREA), spots(BESIDE, 60.0)])
    latent = fitted.latent(View(vectors_at(points), points))
    expected = fitted.combine(latent, np.arange(8), "counts")
    mask, grid = read_tissue(store).mask, grid_of(store)
    where = np.flatnonzero(mask)
    apart = np.linalg.norm(grid.centres_um(where)[:, None] - points[None], axis=2)
    shown = np.asarray(maps.levels[0][:])[:, mask]
    near = apart.min(1) <= 112
    clear = np.sort(apart, axis=1)[:, :2] @ [-1, 1] > 1e-6  # not halfway between two
    np.testing.assert_allclose(shown[:, near & clear], expected[apart.argmin(1)[near & clear]].T, rtol=2e-3, atol=1e-4)
    assert near.sum() > 5000 and np.isnan(shown[:, ~near]).all() and maps.unit == "expected counts per 8 µm square"
    told = next(t for t in predicted if "every square of 8 µm shows its nearest one" in t)
    assert f"made of {len(points)} points" in told
    assert any("finished; nothing to predict" in t for t in again(store, "zero-shot"))


def again(store: SectionStore, run: str) -> list[str]:
    notes: list[Event] = []
    predict(store, run, on_event=notes.append)
    return texts(notes)


def test_the_table_holds_units_as_anndata(store: SectionStore, predicted: list[str]) -> None:
    table = read_point_table(store, "leaning")
    by_others = anndata.read_zarr(store.locate("maps", "leaning", "points") / "table")
    np.testing.assert_array_equal(by_others.X, table.X)
    xy = spots(AREA)
    row = [int(name.removeprefix("A-")) for name in table.obs_names]
    np.testing.assert_allclose(table.obsm["spatial"], xy[row])
    assert table.obs["context"].all() and (table.obs["capture"] == "A").all()
    assert list(table.var_names) == [f"G{i}" for i in range(8)] and table.var["gene_ids"].iloc[2] == "ENSG00000001986"
    alone = read_point_table(store, "zero-shot")
    assert not alone.obs["context"].any()
    fitted, _ = load_fitted(store, "zero-shot")
    latent = fitted.latent(View(vectors_at(xy[row]), xy[row]))
    counts = fitted.combine(latent, np.arange(8), "counts") * np.pi * 20**2 / 64  # of a whole spot of 40 µm
    np.testing.assert_allclose(alone.X, counts, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(alone.X, np.expm1(np.maximum(fitted.log1p_counts(latent, np.arange(8)), 0)), rtol=1e-4)  # type: ignore[attr-defined]
    share = alone.X / alone.X.sum(1, keepdims=True)
    np.testing.assert_allclose(alone.layers["log1p_cp10k"], np.log1p(1e4 * share), rtol=1e-4)
    assert np.abs(table.X - alone.X).max() > 0.1  # what was measured was seen


def test_context_is_chosen_by_region_and_by_name(
    folder: Path, store: SectionStore, files: dict[str, Any], embeddings: FeatureSettings
) -> None:
    with pytest.raises(InputError, match="No region is drawn on mother"):
        fit([store], "region", settings(files, embeddings, context="region"))
    region = np.zeros(grid_of(store).yx_shape, dtype=bool)
    region[: int(300 / 8), : int(250 / 8)] = True
    write_region(store, region)
    try:
        fit([store], "region", settings(files, embeddings, context="region"))
        predict(store, "region")
        table = read_point_table(store, "region")
    finally:
        write_region(store, np.zeros_like(region))
    x, y = np.asarray(table.obsm["spatial"]).T
    inside = (x < 250) & (y < 300)
    assert table.obs["context"].to_numpy().tolist() == inside.tolist() and 0 < inside.sum() < len(inside)
    (folder / "units.txt").write_text("A-3\nA-40\nA-9999\n")
    notes: list[Event] = []
    fit([store], "named", settings(files, embeddings, context=f"file:{folder / 'units.txt'}"), notes.append)
    predict(store, "named", on_event=notes.append)
    table = read_point_table(store, "named")
    assert set(table.obs_names[table.obs["context"]]) == {"A-3", "A-40"}
    assert any("2 units are leaned on by name; 1 names" in t for t in texts(notes))
    (folder / "units.txt").write_text("B-3\n")
    with pytest.raises(InputError, match=r"None of the 1 units that .* names is one of mother, such as 'A-"):
        fit([store], "named", settings(files, embeddings, context=f"file:{folder / 'units.txt'}"), overwrite=True)


def test_no_unit_hears_of_its_own_counts(
    store: SectionStore, files: dict[str, Any], embeddings: FeatureSettings
) -> None:
    """A unit's own counts change nothing of what its own member says of it, and something of what others say."""
    ready = prepare_fit([store], settings(files, embeddings), "cross")
    fitted = train(ready.model, ready.data).fitted
    section = ready.data.sections[0]
    scored = int(np.flatnonzero(ready.plan.score[0])[3])
    assert section.everything is not None
    counts = section.everything.counts.toarray()
    counts[scored] += 500
    loud = replace(section, everything=replace(section.everything, counts=type(section.counts)(counts)))
    genes, needs = np.arange(8), ready.model.needs
    answers = []
    for seen in (section, loud):
        context = learned_context(replace(ready, data=replace(ready.data, sections=(seen,))), store)
        answers.append(predict_units(fitted, section, genes, ready.plan.score, needs=needs, context=context)[0])
    np.testing.assert_array_equal(answers[0][ready.plan.score[0]], answers[1][ready.plan.score[0]])
    others = ready.plan.score[1] | ready.plan.score[2]
    assert np.abs(answers[0][others] - answers[1][others]).max() > 1e-3


# Learning and scoring


def test_fine_tuning_learns_what_histology_shows(
    store: SectionStore, files: dict[str, Any], embeddings: FeatureSettings
) -> None:
    """Random weights say nothing; their last layer, tuned on other blocks, does."""
    tuned = settings(files, embeddings, fine_tune="head", epochs=15, learning_rate=0.02)
    scores = [evaluate([store], settings=s, evaluation=QUICK) for s in (tuned, settings(files, embeddings))]
    learned, zero = (found.metrics["sections"]["mother"]["log"]["pearson_mean"] for found in scores)
    assert learned > 0.3 and zero < 0.2


def test_the_permuted_control_shuffles_what_is_leaned_on(
    store: SectionStore, files: dict[str, Any], embeddings: FeatureSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    leaned: list[np.ndarray] = []

    def seen(*arguments: Any, **named: Any) -> Any:
        context = arguments[-1] if not named else named["context"]
        leaned.append(context.section.everything.counts.toarray())
        return predict_units(*arguments, **named)

    monkeypatch.setattr("napari_pixelgene.pipeline.judging.predict_units", seen)
    evaluate([store], settings=settings(files, embeddings), evaluation=QUICK.replace(permuted_training=True))
    true, shuffled = leaned
    assert sorted(map(tuple, true.tolist())) == sorted(map(tuple, shuffled.tolist()))
    assert (true != shuffled).any(axis=1).mean() > 0.9


def test_a_stored_run_is_self_contained(
    folder: Path, store: SectionStore, files: dict[str, Any], predicted: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In another section, without the files of weights: mapped, and scored on a capture it has not seen."""
    shutil.copytree(store.path, folder / "other.section.zarr")
    other = SectionStore.open(folder / "other.section.zarr")
    other.remove("models", "leaning")
    other.remove("maps", "leaning")
    xy = spots(BESIDE)
    add_capture(other, table(folder, "C", xy, Panel(depth=700.0), 5), folder / "mother.tif", CaptureSettings(name="C"))
    monkeypatch.setattr("napari_pixelgene.models.stpath.weights.load", None)
    both = write_embeddings(folder / "both.h5", np.concatenate([spots(AREA), xy]))
    monkeypatch.setattr(
        "napari_pixelgene.pipeline.point_features.embeddings_path", lambda *_: Path(both.encoder.removeprefix(FILE))
    )
    predict(other, "leaning", store)
    found = read_point_table(other, "leaning")
    assert found.obs["context"].all() and set(found.obs["capture"]) == {"A", "C"}
    assert len(set(found.obs_names)) == len(found) and found.obs_names[0].startswith("A A-")
    notes: list[Event] = []
    scores = evaluate_run("leaning", store, [other], QUICK, notes.append, test_captures=["C"])
    assert "other/C" in scores.metrics["sections"]
    assert any("nothing there is leaned on: zero-shot" in t for t in texts(notes))


def test_a_slide_without_counts_is_predicted_by_histology_alone(
    folder: Path, store: SectionStore, files: dict[str, Any]
) -> None:
    bare = import_section(folder / "bare.section.zarr", folder / "mother.tif", settings=ImportSettings())
    points = spots((60, 60, 1040, 660), 112.0)
    given = write_embeddings(folder / "bare.h5", points, corner=0.0)
    with pytest.raises(SettingsError, match="Nothing was measured on these sections that genes could be chosen by"):
        fit([bare], "a", settings(files, given))
    with pytest.raises(StoreError, match="has no capture"):
        fit([bare], "a", settings(files, given, "vocabulary", fine_tune="head"))
    notes: list[Event] = []
    fit([bare], "a", settings(files, given, "vocabulary"), notes.append)
    maps = predict(bare, "a", on_event=notes.append)
    assert len(maps.genes) == 30 and np.isfinite(np.asarray(maps.levels[0][3])).mean() > 0.5
    assert any("zero-shot, by histology alone, for 30 genes" in t for t in texts(notes))
    with pytest.raises(PixelGeneError, match="points"):
        read_point_table(bare, "a")


def test_points_of_an_encoder_lie_on_a_lattice_over_the_tissue() -> None:
    mask = np.zeros((23, 30), dtype=bool)
    mask[3:9, 5:20], mask[22, 29] = True, True
    xy = lattice(mask, 8.0, 56.0, (30 * 8.0, 23 * 8.0 - 3))
    rows, columns = np.nonzero(mask)
    assert {(int(x // 56), int(y // 56)) for x, y in xy} == set(
        zip((columns // 7).tolist(), (rows // 7).tolist(), strict=True)
    )
    assert xy[:, 0].max() == pytest.approx(28 + 4 * 56 - 28 + 16 - 1e-6, abs=16) and (xy < [240, 181]).all()
    with pytest.raises(SettingsError, match="Points every 60 µm do not meet squares of 8 µm"):
        lattice(mask, 8.0, 60.0, (240.0, 184.0))


def test_the_models_own_setting_names_the_file_too(
    store: SectionStore, files: dict[str, Any], embeddings: FeatureSettings, predicted: list[str]
) -> None:
    """As in the window, where encoders are chosen from a list."""
    path = embeddings.encoder.removeprefix(FILE)
    own = settings(files, FeatureSettings(), embeddings=path)
    by_encoder = prepare_fit([store], settings(files, embeddings), "cross").data.sections[0]
    np.testing.assert_array_equal(prepare_fit([store], own, "cross").data.sections[0].features, by_encoder.features)
    fit([store], "own", own)
    maps = predict(store, "own")
    np.testing.assert_array_equal(maps.levels[0][2], predict(store, "leaning").levels[0][2])
    for chosen in (own, settings(files, embeddings, "vocabulary")):
        found = estimate([store], chosen, [store], evaluate=True)
        assert found.parts["features"] == 0 and any("square of its points" in note.text for note in found.notes)


class Colours(Encoder):
    """Six numbers of the square around a point: the mean of each colour, and its spread."""

    name, license, tile_px, halo_px, mpp = "colours", "none", 64, 0, 0.5
    point_px, point_channels = 224, 6  # type: ignore[assignment]
    reach_px = 112  # type: ignore[assignment]
    channels = tuple("abcdef")  # type: ignore[assignment]

    def encode(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("a model at points asks for no features of superpixels")

    def encode_points(self, rgb: torch.Tensor) -> torch.Tensor:
        flat = rgb.flatten(1, 2).float() / 255
        return torch.cat([flat.mean(1), flat.std(1)], dim=1)


def test_an_encoder_is_asked_at_units_and_on_a_lattice(
    folder: Path, store: SectionStore, files: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_ENCODERS", {**registry._ENCODERS, "colours": f"{__name__}:Colours"})
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or ModuleType(__name__))
    monkeypatch.setattr(sys.modules[__name__], "Colours", Colours, raising=False)
    notes: list[Event] = []
    chosen = settings(files, FeatureSettings(encoder="colours"), pitch_um=80)
    fit([store], "seen", chosen, notes.append)
    maps = predict(store, "seen", on_event=notes.append)
    grid, mask = grid_of(store), read_tissue(store).mask
    points = lattice(mask, 8.0, 80.0, (WIDTH * MPP, HEIGHT * MPP))
    assert any(f"made of {len(points)} points" in t for t in texts(notes))
    shown = np.asarray(maps.levels[0][1])
    assert np.isfinite(shown[mask]).all() and np.isnan(shown[~mask]).all()
    rows, columns = np.nonzero(mask)
    blocks = {}
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        blocks.setdefault((row // 10, column // 10), set()).add(float(shown[row, column]))
    whole = [values for (row, column), values in blocks.items() if (row + 1) * 10 <= grid.yx_shape[0] and column < 13]
    assert all(len(values) == 1 for values in whole) and len(set.union(*whole)) > 20
    assert len(read_point_table(store, "seen")) == len(measured_units(store))


def test_small_squares_are_added_up_to_spots(store: SectionStore) -> None:
    spots_of = measured_units(store)
    assert as_spots(spots_of) is spots_of, "spots stay as they are"
    rng = np.random.default_rng(0)
    place = rng.permutation(40 * 30)[:700]
    rows, columns = np.divmod(place, 40)
    grid = grid_of(store)
    flat = (rows + 20) * grid.yx_shape[1] + columns + 10
    counts = sparse.csr_matrix(rng.poisson(1.0, (700, 8)))
    bins = replace(
        spots_of, counts=counts, library=np.asarray(counts.sum(1)).ravel().astype(float), xy_um=grid.centres_um(flat),
        pooling=sparse.csr_matrix((np.ones(700, np.float32), (np.arange(700), flat)), shape=(700, grid.size)),
        footprint=Footprint("square", 8.0), lattice=None,
    )  # fmt: skip
    notes: list[Event] = []
    found = as_spots(bins, notes.append)
    assert texts(notes) == [f"mother: 700 squares are added up on {len(found)} squares of 56 µm, the size of spots."]
    assert found.counts.sum() == counts.sum() and found.library.sum() == bins.library.sum()
    np.testing.assert_allclose(found.pooling.sum(1), 1, rtol=1e-5)
    one = int(np.argmin(np.linalg.norm(found.xy_um - [28 + 56 * 4, 28 + 56 * 5], axis=1)))
    mine = (np.floor(bins.xy_um / 56) == [4, 5]).all(1)
    np.testing.assert_array_equal(found.counts[one].toarray()[0], counts[mine].sum(0).A1)
    assert sorted(found.pooling[one].indices.tolist()) == sorted(flat[mine].tolist())
    assert squares_of(found.footprint, 8.0) == 49 and found.superpixel_um == 56
    assert squares_of(Footprint("point"), 8.0) == 1 and squares_of(Footprint("disk", 55), 8.0) == pytest.approx(
        37.12, 1e-3
    )


def test_captures_with_other_genes_are_joined(store: SectionStore) -> None:
    left, right = (
        point_section(
            replace(measured_units(store), genes=GeneTable(names)), np.full((113, 2), value), (), (), lean, 8.0
        )
        for names, value, lean in (
            (tuple(f"G{i}" for i in range(8)), 1.0, np.ones(113, dtype=bool)),
            (tuple(f"G{i}" for i in range(5, 13)), 2.0, np.zeros(113, dtype=bool)),
        )
    )
    both = joined_points([left, right])
    assert both.everything is not None and both.everything.genes.symbols == tuple(f"G{i}" for i in range(13))
    counts = measured_units(store).counts.toarray()
    np.testing.assert_array_equal(both.everything.counts[:113, :8].toarray(), counts)
    np.testing.assert_array_equal(both.everything.counts[113:, 5:].toarray(), counts)
    assert both.everything.counts[:113, 8:].nnz == both.everything.counts[113:, :5].nnz == 0
    assert both.everything.may_lean.tolist() == [True] * 113 + [False] * 113 and len(both) == 226
