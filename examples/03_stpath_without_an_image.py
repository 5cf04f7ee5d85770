"""STPath without an image and without an encoder: ready-made embeddings, counts for context, and no section.

    python examples/03_stpath_without_an_image.py stfm.pth symbol2ensembl.json INT2.h5 INT2.h5ad var_50genes.json

The five files are the published demonstration's (specs of what is in them: docs/models/stpath.md). Its README reports a
mean correlation of 0.1562 over 50 genes by histology alone, and of 0.2449 where the twentieth of the spots that lies
farthest from the right-most one is shown with its counts, and the others are asked for.
"""

import json
import sys
from pathlib import Path

import anndata
import numpy as np
from scipy import sparse

from napari_pixelgene.arithmetic.metrics import pearson
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.models.base import Context, Everything, TrainingData, TrainingSection, View
from napari_pixelgene.models.registry import get_model
from napari_pixelgene.models.stpath.inputs import nearest
from napari_pixelgene.readers.embeddings import read_embeddings
from napari_pixelgene.stages.training import train


def read(embeddings: Path, counts: Path) -> TrainingSection:
    """The spots of both files, in the order of the embeddings."""
    patches = read_embeddings(embeddings)
    table = anndata.read_h5ad(counts)[list(patches.barcodes)]
    measured = sparse.csr_matrix(table.X)
    n, genes = measured.shape[0], GeneTable(tuple(map(str, table.var_names)))
    everything = Everything(measured, genes, np.ones(n, dtype=bool))
    return TrainingSection(
        embeddings.stem, patches.vectors, sparse.identity(n, format="csr"), measured,
        np.asarray(measured.sum(axis=1)).ravel(), patches.xy_px, everything=everything,
    )  # fmt: skip


def main(files: list[str], **more) -> tuple[float, float]:
    """The mean correlation over the listed genes, by histology alone and in context."""
    weights, vocabulary, embeddings, counts, listed = map(Path, files)
    names = json.loads(listed.read_text(encoding="utf-8"))
    names = names["genes"] if isinstance(names, dict) else names
    section = read(embeddings, counts)
    settings = {"weights": weights, "vocabulary": vocabulary, "organ": "Kidney", "technology": "Visium", **more}
    model = get_model("stpath", settings)
    asked, n = model.named(names), len(section)
    column = section.everything.genes.indices(names)
    everybody = np.ones((1, n), dtype=bool)
    channels = tuple(map(str, range(section.features.shape[1])))
    data = TrainingData((section,), asked, channels, everybody, ~everybody)
    fitted = train(model, data).fitted  # nothing is learned: the weights are read, and the rows of these genes kept

    truth = np.log1p(section.counts[:, column].toarray())
    right = int(np.argmax(section.xy_um[:, 0]))
    masked = np.isin(np.arange(n), nearest(section.xy_um, right, int(0.95 * n)))
    scores = []
    for context, where in ((None, everybody[0]), (Context(section, ~masked[None]), masked)):
        latent = fitted.latent(View(section.features, section.xy_um, 0, context))
        said = fitted.log1p_counts(latent, np.arange(len(names)))
        scores.append(float(np.mean(pearson(said[where], truth[where]))))
    print(f"mean correlation over {len(names)} genes: {scores[0]:.4f} by histology alone, {scores[1]:.4f} in context")
    return scores[0], scores[1]


if __name__ == "__main__":
    if len(sys.argv) != 6:
        raise SystemExit(__doc__)
    main(sys.argv[1:])
