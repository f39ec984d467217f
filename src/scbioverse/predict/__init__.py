"""From cells to names of cell types: candidates, sources of evidence, their pool, and the call."""
