from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scbioverse.explain.claims import CheckedClaim, Claim, Measured
from scbioverse.explain.reasons import reasons
from scbioverse.explain.wording import Wording

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]
IDS = ["CL:0000236", "CL:0001054", "CL:0000625", "CL:0000623", "CL:0000233"]


class Writer:
    """Chooses the answer that begins with certain genes."""

    def __init__(self, said: str) -> None:
        self.said, self.prompts, self.answers = said, [], []

    def prompt(self, question: str, *, objects: Any, evidence: str) -> str:
        self.prompts.append((question, evidence))
        return question

    def choose(self, prompt: str, soft: dict[str, np.ndarray], answers: list[str]) -> int:
        self.answers, self.soft = answers, soft
        return next((i for i, one in enumerate(answers) if one.startswith(self.said)), 0)


def claims(*genes: str) -> list[CheckedClaim]:
    one = Measured(0.9, 0.1, 3.0, 0.0, 1.0, 50, 50)
    return [CheckedClaim(Claim(gene, (gene,), "high"), gene, "supported", one, IDS[0], "self") for gene in genes]


def wording(said: str) -> tuple[Wording, Writer]:
    writer = Writer(said)
    values = np.arange(12, dtype=np.float32).reshape(4, 1, 3)
    return Wording(SimpleNamespace(text_writer=writer), values), writer  # type: ignore[arg-type]


def test_only_what_was_tested_can_be_said() -> None:
    choose, writer = wording("D, B and A mark")
    found = choose(np.array([True, True, False, False]), "B cell", claims("A", "B", "C", "D", "E", "F"))
    assert [one.gene for one in found] == ["D", "B", "A"]
    np.testing.assert_array_equal(writer.soft["cell"], [[[1.5, 2.5, 3.5]]])  # the mean of the label's cells
    shares = "A (90 %, 10 %), B (90 %, 10 %), C (90 %, 10 %), D (90 %, 10 %) and E (90 %, 10 %)."
    assert writer.prompts == [("Why are these cells called B cell?", shares)]
    assert len(writer.answers) == len(set(writer.answers)) == 5 * 4 + 5 * 4 * 3 + 5 * 4 * 3 * 2
    assert all(one.endswith(" mark B cell.") and "F" not in one for one in writer.answers)


@pytest.mark.parametrize("n", [0, 1, 2])
def test_where_there_is_no_choice_nobody_is_asked(n: int) -> None:
    choose, writer = wording("A")
    some = claims("A", "B")[:n]
    assert choose(np.ones(4, dtype=bool), "B cell", some) == some
    assert not writer.prompts


def test_chosen_claims_are_said_with_their_figures(cells: Any) -> None:
    codes = np.array([TYPES.index(one) for one in cells.obs["cell_type"].astype(str)])
    plain = reasons(cells, TYPES, IDS, codes)

    class Last(Writer):
        def choose(self, prompt: str, soft: dict[str, np.ndarray], answers: list[str]) -> int:
            return len(answers) - 1

    values = np.zeros((cells.n_obs, 1, 3), np.float32)
    model: Any = SimpleNamespace(text_writer=Last(""))
    chosen = reasons(cells, TYPES, IDS, codes, wording=Wording(model, values))
    assert chosen.sentences != plain.sentences
    assert (chosen.table["verdict"] == "supported").all()
    for name, text in zip(TYPES, chosen.sentences, strict=True):
        rows = chosen.table[chosen.table["label"] == name]
        assert 2 <= len(rows) <= 4
        for gene, share in zip(rows["gene"], rows["fraction_in"], strict=True):
            assert f"{gene} ({share:.0%}".replace("%", " %") in text or f"{gene} (>99 %" in text
