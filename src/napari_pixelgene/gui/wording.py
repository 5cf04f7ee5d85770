"""Sentences of the engine in the window's words: where it names a command or an option, the dock or field is named."""

from __future__ import annotations

import re

_COMMANDS = (
    (r"take them so with --mend", "“Use it so”"),
    (r"Register it: pixelgene register \S+ --keypoints FILE(\s*\(or --matrix FILE\))?", "Do that in the Register dock"),
    (r" \(--radius-is [a-z-]+\)", ""),  # the words before it are those of the choice
    (r"pixelgene register \S+ --keypoints FILE(\s*\(or --matrix FILE\))?", "Do that in the Register dock"),
    (r"give --direction", "choose “Import ▸ Matrix …”"),
    (r"--direction (\w+)", r"“Import ▸ Matrix … (\1)”"),
    (r"\(pixelgene register --sections same\)", "(“the same section” in the list above)"),
    (r"\(pixelgene register --sections serial\)", "(“neighbouring sections” in the list above)"),
    (r"See where: pixelgene register \S+ --report \S+", "See where in the Register dock."),
    (r"pixelgene relink \S+?(?=[.\s]*$|\s)", "“relink…” in the Section dock"),
    (r"pixelgene predict [^.]*--from SECTION", "“Predict” in the Run dock"),
    (r"`?pixelgene import( [a-z-]+)?`?", "“New…” in the Section dock"),
    (r"`?pixelgene (fit|evaluate|predict|models)\b`?", "the Run dock"),
)
# Options that a person sees under another name.
_FIELDS = {
    "mpp": "Pixel size",
    "he": "H&E",
    "mask": "Load a mask…",
    "run": "Name",
    "keypoints": "Import",
    "matrix": "Import",
    "overwrite": "another name",
    "allow-mirror": "images are mirrored",
    "min-qv": "Least quality (QV)",
    "pixel-um": "CosMx pixel (µm)",
    "counts": "Run",
    "device": "Device",
}


def in_window(text: str) -> str:
    """The same sentence for somebody who has no shell."""
    for pattern, words in _COMMANDS:
        text = re.sub(pattern, words, text)
    return re.sub(r"(?<!pip install )--([a-z][a-z-]*)", lambda found: f"“{_field(found.group(1))}”", text)


def _field(option: str) -> str:
    return _FIELDS.get(option, option.replace("-um", " (µm)").replace("-", " ").capitalize())
