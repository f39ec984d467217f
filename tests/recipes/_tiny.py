"""A model over a few genes, with the encoder that recipes train."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from scbioverse.encoders.compact import CompactCellEncoder, CompactNet, GeneStats
from scbioverse.models import BioVerse

if TYPE_CHECKING:
    from collections.abc import Sequence

    from scbioverse.llm import Backbone


def tiny_cells(genes: Sequence[str], backbone: Backbone) -> BioVerse:
    """Return an untrained model whose compact encoder reads `genes`."""
    ones = np.ones(len(genes), np.float32)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        net = CompactNet(len(genes), 16, 8)
    encoder = CompactCellEncoder(net, GeneStats(tuple(genes), 0.8 * ones, ones, ones, 20.0), name="tiny", min_genes=1)
    return BioVerse.new(encoder, llm=backbone, n_soft=2, hidden=16)
