"""Molecules and proteins are added to a model without a change to its cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from recipes.bioverse_small import sequence_card, sequences
from recipes.bioverse_small.sequences import Pairs, PairSampler, SequenceConfig, groups_of, phrase_of
from recipes.datasets.surface_sequences import ACCESSIONS, surface_sequences
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.errors import OfflineError
from scbioverse.models import BioVerse, load

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.encoders._distinct import TextEncoder
    from scbioverse.llm.backbone import Backbone


@pytest.fixture
def cells_only(tiny_backbone: Backbone) -> BioVerse:
    cells = sb.datasets.toy_cells(n_obs=20, n_genes=50)
    cells.obsm["X"] = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    model = BioVerse.new(PrecomputedEncoder.from_adata(cells, "X"), name="small", llm=tiny_backbone, hidden=16)
    model.space.fit([f"text number {i}" for i in range(40)], dim=12)
    model.space.centre(model.project(cells.obsm["X"]))
    return model


@pytest.fixture
def toy_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forty pairs of each modality in place of the data."""

    def pairs_of(modality: str, split: str, encoder: TextEncoder, n: int | None, seed: int) -> Pairs:
        rng = np.random.default_rng([seed, len(modality), len(split)])
        codes = np.arange(40) % 4
        x = np.eye(4)[codes].repeat(encoder.dim // 4, axis=1)[:, : encoder.dim] + 0.1 * rng.normal(
            size=(40, encoder.dim)
        )
        texts = [f"{modality} of kind {'abcd'[code]}" for code in codes]
        phrases = [f"kind {'abcd'[code]}" for code in codes]
        return Pairs(x.astype(np.float32), texts, groups_of([f"{i}" for i in range(40)], texts), phrases)

    table = pd.DataFrame({"licence": "none", "citation": "none"}, index=["toy"])
    monkeypatch.setattr(sequences, "pairs_of", pairs_of)
    monkeypatch.setattr(sequence_card, "list_datasets", lambda: table)
    monkeypatch.setattr(sequences.molecules, "REBUILT", "toy")
    monkeypatch.setattr(sequences.molecules, "REAL", "toy")
    monkeypatch.setattr(sequences.proteins, "SOURCE", "toy")


@pytest.mark.usefixtures("toy_pairs")
def test_added_trained_saved_and_cells_untouched(cells_only: BioVerse, tmp_path: Path) -> None:
    pytest.importorskip("fcd_torch")
    config = SequenceConfig(
        hidden=16, contrastive_steps=100, batch_size=32, lexical_weight=0.1, writing_steps=2, writing_batch=4
    )
    configs = {"molecule": config, "protein": config}
    made = sequences.add(cells_only, configs, 0)
    assert made.modalities == ["cell", "molecule", "protein"]
    assert sequences.same_cells(cells_only, made)
    again = load(made.save(tmp_path / "m"), llm=cells_only.backbone)
    assert sequences.same_cells(cells_only, again)
    figures = next(value for key, value in made.config.metrics.items() if key.startswith("molecules"))[0]
    assert figures["text to object, recall@1"] > 0.5  # four kinds, well apart: chance is a quarter
    assert made.config.training["protein"]["writing_loss"] > 0
    # Once more on its own result: the same modalities anew, with the same seed the same weights.
    assert sequences.add(again, configs, 0).fingerprint() == made.fingerprint()


def test_a_changed_cell_side_is_noticed(cells_only: BioVerse) -> None:
    import torch

    other = cells_only.copy()
    assert sequences.same_cells(cells_only, other)
    with torch.no_grad():
        other.tokens.trained[-1, 0] += 1e-3
    assert not sequences.same_cells(cells_only, other)


def test_groups_are_joined_through_either_column() -> None:
    found = groups_of(["a", "b", "a", "c", "d"], ["x", "y", "y", "z", "w"])
    assert found[0] == found[1] == found[2]
    assert len(np.unique(found)) == 3


def test_batches_leave_rows_without_a_phrase_out() -> None:
    pairs = Pairs(np.zeros((4, 2), np.float32), ["a", "b", "c", "d"], np.arange(4), ["x", "", "y", "z"])
    batch = PairSampler(pairs, 8, 0.1)(np.random.default_rng(0))
    assert sorted(batch["cards"]) == ["a", "c", "d"]
    assert sorted(batch["texts"]) == ["x", "y", "z"]


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        ("The molecule is a fatty acid anion that is the conjugate base of hexanoic acid.", "fatty acid anion"),
        ("The molecule is an omega-hydroxy fatty acid. It is a long one.", "omega-hydroxy fatty acid"),
        ("The molecule is a member of the class of phenols in which one hydrogen is gone.", "phenols"),
        ("The protein is Cytochrome b. Location: mitochondrion.", "Cytochrome b"),
        ("It is found in the nucleus.", ""),
        ("It is a hydrolase, EC 3.1.1.4 (phospholipase A2).", ""),
        ("Name: RNA polymerase sigma factor RpoS.", "RNA polymerase sigma factor RpoS"),
    ],
)
def test_phrases(text: str, phrase: str) -> None:
    assert phrase_of(text) == phrase


def test_surface_proteins_are_those_of_the_table() -> None:
    try:
        found = surface_sequences()
    except OfflineError:
        pytest.skip("proteins_with_text is not in the cache")
    assert set(found) == set(ACCESSIONS)
    assert found["CD3"].startswith("MQSGTHWRVLGLCLLSVGVWGQ")
    assert all(len(sequence) > 150 for sequence in found.values())
