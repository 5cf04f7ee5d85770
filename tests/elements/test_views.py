import numpy as np
import pytest

from napari_pixelgene.elements.arrays import Array, LazyArray
from napari_pixelgene.elements.views import ChannelsLast, RegionView

TRUTH = np.arange(7 * 9 * 3).reshape(7, 9, 3)


class Counted(RegionView):
    def __init__(self) -> None:
        self.shape, self.dtype, self.chunks = TRUTH.shape, TRUTH.dtype, (4, 4, 3)
        self.asked: list[tuple[slice, slice]] = []

    def read(self, rows: slice, columns: slice) -> Array:
        self.asked.append((rows, columns))
        return TRUTH[rows, columns]


@pytest.mark.parametrize(
    "key",
    [
        np.s_[2:5, 3:4],
        np.s_[::2, 8:1:-3],
        np.s_[-1, -4:],
        np.s_[np.int64(3), 2, 1],
        np.s_[..., 0],
        np.s_[1:3, ..., 2],
        np.s_[:],
        np.s_[...],
        np.s_[5:2, :],
        np.s_[3],
        np.s_[:, 2:8:2, ::2],
        np.s_[-100:4, 5:100],
    ],
)
def test_indexing_is_numpy_s(key):
    np.testing.assert_array_equal(Counted()[key], TRUTH[key])


def test_only_the_rectangle_asked_for_is_read():
    view = Counted()
    view[5:1:-2, 4]
    assert view.asked == [(slice(3, 6), slice(4, 5))]


@pytest.mark.parametrize("key", [np.s_[7, 0], np.s_[0, -10], np.s_[0, 0, 0, 0]])
def test_an_index_out_of_range_is_an_error(key):
    with pytest.raises(IndexError):
        Counted()[key]


def test_it_is_an_array_to_numpy_and_to_us():
    view = Counted()
    assert isinstance(view, LazyArray) and view.ndim == 3 and view.size == 189
    np.testing.assert_array_equal(np.asarray(view, dtype=np.float32), TRUTH.astype(np.float32))


def test_channels_come_last():
    stored = np.moveaxis(TRUTH, -1, 0)
    view = ChannelsLast(stored)
    assert view.shape == (7, 9, 3)
    np.testing.assert_array_equal(view[1:6:2, 3:], TRUTH[1:6:2, 3:])
