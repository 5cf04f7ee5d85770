"""AnnData: where raw counts are found, what positions mean, libraries, names, and what each fault says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from napari_pixelgene.elements.capture import Units
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers import anndata_matrix
from napari_pixelgene.readers.anndata import Choice, anndata_pixel_size, read_anndata

pytestmark = pytest.mark.filterwarnings("ignore")
COUNTS = np.array([[0, 7, 1], [3, 0, 0], [0, 0, 2], [5, 1, 0]])
XY = np.array([[340.5, 120.0], [300.5, 80.25], [410.0, 33.0], [12.0, 700.0]])
NAMES = ["s10", "s9", "s12", "s1"]
GENES = ["CD8A", "ERBB2", "MS4A1"]
VISIUM = {
    "tissue_hires_scalef": 0.17, "tissue_lowres_scalef": 0.05, "spot_diameter_fullres": 89.4,
    "fiducial_diameter_fullres": 144.4,
}  # fmt: skip
Form = Callable[[np.ndarray], Any]
FORMS: dict[str, Form] = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}
PX = Choice(coordinates="he_px")


def table(**parts: Any) -> anndata.AnnData:
    """Four spots and three genes; `X` holds logarithms unless it is given."""
    values: dict[str, Any] = {
        "X": sparse.csr_matrix(np.log1p(COUNTS)),
        "obs": pd.DataFrame(index=NAMES),
        "var": pd.DataFrame(index=GENES),
        "obsm": {"spatial": XY},
    }
    return anndata.AnnData(**{**values, **parts})


def saved(path: Path, data: anndata.AnnData) -> Path:
    if path.suffix == ".h5ad":
        data.write_h5ad(path)
    else:
        data.write_zarr(path)
    return path


def read(path: Path, choice: Choice = PX) -> tuple[Units, list[str]]:
    told: list[Event] = []
    units = read_anndata(path, choice, on_event=told.append).units
    assert units is not None
    return units, [event.text for event in told if isinstance(event, Note)]


@pytest.mark.parametrize("name", ["a.h5ad", "a.zarr"])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("place", ["layers['counts']", "raw.X", "X"])
def test_counts_are_found_in_this_order(tmp_path: Path, name: str, form: str, place: str) -> None:
    own = FORMS[form](COUNTS.astype(np.float32))
    data = table() if place != "X" else table(X=own)
    if place == "raw.X":
        data.raw = anndata.AnnData(own, obs=data.obs, var=data.var)
    if place == "layers['counts']":
        data.layers["counts"] = own
        data.raw = anndata.AnnData(FORMS[form](COUNTS.astype(np.float32) * 9), obs=data.obs, var=data.var)
    capture = read_anndata(saved(tmp_path / name, data), PX)
    units = capture.units
    assert units is not None and capture.facts["counts from"] == place
    assert (capture.name, units.frame, units.footprint.shape) == ("a", "he_px", "point")
    assert units.ids.tolist() == NAMES and units.xy.tolist() == XY.tolist()
    assert units.genes.symbols == tuple(GENES)
    assert units.counts.dtype == np.int32 and units.counts.toarray().tolist() == COUNTS.tolist()
    assert units.library.tolist() == [8.0, 3.0, 2.0, 6.0]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), rows=st.integers(1, 13), genes=st.integers(1, 9), form=st.sampled_from(sorted(FORMS)))
def test_blocks_of_any_size_give_the_same_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, data: st.DataObject, rows: int, genes: int, form: str
) -> None:
    monkeypatch.setattr(anndata_matrix, "_BLOCK_VALUES", data.draw(st.integers(1, 20)))
    seed = data.draw(st.integers(0, 9999))
    counts = np.random.default_rng(seed).poisson(0.6, (rows, genes))
    on = np.random.default_rng(seed + 1).random(rows) < 0.7
    on[data.draw(st.integers(0, rows - 1))] = True
    obs = pd.DataFrame({"in_tissue": on.astype(int)}, index=[f"u{i}" for i in range(rows)])
    var = pd.DataFrame(index=[f"G{i}" for i in range(genes)])
    made = anndata.AnnData(
        FORMS[form](counts.astype(np.float32)), obs=obs, var=var, obsm={"spatial": np.ones((rows, 2))}
    )
    units, _ = read(saved(tmp_path / "p.h5ad", made))
    assert units.counts.toarray().tolist() == counts[on].tolist()
    assert units.ids.tolist() == obs.index[on].tolist() and units.counts.has_canonical_format


def test_a_named_layer_is_taken_and_no_other(tmp_path: Path) -> None:
    data = table(layers={"counts": sparse.csr_matrix(COUNTS), "spliced": COUNTS * 2, "scaled": COUNTS - 1.5})
    path = saved(tmp_path / "a.h5ad", data)
    assert read(path, Choice(coordinates="he_px", layer="spliced"))[0].counts.sum() == 2 * COUNTS.sum()
    with pytest.raises(InputError, match=r"layers\['scaled'\], row 's10', gene 'CD8A': -1.5 is not a count"):
        read(path, Choice(coordinates="he_px", layer="scaled"))
    with pytest.raises(InputError, match="no layer 'unspliced'") as raised:
        read(path, Choice(coordinates="he_px", layer="unspliced"))
    assert "counts, scaled, spliced, X" in raised.value.mend


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("value", [0.5, -3.0, np.nan, np.inf, 3e9])
@pytest.mark.parametrize("at_once", [1 << 22, 3])
def test_what_is_no_count_is_never_rounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str, value: float, at_once: int
) -> None:
    monkeypatch.setattr(anndata_matrix, "_BLOCK_VALUES", at_once)
    wrong = COUNTS.astype(np.float64)
    wrong[3, 1] = value
    with pytest.raises(InputError, match="holds no raw counts") as raised:
        read(saved(tmp_path / "a.h5ad", table(X=FORMS[form](wrong))))
    problem = raised.value.problem
    assert "layers['counts'] is not there; raw.X is not there; X, row 's1', gene 'ERBB2': " + f"{value:g}" in problem


def test_a_place_that_is_passed_over_is_told(tmp_path: Path) -> None:
    data = table(X=sparse.csr_matrix(COUNTS), layers={"counts": COUNTS * 0.5})
    units, told = read(saved(tmp_path / "a.h5ad", data))
    assert units.counts.sum() == COUNTS.sum()
    assert any("taken from X, for layers['counts'], row 's10', gene 'ERBB2': 3.5 is not a count" in t for t in told)
    with pytest.raises(InputError, match="bool data"):
        read(saved(tmp_path / "b.h5ad", table(X=COUNTS > 0)))


def test_raw_has_genes_of_its_own(tmp_path: Path) -> None:
    data = table()
    more = np.column_stack([COUNTS, [1, 0, 0, 9]])
    var = pd.DataFrame({"gene_ids": ["E1", "E2", "E3", "E4"]}, index=[*GENES, "KRT5"])
    data.raw = anndata.AnnData(sparse.csr_matrix(more), obs=data.obs, var=var)
    units, _ = read(saved(tmp_path / "a.h5ad", data))
    assert units.genes.symbols[3] == "KRT5" and units.genes.ids == ("E1", "E2", "E3", "E4")
    assert units.library.tolist() == [9.0, 3.0, 2.0, 15.0]


def test_symbols_from_a_column_and_names_as_ids(tmp_path: Path) -> None:
    var = pd.DataFrame({"feature_name": ["CD8A", "ERBB2", "ERBB2"]}, index=["ENSG1", "ENSG2", "ENSG3"])
    path = saved(tmp_path / "a.h5ad", table(X=COUNTS, var=var))
    units, _ = read(path, Choice(coordinates="he_px", symbols="feature_name"))
    assert units.genes.symbols == ("CD8A", "ERBB2", "ERBB2_ENSG3") and units.genes.ids == ("ENSG1", "ENSG2", "ENSG3")
    plain, told = read(path)
    assert plain.genes.symbols == ("ENSG1", "ENSG2", "ENSG3") and any("--symbols" in text for text in told)
    with pytest.raises(InputError, match="no column 'symbol'") as raised:
        read(path, Choice(coordinates="he_px", symbols="symbol"))
    assert "feature_name" in raised.value.mend


def test_features_that_are_no_genes_are_left_out(tmp_path: Path) -> None:
    var = pd.DataFrame({"feature_types": ["Gene Expression", "Antibody Capture", "Gene Expression"]}, index=GENES)
    units, told = read(saved(tmp_path / "a.h5ad", table(X=sparse.csr_matrix(COUNTS), var=var)))
    assert units.genes.symbols == ("CD8A", "MS4A1") and units.library.tolist() == [1.0, 3.0, 2.0, 5.0]
    assert any("1 of 3 features of a.h5ad are no genes (Antibody Capture)" in text for text in told)


def visium(factors: dict[str, float], **parts: Any) -> anndata.AnnData:
    return table(X=COUNTS, uns={"spatial": {"slide 1": {"scalefactors": factors, "metadata": {}}}}, **parts)


@pytest.mark.parametrize(
    ("factors", "footprint"),
    [
        (VISIUM, ("disk", 55.0)),
        ({**VISIUM, "bin_size_um": 8.0, "microns_per_pixel": 0.27}, ("square", 8.0)),
        ({"tissue_hires_scalef": 1.0, "spot_diameter_fullres": 1.0}, ("point", 0.0)),  # squidpy, of cells
    ],
)
def test_the_footprint_is_that_of_visium_where_it_is_visium(
    tmp_path: Path, factors: dict[str, float], footprint: tuple[str, float]
) -> None:
    path = saved(tmp_path / "a.h5ad", visium(factors))
    units, told = read(path)
    assert (units.footprint.shape, units.footprint.size_um) == footprint
    assert any("full-resolution image (he_px)" in text for text in told) == (footprint[0] != "point")
    other, warned = read(path, Choice(coordinates="stage_um", shape="square", size_um=20.0))
    assert (other.footprint.shape, other.footprint.size_um, other.frame) == ("square", 20.0, "stage_um")
    assert any("you say stage_um" in text for text in warned) == (footprint[0] != "point")
    with pytest.raises(InputError, match="by half"):
        read(path, Choice(coordinates="he_px", shape="disk"))


def test_the_pixel_size_follows_from_the_pitch(tmp_path: Path) -> None:
    rows, columns = np.divmod(np.arange(60), 10)
    xy = np.column_stack([(columns + (rows % 2) / 2) * 250.0, rows * 250.0 * np.sqrt(0.75)])
    parts = {"X": np.ones((60, 3)), "obs": pd.DataFrame(index=[f"s{i}" for i in range(60)]), "obsm": {"spatial": xy}}
    uns = {"spatial": {"s": {"scalefactors": VISIUM}}}
    path = saved(tmp_path / "a.h5ad", table(**parts, uns=uns))
    assert anndata_pixel_size(path, PX) == pytest.approx(0.4)
    assert anndata_pixel_size(path, Choice(coordinates="he_um")) is None
    uns["spatial"]["s"]["scalefactors"] = {**VISIUM, "bin_size_um": 16.0, "microns_per_pixel": 0.27}
    assert anndata_pixel_size(saved(tmp_path / "hd.h5ad", table(**parts, uns=uns)), PX) == pytest.approx(0.27)
    assert anndata_pixel_size(saved(tmp_path / "none.h5ad", table(**parts)), PX) is None


def test_of_several_libraries_one_is_chosen(tmp_path: Path) -> None:
    obs = pd.DataFrame({"library_id": pd.Categorical(["B", "A", "B", "B"]), "in_tissue": [1, 1, 0, 1]}, index=NAMES)
    hd = {**VISIUM, "bin_size_um": 2.0}
    uns = {"spatial": {"A": {"scalefactors": hd}, "B": {"scalefactors": VISIUM}}}
    path = saved(tmp_path / "a.h5ad", table(X=COUNTS, obs=obs, uns=uns))
    units, told = read(path, Choice(coordinates="he_px", library="B"))
    assert units.ids.tolist() == ["s10", "s1"] and units.counts.toarray().tolist() == COUNTS[[0, 3]].tolist()
    assert units.xy.tolist() == XY[[0, 3]].tolist() and units.footprint.shape == "disk"
    assert any("1 of 4 rows of a.h5ad are of other libraries" in text for text in told)
    assert any("1 of 3 rows of a.h5ad have in_tissue = 0" in text for text in told)
    assert read(path, Choice(coordinates="he_px", library="A"))[0].footprint.size_um == 2.0
    with pytest.raises(InputError, match="several libraries: A, B"):
        read(path)
    with pytest.raises(InputError, match="no library 'C'") as raised:
        read(path, Choice(coordinates="he_px", library="C"))
    assert "A, B" in raised.value.mend
    renamed = saved(tmp_path / "b.h5ad", table(X=COUNTS, obs=obs.rename(columns={"library_id": "sample"}), uns=uns))
    with pytest.raises(InputError, match="no column 'library_id'") as raised:
        read(renamed, Choice(coordinates="he_px", library="A"))
    assert "sample" in raised.value.mend
    assert len(read(renamed, Choice(coordinates="he_px", library="A", library_key="sample"))[0]) == 1


def lost_place() -> anndata.AnnData:
    xy = XY.copy()
    xy[2, 1] = np.nan
    return table(X=COUNTS, obsm={"spatial": xy})


@pytest.mark.parametrize(
    ("made", "words", "mend"),
    [
        (lambda: table(X=COUNTS, obsm={"X_umap": XY}), "no obsm['spatial']", "X_umap"),
        (lambda: table(X=COUNTS, obsm={"spatial": np.ones((4, 3))}), "has the shape (4, 3)", "x and y"),
        (lost_place, "row 's12': its position is not a number (1 such)", "Mend"),
        (lambda: table(X=COUNTS, obs=pd.DataFrame(index=["a", "b", "a", "c"])), "row 'a' of obs", "obs_names_make"),
        (lambda: table(X=COUNTS, var=pd.DataFrame(index=["A", "B", "A"])), "gene 'A' twice", "var_names_make"),
        (lambda: table(X=COUNTS, var=pd.DataFrame(index=["A", "", "C"])), "row 2 of var_names has no name", "symbols"),
        (lambda: table(X=COUNTS, obs=pd.DataFrame({"in_tissue": [0] * 4}, index=NAMES)), "no row is left", "in_tissue"),
        (lambda: table(X=None), "X is not there", "raw counts"),
    ],
)
def test_faults_name_the_place(tmp_path: Path, made: Callable[[], anndata.AnnData], words: str, mend: str) -> None:
    path = saved(tmp_path / "a.h5ad", made())
    with pytest.raises(InputError) as raised:
        read(path)
    assert words in raised.value.problem and mend in raised.value.mend and "a.h5ad" in raised.value.problem


def test_files_that_are_none_are_told(tmp_path: Path) -> None:
    whole = saved(tmp_path / "a.h5ad", table(X=COUNTS)).read_bytes()
    (tmp_path / "cut.h5ad").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.h5ad").write_text("gene,count\n")
    (tmp_path / "folder").mkdir()
    for name, words in (("cut", "cannot be read as AnnData"), ("text", "cannot be read"), ("none", "There is no file")):
        with pytest.raises(InputError, match=words):
            read(tmp_path / f"{name}.h5ad")
    with pytest.raises(InputError):
        read(tmp_path / "folder")
    import zarr

    zarr.open_group(str(tmp_path / "image.zarr"), mode="w")
    with pytest.raises(InputError, match="is no AnnData: it has no 'obs'"):
        read(tmp_path / "image.zarr")


def test_a_matrix_that_does_not_fit_its_names_is_told(tmp_path: Path) -> None:
    import h5py

    path = saved(tmp_path / "a.h5ad", table(X=sparse.csr_matrix(COUNTS)))
    with h5py.File(path, "r+") as file:
        file["X/indices"][0] = 7
    with pytest.raises(InputError, match="an index of the matrix lies outside it"):
        read(path)
    with h5py.File(path, "r+") as file:
        file["X"].attrs["shape"] = [4, 2]
    with pytest.raises(InputError, match="X is 4 × 2, obs and var name 4 × 3"):
        read(path)


def test_dense_values_are_read_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(anndata_matrix, "_BLOCK_VALUES", 6)
    told: list[Event] = []
    read_anndata(saved(tmp_path / "a.h5ad", table(X=COUNTS)), PX, on_event=told.append)
    assert [event.done for event in told if not isinstance(event, Note)] == [6, 12]
