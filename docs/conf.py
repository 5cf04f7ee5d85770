"""The site: `make docs` builds it out of the Markdown of this repository, and fetches nothing.

The front page lists every page; its headings and links become the side bar, so that no list is kept twice.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
_ABOUT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

project = _ABOUT["name"]
release = version = _ABOUT["version"]
author = _ABOUT["authors"][0]["name"]
copyright = author

# Sources are read from the root of the repository, so that links between README and pages hold on both sides.
root_doc = "docs/index"
include_patterns = [
    "README.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/*.md",
    "docs/models/*.md",
    "benchmarks/RESULTS.md",
]
exclude_patterns = [".git", ".venv*", ".*_cache", "build", "demo", "dist", "docs/_build", "src", "tests", "**/*.zarr"]
extensions = ["myst_parser"]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4
nitpicky = True

html_theme = "furo"
html_title = project
html_show_copyright = False
html_copy_source = False

_PICTURE = re.compile(r"^!\[[^\]]*\]\((pictures/[^)\s]+)\)\n", re.M)
_PAGE = re.compile(r"\]\(([^)\s#]+)\.md\)")


def without_missing_pictures(text: str) -> str:
    """A page without the pictures that no test has taken yet (docs/pictures/README.md lists them all)."""
    return _PICTURE.sub(lambda found: found[0] if (ROOT / "docs" / found[1]).is_file() else "", text)


def side_bar(text: str) -> str:
    """A table of contents for every heading of the front page, in the order of its links."""
    parts = (part.partition("\n") for part in text.split("\n## ")[1:])
    return "".join(_contents(heading, _PAGE.findall(links)) for heading, _, links in parts)


def _contents(heading: str, pages: list[str]) -> str:
    listed = "\n".join(dict.fromkeys(pages))
    return f"\n```{{toctree}}\n:hidden:\n:caption: {heading}\n\n{listed}\n```\n" if pages else ""


def _read(app: Any, page: str, source: list[str]) -> None:
    source[0] = without_missing_pictures(source[0])
    if page == root_doc:
        source[0] += side_bar(source[0])


def _written(app: Any, failed: Exception | None) -> None:
    """The folder itself opens at the front page."""
    if failed is None and app.builder.format == "html":
        there = f'<!doctype html><meta http-equiv="refresh" content="0; url={root_doc}.html">\n'
        (Path(app.outdir) / "index.html").write_text(there, encoding="utf-8")


def setup(app: Any) -> None:
    """Sphinx calls this."""
    app.connect("source-read", _read)
    app.connect("build-finished", _written)
