"""Several captures on one slide: trained on together, scored apart, and what is scored is never learned from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from mother import SPOT_UM, Panel, mother, spots, table
from napari_pixelgene.elements.capture import Footprint
from napari_pixelgene.encoders.registry import get_encoder
from napari_pixelgene.errors import InputError, SettingsError, StoreError
from napari_pixelgene.models.base import Needs, TrainingSection
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.pipeline import predicting
from napari_pixelgene.pipeline.adding import CaptureSettings, add_capture
from napari_pixelgene.pipeline.aligning import register_matrix
from napari_pixelgene.pipeline.estimating import estimate
from napari_pixelgene.pipeline.fitting import learned_context
from napari_pixelgene.pipeline.judging import evaluate, evaluate_run, write_metrics
from napari_pixelgene.pipeline.kept_scores import Evaluation
from napari_pixelgene.pipeline.learning import FitSettings, Prepared, fit, load_fitted, predict, prepare_fit
from napari_pixelgene.pipeline.preparing import ensure_features
from napari_pixelgene.pipeline.slide import require_capture
from napari_pixelgene.pipeline.training_data import joined_sections, measured_units
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.stages.evaluation import EvaluationSettings
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.store.models import run_meta
from napari_pixelgene.store.section import SectionStore

FOLDS = FoldSettings(block_um=120, folds=3, partitions=2)
RIDGE = FitSettings(model="ridge", genes="panel", folds=FOLDS)
QUICK = EvaluationSettings(permutations=3, halves=1)
# Half of the encoder's widest window, and half a spot.
REACH = 17 * 8 / 2 + SPOT_UM / 2


@pytest.fixture(scope="module")
def store(mother_store: SectionStore) -> SectionStore:
    """A and B overlap, C lies apart and has two genes more and one less."""
    return mother_store


@pytest.fixture(scope="module")
def scored(store: SectionStore) -> tuple[Evaluation, list[str]]:
    notes: list[Event] = []
    found = evaluate([store], settings=RIDGE, evaluation=QUICK, run="apart", on_event=notes.append, test_captures=["B"])
    return found, texts(notes)


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def centres(prepared: Prepared) -> np.ndarray:
    return np.concatenate([m.xy_um for m in prepared.measured])


def test_every_placed_capture_is_a_part_of_its_own(store: SectionStore) -> None:
    notes: list[Event] = []
    ready = prepare_fit([store], RIDGE, "fit", notes.append)
    assert [s.name for s in ready.data.sections] == ["mother/A", "mother/B", "mother/C"]
    assert [(m.store.path, m.capture) for m in ready.measured] == [(store.path, name) for name in "ABC"]
    assert ready.genes.symbols == tuple(f"G{i}" for i in range(1, 8))
    told = "7 genes were measured by all 3 captures; mother/A loses 1, mother/B loses 1, mother/C loses 2."
    assert any(text.startswith(told) for text in texts(notes))
    for section, m in zip(ready.data.sections, ready.measured, strict=True):
        np.testing.assert_array_equal(
            section.counts.toarray(), m.counts[:, m.genes.indices(ready.genes.symbols)].toarray()
        )
        np.testing.assert_allclose(section.pooling.sum(1), 1, rtol=1e-5)
    assert ready.plan.fit.shape == (6, sum(map(len, ready.measured)))


def test_captures_are_named_or_left_out(store: SectionStore) -> None:
    two = prepare_fit([store], RIDGE.replace(without_captures=("mother/C",)))
    assert [m.capture for m in two.measured] == ["A", "B"] and len(two.genes) == 8
    same = prepare_fit([store], RIDGE.replace(captures=("A", "mother/B")))
    assert same.fingerprint == two.fingerprint != prepare_fit([store], RIDGE).fingerprint
    assert estimate([store], RIDGE.replace(captures=("A",))).parts["fit"] < estimate([store], RIDGE).parts["fit"]
    for chosen, words in (
        ({"captures": ("D",)}, "No section has a capture 'D'; there is: mother/A, mother/B, mother/C"),
        ({"captures": ("A",), "without_captures": ("A",)}, "No capture of mother.section.zarr is left"),
    ):
        with pytest.raises(SettingsError, match=words):
            prepare_fit([store], RIDGE.replace(**chosen))


def test_captures_that_lie_on_one_another_share_their_blocks(store: SectionStore) -> None:
    ready = prepare_fit([store], RIDGE, "cross")
    xy, plan = centres(ready), ready.plan
    for member in range(len(plan.score)):
        scored, learned = xy[plan.score[member]], xy[(plan.fit | plan.stop)[member]]
        away = np.abs(scored[:, None] - learned[None]).max(-1)
        assert len(scored) and len(learned) and away.min() > REACH
    assert (plan.score.sum(0) == 2).all()  # each unit once a partition, whichever capture it is of


def test_what_sees_a_scored_capture_is_not_learned_from(store: SectionStore, scored: Any) -> None:
    apart = [measured_units(store, "B")]
    ready = prepare_fit([store], RIDGE, "fit", apart=apart)
    assert [m.capture for m in ready.measured] == ["A", "C"]
    of_a, all_a, b = ready.measured[0].xy_um, measured_units(store, "A").xy_um, apart[0].xy_um
    sees = (np.abs(all_a[:, None] - b[None]).max(-1) <= REACH + SPOT_UM / 2).any(1)
    assert 0 < sees.sum() < len(all_a)
    np.testing.assert_array_equal(of_a, all_a[~sees])
    found, notes = scored
    assert (
        f"mother/A: {sees.sum()} of {len(all_a)} units see the area of a scored capture and are not learned from."
        in notes
    )
    assert list(found.metrics["sections"]) == ["mother/B"]
    log = found.metrics["sections"]["mother/B"]["log"]
    assert (
        log["pearson_mean"] > 0.5
        and abs(log["permuted_pearson_mean"]) < 0.1
        and log["total_only_pearson_mean"] is not None
    )
    assert run_meta(store, "apart")["captures"] == ["mother/A", "mother/C"]


def test_scores_of_captures_are_written_apart(scored: Any, store: SectionStore, tmp_path: Path) -> None:
    write_metrics(scored[0], tmp_path / "m.json")
    assert json.loads((tmp_path / "m.json").read_text())["sections"].keys() == {"mother/B"}
    assert (tmp_path / "m.mother.B.genes.parquet").is_file()
    assert "apart" in store.runs()


def test_blocks_of_every_capture_are_scored_by_themselves(store: SectionStore) -> None:
    found = evaluate([store], settings=RIDGE, evaluation=QUICK)
    assert list(found.metrics["sections"]) == ["mother/A", "mother/B", "mother/C"]
    assert min(s["log"]["pearson_mean"] for s in found.metrics["sections"].values()) > 0.25


def test_left_out_captures_of_a_trained_section_are_what_it_is_tested_on(store: SectionStore) -> None:
    settings = RIDGE.replace(captures=("A",))
    found = evaluate([store], [store], settings, QUICK)
    assert set(found.metrics["sections"]) == {"mother/B", "mother/C"}
    with pytest.raises(SettingsError, match=r"mother.* is named to train on and to test on.*--test-captures"):
        evaluate([store], [store], RIDGE, QUICK)
    with pytest.raises(SettingsError, match="mother/A is named to train on and to test on"):
        evaluate([store], settings=settings, evaluation=QUICK, test_captures=["A", "C"])
    with pytest.raises(SettingsError, match=r"No capture of .* is left to train on"):
        evaluate([store], settings=RIDGE, evaluation=QUICK, test_captures=["A", "B", "C"])


def test_a_stored_run_is_scored_only_where_it_did_not_learn(store: SectionStore) -> None:
    settings = RIDGE.replace(captures=("A", "C"))
    fit([store], "a and c", settings)
    notes: list[Event] = []
    found = evaluate_run("a and c", store, [store], QUICK, notes.append)
    assert list(found.metrics["sections"]) == ["mother/B"]
    b, a = measured_units(store, "B").xy_um, measured_units(store, "A").xy_um
    free = (np.abs(b[:, None] - a[None]).max(-1) > REACH + SPOT_UM / 2).all(1)
    assert found.metrics["sections"]["mother/B"]["units"] == free.sum() < len(b)
    assert any(f"{(~free).sum()} of {len(b)} units lie where 'a and c' was trained" in t for t in texts(notes))
    assert any("A, C not scored" in t for t in texts(notes))
    assert found.metrics["sections"]["mother/B"]["log"]["total_only_pearson_mean"] is not None
    with pytest.raises(SettingsError, match=r"'a and c' was trained on 'A' of mother"):
        evaluate_run("a and c", store, [store], QUICK, test_captures=["A", "B"])
    fit([store], "all", RIDGE)
    with pytest.raises(SettingsError, match=r"'all' was trained on mother.section.zarr"):
        evaluate_run("all", store, [store], QUICK)


def test_captures_without_a_common_gene_are_named(tmp_path: Path) -> None:
    other = Panel(genes=("G11", "G12"))
    strange = mother(tmp_path, {"A": Panel(), "C": other})
    with pytest.raises(InputError, match=r"mother/C shares no gene .*\(mother/A\).*--without-captures C"):
        prepare_fit([strange], RIDGE)


def test_a_capture_off_the_tissue_is_named(tmp_path: Path) -> None:
    made = mother(tmp_path, {"A": Panel()})
    strip = table(tmp_path, "rim", spots((0, 0, 1000, 60)), Panel(), 3).replace(coordinates="stage_um")
    add_capture(made, strip, settings=CaptureSettings(name="rim"))
    notes: list[Event] = []
    assert [m.capture for m in prepare_fit([made], RIDGE, "fit", notes.append).measured] == ["A"]
    assert "mother.section.zarr: rim not registered yet and left out." in texts(notes)
    np.savetxt(tmp_path / "up.csv", [[1.0, 0, 0], [0, 1, -16], [0, 0, 1]], delimiter=",")
    register_matrix(made, tmp_path / "up.csv", "rim", "stage_to_he")
    with pytest.raises(StoreError, match="No unit of mother/rim lies on tissue"):
        prepare_fit([made], RIDGE)


def test_context_is_what_was_learned_of_all_captures_and_never_what_is_scored(store: SectionStore) -> None:
    ready = prepare_fit([store], RIDGE, "cross")
    leaning = replace(ready, model=SimpleNamespace(needs=Needs(context_counts=True)))  # type: ignore[arg-type]
    assert learned_context(ready, store) is None
    context = learned_context(leaning, store)
    assert context is not None and len(context.section) == ready.plan.fit.shape[1]
    np.testing.assert_array_equal(context.section.xy_um, centres(ready))
    assert context.use.any(1).all() and not (context.use & ready.plan.score).any()
    apart = replace(prepare_fit([store], RIDGE, "fit", apart=[measured_units(store, "B")]), model=leaning.model)
    context = learned_context(apart, store)
    assert context is not None and len(context.section) == sum(map(len, apart.measured))
    away = np.abs(context.section.xy_um[:, None] - measured_units(store, "B").xy_um[None]).max(-1)
    assert away.min() > REACH


def test_a_map_leans_on_all_captures_that_measured_its_genes(store: SectionStore) -> None:
    fit([store], "two", RIDGE.replace(captures=("A", "B")))  # G0 is among its genes, which C did not measure
    fitted, notes = load_fitted(store, "two")[0], []
    features = ensure_features(store)
    context = predicting.own_context(store, fitted, features, get_model("spatial"), notes.append)
    assert context is not None and context.section.name == "mother"
    n = [len(measured_units(store, name)) for name in "AB"]
    assert context.use.shape == (fitted.members, sum(n)) and context.use.all()
    assert any("mother/C did not measure all genes" in text for text in texts(notes))
    maps = predict(store, "two", genes=["G2", "G3"])
    layer = np.maximum.reduce([measured_units(store, name).layer for name in "ABC"])
    np.testing.assert_array_equal(np.asarray(maps.measured[:]), layer)


def test_joined_captures_answer_as_the_single_ones() -> None:
    rng = np.random.default_rng(2)

    def one(name: str, places: list[tuple[int, int]], units: int, lattice: np.ndarray | None) -> TrainingSection:
        place = np.array(places)
        features = np.stack([place[:, 0] * 10.0 + place[:, 1], place[:, 1] ** 2.0], axis=1)
        pooling = sparse.random(units, len(places), 0.5, "csr", rng=rng)
        counts = sparse.csr_matrix(rng.poisson(3, (units, 2)))
        return TrainingSection(name, features, pooling, counts, rng.random(units), rng.random((units, 2)), place,
                               lattice=lattice)  # fmt: skip

    lattice = np.array([[5, 1], [7, 1], [6, 2]])
    a = one("s/A", [(0, 1), (0, 2), (3, 4)], 3, lattice)
    b = one("s/B", [(0, 2), (2, 0), (3, 4), (9, 9)], 2, np.array([[0, 0], [1, 0]]))
    both = joined_sections([a, b])
    assert both.name == "s" and len(both) == 5 and len(both.features) == 5  # two superpixels stand in both
    want = np.concatenate([a.pooling @ a.features, b.pooling @ b.features])
    np.testing.assert_allclose(both.pooling @ both.features, want)
    np.testing.assert_array_equal(both.counts.toarray(), np.concatenate([a.counts.toarray(), b.counts.toarray()]))
    assert both.lattice is not None
    np.testing.assert_array_equal(np.diff(both.lattice[:3], axis=0), np.diff(lattice, axis=0))
    assert both.lattice[3:, 0].min() - both.lattice[:3, 0].max() > 100
    assert joined_sections([a]) is a and joined_sections([replace(a, lattice=None), b]).lattice is None


def test_the_reach_counts_the_window_the_halo_and_the_footprint(store: SectionStore) -> None:
    from napari_pixelgene.pipeline.fitting import reach_um

    m = measured_units(store, "A")
    window = get_encoder("stain_texture").reach_px * 0.5
    assert reach_um("stain_texture", 0.5, Needs(), m) == window + 20 == REACH
    assert reach_um("stain_texture", 0.5, Needs(halo=3), replace(m, footprint=Footprint("point"))) == window + 24


def test_a_capture_that_is_not_there_is_named_beside_those_that_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SectionStore.create(tmp_path / "a.section.zarr")
    with pytest.raises(StoreError, match=r"has no capture: nothing was measured"):
        require_capture(store, "C9")
    monkeypatch.setattr(SectionStore, "captures", lambda _: ["C2", "C3"])
    with pytest.raises(StoreError, match=r"a\.section\.zarr has no capture 'C9'\. It has C2, C3\."):
        require_capture(store, "C9")
