"""HisToSGE: units attend to the units around them (specs/histosge.md).

A token a unit: its histology and its place. One transformer block over a set of at most 50 tokens, then a head that
says the expression. `network.py` has the network as published and the one of the sound recipe, `sets.py` which units
share a set, `places.py` where superpixels find theirs, `sound.py` and `original.py` what is learned, `fitted.py` what
is answered, `lattice.py` the denser lattice of positions that the published system fills.
"""
