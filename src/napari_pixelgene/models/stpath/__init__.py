"""STPath: a pretrained transformer over the spots of a whole slide (specs/stpath.md).

`vocabulary.py` and `labels.py` are what the network knows by number, `inputs.py` what it is fed, `network.py` the
network and `weights.py` where its weights come from; `masking.py` and `tuning.py` go on training it, `model.py` is the
recipe and `fitted.py` what it answers.
"""
