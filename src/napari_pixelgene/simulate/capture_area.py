"""The array of a spatial slide: where its spots or bins lie on the H&E. 10x's geometry, as much as the tissue needs.

A capture area is at most 6.5 mm a side, turned a little against the slide; the HD one is mirrored too, as 10x's are.
Array µm run from its corner, x along columns, y along rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from napari_pixelgene.elements.alignment import Transform
from napari_pixelgene.elements.arrays import BoolArray, FloatArray, IntArray
from napari_pixelgene.simulate.settings import SimulationSettings

PITCH_UM, SPOT_UM = 100.0, 55.0
FINEST_UM = 2
BIN_SIZES_UM = (2, 8, 16)
_ROW_UM = PITCH_UM * np.sqrt(3) / 2
_LONGEST_UM = 6500.0
_SHARE = 0.94  # of what the Xenium run covers, so that no corner of the turned array leaves the slide
_TURN_DEG, _HD_TURN_DEG = 1.8, -2.4


@dataclass(frozen=True, slots=True)
class CaptureArea:
    """`to_he` maps array µm to H&E µm; `size_um` is (width, height)."""

    size_um: FloatArray
    to_he: Transform

    @classmethod
    def of(cls, settings: SimulationSettings, mirrored: bool = False) -> CaptureArea:
        """An area about the middle of the slide; a mirrored one counts its rows upwards."""
        slide_um = np.array([settings.width_um, settings.height_um])
        size_um = np.minimum(slide_um * settings.measured * _SHARE, _LONGEST_UM)
        size_um = np.floor(size_um / max(BIN_SIZES_UM)) * max(BIN_SIZES_UM)
        angle = np.deg2rad(_HD_TURN_DEG if mirrored else _TURN_DEG)
        cos, sin, hand = np.cos(angle), np.sin(angle), -1.0 if mirrored else 1.0
        matrix = np.array([[cos, -sin * hand, 0], [sin, cos * hand, 0], [0, 0, 1.0]])
        matrix[:2, 2] = slide_um * [0.51, 0.493] - matrix[:2, :2] @ size_um / 2
        # An area's frame is no frame of ours; it only meets the H&E here.
        return cls(size_um, Transform(matrix, "stage_um", "he_um"))

    @classmethod
    def at(cls, centre_um: FloatArray, side_um: float, turn_deg: float) -> CaptureArea:
        """A square area about a point of the H&E (x, y)."""
        side = np.floor(side_um / max(BIN_SIZES_UM)) * max(BIN_SIZES_UM)
        cos, sin = np.cos(np.deg2rad(turn_deg)), np.sin(np.deg2rad(turn_deg))
        matrix = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1.0]])
        matrix[:2, 2] = np.asarray(centre_um) - matrix[:2, :2] @ np.full(2, side / 2)
        return cls(np.full(2, side), Transform(matrix, "stage_um", "he_um"))

    def holds(self, xy_um: FloatArray, margin_um: float = 0.0) -> BoolArray:
        """Which points (n, 2) of H&E µm lie on the area, grown by a margin."""
        own = self.to_he.inverse().apply(xy_um)
        return np.asarray(((own >= -margin_um) & (own < self.size_um + margin_um)).all(axis=1))

    def spots(self) -> IntArray:
        """(row, column) (n, 2) of the hexagonal array, row by row: odd rows hold odd columns."""
        columns, rows = int(self.size_um[0] // (PITCH_UM / 2)) - 1, int(self.size_um[1] // _ROW_UM)
        place = np.stack(np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij"), axis=-1).reshape(-1, 2)
        return np.asarray(place[place.sum(axis=1) % 2 == 0])

    def spot_centres_um(self, row_column: IntArray) -> FloatArray:
        """Centres (n, 2) in H&E µm."""
        own = (row_column[:, ::-1] + [1.0, 0.5]) * [PITCH_UM / 2, _ROW_UM]
        return self.to_he.apply(own)

    def bins_shape(self, side_um: int) -> tuple[int, int]:
        """(rows, columns) of bins of that side."""
        columns, rows = (int(side // side_um) for side in self.size_um)
        return rows, columns

    def bin_centres_um(self, flat: IntArray, side_um: int) -> FloatArray:
        """Centres (n, 2) in H&E µm of bins by their number, row by row."""
        row, column = np.divmod(flat, self.bins_shape(side_um)[1])
        return self.to_he.apply((np.stack([column, row], axis=1) + 0.5) * side_um)

    def bin_of(self, xy_um: FloatArray) -> tuple[IntArray, BoolArray]:
        """The number (n,) of the 2 µm bin that holds each point (n, 2) of H&E µm, and whether there is one."""
        place = np.floor(self.to_he.inverse().apply(xy_um) / FINEST_UM).astype(np.int64)[:, ::-1]
        rows, columns = self.bins_shape(FINEST_UM)
        held = np.asarray(((place >= 0) & (place < [rows, columns])).all(axis=1))
        return place[:, 0] * columns + place[:, 1], held

    def touches(self, low_um: FloatArray, high_um: FloatArray) -> bool:
        """Whether molecules of a box [low, high) of H&E µm may land on the area."""
        corners = np.array([[x, y] for x in (low_um[0], high_um[0]) for y in (low_um[1], high_um[1])])
        own = self.to_he.inverse().apply(corners)
        reach = 50.0
        return bool(((own.max(axis=0) > -reach) & (own.min(axis=0) < self.size_um + reach)).all())
