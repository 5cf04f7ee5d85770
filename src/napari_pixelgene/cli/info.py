"""`pixelgene info`: what is in a section."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, SectionPath, open_section
from napari_pixelgene.pipeline.describing import describe


def info(
    section: SectionPath,
    *,
    json: Annotated[bool, Parameter(help="As one JSON document.", negative="")] = False,
    terminal: Listener,
) -> None:
    """Tell what is in a section and what is stale."""
    found = describe(open_section(section, writable=False))
    terminal.result(found, "\n".join(_lines(found)), json)


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    rows, columns = found["grid"].get("yx_shape", (0, 0))
    side = found["grid"].get("superpixel_um", 0)
    yield f"{found['section']}: {columns} × {rows} superpixels of {side:g} µm; the H&E has {found['mpp']} µm per pixel"
    for file in found["files"]:
        yield f"  file      {file['key']}: {file['path']}" + (
            "" if file["state"] == "there" else f"  ({file['state']})"
        )
    for c in found["captures"]:
        size = f"{c['transcripts']:,} transcripts" if c["transcripts"] is not None else f"{c['units']:,} units"
        state = "" if c["registered"] else "  (not registered)"
        yield f"  capture   {c['name']}: {c['technology']}, {size}, {c['genes']:,} genes{state}"
        if c["verdict"] is not None:
            since = "  (what it rests on has changed since)" if f"verdict/{c['name']}" in found["stale"] else ""
            yield f"            {c['verdict']['sentence']}{since}"
    yield f"  tissue    {found['tissue'] or 'not found yet'}"
    for encoder in found["features"]:
        yield f"  features  {encoder}"
    for run in found["runs"]:
        yield from _run(run)
    for maps in found["maps"]:
        labels = f"; {', '.join(maps['labels'])}" if maps["labels"] else ""
        yield f"  maps      {maps['name']}: {maps['unit']}{labels}"
    for key, reason in found["stale"].items():
        yield f"  stale     {key}: {reason}"
    for name in found["unfinished"]:
        yield f"  unfinished  {name}: the next run continues it"


def _run(run: Mapping[str, Any]) -> Iterator[str]:
    """A run: what it is, what it cost, how well it does where it has not looked."""
    took = "" if run["seconds"] is None else f", {run['seconds']:.0f} s"
    learned = f"{run['model']} on {run['encoder']}, {run['genes']:,} genes, trained on {', '.join(run['train'])}{took}"
    yield f"  run       {run['name']}: {learned}" + ("" if run["purpose"] == "prediction" else "  (for its scores)")
    if run["scores"] is not None:
        yield f"            {run['scores']['verdict']}"
