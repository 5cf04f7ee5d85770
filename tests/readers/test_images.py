import pytest

from napari_pixelgene.errors import InputError
from napari_pixelgene.readers.images import read_image


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("notes.tif", b"gene\tcount\n", "first bytes are neither TIFF, JPEG nor PNG"),
        ("empty.svs", b"", r"empty \(0 bytes\)"),
        ("short.tif", b"II", "neither TIFF"),
        ("head.jpg", b"\xff\xd8\xff\xe0\x00", "ends within its header"),
        ("head.png", b"\x89PNG\r\n\x1a\n\x00\x00", "ends within its header"),
        ("ifd.tif", b"II*\0\x08\0\0\0", "cannot be read as TIFF|holds no picture"),
    ],
)
def test_what_is_no_image_is_said_with_a_next_step(tmp_path, name, content, says):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InputError, match=says) as raised:
        read_image(path)
    assert str(path) in raised.value.problem and raised.value.mend.endswith(".")


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path):
    with pytest.raises(InputError, match="is a folder"):
        read_image(tmp_path)
    with pytest.raises(InputError, match="There is no file"):
        read_image(tmp_path / "none.svs")
