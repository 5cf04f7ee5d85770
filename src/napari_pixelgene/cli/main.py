"""`pixelgene`: one subcommand a stage in flow order, each loaded only when it is asked for.

What all subcommands share is here: how progress is shown, what an error becomes, the version. A subcommand is a
function in a file of its own; this table names it and says in one sentence what it does.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Annotated, Any

from cyclopts import App, CycloptsError, Group, MissingArgumentError, Parameter

from napari_pixelgene import __version__
from napari_pixelgene.cli.faults import guarded
from napari_pixelgene.cli.terminal import Mode, Terminal
from napari_pixelgene.errors import SettingsError

_HERE = "napari_pixelgene.cli"
_FLOW = Group("The flow, in order", sort_key=0)
_WHOLE = Group("The whole flow at once", sort_key=1)
_AROUND = Group("Look, find, mend", sort_key=2)
_EVERYWHERE = Group("With every command", sort_key=9)

# (group, name, where, one sentence), in the order of `--help`.
_COMMANDS = (
    (_FLOW, "register", "register:register", "Align a run to the H&E, from keypoints or a matrix."),
    (_FLOW, "tissue", "tissue:tissue", "Find the tissue on the H&E, or take a mask."),
    (_FLOW, "features", "features:features", "Compute the histology features of sections."),
    (_FLOW, "fit", "fit:fit", "Train a model on one or several sections."),
    (_FLOW, "predict", "predict:predict", "Predict gene maps over sections with a trained run."),
    (_FLOW, "evaluate", "evaluate:evaluate", "Score a model on tissue it has not seen, beside its controls."),
    (_FLOW, "analyse", "analyse:analyse", "Group and name the squares of a run's maps, and tell what sets them apart."),
    (_WHOLE, "compare", "compare:compare", "Score several models on the same held-out tissue, as a TOML file says."),
    (_WHOLE, "run", "run:run", "Do the whole flow as a TOML file says."),
    (_WHOLE, "queue", "queue:queue", "Predict a folder of slides with one run; one that fails stops no other."),
    (_WHOLE, "demo", "demo:demo", "Simulate a small slide and do the whole flow on it."),
    (_WHOLE, "simulate", "simulate:simulate", "Write a synthetic slide and its Xenium run, with known truth."),
    (_AROUND, "info", "info:info", "Tell what is in a section and what is stale."),
    (
        _AROUND,
        "export",
        "export:export",
        "Write what was measured, with places on the H&E, or a run's maps of squares or cells.",
    ),
    (_AROUND, "relink", "relink:relink", "Tell a section where its files have moved to."),
    (_AROUND, "models", "models:models", "List the models and encoders, and their settings."),
    (_AROUND, "encoders", "encoders:encoders", "List the encoders, what each needs, and what is missing here."),
    (_AROUND, "doctor", "doctor:doctor", "Tell what works on this machine, what is missing, and how to mend it."),
)
_IMPORTS = (
    ("xenium", "A section from an H&E and a Xenium output folder."),
    ("visium", "A section from a Visium output folder, and the full-resolution H&E where there is one."),
    ("visium-hd", "A section from a Visium HD output folder, and the full-resolution H&E where there is one."),
    ("st", "A section from an H&E and a legacy Spatial Transcriptomics table."),
    ("cosmx", "A section from an H&E and the flat files of a CosMx run."),
    ("iscale", "A section from an iSCALE project: the mother slide with each daughter as a capture."),
    ("prefix", "A section from the folder that Pixel2Gene, iSCALE and iStar work in."),
    ("table", "A section from an H&E and a table: MERSCOPE, Stereo-seq, your own."),
    ("anndata", "A section from an H&E and an AnnData with positions (.h5ad or Zarr)."),
    ("spatialdata", "A section from a SpatialData store, and its H&E or another."),
    ("image", "A section from an H&E alone, to be predicted on."),
)


def _make_app() -> App:
    app = App(
        name="pixelgene",
        help="Super-resolution gene maps from H&E slides and spatial transcriptomics.",
        version=__version__,
        print_error=False,
        exit_on_error=False,
        result_action="return_value",
    )
    imports = App(name="import", help="Bring files into a section, by reference.", group=_FLOW, sort_key=0)
    for name, sentence in _IMPORTS:
        imports.command(f"{_HERE}.importing:import_{name.replace('-', '_')}", name=name, help=sentence)
    app.command(imports)
    for place, (group, name, where, sentence) in enumerate(_COMMANDS, start=1):
        app.command(f"{_HERE}.{where}", name=name, help=sentence, group=group, sort_key=place)
    return app


def main(argv: list[str] | None = None) -> int:
    """Run the command line on `argv` (default: the process's own); returns the exit code."""
    app = _make_app()

    @app.meta.default
    def launch(
        *tokens: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        progress: Annotated[
            Mode,
            Parameter(
                help="auto (bars on a terminal), bars, json (JSON lines on standard output) or none.", group=_EVERYWHERE
            ),
        ] = "auto",
        quiet: Annotated[bool, Parameter(help="Say warnings and errors only.", negative="", group=_EVERYWHERE)] = False,
        debug: Annotated[
            bool, Parameter(help="Show the traceback of an error.", negative="", group=_EVERYWHERE)
        ] = False,
    ) -> int:
        with Terminal(progress, quiet) as terminal:
            return guarded(lambda: _dispatch(app, tokens, terminal), terminal, debug)

    # Before the options are read nobody knows how errors are wanted: they are told plainly.
    return guarded(lambda: _asked(lambda: app.meta(sys.argv[1:] if argv is None else argv)), Terminal("none"))


def _dispatch(app: App, tokens: tuple[str, ...], terminal: Terminal) -> int:
    """Find the subcommand, hand it the listener, run it."""

    def run() -> Any:
        command, bound, ignored = app.parse_args(tokens)
        extra = {"terminal": terminal} if "terminal" in ignored else {}
        return command(*bound.args, **bound.kwargs, **extra)

    return _asked(run)


def _asked(run: Callable[[], Any]) -> int:
    """An option that does not exist or has no such value is a person's to mend."""
    try:
        return int(run() or 0)
    except CycloptsError as error:
        raise SettingsError(_problem(error), "See: pixelgene COMMAND --help.") from None


def _problem(error: CycloptsError) -> str:
    """One sentence; of a settings section the first field that is wrong."""
    cause = error.__cause__
    if cause is not None and hasattr(cause, "errors"):
        first = cause.errors()[0]
        option = "-".join(map(str, first["loc"])).replace("_", "-")
        return f"--{option}: {first['msg']}." if option else f"{first['msg']}."
    if isinstance(error, MissingArgumentError) and error.argument is not None and not error.unused_tokens:
        return f"'pixelgene {' '.join(error.command_chain or ())}' needs {error.argument.name}."
    return " ".join(str(error).split())


def entry() -> None:
    """The console script."""
    sys.exit(main())


if __name__ == "__main__":
    entry()
