"""A mother slide: captures lie where they are said to, and hold what the truth sheds times their yields."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_pixelgene.arithmetic.pooling import disk_weights
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.readers.visium import read_visium
from napari_pixelgene.simulate.mother import MotherPlan, SimulatedMother, simulate_mother
from napari_pixelgene.simulate.settings import SimulationSettings

SETTINGS = SimulationSettings(width_um=900, height_um=720, he_mpp=1.0, genes=12, hidden_genes=3, seed=4)
PLAN = MotherPlan(captures=2, side_um=300, gene_sd=0.4, depth_sd=0.5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> SimulatedMother:
    return simulate_mother(tmp_path_factory.mktemp("mother"), SETTINGS, PLAN)


def test_captures_lie_apart_and_on_the_slide(made: SimulatedMother) -> None:
    assert list(made.captures) == ["D1", "D2"] and len(made.areas) == 2
    corners = np.array([[0, 0], [1, 0], [0, 1], [1, 1.0]]) * 288  # a whole number of the widest bins
    for area in made.areas:
        on_slide = area.to_he.apply(corners)
        assert ((on_slide > 0) & (on_slide < [900, 720])).all()
        middle = on_slide.mean(axis=0, keepdims=True)
        assert area.holds(middle)[0] and not area.holds(middle + 400)[0] and area.holds(middle + 400, 400)[0]
    assert not made.areas[0].holds(made.areas[1].to_he.apply(corners)).any()


def test_a_capture_counts_the_truth_times_its_yields(made: SimulatedMother) -> None:
    rows, columns = made.yx_shape
    truth = made.rates(Tile(Span(0, rows), Span(0, columns))).reshape(len(made.genes), -1).T
    he = read_image(made.he)
    assert he.mpp == pytest.approx(1.0) and he.yx_shape == (720, 900)
    logs = []
    for i, (name, outs) in enumerate(made.captures.items()):
        units = read_visium(outs, he).units
        assert units is not None and units.genes.symbols == made.genes, name
        under = disk_weights(units.xy * 1.0, 27.5, 8.0, made.yx_shape)
        expected = np.asarray(under @ truth) * under.getnnz(axis=1)[:, None] * made.yields[i]
        whole = under.getnnz(axis=1) > 30
        observed = units.counts.toarray()[whole]
        total = observed.sum() / expected[whole].sum()
        assert 0.9 < total < 1.1  # disks are drawn in squares, and spots lie at whole pixels
        noise = np.sqrt(observed.sum(0))
        assert (np.abs(observed.sum(0) - total * expected[whole].sum(0)) < 5 * noise + 0.05 * observed.sum(0)).all()
        logs.append(np.log(observed.sum(0) / (expected[whole].sum(0) / made.yields[i])))
    found = (logs[1] - logs[0]) - np.log(made.yields[1] / made.yields[0])
    assert np.abs(found - np.median(found)).max() < 0.35 < np.abs(np.log(made.yields[1] / made.yields[0])).max()


def test_tiles_of_the_truth_meet(made: SimulatedMother) -> None:
    whole = made.rates(Tile(Span(20, 50), Span(30, 70)))
    parts = [made.rates(Tile(Span(20, 50), Span(*columns))) for columns in ((30, 47), (47, 70))]
    np.testing.assert_allclose(np.concatenate(parts, axis=2), whole, rtol=1e-4, atol=1e-7)
    tissue = made.tissue(Tile(Span(0, 90), Span(0, 112)))
    assert tissue.shape == (90, 112) and 0.4 < tissue.mean() < 0.98 and not tissue[:, 0].any()


def test_what_is_there_is_not_written_again(made: SimulatedMother) -> None:
    before = {p: p.stat().st_mtime_ns for p in sorted(made.folder.rglob("*")) if p.is_file()}
    again = simulate_mother(made.folder, SETTINGS, PLAN)
    assert {p: p.stat().st_mtime_ns for p in before} == before and len(before) > 6
    np.testing.assert_array_equal(again.yields, made.yields)


def test_areas_do_not_grow_past_a_visium_slide() -> None:
    wide = SimulationSettings(width_um=40_000, height_um=40_000)
    sides = {float(area.size_um[0]) for area in MotherPlan().areas(wide)}
    assert sides == {6496.0} and len(MotherPlan(captures=7).areas(wide)) == 7
    assert {float(a.size_um[0]) for a in MotherPlan().areas(wide.replace(height_um=20_000))} == {4000.0}


def test_the_shell_says_what_is_next(tmp_path: Path) -> None:
    from commands import pixelgene

    small = ("--width-um", "600", "--height-um", "500", "--he-mpp", "2", "--genes", "10", "--hidden-genes", "2")
    done = pixelgene("simulate", "m", *small, "--captures", "1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (
        "A mother slide and 1 captures" in " ".join(done.stdout.split()) and (tmp_path / "m" / "D1" / "outs").is_dir()
    )
