"""The percentiles of a channel's grey are kept in the section for that channel alone, and are there when it reopens."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtTest import QTest

from napari_pixelgene.elements.image import Image
from napari_pixelgene.gui.contrasts import Contrasts
from napari_pixelgene.gui.kept_view import view_from
from napari_pixelgene.gui.layers import KEY, PERCENTILES, percentile_limits
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.view import read_view


def test_each_channel_of_each_capture_has_its_own():
    contrasts, heard = Contrasts(), []
    contrasts.changed.connect(lambda: heard.append(contrasts.kept()))
    contrasts.keep("run", "DAPI", (20.0, 95.0))
    assert contrasts.of("run", "DAPI") == (20.0, 95.0)
    assert contrasts.of("run", "18S") == contrasts.of("other", "DAPI") == PERCENTILES
    ramp = Image((np.arange(10_000, dtype=np.uint16).reshape(100, 100),), 0.5, None, "DAPI")
    assert contrasts.limits("run", ramp) == pytest.approx((2000, 9500), abs=2)
    contrasts.take({"run/DAPI": (20.0, 95.0)})
    assert len(heard) == 1  # nothing is another by it
    contrasts.take({})
    assert contrasts.of("run", "DAPI") == PERCENTILES and len(heard) == 2


@pytest.mark.parametrize("spoilt", [{"run/DAPI": "wide"}, {"run/DAPI": [1.0]}])
def test_a_view_that_is_spoilt_is_none(spoilt):
    assert view_from({"contrasts": {"run/DAPI": [3.0, 97.0]}}).contrasts == {"run/DAPI": (3.0, 97.0)}
    assert view_from({"contrasts": spoilt}) is None


def test_a_section_reopens_with_the_contrast_it_was_left_with(person, section, unregistered, tmp_path):
    other = unregistered.with_name(f"{tmp_path.name}-other.section.zarr")
    shutil.copytree(unregistered, other)
    person.open(section)
    dock, row = person.dock, person.dock.controls.contrast
    before = tuple(dock.controls.canvas.model.layers[0].contrast_limits)
    row.low.setValue(10.0)
    row.high.setValue(90.0)
    chosen = tuple(dock.controls.canvas.model.layers[0].contrast_limits)
    assert chosen != before
    person.open(other)
    assert row.percent() == PERCENTILES
    assert tuple(dock.controls.canvas.model.layers[0].contrast_limits) == before
    assert read_view(SectionStore.open(section))["contrasts"] == {"run/DAPI": [10.0, 90.0]}
    person.session.close()
    person.open(section)
    QTest.qWait(20)
    assert row.percent() == (10.0, 90.0)
    assert tuple(dock.controls.canvas.model.layers[0].contrast_limits) == chosen


def test_the_drawn_image_of_a_registered_section_has_it_without_the_register_dock(qtbot, small_section, tmp_path):
    session = session_of(ViewerModel())
    session.open(shutil.copytree(small_section, tmp_path / "a.section.zarr"))
    layer = session.layer("morphology")
    says, before = layer.metadata[KEY], tuple(layer.contrast_limits)
    session.contrasts.keep(says["capture"], says["channel"], (5.0, 60.0))
    session.close()
    session.open(tmp_path / "a.section.zarr")
    again = session.layer("morphology")
    pixels = np.asarray(again.data[-1])
    assert tuple(again.contrast_limits) == percentile_limits(pixels, (5.0, 60.0)) != before
    session.close()
