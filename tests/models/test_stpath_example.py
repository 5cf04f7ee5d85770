"""The example without an image, on small files of the same kinds."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import anndata
import h5py
import numpy as np
import pytest
from scipy import sparse

from made_stpath import write_files

EXAMPLE = Path(__file__).parents[2] / "examples" / "03_stpath_without_an_image.py"


def test_the_demonstration_runs_on_files_of_its_kind(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    module = ModuleType("example")
    exec(compile(EXAMPLE.read_text(encoding="utf-8"), str(EXAMPLE), "exec"), module.__dict__)
    made = write_files(tmp_path)
    rng = np.random.default_rng(2)
    n, genes = 60, [f"G{i}" for i in range(12)]
    counts = rng.poisson(4.0, (n, 12))
    barcodes = [f"S{i}" for i in range(n)]
    table = anndata.AnnData(sparse.csr_matrix(counts.astype(np.float32)))
    table.obs_names, table.var_names = barcodes, genes
    table.write_h5ad(tmp_path / "a.h5ad")
    order = rng.permutation(n)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["embeddings"] = rng.normal(size=(n, 6)).astype(np.float32)
        file["coords"] = rng.integers(0, 9000, (n, 2))
        file["barcodes"] = np.array([barcodes[i] for i in order], dtype="S4")[:, None]
    (tmp_path / "genes.json").write_text(json.dumps({"genes": ["G7", "G2", "G9"]}))
    section = module.read(tmp_path / "a.h5", tmp_path / "a.h5ad")
    np.testing.assert_array_equal(section.counts.toarray(), counts[order])
    files = [made["weights"], made["vocabulary"], *(str(tmp_path / name) for name in ("a.h5", "a.h5ad", "genes.json"))]
    alone, shown = module.main(files, released=False)
    assert -1 <= alone <= 1 and -1 <= shown <= 1 and alone != shown
    assert f"{alone:.4f} by histology alone, {shown:.4f} in context" in capsys.readouterr().out
