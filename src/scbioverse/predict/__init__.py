"""From cells to names of cell types: candidates, the sources that speak for them, their pool, and the call.

`read_labels` gives the candidates, `pool` what the sources say of them, `decide` the calls; a source is a file of
:mod:`scbioverse.predict.sources`. Imported by file, since most of it brings torch.
"""
