"""The Genes dock on a real canvas, with real clicks and keys: the section that is drawn below.

bins of a simulated run, counted          two runs of maps over its squares, made by hand
┌────────────┐                            first: gene i is (i + 1) × a ramp to the right, the left fifth NaN
│ ▒▒▓▓ ▒     │                            second: three of the genes, 100 everywhere
└────────────┘
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from qtpy.QtCore import QPoint, Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication, QWidget

from mouse import click
from napari_pixelgene.arithmetic.tiles import tiles
from napari_pixelgene.elements.genes import GeneTable
from napari_pixelgene.gui.genes.dock import GenesDock
from napari_pixelgene.gui.layers import KEY
from napari_pixelgene.gui.remembering import Memory
from napari_pixelgene.gui.session import session_of
from napari_pixelgene.pipeline.aligning import register_matrix
from napari_pixelgene.pipeline.importing import import_section
from napari_pixelgene.pipeline.preparing import ensure_bins
from napari_pixelgene.pipeline.slide import grid_of, require_capture
from napari_pixelgene.pipeline.sources.xenium import XeniumSource
from napari_pixelgene.store.bins import read_bins
from napari_pixelgene.store.maps import begin_maps, read_maps
from napari_pixelgene.store.models import save_run
from napari_pixelgene.store.scores import write_scores
from napari_pixelgene.store.section import SectionStore
from napari_pixelgene.store.view import VIEW, read_view

KEYS = Qt.Key


@pytest.fixture(scope="module")
def made(tmp_path_factory, small_run) -> Path:
    """The section above; tests work on copies."""
    path = tmp_path_factory.mktemp("genes") / "genes.section.zarr"
    store = import_section(path, small_run.he, XeniumSource(bundle=small_run.bundle))
    register_matrix(store, small_run.folder / "he_imagealignment.csv")
    genes = ensure_bins(store, require_capture(store)).genes
    rows, columns = grid_of(store).yx_shape
    ramp = np.tile(np.linspace(0, 1, columns, dtype=np.float32), (rows, 1))
    ramp[:, : columns // 5] = np.nan
    write_run(store, "first", genes, ramp * np.arange(1, len(genes) + 1)[:, None, None])
    write_run(store, "second", genes.take([5, 1, 0]), np.full((3, rows, columns), 100, np.float32))
    count = len(genes)
    columns_of = {
        "gene": list(genes.symbols),
        "total": np.arange(count) * 1000.0,
        "log_pearson": np.linspace(0.02, 0.7, count),  # the last gene is the best
        "log_permuted": np.zeros(count),
    }
    save_run(store, "first", {}, {"fingerprint": "by hand"})
    write_scores(store, "first", {"sections": {}}, columns_of)
    return path


def write_run(store: SectionStore, run: str, genes: GeneTable, planes: np.ndarray) -> None:
    grid = grid_of(store)
    writer = begin_maps(store, run, genes, grid, f"{run} by hand")
    for tile in tiles(grid.yx_shape, writer.tile_side):
        writer.write(tile, planes[(slice(None), *tile.region)])
    writer.finish(np.full(grid.yx_shape, 2, dtype=np.uint8))


@pytest.fixture
def section(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / made.name))


def settle(turns: int = 4) -> None:
    for _ in range(turns):
        QTest.qWait(15)


def opened(viewer, path: Path | None) -> GenesDock:
    """The dock in a shown window, with a section, scores and measured counts read."""
    dock = GenesDock(viewer)
    held = viewer.window.add_dock_widget(dock, name="Genes", area="right")
    viewer.window.resize(1200, 860)
    viewer.window._qt_window.resizeDocks([held], [320], Qt.Orientation.Horizontal)
    if path is not None:
        dock.session.open(path)
        wait_until(lambda: not dock.beside.reading)
    settle()
    return dock


def wait_until(true) -> None:
    for _ in range(6000):
        if true():
            return
        QTest.qWait(10)
    raise AssertionError("it did not happen")


@pytest.fixture
def dock(make_napari_viewer, section) -> GenesDock:
    return opened(make_napari_viewer(show=True), section)


def row_place(dock: GenesDock, row: int, column: int = 0) -> QPoint:
    return dock.table.visualRect(dock.table.genes.index(row, column)).center()


def click_row(dock: GenesDock, row: int, column: int = 0) -> None:
    click(dock.table.viewport(), lambda: row_place(dock, row, column))
    settle(1)


def level(layer) -> np.ndarray:
    return np.asarray(layer.data[0])


def genes_of(path: Path) -> tuple[str, ...]:
    return read_maps(SectionStore.open(path), "first").genes.symbols


def test_click_walk_search_pin(dock: GenesDock, section: Path):
    """One layer throughout; what it shows is the gene that was clicked, walked to or searched."""
    genes = genes_of(section)
    best = list(reversed(genes))  # scored in this order, the best on top
    layers = list(dock.session.viewer.layers)
    map_ = dock.session.layer("map")
    assert dock.state == "full" and [dock.table.genes.gene(i) for i in range(3)] == best[:3]
    click_row(dock, 2)
    assert dock.browser.gene == best[2] and map_.name == f"{best[2]} (predicted)"
    np.testing.assert_allclose(np.nanmax(level(map_)), len(genes) - 2, rtol=1e-3)
    assert map_.contrast_limits[1] == pytest.approx(0.99 * (len(genes) - 2), rel=0.02)
    assert "predicted well" in dock.sentence.text() and "chance 0.00" in dock.sentence.text()
    QTest.keyClick(dock.table, KEYS.Key_Down)
    assert dock.browser.gene == best[3]
    QTest.keyClick(dock.table, KEYS.Key_Return)
    QTest.keyClick(dock.table, KEYS.Key_Up)
    assert dock.browser.gene == best[2] and dock.browser.pins == [best[3]]
    click_row(dock, 0, 4)  # the star of another gene pins that one
    assert dock.browser.pins == [best[3], best[0]]
    QTest.keyClicks(dock.search, genes[0].lower())
    assert dock.table.genes.gene(0) == genes[0] and dock.browser.gene == best[0]  # nothing moves while typing
    QTest.keyClick(dock.search, KEYS.Key_Return)
    assert dock.browser.gene == genes[0] and "Do not use this map" in dock.sentence.text()
    click(dock.pins.viewport(), lambda: dock.pins.visualItemRect(dock.pins.item(0)).center())
    assert dock.browser.gene == best[3] and dock.search.text() == ""  # jumped to, though the search had hidden it
    QTest.keyClick(dock.pins, KEYS.Key_Delete)
    assert dock.browser.pins == [best[0]]
    assert list(dock.session.viewer.layers) == layers and not dock.fault.text


def test_sorting_by_a_heading(dock: GenesDock, section: Path):
    header = dock.table.horizontalHeader()

    def place() -> QPoint:
        return QPoint(header.sectionViewportPosition(3) + 20, header.height() // 2)

    click(header.viewport(), place)
    first = dock.table.genes.gene(0)
    click(header.viewport(), place)
    genes = genes_of(section)
    assert {first, dock.table.genes.gene(0)} == {genes[0], genes[-1]}
    assert dock.table.genes.gene(dock.table.currentIndex().row()) == dock.browser.gene  # the same row stays chosen


def test_measured_beside_predicted(dock: GenesDock, section: Path):
    """What was counted lies on the same squares; contrast and colours go together until they are unlinked."""
    gene, session = dock.browser.gene, dock.session
    click(dock.measured)
    settle()
    counts, map_ = session.layer("counts"), session.layer("map")
    bins = read_bins(SectionStore.open(section), require_capture(SectionStore.open(section)).name)
    expected = np.full(bins.yx_shape, np.nan).ravel()
    expected[bins.superpixel] = bins.counts[:, bins.genes.index(gene)].toarray().ravel()
    np.testing.assert_array_equal(level(counts), expected.reshape(bins.yx_shape))
    assert counts.metadata[KEY]["unit"] == "counts per 8 µm square" and level(counts).dtype == np.float32
    np.testing.assert_allclose(counts.translate, map_.translate)
    map_.contrast_limits = (0.5, 3.5)  # as napari's own slider does
    assert counts.contrast_limits == [0.5, 3.5] and dock.contrast.numbers_in.text().startswith(
        "Colours from 0.5 to 3.5"
    )
    counts.colormap = "magma"
    assert map_.colormap.name == "magma" and dock.contrast.colours.currentText() == "magma"
    click(dock.linked)
    map_.contrast_limits = (0, 7)
    assert counts.contrast_limits != [0, 7]
    before = list(counts.contrast_limits)
    QTest.keyClick(dock.table, KEYS.Key_Down)
    assert counts.name == f"{dock.browser.gene} (measured)" and dock.browser.gene != gene
    assert list(map_.contrast_limits) != [0, 7] and before is not None  # drawn for that gene alone
    click(dock.predicted)
    assert dock.browser.shown() == (False, True)
    QTest.keyClick(dock.table, KEYS.Key_Down)
    assert dock.browser.shown() == (False, True)  # measured is seen: predicted stays as the person left it


def test_the_same_contrast_for_all_genes(dock: GenesDock):
    map_ = dock.session.layer("map")
    dock.contrast.mode.setFocus()
    QTest.keyClick(dock.contrast.mode, KEYS.Key_Down)
    settle(1)
    was = list(map_.contrast_limits)
    click(dock.contrast.high)
    dock.contrast.high.selectAll()
    QTest.keyClicks(dock.contrast.high, "12.5")
    QTest.keyClick(dock.contrast.high, KEYS.Key_Return)
    assert map_.contrast_limits[1] == 12.5 != was[1]
    click_row(dock, 3)
    assert map_.contrast_limits[1] == 12.5 and "12.5 expected counts per 8 µm square" in dock.contrast.numbers_in.text()
    QTest.keyClick(dock.contrast.mode, KEYS.Key_Up)
    dock.contrast.slider.setValue((20, 60))
    plane = level(map_)
    np.testing.assert_allclose(map_.contrast_limits, np.nanpercentile(plane, (20, 60)), rtol=1e-3)


def test_hovering_reads_both(dock: GenesDock):
    """At a measured square both values, in the background only what is there; in the dock and in the status bar."""
    browser, viewer = dock.browser, dock.session.viewer
    predicted, measured = level(dock.session.layer("map")), np.asarray(browser.measured.levels(browser.gene)[0])
    above = np.roll(measured, 1, axis=0)
    inside = np.argwhere((measured > 0) & np.isfinite(predicted) & (above != measured))
    row, column = inside[len(inside) // 2]  # another row would be another value
    hover(viewer, row, column, lambda: "predicted" in dock.here.text())
    text = dock.here.text()
    assert f"measured {measured[row, column]:.0f} (counts per 8 µm square)" in text
    assert float(text.split("predicted ")[1].split()[0]) == pytest.approx(predicted[row, column], rel=0.01)
    wait_until(lambda: f"{browser.gene}: predicted" in str(viewer.status))
    assert f"measured {measured[row, column]:.0f}" in str(viewer.status)
    hover(viewer, row, 1, lambda: "background" in dock.here.text())
    assert "background" in str(viewer.status)


def hover(viewer, row: int, column: int, true) -> None:
    """Move the mouse about in the middle of a superpixel, with the camera on it, until something is true."""
    camera = viewer.scene.camera
    camera.center, camera.zoom = (0, (row + 0.5) * 8, (column + 0.5) * 8), 5.0
    settle()
    native = viewer.window._qt_viewer.canvas.native
    middle = QPoint(native.width() // 2, native.height() // 2)
    for step in range(50):
        QTest.mouseMove(native, middle + QPoint(9 * (step % 2), 0))  # 9 px are 1.8 µm: in the same superpixel
        QTest.qWait(100)
        if true():
            return
    raise AssertionError("the mouse was not heard")


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_the_colour_bar_is_read_off_the_canvas(make_napari_viewer, section, theme):
    """Over white and over dark: every colour of the map from bottom to top, and words that stand out from their box."""
    viewer = make_napari_viewer(show=True)
    viewer.theme = theme
    dock = opened(viewer, section)
    session = dock.session
    for layer in session.layers():
        layer.visible = layer is session.layer("he")
    viewer.scene.camera.zoom *= 3  # the slide fills the canvas: white and pink behind everything
    settle()
    bare = picture(viewer)
    assert "pixelgene_predicted" not in viewer.canvas.overlays
    click(dock.predicted)
    session.layer("map").opacity = 0.0
    settle()
    drawn = picture(viewer)
    added = np.abs(drawn - bare).max(axis=2) > 8
    assert added.any() and not added[:, : added.shape[1] // 3].any()
    box = drawn[added.any(axis=1)][:, added.any(axis=0)]
    bar = colours_of(box, session.layer("map").colormap)
    assert bar.min() < 0.03 and bar.max() > 0.97 and len(np.unique(bar.round(2))) > 60
    assert contrast_ratio(box) > 4.5
    text = viewer.canvas.overlays["pixelgene_predicted"].text
    assert text == f"{dock.browser.gene}\npredicted\nexpected counts per 8 µm square"
    click(dock.predicted)
    settle()
    assert not (np.abs(picture(viewer) - bare).max(axis=2) > 8).any()  # no map, no bar


def picture(viewer) -> np.ndarray:
    QApplication.processEvents()
    return viewer.screenshot(canvas_only=True, flash=False)[..., :3].astype(float)


def colours_of(box: np.ndarray, colormap) -> np.ndarray:
    """Places in the colormap (0 to 1) that the box shows."""
    table = colormap.map(np.linspace(0, 1, 101).astype(np.float32))[:, :3] * 255
    apart = np.abs(box.reshape(-1, 1, 3) - table).max(axis=2)
    coloured = np.ptp(box.reshape(-1, 3), axis=1) > 25
    near = (apart.min(axis=1) < 4) & coloured
    return apart.argmin(axis=1)[near] / 100


def contrast_ratio(box: np.ndarray) -> float:
    """Of the words' first lines: the brightest against the darkest grey in them, as WCAG counts it."""
    grey = box[:20].mean(axis=2) / 255
    linear = np.where(grey <= 0.04, grey / 12.92, ((grey + 0.055) / 1.055) ** 2.4)
    return float((np.percentile(linear, 99.5) + 0.05) / (np.percentile(linear, 0.5) + 0.05))


def test_hidden_and_deleted_layers_come_back(dock: GenesDock):
    session = dock.session
    session.layer("map").visible = False
    assert not dock.predicted.isChecked()
    click_row(dock, 1)
    assert session.layer("map").visible and dock.predicted.isChecked()
    session.viewer.layers.remove(session.layer("map"))
    settle(1)
    assert not dock.predicted.isChecked() and dock.browser.limits() is None
    click_row(dock, 1)  # the row that is chosen already
    assert session.layer("map").name == f"{dock.browser.gene} (predicted)" and dock.predicted.isChecked()
    click(dock.measured)
    session.viewer.layers.remove(session.layer("counts"))
    click_row(dock, 2)
    assert dock.browser.shown() == (True, True) and not dock.fault.text
    session.viewer.layers.clear()
    click_row(dock, 3)
    assert session.layer("map").visible


def test_another_run(dock: GenesDock, section: Path):
    genes = genes_of(section)
    dock.browser.show(genes[1])
    dock.runs.setFocus()
    QTest.keyClick(dock.runs, KEYS.Key_Down)
    settle()
    assert dock.browser.maps.run == "second" and dock.browser.gene == genes[1]
    assert np.nanmax(level(dock.session.layer("map"))) == 100
    assert len(dock.table.genes.order) == 3
    wait_until(lambda: not dock.beside.reading)
    assert "was not scored" in dock.sentence.text()
    assert dock.table.genes.data(dock.table.genes.index(0, 1)) == "–"


def test_coming_back(make_napari_viewer, section: Path):
    """Gene, run, contrast, colours, pins, layers and camera are as they were; nothing is computed."""
    viewer = make_napari_viewer(show=True)
    dock = opened(viewer, section)
    session = dock.session
    genes = genes_of(section)
    QTest.keyClick(dock.runs, KEYS.Key_Down)
    settle()
    dock.browser.show(genes[5])
    dock.browser.pin(genes[1])
    wait_until(lambda: not dock.beside.reading)
    click(dock.measured)
    session.layer("map").colormap = "cividis"
    session.layer("map").contrast_limits = (3, 44)
    session.layer("map").opacity = 0.3
    session.layer("morphology").visible = False
    viewer.scene.camera.center, viewer.scene.camera.zoom = (0, 123.0, 234.0), 2.5
    written = {file: file.stat().st_mtime_ns for file in section.rglob("*") if file.is_file()}
    viewer.close()
    kept = json.loads((section / VIEW).read_text("utf-8"))
    assert kept["gene"] == genes[5] and kept["camera"] == {"centre_um": [123.0, 234.0], "zoom": 2.5}

    again = opened(make_napari_viewer(show=True), section)
    wait_until(lambda: again.session.layer("counts") is not None)
    session, camera = again.session, again.session.viewer.scene.camera
    assert again.browser.gene == genes[5] and again.browser.maps.run == "second" == again.runs.currentText()
    assert again.browser.pins == [genes[1]] and again.pins.item(0).text() == genes[1]
    map_ = session.layer("map")
    assert list(map_.contrast_limits) == [3, 44] and map_.colormap.name == "cividis" and map_.opacity == 0.3
    assert again.browser.shown() == (True, True) and not session.layer("morphology").visible
    assert list(camera.center[-2:]) == [123.0, 234.0] and camera.zoom == 2.5
    now = {file: file.stat().st_mtime_ns for file in section.rglob("*") if file.is_file() and file.name != VIEW}
    assert now == {file: at for file, at in written.items() if file.name != VIEW}


def test_a_view_that_cannot_be_written_or_read(make_napari_viewer, section: Path, monkeypatch):
    (section / VIEW).write_text('{"gene": ["not", "a", "gene"]}', "utf-8")
    notes = []
    viewer = make_napari_viewer(show=True)
    session_of(viewer).noted.connect(notes.append)
    dock = opened(viewer, section)
    assert dock.state == "full" and any("as if for the first time" in note.text for note in notes)
    dock.session.why_read_only = "it is on a CD"
    dock.browser.pin(dock.browser.gene)
    memory: Memory = dock.session.memory
    memory.write()
    assert read_view(dock.session.store) == {"gene": ["not", "a", "gene"]}
    dock.session.why_read_only = ""
    memory.write()
    assert read_view(dock.session.store)["pins"] == [dock.browser.gene]


def test_nothing_open_no_maps_and_two_windows(make_napari_viewer, section: Path):
    first, second = opened(make_napari_viewer(show=True), section), opened(make_napari_viewer(show=True), None)
    asked = []
    second.session.asked.connect(asked.append)
    assert second.state == "empty" and "No section is open" in second.empty.text()
    click(second.next)
    store = SectionStore.open(section)
    for run in store.mapped_runs():
        store.remove("maps", run)
    second.session.open(section)
    settle()
    assert second.state == "empty" and "no predicted maps" in second.empty.text()
    click(second.next)
    assert asked == ["Section", "Run"]
    assert first.state == "full" and second.browser.maps is None
    first.session.reload("maps")  # the maps are gone under its eyes
    assert first.state == "empty"


def test_nothing_is_clipped_at_320_px(dock: GenesDock):
    dock.browser.pin(dock.browser.gene)
    click(dock.measured)
    settle()
    page = dock.table.parentWidget()
    right = page.parentWidget().width()
    assert dock.width() <= 330
    for child in page.findChildren(QWidget):
        if child.isVisible() and child.parentWidget() is page:
            assert child.geometry().right() <= right, child.objectName()
    texts = [dock.table.genes.headerData(i, Qt.Orientation.Horizontal) for i in range(5)]
    wide = [dock.table.fontMetrics().horizontalAdvance(text) for text in texts]
    header = dock.table.horizontalHeader()
    assert all(header.sectionSize(i) >= wide[i] for i in range(5)) and header.sectionSize(0) >= 55
