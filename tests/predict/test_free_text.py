from __future__ import annotations

from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pytest

import scbioverse as sb
from scbioverse.knowledge.spoken import spoken_name
from scbioverse.predict.candidates import read_labels
from scbioverse.predict.embedding import Representation
from scbioverse.predict.free_text import generate_labels, label_of
from scbioverse.tl._written_reasons import generate_reasons
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from scbioverse.models import BioVerse

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]


def test_a_given_label_is_always_written(cells: AnnData, tiny_model: BioVerse, tmp_path: Path) -> None:
    sb.tl.annotate(cells, model=tiny_model, labels=TYPES, method="generate")
    assert set(cells.obs["bioverse_label"]) <= {*TYPES, "unknown"}
    known = cells.obs["bioverse_label"] != "unknown"
    written = {label.text: label.name for label in read_labels(TYPES, tiny_model)}
    assert [written[text] for text in cells.obs["bioverse_text"][known]] == cells.obs["bioverse_label"][known].tolist()
    # The confidence is the probability of what was written, which scoring gives, too.
    scores = np.exp(cells.obsm["bioverse_scores"].to_numpy())
    at = [TYPES.index(written[text]) for text in cells.obs["bioverse_text"]]
    np.testing.assert_allclose(cells.obs["bioverse_confidence"], scores[np.arange(len(cells)), at], atol=LOG_PROBS)
    cells.write_h5ad(tmp_path / "a.h5ad")
    assert ad.read_h5ad(tmp_path / "a.h5ad").obs["bioverse_text"].tolist() == cells.obs["bioverse_text"].tolist()


def test_free_text_is_kept_and_mapped(cells: AnnData, tiny_model: BioVerse) -> None:
    sb.tl.annotate(cells, model=tiny_model, method="generate", groupby="cluster")
    for _, part in cells.obs.groupby("cluster", observed=True):
        assert part["bioverse_text"].nunique() == 1
        assert part["bioverse_label"].nunique() == 1
    table = sb.get.groups(cells)
    assert len(table) == cells.obs["cluster"].nunique()


def test_texts_mean_terms() -> None:
    assert label_of(" B cells. And more.").cl_id == "CL:0000236"
    assert label_of("gibberish flum").cl_id is None
    # What a model was taught to call CD14 monocytes, and what it means when it says so.
    assert label_of(spoken_name("CL:0001054"), "spoken").cl_id == "CL:0001054"
    assert label_of("monocyte  Patrolling.", "spoken").name == "CD16 monocyte"
    assert label_of("B cells", "spoken").cl_id == "CL:0000236"
    assert label_of("gibberish flum").name == "gibberish flum"
    assert label_of("").name == "unnamed"
    assert len(label_of("x" * 10_000).name) <= 80


def test_free_labels_of_one_meaning_are_one(tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch) -> None:
    texts = ["B cells", "B lymphocyte", "platelet", "flum"]
    monkeypatch.setattr(
        "scbioverse.predict.free_text.write_labels",
        lambda *_, **__: (texts, np.zeros(4, np.float32), np.full(4, -1)),
    )
    written = generate_labels(tiny_model, np.zeros((4, 16), np.float32))
    assert [label.name for label in written.labels] == ["B cell", "platelet", "flum"]
    assert written.codes.tolist() == [0, 0, 1, 2]
    assert written.texts == texts


def test_reasons_are_asked_for_again_and_only_what_holds_is_kept(
    tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, float]] = []
    answers = [
        ["MS4A1 marks them. INS is high.", "INS is high.", "Nice cells."],
        ["INS. ", "LYZ marks them. INS i"],
        [""],
    ]

    def write(prompts: list[object], soft: object, *, temperature: float, **_: object) -> list[str]:
        asked.append((len(prompts), temperature))
        return answers[len(asked) - 1]

    monkeypatch.setattr(tiny_model.text_writer, "write", write)

    def check(text: str) -> tuple[str, int]:
        kept = [one.strip() + "." for one in text.split(".") if one.strip() and "INS" not in one]
        return " ".join(kept), sum(gene in text for gene in ("INS", "LYZ", "MS4A1"))

    found = generate_reasons(
        tiny_model, np.zeros((3, 1, 16), np.float32), TYPES[:3], ["a", "b", "c"], [check] * 3, tries=2
    )
    assert asked == [(3, 0.0), (2, 0.7), (1, 0.7)]
    assert found == ["MS4A1 marks them.", "", "LYZ marks them."]


def test_reasons_of_a_random_model_do_not_hold(tiny_model: BioVerse) -> None:
    found = generate_reasons(
        tiny_model, np.zeros((2, 1, 16), np.float32), TYPES[:2], ["", ""], [lambda _: ("", 0)] * 2, max_new_tokens=6
    )
    assert found == ["", ""]


def test_written_reasons_replace_measured_ones_where_they_hold(
    tiny_model: BioVerse, monkeypatch: pytest.MonkeyPatch
) -> None:
    adata = sb.datasets.pbmc3k()[::3].copy()
    adata.obsm["X_bioverse"] = np.random.default_rng(0).normal(size=(adata.n_obs, 16)).astype(np.float32)
    monkeypatch.setattr(
        "scbioverse.tl._annotate.represent_rows",
        lambda adata, *_, **__: Representation(
            np.asarray(adata.obsm["X_bioverse"])[:, None], "X_bioverse", False, "embed"
        ),
    )
    truth = adata.obs["cell_type"].astype(str).to_numpy()
    names = ["B cell", "NK cell", "CD14 monocyte"]
    kept = np.isin(truth, ["B", "NK", "CD14+ Mono"])
    adata, truth = adata[kept].copy(), truth[kept]
    codes = np.array([["B", "NK", "CD14+ Mono"].index(one) for one in truth])
    monkeypatch.setattr(
        "scbioverse.predict.free_text.write_labels",
        lambda *_, **__: ([names[code] for code in codes], np.full(len(codes), -0.1, np.float32), codes),
    )
    said = {
        "B cell": "CD79A and MS4A1 mark these cells. CD3D is high in them.",  # the second sentence is false
        "NK cell": "GNLY marks these cells.",  # one gene is too few
        "CD14 monocyte": "INS and GCG mark these cells.",
    }

    def write(prompts: list[Any], soft: object, **_: object) -> list[str]:
        return [next(text for name, text in said.items() if f"called {name}?" in one.text) for one in prompts]

    monkeypatch.setattr(tiny_model.text_writer, "write", write)
    sb.tl.annotate(adata, model=tiny_model, labels=names, method="generate")
    reasons = adata.obs.groupby("bioverse_label", observed=True)["bioverse_rationale"].first()
    assert reasons["B cell"] == "CD79A and MS4A1 mark these cells."
    for name in ("NK cell", "CD14 monocyte"):
        assert said[name] not in reasons[name]
        assert "%" in reasons[name]
    assert "CD3D" not in " ".join(reasons)
    assert "INS" not in " ".join(reasons)
