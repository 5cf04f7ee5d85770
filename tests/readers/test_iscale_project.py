"""An iSCALE project: which way its tables lie, whose pixels its positions are, and a pickle that is only arrays."""

from __future__ import annotations

import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_pixelgene.elements.capture import Footprint, Units
from napari_pixelgene.errors import InputError
from napari_pixelgene.pipeline.sources.iscale import IscaleSource
from napari_pixelgene.pipeline.sources.registry import recognise, source_from
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.iscale_project import find_project, mother_image, read_daughter
from napari_pixelgene.readers.plain_pickle import read_plain
from napari_pixelgene.readers.prefix import SizeAnswers

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "iscale"
needs_vectors = pytest.mark.skipif(not VECTORS.is_dir(), reason="shared/vectors is not beside the repository")
GENES = ["KRT8", "CD3E", "ACTB"]


def spots(seed: int, across: int = 5) -> pd.DataFrame:
    """Positions in work pixels, 200 px (100 µm) apart in rows."""
    rng = np.random.default_rng(seed)
    x, y = np.meshgrid(np.arange(across) * 200.0 + 300, np.arange(3) * 200.0 + 400)
    names = [f"AC-{i}" for i in rng.permutation(x.size)]
    return pd.DataFrame({"x": x.ravel(), "y": y.ravel()}, index=names)


def counts_of(locs: pd.DataFrame, seed: int, genes: list[str] = GENES) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(rng.poisson(4, (len(locs), len(genes))), index=locs.index, columns=genes)


def write(folder: Path, name: str, table: pd.DataFrame) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.tsv", sep="\t")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """D1 with spots down, D2 and D10 with genes down, D2's rows in another order; a radius of 55 work pixels."""
    home = tmp_path / "study" / "DaughterCaptures" / "AllignedToMother"
    for name, seed in (("D10", 3), ("D1", 1), ("D2", 2)):
        locs = spots(seed)
        counts = counts_of(locs, seed)
        write(home / name, "locs", locs)
        write(home / name, "cnts", counts if name == "D1" else counts.iloc[::-1].T)
    mother = tmp_path / "study" / "MotherImage"
    mother.mkdir()
    (mother / "he.tiff").write_bytes(b"tiff")
    (mother / "radius.txt").write_text("55\n")
    return tmp_path / "study"


def units_of(project: Path, name: str, he: str = "he.tiff", mpp: float = 0.5, **answers: object) -> tuple[Units, str]:
    told: list[Event] = []
    path = project / "MotherImage" / he
    read = read_daughter(find_project(project), name, path, mpp, SizeAnswers(**answers), told.append)  # type: ignore[arg-type]
    assert read.units is not None and read.name == name and read.technology == "iscale"
    return read.units, "\n".join(event.text for event in told if isinstance(event, Note))


def test_ids_tell_which_way_a_table_lies(project: Path) -> None:
    assert list(find_project(project).captures) == ["D1", "D2", "D10"]
    for name, seed in (("D1", 1), ("D2", 2), ("D10", 3)):
        units, told = units_of(project, name)
        locs = spots(seed)
        wanted = counts_of(locs, seed)
        assert units.genes.symbols == tuple(GENES) and set(units.ids) == set(locs.index)
        np.testing.assert_array_equal(units.counts.toarray(), wanted.loc[units.ids].to_numpy())
        np.testing.assert_allclose(units.xy, locs.loc[units.ids].to_numpy())
        assert ("a gene a row and a unit a column: turned" in told) == (name != "D1")
        assert units.footprint == Footprint("disk", 55.0) and units.frame == "he_px"


def test_positions_are_scaled_to_the_slide_as_scanned_where_only_that_is_there(project: Path) -> None:
    mother = project / "MotherImage"
    (mother / "he.tiff").rename(mother / "he-raw.svs")
    (mother / "pixel-size-raw.txt").write_text("0.25")
    assert mother_image(find_project(project)) == (mother / "he-raw.svs", 0.25)
    units, _ = units_of(project, "D1", "he-raw.svs", 0.25)
    np.testing.assert_allclose(units.xy, spots(1).loc[units.ids].to_numpy() * 2)
    assert units.footprint == Footprint("disk", 55.0)
    (mother / "radius.txt").unlink()
    (mother / "radius-raw.txt").write_text("110")
    assert units_of(project, "D2", "he-raw.svs", 0.25)[0].footprint == Footprint("disk", 55.0)
    (mother / "he-scaled.jpg").write_bytes(b"jpg")  # then positions are its pixels
    assert mother_image(find_project(project)) == (mother / "he-scaled.jpg", None)
    units, _ = units_of(project, "D1", "he-scaled.jpg", 0.5)
    np.testing.assert_allclose(units.xy, spots(1).loc[units.ids].to_numpy())
    (mother / "pixel-size-raw.txt").unlink()
    with pytest.raises(InputError, match=r"radius-raw.txt counts pixels of the slide as scanned.*--size-um"):
        units_of(project, "D1", "he-scaled.jpg", 0.5)
    assert units_of(project, "D1", "he-scaled.jpg", 0.5, size_um=55.0, shape="disk")[0].footprint.size_um == 55


def test_bins_of_a_superpixel_are_squares(project: Path) -> None:
    """iSCALE-Img: a radius of 8 work pixels, bins side by side."""
    place = np.stack(np.divmod(np.arange(30), 6), axis=1)[:, ::-1]
    locs = pd.DataFrame((place + 0.5) * 16 + 320, columns=["x", "y"], index=[f"b{i}" for i in range(30)])
    home = project / "DaughterCaptures" / "AllignedToMother" / "D1"
    write(home, "locs", locs)
    write(home, "cnts", counts_of(locs, 5))
    (project / "MotherImage" / "radius.txt").write_text("8")
    assert units_of(project, "D1")[0].footprint == Footprint("square", 8.0)


@needs_vectors
def test_captures_share_what_the_original_stitches(tmp_path: Path) -> None:
    home = tmp_path / "DaughterCaptures" / "AllignedToMother"
    for name in ("D1", "D2"):
        shutil.copytree(VECTORS / "v01_stitch" / name, home / name)
    (tmp_path / "MotherImage").mkdir()
    (tmp_path / "MotherImage" / "he.tiff").write_bytes(b"tiff")
    counts, locs = (
        pd.read_csv(VECTORS / "v01_stitch" / f"expected_{n}.tsv", sep="\t", index_col=0) for n in ("cnts", "locs")
    )
    units = {n: units_of(tmp_path, n, size_um=55.0, shape="disk")[0] for n in ("D1", "D2")}
    shared = set(units["D1"].genes.symbols) & set(units["D2"].genes.symbols)
    assert shared == set(counts.columns)
    for name, each in units.items():
        rows = [f"{name}_{spot}" for spot in each.ids]
        np.testing.assert_allclose(each.xy, locs.loc[rows].to_numpy())
        mine = each.counts.toarray()[:, each.genes.indices(list(counts.columns))]
        np.testing.assert_array_equal(mine, counts.loc[rows].to_numpy())
    assert sum(map(len, units.values())) == len(counts) == len(locs)


def aggregated(project: Path, radius: int = 8) -> np.ndarray:
    """`cnts-truth-agg`: 4 × 5 squares of which two lie off the mask."""
    counts = np.random.default_rng(7).poisson(2, (4, 5, 3)).astype(np.float64)
    counts[0, 0] = 0
    counts[1, 4], counts[3, 0] = np.nan, np.nan
    folder = project / "MotherImage" / "cnts-truth-agg" / f"radius{radius:04d}-stride01-square"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "data.pickle").open("wb") as file:
        pickle.dump({"cnts": counts, "locs": counts[..., :2], "gene_names": np.array(GENES, dtype=object)}, file)
    return counts


def test_the_aggregated_truth_is_read_only_when_it_is_named(project: Path) -> None:
    counts = aggregated(project)
    source = recognise(project)
    assert isinstance(source, IscaleSource)
    assert [each.capture for each in source.captures()] == ["D1", "D2", "D10"]
    truth = source.replace(capture="truth")
    assert [each.capture for each in truth.captures()] == ["truth"] and set(truth.files()) == {"counts"}
    units, told = units_of(project, "truth")
    assert len(units) == 18 and units.footprint == Footprint("square", 8.0) and "18 squares" in told
    for i, name in enumerate(units.ids):
        row, column = map(int, name.split("x"))
        np.testing.assert_allclose(units.xy[i], [(column + 0.5) * 16, (row + 0.5) * 16])
        np.testing.assert_array_equal(units.counts[i].toarray()[0], counts[row, column])


def test_a_pickle_of_anything_but_arrays_is_refused_and_does_not_run(project: Path, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.system, (f"touch {tmp_path / 'ran'}",)

    aggregated(project)
    path = next((project / "MotherImage").rglob("data.pickle"))
    for content, words in (
        (pickle.dumps({"cnts": Runs(), "gene_names": []}), r"data.pickle is not read: it names posix\.system"),
        (pickle.dumps(pd.Index(["a"])), "is not read: it names pandas"),
        (pickle.dumps({"cnts": np.zeros((2, 2, 3))})[:-9], "is not read"),
    ):
        path.write_bytes(content)
        with pytest.raises(InputError, match=words):
            units_of(project, "truth")
    assert not (tmp_path / "ran").exists()
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.array(["x", "yy"]), "c": [np.float64(3), None, "text"]}
        path.write_bytes(pickle.dumps(arrays, protocol))
        back = read_plain(path)
        np.testing.assert_array_equal(back["a"], arrays["a"])
        assert back["b"].tolist() == ["x", "yy"] and back["c"] == [3.0, None, "text"]


def test_what_is_no_truth_is_told(project: Path) -> None:
    with pytest.raises(InputError, match=r"no cnts-truth-agg"):
        read_daughter(find_project(project), "truth", None, 0.5)
    aggregated(project)
    path = next((project / "MotherImage").rglob("data.pickle"))
    for data, words in (
        ({"cnts": np.zeros((2, 2, 3))}, "is no aggregated truth"),
        ({"cnts": np.zeros((2, 2, 3)), "gene_names": ["A"]}, r"cnts \(2, 2, 3\) and 1 gene names do not meet"),
        ({"cnts": np.full((2, 2, 1), 0.5), "gene_names": ["A"]}, "values that are no counts"),
    ):
        path.write_bytes(pickle.dumps(data))
        with pytest.raises(InputError, match=words):
            units_of(project, "truth")


def test_what_a_project_lacks_is_named(project: Path, tmp_path: Path) -> None:
    source = IscaleSource(project=project, capture="D7")
    with pytest.raises(InputError, match=r"has no capture 'D7'.*There is: D1, D2, D10"):
        source.files()
    assert recognise(tmp_path) is None
    daughters = project / "DaughterCaptures"
    (daughters / "AllignedToMother").rename(daughters / "UnallignedToMother")
    with pytest.raises(InputError, match=r"no AllignedToMother.*not laid onto the mother"):
        find_project(project)
    (daughters / "UnallignedToMother").rename(daughters / "AlignedToMother")
    (project / "MotherImage" / "he.tiff").unlink()
    with pytest.raises(InputError, match=r"holds no he-raw"):
        mother_image(find_project(project))
    shutil.rmtree(daughters / "AlignedToMother")
    (daughters / "AlignedToMother").mkdir()
    with pytest.raises(InputError, match="holds no folder with cnts and locs"):
        find_project(project)


def test_a_project_that_moved_is_found_again(project: Path, tmp_path: Path) -> None:
    aggregated(project)
    for name in ("D2", "truth"):
        source = IscaleSource(project=project, capture=name)
        files = {key: tmp_path / "elsewhere" / path.relative_to(project) for key, path in source.files().items()}
        assert source.moved(files).project == tmp_path / "elsewhere"
        assert source_from(source.plain()) == source
