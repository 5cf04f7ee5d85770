"""iSCALE: several captures on one mother slide, one network over superpixels (specs/iscale.md).

`captures.py` takes off what differs between captures and is not in their histology, and gives every place one weight
however often it was measured. `published.py` is the recipe as published, with iStar's as its single-section case. The
kernel is that of `models/superpixels`.
"""
