"""Rows of iSCALE and iStar: a file has a row for each of its top-level names, or one row named "*" for all of it."""

from __future__ import annotations

from rows import OURS, SAME, Row

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

_STITCH = "tests/readers/test_iscale_project.py::test_captures_share_what_the_original_stitches"
_SITES = "tests/arithmetic/test_sites.py::"
_P = "tests/arithmetic/test_pooling.py::"
_I = "tests/models/test_iscale.py::"
_R = "tests/test_reference_iscale.py::"
_C = "tests/arithmetic/test_cell_less.py::"
_K = "tests/arithmetic/test_clusters.py::"
_ISLANDS = Row(SAME, "by edges; theirs by corners too", _K + "test_islands_are_taken_in_as_in_the_original")
_SHARP = Row(
    OURS,
    "maps are not blurred before they are grouped; islands end the same",
    _K + "test_without_smoothing_islands_end_as_the_smoothed_maps_do_in_the_original",
)
_GROUPS = Row(SAME, "", _K + "test_groups_are_those_of_the_original")
_NAMES = Row(SAME, "", "tests/stages/test_analysis.py::test_names_are_the_originals_at_every_threshold")
_PANEL = Row(SAME, "", "tests/readers/test_marker_panel.py::test_the_originals_panel_is_read")
_SCORES = Row(
    SAME,
    "a missing panel scores 0; theirs loses the square",
    "tests/arithmetic/test_markers.py::test_scores_of_panels_are_the_originals",
)
_D = "tests/arithmetic/test_contrasts.py::"
_MOMENTS = Row(SAME, "", _D + "test_count_mean_and_variance_of_groups_are_the_originals")
_E = "tests/arithmetic/test_agreement.py::"
_ODDS = Row(SAME, "", _E + "test_joint_table_and_odds_ratios_are_the_originals")
_PERCOLATES = "in recipe original; the default merges nothing"
_FORWARD = Row(SAME, "", _I + "test_network_mean_over_the_disk_and_loss_of_the_original")
_NORMALISE = Row(SAME, "", _R + "test_scaling_and_activations_of_the_original")
_PREDICT = Row(
    SAME, "in recipe original", _I + "test_prediction_is_the_originals_median_over_states_taken_back_through_the_range"
)
_SQUARES = Row(
    OURS,
    "counts that share a pixel add up; theirs keeps the last",
    _R + "test_counts_that_share_a_pixel_add_up_where_the_original_keeps_the_last",
)
_RANKED = Row(
    OURS,
    "genes are ranked by totals, or by variance over mean",
    _R + "test_genes_are_ranked_by_their_totals_where_the_original_takes_raw_variance",
)
_PADDED = Row(
    OURS,
    "nothing is padded; what lies past the image counts for nothing",
    _R + "test_nothing_is_padded_and_what_lies_past_the_image_counts_for_nothing",
)

ROWS: dict[str, dict[str, Row]] = {
    **{
        f"v01_stitch/{name}.tsv": {"*": Row(SAME, "genes in the first capture's order", _STITCH)}
        for name in ("D1/cnts", "D1/locs", "D2/cnts", "D2/locs", "expected_cnts", "expected_locs")
    },
    "v02_integrate/integrate.json": {
        **dict.fromkeys(
            (
                *("overlap_small_shift", "half_pitch_shift_chains_rows"),
                *("dist_equal_pitch_merges_everything", "no_overlap"),
            ),
            Row(SAME, _PERCOLATES, _SITES + "test_sites_are_those_of_the_original"),
        ),
        "border": Row(
            SAME,
            "the filter alone; in recipe original a disk keeps what lies on the tissue instead",
            _SITES + "test_the_originals_border_filter_keeps_a_site_whose_disk_does_not_fit",
        ),
    },
    "v03_disk_patches/disk_patches.json": {
        "disks": Row(SAME, "", _P + "test_disk_masks_equal_the_originals"),
        **dict.fromkeys(
            ("image_shape", "image_note", "radius", "locs_ij", "patches"),
            Row(SAME, "", _P + "test_integer_disks_gather_the_originals_patches"),
        ),
        "edge_cases": Row(
            OURS,
            "a disk at the border keeps what exists; theirs raises",
            _P + "test_an_integer_disk_at_the_border_does_not_raise_as_the_originals_do",
        ),
    },
    "v04_geometry/geometry.json": {
        **dict.fromkeys(("pad_to_256", "vips_pad", "patchify", "crop_image"), _PADDED),
        "reduce_mask": Row(SAME, "", _R + "test_a_mask_is_reduced_where_more_than_half_of_a_square_is_tissue"),
    },
    "v05_smooth/smooth.json": {
        **dict.fromkeys(("x", "uniform3"), _INSIDE),
        **dict.fromkeys(("uniform4", "big", "big_uniform16", "notes"), _DRIFT),
        **dict.fromkeys(
            ("gauss2", "gauss8", "x_nan", "gauss2_nan"),
            Row(
                OURS,
                "nothing is blurred or painted in: clusters take islands in, box means skip what is not there",
                _S + "test_nothing_is_painted_into_a_hole_where_the_original_blurs_over_it",
            ),
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
    "v08_mask/mask.npz": {
        "*": Row(
            OURS,
            "tissue is told by its stain, not by groups of features, and is never empty in silence",
            _R + "test_tissue_needs_no_features_and_is_never_empty_in_silence",
        )
    },
    "v09_refine_mask/refine_mask.npz": {
        "*": Row(
            SAME,
            "with background counted as theirs; maps are refined by a split of the tissue alone",
            _C + "test_the_originals_mask_of_likely_cells",
        )
    },
    "v10_refine_gene/refine_gene.json": dict.fromkeys(
        ("expression", "keep_flat_row_major", "out", "dtype", "rule"),
        Row(SAME, "", _C + "test_expression_without_cells_is_the_originals"),
    ),
    "v11_merge/merge.json": dict.fromkeys(
        ("GA", "GB", "factor1_shape", "factor2", "rule"),
        Row(
            SAME,
            "genes are the first axis of maps; what has no tissue counts for nothing",
            "tests/arithmetic/test_areas.py::test_maps_summed_over_blocks_are_the_originals",
        ),
    ),
    "v12_model/forward.json": dict.fromkeys(
        (
            *("weight_rule", "parameters", "x", "y_spot_target", "latent_mean"),
            *("latent_sample_first_cell_first8", "y_superpixel", "y_spot_pred", "mse"),
        ),
        _FORWARD,
    ),
    "v12_model/normalise.json": {
        **dict.fromkeys(("cnts", "cnts_norm", "cmin", "cmax", "activations"), _NORMALISE),
        **dict.fromkeys(
            ("embs", "embs_mean", "embs_std", "embs_norm_first"),
            Row(
                SAME,
                "the published trainer throws them away; all but the published recipes read them here",
                _R + "test_standardised_features_are_the_originals_and_are_read_by_models",
            ),
        ),
        "prediction_rule": _PREDICT,
    },
    "v12_model/predict.json": dict.fromkeys(
        ("embs", "GA", "GB", "gene_embedding_shape", "gene_embedding_cell00_first8", "dtypes"), _PREDICT
    ),
    "v13_cluster/cluster.json": {
        **dict.fromkeys(("embedding", "n_clusters", "method", "labels", "sort_labels", "rule"), _GROUPS),
        "labels_min5": _ISLANDS,
        **dict.fromkeys(("smoothed_size2", "labels_smoothed_min5"), _SHARP),
        **dict.fromkeys(
            ("connected", "largest_connected"),
            Row(
                OURS,
                "a cluster is all of its pieces: none is singled out, and pieces get no numbers",
                _K + "test_a_cluster_is_all_of_its_pieces",
            ),
        ),
    },
    "v14_marker/marker.json": {
        **dict.fromkeys(("markers_csv", "label_order"), _PANEL),
        **dict.fromkeys(("genes", "mask_small_refined", "scores", "percentile_G1_no_cutoff"), _SCORES),
        **dict.fromkeys(
            (
                *("labels_argmax", "confidence", "labels_threshold_0.01", "labels_threshold_0.05"),
                *("labels_threshold_0.1", "labels_threshold_0.3"),
            ),
            _NAMES,
        ),
        "clean_names": Row(
            OURS,
            "names stay as they are written: one image holds all labels, and not a file each",
            "tests/cli/test_analyse.py::test_labels_are_in_the_section_as_other_programs_look_for_them",
        ),
        "mean_score_all4": Row(
            OURS,
            "ranks alone: in the older score the brightest square decides all others",
            "tests/arithmetic/test_markers.py::test_one_bright_square_changes_no_other_score_where_it_does_in_the_originals_mean",
        ),
        "temperature": Row(
            OURS,
            "names are not drawn by lot",
            "tests/stages/test_analysis.py::test_names_are_not_drawn_by_lot_where_the_original_can",
        ),
    },
    "v15_differential/differential.json": {
        **dict.fromkeys(("labels", "expression", "by_cluster", "index"), _MOMENTS),
        "results": Row(
            OURS,
            "the others' mean is over their own squares, theirs over all; no p, as squares are no independent samples",
            _D + "test_the_others_mean_is_over_their_own_squares_where_the_originals_is_not",
        ),
    },
    "v16_enrich/enrich.json": {
        **dict.fromkeys(("clusters", "celltypes", "names", "joint_prob", "odds_ratio"), _ODDS),
        **dict.fromkeys(
            ("log2_table_T_B_rows", "rule"),
            Row(
                OURS,
                "the same where enriched; depletion is kept, which theirs leaves out",
                _E + "test_depletion_is_kept_where_the_original_leaves_it_out",
            ),
        ),
    },
    "v17_metrics/metrics.json": dict.fromkeys(
        ("x", "y", "metrics"),
        Row(
            SAME,
            "Pearson, Spearman and RMSE of scaled maps; PSNR, Wasserstein and their crop are not offered",
            _R + "test_correlations_and_scaled_errors_of_the_original",
        ),
    ),
    "v18_aggregate/aggregate.json": {
        **dict.fromkeys(
            ("cnts", "locs_yx", "mask", "radius", "array", "locs_center", "out_cnts", "out_locs_xy"), _SQUARES
        ),
        "circle": Row(
            OURS,
            "round spots are summed; theirs raises",
            _R + "test_round_spots_are_summed_where_the_original_raises",
        ),
        "hex": Row(
            OURS,
            "the same lattice, its last column included",
            _R + "test_the_hexagonal_lattice_holds_the_originals_points",
        ),
    },
    "v21_cells/cells.json": {
        "*": Row(SAME, "", "tests/arithmetic/test_areas.py::test_cells_out_of_maps_are_the_originals")
    },
    "v22_select_genes/select_genes.json": dict.fromkeys(
        ("cnts", "genes", "var", "top2", "top2_extra_GB_GX_GC", "all"), _RANKED
    ),
}
