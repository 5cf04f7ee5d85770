"""SpatialData stores: the join of table and shapes, coordinate systems, the H&E inside, points, and faults."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from napari_pixelgene.elements.capture import Capture, Units
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import InputError, MissingDependency
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.readers.spatialdata import Choice, find_files, find_image, read_spatialdata

pytestmark = pytest.mark.filterwarnings("ignore")
pytest.importorskip("spatialdata", reason="the extra `spatialdata` is not installed")

# Own (x, y) of the circles; the table names them in another order and leaves one out.
XY = np.array([[10.0, 20.0], [50.0, 80.0], [100.0, 30.0], [7.0, 9.0]])
SHAPES = ["b", "a", "c", "unread"]
ROWS, INSTANCES = ["x1", "x2", "x3"], ["c", "a", "b"]
COUNTS = np.array([[1, 0], [2, 3], [0, 4]])
# H&E pixels (x, y) to the system `global`: a quarter turn, half as large, moved.
TO_GLOBAL = np.array([[0.0, -0.5, 300.0], [0.5, 0.0, 40.0], [0.0, 0.0, 1.0]])
PIXELS = np.random.default_rng(3).integers(0, 255, (3, 150, 260), dtype=np.uint8)
HE = Image((PIXELS.transpose(1, 2, 0),), 0.25, None, "slide")


def squares(side: float, turn: float = 0.0) -> list[Any]:
    import shapely

    box = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * side / 2
    c, s = np.cos(turn), np.sin(turn)
    return [shapely.Polygon(box @ np.array([[c, s], [-s, c]]) + centre) for centre in XY]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Circles, squares, cells, points and an H&E; two tables. Do not write into it."""
    import geopandas
    import shapely
    import spatialdata
    from spatialdata.models import Image2DModel, PointsModel, ShapesModel, TableModel
    from spatialdata.transformations import Affine, Identity, Scale, Sequence, Translation

    twice = {"global": Sequence([Scale([2, 2], ("x", "y")), Translation([5, -3], ("x", "y"))]), "own": Identity()}

    def outlines(polygons: list[Any]) -> Any:
        frame = geopandas.GeoDataFrame(geometry=polygons, index=SHAPES)
        return ShapesModel.parse(frame, transformations=dict(twice))

    shapes = {
        "spots": ShapesModel.parse(XY, geometry=0, radius=4.0, index=SHAPES, transformations=dict(twice)),
        "bins": outlines(squares(8.0)),
        "turned": outlines(squares(8.0, 0.4)),
        "uneven": outlines([squares(8.0 + i)[i] for i in range(4)]),
        "skewed": outlines([*squares(8.0)[:3], shapely.Polygon([(0, 0), (8, 0), (12, 48**0.5), (4, 48**0.5)])]),
        "long": outlines([shapely.box(x - 2, y - 8, x + 2, y + 8) for x, y in XY]),
        "cells": outlines([shapely.Point(x, y).buffer(3 + i, quad_segs=4) for i, (x, y) in enumerate(XY)]),
        "stretched": ShapesModel.parse(
            XY, geometry=0, radius=4.0, index=SHAPES, transformations={"global": Scale([2, 3], ("x", "y"))}
        ),
    }

    def table(region: str | list[str], of_row: list[str]) -> anndata.AnnData:
        obs = pd.DataFrame({"region": pd.Categorical(of_row), "spot": INSTANCES}, index=ROWS)
        made = anndata.AnnData(
            sparse.csr_matrix(COUNTS.astype(np.float32)), obs=obs, var=pd.DataFrame(index=["A", "B"])
        )
        return TableModel.parse(made, region=region, region_key="region", instance_key="spot")

    frame = pd.DataFrame(
        {"x": [1.0, 2.0, 3.0, 4.0], "y": [4.0, 5.0, 6.0, 9.0], "gene": pd.Categorical(["B", "A", "B", "BLANK_1"]),
         "qv": [30.0, 10.0, 40.0, 40.0]}
    )  # fmt: skip
    points = PointsModel.parse(frame, coordinates={"x": "x", "y": "y"}, feature_key="gene", transformations=dict(twice))
    he = Image2DModel.parse(
        PIXELS, dims=("c", "y", "x"), scale_factors=[2],
        transformations={"global": Affine(TO_GLOBAL, ("x", "y"), ("x", "y"))},
    )  # fmt: skip
    path = tmp_path_factory.mktemp("spatialdata") / "s.zarr"
    tables = {f"t_{name}": table(name, [name] * 3) for name in shapes}
    tables["two"] = table(["spots", "bins"], ["bins", "spots", "spots"])
    spatialdata.SpatialData(images={"he": he}, shapes=shapes, points={"tx": points}, tables=tables).write(path)
    return path


def capture(store: Path, he: Image = HE, **said: Any) -> tuple[Capture, list[str]]:
    told: list[Event] = []
    found = read_spatialdata(store, Choice(**said), he, told.append)
    return found, [event.text for event in told if isinstance(event, Note)]


def units_of(store: Path, **said: Any) -> tuple[Units, list[str]]:
    found, told = capture(store, **said)
    assert found.units is not None
    return found.units, told


def test_a_row_lies_where_its_shape_lies(store: Path) -> None:
    units, told = units_of(store, table="t_spots", coordinates="he_um")
    assert units.ids.tolist() == ROWS and units.counts.toarray().tolist() == COUNTS.tolist()
    assert units.xy.tolist() == (XY[[2, 1, 0]] * 2 + [5, -3]).tolist()
    assert (units.frame, units.footprint.shape, units.footprint.size_um) == ("he_um", "disk", pytest.approx(16.0))
    assert any("1 of 4 shapes of spots have no counts" in text for text in told)


def test_another_system_has_other_units(store: Path) -> None:
    units, _ = units_of(store, table="t_spots", coordinates="he_px", coordinate_system="own")
    assert units.xy.tolist() == XY[[2, 1, 0]].tolist()
    assert units.footprint.size_um == pytest.approx(8 * 0.25)  # pixels of 0.25 µm


def test_an_image_of_the_store_makes_them_its_pixels(store: Path) -> None:
    units, _ = units_of(store, table="t_spots", image="he")
    there = np.column_stack([units.xy, np.ones(3)]) @ TO_GLOBAL.T
    assert np.allclose(there[:, :2], XY[[2, 1, 0]] * 2 + [5, -3])
    assert units.frame == "he_px" and units.footprint.size_um == pytest.approx(8 * 2 / 0.5 * 0.25)
    assert find_image(store, "he") == store / "images" / "he"
    image = read_image(store / "images" / "he", 0.25)
    assert (image.levels[0][:, :] == PIXELS.transpose(1, 2, 0)).all() and len(image.levels) == 2
    assert read_image(store / "images" / "he").mpp is None
    with pytest.raises(InputError, match="has 260 × 150 pixels"):
        capture(store, Image((np.zeros((40, 50, 3), np.uint8),), 0.25), table="t_spots", image="he")
    with pytest.raises(InputError, match="coordinates say stage_um"):
        capture(store, table="t_spots", image="he", coordinates="stage_um")


@pytest.mark.parametrize(
    ("region", "shape", "size", "words"),
    [
        ("bins", "square", 16.0, ""),
        ("turned", "square", 16.0, "taken as upright"),
        ("cells", "point", 0.0, "different form"),
        ("uneven", "point", 0.0, "different form"),
        ("skewed", "point", 0.0, "different form"),
        ("long", "point", 0.0, "different form"),
    ],
)
def test_outlines_become_squares_where_they_are(store: Path, region: str, shape: str, size: float, words: str) -> None:
    units, told = units_of(store, table=f"t_{region}", coordinates="stage_um")
    assert (units.footprint.shape, units.footprint.size_um) == (shape, pytest.approx(size))
    assert np.allclose(units.xy, XY[[2, 1, 0]] * 2 + [5, -3], atol=1e-6)
    notes = [text for text in told if text.startswith(f"{region}: ")]
    assert len(notes) == bool(words) and all(words in text for text in notes)


def test_a_given_footprint_wins(store: Path) -> None:
    units, _ = units_of(store, table="t_stretched", coordinates="he_um", shape="disk", size_um=30.0)
    assert (units.footprint.shape, units.footprint.size_um) == ("disk", 30.0)
    assert units.xy.tolist() == (XY[[2, 1, 0]] * [2, 3]).tolist()
    with pytest.raises(InputError, match="stretches circles into ellipses"):
        capture(store, table="t_stretched", coordinates="he_um")


def test_of_several_regions_one_is_chosen(store: Path) -> None:
    units, _ = units_of(store, table="two", region="spots", coordinates="he_um")
    assert units.ids.tolist() == ["x2", "x3"] and units.counts.toarray().tolist() == COUNTS[1:].tolist()
    with pytest.raises(InputError, match="several regions: "):
        capture(store, table="two", coordinates="he_um")


def test_points_are_streamed_in_the_frame(store: Path) -> None:
    found, told = capture(store, points="tx", coordinates="he_um")
    assert found.units is None and found.transcripts is not None
    assert found.genes.symbols == ("A", "B") and found.transcripts.frame == "he_um"
    for _ in range(2):  # again from the first row
        batches = list(found.transcripts.batches())
        xy, gene = np.concatenate([b.xy for b in batches]), np.concatenate([b.gene for b in batches])
        assert xy.tolist() == [[7.0, 5.0], [11.0, 9.0]] and gene.tolist() == [1, 1]
    assert any("1 of 4 transcripts in tx are controls" in text for text in told)
    everything, _ = capture(store, points="tx", image="he", min_qv=0.0)
    assert everything.transcripts is not None
    xy = np.concatenate([batch.xy for batch in everything.transcripts.batches()])
    there = np.column_stack([xy, np.ones(3)]) @ TO_GLOBAL.T
    assert np.allclose(there[:, :2], np.array([[1, 4], [2, 5], [3, 6]]) * 2 + [5, -3])


def test_what_is_referred_to_is_what_is_read(store: Path) -> None:
    assert find_files(store, Choice(table="two", region="bins")) == {
        "counts": store / "tables" / "two",
        "region": store / "shapes" / "bins",
    }
    assert find_files(store, Choice(points="tx")) == {"transcripts": store / "points" / "tx"}


@pytest.mark.parametrize(
    ("said", "words", "mend"),
    [
        ({"table": "t_spots"}, "coordinate system 'global' are is not said", "--image (it has: he)"),
        ({"coordinates": "he_um"}, "several tables", "--table"),
        ({"table": "none", "coordinates": "he_um"}, "no 'none' among its tables", "spots"),
        ({"table": "t_spots", "coordinates": "he_um", "coordinate_system": "hires"}, "to the coordinate system 'hires'",
         "global, own"),
        ({"table": "t_spots", "image": "he", "coordinate_system": "own"}, "system 'own'", "global"),
        ({"table": "t_spots", "region": "bins", "coordinates": "he_um"}, "does not annotate 'bins'", "spots"),
        ({"points": "t", "coordinates": "he_um"}, "no 't' among its points", "tx"),
        ({"table": "t_spots", "image": "dapi"}, "no 'dapi' among its images", "he"),
    ],
)  # fmt: skip
def test_what_a_person_must_say_is_asked(store: Path, said: dict[str, Any], words: str, mend: str) -> None:
    with pytest.raises(InputError) as raised:
        capture(store, **said)
    assert words in raised.value.problem and mend in raised.value.mend


@pytest.fixture
def copy(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "copy.zarr"))


def edit(element: Path, change: Callable[[dict[str, Any]], None]) -> None:
    document = json.loads((element / "zarr.json").read_text())
    change(document["attributes"])
    (element / "zarr.json").write_text(json.dumps(document))


def test_a_transformation_that_is_not_affine_is_told(copy: Path) -> None:
    edit(copy / "shapes" / "spots", lambda a: a["coordinateTransformations"][0].update(type="displacements", path="d"))
    with pytest.raises(InputError, match=r"to 'global' is not affine in x and y \(displacements"):
        capture(copy, table="t_spots", coordinates="he_um")
    flat = {"type": "scale", "scale": [0.0, 2.0]}
    edit(copy / "shapes" / "bins", lambda a: a["coordinateTransformations"][0].update(**flat))
    edit(copy / "shapes" / "bins", lambda a: a["coordinateTransformations"][0].pop("transformations", None))
    with pytest.raises(InputError, match="cannot be inverted"):
        capture(copy, table="t_bins", coordinates="he_um")
    edit(copy / "shapes" / "cells", lambda a: a.update(coordinateTransformations=[]))
    with pytest.raises(InputError, match="lies nowhere"):
        capture(copy, table="t_cells", coordinates="he_um")


def test_what_is_not_there_is_told(copy: Path) -> None:
    shapes = copy / "shapes" / "spots" / "shapes.parquet"
    shapes.write_bytes(shapes.read_bytes()[:100])
    with pytest.raises(InputError, match="cannot be read as shapes"):
        capture(copy, table="t_spots", coordinates="he_um")
    shapes.unlink()
    with pytest.raises(InputError, match=r"has no shapes\.parquet"):
        capture(copy, table="t_spots", coordinates="he_um")
    shutil.rmtree(copy / "shapes" / "bins")
    with pytest.raises(InputError, match="'bins', which is not among the shapes"):
        capture(copy, table="t_bins", coordinates="he_um")
    (copy / "labels").mkdir()
    (copy / "shapes" / "cells").rename(copy / "labels" / "cells")
    with pytest.raises(InputError, match="'cells', which are labels") as raised:
        capture(copy, table="t_cells", coordinates="he_um")
    assert "import anndata" in raised.value.mend
    edit(copy / "points" / "tx", lambda a: a["spatialdata_attrs"].pop("feature_key"))
    with pytest.raises(InputError, match="does not say which column names the gene"):
        capture(copy, points="tx", coordinates="he_um")
    shutil.rmtree(copy / "tables")
    with pytest.raises(InputError, match="holds no tables") as raised:
        capture(copy, coordinates="he_um")
    assert "--points tx" in raised.value.mend
    with pytest.raises(InputError, match="is no SpatialData store"):
        capture(copy / "points", coordinates="he_um")


def test_a_row_without_a_shape_is_told(copy: Path) -> None:
    import geopandas

    file = copy / "shapes" / "spots" / "shapes.parquet"
    frame = geopandas.read_parquet(file)
    frame[frame.index != "a"].to_parquet(file)
    with pytest.raises(InputError, match=r"counts 'a' \(1 such\), which .* does not hold"):
        capture(copy, table="t_spots", coordinates="he_um")
    frame.assign(radius=[4.0, 4.0, 9.0, 4.0]).to_parquet(file)
    with pytest.raises(InputError, match="radius 4 to 9"):
        capture(copy, table="t_spots", coordinates="he_um")
    frame.assign(radius=[4.0, -1.0, 4.0, 4.0]).to_parquet(file)
    with pytest.raises(InputError, match="row 'a': its radius is -1"):
        capture(copy, table="t_spots", coordinates="he_um")


def test_without_the_package_its_command_is_named(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "spatialdata", None)
    with pytest.raises(MissingDependency) as raised:
        capture(store, table="t_spots", coordinates="he_um")
    assert 'pip install "napari-pixelgene[spatialdata]"' in raised.value.mend


def test_the_older_format_reads_the_same(store: Path, tmp_path: Path) -> None:
    import spatialdata

    formats = pytest.importorskip("spatialdata._io.format", reason="another spatialdata")
    old = formats.SpatialDataContainerFormatV01()
    spatialdata.read_zarr(store).write(tmp_path / "old.zarr", sdata_formats=old)
    assert (tmp_path / "old.zarr" / ".zattrs").is_file()
    for said in ({"table": "t_bins", "coordinates": "he_um"}, {"table": "t_spots", "image": "he"}):
        new, older = units_of(store, **said)[0], units_of(tmp_path / "old.zarr", **said)[0]
        assert older.xy.tolist() == new.xy.tolist() and older.footprint == new.footprint
        assert (older.counts != new.counts).nnz == 0
    assert replace(read_image(tmp_path / "old.zarr" / "images" / "he"), mpp=1.0).yx_shape == (150, 260)
