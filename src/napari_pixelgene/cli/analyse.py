"""`pixelgene analyse`: clusters of a run's maps, names by marker genes, and their tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, Overwrite, SectionPath, default, of, open_section
from napari_pixelgene.errors import SettingsError
from napari_pixelgene.pipeline.analysing import analyse as run_analysis
from napari_pixelgene.stages.analysis import AnalysisSettings

if TYPE_CHECKING:
    from napari_pixelgene.elements.labelling import Labelling
    from napari_pixelgene.pipeline.analysing import Analysis

_SHOWN = 3


@Parameter(name="*")
@dataclass(frozen=True, slots=True, kw_only=True)
class Grouped:
    """How squares are grouped and named."""

    clusters: Annotated[int, of(AnalysisSettings, "clusters")] = default(AnalysisSettings, "clusters")
    components: Annotated[int, of(AnalysisSettings, "components")] = default(AnalysisSettings, "components")
    smallest: Annotated[int, of(AnalysisSettings, "smallest")] = default(AnalysisSettings, "smallest")
    confidence: Annotated[float, of(AnalysisSettings, "confidence")] = default(AnalysisSettings, "confidence")
    seed: Annotated[int, of(AnalysisSettings, "seed")] = default(AnalysisSettings, "seed")


def analyse(
    section: SectionPath,
    *,
    run: Annotated[str, Parameter(help="The run whose maps are analysed.")],
    grouped: Grouped = Grouped(),
    markers: Annotated[
        Path | None, Parameter(help="Name every square by its markers: a CSV with the columns gene and label.")
    ] = None,
    out: Annotated[Path | None, Parameter(help="A folder for the tables.")] = None,
    against: Annotated[
        str | None, Parameter(help="Another analysed run of the section to compare the clusters with.")
    ] = None,
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Group and name the squares of a run's maps, and tell what sets them apart."""
    settings = AnalysisSettings.make(asdict(grouped))
    if markers is None and settings.confidence != AnalysisSettings().confidence:
        raise SettingsError("--confidence is of names, and there are none.", "Give the markers too: --markers FILE.")
    found = run_analysis(open_section(section), run, settings, markers, out, against, overwrite, terminal)
    terminal.result(_values(found), "\n".join(_lines(found)))


def _labellings(found: Analysis) -> list[Labelling]:
    return [one for one in (found.clusters, found.annotation) if one is not None]


def _values(found: Analysis) -> dict[str, Any]:
    counts = {one.kind: dict(zip(one.names, one.squares().tolist(), strict=True)) for one in _labellings(found)}
    return {"run": found.run, **counts, "tables": [str(path) for path in found.tables]}


def _lines(found: Analysis) -> list[str]:
    """A line a cluster and name: its area, and the genes that set it apart most."""
    import numpy as np

    from napari_pixelgene.arithmetic.contrasts import contrasts

    lines = []
    for one in _labellings(found):
        lines.append(f"{one.kind} of '{found.run}':")
        apart, area = contrasts(one.moments).difference, one.squares() * found.superpixel_um**2 / 1e6
        for place, name in enumerate(one.names):
            order = np.argsort(-np.nan_to_num(apart[place], nan=-np.inf), kind="stable")[:_SHOWN]
            genes = ", ".join(found.genes.symbols[gene] for gene in order if apart[place, gene] > 0)
            none = "no gene is higher than elsewhere" if area[place] else "no square"
            lines.append(f"  {name}: {area[place]:.3f} mm²; {genes or none}")
    if found.tables:
        lines.append(f"{len(found.tables)} tables are in {found.tables[0].parent}.")
    return lines
