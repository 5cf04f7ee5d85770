"""Rows of Pixel2Gene."""

from __future__ import annotations

from rows import OURS, SAME, Row

_P = "tests/models/test_pixel2gene.py::"
_G = "tests/arithmetic/test_geometry.py::"
_R = "tests/test_reference_geometry.py::"
_M = "tests/arithmetic/test_map_metrics.py::"
_BINS = "tests/stages/test_binning.py::test_the_originals_bins_where_they_are_right"
_N, _H = "tests/encoders/test_network.py::", "tests/encoders/test_hipt.py::"
_SWEEP = "tests/arithmetic/test_sweeping.py::"
_UMI = "tests/stages/test_unit_quality.py::"
_PICTURES = "tests/report/test_reference_pictures.py::"

ROWS: dict[str, dict[str, Row]] = {
    "homography.json": {
        "caseA": Row(SAME, "", _G + "test_the_robust_fit_meets_the_original_where_it_is_right"),
        "caseB": Row(SAME, "", _G + "test_the_robust_fit_meets_the_original_where_it_is_right"),
        "transform": Row(
            SAME, "in double precision", _G + "test_points_move_as_in_the_original_but_in_double_precision"
        ),
        "caseC_click_noise": Row(
            OURS,
            "a threshold in µm keeps all true pairs; theirs of 3 full-resolution px throws clicks away",
            _G + "test_click_noise_rejects_nobody_and_gives_the_recorded_least_squares",
        ),
    },
    "binning_transcripts.csv": {"*": Row(SAME, "input of the next two", _BINS)},
    "binning_meta.json": {"*": Row(SAME, "input of the next two; newer control classes are left out too", _BINS)},
    "binning_expected_all.csv": {"*": Row(SAME, "the bin left of the image is counted as outside", _BINS)},
    "binning_expected_inimage.csv": {
        "*": Row(OURS, "a bin that reaches past the image is kept, its features averaged over what is there", _BINS)
    },
    "geometry.json": {
        "rescale_same": Row(SAME, "", _R + "test_an_image_at_the_work_pixel_is_left_alone"),
        "rescale_down": Row(
            OURS,
            "exact area mean, tile by tile, no stretch to whole pixels, no JPEG generations",
            _R + "test_resampling_is_an_exact_mean_over_the_pixels_square",
        ),
        "rescale_up": Row(
            OURS, "the same grid for any tile", _R + "test_resampling_is_an_exact_mean_over_the_pixels_square"
        ),
        "pad_white16": Row(
            OURS,
            "what lies past the image weighs nothing; the lattice is the same",
            _R + "test_what_lies_past_the_image_is_left_out_of_means_not_padded_white",
        ),
        "reduce_mask16": Row(SAME, "", _R + "test_a_mask_is_reduced_over_what_it_covers"),
        "locs": Row(SAME, "", _R + "test_bin_centres_fall_into_their_superpixels"),
        "rounding": Row(OURS, "positions are not rounded", _R + "test_bin_centres_fall_into_their_superpixels"),
        "crop_shift": Row(
            OURS,
            "bins lie on the superpixel lattice",
            _R + "test_bins_lie_on_the_lattice_where_the_originals_crop_is_half_a_superpixel_off",
        ),
        "disk_mask": Row(SAME, "", "tests/arithmetic/test_pooling.py::test_disk_masks_equal_the_originals"),
    },
    "smoothing_rgb.json": {
        "16": Row(OURS, "odd windows do not drift", _R + "test_windows_are_odd_where_the_originals_boxes_drift"),
        "4": Row(OURS, "odd windows do not drift", _R + "test_windows_are_odd_where_the_originals_boxes_drift"),
        "rgb": Row(
            OURS,
            "exact means, theirs in half precision",
            _R + "test_colour_means_are_exact_where_the_originals_are_in_half_precision",
        ),
    },
    "histosweep.json": {
        "metrics": Row(SAME, "", _SWEEP + "test_spread_colour_and_their_ratio_are_the_originals"),
        "density": Row(SAME, "", _SWEEP + "test_rare_squares_are_the_originals_and_a_small_slide_has_some_too"),
        "density_small_image": Row(
            OURS,
            "under 20,000 squares the original fails; here eight bins a side",
            _SWEEP + "test_rare_squares_are_the_originals_and_a_small_slide_has_some_too",
        ),
        "ratio": Row(SAME, "", _SWEEP + "test_the_threshold_on_texture_is_the_originals"),
        "texture_patch": Row(SAME, "", _SWEEP + "test_texture_of_a_patch_is_the_originals_and_skimages"),
        "end_to_end": Row(SAME, "", "tests/stages/test_quality.py::test_the_originals_slide_gives_the_originals_mask"),
    },
    "qc_folds_genes.json": {
        "block_kfold": Row(
            OURS,
            "blocks are numbered by the width; theirs collide on wide slides",
            "tests/stages/test_folds.py::test_a_block_far_down_does_not_share_the_number_of_one_far_right",
        ),
        "gene_selection": Row(
            OURS,
            "ties alphabetical, no least total",
            "tests/stages/test_genes.py::test_where_we_rank_as_the_original_and_where_not",
        ),
        "superpixel_collisions": Row(
            OURS,
            "units in one superpixel are pooled, not both dropped",
            _R + "test_units_that_share_a_superpixel_are_all_kept",
        ),
        "qc_umi_percentile": Row(SAME, "", _UMI + "test_the_percentile_of_what_is_not_empty_is_the_originals"),
        "qc_all_zero_cluster": Row(
            OURS, "keeps none, theirs fails", _UMI + "test_a_group_without_counts_keeps_none_where_the_original_fails"
        ),
        "umi_batch_split_lost_rows": Row(
            OURS, "totals are summed at once, no row is lost", _UMI + "test_each_look_has_its_own_threshold"
        ),
        "qc_full_script_edge_cases": Row(
            OURS,
            "units are filtered, not squares, so that full cover is no special case",
            _UMI + "test_what_is_too_empty_is_not_learned_from_and_is_scored",
        ),
        "icc_row_order_bug": Row(
            OURS,
            "values and labels are rows of the same units",
            "tests/arithmetic/test_statistics.py::test_intraclass_correlation_by_hand",
        ),
    },
    "hipt.json": {
        "vit256": Row(SAME, "", _N + "test_vit256_is_the_originals"),
        "vit4k": Row(SAME, "", _N + "test_vit4k_is_the_originals"),
        "vit4k_softmax_overflow": Row(OURS, "no logit overflows", _N + "test_large_logits_do_not_overflow"),
        "geometry": Row(SAME, "", _H + "test_a_patch_token_is_the_superpixel_under_it"),
        "shift_weights": Row(OURS, "divided by what covers a place", _H + "test_the_rim_is_not_scaled_down"),
        "patchify": Row(
            OURS,
            "tiles of about 1,024 pixels with a halo; nothing is padded to 4,096",
            _H + "test_any_tile_says_the_same",
        ),
    },
    "model_predict_combine.json": {
        "model": Row(SAME, "", _P + "test_forward_loss_and_three_adam_steps_of_the_original"),
        "output_activation": Row(SAME, "", _P + "test_output_activation_of_the_original"),
        "normalize_counts": Row(SAME, "", _P + "test_min_max_scaling_of_the_original"),
        "dataset": Row(
            SAME,
            "at a border the original raises, here the disk keeps what exists",
            _P + "test_footprints_of_the_original",
        ),
        "defaults": Row(SAME, "but for a batch of 0 below 16 units", _P + "test_rates_and_batches_of_the_original"),
        "predict": Row(SAME, "per member; kept in float32 until stored", _P + "test_prediction_of_the_original"),
        "combine": Row(OURS, "members are averaged in full precision", _P + "test_folds_are_merged_in_full_precision"),
    },
    "evaluation_plots.json": {
        "moran": Row(
            OURS,
            "the textbook's; theirs divides by the neighbours twice",
            "tests/arithmetic/test_statistics.py::test_morans_i_is_the_textbooks_and_not_the_originals",
        ),
        "metrics": Row(
            SAME,
            "MS-SSIM without their rounding to 8 bits; χ² is not offered",
            _M + "test_correlations_and_errors_are_the_originals",
        ),
        "ssim": Row(SAME, "scikit-image's, range 1", _M + "test_similarity_is_skimages_with_range_one"),
        "pool": Row(SAME, "", "tests/arithmetic/test_areas.py::test_maps_summed_over_blocks_are_the_originals"),
        "get_clipped": Row(
            OURS,
            "values are shown whole; only the colour scale ends at a percentile",
            _PICTURES + "test_values_are_shown_whole_where_the_original_cuts_them",
        ),
        "icc": Row(SAME, "", "tests/arithmetic/test_statistics.py::test_intraclass_correlation_is_the_originals"),
        "colour": Row(
            OURS,
            "a scale whose lightness rises; theirs darkens towards both ends",
            _PICTURES + "test_brighter_is_more_where_the_originals_colours_rise_and_fall",
        ),
        "img_reduce": Row(
            OURS,
            "mean colours are rounded; theirs are cut",
            _PICTURES + "test_the_mean_colour_of_a_square_is_rounded_where_the_originals_is_cut",
        ),
        "downsample": Row(
            SAME,
            "as the method multinomial; by default counts are only lost, never dealt anew",
            "tests/stages/test_depth.py::test_the_published_experiment_is_the_originals",
        ),
        "cluster_agreement": Row(
            SAME,
            "small groups are not merged into the largest first",
            "tests/arithmetic/test_agreement.py::test_the_share_on_best_partners_is_the_originals_accuracy",
        ),
    },
}
