"""Ready-made embeddings: the files of HEST, STPath and TRIDENT, and what is said of others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.embeddings import embeddings_width, read_embeddings

VECTORS = np.arange(15, dtype=np.float32).reshape(5, 3) / 7
COORDS = np.array([[10, 400], [60, 20], [5, 5], [900, 41], [17, 18]])
BARCODES = ("AAAC-1", "AAAG-1", "AACC-1", "ACCA-1", "TTTG-1")


def write(path: Path, patch: Any = None, **tables: Any) -> Path:
    with h5py.File(path, "w") as file:
        for name, values in tables.items():
            file.create_dataset(name, data=values, maxshape=(None, *np.shape(values)[1:]), chunks=True)
        if patch is not None:
            file["coords"].attrs["patch_size_level0"] = patch
    return path


def as_bytes(barcodes: tuple[str, ...]) -> np.ndarray:
    return np.array(barcodes, dtype="S10")[:, None]


def test_hest_and_stpath_files(tmp_path: Path) -> None:
    path = write(tmp_path / "INT2.h5", embeddings=VECTORS, coords=COORDS, barcodes=as_bytes(BARCODES))
    found = read_embeddings(path)
    assert found.vectors.dtype == np.float32 and found.barcodes == BARCODES and found.patch_px == 0
    np.testing.assert_array_equal(found.vectors, VECTORS)
    np.testing.assert_array_equal(found.xy_px, COORDS)
    assert len(found) == 5 and embeddings_width(path) == 3


@pytest.mark.parametrize("batch", [False, True])
def test_trident_files(batch: bool, tmp_path: Path) -> None:
    vectors = (VECTORS[None] if batch else VECTORS).astype(np.float16)
    found = read_embeddings(write(tmp_path / "slide.h5", 448, features=vectors, coords=COORDS.astype(np.int64)))
    assert found.barcodes == () and found.patch_px == 448 and found.vectors.shape == (5, 3)
    np.testing.assert_allclose(found.vectors, VECTORS, atol=1e-3)


def test_what_is_wrong_is_said(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with pytest.raises(InputError, match="There is no file of embeddings"):
        read_embeddings(path)
    path.write_bytes(b"no hdf5 at all")
    with pytest.raises(InputError, match=r"a\.h5 is no HDF5 file"):
        read_embeddings(path)
    with pytest.raises(InputError, match=r"has no 'embeddings' \(it has: coords, img\)"):
        read_embeddings(write(path, img=VECTORS, coords=COORDS))
    with pytest.raises(InputError, match=r"has no 'coords' \(it has: embeddings\)"):
        read_embeddings(write(path, embeddings=VECTORS))
    with pytest.raises(InputError, match=r"5 vectors, coordinates of shape \(4, 2\) and 5 barcodes"):
        read_embeddings(write(path, embeddings=VECTORS, coords=COORDS[:4], barcodes=as_bytes(BARCODES)))
    with pytest.raises(InputError, match=r"5 vectors, coordinates of shape \(5, 2\) and 2 barcodes"):
        read_embeddings(write(path, embeddings=VECTORS, coords=COORDS, barcodes=as_bytes(BARCODES[:2])))
    with pytest.raises(InputError, match="the barcode 'AAAC-1' in rows 1 and 4"):
        twice = as_bytes((*BARCODES[:3], BARCODES[0], BARCODES[4]))
        read_embeddings(write(path, embeddings=VECTORS, coords=COORDS, barcodes=twice))
    with pytest.raises(InputError, match="2 rows that are not finite, the first is row 3"):
        holes = VECTORS.copy()
        holes[[2, 4], [0, 1]] = np.nan, np.inf
        read_embeddings(write(path, embeddings=holes, coords=COORDS))
    with pytest.raises(InputError, match=r"'embeddings' in .* has shape \(5,\)"):
        read_embeddings(write(path, embeddings=VECTORS[:, 0], coords=COORDS))
    with pytest.raises(InputError, match=r"'embeddings' in .* has shape \(0, 3\)"):
        read_embeddings(write(path, embeddings=VECTORS[:0], coords=COORDS))
