"""Numbers among the linked words: bounds, ranges, and what is bounded."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from .query import FLIPPED, Where
from .words import Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names


def said_of(links: Sequence[Link]) -> str:
    """Return the words of some links."""
    return " ".join(one.said for one in links)


def pick(links: Sequence[Link], *roles: str) -> list[Link]:
    """Return the links of some roles."""
    return [one for one in links if one.role in roles]


def joined(links: Sequence[Link], role: str, value: Any, items: tuple[Any, ...] = ()) -> Link:
    """Make one link of several."""
    notes = " ".join(dict.fromkeys(one.note for one in links if one.note))
    return Link(role, said_of(links), value, items, notes)


def in_units(link: Link, unit: Link | None) -> tuple[str, float]:
    """Field that a unit implies, and the number in the units of the data; of per cent `"%"`."""
    field, factor = unit.value if unit is not None and isinstance(unit.value, tuple) else ("", 1.0)
    return ("%" if unit is not None and unit.value == "%" else field), link.value * factor


def limit(links: list[Link], _: Names) -> list[Link]:
    """Read "more than 5", "5 or more", "between 2 and 5"."""
    numbers = pick(links, "NUM", "HALF")
    unit = next(iter(pick(links, "UNIT")), None)
    (field, low), sign = in_units(numbers[0], unit), next(iter(pick(links, "BOUND", "AFTER")), None)
    if numbers[0].role == "HALF":
        field, low = "%", 100 * low
    if len(numbers) == 2:
        return [joined(links, "LIMIT", Where(op="between", field=field, values=(low, in_units(numbers[1], unit)[1])))]
    op: Any = sign.value if sign is not None else "=" if unit is not None else ">="
    return [joined(links, "LIMIT", Where(op=op, field=field, values=(low,)))]


def either_number(links: list[Link], _: Names) -> list[Link]:
    """Read "2 or 3"."""
    parts = tuple(Where(op="=", values=(one.value,)) for one in pick(links, "NUM"))
    return [joined(links, "LIMIT", Where(op="or", parts=parts))]


def not_limit(links: list[Link], _: Names) -> list[Link]:
    """Read "not more than 5"."""
    held: Where = links[-1].value
    turned = held.model_copy(update={"op": FLIPPED[held.op]}) if held.op in FLIPPED else held.negated()
    return [joined(links, "LIMIT", turned)]


def than(links: list[Link], _: Names) -> list[Link]:
    """Read "higher than that of B cells", where no number follows."""
    roles = {">": "MORE", "<": "LESS"}
    if links[0].value not in roles:
        return links
    return [replace(links[0], role=roles[links[0].value]), Link("THAN", "than")]


def two_limits(links: list[Link], _: Names) -> list[Link]:
    """Read "above 1 and below 5"."""
    first, second = pick(links, "LIMIT")
    return [joined(links, "LIMIT", Where(op=joining(links), parts=(first.value, second.value)))]


def joining(links: Sequence[Link]) -> Any:
    """Say how some parts are joined; `"?"` where both words stand among them."""
    said = {one.role for one in links if one.role in ("AND", "OR")}
    return "?" if len(said) > 1 else "or" if "OR" in said else "and"


def measured(links: list[Link], names: Names) -> list[Link]:
    """Put a field into a bound."""
    limit = next(iter(pick(links, "LIMIT", "NUM")))
    what = next(iter(pick(links, "MEASURE", "FIELD", "GENES")), None)
    bound = limit.value if limit.role == "LIMIT" else Where(op="=", values=(limit.value,))
    fields = {leaf.field for leaf in bound.leaves()}
    field = (
        names.usual("n_genes_by_counts") if what is not None and what.role == "GENES" else what.value if what else ""
    )
    if "%" in fields:
        field, bound = percent(field, bound, names)
        fields = {""}
    if field is None or (fields - {"", field}):
        return [joined(links, "?", None)]
    return [joined(links, "HAS", bound.about(field))]


def percent(field: str, bound: Where, names: Names) -> tuple[str | None, Where]:
    """Turn per cent into the units of a column of fractions; of amino acids into their share."""

    def scaled(one: Where, factor: float) -> Where:
        return one.model_copy(update={
            "field": "", "values": tuple(float(value) / factor for value in one.values),
            "parts": tuple(scaled(part, factor) for part in one.parts),
        })  # fmt: skip

    if field.startswith(("residue:", "share:")):
        return field.replace("residue:", "share:"), scaled(bound, 100)
    if not field.startswith(("obs:", "qc:")):
        return None, bound
    held = names.rows.numbers(field)
    return field, scaled(bound, 100 if held[held == held].max(initial=0) <= 1 else 1)


def implied(links: list[Link], _: Names) -> list[Link]:
    """Read "below 200 g/mol": the unit says of what."""
    fields = {leaf.field for leaf in links[0].value.leaves()}
    return [replace(links[0], role="HAS")] if fields.isdisjoint(("", "%")) else links


def after(links: list[Link], _: Names) -> list[Link]:
    """Read "3 rings or fewer"."""
    held: Where = links[0].value
    return [joined(links, "HAS" if held.op == "=" else "?", held.model_copy(update={"op": links[1].value}))]


def than_row(links: list[Link], names: Names) -> list[Link]:
    """Turn "weigh more than aspirin" into a bound."""
    row, (what, *_) = links[-1], pick(links, "MEASURE", "MOREM")
    sign = next(iter(pick(links, "BOUND", "MORE", "LESS")), None)
    field, order = what.value if what.role == "MOREM" else (what.value, "")
    more = "MORE" in {one.role for one in links} or order == "most"
    op: Any = sign.value if sign is not None and sign.role == "BOUND" else ">" if more else "<"
    values = names.rows.numbers(field)[list(row.value)]
    if len(values) != 1 or values[0] != values[0]:
        return [joined(links, "?", None)]
    return [joined(links, "HAS", Where(op=op, field=field, values=(float(values[0]),)))]


def more_than(links: list[Link], _: Names) -> list[Link]:
    """Turn "heavier than 500" into a bound."""
    (field, order), number = links[0].value, next(iter(pick(links, "NUM")))
    unit = next(iter(pick(links, "UNIT")), None)
    if any(one.value != field for one in pick(links, "MEASURE")):
        return [joined(links, "?", None)]
    op: Any = ">" if order == "most" else "<"
    return [joined(links, "HAS", Where(op=op, field=field, values=(in_units(number, unit)[1],)))]
