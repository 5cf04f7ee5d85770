"""`pixelgene doctor`: what works on this machine."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener
from napari_pixelgene.doctor import examine


def doctor(
    *,
    weights: Annotated[
        bool, Parameter(help="Also open the weights of every encoder and hold them against it.", negative="")
    ] = False,
    json: Annotated[bool, Parameter(help="As one JSON document.", negative="")] = False,
    terminal: Listener,
) -> int:
    """Tell what works on this machine, what is missing, and how to mend it."""
    findings = examine(terminal, weights)
    able = all(f.state != "broken" for f in findings if f.essential)
    said = "The main job can run." if able else "The main job cannot run on this machine as it is."
    lines = [f"{_MARK[f.state]:<8} {f.name}: {f.said}" + (f"\n         {f.mend}" if f.mend else "") for f in findings]
    values = {"able": able, "findings": [f.as_dict() for f in findings]}
    terminal.result(values, "\n".join([*lines, "", said]), json)
    return 0 if able else 1


_MARK = {"works": "works", "missing": "missing", "broken": "BROKEN"}
