"""Cells, molecules and proteins with their texts in one picture."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.models import BioVerse
from scbioverse.models.edit import extend
from scbioverse.pl import _alignment_umap
from scbioverse.pl import _alignment_umap as module

if TYPE_CHECKING:
    import matplotlib.pyplot as plt
    from anndata import AnnData

    from scbioverse.llm.backbone import Backbone


@pytest.fixture
def three(cells: AnnData, tiny_backbone: Backbone) -> tuple[dict[str, AnnData], BioVerse]:
    rng = np.random.default_rng(0)
    data = {"cell": cells}
    model = BioVerse.new(PrecomputedEncoder.from_adata(cells, "X_bioverse"), llm=tiny_backbone, hidden=16)
    model.space.fit([f"text number {i}" for i in range(40)], dim=16)
    for modality, n in (("molecule", 30), ("protein", 20)):
        one = ad.AnnData(
            obs=pd.DataFrame({"text": [f"It is {modality} {i % 10}." for i in range(n)]}).rename(index=str)
        )
        one.obsm[f"X_bioverse_{modality}"] = rng.normal(size=(n, 6)).astype(np.float32)
        encoder = PrecomputedEncoder.from_adata(one, f"X_bioverse_{modality}", modality=modality)
        model, data[modality] = extend(model, encoder, hidden=8, rng=1), one
    return data, model


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_alignment_umap, "umap_layout", lambda points, rng=None: np.asarray(points[:, :2], np.float32))


def printed(ax: plt.Axes) -> str:
    return "\n".join(text.get_text() for text in ax.texts)


def test_every_modality_with_its_texts(three: tuple[dict[str, AnnData], BioVerse]) -> None:
    data, model = three
    axes = sb.pl.alignment_umap(data, model=model, n_general=12, show=False)
    assert isinstance(axes, list)
    for ax in axes:
        drawn = [len(collection.get_offsets()) for collection in ax.collections]
        assert drawn == [60, 5, 30, 10, 20, 10, 12]
        assert all(name in printed(ax) for name in ("cells", "molecules", "proteins", "recall@1", "gap"))
    legend = [text.get_text() for text in axes[0].figure.legends[0].get_texts()]
    assert legend[2:4] == ["molecule (30)", "text of a molecule (10)"]
    assert all(not one.uns for one in data.values())


def test_numbers_are_those_of_the_space(
    three: tuple[dict[str, AnnData], BioVerse], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rows on their own text after, and on the texts of another modality before."""
    data, model = three

    codes = [pd.factorize(one.obs["cell_type" if "cell_type" in one.obs else "text"])[0] for one in data.values()]
    starts = np.cumsum([0, *(own.max() + 1 for own in codes)])

    def spaces(model: object, rows: object, texts: list[str]) -> object:
        points = np.eye(len(texts), dtype=np.float32)
        right = [points[start + own] for start, own in zip(starts[:-1], codes, strict=True)]
        return ([points[[-1] * len(own)] for own in codes], points), (right, points)

    monkeypatch.setattr(module, "spaces", spaces)
    before, after = sb.pl.alignment_umap(data, model=model, n_general=3, show=False)
    assert len(re.findall(r"(?:cells|molecules|proteins)\n1\.00\n1\n", printed(after))) == 3
    assert len(re.findall(r"(?:cells|molecules|proteins)\n0\.00\n", printed(before))) == 3


def test_errors_name_the_modality(three: tuple[dict[str, AnnData], BioVerse]) -> None:
    data, model = three
    with pytest.raises(MissingKeyError, match=r"'molecule'.obs has no column 'caption'"):
        sb.pl.alignment_umap(data, model=model, label_key={"molecule": "caption"})
    with pytest.raises(InputError, match="spectrum"):
        sb.pl.alignment_umap({"spectrum": data["cell"]}, model=model)
    del data["protein"].obsm["X_bioverse_protein"]
    with pytest.raises(MissingKeyError, match="modality='protein'"):
        sb.pl.alignment_umap(data, model=model)
    with pytest.raises(InputError, match="mapping"):
        sb.pl.alignment_umap(data["cell"], model=model, label_key={"cell": "cell_type"})
