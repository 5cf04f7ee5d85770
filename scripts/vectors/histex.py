"""Rows of HISTEX: a file has a row for each of its top-level names, or one row named "*" for all of it."""

from __future__ import annotations

from rows import OURS, SAME, Row

_N = "tests/models/test_histex_vectors.py::"
_R = "tests/test_reference_histex.py::"
_STAGE = Row(SAME, "both states and their median", _N + "test_the_prediction_stage_of_the_original")

ROWS: dict[str, dict[str, Row]] = {
    "cross_attention_tiny.npz": {"*": Row(SAME, "", _N + "test_cross_attention_of_the_original")},
    "linear_tiny.npz": {"*": Row(SAME, "", _N + "test_custom_linear_of_the_original")},
    "spapsc_tiny.npz": {
        "*": Row(
            SAME,
            "layer by layer, and with the head folded",
            _N + "test_forward_of_the_original_layer_by_layer_and_folded",
        )
    },
    "spapsc_train.npz": {
        "*": Row(SAME, "through the folded head", _N + "test_ten_adam_steps_of_the_original_through_the_folded_head")
    },
    "hr_lattice.npz": {
        "*": Row(
            SAME,
            "in the published recipe; the other leans on measured units, or on points that leave them as they are",
            "tests/arithmetic/test_dense_lattice.py::test_the_published_lattice_is_that_of_the_vectors",
        )
    },
    "datasets.npz": {
        "*": Row(
            OURS,
            "disks, patches, block centres and their neighbours are theirs; a unit is trained with its own "
            "neighbours, not with those of another",
            _N + "test_the_shipped_training_context_is_that_of_another_spot",
        )
    },
    "predict_stage.npz": {"*": _STAGE},
    "predict_state1_weights.npz": {"*": _STAGE},
    "metrics.npz": {
        "*": Row(
            OURS,
            "the same measures on the same values; ours are not stretched to [0, 1] over the whole rectangle first",
            _R + "test_errors_and_similarity_of_maps",
        )
    },
    "relabel.npz": {"*": Row(SAME, "for tissue and glass", _R + "test_small_pieces_and_holes")},
    "mask.npz": {
        "*": Row(
            OURS,
            "Otsu on optical density: no network to tell tissue from glass, no rim of 128 µm lost",
            _R + "test_tissue_is_that_of_optical_density_and_keeps_the_rim",
        )
    },
    "smoothen.npz": {
        "*": Row(
            OURS,
            "three wide the same but at the border, where theirs counts the rim twice; four wide drifts",
            _R + "test_a_box_of_three_is_theirs_inside_and_one_of_four_drifts",
        )
    },
    "rescale.npz": {
        "*": Row(
            OURS, "exact area mean, tile by tile, no stretch to whole pixels", _R + "test_resampling_is_an_exact_mean"
        )
    },
    "pseudo_visium.npz": {
        "*": Row(
            OURS,
            "the same sums under a disk; ours lie on a hexagonal array and are kept by what is measured under them",
            _R + "test_pseudo_spots_sum_what_lies_under_them",
        )
    },
    "visiumhd_binning.npz": {
        "*": Row(
            OURS,
            "bins that share a superpixel are added up, and lie where the image has them",
            _R + "test_bins_that_share_a_superpixel_are_added_up",
        )
    },
    "xenium_binning.npz": {
        "*": Row(
            OURS,
            "transcripts are counted where they lie, or cells at their centre; theirs loses a round cell's middle",
            _R + "test_a_cell_counts_where_it_lies",
        )
    },
}
