"""Units with too few counts for what they look like are not learned from (specs/pixel2gene.md section 3.4).

A threshold on counts alone would throw stroma away and keep damaged tumour. So units are grouped by their histology,
and inside each group those at or below a percentile of the counts are left out of learning. They are scored all the
same.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from napari_pixelgene.settings import Section, shown

if TYPE_CHECKING:
    from napari_pixelgene.elements.arrays import Array, BoolArray, FloatArray
    from napari_pixelgene.models.base import TrainingSection

# Groups are found on at most so many units.
_SAMPLE = 50_000


class QualitySettings(Section):
    """Which units are good enough to learn from."""

    percentile: float = Field(
        0.0,
        ge=0,
        lt=100,
        title="Leave out the emptiest",
        description="Units at or below this percentile of the counts of units that look alike are not learned from "
        "(%); 0 keeps all, Pixel2Gene's is 30.",
        json_schema_extra=shown(rare=True),
    )
    clusters: int = Field(
        15,
        ge=1,
        title="Looks",
        description="Groups of units that look alike, by k-means on their features.",
        json_schema_extra=shown(rare=True),
    )


def enough_counts(section: TrainingSection, settings: QualitySettings, seed: int = 0) -> BoolArray:
    """(n,) which units of a section have enough counts for what they look like."""
    if settings.percentile == 0:
        return np.ones(len(section), dtype=bool)
    return above_percentile(section.library, looks(section, settings.clusters, seed), settings.percentile)


def looks(section: TrainingSection, clusters: int, seed: int) -> Array:
    """(n,) group of every unit, by k-means on its mean features."""
    from sklearn.cluster import KMeans

    means = np.nan_to_num(np.asarray(section.pooling @ section.features, dtype=np.float64))
    some = means[:: -(-len(means) // _SAMPLE)]
    found = KMeans(min(clusters, len(some)), n_init=3, random_state=seed).fit(some)
    return np.asarray(found.predict(means))


def above_percentile(total: FloatArray, labels: Array, percentile: float) -> BoolArray:
    """(n,) totals strictly above the percentile (linear) of their group's totals that are not 0; a group of zeros keeps
    none."""
    keep = np.zeros(len(total), dtype=bool)
    for label in np.unique(labels):
        mine = np.flatnonzero(labels == label)
        found = total[mine][total[mine] > 0]
        if found.size:
            keep[mine] = total[mine] > np.percentile(found, percentile)
    return keep
