"""`pixelgene predict`: maps of a run over sections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPaths, default, holder, of, open_section, open_sections
from napari_pixelgene.pipeline import learning
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.pipeline.refining import CELL_LESS, CellLess
from napari_pixelgene.readers.gene_list import read_gene_list

if TYPE_CHECKING:
    from collections.abc import Sequence


def predict(
    sections: SectionPaths,
    /,
    *,
    run: Annotated[str, Parameter(help="Name of the trained run.")],
    source: Annotated[
        Path | None, Parameter(name="--from", help="The section that holds the run, where none of these does.")
    ] = None,
    genes: Annotated[
        tuple[str, ...],
        Parameter(
            help="Predict these only: symbols, or file:FILE.", consume_multiple=True, negative="", show_default=False
        ),
    ] = (),
    device: Annotated[str, of(FitSettings, "device")] = default(FitSettings, "device"),
    cell_less: Annotated[CellLess, Parameter(help=CELL_LESS)] = "keep",
    terminal: Listener,
) -> None:
    """Predict gene maps over sections with a trained run."""
    stores = open_sections(sections)
    home = open_section(source, writable=False) if source is not None else holder(stores, run)
    chosen = _symbols(genes)
    for store in stores:
        maps = learning.predict(store, run, home, chosen, terminal, device, cell_less)
        values = {"section": str(store.path), "run": run, "genes": len(maps.genes), "unit": maps.unit}
        values["yx_shape"] = list(maps.levels[0].shape[1:])
        terminal.result(values, f"{store.path.name}: maps of {_counted(len(maps.genes))} ({maps.unit}).")


def _counted(genes: int) -> str:
    return "1 gene" if genes == 1 else f"{genes:,} genes"


def _symbols(genes: Sequence[str]) -> list[str] | None:
    if not genes:
        return None
    listed = [read_gene_list(Path(g.removeprefix("file:"))) if g.startswith("file:") else (g,) for g in genes]
    return [symbol for some in listed for symbol in some]
