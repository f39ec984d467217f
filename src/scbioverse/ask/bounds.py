"""Numbers that are compared: bounds and what they are of; `data/joins.txt` says where, :mod:`.chunks` applies them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pandas as pd

from .joins import mark
from .query import FLIPPED, Where, both
from .words import Link, joined, key_of, pick, said_of, without

if TYPE_CHECKING:
    from .link import Names

    Links = list[Link]

_PEOPLE = re.compile(r"patient|donor|subject|individual|person|participant", re.IGNORECASE)


def limit(links: Links, _: Names) -> Links:
    """Read "more than 5", "5 or more", "between 2 and 5", "2 or 3"; a unit may say of which field, `"%"` of a share."""
    numbers, units = pick(links, "NUM", "HALF"), pick(links, "UNIT")
    field, factor = units[0].value if units else ("", 1.0)
    if numbers[0].role == "HALF":
        field, factor = "%", 100.0
    signs = [one.value for one in pick(links, "BOUND", "AFTER")]
    op: Any = "between" if len(numbers) > 1 else [*signs, "=" if units else ">="][0]
    values = tuple(one.value * factor for one in numbers)
    if pick(links, "OR"):
        return [joined(links, "LIMIT", both(*(Where(op="=", values=(one,)) for one in values), op="or"))]
    return [joined(links, "LIMIT", Where(op=op, field=field, values=values))]


def not_limit(links: Links, _: Names) -> Links:
    """Read "not more than 5"."""
    held: Where = links[-1].value
    turned = held.but(op=FLIPPED[held.op]) if held.op in FLIPPED else held.negated()
    return [joined(links, "LIMIT", turned)]


def ends(links: Links, names: Names) -> Links:
    """Read "from 2 to 5 rings, inclusive": as the words of the bound say, or not at all."""
    plain = links[0].value.op in ("between", ">=", "<=")
    return without(links[:-1], "COMMA") if plain else mark(links, names)


def unit_measured(links: Links, names: Names) -> Links:
    """Read "the mean kDa" as of what is measured in it."""
    field, factor = links[0].value
    return [links[0].but("MEASURE", value=field)] if field != "%" and factor == 1 else mark(links, names, "?")


def than(links: Links, _: Names) -> Links:
    """Read "higher than that of B cells", where no number follows."""
    role = {">": "MORE", "<": "LESS"}.get(links[0].value)
    return [links[0].but(role), Link("THAN", "than")] if role else links


def exceeding(links: Links, names: Names) -> Links:
    """Read "exceed a weight of 400" as "weight exceed 400"."""
    bound, field, *rest = links
    if {one.value for one in pick(rest, "MEASURE")} - {field.value}:
        return mark(links, names, "?")
    return [field, bound, *pick(rest, "NUM", "UNIT")]


def measured(links: Links, names: Names) -> Links:
    """Put a field into a bound."""
    held, what = pick(links, "LIMIT", "NUM")[0], pick(links, "MEASURE", "FIELD", "GENES")[0]
    field: str | None = what.value
    bound = held.value if held.role == "LIMIT" else Where(op="=", values=(held.value,))
    if "%" in bound.fields():
        field, bound = percent(what.value, bound, names)
    if field is None or bound.fields() - {"", field}:
        return mark(links, names, "?")
    return [joined(links, "HAS", bound.about(field))]


def of_row(links: Links, names: Names) -> Links:
    """Read "is the TPSA of aspirin greater than 60" as "is aspirin of a TPSA greater than 60"."""
    return [links[0], *pick(links, "ROW"), *measured(pick(links, "MEASURE", "FIELD", "LIMIT"), names)]


def in_unit(links: Links, _: Names) -> Links:
    """Leave out a unit that is the one of all that is measured: "the weight of aspirin in g/mol", "length in aa"."""
    unit = links[-1].value if links[-1].role == "UNIT" else (links[-1].value, 1.0)
    mine = all((one.value, 1.0) == unit for one in pick(links, "MEASURE"))
    return links[:-2] if mine else links


def unit_said(links: Links, _: Names) -> Links:
    """Read "length > 100 aa", "9 residues long", "9 aa in length" once: both name the same."""
    first, *more = pick(links, "MEASURE")
    if any(one.value != first.value for one in more):
        return links
    return [one for one in links if one not in more and one.role not in ("LONG", "IN")]


def place_of(links: Links, names: Names) -> Links:
    """Read "where is ubiquitin" as what its location is, where a column holds that."""
    column = pick(names.held.get(("location",), ()), "COLUMN")[-1:]
    return [Link("WHAT", "what"), *column, Link("OF", "of"), *pick(links, "ROW")] if column else links


def of_two_rows(links: Links, _: Names) -> Links:
    """Read "A vs B: is A the longer one" as "is A longer than B"."""
    one, other, asked = pick(links, "ROW")
    rest = [two for two in (one, other) if two.value != asked.value]
    return [*pick(links, "BE"), asked, *pick(links, "MOREM"), Link("THAN", "than"), *rest] if len(rest) == 1 else links


def quantile(links: Links, names: Names) -> Links:
    """Read "the 90th percentile", "the 0.9 quantile" as a number of a column."""
    level = float(links[0].value) / (100 if pick(links, "UNIT") else float(links[-1].value))
    return [joined(links, "STAT", f"quantile {level:g}")] if 0 < level < 1 else mark(links, names, "?")


def single(links: Links, _: Names) -> Links:
    """Read "a single chlorine atom" as one, but where some is denied."""
    return [links[0], Link("NUM", links[1].said, 1.0)] if links[1].key == "a single" else links


def percent(field: str, bound: Where, names: Names) -> tuple[str | None, Where]:
    """Turn per cent into the units of a column of fractions; of amino acids into their share."""

    def scaled(one: Where, factor: float) -> Where:
        values, parts = (float(value) / factor for value in one.values), (scaled(part, factor) for part in one.parts)
        return one.but(field="", values=tuple(values), parts=tuple(parts))

    if field.startswith(("residue:", "share:")):
        return field.replace("residue:", "share:"), scaled(bound, 100)
    if not field.startswith(("obs:", "qc:")):
        return None, bound
    held = names.rows.numbers(field)
    return field, scaled(bound, 100 if held[held == held].max(initial=0) <= 1 else 1)


def implied(links: Links, _: Names) -> Links:
    """Read "below 200 g/mol": the unit says of what."""
    return [links[0].but("HAS")] if links[0].value.fields().isdisjoint(("", "%")) else links


def than_row(links: Links, names: Names) -> Links:
    """Turn "weigh more than aspirin" into a bound."""
    field, sign = pick(links, "MEASURE")[0].value, pick(links, "BOUND", "MORE", "LESS")[0].value
    values = names.rows.numbers(field)[list(links[-1].value)]
    if len(values) != 1 or pd.isna(values[0]):
        return mark(links, names, "?")
    return [joined(links, "HAS", Where(op=sign, field=field, values=(float(values[0]),)))]


def more_than(links: Links, names: Names) -> Links:
    """Turn "heavier than 500" into a bound."""
    (field, order), number = links[0].value, pick(links, "NUM")[0].value
    factor = next((one.value[1] for one in pick(links, "UNIT")), 1.0)
    if {one.value for one in pick(links, "MEASURE")} - {field}:
        return mark(links, names, "?")
    sign: Any = {"most": ">", "least": "<"}[order]
    return [joined(links, "HAS", Where(op=sign, field=field, values=(number * factor,)))]


def aged(links: Links, names: Names) -> Links:
    """Read "patients over 60": of people a number without a word is an age."""
    column, bound = links
    people = column.role == "PEOPLE" or _PEOPLE.search(str(column.value))
    if names.age is None or bound.value.fields() != {""} or not people:
        return links
    own = [column.but("WHERE")] if column.role == "PEOPLE" else []
    return [*own, joined([bound] if own else links, "TRAIT", bound.value.about(names.age))]


def gene_number(links: Links, names: Names) -> Links:
    """Read "the total number of genes" as of all that were measured, not of a cell."""
    counted = pick(links, "MEASURE")[0]
    total = {"count"} if pick(links, "STAT") else set()  # "the gene count" may be that of a cell
    said = {*key_of(counted.said)}
    words = {"number", "feature", *total} & said
    mine = counted.value == names.rows.usual("n_genes_by_counts") and words and "cell" not in said
    plain = all(one.value == "sum" for one in pick(links, "STAT"))
    return [Link("COUNT", counted.said), Link("GENES", ""), *pick(links, "BE", "THERE")] if mine and plain else links


def total(links: Links, _: Names) -> Links:
    """Read "the total of B cells" as their number."""
    return [Link("COUNT", said_of(links))] if pick(links, "STAT")[0].value == "sum" else links


def all_of_them(links: Links, names: Names) -> Links:
    """Read "of the three donors" as of the donors, if these are three."""
    number, column = links
    n = len(names.rows.groups(column.value).names)
    return [column] if number.value == n else [Link("NOGROUP", said_of(links), note=f"{column.value!r} holds {n}")]
