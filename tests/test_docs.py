"""Prose that nothing runs goes stale: links lead somewhere, command lines parse, code and names are real."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import json
import re
import shlex
import tomllib
import types
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

import napari_pixelgene
from napari_pixelgene.cli import main as command

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    page for page in DOCS.rglob("*.md") if page.parent.name != "pictures"
)
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)
LINK = re.compile(r"(?<!!)\[(?:[^\]]|!\[[^\]]*\]\([^)]*\))+\]\(([^)]+)\)")
PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)]+)\)")
CODE = re.compile(r"`([^`\n]+)`")


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def prose(page: Path) -> str:
    """A page without its blocks of code."""
    return BLOCK.sub("", text(page))


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def blocks(language: str) -> list[Any]:
    found = ((p, i, m) for p in PAGES for i, m in enumerate(BLOCK.finditer(text(p)), start=1))
    return [pytest.param(m[2], id=f"{named(p)}:{i}") for p, i, m in found if m[1] == language]


# Links


@cache
def anchors(page: Path) -> frozenset[str]:
    """The headings of a page as a link names them; the second of two alike gets a number, on GitHub and on the site."""
    heads = re.findall(r"^#+ (.+)$", prose(page), re.M)
    names = [re.sub(r"[^\w\- ]", "", head.lower()).strip().replace(" ", "-") for head in heads]
    return frozenset(f"{name}-{n}" if (n := names[:i].count(name)) else name for i, name in enumerate(names))


def lost_links(page: Path) -> list[str]:
    """Links of a page that lead nowhere. Nothing is asked of the network: an address is only looked at."""
    return [target for target in LINK.findall(prose(page)) if not leads_somewhere(page, target)]


def leads_somewhere(page: Path, target: str) -> bool:
    if ":" in target.partition("#")[0]:
        return bool(re.fullmatch(r"https://[\w-]+(\.[\w-]+)+(/[\w.~%+/-]*)?(#[\w-]+)?", target))
    place, _, anchor = target.partition("#")
    other = (page.parent / place).resolve() if place else page
    inside = other.is_relative_to(ROOT) and other.exists()
    return inside and (not anchor or (other.suffix == ".md" and anchor in anchors(other)))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_lead_somewhere(page: Path) -> None:
    assert not lost_links(page)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_links_are_written_so_that_they_are_checked(page: Path) -> None:
    """Neither HTML nor links by reference, which the tests above would not see; addresses are links or code."""
    bare = CODE.sub("", prose(page))
    assert not re.findall(r"<\s*(?:a|img)\b|^\[[^\]]+\]:|\]\[[^\]]*\]", bare, re.M | re.I)
    assert not re.findall(r"(?<![(\w])https?://", bare)


@pytest.mark.parametrize(
    "link",
    ["gone.md", "index.md#no-such-heading", "#nowhere", "http://example.org", "https://example", "../../", "conf.py#a"],
)
def test_a_dead_link_would_be_seen(link: str) -> None:
    assert not leads_somewhere(DOCS / "faq.md", link)
    assert leads_somewhere(DOCS / "faq.md", "https://example.org/a/b.html#c")


# Pictures


def agreed_pictures() -> set[str]:
    """What docs/pictures/README.md lists: a test of the window takes them."""
    return set(re.findall(r"^\| `([\w-]+\.png)` \|", text(DOCS / "pictures" / "README.md"), re.M))


def test_pages_show_the_pictures_that_are_agreed() -> None:
    shown = [(page, *found) for page in PAGES for found in PICTURE.findall(prose(page))]
    assert all(words.strip() for _, words, _ in shown), "a picture without words says nothing to who cannot see it"
    assert all((page.parent / target).resolve().parent == DOCS.resolve() / "pictures" for page, _, target in shown)
    assert {Path(target).name for _, _, target in shown} == agreed_pictures()


def test_pictures_are_pictures() -> None:
    there = sorted((DOCS / "pictures").glob("*.png"))
    assert {each.name for each in there} <= agreed_pictures()
    assert all(each.read_bytes().startswith(b"\x89PNG\r\n") for each in there)


# The site


def site() -> types.ModuleType:
    """docs/conf.py as a module; it needs no sphinx."""
    spec = importlib.util.spec_from_file_location("conf", DOCS / "conf.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_side_bar_holds_every_page_of_the_site() -> None:
    conf = site()
    listed = re.findall(r"^(?!:|```)(\S+)$", conf.side_bar(text(DOCS / "index.md")), re.M)
    pages = {p.resolve() for pattern in conf.include_patterns for p in ROOT.glob(pattern)} - {DOCS / "index.md"}
    assert {(DOCS / f"{name}.md").resolve() for name in listed} == pages


def test_a_picture_that_is_not_taken_yet_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = site()
    monkeypatch.setattr(conf, "ROOT", tmp_path)
    (tmp_path / "docs" / "pictures").mkdir(parents=True)
    (tmp_path / "docs" / "pictures" / "there.png").write_bytes(b"")
    page = "a\n![x](pictures/there.png)\n![y](pictures/gone.png)\nb\n"
    assert conf.without_missing_pictures(page) == "a\n![x](pictures/there.png)\nb\n"


def test_every_page_is_in_the_index() -> None:
    linked = {(DOCS / target.partition("#")[0]).resolve() for target in LINK.findall(text(DOCS / "index.md"))}
    assert linked >= {page.resolve() for page in PAGES if page.name != "index.md"}


# Command lines


def shell_lines(page: Path) -> Iterator[str]:
    for _, code in BLOCK.findall(text(page)):
        yield from code.replace("\\\n", " ").splitlines()


COMMANDS = sorted({line.strip() for page in PAGES for line in shell_lines(page) if line.startswith("pixelgene ")})


@pytest.fixture
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads its options and stops there."""

    def parse(app: Any, tokens: tuple[str, ...], terminal: Any) -> int:
        return command._asked(lambda: bool(app.parse_args(tokens)) - 1)

    monkeypatch.setattr(command, "_dispatch", parse)


def test_there_are_command_lines_for_every_command() -> None:
    shown = {line.split()[1] for line in COMMANDS} | {m.split()[1] for m in inline_commands()}
    assert shown >= {"import", *(name for _, name, _, _ in command._COMMANDS)}
    assert anchors(DOCS / "command-line.md") >= shown - {"COMMAND"}


@pytest.mark.usefixtures("parse_only")
@pytest.mark.parametrize("line", COMMANDS)
def test_command_lines_parse(line: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = command.main(shlex.split(line, comments=True)[1:])
    assert code == 0, capsys.readouterr().err


@pytest.mark.usefixtures("parse_only")
@pytest.mark.parametrize("line", ["pixelgene fit --trian A.section.zarr --run a", "pixelgene register A --kind round"])
def test_a_wrong_command_line_would_be_seen(line: str) -> None:
    assert command.main(shlex.split(line)[1:]) == 2


def inline_commands() -> list[str]:
    """`pixelgene fit --run` in a sentence."""
    return [code for page in PAGES for code in CODE.findall(prose(page)) if code.startswith("pixelgene ")]


def test_options_in_sentences_exist() -> None:
    """`--mpp` alone must be an option of some command, and the name of a command must be one."""
    names = [*(f"import {kind}" for kind, _ in command._IMPORTS), *(name for _, name, _, _ in command._COMMANDS)]
    known = {option for name in names for option in options(name)} | {"--help", "--version"}
    ours = [c for page in PAGES for c in CODE.findall(prose(page)) if not c.startswith(("napari ", "python ", "pip "))]
    said = {option for code in ours for option in re.findall(r"(?<!\S)--[\w-]+", code)}
    assert said <= known, said - known
    asked = {line.split()[1] for line in inline_commands()} - {"COMMAND"}
    assert asked <= {"import", *names}, asked


@cache
def options(name: str) -> frozenset[str]:
    """Every option a command takes, as cyclopts resolves them."""
    app = command._make_app()
    for part in name.split():
        app = app[part]
    found = app.assemble_argument_collection()
    shared = {"--progress", "--quiet", "--debug"}
    return frozenset({n for argument in found for n in argument.names if n.startswith("--")} | shared)


@pytest.mark.parametrize("code", blocks("toml"))
def test_settings_files_are_read(code: str, tmp_path: Path) -> None:
    from napari_pixelgene.pipeline.comparing.settings import SplitSettings, read_comparison
    from napari_pixelgene.pipeline.config import read_config

    (tmp_path / "flow.toml").write_text(code, encoding="utf-8")
    tables = tomllib.loads(code)
    if "models" in tables:
        assert len(read_comparison(tmp_path / "flow.toml").models) == len(tables["models"])
        return
    if set(tables) == {"split"}:
        assert SplitSettings.make(tables["split"]).kind == tables["split"]["kind"]
        return
    if set(tables) == {"project"}:  # an entry point: the example's own
        example = tomllib.loads(text(ROOT / "examples" / "third_party_model" / "pyproject.toml"))
        assert tables["project"]["entry-points"] == example["project"]["entry-points"]
        return
    config = read_config(tmp_path / "flow.toml")
    assert config.imports and config.fit is not None


@pytest.mark.parametrize("code", blocks("json"))
def test_alignments_are_read(code: str) -> None:
    from napari_pixelgene.readers.alignment_json import parse_alignment

    assert json.loads(code)
    assert all(part is not None for part in parse_alignment("docs", code))


# Code


def imported(tree: ast.Module) -> dict[str, Any]:
    """What a block's imports give; a name that is not there fails."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                found[alias.asname or alias.name.split(".")[0]] = importlib.import_module(alias.name)
        elif isinstance(node, ast.ImportFrom) and node.module:
            module = importlib.import_module(node.module)
            found |= {alias.asname or alias.name: getattr(module, alias.name) for alias in node.names}
    return found


def resolved(node: ast.expr, names: dict[str, Any]) -> Any:
    """The object that a dotted name means, where it begins at an import; else None."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        owner = resolved(node.value, names)
        return getattr(owner, node.attr) if isinstance(owner, types.ModuleType | type) else None
    return None


def check_call(called: Any, call: ast.Call) -> None:
    """The arguments of a call fit the signature of ours; a settings section has the fields."""
    if not str(getattr(called, "__module__", "")).startswith("napari_pixelgene"):
        return
    keywords = {keyword.arg: None for keyword in call.keywords if keyword.arg}
    if any(isinstance(argument, ast.Starred) for argument in call.args):
        return
    inspect.signature(called).bind(*[None] * len(call.args), **keywords)


@pytest.mark.parametrize("code", blocks("python"))
def test_python_is_real(code: str) -> None:
    """It compiles, its imports exist, and what it calls takes these arguments."""
    tree = ast.parse(code)
    compile(tree, "docs", "exec")
    names = imported(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = resolved(call.func, names)
        if called is not None:
            check_call(called, call)


def test_a_wrong_call_would_be_seen() -> None:
    code = "import napari_pixelgene as pg\npg.predict(1, 'run', gnees=['A'])"
    with pytest.raises(TypeError, match="gnees"):
        test_python_is_real(code)


def test_every_public_name_is_explained() -> None:
    explained = set(CODE.findall(prose(DOCS / "python.md")))
    assert explained >= set(napari_pixelgene.__all__) - {"__version__"}


# Words on the screen

WINDOW_PAGES = [DOCS / "first-steps.md", DOCS / "my-data.md", DOCS / "faq.md"]
# Bold, and no button: how a part of a page begins.
PARTS = {
    "You have", "Clicks.", "Command.", "What can go wrong.",
    "Learn from both", "Learn from one, score on the other", "Learn from one, predict the other",
}  # fmt: skip


def manifest() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(text(ROOT / "napari.yaml"))
    return found


def plain(label: str) -> str:
    """A label without the mark of its key and without what a program fills in around it."""
    return label.replace("&&", "\0").replace("&", "").replace("\0", "&").strip()


@cache
def on_the_screen() -> frozenset[str]:
    """Every text that stands in the window's code, the titles of sources, and the labels of their forms."""
    package = ROOT / "src" / "napari_pixelgene"
    trees = [ast.parse(text(file)) for file in (package / "gui").rglob("*.py")]
    nodes = (node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Constant))
    said = {plain(node.value) for node in nodes if isinstance(node.value, str)}
    from napari_pixelgene.pipeline.sources.registry import SOURCES, source_class

    sources = [source_class(kind) for kind in SOURCES]
    fields = [(name, field) for source in sources for name, field in source.model_fields.items()]
    labels = {field.title or label_of(name) for name, field in fields}
    return frozenset(said | labels | {source.title for source in sources} | {manifest()["display_name"]})


def label_of(field: str) -> str:
    """As the window's forms write a field (gui/forms.py, which a machine without a screen cannot import)."""
    words = field.replace("_um2", " (µm²)").replace("_um", " (µm)").replace("_px", " (px)").replace("_", " ")
    return words[:1].upper() + words[1:]


@pytest.mark.parametrize("page", WINDOW_PAGES, ids=named)
def test_bold_words_are_on_the_screen(page: Path) -> None:
    bold = set(re.findall(r"\*\*([^*]+)\*\*", CODE.sub("", prose(page)).replace("\n", " "))) - PARTS
    assert {re.sub(r"\s+", " ", each).rstrip(":") for each in bold} <= on_the_screen()


def test_a_button_that_is_not_there_would_be_seen() -> None:
    assert "Find it" in on_the_screen() and "H&E" in on_the_screen() and "Align by itself" not in on_the_screen()


def test_menus_in_sentences_are_those_of_the_manifest() -> None:
    parts = manifest()["contributions"]
    widgets = {each["display_name"] for each in parts["widgets"]}
    said = [re.sub(r"\s+", " ", found) for page in PAGES for found in re.findall(r"\*([^*]+ ▸ [^*]+)\*", prose(page))]
    ours = {each.split(" ▸ ")[2] for each in said if each.startswith(f"Plugins ▸ {manifest()['display_name']} ▸ ")}
    assert ours and ours <= widgets
    samples = " ".join(each["display_name"] for each in parts["sample_data"])
    assert {e.split(" ▸ ")[3] for e in said if e.startswith("File ▸ Open Sample ▸ PixelGene ▸")} <= {samples}


# Names in sentences

PLACES = (ROOT, ROOT / "src" / "napari_pixelgene", DOCS)
STORED = re.compile(r"^(captures|tissue|features|models|maps|images|outs|truth|demo|morphology_focus)/")
WRITTEN = re.compile(r"[A-Z]{3,}|<|…|\*|,|\$")  # placeholders and patterns, not names


def is_path(code: str) -> bool:
    looks = re.fullmatch(r"[\w./-]+(\.py|\.md|\.sh|\.toml|\.yaml|/)", code)
    return bool(looks) and not STORED.match(code) and not WRITTEN.search(code)


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_files_in_sentences_exist(page: Path) -> None:
    asked = {code for code in CODE.findall(prose(page)) if is_path(code)}
    rooms = {file.name for file in (ROOT / "src" / "napari_pixelgene").rglob("*.py")}
    there = {c for c in asked if c in rooms or any((place / c).exists() for place in PLACES)}
    assert asked - there <= {"jobs.py", "utils.py"}, asked - there  # told to be missing


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_dotted_names_in_sentences_exist(page: Path) -> None:
    for code in CODE.findall(prose(page)):
        if re.fullmatch(r"napari_pixelgene(\.\w+)+", code):
            assert dotted(code)


def dotted(name: str) -> Any:
    """The module, or the name in its module."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


def test_the_keys_of_a_score_are_those_that_are_written() -> None:
    import numpy as np

    from napari_pixelgene.elements.scores import QuantityScores, SectionScores

    ones = np.ones(2)
    scores = QuantityScores(ones, ones, ones, dict.fromkeys(("permuted", "total_only"), ones))
    page = text(DOCS / "accuracy.md")
    keys = {key for key in scores.as_dict() if not key.endswith("_reason")}
    listed = set(re.findall(r"^\w+(?:  [\w.]+)+$", page, re.M))
    assert {key for line in listed for key in line.split()} == keys
    section = SectionScores("A", ("a", "b"), 1, None, (), scores, scores).as_dict()
    assert {key for key in section if not key.endswith("_reason")} <= set(CODE.findall(page))


def test_the_exit_codes_are_those_of_the_command() -> None:
    from napari_pixelgene.cli import faults

    said = {int(code) for code in re.findall(r"^\| (\d+) \|", text(DOCS / "command-line.md"), re.M)}
    assert said == {0, faults.DEFECT, faults.BAD_INPUT, faults.STOPPED, faults.NO_READER}


def test_what_is_not_there_is_still_not_there() -> None:
    """When one of these arrives, the README has to say so."""
    from napari_pixelgene.encoders.registry import available_encoders
    from napari_pixelgene.models.registry import _MODELS

    missing = text(ROOT / "README.md").partition("## What is not there yet")[2].partition("\n## ")[0]
    own = {name for name, target in _MODELS.items() if target.startswith("napari_pixelgene.")}
    assert own >= {"pixel2gene", "iscale", "histex", "histosge", "stpath", "ridge"} and "**Weights**" in missing
    assert all(f"`{name}`" in missing for name in available_encoders())
    runs = ["xenium", "visium", "visium-hd", "st", "cosmx", "iscale", "prefix", "table", "anndata", "spatialdata"]
    assert [name for name, _ in command._IMPORTS] == [*runs, "image"]
    docks = {each["display_name"] for each in manifest()["contributions"]["widgets"]}
    assert docks == {"All four docks", "Section", "Register", "Run", "Genes"} and "docks" not in missing


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_no_page_names_a_machine(page: Path) -> None:
    assert not re.search(r"(?<![\w.<])/(?:root|home|Users|work|tmp|var|opt|mnt)/", text(page))
