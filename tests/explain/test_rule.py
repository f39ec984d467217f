from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from scbioverse.explain import support
from scbioverse.explain.expression import Measured
from scbioverse.explain.support import Claim, is_absent, is_high, is_low, judge


def measured(inside: float, outside: float, change: float, p_high: float = 0.0, n: int = 50) -> Measured:
    return Measured(inside, outside, change, p_high, 1 - p_high, n, n)


@pytest.mark.parametrize(
    ("direction", "one", "verdict"),
    [
        ("high", measured(0.9, 0.1, 3), "supported"),
        ("high", measured(0.05, 0.01, 3), "contradicted"),
        ("high", measured(0.9, 0.95, 0.5), "contradicted"),
        ("high", measured(0.9, 0.5, 0.2), "contradicted"),
        ("high", measured(0.9, 0.5, 1, p_high=0.2), "contradicted"),
        ("high", measured(0.9, 0.5, 1, p_high=0.2, n=5), "supported"),
        ("low", measured(0.2, 0.9, -2, p_high=1.0), "supported"),
        ("low", measured(0.9, 0.2, 2), "contradicted"),
        ("absent", measured(0.02, 0.5, -4), "supported"),
        ("absent", measured(0.2, 0.5, -2), "contradicted"),
        ("absent", measured(0.05, 0.001, 2), "contradicted"),
        ("high", Measured(0.9, np.nan, np.nan, np.nan, np.nan, 50, 0), "not measured"),
        ("absent", Measured(0.0, np.nan, np.nan, np.nan, np.nan, 50, 0), "supported"),
    ],
)
def test_verdicts(direction: str, one: Measured, verdict: str) -> None:
    assert judge(Claim("X", ("X",), direction, 0), {"X": one})[0] == verdict  # type: ignore[arg-type]


def test_families_and_stated_percentages(monkeypatch: pytest.MonkeyPatch) -> None:
    high, low = measured(0.9, 0.1, 3), measured(0.01, 0.2, -3, p_high=1.0)
    family = ("CD8A", "CD8B")
    assert judge(Claim("CD8", family, "high", 0), {"CD8A": high, "CD8B": low}) == ("supported", "CD8A")
    assert judge(Claim("CD8", family, "absent", 0), {"CD8A": high, "CD8B": low}) == ("contradicted", "CD8A")
    assert judge(Claim("CD8", family, "absent", 0), {"CD8B": low}) == ("supported", "CD8B")
    assert judge(Claim("X", ("X",), "high", 0, 90.0, 10.0), {"X": high})[0] == "supported"
    assert judge(Claim("X", ("X",), "high", 0, 40.0, 10.0), {"X": high})[0] == "contradicted"
    monkeypatch.setattr(support, "MAX_ERROR", 60.0)
    assert judge(Claim("X", ("X",), "high", 0, 40.0, 10.0), {"X": high})[0] == "supported"


def test_what_was_not_understood_is_not_checked() -> None:
    assert judge(Claim("X", ("X",), None), {"X": measured(0.9, 0.1, 3)}) == ("not checked", "X")
    assert judge(Claim("Y77", (), None), {}) == ("not checked", "Y77")


def test_numbers_and_columns_are_held_to_one_rule() -> None:
    rng = np.random.default_rng(0)
    some = [measured(*rng.random(2), rng.normal(), rng.random() / 50, int(rng.integers(5, 20))) for _ in range(200)]
    table = pd.DataFrame([vars(one) for one in some])
    columns = {
        "high": is_high(table, table["p_high"]), "low": is_low(table, table["p_low"]), "absent": is_absent(table),
    }  # fmt: skip
    for direction, found in columns.items():
        claim = Claim("X", ("X",), direction)  # type: ignore[arg-type]
        one_by_one = [judge(claim, {"X": one})[0] == "supported" for one in some]
        assert found.tolist() == one_by_one
