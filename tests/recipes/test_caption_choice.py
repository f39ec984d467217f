"""Captions from neighbours: weights that choose, and an adapter that writes with neighbours in view."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

import scbioverse as sb

Chem = pytest.importorskip("rdkit.Chem")

from recipes.bioverse_small import neighbours_in_view  # noqa: E402
from recipes.bioverse_small.caption_choice import Reference, fit_definition, fit_items, learn, left_out  # noqa: E402
from scbioverse.encoders import PrecomputedEncoder  # noqa: E402
from scbioverse.llm.adapter import AdapterConfig  # noqa: E402
from scbioverse.models import BioVerse  # noqa: E402
from scbioverse.predict.compose import CaptionComposer  # noqa: E402
from scbioverse.predict.neighbours import View  # noqa: E402

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.llm import Backbone

N = 24


@pytest.fixture
def known() -> Reference:
    """Alcohols and amines of growing chains; each says its own class and that of the others never."""
    smiles = [("C" * (1 + i // 2)) + ("O" if i % 2 else "N") for i in range(N)]
    kind = ["an alcohol" if i % 2 else "an amine" for i in range(N)]
    texts = [
        f"The molecule is {kind[i]} with {1 + i // 2} carbons. It has a role as {'a base' if i % 3 else 'a solvent'}. "
        f"It is {'a fuel' if i % 4 else 'a salt'} and {kind[i]}."
        for i in range(N)
    ]
    x = np.array([[i % 2, 1 - i % 2, i / (4 * N)] for i in range(N)], dtype=np.float32)
    near = left_out([View(x, x)], [np.arange(N)], k=5)
    return Reference(texts, smiles, [Chem.MolFromSmiles(one) for one in smiles], near, np.arange(N), x)


def test_neighbours_are_never_the_molecule_itself_in_another_form() -> None:
    x = np.random.default_rng(0).normal(size=(40, 4)).astype(np.float32)
    form = np.arange(40) // 2
    near = left_out([View(x, x)], [form], k=6)
    assert (near.rows >= 0).all()
    assert not (form[near.rows] == form[:, None]).any()


def test_definitions_are_weighed_by_what_pays() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(200, 6, 3)) * [1.0, 50.0, 0.1]
    gains = 0.1 * features[:, :, 0] - 2 * features[:, :, 2]
    weights = np.array(fit_definition(features, gains))
    chosen = (features @ weights).argmax(axis=1)
    reached = gains[np.arange(200), chosen].mean()
    assert reached > 0.9 * gains.max(axis=1).mean() > 0 > gains.mean() - 0.1


def test_probabilities_of_items_are_those_of_the_data() -> None:
    rng = np.random.default_rng(0)
    features = rng.normal(size=(4000, 2)) * [3.0, 0.5]
    holds = rng.random(4000) < 1 / (1 + np.exp(-(0.5 * features[:, 0] - 1)))
    slope, nothing, constant = fit_items(features, holds)
    # Standard errors of 4,000 rows are .02, .08 and .04.
    assert (slope, constant) == pytest.approx((0.5, -1.0), abs=0.2)
    assert abs(nothing) < 0.4


def test_learned_weights_choose_a_definition_of_the_right_kind(known: Reference) -> None:
    weights, found = learn(known, 0)
    composer = CaptionComposer(known.texts, known.molecules, known.names)
    composer.weights = weights
    for row, mol in enumerate(known.molecules):
        said, _ = composer.compose(mol, known.near.rows[row], known.near.similarity[row])
        assert said.startswith(f"The molecule is {'an alcohol' if row % 2 else 'an amine'} ")
    assert weights.least["roles"] == weights.least["classes"]
    assert all(0 < row["rougeL"] <= 1 for row in found.values())
    assert "nearest" in found


def test_an_adapter_writes_with_neighbours_in_view(
    known: Reference, tiny_backbone: Backbone, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drugs = sb.datasets.toy_cells(n_obs=N, n_genes=40)
    drugs.obsm["X"] = known.embeddings
    encoder = PrecomputedEncoder.from_adata(drugs, "X", modality="molecule")
    model = BioVerse.new(encoder, name="small", llm=tiny_backbone, hidden=16, rng=0)
    before = model.fingerprint()
    composer = CaptionComposer(known.texts, known.molecules, known.names)
    lessons = neighbours_in_view.lessons_of(
        composer, known.molecules, known.names, known.near, np.arange(8), known.embeddings
    )
    first = lessons.examples[0]
    assert first.answer == "The molecule is an amine with 1 carbons."
    assert first.question.startswith("The molecule is an amine")
    assert first.evidence.count("% like") == neighbours_in_view.SHOWN
    assert first.answer not in first.evidence
    config = neighbours_in_view.WriterConfig(AdapterConfig(rank=2), steps=4, batch_size=2)
    adapter, history = neighbours_in_view.train(model, lessons, config, 0, state=tmp_path / "state")
    again, rest = neighbours_in_view.train(model, lessons, config, 0, state=tmp_path / "state")
    assert len(history) == len(rest) == 4
    assert again.fingerprint == adapter.fingerprint
    assert model.fingerprint() == before
    found = neighbours_in_view.controls(model, adapter, lessons, 0, tmp_path / "said", 4)
    assert list(found) == [
        "draft", "written", "a part: draft", "a part: written", "a part: neighbours shuffled",
        "a part: soft tokens shuffled", "a part: without soft tokens",
    ]  # fmt: skip
    # What a stopped run had written is read, not written anew.
    monkeypatch.setattr(neighbours_in_view, "written", lambda *_args, **_options: pytest.fail("written anew"))
    assert neighbours_in_view.controls(model, adapter, lessons, 0, tmp_path / "said", 4) == found
