"""Pyramids in the store: exact means, bounded reads, and a killed conversion that continues."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from guarded import GuardedArray
from napari_pixelgene.elements.image import Image
from napari_pixelgene.errors import Cancelled
from napari_pixelgene.progress import Note, Progress
from napari_pixelgene.store.pyramids import read_pyramid, write_pyramid
from napari_pixelgene.store.section import SectionStore


@pytest.fixture
def store(tmp_path: Path) -> SectionStore:
    return SectionStore.create(tmp_path / "a.section.zarr")


def picture(rows: int, columns: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def area_means(image: np.ndarray, side: int) -> np.ndarray:
    rows, columns = (-(-n // side) for n in image.shape[:2])
    padded = np.full((rows * side, columns * side, 3), np.nan)
    padded[: image.shape[0], : image.shape[1]] = image
    return np.nanmean(padded.reshape(rows, side, columns, side, 3), axis=(1, 3))


@pytest.mark.parametrize("chunks", [(64, 1303, 3), (256, 256, 3)])
def test_a_strip_or_tile_source_becomes_a_pyramid_of_exact_means(store: SectionStore, chunks: tuple[int, ...]) -> None:
    image = picture(1201, 1303)
    source = GuardedArray(image, limit=(512, 1303), chunks=chunks)
    events: list = []
    out = write_pyramid(store, Image((source,), 0.25, Path("he.tif"), "he"), on_event=events.append)
    assert [lv.shape for lv in out.levels] == [(1201, 1303, 3), (601, 652, 3), (301, 326, 3)]
    assert out.mpp == 0.25 and out.name == "he" and source.reads == 3
    np.testing.assert_array_equal(out.levels[0][500:530, 1290:], image[500:530, 1290:])
    np.testing.assert_allclose(np.asarray(out.levels[1][:, :]), area_means(image, 2), atol=0.5)
    np.testing.assert_allclose(np.asarray(out.levels[2][:300, :325]), area_means(image, 4)[:300, :325], atol=1)
    steps = [e for e in events if isinstance(e, Progress)]
    assert steps[0].done == 0 and steps[-1].done == steps[-1].total == 3 + 2 + 1


def test_a_stopped_conversion_continues_behind_the_last_band(store: SectionStore) -> None:
    source = GuardedArray(picture(1201, 700), limit=(512, 700), chunks=(64, 700, 3))
    image = Image((source,), 0.5, None, "he")

    def stop(event: object) -> None:
        if isinstance(event, Progress) and event.done == 2:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_pyramid(store, image, on_event=stop)
    assert source.reads == 2 and store.names("images") == []
    out = write_pyramid(store, image)
    assert source.reads == 3 and store.names("images") == ["he"]
    np.testing.assert_array_equal(np.asarray(out.levels[0][:, :]), picture(1201, 700))


def test_another_source_starts_afresh(store: SectionStore) -> None:
    first = GuardedArray(picture(700, 600), limit=(512, 600), chunks=(64, 600, 3))
    second = GuardedArray(255 - picture(700, 600), limit=(512, 600), chunks=(64, 600, 3))

    def stop(event: object) -> None:
        if isinstance(event, Progress) and event.done == 1:
            raise Cancelled

    with pytest.raises(Cancelled):
        write_pyramid(store, Image((first,), 0.5), fingerprint="a", on_event=stop)
    out = write_pyramid(store, Image((second,), 0.5), fingerprint="b")
    np.testing.assert_array_equal(np.asarray(out.levels[0][:, :]), 255 - picture(700, 600))


def test_the_metadata_is_ome_zarr_with_half_pixel_translations(store: SectionStore) -> None:
    write_pyramid(store, Image((picture(1100, 90),), 0.3, None, "slide"), "mother")
    (scale,) = store.group("images", "mother").attrs["ome"]["multiscales"]  # type: ignore[index,call-overload]
    assert [a["name"] for a in scale["axes"]] == ["c", "y", "x"] and scale["axes"][1]["unit"] == "micrometer"
    got = [[t[k] for t, k in zip(d["coordinateTransformations"], ("scale", "translation"), strict=True)]
           for d in scale["datasets"]]  # fmt: skip
    want = [[[1, 0.3 * 2**k, 0.3 * 2**k], [0, 0.15 * 2**k, 0.15 * 2**k]] for k in range(3)]
    np.testing.assert_allclose(got, want)


def test_an_image_that_is_decoded_whole_is_told_with_its_size(store: SectionStore) -> None:
    class Whole(GuardedArray):
        pass

    source = Whole(np.zeros((4200, 40, 3), np.uint8), limit=(512, 40), chunks=(4200, 40, 3))
    events: list = []
    write_pyramid(store, Image((source,), None, Path("he.jpg"), "he"), on_event=events.append)
    (note,) = [e for e in events if isinstance(e, Note)]
    assert "he.jpg" in note.text and "504.0 kB" in note.text
    assert read_pyramid(store).mpp is None


def test_one_channel_of_sixteen_bits_keeps_its_type(store: SectionStore) -> None:
    image = np.random.default_rng(0).integers(0, 60_000, (530, 513), dtype=np.uint16)
    out = write_pyramid(store, Image((image.astype(">u2"),), 0.2125, None, "dapi"), "dapi")
    assert [lv.shape for lv in out.levels] == [(530, 513), (265, 257)] and out.levels[0].dtype == np.uint16
    np.testing.assert_array_equal(np.asarray(out.levels[0][:, :]), image)
    assert out.levels[1][264, 256] == pytest.approx(image[528:, 512].mean(), abs=0.5)
