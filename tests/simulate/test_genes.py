"""Gene programmes: what follows the histology does, and what hides from it hides."""

from __future__ import annotations

import numpy as np
import pytest

from napari_pixelgene.errors import SettingsError
from napari_pixelgene.simulate.cells import KINDS, Cells, Population
from napari_pixelgene.simulate.genes import Expression, field_values
from napari_pixelgene.simulate.settings import SimulationSettings


@pytest.fixture(scope="module")
def case() -> tuple[Expression, Cells]:
    settings = SimulationSettings(width_um=2000, height_um=1500, seed=2)
    population = Population(settings)
    cells = population.within(np.zeros(2), np.array([2000.0, 1500.0]))
    return Expression(settings, population.architecture), cells


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    return a.T @ b / np.sqrt((a**2).sum(axis=0)[:, None] * (b**2).sum(axis=0))


def test_groups_have_the_promised_sizes(case: tuple[Expression, Cells]) -> None:
    names, counts = np.unique(case[0].programme.group, return_counts=True)
    assert dict(zip(names, counts, strict=True)) == {"types": 48, "architecture": 36, "gradient": 12, "hidden": 24}


def test_hidden_shares_know_nothing_of_histology_nor_of_each_other(case: tuple[Expression, Cells]) -> None:
    expression, cells = case
    hidden = np.array(expression.programme.group) == "hidden"
    rates = expression.rates(cells)
    share = np.log(rates / rates[:, ~hidden].sum(axis=1, keepdims=True))[:, hidden]
    kinds = (cells.kind[:, None] == np.arange(len(KINDS))).astype(float)
    shown = np.concatenate([kinds, field_values(expression.architecture, cells.xy_um)], axis=1)
    assert np.abs(correlations(share, shown)).mean() < 0.04
    among = correlations(share, share)[np.triu_indices(hidden.sum(), 1)]
    assert np.abs(among).mean() < 0.05 and np.abs(among).max() < 0.25


def test_hidden_patterns_are_finer_than_100_um(case: tuple[Expression, Cells]) -> None:
    expression, cells = case
    here = np.log(expression.hidden_factors(cells.xy_um))
    there = np.log(expression.hidden_factors(cells.xy_um + np.array([0.0, 100.0])))
    near = np.log(expression.hidden_factors(cells.xy_um + np.array([0.0, 15.0])))
    assert np.diag(correlations(here, near)).min() > 0.6
    assert np.abs(np.diag(correlations(here, there))).mean() < 0.1


def test_types_follow_kinds_and_architecture_follows_fields(case: tuple[Expression, Cells]) -> None:
    expression, cells = case
    rates = expression.rates(cells)
    share = rates / rates.sum(axis=1, keepdims=True)
    kinds = (cells.kind[:, None] == np.arange(len(KINDS))).astype(float)
    fields = field_values(expression.architecture, cells.xy_um)
    group = np.array(expression.programme.group)
    assert np.abs(correlations(share[:, group == "types"], kinds)).max(axis=1).min() > 0.5
    by_field = np.abs(correlations(np.log(share), fields))
    assert by_field[group == "architecture", :4].max(axis=1).mean() > 0.6
    assert by_field[group == "gradient", 4].min() > 0.6


def test_an_average_cell_yields_what_was_asked(case: tuple[Expression, Cells]) -> None:
    expression, cells = case
    assert expression.rates(cells).sum(axis=1).mean() == pytest.approx(150, rel=0.15)


def test_slides_with_one_panel_seed_share_their_programmes() -> None:
    settings = SimulationSettings(genes=30, hidden_genes=6)
    panels = [Expression(settings.replace(**c), Population(settings).architecture).programme for c in ({}, {"seed": 9})]
    np.testing.assert_array_equal(panels[0].by_kind, panels[1].by_kind)
    other = Expression(settings.replace(panel_seed=1), Population(settings).architecture).programme
    assert not np.array_equal(panels[0].by_kind, other.by_kind)


def test_more_hidden_genes_than_the_panel_has_is_refused() -> None:
    with pytest.raises(SettingsError, match="visible"):
        SimulationSettings.make({"genes": 20, "hidden_genes": 18})
