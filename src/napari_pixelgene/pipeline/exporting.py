"""What was measured, on the H&E: transcripts, cells and outlines with their places in its pixels and µm, to Parquet."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.errors import StoreError
from napari_pixelgene.exporters.moved import Moved, Placing, write_moved
from napari_pixelgene.pipeline.slide import open_slide, reopen, require_capture, source_of, to_he_um
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.progress import Note, OnEvent, silent
from napari_pixelgene.readers.cell_outlines import Outlines, by_cell
from napari_pixelgene.readers.whole_rows import WholeRows, open_rows
from napari_pixelgene.readers.xenium import find_bundle, find_transcripts
from napari_pixelgene.readers.xenium_cells import read_boundaries
from napari_pixelgene.store.tables import take_part, take_positions

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import FloatArray
    from napari_pixelgene.store.captures import StoredCapture
    from napari_pixelgene.store.section import SectionStore

What = Literal["transcripts", "cells", "boundaries", "nuclei"]

# Xenium's tables: the names they may have, without their ends, and their columns of x and y, in µm of the stage.
_CELLS = ("cells", ("x_centroid", "y_centroid"))
_OUTLINES = ("vertex_x", "vertex_y")
_ENDS = (".parquet", ".csv.gz", ".csv")
_BATCH_ROWS = 200_000
_STAGE = "export"


def export_transcripts(
    store: SectionStore, out: Path, capture: str | None = None, overwrite: bool = False, on_event: OnEvent = silent
) -> Moved:
    """Every transcript of a run with its place on the H&E.

    Of a Xenium run all rows and columns of its file, whatever their quality; of others the accepted molecules as
    `feature_name` with their own x and y. Raises StoreError before the run is registered, or where it has none.
    """
    found = _require(store, out, capture, overwrite)
    bundle = _bundle(store, found)
    if bundle is not None:
        rows = open_rows(find_transcripts(bundle), ("x_location", "y_location", "feature_name"))
        return _written(store, found, out, rows, ("x_location", "y_location"), on_event)
    if found.transcripts is None:
        raise StoreError(f"The run '{found.name}' has no transcripts.", "Export its units: --what cells.")
    columns = (f"x_{found.frame}", f"y_{found.frame}")
    return _written(store, found, out, _stream(store, found, columns, on_event), columns, on_event)


def export_cells(
    store: SectionStore, out: Path, capture: str | None = None, overwrite: bool = False, on_event: OnEvent = silent
) -> Moved:
    """The cells of a Xenium run with all columns of their table, or the units of another run (spots, bins, cells) by
    name with their counts; each with its place on the H&E."""
    found = _require(store, out, capture, overwrite)
    bundle = _bundle(store, found)
    if bundle is not None:
        name, columns = _CELLS
        return _written(store, found, out, open_rows(_table(bundle, name), ("cell_id", *columns)), columns, on_event)
    if not found.units_count:
        raise StoreError(f"The run '{found.name}' has no cells.", "Export its molecules: --what transcripts.")
    columns = (f"x_{found.frame}", f"y_{found.frame}")
    return _written(store, found, out, _units(found, columns), columns, on_event)


def export_boundaries(
    store: SectionStore,
    out: Path,
    capture: str | None = None,
    overwrite: bool = False,
    on_event: OnEvent = silent,
    *,
    nuclei: bool = False,
) -> Moved:
    """The outlines of a Xenium run's cells, or of its nuclei, a vertex a row in the order of the file, each with its
    place on the H&E."""
    found = _require(store, out, capture, overwrite)
    bundle = _bundle(store, found)
    if bundle is None:
        raise StoreError(
            f"The run '{found.name}' has no outlines; only Xenium runs bring them.", "Export its units: --what cells."
        )
    rows = open_rows(_table(bundle, "nucleus_boundaries" if nuclei else "cell_boundaries"), ("cell_id", *_OUTLINES))
    return _written(store, found, out, rows, _OUTLINES, on_event)


def outlines_um(store: SectionStore, capture: StoredCapture) -> Outlines:
    """{cell: polygons (n, 2) in H&E µm} of a Xenium run that is registered; NaN where a vertex has no place."""
    bundle = _bundle(store, capture)
    if bundle is None:
        raise StoreError(
            f"The run '{capture.name}' has no outlines; only Xenium runs bring them.",
            "Give outlines on the H&E: --outlines FILE.",
        )
    placing = Placing(to_he_um(store, capture, "stage_um"), float(store.meta()["mpp"]), open_slide(store).yx_shape)
    frame = read_boundaries(_table(bundle, "cell_boundaries")).collect()
    places = placing.places(frame.select(_OUTLINES).to_numpy())
    return by_cell(frame.with_columns(x=places[:, 0], y=places[:, 1]), ("x", "y"))


def export_moved(
    store: SectionStore,
    what: What,
    out: Path,
    capture: str | None = None,
    overwrite: bool = False,
    on_event: OnEvent = silent,
) -> Moved:
    """One of the exports by its name."""
    ways: dict[What, Callable[..., Moved]] = {
        "transcripts": export_transcripts,
        "cells": export_cells,
        "boundaries": export_boundaries,
        "nuclei": export_boundaries,
    }
    more = {"nuclei": True} if what == "nuclei" else {}
    return ways[what](store, out, capture, overwrite, on_event, **more)


def _require(store: SectionStore, out: Path, name: str | None, overwrite: bool) -> StoredCapture:
    """The capture, which must have a place on the slide; and a place for the file."""
    found = require_capture(store, name)
    to_he_um(store, found, found.frame)
    if out.suffix.lower() != ".parquet":
        raise StoreError(f"{out} is to be Parquet.", "Give a name that ends in .parquet.")
    if out.exists() and not overwrite:
        raise StoreError(f"{out} is there already.", "Choose another name, or pass --overwrite.")
    if not out.absolute().parent.is_dir():
        raise StoreError(f"There is no folder {out.absolute().parent}.", "Make it, or choose another place.")
    return found


def _bundle(store: SectionStore, capture: StoredCapture) -> Path | None:
    """The folder of a Xenium run, where its tables lie now."""
    source = source_of(store, capture)
    return find_bundle(source.bundle) if isinstance(source, XeniumSource) else None


def _table(bundle: Path, name: str) -> Path:
    there = (bundle / f"{name}{end}" for end in _ENDS)
    return next((path for path in there if path.is_file()), bundle / f"{name}.parquet")


def _written(
    store: SectionStore, capture: StoredCapture, out: Path, rows: WholeRows, columns: tuple[str, str], on_event: OnEvent
) -> Moved:
    frame = "stage_um" if _bundle(store, capture) is not None else capture.frame
    mpp = float(store.meta()["mpp"])
    to_px = Transform(np.diag([1 / mpp, 1 / mpp, 1.0]), "he_um", "he_px")
    kind = capture.to_he.kind if capture.to_he is not None else "given"
    to_he = replace(to_he_um(store, capture, frame).then(to_px), kind=kind)
    placing = Placing(to_he, mpp, open_slide(store).yx_shape)
    done = write_moved(out, rows.batches(), columns, placing, rows.rows, on_event)
    for count, where in ((done.outside, "outside the H&E"), (done.placeless, "nowhere on the H&E (NaN)")):
        if count:
            on_event(Note(f"{count:,} of {done.rows:,} rows in {out.name} lie {where}.", "info", _STAGE))
    return done


def _stream(store: SectionStore, capture: StoredCapture, columns: tuple[str, str], on_event: OnEvent) -> WholeRows:
    """The accepted molecules of a run that is not Xenium's."""
    found = reopen(store, capture, on_event).transcripts
    assert found is not None
    genes = np.array(found.genes.symbols, dtype=object)

    def batches() -> Iterator[pa.RecordBatch]:
        for batch in found.batches():
            yield _batch({"feature_name": pa.array(genes[batch.gene], pa.string())}, batch.xy, columns)

    return WholeRows(found.path, ("feature_name", *columns), found.rows, batches)


def _units(capture: StoredCapture, columns: tuple[str, str]) -> WholeRows:
    table, xy = take_part(capture.path, "obs"), take_positions(capture.path)
    ids, counts = table.index.astype(str).to_numpy(), table["library"].to_numpy()

    def batches() -> Iterator[pa.RecordBatch]:
        for start in range(0, len(xy), _BATCH_ROWS):
            some = slice(start, start + _BATCH_ROWS)
            named = {"cell_id": pa.array(ids[some], pa.string()), "counts": pa.array(counts[some])}
            yield _batch(named, xy[some], columns)

    return WholeRows(capture.path, ("cell_id", "counts", *columns), len(xy), batches)


def _batch(named: dict[str, pa.Array], xy: FloatArray, columns: tuple[str, str]) -> pa.RecordBatch:
    sides = {name: pa.array(np.asarray(xy[:, i], dtype=np.float64)) for i, name in enumerate(columns)}
    return pa.RecordBatch.from_pydict({**named, **sides})
