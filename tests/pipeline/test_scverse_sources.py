"""AnnData, SpatialData and OME-Zarr from import to a fit: what Visium's own folder gives, they give."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr

from commands import assert_told, pixelgene
from napari_pixelgene.elements.capture import Units
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import PixelGeneError, StoreError
from napari_pixelgene.pipeline.config import read_config, to_toml
from napari_pixelgene.pipeline.importing import ImportSettings, import_section
from napari_pixelgene.pipeline.learning import FitSettings, fit
from napari_pixelgene.pipeline.preparing import ensure_bins
from napari_pixelgene.pipeline.relinking import relink_files
from napari_pixelgene.pipeline.slide import open_slide, reopen, require_capture, source_of
from napari_pixelgene.pipeline.sources.anndata import AnnDataSource
from napari_pixelgene.pipeline.sources.registry import source_from
from napari_pixelgene.pipeline.sources.spatialdata import SpatialDataSource
from napari_pixelgene.pipeline.sources.visium import VisiumSource
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages.folds import FoldSettings
from napari_pixelgene.store.section import SectionStore

pytestmark = pytest.mark.filterwarnings("ignore")
RIDGE = FitSettings(genes="panel", model="ridge", folds=FoldSettings(block_um=200, folds=2, partitions=1))


@pytest.fixture(scope="module")
def he(arrays_run: SimulatedRun) -> Image:
    return read_image(arrays_run.he)


@pytest.fixture(scope="module")
def spots(arrays_run: SimulatedRun, he: Image) -> Units:
    """The simulated run as its Visium folder gives it."""
    assert arrays_run.visium is not None
    units = VisiumSource(bundle=arrays_run.visium).read(he).units
    assert units is not None
    return units


@pytest.fixture(scope="module")
def h5ad(spots: Units, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same spots shuffled, as scanpy keeps them: raw counts in X, scale factors in uns."""
    order = np.random.default_rng(2).permutation(len(spots))
    factors = {
        "tissue_hires_scalef": 0.5, "tissue_lowres_scalef": 0.2, "spot_diameter_fullres": 130.0,
        "fiducial_diameter_fullres": 210.0,
    }  # fmt: skip
    data = anndata.AnnData(
        spots.counts[order].astype(np.float32),
        obs=pd.DataFrame(index=spots.ids[order]),
        var=pd.DataFrame({"gene_ids": list(spots.genes.ids)}, index=list(spots.genes.symbols)),
        obsm={"spatial": spots.xy[order]},
        uns={"spatial": {"V1": {"scalefactors": factors}}},
    )
    path = tmp_path_factory.mktemp("h5ad") / "v.h5ad"
    data.write_h5ad(path)
    return path


def write_slide(path: Path, image: Image, unit: str | None = "micrometer") -> Path:
    """The H&E as an OME-Zarr of one level."""
    group = zarr.open_group(str(path), mode="w")
    group.create_array("0", data=np.moveaxis(np.asarray(image.levels[0][:, :]), -1, 0), chunks=(3, 512, 512))
    scale = [{"type": "scale", "scale": [1.0, image.require_mpp(), image.require_mpp()]}]
    axes = [{"name": "c", "type": "channel"}, *({"name": a, "type": "space", "unit": unit or ""} for a in "yx")]
    datasets = [{"path": "0", "coordinateTransformations": scale}]
    group.attrs["ome"] = {"version": "0.5", "multiscales": [{"axes": axes, "datasets": datasets}]}
    return path


def assert_same_spots(store: SectionStore, spots: Units) -> None:
    units = require_capture(store).units()
    assert units is not None and units.genes == spots.genes and units.frame == "he_px"
    place = {each: i for i, each in enumerate(spots.ids.tolist())}
    order = [place[each] for each in units.ids.tolist()]
    assert sorted(order) == list(range(len(spots))) and order != sorted(order)
    assert np.allclose(units.xy, spots.xy[order]) and (units.counts != spots.counts[order]).nnz == 0
    assert units.footprint.shape == "disk"


def test_an_anndata_on_an_ome_zarr_is_trained_on(he: Image, spots: Units, h5ad: Path, tmp_path: Path) -> None:
    slide, told = write_slide(tmp_path / "slide.ome.zarr", he), []
    source = AnnDataSource(counts=h5ad, coordinates="he_px")
    store = import_section(tmp_path / "a.section.zarr", slide, source, on_event=told.append)
    assert store.meta()["mpp"] == he.mpp
    assert_same_spots(store, spots)
    assert require_capture(store).units().footprint.size_um == 55.0  # type: ignore[union-attr]
    assert any("full-resolution image (he_px)" in text for text in texts(told))
    again = reopen(store, require_capture(store)).units
    assert again is not None and len(again) == len(spots) and source_from(source.plain()) == source
    fit([store], "r", RIDGE)
    assert "r" in store.runs()


def test_positions_that_are_said_to_be_something_else_are_refused(he: Image, h5ad: Path, tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.ome.zarr", he)
    with pytest.raises(PixelGeneError, match=r"Pixel size and spot pitch|outside"):
        import_section(tmp_path / "a.section.zarr", slide, AnnDataSource(counts=h5ad, coordinates="he_um"))
    assert not (tmp_path / "a.section.zarr").exists()


def test_a_slide_without_a_unit_is_measured_by_the_spots(he: Image, h5ad: Path, tmp_path: Path) -> None:
    slide, told = write_slide(tmp_path / "slide.ome.zarr", he, unit=None), []
    source = AnnDataSource(counts=h5ad, coordinates="he_px")
    store = import_section(tmp_path / "a.section.zarr", slide, source, on_event=told.append)
    assert store.meta()["mpp"] == pytest.approx(he.mpp, rel=0.01)
    assert any("By the AnnData run" in text for text in texts(told))


def test_an_ome_zarr_that_moved_is_linked_again(he: Image, tmp_path: Path) -> None:
    slide = write_slide(tmp_path / "slide.ome.zarr", he)
    store = import_section(tmp_path / "a.section.zarr", slide)
    first = np.asarray(open_slide(store).levels[-1][:, :])
    moved, other = tmp_path / "kept" / "other.zarr", tmp_path / "wrong.zarr"
    moved.parent.mkdir()
    shutil.move(slide, moved)
    with pytest.raises(StoreError, match="not there"):
        open_slide(store)
    half = Image((np.asarray(he.levels[0][:, ::2]),), he.mpp)
    with pytest.raises(StoreError, match="other content"):
        relink_files(store, write_slide(other, half), "he")
    assert relink_files(store, moved, "he") == {"he": moved}
    assert (np.asarray(open_slide(store).levels[-1][:, :]) == first).all()


def write_spatialdata(path: Path, he: Image, spots: Units) -> Path:
    """The spots as circles of a system turned by a quarter against the H&E; 800 molecules as points."""
    spatialdata = pytest.importorskip("spatialdata", reason="the extra `spatialdata` is not installed")
    from spatialdata.models import Image2DModel, PointsModel, ShapesModel, TableModel
    from spatialdata.transformations import Affine, Identity

    to_global = np.array([[0.0, -1.0, 5000.0], [1.0, 0.0, 70.0], [0.0, 0.0, 1.0]])
    xy = spots.xy @ to_global[:2, :2].T + to_global[:2, 2]
    picture = Image2DModel.parse(
        np.moveaxis(np.asarray(he.levels[0][:, :]), -1, 0), dims=("c", "y", "x"), scale_factors=[2, 2],
        transformations={"global": Affine(to_global, ("x", "y"), ("x", "y"))},
    )  # fmt: skip
    radius, here = 27.5 / he.require_mpp(), {"global": Identity()}
    circles = ShapesModel.parse(xy, geometry=0, radius=radius, index=list(spots.ids), transformations=dict(here))
    order = np.random.default_rng(2).permutation(len(spots))
    obs = pd.DataFrame({"region": pd.Categorical(["spots"] * len(spots)), "spot": spots.ids[order]})
    obs.index = obs["spot"].to_numpy()
    var = pd.DataFrame({"gene_ids": list(spots.genes.ids)}, index=list(spots.genes.symbols))
    data = anndata.AnnData(spots.counts[order].astype(np.float32), obs=obs, var=var)
    table = TableModel.parse(data, region="spots", region_key="region", instance_key="spot")
    entries = spots.counts.tocoo()
    names = pd.Categorical(np.array(spots.genes.symbols)[entries.col[:800]])
    frame = pd.DataFrame({"x": xy[entries.row[:800], 0], "y": xy[entries.row[:800], 1], "gene": names})
    columns: Any = {"x": "x", "y": "y"}
    points = PointsModel.parse(frame, coordinates=columns, feature_key="gene", transformations=dict(here))
    spatialdata.SpatialData(
        images={"he": picture}, shapes={"spots": circles}, points={"tx": points}, tables={"table": table}
    ).write(path)
    return path


@pytest.fixture(scope="module")
def sdata(he: Image, spots: Units, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_spatialdata(tmp_path_factory.mktemp("sdata") / "s.zarr", he, spots)


def test_a_spatialdata_store_is_a_section_by_itself(he: Image, spots: Units, sdata: Path, tmp_path: Path) -> None:
    done = pixelgene(
        "import", "spatialdata", "s.section.zarr", "--store", sdata, "--image", "he", "--mpp", he.mpp, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    store = SectionStore.open(tmp_path / "s.section.zarr")
    assert_same_spots(store, spots)
    assert require_capture(store).units().footprint.size_um == pytest.approx(55.0)  # type: ignore[union-attr]
    assert open_slide(store).path == sdata / "images" / "he"
    assert isinstance(source_of(store, require_capture(store)), SpatialDataSource)
    asked = pixelgene("import", "spatialdata", "t.section.zarr", "--store", sdata, "--he", sdata / "images" / "he",
                      "--mpp", he.mpp, cwd=tmp_path)  # fmt: skip
    assert_told(asked, "coordinate system 'global'", "--image")


def test_points_of_a_store_are_counted_on_its_slide(he: Image, spots: Units, sdata: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sdata, tmp_path / "one" / "s.zarr"))
    source = SpatialDataSource(store=copy, points="tx", image="he")
    store = import_section(tmp_path / "p.section.zarr", source=source, settings=ImportSettings(mpp=he.mpp))
    bins = ensure_bins(store, require_capture(store))
    assert int(bins.counts.sum()) == 800
    entries = spots.counts.tocoo()
    rows, columns = (np.floor(spots.xy[entries.row[:800], i] * he.require_mpp() / 8).astype(int) for i in (1, 0))
    assert set(bins.superpixel.tolist()) == set((rows * bins.yx_shape[1] + columns).tolist())
    shutil.move(tmp_path / "one", tmp_path / "two")
    relink_files(store, tmp_path / "two")
    assert source_of(store, require_capture(store)).plain()["store"] == str(tmp_path / "two" / "s.zarr")
    assert open_slide(store).path == tmp_path / "two" / "s.zarr" / "images" / "he"


def test_both_kinds_come_from_a_file_of_settings_and_go_back(tmp_path: Path) -> None:
    path = tmp_path / "flow.toml"
    path.write_text(
        '[[import]]\nsection = "a.section.zarr"\nkind = "anndata"\nhe = "a.ome.zarr"\ncounts = "a.h5ad"\n'
        'coordinates = "stage_um"\nshape = "square"\nsize_um = 16\n'
        '[[import]]\nsection = "s.section.zarr"\nkind = "spatialdata"\nstore = "s.zarr"\nimage = "he"\npoints = "tx"\n'
    )
    config = read_config(path)
    first, second = (step.source for step in config.imports)
    assert first == AnnDataSource(counts=tmp_path / "a.h5ad", coordinates="stage_um", shape="square", size_um=16)
    assert second == SpatialDataSource(store=tmp_path / "s.zarr", image="he", points="tx")
    (tmp_path / "again.toml").write_text(to_toml(config.tables()))
    assert read_config(tmp_path / "again.toml") == config


def texts(told: list[Event]) -> list[str]:
    return [event.text for event in told if isinstance(event, Note)]
