import itertools
import time
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from napari_pixelgene.arithmetic.resampling import work_pixels
from napari_pixelgene.arithmetic.tiles import Span, Tile
from napari_pixelgene.errors import InputError
from napari_pixelgene.progress import Note
from napari_pixelgene.readers.images import needs_pyramid, read_image
from napari_pixelgene.readers.tiff import read_channels, rgb_of_ycbcr

SLIDES = Path(__file__).parents[2].parent / "shared" / "data" / "slides"
OME = {"PhysicalSizeX": 0.25, "PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}


def picture(rows: int = 301, columns: int = 443) -> np.ndarray:
    return np.random.default_rng(5).integers(0, 256, (rows, columns, 3), dtype=np.uint8)


def pyramid(path: Path, image: np.ndarray, **options) -> Path:
    """An OME-TIFF with SubIFD levels, as Bio-Formats, QuPath and 10x write them."""
    with tifffile.TiffWriter(path, bigtiff=options.pop("bigtiff", False)) as tiff:
        tiff.write(image, subifds=2, tile=(64, 64), metadata={**OME, **options})
        for step in (2, 4):
            tiff.write(np.ascontiguousarray(image[::step, ::step]), subfiletype=1, tile=(64, 64), metadata=None)
    return path


def needs(path: Path) -> Path:
    if not path.exists():
        pytest.skip(f"{path.name} is not in this clone")
    return path


def told(events: list) -> str:
    return " | ".join(e.text for e in events if isinstance(e, Note))


@pytest.mark.parametrize("bigtiff", [False, True])
def test_an_ome_pyramid_gives_its_levels_lazily(tmp_path, bigtiff):
    image = picture()
    read = read_image(pyramid(tmp_path / "he.ome.tif", image, bigtiff=bigtiff))
    assert [lv.shape for lv in read.levels] == [(301, 443, 3), (151, 222, 3), (76, 111, 3)]
    assert read.mpp == 0.25 and read.name == "he" and not isinstance(read.levels[0], np.ndarray)
    np.testing.assert_array_equal(read.levels[0][70:201, 5:300], image[70:201, 5:300])
    np.testing.assert_array_equal(read.levels[1][3:9, 7:11], image[::2, ::2][3:9, 7:11])


def test_a_pyramid_of_consecutive_pages_is_one_too(tmp_path):
    image, path = picture(), tmp_path / "vips.tif"
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for step in (1, 2, 4):
            level = np.ascontiguousarray(image[::step, ::step])
            tiff.write(level, tile=(64, 64), metadata=None, subfiletype=int(step > 1))
    assert [lv.shape[0] for lv in read_image(path).levels] == [301, 151, 76]


@pytest.mark.parametrize(
    ("unit", "value", "mpp"),
    [("nm", 250.0, 0.25), ("mm", 0.00025, 0.25), ("Å", 2500.0, 0.25), ("pixel", 3.0, None), ("cm", 0.000025, 0.25)],
)
def test_ome_units_become_micrometres(tmp_path, unit, value, mpp):
    sizes = {f"PhysicalSize{a}": value for a in "XY"} | {f"PhysicalSize{a}Unit": unit for a in "XY"}
    read = read_image(pyramid(tmp_path / "a.ome.tif", picture(), **sizes))
    assert read.mpp == (None if mpp is None else pytest.approx(mpp))


def test_oblong_pixels_are_refused_unless_a_size_is_given(tmp_path):
    path = pyramid(tmp_path / "a.ome.tif", picture(), PhysicalSizeY=0.5)
    with pytest.raises(InputError, match=r"0\.25 × 0\.5 µm.*not square.*--mpp"):
        read_image(path)
    assert read_image(path, mpp=0.25).mpp == 0.25


def test_a_given_size_wins_and_a_disagreement_is_told(tmp_path):
    path, events = pyramid(tmp_path / "a.ome.tif", picture()), []
    assert read_image(path, mpp=0.26, on_event=events.append).mpp == 0.26
    assert not [e for e in events if e.level == "warning"]
    assert read_image(path, mpp=0.5, on_event=events.append).mpp == 0.5
    assert "0.25 µm" in told(events) and "0.5 µm" in told(events)


@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan"), float("inf")])
def test_an_impossible_size_is_refused(tmp_path, bad):
    with pytest.raises(InputError, match="impossible"):
        read_image(pyramid(tmp_path / "a.ome.tif", picture()), mpp=bad)


@pytest.mark.parametrize("planar", ["separate", "minisblack"])
def test_colours_stored_first_read_as_rows_columns_colours(tmp_path, planar):
    image, path, events = picture(), tmp_path / "a.ome.tif", []
    how = {"photometric": "rgb", "planarconfig": "separate"} if planar == "separate" else {"photometric": planar}
    tifffile.imwrite(path, np.moveaxis(image, -1, 0), tile=(64, 64), metadata={"axes": "CYX", **OME}, **how)
    level = read_image(path, on_event=events.append).levels[0]
    assert not isinstance(level, np.ndarray) and level.shape == image.shape and level.chunks == (64, 64, 3)
    np.testing.assert_array_equal(level[100:200:3, 17], image[100:200:3, 17])
    np.testing.assert_array_equal(level[-5:, 10:20, 1], image[-5:, 10:20, 1])
    assert ("red, green and blue" in told(events)) == (planar == "minisblack")


def test_transparency_is_left_out_and_told(tmp_path):
    image, events = np.dstack([picture(), np.full((301, 443), 9, np.uint8)]), []
    tifffile.imwrite(tmp_path / "a.tif", image, photometric="rgb", extrasamples=["unassalpha"], tile=(64, 64))
    read = read_image(tmp_path / "a.tif", on_event=events.append)
    assert read.levels[0].shape == (301, 443, 3) and "transparency" in told(events)
    np.testing.assert_array_equal(read.levels[0][4:9, 4:9], image[4:9, 4:9, :3])


@pytest.mark.parametrize(
    ("resolution", "unit", "mpp"),
    [((40_000, 40_000), "CENTIMETER", 0.25), ((50_800, 50_800), "INCH", 0.5), ((72, 72), "INCH", None),
     ((96, 96), "INCH", None), ((40_000, 40_000), "NONE", None)],
)  # fmt: skip
def test_resolution_tags_are_believed_only_where_plausible(tmp_path, resolution, unit, mpp):
    tifffile.imwrite(tmp_path / "a.tif", picture(), resolution=resolution, resolutionunit=unit, metadata=None)
    read = read_image(tmp_path / "a.tif")
    assert read.mpp == (None if mpp is None else pytest.approx(mpp))
    if mpp is None:
        with pytest.raises(InputError, match="--mpp"):
            read.require_mpp()


def test_imagej_micrometres_are_read(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", picture(), imagej=True, resolution=(4, 4), metadata={"unit": "um"})
    assert read_image(tmp_path / "a.tif").mpp == pytest.approx(0.25)


@pytest.mark.parametrize("how", [{}, {"compression": "zlib", "rowsperstrip": 7}])
def test_strips_and_plain_data_read_by_region(tmp_path, how):
    image = picture()
    tifffile.imwrite(tmp_path / "a.tif", image, **how)
    level = read_image(tmp_path / "a.tif").levels[0]
    np.testing.assert_array_equal(np.asarray(level[33:77, 5:9]), image[33:77, 5:9])
    assert isinstance(level, np.memmap) == (how == {})


def test_data_compressed_in_one_piece_is_decoded_once_and_refused_when_huge(tmp_path, monkeypatch):
    image = picture()
    tifffile.imwrite(tmp_path / "a.tif", image, compression="zlib", rowsperstrip=301)
    level = read_image(tmp_path / "a.tif").levels[0]
    assert level.chunks == (301, 443, 3)
    np.testing.assert_array_equal(level[33:77, 5:9], image[33:77, 5:9])
    assert level.read(slice(0, 1), slice(0, 1)).base is level.read(slice(0, 1), slice(0, 1)).base
    monkeypatch.setattr("napari_pixelgene.readers.plain_image.MAX_PIXELS", 1000)
    with pytest.raises(InputError, match=r"decoded whole.*vips"):
        read_image(tmp_path / "a.tif")


@pytest.mark.parametrize(
    ("how", "needed"),
    [({"rowsperstrip": 16}, True), ({"tile": (256, 256)}, True), ({"tile": (256, 256), "pyramid": True}, False)],
)
def test_large_images_without_tiles_or_levels_need_a_pyramid(tmp_path, how, needed):
    image, path = np.zeros((4200, 600, 3), np.uint8), tmp_path / "a.tif"
    steps = (1, 4) if how.pop("pyramid", False) else (1,)
    with tifffile.TiffWriter(path) as tiff:
        for step in steps:
            level = np.ascontiguousarray(image[::step, ::step])
            tiff.write(level, compression="zlib", metadata=None, subfiletype=int(step > 1), **how)
    read = read_image(path)
    assert needs_pyramid(read) is needed
    assert (max(read.levels[-1].shape[:2]) <= 512) is not needed


def test_wide_strips_of_a_pyramid_need_one_as_well(tmp_path):
    image, path = np.zeros((300, 6000, 3), np.uint8), tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        for step in (1, 4):
            level = np.ascontiguousarray(image[::step, ::step])
            tiff.write(level, compression="zlib", metadata=None, subfiletype=int(step > 1), rowsperstrip=8)
    assert needs_pyramid(read_image(path))


def test_overview_levels_are_halvings(tmp_path):
    image = picture(1101, 700)
    tifffile.imwrite(tmp_path / "a.tif", image, tile=(256, 256))
    levels = read_image(tmp_path / "a.tif").levels
    assert [lv.shape for lv in levels] == [(1101, 700, 3), (551, 350, 3), (276, 175, 3)]
    np.testing.assert_array_equal(levels[1][550, 3], np.rint(image[1100:, 6:8].mean(axis=(0, 1))))
    np.testing.assert_allclose(levels[1][9, 3], image[18:20, 6:8].mean(axis=(0, 1)), atol=0.5)


def test_aperio_ycbcr_jpeg2000_comes_out_as_rgb(tmp_path):
    rgb = np.zeros((64, 64, 3), np.uint8)
    rgb[:, :32], rgb[:, 32:] = (180, 90, 160), (240, 238, 241)
    r, g, b = (rgb[..., i].astype(float) for i in range(3))
    y = 0.299 * r + 0.587 * g + 0.114 * b
    ycbcr = np.stack([y, 128 + (b - y) * 0.564334, 128 + (r - y) * 0.713267], axis=-1)
    stored = np.rint(ycbcr).astype(np.uint8)
    np.testing.assert_allclose(rgb_of_ycbcr(stored), rgb, atol=2)
    options = {"compression": 33003, "compressionargs": {"reversible": True, "mct": False}}
    tifffile.imwrite(tmp_path / "a.tif", stored, photometric="rgb", tile=(64, 64), **options)
    np.testing.assert_allclose(read_image(tmp_path / "a.tif").levels[0][:, :], rgb, atol=2)


@pytest.mark.parametrize(
    ("array", "how", "says"),
    [
        (np.zeros((64, 80), np.uint8), {}, "greyscale.*colour scan"),
        (np.zeros((64, 80, 3), np.uint16), {"photometric": "rgb"}, "16 bits a colour"),
        (np.zeros((5, 64, 80), np.uint16), {"metadata": {"axes": "CYX"}, "photometric": "minisblack"}, "axes CYX"),
    ],
)
def test_what_is_no_he_is_named(tmp_path, array, how, says):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, array, tile=(64, 64), **how)
    with pytest.raises(InputError, match=says) as raised:
        read_image(path)
    assert str(path) in raised.value.problem and raised.value.mend


def test_a_file_cut_anywhere_is_refused_in_words(tmp_path):
    whole = pyramid(tmp_path / "a.ome.tif", picture()).read_bytes()
    path = tmp_path / "cut.tif"
    for cut in (3, 5, 20, 200, 700, len(whole) // 2, len(whole) - 20_000, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError) as raised:
            read_image(path)
        assert "cut.tif" in raised.value.problem and raised.value.mend, cut


@pytest.mark.parametrize("how", [{}, {"tile": (64, 64)}, {"compression": "zlib", "rowsperstrip": 7}])
def test_missing_pixels_are_noticed_where_the_directory_is_whole(tmp_path, how):
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, picture(), metadata=None, **how)
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(InputError, match="its tiles reach to"):
        read_image(path)


def test_a_missing_second_directory_is_noticed(tmp_path):
    path = tmp_path / "a.tif"
    with tifffile.TiffWriter(path) as tiff:
        tiff.write(picture(), tile=(64, 64), metadata=None)
        first = tiff.filehandle.tell()
        tiff.write(picture()[::2, ::2], tile=(64, 64), metadata=None, subfiletype=1)
    path.write_bytes(path.read_bytes()[:first])
    with pytest.raises(InputError, match="directories reach to"):
        read_image(path)


def test_a_large_tiled_pyramid_opens_at_once(tmp_path):
    path = tmp_path / "big.ome.tif"
    tile = imagecodecs.zlib_encode(np.full((256, 256, 3), 77, np.uint8).tobytes())
    with tifffile.TiffWriter(path, bigtiff=True) as tiff:
        for level, side in enumerate((40_960, 10_240, 2_560)):
            tiles = itertools.repeat(tile, (side // 256) ** 2)
            how = {"subifds": 2, "metadata": OME} if level == 0 else {"subfiletype": 1, "metadata": None}
            tiff.write(tiles, shape=(side, side, 3), dtype=np.uint8, tile=(256, 256), compression="zlib", **how)
    start = time.perf_counter()
    image = read_image(path)
    assert time.perf_counter() - start < 1
    assert image.yx_shape == (40_960, 40_960) and not needs_pyramid(image)
    assert (image.levels[0][20_000:20_010, 5:9] == 77).all()


# -- the real slides --


def test_the_aperio_slide():
    events: list = []
    image = read_image(needs(SLIDES / "cmu-1-small-region.svs"), on_event=events.append)
    assert image.yx_shape == (2967, 2220) and image.mpp == 0.499 and not needs_pyramid(image)
    assert "Macro" in told(events)
    level = image.levels[0]
    with tifffile.TiffFile(SLIDES / "cmu-1-small-region.svs") as tiff:
        np.testing.assert_array_equal(level[1000:1500, 300:901], tiff.pages[0].asarray()[1000:1500, 300:901])


def test_the_qupath_ome_tiff():
    image = read_image(needs(SLIDES / "OS-1-detail.ome.tif"))
    assert image.yx_shape == (1101, 1101) and image.mpp == pytest.approx(0.2271, abs=1e-4)
    rgb, inside = work_pixels(image.levels, image.require_mpp(), 0.5, Tile(Span(0, 512), Span(0, 512)))
    assert inside[:500, :500].all() and not inside[501:].any() and 100 < rgb[:500, :500].mean() < 220
    truth = image.levels[0][:, :].astype(float).mean(axis=(0, 1))
    np.testing.assert_allclose(rgb[inside].mean(axis=0), truth, atol=0.5)


# -- morphology --


def focus_xml(own: int, names: list[str], channels: list[str], yx_shape: tuple[int, int]) -> bytes:
    ids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{i + 1}" for i in range(len(names))]
    planes = "".join(
        f'<TiffData IFD="0" PlaneCount="1" FirstC="{i}"><UUID FileName="{n}">{ids[i]}</UUID></TiffData>'
        for i, n in enumerate(names)
    )
    channel = "".join(f'<Channel ID="Channel:0:{i}" Name="{c}"/>' for i, c in enumerate(channels))
    size = 'PhysicalSizeX="0.2125" PhysicalSizeXUnit="µm" PhysicalSizeY="0.2125" PhysicalSizeYUnit="µm"'
    return (
        f'<?xml version="1.0" encoding="UTF-8"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
        f'UUID="{ids[own]}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint16" '
        f'SizeX="{yx_shape[1]}" SizeY="{yx_shape[0]}" SizeZ="1" SizeC="{len(channels)}" SizeT="1" {size}>'
        f"{channel}{planes}</Pixels></Image></OME>"
    ).encode()


@pytest.mark.parametrize("newer_names", [False, True])
def test_each_file_of_a_multi_file_set_is_its_own_channel(tmp_path, newer_names):
    channels = ["DAPI", "ATP1A1/CD45", "18S"]
    names = [f"morphology_focus_000{i}.ome.tif" for i in range(3)]
    if newer_names:
        names = ["ch0000_dapi.ome.tif", "ch0001_boundary.ome.tif", "ch0002_rna.ome.tif"]
    arrays = [np.full((301, 207), 1000 * (i + 1), np.uint16) for i in range(3)]
    for i, name in enumerate(names):
        with tifffile.TiffWriter(tmp_path / name, bigtiff=True) as tiff:
            xml = focus_xml(i, names, channels, (301, 207))
            tiff.write(arrays[i], description=xml, subifds=1, tile=(64, 64), metadata=None)
            tiff.write(arrays[i][::2, ::2], subfiletype=1, tile=(64, 64), metadata=None)
    for i, name in enumerate(names):
        (image,) = read_channels(tmp_path / name)
        assert image.name == channels[i] and image.mpp == 0.2125
        assert [lv.shape for lv in image.levels] == [(301, 207), (151, 104)]
        assert image.levels[0][77, 3] == 1000 * (i + 1)


def test_a_multi_channel_file_gives_one_image_a_channel(tmp_path):
    array = np.random.default_rng(2).integers(0, 9000, (3, 130, 175), dtype=np.uint16)
    meta = {"axes": "CYX", "Channel": {"Name": ["DAPI", "Boundary", "RNA"]}, **OME}
    tifffile.imwrite(tmp_path / "m.ome.tif", array, photometric="minisblack", tile=(64, 64), metadata=meta)
    images = read_channels(tmp_path / "m.ome.tif")
    assert [i.name for i in images] == ["DAPI", "Boundary", "RNA"] and {i.mpp for i in images} == {0.25}
    np.testing.assert_array_equal(images[2].levels[0][100:, 33:50], array[2, 100:, 33:50])


def test_a_single_channel_without_a_name_takes_the_file_s(tmp_path):
    tifffile.imwrite(tmp_path / "dapi.tif", np.ones((70, 90), np.uint16), tile=(64, 64), metadata=None)
    (image,) = read_channels(tmp_path / "dapi.tif")
    assert image.name == "dapi" and image.mpp is None and not image.is_rgb


def test_a_stack_is_no_morphology_image(tmp_path):
    array = np.zeros((4, 64, 64), np.uint16)
    tifffile.imwrite(tmp_path / "m.ome.tif", array, photometric="minisblack", metadata={"axes": "ZYX"})
    with pytest.raises(InputError, match=r"ZYX.*projection"):
        read_channels(tmp_path / "m.ome.tif")
