"""`pixelgene predict`: maps of a run over sections."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPaths, default, holder, of, open_section, open_sections
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline import learning
from napari_pixelgene.pipeline.densifying import denser_spots, write_denser_spots
from napari_pixelgene.pipeline.learning import FitSettings
from napari_pixelgene.pipeline.refining import CELL_LESS, CellLess
from napari_pixelgene.readers.gene_list import read_gene_list

if TYPE_CHECKING:
    from collections.abc import Sequence

    from napari_pixelgene.store.section import SectionStore


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
    denser: Annotated[
        Path | None,
        Parameter(help="Write predictions at four times as many spots as were measured to this .h5ad, and no maps."),
    ] = None,
    terminal: Listener,
) -> None:
    """Predict gene maps over sections with a trained run."""
    stores = open_sections(sections)
    home = open_section(source, writable=False) if source is not None else holder(stores, run)
    chosen = _symbols(genes)
    if denser is not None:
        _write_denser(stores, run, home, chosen, (denser, device), terminal)
        return
    for store in stores:
        maps = learning.predict(store, run, home, chosen, terminal, device, cell_less)
        values = {"section": str(store.path), "run": run, "genes": len(maps.genes), "unit": maps.unit}
        values["yx_shape"] = list(maps.levels[0].shape[1:])
        terminal.result(values, f"{store.path.name}: maps of {_counted(len(maps.genes))} ({maps.unit}).")


def _write_denser(
    stores: Sequence[SectionStore],
    run: str,
    home: SectionStore,
    genes: list[str] | None,
    where: tuple[Path, str],
    terminal: Listener,
) -> None:
    out, device = where
    if len(stores) > 1:
        raise SettingsError("--denser writes one file.", "Name one section.")
    if len(stores[0].captures()) > 1:
        raise SettingsError(
            f"--denser makes the spots of one capture denser, and {stores[0].path.name} has several.",
            "Name it from Python: denser_spots(store, run, capture=…).",
        )
    table = denser_spots(stores[0], run, home, None, genes, terminal, device)
    write_denser_spots(table, out)
    measured = int(table.obs["measured_there"].sum())
    values = {"section": str(stores[0].path), "run": run, "genes": table.n_vars, "spots": table.n_obs, "path": str(out)}
    text = f"{out}: {_counted(table.n_vars)} at {table.n_obs:,} spots, {measured:,} of them where one was measured."
    terminal.result(values, text)


def _counted(genes: int) -> str:
    return "1 gene" if genes == 1 else f"{genes:,} genes"


def _symbols(genes: Sequence[str]) -> list[str] | None:
    if not genes:
        return None
    listed = [read_gene_list(Path(g.removeprefix("file:"))) if g.startswith("file:") else (g,) for g in genes]
    return [symbol for some in listed for symbol in some]
