"""Soft tokens that depend on the question: attention among the names asked for, said in codes of answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from scipy.special import log_softmax, softmax

from scbioverse.errors import InputError
from scbioverse.knowledge.phrases import answer_name
from scbioverse.models import load
from scbioverse.models import score as scoring
from scbioverse.models.config import Calibration
from scbioverse.models.edit import forget_terms, only, set_candidate_tokens
from scbioverse.models.score import STEPS, in_steps, name_code
from scbioverse.nn import CandidateTokens
from scbioverse.predict.pool import named_sources
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.models import BioVerse

B, NK, MONOCYTE, NEURON = "CL:0000236", "CL:0000623", "CL:0000576", "CL:0000540"
TERMS = [B, NK, MONOCYTE]
ROWS = {
    "candidate_tokens": Calibration({"prototypes": 0.5, "markers": 2.0}, temperature=3.0),
    "candidate_tokens_alone": Calibration({"prototypes": 1.0}, temperature=4.0),
}


@pytest.fixture
def names(spoken: BioVerse) -> list[str]:
    return [answer_name(one, spoken.config.names) for one in TERMS]


@pytest.fixture
def asked(spoken: BioVerse) -> BioVerse:
    generator = torch.Generator().manual_seed(3)
    set_candidate_tokens(spoken, "cell", [B, NK], torch.randn(2, 2, spoken.config.llm.d_llm, generator=generator))
    return spoken


@pytest.mark.parametrize("steps", [1, 7, 32, 100])
def test_shares_become_parts_of_the_whole(steps: int) -> None:
    shares = np.random.default_rng(0).dirichlet([0.3] * 9, size=500)
    found = in_steps(shares, steps)
    np.testing.assert_array_equal(np.rint(found * steps).sum(axis=1), steps)
    np.testing.assert_allclose(found * steps, np.rint(found * steps), atol=LOG_PROBS)
    assert np.abs(found - shares).max() < 1 / steps
    # Nothing overtakes what is larger.
    assert (np.take_along_axis(found, shares.argmax(1)[:, None], 1)[:, 0] == found.max(axis=1)).all()
    np.testing.assert_array_equal(in_steps(shares[7:9], steps), found[7:9])


def test_whole_parts_stay_as_they_are() -> None:
    parts = np.array([[7, 20, 5], [32, 0, 0], [11, 11, 10]]) / 32
    np.testing.assert_array_equal(in_steps(parts, 32), parts.astype(np.float32))


def test_shares_are_the_attention_among_the_candidates(asked: BioVerse, points: np.ndarray) -> None:
    wanted = np.exp(asked.attention(points, TERMS))  # type: ignore[arg-type]
    exact = asked.candidate_reader().shares(points, TERMS, steps=None)
    np.testing.assert_allclose(exact, wanted, atol=LOG_PROBS)
    np.testing.assert_array_equal(asked.candidate_reader().shares(points, TERMS), in_steps(wanted, STEPS))


def test_nothing_changes_without_codes_terms_or_candidates_that_are_known(
    spoken: BioVerse, points: np.ndarray, names: list[str]
) -> None:
    plain = spoken.score(points, names, progress=False)
    np.testing.assert_array_equal(spoken.score(points, names, terms=TERMS, progress=False), plain)
    set_candidate_tokens(spoken, "cell", [B, NK], torch.zeros(2, 2, spoken.config.llm.d_llm))
    np.testing.assert_array_equal(spoken.score(points, names, progress=False), plain)
    for terms in ([B, NEURON, None], [None] * 3):
        np.testing.assert_array_equal(spoken.score(points, names, terms=terms, progress=False), plain)
    assert np.abs(spoken.score(points, names, terms=TERMS, progress=False) - plain).max() > 1e-3


def test_soft_tokens_are_codes_mixed_by_shares(asked: BioVerse, points: np.ndarray, names: list[str]) -> None:
    codes = asked.candidate_reader().codes(names, TERMS, asked.reader).codes
    learned = asked.modules["candidate_tokens"]["cell"].codes  # type: ignore[index]
    torch.testing.assert_close(codes[:2], learned)
    torch.testing.assert_close(codes[2], name_code(asked.reader, names[2]))  # a term without a code of its own
    # Another wording is read by its words.
    torch.testing.assert_close(
        asked.candidate_reader().codes(["my B cells"], [B], asked.reader).codes[0],
        name_code(asked.reader, "my B cells"),
    )
    shares = asked.candidate_reader().shares(points, TERMS, steps=None)
    soft = asked.modules["candidate_tokens"]["cell"](torch.from_numpy(shares), codes)  # type: ignore[index]
    torch.testing.assert_close(soft[4, 1], sum(shares[4, i] * codes[i, 1] for i in range(3)))
    found = asked.score(points, names, terms=TERMS, steps=None, progress=False)
    # The same soft tokens, brought in as if a projector had made them of rows that are but numbers.
    numbers = np.repeat(np.arange(len(points), dtype=np.float32)[:, None], points.shape[1], axis=1)
    asked.project = lambda block, modality="cell": soft[block[:, 0].astype(int)]  # type: ignore[method-assign]
    np.testing.assert_allclose(asked.score(numbers, names, progress=False), found, atol=LOG_PROBS)


def test_a_soft_token_can_lean_to_the_likeliest_answer() -> None:
    codes, shares = torch.randn(3, 2, 4), torch.tensor([[0.5, 0.4, 0.1], [0.0, 0.0, 1.0]])
    soft = CandidateTokens(3, 2, 4, spread=(0.5, 1.0))(shares, codes)
    squares = torch.tensor([25.0, 16.0, 1.0]) / 42
    torch.testing.assert_close(soft[0, 0], squares @ codes[:, 0])
    torch.testing.assert_close(soft[:, 1], shares @ codes[:, 1])
    torch.testing.assert_close(soft[1], codes[2])
    # Shares that no power leaves anything of.
    even = torch.full((1, 300), 1 / 300)
    assert torch.isfinite(CandidateTokens(300, 1, 4, spread=(0.01,))(even, torch.randn(300, 1, 4))).all()


def test_rows_with_the_same_shares_are_read_once(
    asked: BioVerse, points: np.ndarray, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = scoring.score_labels

    def counted(backbone, prefix, embeds, trie, **options):
        seen.append(len(embeds))
        return real(backbone, prefix, embeds, trie, **options)

    monkeypatch.setattr(scoring, "score_labels", counted)
    many = np.repeat(points, 3, axis=0) + np.random.default_rng(0).normal(scale=1e-4, size=(72, 8)).astype(np.float32)
    found = asked.score(many, names, terms=TERMS, steps=4, progress=False)
    different = len(np.unique(asked.candidate_reader().shares(many, TERMS, steps=4), axis=0))
    assert sum(seen) == different < 30
    # Neither batches nor the order of rows matter.
    order = np.random.default_rng(1).permutation(72)
    again = asked.score(many[order], names, terms=TERMS, steps=4, batch_size=3, progress=False)
    np.testing.assert_allclose(again, found[order], atol=LOG_PROBS)


def test_evidence_is_pooled_with_the_attention_before_anything_is_read(
    asked: BioVerse, points: np.ndarray, names: list[str]
) -> None:
    evidence = np.random.default_rng(2).normal(size=(24, 3)).astype(np.float32)
    assert not asked.weighs(TERMS)
    with pytest.raises(InputError, match="no weight for evidence"):
        asked.score(points, names, terms=TERMS, evidence=evidence)
    plain = asked.score(points, names, terms=TERMS, progress=False)
    before = asked.fingerprint()
    asked.config.calibration |= ROWS
    assert asked.fingerprint() != before
    assert asked.weighs(TERMS)
    assert not asked.weighs([B, None, None])
    found = asked.candidate_reader().shares(points, TERMS, evidence=evidence, steps=None)
    wanted = softmax(0.5 * asked.attention(points, TERMS) + 2.0 * evidence, axis=1)  # type: ignore[operator]
    np.testing.assert_allclose(found, wanted, atol=LOG_PROBS)
    # Each way has a temperature of its own.
    raw = asked.score(points, names, terms=TERMS, evidence=evidence, calibrated=False, progress=False)
    said = asked.score(points, names, terms=TERMS, evidence=evidence, progress=False)
    np.testing.assert_allclose(said, log_softmax(raw / 3.0, axis=1), atol=LOG_PROBS)
    assert np.abs(raw - plain).max() > 1e-3
    alone = asked.score(points, names, terms=TERMS, progress=False)
    np.testing.assert_allclose(alone, log_softmax(plain / 4.0, axis=1), atol=LOG_PROBS)
    assert asked.temperature() == asked.config.calibration["score"].temperature == 1.0
    with pytest.raises(InputError, match="evidence has shape"):
        asked.score(points, names, terms=TERMS, evidence=evidence[:5])


def test_weights_of_evidence_are_kept_and_checked(asked: BioVerse, tmp_path: Path) -> None:
    asked.config.calibration |= ROWS
    kept = load(asked.save(tmp_path / "m"), llm=asked.backbone)
    assert kept.config.calibration == asked.config.calibration
    card = (tmp_path / "m" / "README.md").read_text()
    assert "| candidate tokens of a cell | 2 Cell Ontology terms |" in card
    assert "| calibration of candidate_tokens | temperature 3; weights: prototypes x 0.5, markers x 2 |" in card
    assert kept.fingerprint() == asked.fingerprint()
    for wrong in (-1.0, 2000.0, float("nan")):
        with pytest.raises(InputError, match="not be negative"):
            Calibration({"prototypes": wrong, "markers": 1.0})
    with pytest.raises(InputError, match="positive"):
        Calibration(temperature=0.0)
    with pytest.raises(InputError, match="'stars'"):
        named_sources(["nearest", "stars"])
    with pytest.raises(InputError, match="does not have"):
        named_sources(["..pool"])
    with pytest.raises(InputError, match="0 to 1"):
        Calibration(thresholds={"sure": 1.5})


def test_the_order_of_the_names_does_not_matter(asked: BioVerse, points: np.ndarray) -> None:
    # Two that nothing is known of get equal shares, of which rounding may raise one alone.
    terms = [B, NK, MONOCYTE, None, None]
    names = ["B", "NK", "monocyte", "thing", "other thing"]
    for steps in (3, 5, 32):
        found = asked.score(points, names, terms=terms, steps=steps, progress=False)
        turned = asked.score(points, names[::-1], terms=terms[::-1], steps=steps, progress=False)
        np.testing.assert_allclose(turned[:, ::-1], found, atol=LOG_PROBS)


def test_many_rows_are_rounded_in_parts(asked: BioVerse, points: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = asked.candidate_reader().shares(points, TERMS)
    monkeypatch.setattr("scbioverse.models.score._ROWS", 5)
    np.testing.assert_array_equal(asked.candidate_reader().shares(points, TERMS), whole)
    assert asked.candidate_reader().shares(points[:0], TERMS).shape == (0, 3)
    assert asked.score(points[:0], ["a", "b", "c"], terms=TERMS).shape == (0, 3)


def test_fine_steps_come_near_to_none(asked: BioVerse, points: np.ndarray, names: list[str]) -> None:
    exact = asked.score(points, names, terms=TERMS, steps=None, progress=False)
    gaps = [
        np.abs(asked.score(points, names, terms=TERMS, steps=steps, progress=False) - exact).mean()
        for steps in (2, 32, 4096)
    ]
    assert gaps[0] > gaps[1] > gaps[2]
    assert gaps[2] < 1e-3


def test_codes_are_kept_copied_and_forgotten_with_the_terms(
    asked: BioVerse, points: np.ndarray, names: list[str], tmp_path: Path
) -> None:
    found = asked.score(points, names, terms=TERMS, progress=False)
    before = asked.fingerprint()
    kept = load(asked.save(tmp_path / "m"), llm=asked.backbone)
    assert kept.fingerprint() == before
    for one in (kept, asked.copy(), only(asked, ["cell"])):
        np.testing.assert_array_equal(one.score(points, names, terms=TERMS, progress=False), found)
    forget_terms(kept, "cell")
    assert kept.fingerprint() != before
    again = load(kept.save(tmp_path / "n"), llm=asked.backbone)
    assert not again.config.encoders["cell"].candidates
    plain = again.score(points, names, progress=False)
    np.testing.assert_array_equal(again.score(points, names, terms=TERMS, progress=False), plain)


def test_what_does_not_fit_is_refused(asked: BioVerse, model: BioVerse, points: np.ndarray, names: list[str]) -> None:
    with pytest.raises(InputError, match="3 names go with 2 terms"):
        asked.score(points, names, terms=TERMS[:2])
    with pytest.raises(InputError, match="name the prototypes' terms"):
        set_candidate_tokens(model, "cell", [B], torch.zeros(1, 2, model.config.llm.d_llm))
    with pytest.raises(InputError, match="name the prototypes' terms"):
        replace(asked.config.encoders["cell"], terms=())
    with pytest.raises(InputError, match="2 positive temperatures"):
        set_candidate_tokens(asked, "cell", [B, NK], torch.zeros(2, 2, model.config.llm.d_llm), spread=(1.0, 0.0))
