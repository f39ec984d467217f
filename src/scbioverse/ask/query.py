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


class _Frozen(BaseModel):
    """Data that are not changed: copies with other parts are made."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    def but(self, **parts: Any) -> Self:
        """Return a copy with some parts replaced."""
        return self.model_copy(update=parts)


class Where(_Frozen):
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
        return self.but(field=self.field or field, parts=parts)

    def leaves(self) -> tuple[Where, ...]:
        """Return its single comparisons."""
        return sum((one.leaves() for one in self.parts), ()) if self.parts else (self,)

    def conjuncts(self) -> tuple[Where, ...]:
        """Return the conditions that all have to hold."""
        return sum((one.conjuncts() for one in self.parts), ()) if self.op == "and" else (self,)

    def fields(self) -> set[str]:
        """Return the fields of its comparisons."""
        return {leaf.field for leaf in self.leaves()}

    def kinds(self) -> set[str]:
        """Return what its comparisons are about: a column, any gene, any element."""
        return {leaf.field if leaf.op == "is" else leaf.field.partition(":")[0] for leaf in self.leaves()}

    def ops(self) -> set[str]:
        """Return the ways in which it compares."""
        return {leaf.op for leaf in self.leaves()}

    @property
    def of_groups(self) -> bool:
        """Whether it says of rows no more than which groups they are in, or which they are."""
        return self.ops() == {"is"}

    @property
    def column(self) -> str:
        """Column of `obs` that is compared."""
        return self.field.removeprefix("obs:")

    @property
    def some(self) -> bool:
        """Whether it says that a row has some of a thing: a gene, an element."""
        return self.op == ">" and self.values == (0,)

    @property
    def gene(self) -> str:
        """Gene that is compared."""
        return self.field.removeprefix("gene:")

    @property
    def some_gene(self) -> bool:
        """Whether it says that a row expresses a gene."""
        return self.some and self.field.startswith("gene:")


def in_column(column: str, *names: str, said: str = "") -> Where:
    """Return the condition that a row is in one of some groups of a column."""
    return Where(op="is", field=f"obs:{column}", values=names, said=said)


def both(*parts: Where | None, op: Literal["and", "or"] = "and") -> Where | None:
    """Join conditions; those that are None say nothing."""
    held = tuple(dict.fromkeys(filter(None, parts)))
    return Where(op=op, parts=held) if len(held) > 1 else next(iter(held), None)


class Query(_Frozen):
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
        for but its number, of groups not which they are but how many.
    """

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

    def fields(self) -> list[str]:
        """Return all fields that it is about: those that are measured, then those of its conditions."""
        return [*self.of, *(leaf.field for leaf in self.leaves())]

    @property
    def column(self) -> str:
        """Column of whose groups it asks; "" where it asks for none."""
        return self.by or ""

    @property
    def bound(self) -> tuple[Sign, float]:
        """Sign and number that a yes needs: more than 0 where nothing else is said."""
        return self.check or (">", 0.0)

    @property
    def of_left_out(self) -> bool:
        """Whether it ranks the groups of a column by which some are left out: these have none of what is counted."""
        return self.show == "rank" and f"obs:{self.by}" in {leaf.field for leaf in self.leaves()}

    @property
    def says_nothing(self) -> bool:
        """Whether it asks for the share of rows that are what they are chosen by: "NK cells with GNLY, what share?"."""
        if self.want != "fraction" or self.among is None:
            return False
        if self.where is None:
            return self.by is None and not self.against
        chosen, asked = ([(one.op, one.field, one.values, one.parts) for one in some.conjuncts()]
                         for some in (self.among, self.where))  # fmt: skip
        return all(one in chosen for one in asked)

    def compared(self, other: Query) -> Query:
        """Read "compare them with NK cells" after a number: the same number of both, not the genes that differ."""
        if other.want != "differential" or self.want not in FIELDS:
            return other
        where = None if self.want == "count" else self.where
        return self.but(against=other.against, where=where, show="value")


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


class UnreadError(ValueError):
    """A question is not read; `refusal` says why."""

    def __init__(self, text: str, *words: str) -> None:
        super().__init__(text)
        self.refusal = Refusal(text=text, words=words)
