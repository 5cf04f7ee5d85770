"""Pixel2Gene: expression of a superpixel from its own histology vector (specs/pixel2gene.md section 5).

One small perceptron over superpixels, averaged over the footprint of the unit that was measured, in an
ensemble over spatial folds. Three recipes share it: `components` (spots: composition on few principal
components and the total, accuracy.md), `likelihood` (bins with few counts: a multinomial and a Poisson),
and `original` (the published min–max regression).
"""
