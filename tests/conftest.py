"""What tests share: one small simulated run a session."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

from mother import Panel, mother
from napari_pixelgene.simulate.run import SimulatedRun, simulate_run
from napari_pixelgene.simulate.settings import SimulationSettings
from napari_pixelgene.store.section import SectionStore

# How fast a busy machine is says nothing about what is tested, and the same code passes or fails each time it is run.
# New cases are sought on purpose: `make search`.
settings.register_profile("suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
settings.register_profile("search", settings.get_profile("suite"), derandomize=False, max_examples=1000)
settings.load_profile("suite")


@pytest.fixture(scope="session")
def small_settings() -> SimulationSettings:
    """A slide of 700 × 560 µm with 24 genes, 8 of them hidden, that holds all kinds of cells."""
    return SimulationSettings(width_um=700, height_um=560, genes=24, hidden_genes=8, seed=5)


@pytest.fixture(scope="session")
def small_run(tmp_path_factory: pytest.TempPathFactory, small_settings: SimulationSettings) -> SimulatedRun:
    """The folder of that slide: `outs/`, `he.ome.tif`, `keypoints.csv`, `truth/`. Do not write into it."""
    return simulate_run(tmp_path_factory.mktemp("small_run"), small_settings)


@pytest.fixture(scope="session")
def arrays_run(tmp_path_factory: pytest.TempPathFactory) -> SimulatedRun:
    """A slide of 1050 × 800 µm with 16 genes, also on a Visium and a Visium HD array. Do not write into it."""
    settings = SimulationSettings(width_um=1050, height_um=800, genes=16, hidden_genes=4, seed=9)
    return simulate_run(tmp_path_factory.mktemp("arrays_run"), settings, visium=True, visium_hd=True)


@pytest.fixture(scope="session")
def mother_store(tmp_path_factory: pytest.TempPathFactory) -> SectionStore:
    """A mother slide with three captures and its features: A and B overlap, C lies apart and has two genes more and one
    less. Runs may be added under names of their own."""
    from napari_pixelgene.pipeline.preparing import ensure_features

    lopsided = Panel(genes=tuple(f"G{i}" for i in range(1, 10)), depth=90.0)
    made = mother(tmp_path_factory.mktemp("mother"), {"A": Panel(), "B": Panel(), "C": lopsided})
    ensure_features(made)
    return made
