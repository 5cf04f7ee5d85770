"""Rows of STPath: a file has a row for each of its top-level names, or one row named "*" for all of it."""

from __future__ import annotations

from rows import OURS, SAME, Row

_P = "tests/models/test_stpath.py::"
_TOKENS = _P + "test_tokens_are_ranks_of_ids_and_symbols_lead_to_them"
_NORMALISED = _P + "test_the_normalisation_drops_rare_genes_and_takes_logs"
_LABELS = _P + "test_names_of_organs_and_technologies_are_looked_up_as_published"
_SCORES = _P + "test_scores_are_the_originals"

ROWS: dict[str, dict[str, Row]] = {
    "attention_tiny.npz": {
        "*": Row(
            SAME,
            "block by block, slide by slide; the averaged frames are a slope times the distance",
            _P + "test_attention_is_the_originals_slide_by_slide",
        )
    },
    "stfm_tiny.npz": {"*": Row(SAME, "", _P + "test_the_network_is_the_originals_at_every_stage")},
    "stfm_train5.npz": {"*": Row(SAME, "", _P + "test_five_steps_of_training_are_the_originals")},
    "inference_tiny.npz": {
        "*": Row(
            SAME,
            "without an array of all spots by all genes; only the genes asked for",
            _P + "test_inference_is_the_originals",
        )
    },
    "masking.npz": {"*": Row(SAME, "", _P + "test_masking_is_the_originals")},
    "sampler.npz": {"*": Row(SAME, "", _P + "test_places_are_scaled_and_neighbours_found_as_in_the_original")},
    "symbol2ensembl_tiny.json": {"*": Row(SAME, "", _TOKENS)},
    "tokenizers.json": {
        "gene2id": Row(SAME, "", _TOKENS),
        "n_tokens": Row(SAME, "", _TOKENS),
        "available_genes_as_returned": Row(
            OURS, "theirs loses the first two genes; ours lists all, in token order", _P + "test_all_genes_are_listed"
        ),
        "encode_names": Row(SAME, "", _TOKENS),
        "encode_counts": Row(SAME, "", _TOKENS),
        "encode_dense": Row(
            OURS, "of symbols that share a gene the largest count stands; theirs with recipe=original", _TOKENS
        ),
        "encode_obs_ids": Row(SAME, "", _TOKENS),
        "encode_sparse_max_dense": Row(SAME, "", _TOKENS),
        "symbol2id_demo": Row(
            OURS,
            "a symbol that is not known is an error, not left out in silence",
            _P + "test_unknown_symbols_are_told",
        ),
        "log1pv2_kept_genes": Row(SAME, "", _NORMALISED),
        "log1pv2_X": Row(SAME, "", _NORMALISED),
        "tech": Row(OURS, "names are understood in any case; as published with recipe=original", _LABELS),
        "organ": Row(OURS, "names are understood in any case; as published with recipe=original", _LABELS),
        "organ_vocab": Row(SAME, "", _LABELS),
        "tech_vocab": Row(SAME, "", _LABELS),
        "specie_vocab": Row(SAME, "", _LABELS),
    },
    "metrics.json": {name: Row(SAME, "", _SCORES) for name in ("pred", "target", "result")},
}
