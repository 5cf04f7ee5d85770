"""Scanner formats: real SVS and written TIFF against our own reader, small NDPI, SCN and MIRAX files made here."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pixelgene.errors import InputError, MissingDependency
from napari_pixelgene.progress import Event, Note
from napari_pixelgene.readers.images import needs_pyramid, read_image
from napari_pixelgene.readers.openslide import is_scanner_tiff, over, read_openslide
from napari_pixelgene.readers.tiff import read_tiff

pytest.importorskip("openslide", reason="the extra `slides` is not installed")

SVS = Path(__file__).parents[2].parent / "shared" / "data" / "slides" / "cmu-1-small-region.svs"
BACKGROUND = (0xF0, 0xE6, 0xC8)


def picture(rows: int, columns: int) -> np.ndarray:
    y, x = np.mgrid[:rows, :columns]
    return np.stack([x * 255 // columns, y * 255 // rows, ((x // 16 + y // 16) % 2) * 200], axis=-1).astype(np.uint8)


def per_cm(um: float) -> dict[str, object]:
    return {"resolution": (1e4 / um, 1e4 / um), "resolutionunit": "CENTIMETER", "metadata": None, "software": None}


def write_ndpi(path: Path, image: np.ndarray, um: float) -> None:
    with tifffile.TiffWriter(path) as tiff:
        for down in (1, 2):
            tags = [(271, "s", 0, "Hamamatsu", True), (65420, "I", 1, 1, True), (65421, "f", 1, 20.0 / down, True)]
            tags += [(code, "i", 1, 0, True) for code in (65422, 65423, 65424)]
            level = image[::down, ::down].copy()
            how = {"level": 98}
            tiff.write(level, photometric="rgb", compression="jpeg", compressionargs=how, rowsperstrip=len(level),
                       extratags=tags, **per_cm(um * down))  # fmt: skip


def write_scn(path: Path, image: np.ndarray, um: float, offset_px: tuple[int, int]) -> None:
    rows, columns = image.shape[:2]
    nm = um * 1000
    sizes = "".join(
        f'<dimension sizeX="{columns // down}" sizeY="{rows // down}" r="{i}" ifd="{i}"/>'
        for i, down in enumerate((1, 2))
    )
    scan = (
        "<scanSettings><objectiveSettings><objective>20</objective></objectiveSettings><illuminationSettings>"
        "<numericalAperture>0.4</numericalAperture><illuminationSource>brightfield</illuminationSource>"
        "</illuminationSettings></scanSettings>"
    )
    xml = (
        '<?xml version="1.0"?><scn xmlns="http://www.leica-microsystems.com/scn/2010/10/01">'
        '<collection name="c" uuid="urn:uuid:1" sizeX="26000000" sizeY="76000000"><image name="i" uuid="urn:uuid:2">'
        '<creationDate>2012-08-21T00:00:00Z</creationDate><device model="Leica SCN400"/>'
        f'<pixels sizeX="{columns}" sizeY="{rows}">{sizes}</pixels><view sizeX="{columns * nm:.0f}" '
        f'sizeY="{rows * nm:.0f}" offsetX="{offset_px[0] * nm:.0f}" offsetY="{offset_px[1] * nm:.0f}"/>{scan}'
        "</image></collection></scn>"
    )
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for down in (1, 2):
            level = image[::down, ::down].copy()
            tiff.write(level, tile=(256, 256), photometric="rgb", description=xml if down == 1 else None,
                       **per_cm(um * down))  # fmt: skip


def write_mirax(path: Path, image: np.ndarray, um: float, scanned: set[tuple[int, int]], side: int = 64) -> None:
    """One level of PNG tiles; those not in `scanned` (row, column) are left out."""
    folder = path.with_suffix("")
    folder.mkdir()
    path.write_bytes(imagecodecs.jpeg8_encode(image[:32, :32].copy()))
    slide_id = b"0123456789ABCDEF0123456789ABCDEF"
    across = image.shape[1] // side
    data, entries = bytearray(b"01.02" + slide_id + bytes(13)), []
    for row, column in sorted(scanned):
        tile = image[row * side : (row + 1) * side, column * side : (column + 1) * side]
        png = imagecodecs.png_encode(np.ascontiguousarray(tile))
        entries.append((row * across + column, len(data), len(png), 0))
        data += png
    (folder / "Data0000.dat").write_bytes(data)
    record = 5 + 32 + 8 + 4
    pages = struct.pack("<ii", 0, record + 16) + struct.pack("<ii", len(entries), 0)
    pages += b"".join(struct.pack("<iiii", *entry) for entry in entries)
    index = b"01.02" + slide_id + struct.pack("<iii", record - 4, record + 8 + len(pages), record)
    (folder / "Index.dat").write_bytes(index + struct.pack("<ii", 0, record + 8) + pages + bytes(16))
    red, green, blue = BACKGROUND
    (folder / "Slidedat.ini").write_text(
        f"[GENERAL]\nSLIDE_ID = {slide_id.decode()}\nIMAGENUMBER_X = {across}\nIMAGENUMBER_Y = {len(image) // side}\n"
        "OBJECTIVE_MAGNIFICATION = 20\nCameraImageDivisionsPerSide = 1\n[HIERARCHICAL]\nHIER_COUNT = 1\n"
        "NONHIER_COUNT = 0\nINDEXFILE = Index.dat\nHIER_0_NAME = Slide zoom level\nHIER_0_COUNT = 1\n"
        "HIER_0_VAL_0_SECTION = L0\n[L0]\nOVERLAP_X = 0\nOVERLAP_Y = 0\n"
        f"MICROMETER_PER_PIXEL_X = {um}\nMICROMETER_PER_PIXEL_Y = {um}\nIMAGE_FORMAT = PNG\n"
        f"IMAGE_FILL_COLOR_BGR = {blue << 16 | green << 8 | red}\nDIGITIZER_WIDTH = {side}\nDIGITIZER_HEIGHT = {side}\n"
        "IMAGE_CONCAT_FACTOR = 0\n[DATAFILE]\nFILE_COUNT = 1\nFILE_0 = Data0000.dat\n"
    )


@pytest.mark.skipif(not SVS.exists(), reason="the real slide is not here")
def test_a_real_svs_has_the_pixels_of_our_own_reader() -> None:
    ours, theirs = read_tiff(SVS), read_openslide(SVS)
    assert [level.shape for level in theirs.levels] == [level.shape for level in ours.levels] == [(2967, 2220, 3)]
    assert theirs.mpp == ours.mpp == 0.499
    assert (theirs.levels[0][300:1100, 700:1900] == ours.levels[0][300:1100, 700:1900]).all()
    assert not is_scanner_tiff(SVS)


def test_levels_of_odd_size_agree_with_our_own_reader(tmp_path: Path) -> None:
    full, path = picture(1301, 1701), tmp_path / "odd.tif"
    with tifffile.TiffWriter(path) as tiff:
        for down in (1, 2, 4):
            tiff.write(full[::down, ::down].copy(), tile=(256, 256), photometric="rgb", subfiletype=int(down > 1),
                       **per_cm(0.5 * down))  # fmt: skip
    ours, theirs = read_tiff(path), read_openslide(path)
    assert theirs.mpp == pytest.approx(0.5) and theirs.levels[0].chunks == (256, 256, 3)  # type: ignore[attr-defined]
    for mine, other, down in zip(ours.levels, theirs.levels, (1, 2, 4), strict=True):
        assert (other[:, :] == full[::down, ::down]).all() and (mine[:, :] == other[:, :]).all()
    assert (theirs.levels[1][3:200:7, 401:30:-2] == full[::2, ::2][3:200:7, 401:30:-2]).all()
    assert theirs.levels[0][5:5, 0:4].shape == (0, 4, 3)


@pytest.mark.parametrize("name", ["slide.ndpi", "misnamed.tif"])
def test_an_ndpi_is_known_by_its_tags(tmp_path: Path, name: str) -> None:
    full, path = picture(600, 800), tmp_path / name
    write_ndpi(path, full, 0.46)
    assert is_scanner_tiff(path)
    image = read_image(path)
    assert image.mpp == pytest.approx(0.46) and image.levels[0].shape == (600, 800, 3)
    assert np.abs(image.levels[0][:, :].astype(int) - full).mean() < 6  # JPEG with halved colour


def test_an_scn_is_counted_from_its_scanned_area(tmp_path: Path) -> None:
    full, path, told = picture(512, 768), tmp_path / "slide.tif", []
    write_scn(path, full, 0.5, (2000, 4000))
    image = read_image(path, on_event=told.append)
    assert image.mpp == pytest.approx(0.5)
    assert [level.shape[:2] for level in image.levels] == [(512, 768), (256, 384)]
    assert (image.levels[0][:, :] == full).all() and (image.levels[1][:, :] == full[::2, ::2]).all()
    assert "x 2,000, y 4,000" in texts(told)[0]


def test_a_mirax_has_its_background_where_nothing_was_scanned(tmp_path: Path) -> None:
    full, path, told = picture(640, 960), tmp_path / "slide.mrxs", []
    scanned = {(row, column) for row in range(2, 9) for column in range(1, 15)} - {(4, 5)}
    write_mirax(path, full, 0.25, scanned)
    image = read_image(path, on_event=told.append)
    wanted = full[128:576, 64:].copy()
    wanted[128:192, 256:320] = BACKGROUND
    assert image.mpp == 0.25 and image.path == path and not needs_pyramid(image)
    assert (image.levels[0][:, :] == wanted).all()
    assert (image.levels[0][100:140, 250:333] == wanted[100:140, 250:333]).all()
    assert "896 × 448 px at x 64, y 128" in texts(told)[0]


def test_a_mirax_without_its_folder_is_told(tmp_path: Path) -> None:
    path = tmp_path / "slide.mrxs"
    path.write_bytes(imagecodecs.jpeg8_encode(picture(32, 32)))
    with pytest.raises(InputError, match="the folder slide beside it") as raised:
        read_image(path)
    assert "Copy that folder" in raised.value.mend


def test_a_damaged_slide_is_told_when_opened_or_read(tmp_path: Path) -> None:
    path = tmp_path / "slide.mrxs"
    write_mirax(path, picture(128, 192), 0.25, {(0, 0), (1, 1), (1, 2)})
    data = tmp_path / "slide" / "Data0000.dat"
    content = data.read_bytes()
    data.write_bytes(content[:60] + bytes(80) + content[140:])
    with pytest.raises(InputError, match=r"slide\.mrxs cannot be decoded at row 0, column 0"):
        read_image(path).levels[0][:, :]
    (tmp_path / "slide" / "Index.dat").write_bytes(b"01.02")
    with pytest.raises(InputError, match="cannot be opened by OpenSlide"):
        read_image(path)


def test_without_openslide_the_command_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "slide.ndpi"
    write_ndpi(path, picture(64, 96), 0.46)
    other = tmp_path / "slide.vms"
    other.write_bytes(b"[Virtual Microscope Specimen]\n")
    monkeypatch.setitem(sys.modules, "openslide", None)
    with pytest.raises(MissingDependency) as raised:
        read_image(path)
    assert 'pip install "napari-pixelgene[slides]"' in raised.value.mend
    with pytest.raises(InputError) as unknown:
        read_image(other)
    assert 'pip install "napari-pixelgene[slides]"' in unknown.value.mend


def test_half_transparent_pixels_are_mixed_with_the_background() -> None:
    rgba = np.array([[[10, 20, 30, 255], [10, 20, 30, 0], [100, 200, 0, 51]]], dtype=np.uint8)
    assert over(rgba, np.array([240, 230, 200], dtype=np.uint16)).tolist() == [
        [[10, 20, 30], [240, 230, 200], [212, 224, 160]]
    ]


def texts(told: list[Event]) -> list[str]:
    return [event.text for event in told if isinstance(event, Note)]
