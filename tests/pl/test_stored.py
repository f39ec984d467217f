"""Pictures of embeddings that are no longer those of the data, or of another encoder."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb
from scbioverse.errors import MismatchError
from scbioverse.models import BioVerse

if TYPE_CHECKING:
    from anndata import AnnData

    from scbioverse.encoders import CompactCellEncoder
    from scbioverse.llm.backbone import Backbone


def encoder(seed: int) -> CompactCellEncoder:
    import torch

    from scbioverse.encoders.compact import CompactCellEncoder, CompactNet, GeneStats

    genes = tuple(sb.datasets.toy_cells(n_obs=1).var_names)
    n = len(genes)
    stats = GeneStats(genes, np.full(n, 0.8), np.full(n, 0.7), np.full(n, 1.0), 2000.0)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CompactCellEncoder(CompactNet(n, 16, 8), stats, name=f"tiny-{seed}", min_genes=50)


@pytest.fixture
def model(tiny_backbone: Backbone) -> BioVerse:
    model = BioVerse.new(encoder(0), llm=tiny_backbone, hidden=16)
    model.space.fit([f"text number {i}" for i in range(40)], dim=16)
    return model


def draw(cells: AnnData, model: BioVerse, several: bool) -> None:
    data = {"cell": cells} if several else cells
    sb.pl.alignment_umap(data, model=model, n_general=10, show=False)


@pytest.mark.usefixtures("quick_layout")
@pytest.mark.parametrize("several", [False, True])
def test_what_is_drawn_is_of_these_data_and_this_model(
    cells: AnnData, model: BioVerse, several: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scbioverse.pl import _alignment_umap

    monkeypatch.setattr(_alignment_umap, "umap_layout", lambda points, rng=None: points[:, :2])
    sb.tl.embed(cells, model=model)
    draw(cells, model, several)  # no warning
    held = cells.X.copy()
    cells.X = cells.X[::-1].copy()
    with pytest.warns(UserWarning, match=r"changed since adata\.obsm\['X_bioverse'\] was made.*sb\.tl\.embed"):
        draw(cells, model, several)
    cells.X = held
    cells.obsm["X_bioverse"] = cells.obsm["X_bioverse"][::-1].copy()
    with pytest.warns(UserWarning, match="have changed"):
        draw(cells, model, several)
    sb.tl.embed(cells, model=encoder(1))
    with pytest.raises(MismatchError, match=r"made by encoder 'tiny-1'.*'tiny-0'.*sb\.tl\.embed"):
        draw(cells, model, several)


@pytest.mark.usefixtures("quick_layout")
def test_an_embedding_of_a_version_without_digests_is_drawn_as_it_is(cells: AnnData, model: BioVerse) -> None:
    sb.tl.embed(cells, model=model)
    record = json.loads(cells.uns["bioverse"]["embed"])
    kept = {name: value for name, value in record.items() if not name.endswith("_digest")}
    cells.uns["bioverse"] = {**cells.uns["bioverse"], "embed": json.dumps(kept)}
    draw(cells, model, several=False)  # no warning
