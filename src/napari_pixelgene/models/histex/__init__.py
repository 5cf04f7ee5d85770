"""HISTEX: windows of superpixels that attend to measured units near by (specs/histex.md).

A window of superpixels and the nearest measured units look at one another through bidirectional cross-attention; a
head says what each superpixel expresses, and the mean over a unit's footprint is compared with what was measured.
Two recipes share the blocks: `components` (composition on few principal components and the total, each unit with
neighbours that are not itself, left out at random) and `original` (the published min–max regression on a 2× lattice).
"""
