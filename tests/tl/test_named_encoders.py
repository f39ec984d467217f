"""Every verb that takes `model=` takes an encoder by the name that `embed` takes, or says what to do with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from tests._precision import SMALL_NET

if TYPE_CHECKING:
    from pathlib import Path

    import anndata as ad

pytest.importorskip("rdkit")


@pytest.fixture(autouse=True)
def small(tiny_llm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tiny language model is the default one."""
    monkeypatch.setattr(sb.settings, "progress", False)
    monkeypatch.setattr("scbioverse.llm.DEFAULT_LLM", str(tiny_llm))


def table(modality: str) -> ad.AnnData:
    """Twelve alkanes and twelve alcohols, or as many peptides of two kinds."""
    if modality == "molecule":
        made = sb.pp.molecules(["C" * n for n in range(1, 13)] + ["C" * n + "O" for n in range(1, 13)])
    else:
        made = sb.pp.proteins(["MKV" + "AL" * n for n in range(1, 13)] + ["DEW" + "GP" * n for n in range(1, 13)])
    made.obs["kind"] = pd.Categorical(["first"] * 12 + ["second"] * 12)
    return made


NAMED = [("morgan", "molecule"), ("Morgan", "molecule"), ("kmer", "protein"), ("chemnet", "molecule")]


@pytest.mark.parametrize(("name", "modality"), NAMED)
def test_align(name: str, modality: str, tiny_llm: Path) -> None:
    if name == "chemnet":
        pytest.importorskip("fcd_torch")
    adata = table(modality)
    model = sb.tl.align(
        adata, text_key="kind", model=name, modality=modality, steps=2, llm=str(tiny_llm), general_text=False
    )
    assert model.encoders[modality].kind == name.lower()
    embedded = table(modality)
    sb.tl.embed(embedded, model=name, modality=modality)
    np.testing.assert_allclose(
        adata.obsm[f"X_bioverse_{modality}"], embedded.obsm[f"X_bioverse_{modality}"], atol=SMALL_NET
    )
    done = sb.tl.annotate(adata, model=model, modality=modality, copy=True)
    assert set(done.obs["bioverse_label"]) <= {"first", "second", "unknown"}


@pytest.mark.parametrize(("name", "modality"), NAMED[:3])
def test_tune(name: str, modality: str) -> None:
    adata = table(modality)
    model = sb.tl.tune(adata, text_key="kind", model=name, modality=modality, steps=2, batch_size=4, rank=2)
    assert model.encoders[modality].kind == name.lower()
    assert model.adapter is not None
    with pytest.raises(sb.errors.InputError, match="train_projector=False would leave it untrained"):
        sb.tl.tune(adata, text_key="kind", model=name, modality=modality, train_projector=False)


@pytest.mark.parametrize(("name", "modality"), NAMED[:3])
def test_a_name_of_another_modality_and_a_start_that_it_cannot_make(name: str, modality: str) -> None:
    adata = table(modality)
    before = list(adata.obsm), list(adata.uns)
    other = "protein" if modality == "molecule" else "molecule"
    for verb in (sb.tl.align, sb.tl.tune):
        with pytest.raises(sb.errors.InputError, match=f"reads {modality}s, not {other}s"):
            verb(adata, text_key="kind", model=name, modality=other)
        with pytest.raises(sb.errors.InputError, match=f"reads {modality}s, not cells"):
            verb(adata, text_key="kind", model=name)
    with pytest.raises(sb.errors.InputError, match="an encoder by itself has none"):
        sb.tl.align(adata, text_key="kind", model=name, modality=modality, start="model")
    assert (list(adata.obsm), list(adata.uns)) == before


@pytest.mark.parametrize("name", ["morgan", "chemnet", "kmer"])
def test_verbs_that_need_a_projector_say_how_to_get_one(name: str) -> None:
    adata = table("protein" if name == "kmer" else "molecule")
    with pytest.raises(sb.errors.WeightsError, match=rf"{name}' is an encoder of .* scbioverse.tl.align\(adata"):
        sb.tl.annotate(adata, model=name, labels=["first", "second"])
    with pytest.raises(sb.errors.WeightsError, match="is an encoder of"):
        sb.models.load(name)
