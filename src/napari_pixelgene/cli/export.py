"""`pixelgene export`: what was measured, or a run's maps, as a table on the H&E."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, Overwrite, SectionPath, counted, open_section
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.exporting import export_moved
from napari_pixelgene.pipeline.exporting_maps import export_predicted_cells, export_squares

if TYPE_CHECKING:
    from napari_pixelgene.store.section import SectionStore

Maps = Literal["squares", "predicted-cells"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class OfMaps:
    """What is to be said of a run's maps alone."""

    run: Annotated[str | None, Parameter(help="The run whose maps are written, for squares and predicted-cells.")] = (
        None
    )
    square_um: Annotated[
        float | None,
        Parameter(help="Side of the squares that maps are summed over, in µm: 16 (default), 32, 64, … up to 1000."),
    ] = None
    outlines: Annotated[
        Path | None,
        Parameter(help="Outlines of cells on the H&E, where they are not the run's own: cell_id, x_he_um, y_he_um."),
    ] = None


def export(
    section: SectionPath,
    *,
    what: Annotated[
        Literal["transcripts", "cells", "boundaries", "nuclei", "squares", "predicted-cells"],
        Parameter(
            help="Measured: transcripts, cells (or spots, bins), or a Xenium run's outlines of cells or of nuclei. "
            "Of a run's maps: larger squares, or what cells hold."
        ),
    ],
    out: Annotated[Path, Parameter(help="The file to write: Parquet, or for maps .h5ad.")],
    capture: Annotated[str | None, Parameter(help="Which run, where the section has several.")] = None,
    of_maps: OfMaps = OfMaps(),
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Write what was measured, or what a run's maps say of squares or cells, with its place on the H&E."""
    _require(what, capture, of_maps)
    store = open_section(section, writable=False)
    if what == "squares" or what == "predicted-cells":
        _export_maps(store, what, (out, capture, overwrite), of_maps, terminal)
        return
    done = export_moved(store, what, out, capture, overwrite, terminal)
    text = f"{counted(done.rows, 'row')} in {out}: x_he_px, y_he_px (pixels of the H&E) and x_he_um, y_he_um (µm)."
    terminal.result({**asdict(done), "path": str(done.path)}, text)


def _require(what: str, capture: str | None, of_maps: OfMaps) -> None:
    """That every option that was given belongs to what is written."""
    measured = what not in ("squares", "predicted-cells")
    for option, value, fits, owner in (
        ("--run", of_maps.run, not measured, "squares and predicted-cells; the others were measured"),
        ("--square-um", of_maps.square_um, what == "squares", "squares"),
        ("--outlines", of_maps.outlines, what == "predicted-cells", "predicted-cells"),
        ("--capture", capture, what != "squares", "what was measured and to predicted-cells"),
    ):
        if value is not None and not fits:
            raise SettingsError(f"{option} belongs to {owner}, and not to --what {what}.", "Leave it out.")
    if capture is not None and of_maps.outlines is not None:
        raise SettingsError("--capture names a run's own outlines, and --outlines others.", "Give one of them.")


def _export_maps(
    store: SectionStore, what: Maps, where: tuple[Path, str | None, bool], of_maps: OfMaps, terminal: Listener
) -> None:
    out, capture, overwrite = where
    if of_maps.run is None:
        raise SettingsError(f"--what {what} needs the run whose maps are meant.", "Name it with --run.")
    if what == "squares":
        side = 16.0 if of_maps.square_um is None else of_maps.square_um
        done = export_squares(store, of_maps.run, out, side, overwrite, terminal)
    else:
        done = export_predicted_cells(store, of_maps.run, out, capture, of_maps.outlines, overwrite, terminal)
    rows = counted(done.rows, "square" if what == "squares" else "cell")
    text = f"{rows} × {counted(done.genes, 'gene')}: {out} ({done.unit})."
    terminal.result({**asdict(done), "path": str(done.path)}, text)
