"""Rows of iSCALE and iStar: a file has a row for each of its top-level names, or one row named "*" for all of it."""

from __future__ import annotations

from rows import LATER, OURS, SAME, Row

_N = "tests/encoders/test_network.py::"
_W = "tests/encoders/test_windows.py::"
_S = "tests/arithmetic/test_smoothing.py::"
_DRIFT = Row(OURS, "odd windows do not drift", _S + "test_windows_of_16_and_4_drift_where_ours_of_17_and_5_do_not")
_INSIDE = Row(
    SAME, "inside; a border is the mean of what lies there", _S + "test_a_window_of_three_is_the_originals_inside"
)
_SHIFTS = Row(
    OURS,
    "the same inside; theirs fades at the upper left and is zero at the lower right",
    _W + "test_shift_averages_are_the_originals_inside_and_true_at_the_rim",
)

ROWS: dict[str, dict[str, Row]] = {
    "v05_smooth/smooth.json": {
        **dict.fromkeys(("x", "uniform3"), _INSIDE),
        **dict.fromkeys(("uniform4", "big", "big_uniform16", "notes"), _DRIFT),
        **dict.fromkeys(
            ("gauss2", "gauss8", "x_nan", "gauss2_nan"),
            Row(LATER, "Gaussian smoothing is not offered; the run script does not use it"),
        ),
    },
    "v06_shift/shift.json": dict.fromkeys(
        (
            *("image_hw", "stub", "ramp_image", "ramp_column12"),
            *("ones_column0", "ones_column15", "ones_row20"),
        ),
        _SHIFTS,
    ),
    "v07_rgb/rgb.npz": {
        "*": Row(
            OURS,
            "the exact mean, which the file holds beside theirs",
            "tests/encoders/test_hipt.py::test_colour_is_the_exact_mean",
        ),
    },
    "v20_align/align.json": {
        name: Row(
            OURS,
            "the same matrix where points are exact; under noise all pairs count, not the two that were drawn",
            "tests/stages/test_registration_numbers.py::test_similarities_of_the_published_notebook",
        )
        for name in ("src", "true", "cases")
    },
    "v25_vit/vit.npz": {
        "*": Row(SAME, "", _N + "test_small_networks_are_iscales"),
    },
    "v25_vit/vit.json": {
        name: Row(SAME, "", _N + "test_small_networks_are_iscales") for name in ("weight_rule", "vit256", "vit4k")
    },
}
