"""What a question asks for, as data: the same model for cells, molecules and proteins."""

from __future__ import annotations

import operator
from typing import TYPE_CHECKING, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

if TYPE_CHECKING:
    from collections.abc import Callable

Sign = Literal["<", "<=", "=", "!=", ">=", ">"]
Op = Literal["is", "<", "<=", "=", "!=", ">=", ">", "between", "missing", "and", "or", "not"]
Want = Literal[
    "count", "fraction", "mean", "median", "quantile", "std", "min", "max", "sum", "correlation", "groups", "list",
    "value", "composition", "genes", "expressed", "markers", "is marker", "differential", "flag", "why", "define",
    "gene", "describe", "nearest", "search",
]  # fmt: skip
# Numbers of a set of rows, with how many fields they are of; all else is a list or a text.
FIELDS = dict.fromkeys(["mean", "median", "quantile", "std", "min", "max", "sum"], 1) | {
    "count": 0,
    "fraction": 0,
    "correlation": 2,
}
FLIPPED: dict[str, Sign] = {"<": ">=", "<=": ">", "=": "!=", "!=": "=", ">=": "<", ">": "<="}
COMPARE: dict[str, Callable[[Any, Any], Any]] = {
    "<": operator.lt, "<=": operator.le, "=": operator.eq, "!=": operator.ne, ">=": operator.ge, ">": operator.gt,
}  # fmt: skip


class Where(BaseModel):
    """A condition on rows: one comparison, or several joined.

    Attributes
    ----------
    op
        `"is"`: a text column, or the row's name, is one of `values`; a sign: a number is compared with the one in
        `values`; `"between"`: it lies between two, both included; `"missing"`: the row has no value; `"and"`, `"or"`,
        `"not"` join `parts`.
    field
        What is compared: `"obs:donor"`, `"gene:CD3D"` (value in the matrix), of molecules `"property:weight"`,
        `"element:N"` (atoms), `"group:ester"` (matches of a substructure), of proteins `"residue:C"` (how many),
        `"share:C"`; `"row"` is the name.
    values
        One or more texts, or one or two numbers.
    parts
        Conditions that are joined.
    said
        What an answer calls it instead of its values.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    op: Op
    field: str = ""
    values: tuple[str | float, ...] = ()
    parts: tuple[Where, ...] = ()
    said: str = ""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        n, m = len(self.values), len(self.parts)
        joins = {"and": m > 0, "or": m > 0, "not": m == 1}
        alone = {"is": n > 0, "between": n == 2, "missing": n == 0}
        if not joins.get(self.op, m == 0 and alone.get(self.op, n == 1)):
            raise ValueError(f"op={self.op!r} with {n} values and {m} parts")
        return self

    def negated(self) -> Where:
        """Return the opposite."""
        return self.parts[0] if self.op == "not" else Where(op="not", parts=(self,))

    def about(self, field: str) -> Where:
        """Return the condition with a field where it names none."""
        parts = tuple(one.about(field) for one in self.parts)
        return self.model_copy(update={"field": self.field or field, "parts": parts})

    def leaves(self) -> tuple[Where, ...]:
        """Return its single comparisons."""
        return sum((one.leaves() for one in self.parts), ()) if self.parts else (self,)

    def fields(self) -> set[str]:
        """Return the fields of its comparisons."""
        return {leaf.field for leaf in self.leaves()}

    @property
    def column(self) -> str:
        """Column of `obs` that is compared."""
        return self.field.removeprefix("obs:")

    @property
    def some(self) -> bool:
        """Whether it says that a row has some of a thing: a gene, an element."""
        return self.op == ">" and self.values == (0,)


def in_column(column: str, *names: str, said: str = "") -> Where:
    """Return the condition that a row is in one of some groups of a column."""
    return Where(op="is", field=f"obs:{column}", values=names, said=said)


def both(*parts: Where | None, op: Literal["and", "or"] = "and") -> Where | None:
    """Join conditions; those that are None say nothing."""
    held = tuple(dict.fromkeys(filter(None, parts)))
    return Where(op=op, parts=held) if len(held) > 1 else next(iter(held), None)


class Query(BaseModel):
    """What is asked.

    Attributes
    ----------
    want
        A number of a set of rows (`"count"`, `"fraction"`, `"mean"`, `"median"`, `"std"` with n - 1, `"min"`, `"max"`,
        `"sum"`, the `"quantile"` at `level`, Pearson's `"correlation"` of two fields); `"groups"` of a column; a
        `"list"` of rows; the `"value"` of `of` for rows; the `"composition"` of the rows by `by`; `"markers"`,
        `"differential"` genes, `"is marker"`, `"genes"` (how many were measured, or which of `of`), genes `"expressed"`
        the most (in the most cells, where `words` are `"cells"`); groups with a `"flag"`; `"why"`; what is known of a
        type (`"define"`), of a `"gene"`, of rows (`"describe"`); rows `"nearest"` to one (by
        fingerprints alone, where `words` are `"tanimoto"`), or to words (`"search"`).
    of
        Fields that are measured, see :class:`Where`.
    where
        Rows that are counted, listed or measured.
    among
        Of which rows, for a fraction; all if not given.
    by
        Column of `obs`: one number a group.
    then
        A second column: one number for each group of `by` and of this.
    against
        Sets of rows that are compared; the first is the one asked about.
    show
        `"rank"`: the most or the least of the groups or rows; `"check"`: yes or no, by `check`, of all groups where
        there are some; `"groups"`: those whose number passes `check`, or whose first side of `against` has more than
        the second; `"any"`: whether there are such groups; `"ratio"` or `"difference"` of the two in `against`;
        `"ratio"` of a composition: shares and not numbers; `"rank"` of groups with two in `against`: of what the first
        has more than the second; `"value"`: the numbers.
    check
        Sign and number that a yes needs; for two sets the sign alone counts.
    order, top, nth
        Of a rank: which end, how many, or the how-manieth.
    level
        Of a quantile: between 0 and 1; linear between two values.
    words
        Free words: of a search, the kind of flag, a term of the ontology; `"number"`: of a rank not the group is asked
        for but its number.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    want: Want
    of: tuple[str, ...] = ()
    where: Where | None = None
    among: Where | None = None
    by: str | None = None
    then: str | None = None
    against: tuple[Where, ...] = ()
    show: Literal["value", "rank", "check", "groups", "any", "ratio", "difference"] = "value"
    check: tuple[Sign, float] | None = None
    order: Literal["most", "least"] = "most"
    top: int | None = Field(default=None, ge=1)
    nth: int | None = Field(default=None, ge=1)
    level: float | None = Field(default=None, gt=0, lt=1)
    words: str = ""

    def conditions(self) -> list[Where]:
        """Return all conditions that it holds."""
        return list(filter(None, (self.where, self.among, *self.against)))

    def leaves(self) -> list[Where]:
        """Return the single comparisons of all its conditions."""
        return [leaf for one in self.conditions() for leaf in one.leaves()]

    def compared(self, other: Query) -> Query:
        """Read "compare them with NK cells" after a number: the same number of both, not the genes that differ."""
        if other.want != "differential" or self.want not in FIELDS:
            return other
        where = None if self.want == "count" else self.where
        return self.model_copy(update={"against": other.against, "where": where, "show": "value"})


class RefusedError(ValueError):
    """What is asked cannot be answered of these data, or makes no query; its text says why."""


def require(holds: object, text: str = "") -> None:
    """Go on where something holds; else raise a :class:`RefusedError`."""
    if not holds:
        raise RefusedError(text)


class Refusal(BaseModel):
    """Why a question is not answered.

    Attributes
    ----------
    text
        What was not understood, and what can be asked.
    words
        The words of the question that stand for nothing.
    """

    model_config = ConfigDict(frozen=True)
    text: str
    words: tuple[str, ...] = ()
