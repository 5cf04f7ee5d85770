"""Binning against a dictionary filled one transcript at a time, and against the original's vectors."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from napari_pixelgene.arithmetic.splines import Spline
from napari_pixelgene.elements.alignment import Bend, Transform
from napari_pixelgene.elements.capture import Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.grid import Grid
from napari_pixelgene.elements.transcripts import TranscriptBatch, Transcripts
from napari_pixelgene.errors import Cancelled, InputError
from napari_pixelgene.progress import Event, Note, Progress
from napari_pixelgene.readers.images import read_image
from napari_pixelgene.readers.xenium import read_xenium
from napari_pixelgene.simulate.run import SimulatedRun
from napari_pixelgene.stages import binning
from napari_pixelgene.stages.binning import BinningSettings, bin_transcripts, bin_units

VECTORS = Path(__file__).parents[2].parent / "shared" / "vectors" / "pixel2gene"
GENES = GeneTable(("CD8A", "ERBB2", "MS4A1"))
GRID = Grid((5, 7), (80, 112))
# Rotated, sheared, shifted and a little projective: nothing here survives a swapped axis.
TILTED = Transform(np.array([[0.9, -0.2, 3.0], [0.15, 1.1, -2.0], [1e-4, -2e-4, 1.0]]), "stage_um", "he_um")
STAY = Transform(np.eye(3), "stage_um", "he_um")


def transcripts_of(xy: Any, gene: Any, batch: int = 10**9, genes: GeneTable = GENES) -> Transcripts:
    xy, gene = np.asarray(xy, dtype=np.float64).reshape(-1, 2), np.asarray(gene, dtype=np.int32)

    def batches() -> Iterator[TranscriptBatch]:
        for start in range(0, len(gene), batch):
            yield TranscriptBatch(xy[start : start + batch], gene[start : start + batch])

    return Transcripts(Path("transcripts.parquet"), genes, len(gene), batches)


def by_dictionary(xy: Any, gene: Any, transform: Transform, grid: Grid) -> Counter[tuple[int, int, int]]:
    """(row, column, gene) -> count, one transcript at a time."""
    counts: Counter[tuple[int, int, int]] = Counter()
    for (x, y), g in zip(xy, gene, strict=True):
        hx, hy, w = transform.matrix @ np.array([x, y, 1.0])
        row, column = int(np.floor(hy / w / 8 + 1e-9)), int(np.floor(hx / w / 8 + 1e-9))
        if 0 <= row < grid.yx_shape[0] and 0 <= column < grid.yx_shape[1]:
            counts[row, column, int(g)] += 1
    return counts


def as_dictionary(bins: Any) -> dict[tuple[int, int, int], int]:
    table = bins.counts.tocoo()
    places = [divmod(int(bins.superpixel[i]), bins.yx_shape[1]) for i in table.row]
    return {(*at, int(g)): int(n) for at, g, n in zip(places, table.col, table.data, strict=True)}


molecules = st.lists(
    st.tuples(st.floats(-20, 80), st.floats(-20, 60), st.integers(0, len(GENES) - 1)), min_size=1, max_size=60
)


@settings(max_examples=80, deadline=None)
@given(molecules, st.integers(1, 30), st.integers(1, 40), st.integers(1, 9))
def test_bins_equal_a_dictionary_for_any_batch_and_merge(rows: Any, batch: int, pending: int, ranges: int) -> None:
    xy, gene = [row[:2] for row in rows], [row[2] for row in rows]
    want = by_dictionary(xy, gene, TILTED, GRID)
    stream = transcripts_of(xy, gene, batch)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(binning, "_PENDING_KEYS", pending)
        patch.setattr(binning, "_RANGE_KEYS", ranges)
        if not want:
            with pytest.raises(InputError):
                bin_transcripts(stream, TILTED, GRID)
            return
        got = bin_transcripts(stream, TILTED, GRID)
    assert as_dictionary(got.bins) == want
    assert got.counted == sum(want.values()) == int(got.bins.counts.sum())
    assert got.counted + got.outside == len(rows)
    assert (np.diff(got.bins.superpixel) > 0).all()
    assert (got.bins.library > 0).all()


@settings(max_examples=30, deadline=None)
@given(molecules, st.randoms(use_true_random=False))
def test_the_order_of_transcripts_does_not_matter(rows: Any, random: Any) -> None:
    rows = [*rows, (10.0, 10.0, 1)]
    shuffled = random.sample(rows, len(rows))
    one, other = (
        bin_transcripts(transcripts_of([r[:2] for r in each], [r[2] for r in each], 7), TILTED, GRID).bins
        for each in (rows, shuffled)
    )
    assert one.superpixel.tolist() == other.superpixel.tolist()
    assert (one.counts != other.counts).nnz == 0


def test_counts_of_many_merges_are_conserved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(binning, "_PENDING_KEYS", 997)
    monkeypatch.setattr(binning, "_RANGE_KEYS", 101)
    rng = np.random.default_rng(5)
    xy, gene = rng.uniform(0, 300, (50_000, 2)), rng.integers(0, 3, 50_000)
    got = bin_transcripts(transcripts_of(xy, gene, 1009), STAY, Grid((38, 38), (600, 600)))
    assert got.bins.counts.dtype == np.int32
    assert np.asarray(got.bins.counts.sum(axis=0)).ravel().tolist() == np.bincount(gene).tolist()
    places = np.floor(xy[:, ::-1] / 8).astype(int) @ [38, 1] * 3 + gene
    assert got.bins.counts.nnz == len(np.unique(places))  # every pair once
    np.testing.assert_array_equal(got.bins.library, np.asarray(got.bins.counts.sum(axis=1)).ravel())


def test_the_merges_stay_few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Partial sums of like size are merged, so their number grows with the logarithm of the transcripts."""
    monkeypatch.setattr(binning, "_PENDING_KEYS", 1)
    tally = binning._Tally()
    for key in np.random.default_rng(0).permutation(500):
        tally.add(np.array([key]))
        assert len(tally._sums) <= 10
    keys, sums = tally.total()
    assert keys.tolist() == list(range(500))
    assert set(sums.tolist()) == {1}


def test_what_lies_outside_is_told_with_its_share() -> None:
    told: list[Event] = []
    xy = [[1, 1], [55.9, 39.9], [56.1, 1], [1, 40.1], [-0.1, 1]]
    got = bin_transcripts(transcripts_of(xy, [0, 1, 2, 2, 2]), STAY, GRID, told.append)
    assert got.bins.superpixel.tolist() == [0, 34]
    assert got.notes == {"counted": 2, "outside": 3}
    notes = [e for e in told if isinstance(e, Note)]
    assert [(n.level, n.text) for n in notes] == [
        ("warning", "3 of 5 transcripts (60.0%) lie outside the H&E and are not counted.")
    ]
    steps = [e for e in told if isinstance(e, Progress)]
    assert (steps[0].done, steps[-1].done, steps[-1].total) == (0, 5, 5)


def test_a_run_that_misses_the_image_is_an_error() -> None:
    with pytest.raises(InputError, match="None of 2 transcripts lands"):
        bin_transcripts(transcripts_of([[900, 1], [1, 900]], [0, 1]), STAY, GRID)


def test_points_beyond_the_horizon_do_not_come_back_mirrored() -> None:
    horizon = Transform(np.array([[-1.0, 0, 20], [0, -1.0, 20], [-0.1, 0, 1]]), "stage_um", "he_um")
    assert (horizon.apply(np.array([[50.0, 30.0]])) > 0).all()  # w < 0, and yet a place on the slide
    got = bin_transcripts(transcripts_of([[5, 5], [50, 30], [10, 3]], [0, 1, 2]), horizon, GRID)
    assert (got.counted, got.outside) == (1, 2)
    flipped = Transform(-horizon.matrix, "stage_um", "he_um")  # the same map
    again = bin_transcripts(transcripts_of([[5, 5], [50, 30], [10, 3]], [0, 1, 2]), flipped, GRID)
    assert again.bins.superpixel.tolist() == got.bins.superpixel.tolist()


def test_a_cancel_ends_the_stream() -> None:
    def cancel(event: Event) -> None:
        if isinstance(event, Progress) and event.done >= 4:
            raise Cancelled

    with pytest.raises(Cancelled):
        bin_transcripts(transcripts_of(np.ones((20, 2)), np.zeros(20), 2), STAY, GRID, cancel)


def test_frames_must_meet() -> None:
    wrong = Transform(np.eye(3), "he_um", "stage_um")
    with pytest.raises(ValueError, match="stage_um"):
        bin_transcripts(transcripts_of([[1, 1]], [0]), wrong, GRID)


def test_cells_that_share_a_superpixel_are_added_up_not_dropped() -> None:
    counts = sparse.csr_matrix(np.array([[1, 0, 2], [0, 5, 1], [9, 9, 9], [0, 0, 0], [4, 0, 0]], dtype=np.int32))
    xy = np.array([[17.0, 9.0], [23.9, 15.9], [500.0, 1.0], [1.0, 1.0], [1.0, 33.0]])
    library = np.array([10.0, 20.0, 30.0, 7.0, 4.0])
    cells = Units(np.array(list("abcde")), xy, counts, GENES, Footprint("point"), "stage_um", library)
    told: list[Event] = []
    got = bin_units(cells, STAY, GRID, told.append)
    assert got.bins.superpixel.tolist() == [0, 7 + 2, 28]
    assert got.bins.counts.toarray().tolist() == [[0, 0, 0], [1, 5, 3], [4, 0, 0]]
    assert got.bins.counts.dtype == np.int32
    assert got.bins.library.tolist() == [7.0, 30.0, 4.0]
    assert (got.counted, got.outside) == (4, 1)
    assert [e.text.split(" lie")[0] for e in told if isinstance(e, Note)] == ["1 of 5 units (20.0%)"]


@settings(max_examples=30, deadline=None)
@given(molecules)
def test_one_cell_a_transcript_bins_like_transcripts(rows: Any) -> None:
    rows = [*rows, (10.0, 10.0, 1)]
    xy, gene = np.array([row[:2] for row in rows]), np.array([row[2] for row in rows])
    counts = sparse.csr_matrix(np.eye(3, dtype=np.int32)[gene])
    cells = Units(np.arange(len(rows)).astype(str), xy, counts, GENES, Footprint("point"), "stage_um")
    one, other = bin_units(cells, TILTED, GRID).bins, bin_transcripts(transcripts_of(xy, gene), TILTED, GRID).bins
    assert as_dictionary(one) == as_dictionary(other)


def test_bins_lie_where_the_truth_lies(small_run: SimulatedRun) -> None:
    """Counts agree best with the true rates when nothing is shifted, not even by half a superpixel."""
    capture = read_xenium(small_run.bundle)
    assert capture.transcripts is not None
    assert capture.stage_to_morphology is not None
    he = read_image(small_run.he)
    scale = Transform(np.diag([he.require_mpp(), he.require_mpp(), 1.0]), "he_px", "he_um")
    to_he_um = capture.stage_to_morphology.then(Transform(small_run.morphology_to_he, "morphology_px", "he_px")).then(
        scale
    )
    rates = np.asarray(zarr.open_group(small_run.truth / "rates.zarr", mode="r")["rates"][:], dtype=float)
    rates = rates.sum(axis=0).ravel()
    grid = Grid.of_image(he)
    assert grid.size == len(rates)

    def agreement(dx_um: float, dy_um: float) -> float:
        shift = Transform(np.array([[1.0, 0, dx_um], [0, 1.0, dy_um], [0, 0, 1]]), "he_um", "he_um")
        assert capture.transcripts is not None
        bins = bin_transcripts(capture.transcripts, to_he_um.then(shift), grid).bins
        counts = np.bincount(bins.superpixel, bins.library, grid.size)
        return float(np.corrcoef(counts, rates)[0, 1])

    best = agreement(0, 0)
    assert best > 0.8
    for shift in [(4, 0), (-4, 0), (0, 4), (0, -4)]:
        assert agreement(*shift) < best - 0.02


def test_settings_have_units_and_refuse_nonsense() -> None:
    assert BinningSettings().min_qv == 20.0
    with pytest.raises(Exception, match="min_qv"):
        BinningSettings.make({"min_qv": 99})


@pytest.mark.skipif(not VECTORS.is_dir(), reason="the reference vectors are not here")
def test_the_originals_bins_where_they_are_right() -> None:
    """Same lattice, same edges; controls, whatever their class, and off-image bins are left out on purpose."""
    meta = json.loads((VECTORS / "binning_meta.json").read_text())
    rows = list(csv.DictReader((VECTORS / "binning_transcripts.csv").open()))
    genes = GeneTable(("GENEA", "GENEB", "GENEC"))
    kept = [r for r in rows if r["feature_name"] in genes]
    xy = [(float(r["x_location"]), float(r["y_location"])) for r in kept]
    stream = transcripts_of(xy, [genes.index(r["feature_name"]) for r in kept], genes=genes)
    um = 8 / meta["size"]
    height, width = (side * um for side in meta["he_shape_hw"])
    grid = Grid((int(np.ceil(height / 8)), int(np.ceil(width / 8))), (int(height * 2) + 1, int(width * 2) + 1))
    got = bin_transcripts(stream, Transform(np.diag([um, um, 1.0]), "stage_um", "he_um"), grid)
    want = {}
    for line in csv.DictReader((VECTORS / "binning_expected_all.csv").open()):
        column, row = (int(v) for v in line[""].split("_"))
        if column >= 0:  # the bin left of the image is counted as outside
            want |= {(row, column, g): int(line[s]) for g, s in enumerate(genes.symbols) if int(line[s])}
    assert as_dictionary(got.bins) == want
    assert (got.counted, got.outside) == (len(kept) - 1, 1)
    inside = [line[""] for line in csv.DictReader((VECTORS / "binning_expected_inimage.csv").open())]
    names = {f"{c}_{r}" for r, c, _ in want}
    assert names - set(inside) == {"10_0"}  # reaches past the image: the original drops it, the lattice has it


def bent() -> Transform:
    """The tilted transform, and a bend of up to two superpixels after it."""
    rng = np.random.default_rng(6)
    centres = rng.uniform(0, 100, (4, 2))
    flat = np.column_stack([np.ones(4), centres])
    free = np.linalg.svd(flat.T)[2][-1]  # weights without sum or first moment
    spline = Spline(centres, np.outer(free, (0.02, -0.015)), np.array([[4.0, -6.0], [0.03, 0.01], [-0.02, 0.05]]))
    return Transform(TILTED.matrix, "stage_um", "he_um", "spline", bend=Bend(spline, np.diag([1.0, 1.0, 1.0])))


@pytest.mark.parametrize("batch", [10**9, 37])
def test_transcripts_and_units_are_counted_where_the_bend_puts_them(batch: int) -> None:
    rng = np.random.default_rng(1)
    xy, gene = rng.uniform(-20, 120, (600, 2)), rng.integers(0, 3, 600)
    transform = bent()
    want = dict(by_dictionary(transform.apply(xy), gene, STAY, GRID))
    assert as_dictionary(bin_transcripts(transcripts_of(xy, gene, batch), transform, GRID).bins) == want
    assert want != dict(by_dictionary(xy, gene, TILTED, GRID))
    counts = sparse.csr_matrix(np.eye(3, dtype=np.int32)[gene])
    cells = Units(np.arange(600).astype(str), xy, counts, GENES, Footprint("point"), "stage_um")
    assert as_dictionary(bin_units(cells, transform, GRID).bins) == want
