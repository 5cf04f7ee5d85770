"""A verdict on a registration: good, look here, or do not use, with the numbers behind it.

Three witnesses are heard. Nuclei: where both images show them, matching says how far apart they lie, which is the error
itself. Pairs: what they leave over, and how far the fit moves when one of them is left out; they know nothing of a
mistake that all of them share. Outlines of the tissue: coarse, and yet they see such a mistake once it is large. Nuclei
decide wherever there are enough of them, and they alone can call a registration good. Neighbouring sections share no
nuclei: there pairs and outlines are heard, and held to what such sections allow.
"""

from napari_pixelgene.stages.verdict.evidence import (
    PairEvidence,
    VerdictSettings,
    doubt,
    grid_places,
    map_of,
    with_far_look,
)
from napari_pixelgene.stages.verdict.judging import hears_nuclei, judge

STAGE = "verdict"

__all__ = [
    "STAGE",
    "PairEvidence",
    "VerdictSettings",
    "doubt",
    "grid_places",
    "hears_nuclei",
    "judge",
    "map_of",
    "with_far_look",
]
