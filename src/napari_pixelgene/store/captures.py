"""Captures as imported: units as AnnData, transcripts as a reference, keypoints and transform beside them."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy import sparse

from napari_pixelgene.elements.alignment import Frame, Keypoints, Transform
from napari_pixelgene.elements.arrays import FloatArray
from napari_pixelgene.elements.capture import Capture, Footprint, Units
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.elements.image import Image
from napari_pixelgene.elements.transcripts import Transcripts
from napari_pixelgene.errors import StoreError
from napari_pixelgene.store import tables
from napari_pixelgene.store.alignments import (
    ALIGNMENT,
    decode_transform,
    encode_alignment,
    encode_transform,
    read_alignment,
)
from napari_pixelgene.store.arrays import put_genes, take_genes
from napari_pixelgene.store.by_gene import put_by_gene
from napari_pixelgene.store.disk import disk_errors, require_free
from napari_pixelgene.store.documents import plain, read_attributes, update_attributes, write_group
from napari_pixelgene.store.references import ATTRIBUTE, Reference
from napari_pixelgene.store.section import SectionStore, make_group, open_group

# The reference to an image that a person gave for a run that brings none.
MORPHOLOGY = "morphology"
# Columns beside the counts, where units are spots of an array: as Space Ranger calls them.
_LATTICE = ("array_col", "array_row")
# The record of the import that made the section; a capture that was added later has `import/NAME`.
IMPORT = "import"


@dataclass(frozen=True, slots=True)
class StoredCapture:
    """A capture on disk: what it is, at once; its units when asked for; its files by reference.

    `references` holds the source's files by its keys, `source` the source as plain values. `frame` is that of the
    units or transcripts. `transcripts` is `{"rows", "filters", "frame"}` of a capture that came with transcripts, else
    None. `import_key` names the record of its import; `own_mpp` is there where it was added to the slide of another
    one: µm per pixel of its own image, or of its positions.
    """

    name: str
    technology: str
    genes: GeneTable
    references: Mapping[str, Reference]
    transcripts: Mapping[str, Any] | None
    units_count: int
    stage_to_morphology: Transform | None
    to_he: Transform | None
    keypoints: Keypoints | None
    fingerprint: str
    path: Path
    frame: Frame
    source: Mapping[str, Any]
    facts: Mapping[str, Any]
    import_key: str = IMPORT
    own_mpp: float | None = None

    def units(self) -> Units | None:
        """All units with their counts, or None where the capture has transcripts only."""
        if not (self.path / tables.COUNTS).exists():
            return None
        table = tables.take_table(self.path)
        notes = table.uns
        return Units(
            ids=np.asarray(table.obs_names, dtype=str),
            xy=np.asarray(table.obsm["spatial"]),
            counts=sparse.csr_matrix(table.layers[tables.COUNTS]),
            genes=tables.genes_of(table),
            footprint=Footprint(notes["footprint"]["shape"], float(notes["footprint"]["size_um"])),
            frame=notes["frame"],
            library=table.obs["library"].to_numpy(),
            lattice=table.obs[list(_LATTICE)].to_numpy(np.int64) if set(_LATTICE) <= set(table.obs) else None,
        )

    def footprint(self) -> Footprint | None:
        """What a unit covers, without reading units; None where the capture has transcripts only."""
        if not (self.path / tables.COUNTS).exists():
            return None
        notes = tables.take_part(self.path, "uns")["footprint"]
        return Footprint(str(notes["shape"]), float(notes["size_um"]))  # type: ignore[arg-type]

    def unit_places(self) -> tuple[FloatArray, FloatArray]:
        """Centres (n, 2) in `frame` and totals (n,) of the units, without their counts."""
        if not (self.path / tables.COUNTS).exists():
            return np.zeros((0, 2)), np.zeros(0)
        return tables.take_positions(self.path), tables.take_column(self.path, "library")

    def unit_rows(self, start: int, stop: int) -> sparse.csr_matrix:
        """Counts of units [start, stop), without reading the others."""
        return tables.take_rows(self.path, start, stop)

    def element(self, transcripts: Transcripts | None = None, morphology: tuple[Image, ...] = ()) -> Capture:
        """The capture as an element, with what the pipeline opened again from `references`."""
        return Capture(
            name=self.name,
            technology=self.technology,
            genes=self.genes,
            units=self.units(),
            transcripts=transcripts,
            morphology=morphology,
            facts=dict(self.facts),
            stage_to_morphology=self.stage_to_morphology,
            to_he=self.to_he,
            keypoints=self.keypoints,
        )


def write_capture(
    store: SectionStore,
    capture: Capture,
    references: Mapping[str, Reference],
    fingerprint: str = "",
    source: Mapping[str, Any] | None = None,
    import_key: str = IMPORT,
    own_mpp: float | None = None,
) -> None:
    """Publish a capture. Imported again, it keeps its keypoints and transform unless it brings its own.

    Transcripts and morphology are not copied: `references` says where their files are, `source` how to read them.
    """
    if capture.units is None and "transcripts" not in references:
        raise StoreError(
            f"The capture '{capture.name}' has neither units nor a reference to transcripts.",
            "Give references['transcripts'], or units.",
        )
    partial = store.afresh("captures", capture.name)
    with disk_errors(partial.path):
        values = {ATTRIBUTE: dict(references), "fingerprint": fingerprint, "source": plain(source or {})}
        added = {"import_key": import_key, "own_mpp": own_mpp}
        write_group(partial.path, {**_attributes(capture), **values, **added})
        put_genes(make_group(partial.path), capture.genes)
        if capture.units is not None:
            _put_units(partial.path, capture.units)
        _put_alignment(partial.path, capture, store.find("captures", capture.name, ALIGNMENT))
    partial.publish()


def read_capture(store: SectionStore, name: str) -> StoredCapture:
    """A finished capture; its counts stay on disk until `units()`."""
    folder = store.locate("captures", name)
    values = read_attributes(folder)
    keypoints, to_he = read_alignment(store, name)
    given = values.get("stage_to_morphology")
    return StoredCapture(
        name=name,
        technology=values["technology"],
        genes=take_genes(open_group(folder, writable=False)),
        references=values[ATTRIBUTE],
        transcripts=values.get("transcripts"),
        units_count=values["units"],
        stage_to_morphology=decode_transform(given) if given else None,
        to_he=to_he,
        keypoints=keypoints,
        fingerprint=values["fingerprint"],
        path=folder,
        frame=values["frame"],
        source=values["source"],
        facts=values["facts"],
        import_key=values.get("import_key", IMPORT),
        own_mpp=values.get("own_mpp"),
    )


def write_morphology(store: SectionStore, name: str, ref: Reference, stage_to_morphology: Transform) -> None:
    """Refer to an image that a person gave for a capture, and say how the run's µm lie on it."""
    store.require_writable()
    folder = store.locate("captures", name)
    known = read_attributes(folder).get(ATTRIBUTE, {})
    values = {
        ATTRIBUTE: {**known, MORPHOLOGY: dict(ref)},
        "stage_to_morphology": encode_transform(stage_to_morphology),
    }
    with disk_errors(folder):
        update_attributes(folder, values)


def _attributes(capture: Capture) -> dict[str, Any]:
    stream = capture.transcripts
    return {
        "technology": capture.technology,
        "frame": _frame(capture),
        "facts": dict(capture.facts),
        "units": 0 if capture.units is None else len(capture.units),
        "transcripts": stream and {"rows": stream.rows, "filters": dict(stream.filters), "frame": stream.frame},
        "stage_to_morphology": capture.stage_to_morphology and encode_transform(capture.stage_to_morphology),
    }


def _frame(capture: Capture) -> Frame:
    if capture.transcripts is not None:
        return capture.transcripts.frame
    return capture.units.frame if capture.units is not None else "stage_um"


def _put_units(folder: Path, units: Units) -> None:
    counts = units.counts
    require_free(folder, counts.data.nbytes + counts.indices.nbytes, "The counts of the units")
    footprint = {"shape": units.footprint.shape, "size_um": float(units.footprint.size_um)}
    notes = {"footprint": footprint, "frame": units.frame}
    columns = {"library": units.library}
    if units.lattice is not None:
        columns |= dict(zip(_LATTICE, units.lattice.T, strict=True))
    tables.put_table(folder, counts, units.genes, units.ids, units.xy, columns, notes)
    put_by_gene(folder, counts)


def _put_alignment(folder: Path, capture: Capture, older: Path | None) -> None:
    """The capture's own keypoints and transform, else those a person made for it before."""
    place = folder / ALIGNMENT
    if capture.keypoints is not None or capture.to_he is not None:
        write_group(place, encode_alignment(capture.keypoints, capture.to_he))
    elif older is not None:
        shutil.copytree(older, place)
