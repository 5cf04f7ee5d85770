"""An iSCALE project from its folder to a run: every daughter a capture that lies on the mother slide."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile

from commands import pixelgene
from mother import AREAS, MPP, Panel, picture, rates, spots
from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.adding import add_captures
from napari_pixelgene.pipeline.describing import stale
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.slide import is_on_slide, units_in_um
from napari_pixelgene.pipeline.sources.iscale import IscaleSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.store.captures import read_capture
from napari_pixelgene.store.section import SectionStore


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three areas of the mother, as a person's project: one table lies the other way round."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "MotherImage").mkdir()
    tifffile.imwrite(folder / "MotherImage" / "he.tiff", picture(), photometric="rgb", tile=(256, 256))
    (folder / "MotherImage" / "pixel-size.txt").write_text(str(MPP))
    (folder / "MotherImage" / "radius.txt").write_text("20")
    for number, (name, area) in enumerate(AREAS.items()):
        home = folder / "DaughterCaptures" / "AllignedToMother" / name
        home.mkdir(parents=True)
        xy, panel = spots(area), Panel()
        ids = [f"s{i}" for i in range(len(xy))]
        counts = np.random.default_rng(number).poisson(rates(xy, panel))
        table = pd.DataFrame(counts, index=ids, columns=panel.genes)
        pd.DataFrame(xy / MPP, index=ids, columns=["x", "y"]).to_csv(home / "locs.tsv", sep="\t")
        (table.T if name == "B" else table).to_csv(home / "cnts.tsv", sep="\t")
    return folder


def texts(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Note)]


def assert_whole(store: SectionStore) -> None:
    assert store.captures() == ["A", "B", "C"] and stale(store) == {}
    for number, name in enumerate("ABC"):
        capture = read_capture(store, name)
        units = units_in_um(store, capture)
        assert is_on_slide(capture) and units.footprint.size_um == 40
        np.testing.assert_allclose(units.xy, spots(AREAS[name]))
        wanted = np.random.default_rng(number).poisson(rates(spots(AREAS[name]), Panel()))
        np.testing.assert_array_equal(units.counts.toarray(), wanted)


def test_every_daughter_lies_on_the_mother(project: Path, tmp_path: Path) -> None:
    source = IscaleSource(project=project)
    with pytest.raises(InputError, match="Several captures cannot have one name"):
        import_section(tmp_path / "m.section.zarr", source=source, settings=ImportSettings(name="one"))
    assert not (tmp_path / "m.section.zarr").exists()
    store = import_section(tmp_path / "m.section.zarr", source=source)
    assert_whole(store)
    store.remove("captures", "C")  # as if it had been killed before the last one
    told: list[Event] = []
    again = import_section(tmp_path / "m.section.zarr", source=source, on_event=told.append)
    assert_whole(again)
    assert any("The capture 'B' was added from these files before" in text for text in texts(told))


def test_daughters_are_added_to_a_slide_that_is_there(project: Path, tmp_path: Path) -> None:
    slide = project / "MotherImage" / "he.tiff"
    store = import_section(tmp_path / "m.section.zarr", slide, settings=ImportSettings(mpp=MPP))
    added = add_captures(store, IscaleSource(project=project))
    assert [capture.name for capture in added] == ["A", "B", "C"]
    assert_whole(store)


def test_a_project_from_the_shell(project: Path, tmp_path: Path) -> None:
    done = pixelgene("import", "iscale", "m.section.zarr", "--project", project, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    said = " ".join((done.stdout + done.stderr).split())
    assert "a gene a row and a unit a column: turned" in said and "Next: pixelgene fit --train m.section.zarr" in said
    assert_whole(SectionStore.open(tmp_path / "m.section.zarr"))
    text = f'[[import]]\nsection = "n.section.zarr"\nkind = "iscale"\nproject = "{project}"\ncapture = "B"\n'
    (tmp_path / "run.toml").write_text(text)
    done = pixelgene("run", "run.toml", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert SectionStore.open(tmp_path / "n.section.zarr").captures() == ["B"]
