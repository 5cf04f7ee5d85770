"""`pixelgene run CONFIG.toml`: the whole flow as a file says."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from napari_pixelgene.cli.options import Listener, Overwrite
from napari_pixelgene.pipeline.config import read_config, to_toml
from napari_pixelgene.pipeline.running import run_config


def run(
    config: Annotated[Path, Parameter(help="A TOML file with the tables import, register, tissue, features, fit, …")],
    *,
    print_config: Annotated[
        bool, Parameter(help="Print the settings as they would be used, and do nothing.", negative="")
    ] = False,
    overwrite: Overwrite = False,
    terminal: Listener,
) -> None:
    """Do the whole flow as a TOML file says."""
    read = read_config(config)
    if print_config:
        terminal.result({"config": read.tables()}, to_toml(read.tables()))
        return
    terminal.result(run_config(read, terminal, overwrite), f"{config.name} is done.")
