"""One small perceptron over superpixels, averaged over the footprint of what was measured: what several systems share.

Three recipes: `components` (composition on few principal components and the total, accuracy.md), `likelihood` (bins
with few counts: a multinomial and a Poisson), and `minmax` (the published min–max regression of iStar). Pixel2Gene and
iSCALE are this kernel, each with its own data, its own targets and its own published recipe.
"""
