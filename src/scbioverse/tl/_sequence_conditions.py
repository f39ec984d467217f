"""What a question asks of a row, such as "heavier than 500" or "without chlorine"."""

from __future__ import annotations

import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._sequence_words import MOLECULE, Property

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Condition:
    """What is asked of a row.

    Attributes
    ----------
    of
        The property compared.
    sign
        `">"`, `">="`, `"<"`, `"<="`, `"=="` or `"!="`.
    value
        What it is compared with, in the property's unit.
    group
        One condition of a group is enough; -1 for a condition that has to hold by itself.
    """

    of: Property
    sign: str
    value: float
    group: int = -1

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of some values fulfil it; NaN does not."""
        compare: Callable[..., NDArray[np.bool_]] = _SIGNS[self.sign][0]
        return np.isfinite(values) & compare(np.round(values, 6), self.value)

    @property
    def inverse(self) -> Condition:
        """What a row fulfils that does not fulfil it."""
        return replace(self, sign=_INVERSE[self.sign])

    @property
    def said(self) -> str:
        """What a row that fulfils it has, in words."""
        one, value = self.of, f"{100 * self.value if self.of.unit == '%' else self.value:g}"
        if one.name == "charge" and self.value == 0 and self.sign in _CHARGED:
            return _CHARGED[self.sign]
        if not one.counted:
            article = "" if one.name.startswith("obs:") else "a "
            return f"{article}{one.said} {_SIGNS[self.sign][1]}{value} {one.unit}".rstrip()
        if (self.sign, self.value) in ((">=", 1.0), (">", 0.0)):
            return one.said
        if (self.sign, self.value) == ("==", 0.0):
            return f"no {one.said}"
        return f"{_SIGNS[self.sign][2]}{value} {one.number(self.value)}"


_SIGNS = {
    ">": (operator.gt, "above ", "more than "), ">=": (operator.ge, "at least ", "at least "),
    "<": (operator.lt, "below ", "fewer than "), "<=": (operator.le, "at most ", "at most "),
    "==": (operator.eq, "", ""), "!=": (operator.ne, "other than ", "other than "),
}  # fmt: skip
_INVERSE = {">": "<=", "<=": ">", "<": ">=", ">=": "<", "==": "!=", "!=": "=="}
_CHARGED = {"!=": "a charge", ">": "a positive charge", "<": "a negative charge", "==": "no charge"}
# Lipinski et al. 1997, doi:10.1016/S0169-409X(96)00423-1, who count N-H and O-H bonds, and nitrogens and oxygens.
RULE_OF_FIVE = (
    Condition(next(one for one in MOLECULE if one.name == "weight"), "<=", 500.0),
    Condition(next(one for one in MOLECULE if one.name == "logp"), "<=", 5.0),
    Condition(Property("lipinski_donors", "N-H and O-H bonds", "", 0, ""), "<=", 5.0),
    Condition(Property("lipinski_acceptors", "N and O atoms", "", 0, ""), "<=", 10.0),
)


def alternatives(conditions: Sequence[Condition]) -> list[list[Condition]]:
    """Split conditions into those of which one has to hold each: groups, and conditions by themselves."""
    parts: dict[int, list[Condition]] = {}
    for at, one in enumerate(conditions):
        parts.setdefault(one.group if one.group >= 0 else -1 - at, []).append(one)
    return list(parts.values())


def in_unit(one: Property, value: float, unit: str) -> float:
    """Turn a number with a unit into the property's own."""
    if one.unit == "%":
        return value / 100
    if one.unit == "kDa" and unit in ("da", "dalton", "daltons", "g/mol"):
        return value / 1000
    return value * 1000 if one.unit == "g/mol" and unit in ("kda", "kg/mol") else value
