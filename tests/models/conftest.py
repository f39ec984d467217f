from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.encoders import CompactCellEncoder
    from scbioverse.llm import Backbone
    from scbioverse.models import BioVerse

GENERAL = ["The train leaves at nine.", "Rain is expected in the north.", "He poured a cup of tea.", "A vote was held."]
NAMES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


@pytest.fixture
def encoder() -> CompactCellEncoder:
    """A random compact encoder of 200 genes, 8 wide."""
    import torch

    from scbioverse.encoders.compact import CompactCellEncoder, CompactNet, GeneStats

    genes = tuple(sb.datasets.toy_cells(n_obs=1, n_genes=200).var_names)
    rng = np.random.default_rng(0)
    stats = GeneStats(genes, rng.random(200), rng.random(200) + 0.1, rng.gamma(0.5, 1.0, 200), 3000.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return CompactCellEncoder(CompactNet(200, 16, 8), stats, name="tiny", min_genes=50)


@pytest.fixture
def model(encoder: CompactCellEncoder, tiny_backbone: Backbone) -> BioVerse:
    """An untrained model with a text space."""
    from scbioverse.models import BioVerse

    made = BioVerse.new(encoder, name="tiny", llm=tiny_backbone, n_soft=2, hidden=16)
    made.space.fit([*GENERAL, *NAMES], dim=6)
    return made


@pytest.fixture
def saved(model: BioVerse, tmp_path: Path) -> Path:
    return model.save(tmp_path / "tiny")


@pytest.fixture
def points() -> np.ndarray:
    """24 embeddings, some of them equal."""
    x = np.random.default_rng(1).normal(size=(24, 8)).astype(np.float32)
    x[5], x[20] = x[0], x[0]
    return x


@pytest.fixture
def spoken(encoder: CompactCellEncoder, tiny_backbone: Backbone) -> BioVerse:
    """An untrained model whose prototypes stand for terms: B cell, naive B cell, NK cell, classical monocyte."""
    from scbioverse.models import BioVerse

    terms = ("CL:0000236", "CL:0000788", "CL:0000623", "CL:0000860")
    made = BioVerse.new(encoder, name="spoken", llm=tiny_backbone, n_soft=2, prototypes=terms)
    made.space.fit([*GENERAL, *NAMES], dim=6)
    return made
