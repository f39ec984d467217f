from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from scbioverse.errors import WeightsError
from scbioverse.explain.expression import Measured
from scbioverse.explain.reasons import Asked, Wording, reasons, taught
from scbioverse.explain.support import CheckedClaim, Claim

TYPES = ["B cell", "CD14 monocyte", "CD8 T cell", "NK cell", "platelet"]
IDS = ["CL:0000236", "CL:0001054", "CL:0000625", "CL:0000623", "CL:0000233"]
TAUGHT = SimpleNamespace(training={"stage 2": {"questions": {"reason": 9}}})


class Writer:
    """Prefers genes in a certain order."""

    def __init__(self, order: str) -> None:
        self.order, self.seen = order, list[tuple[str, str]]()

    def prompts(self, asked: list[tuple[str, str]], *, objects: Any) -> list[str]:
        self.seen += asked
        return [question for question, _ in asked]

    def weigh(self, prompts: list[str], soft: list[dict[str, np.ndarray]], answers: list[list[str]]) -> Any:
        self.answers, self.soft = answers, soft
        return [np.array([-float(self.order.find(one[0])) for one in some], np.float32) for some in answers]


def claims(*genes: str) -> list[CheckedClaim]:
    one = Measured(0.9, 0.1, 3.0, 0.0, 1.0, 50, 50)
    return [CheckedClaim(Claim(gene, (gene,), "high"), gene, "supported", one, IDS[0], "self") for gene in genes]


def wording(order: str, config: Any = TAUGHT) -> tuple[Wording, Writer]:
    writer = Writer(order)
    values = np.arange(12, dtype=np.float32).reshape(4, 1, 3)
    return Wording(SimpleNamespace(text_writer=writer, config=config), values), writer  # type: ignore[arg-type]


def test_only_what_was_tested_can_be_said() -> None:
    choose, writer = wording("DBAEC")
    rows = np.array([True, True, False, False])
    (found,) = choose.choose([Asked(rows, "B cell", claims("A", "B", "C", "D", "E"))])
    assert [one.gene for one in found] == ["D", "B", "A"]
    np.testing.assert_array_equal(writer.soft[0]["cell"], [[[1.5, 2.5, 3.5]]])  # the mean of the label's cells
    shares = "A (90 %, 10 %), B (90 %, 10 %), C (90 %, 10 %), D (90 %, 10 %) and E (90 %, 10 %)."
    assert writer.seen == [("Why are these cells called B cell?", shares)]
    assert writer.answers == [[f"{gene} mark B cell." for gene in "ABCDE"]]
    assert choose.asked == 1


@pytest.mark.parametrize("n", [0, 1, 3])
def test_where_there_is_no_choice_nobody_is_asked(n: int) -> None:
    choose, writer = wording("A")
    none = Asked(np.ones(4, dtype=bool), "B cell", claims("A", "B", "C")[:n])
    assert choose.choose([none]) == [[]]
    assert not writer.seen
    several = Asked(np.ones(4, dtype=bool), "T cell", claims(*"ABCDE"))
    assert [len(some) for some in choose.choose([none, several])] == [0, 3]
    assert choose.asked == 1


def test_a_model_that_was_not_taught_to_is_not_asked() -> None:
    choose, writer = wording("A", SimpleNamespace(training=None))
    assert choose.choose([Asked(np.ones(4, dtype=bool), "B cell", claims(*"ABCDE"))]) == [[]]
    assert not writer.seen
    assert not taught(choose.model)


def test_a_language_model_that_is_not_there_costs_the_wording_only(cells: Any) -> None:
    class Gone:
        config = TAUGHT
        opened = 0

        @property
        def text_writer(self) -> Any:
            self.opened += 1
            raise WeightsError("no language model here")

    codes = np.array([TYPES.index(one) for one in cells.obs["cell_type"].astype(str)])
    model: Any = Gone()
    worded = Wording(model, np.zeros((cells.n_obs, 1, 3), np.float32))
    assert reasons(cells, TYPES, IDS, codes, wording=worded).sentences == reasons(cells, TYPES, IDS, codes).sentences
    assert (worded.asked, model.opened) == (0, 1)  # asked for once, not for every label


def test_chosen_claims_are_said_with_their_figures(cells: Any) -> None:
    codes = np.array([TYPES.index(one) for one in cells.obs["cell_type"].astype(str)])
    plain = reasons(cells, TYPES, IDS, codes)

    class Last(Writer):
        def weigh(self, prompts: list[str], soft: list[dict[str, np.ndarray]], answers: list[list[str]]) -> Any:
            return [np.arange(len(some), dtype=np.float32) for some in answers]

    model: Any = SimpleNamespace(text_writer=Last(""), config=TAUGHT)
    chosen = reasons(cells, TYPES, IDS, codes, wording=Wording(model, np.zeros((cells.n_obs, 1, 3), np.float32)))
    assert chosen.sentences != plain.sentences
    assert (chosen.table["verdict"] == "supported").all()
    for name, text in zip(TYPES, chosen.sentences, strict=True):
        rows = chosen.table[chosen.table["label"] == name]
        assert 2 <= len(rows) <= 5
        for gene, share in zip(rows["gene"], rows["fraction_in"], strict=True):
            assert f"{gene} ({share:.0%}".replace("%", " %") in text or f"{gene} (>99 %" in text
