"""Rows of HisToSGE: a file has a row for each of its top-level names, or one row named "*" for all of it."""

from __future__ import annotations

from rows import OURS, SAME, Row

_V = "tests/models/test_histosge_vectors.py::"
_UNUSED = "built by the original and used by nothing; "

ROWS: dict[str, dict[str, Row]] = {
    "adjacency.npz": {
        "*": Row(
            OURS,
            _UNUSED + "a set's answers do not depend on any graph",
            _V + "test_no_adjacency_enters_and_no_unused_part_is_there",
        )
    },
    "chunking.npz": {"*": Row(SAME, "", _V + "test_sets_by_order_are_the_published_runs")},
    "gat_unused.npz": {
        "*": Row(
            OURS,
            _UNUSED + "the network has the published tensors and no more",
            _V + "test_no_adjacency_enters_and_no_unused_part_is_there",
        )
    },
    "histosge_tiny.npz": {
        "*": Row(SAME, "half steps are cut to whole ones in recipe original only", _V + "test_forward_of_the_original")
    },
    "histosge_train.npz": {"*": Row(SAME, "", _V + "test_eight_adam_steps_of_the_original")},
    "lattice.npz": {
        "*": Row(
            SAME,
            "places of the array exactly, in the image within 1.5 px: steps are not rounded to pixels; half of the "
            "units, to be recovered, is drawn by a split of ours",
            "tests/arithmetic/test_generated_lattice.py::test_copies_are_the_published_ones_in_their_order",
        )
    },
    "losses.npz": {
        "*": Row(SAME, "the squared error; the others are never added", _V + "test_the_loss_is_the_mean_squared_error")
    },
    "metrics.npz": {"*": Row(SAME, "", _V + "test_metrics_of_the_original")},
    "preprocess.npz": {
        "*": Row(
            SAME,
            "the file holds its counts normalised; they are found again as whole numbers",
            _V + "test_targets_are_the_published_ones",
        )
    },
    "texture_unused.npz": {
        "*": Row(
            OURS,
            _UNUSED + "textures are the encoder's, and an image is never cut short at its rim",
            "tests/models/test_histosge_vectors.py::test_no_adjacency_enters_and_no_unused_part_is_there",
        )
    },
    "transformer_noproj.npz": {"*": Row(SAME, "", _V + "test_one_head_as_wide_as_the_token_has_no_projection")},
}
