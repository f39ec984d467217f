"""From a form and the words that stand in its parts to a query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .query import FIELDS, FLIPPED, MEASURES, Query, Where, both

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .link import Names
    from .words import Link

    Parts = Mapping[str, Sequence[Link]]

_ENDS = {"MORE": "most", "LESS": "least"}
_EXTREMES = {"most": "max", "least": "min"}
_BOUNDS = {"ALL": (">=", 1.0), "MAJ": (">", 0.5), "TOP": (">", 0.5)}
# Of a number these may mean that of one row or that of all; "highest" means that of one.
_OF_ALL = frozenset(["most", "the most", "fewest", "top", "majority", "least"])
_SUMMED = frozenset(["most", "the most", "fewest"])


class MisfitError(Exception):
    """The words fit a form in their order and not in their sense."""


def need(holds: object) -> None:
    """Go on where something holds.

    Raises
    ------
    MisfitError
        It does not.
    """
    if not holds:
        raise MisfitError


def query_of(settled: Mapping[str, Any], parts: Parts, by: Sequence[str], names: Names) -> Query:
    """Put the parts of a form together.

    Parameters
    ----------
    settled
        What the form itself says.
    parts
        Joined words in each named part.
    by
        Columns that were named by "per" and "for each".
    names
        Names of the data.

    Raises
    ------
    MisfitError
        They make no query of one meaning.
    """
    plain = dict(settled)
    need(not plain.pop("needs", "") or by)
    need(not plain.pop("cells", False) or names.rows.noun == "cell")
    need(not plain.pop("table", False) or names.rows.noun != "cell")
    filled: dict[str, Any] = {"where": where(parts, "w", "v"), "among": where(parts, "a", "b")}
    filled["of"] = _fields(parts, share=plain.pop("share", False))
    _which_number(plain, parts, filled)
    _sides(plain, parts, filled, names)
    _columns(plain, parts, filled, by, names)
    _order(plain, parts, filled)
    _bound(plain, parts, filled)
    _named(plain, parts, filled, names)
    plain.setdefault("want", "mean")
    query = Query.model_validate({**filled, **plain})
    # "What distinguishes B cells from ..." has another side: it says no place of the B cells.
    need(query.want != "markers" or not any(one.said.lower() == "from" for held in parts.values() for one in held))
    _check(query, parts, names)
    return query


def where(parts: Parts, *names: str) -> Where | None:
    """Join the conditions that stand in some parts."""
    return both(*(one.value for name in names for one in parts.get(name, ()) if isinstance(one.value, Where)))


def about(where: Where | None) -> set[str]:
    """Return what a condition is about: columns, any gene."""
    fields = {leaf.field for leaf in where.leaves()} if where is not None else set()
    return {"gene" if one.startswith("gene:") else one for one in fields}


def _first(parts: Parts, name: str) -> Link | None:
    return next((one for one in parts.get(name, ()) if one.role not in ("OF", "IN", "COMMA", "AND")), None)


def _fields(parts: Parts, *, share: bool) -> tuple[str, ...]:
    found: list[str] = []
    for one in (link for name in ("m", "m2", "mm", "topm") for link in parts.get(name, ())):
        if isinstance(one.value, Where):
            leaves = one.items or (one.value,)
            need(all(leaf.op == ">" and leaf.values == (0,) for leaf in leaves))
            found += [leaf.field.replace("residue:", "share:") if share else leaf.field for leaf in leaves]
        elif one.role in ("MOREM", "TOPM"):
            found.append(one.value[0])
        elif one.role == "PAIRED":
            found += one.value
        elif one.role in ("MEASURE", "COLUMN"):
            found.append(one.value if one.role == "MEASURE" else f"obs:{one.value}")
    return tuple(found)


def _which_number(plain: dict[str, Any], parts: Parts, filled: dict[str, Any]) -> None:
    """Say which number of a field is meant: "the counts of B cells" may be a mean, a sum, a most."""
    stat = _first(parts, "st")
    if stat is not None:
        need(stat.role == "STAT" or stat.said.lower() not in _OF_ALL)
        plain["want"] = stat.value if stat.role == "STAT" else _EXTREMES[stat.value]
    if plain.get("show") == "extreme":  # "how old is the oldest"
        need(len(set(filled["of"])) == 1)
        filled["of"] = filled["of"][:1]
        plain |= {"want": _EXTREMES[parts["topm"][0].value[1]], "show": "value"}
    if "m" in parts and "want" not in plain:
        need({"s", "sides", "top"} & set(parts))
    if "m" in parts and stat is None and plain.get("want", "mean") == "mean":
        need(not any(one.said.lower() in _SUMMED for one in parts.get("top", ())))


def _sides(plain: dict[str, Any], parts: Parts, filled: dict[str, Any], names: Names) -> None:
    """Set the rows that are compared: each side says the same of its rows, but for what differs."""
    held = [where(parts, name) for name in ("s", "t") if name in parts]
    unlike = plain.pop("unlike", False)
    pair = plain.pop("pair", False)
    need(None not in held)
    if len(held) == 2 and plain.get("want") != "why":
        single = all(one is not None and one.op != "and" for one in held) and parts["t"][0].role != "IN"
        need(about(held[0]) == about(held[1]) or (unlike and single))
    if "sides" in parts:
        link = parts["sides"][0]
        held = [one for one in link.items if isinstance(one, Where)]
        need(len(held) > 1 and link.value.op == "or" and not (pair and len(held) != 2))
        # "Compare B and T cells of ctrl and stim": each by itself, or both together?
        need(not any(one.items and one.value.op == "or" for one in parts.get("w", ()) if isinstance(one.value, Where)))
    filled["against"] = tuple(held)


def _columns(plain: dict[str, Any], parts: Parts, filled: dict[str, Any], by: Sequence[str], names: Names) -> None:
    """Set the columns of whose groups it is asked; what is asked "per donor" is not passed over."""
    column = _first(parts, "by")
    own = [column.value] if column is not None else []
    if plain.pop("by", None) == "type":
        own = [names.type_column or names.cluster_column]
        need(own[0])
    kind = names.type_column
    mixture = plain.get("want") == "composition" and filled["where"] is None and not own
    if mixture and "w" in parts and by and list(by) != [kind] and kind is not None:
        own = [kind]
    columns = [*own, *by]
    need(len(set(columns)) == len(columns) <= 2)
    filled["by"], filled["then"] = [*columns, None, None][:2]
    if not by:
        return
    then, want = filled["then"], plain.get("want", "mean")
    need(not filled["against"])  # numbers by group, or of the two that are compared?
    kept = {"composition": True, "count": True, "fraction": True, "groups": then, "markers": not then}
    need(kept.get(want, filled["of"]))
    if then is not None:
        need(plain.get("show", "value" if "top" not in parts else "rank") in ("value", "rank"))
        need(not {"n", "ord"} & set(parts))
        plain["want"] = "count" if want == "composition" else want


def _order(plain: dict[str, Any], parts: Parts, filled: dict[str, Any]) -> None:
    """Set which end is meant, and how many or the how-manieth."""
    need(all(one.said.lower().startswith("the ") for one in parts.get("the", ())))  # "the most cells", not "most cells"
    for one in (*parts.get("top", ()), *parts.get("the", ()), *parts.get("topm", ())):
        if plain.get("want") not in ("max", "min") or "topm" not in parts:
            plain["show"] = "rank"
        plain["order"] = one.value[1] if one.role == "TOPM" else _ENDS.get(one.role, one.value)
    for name, key in (("ord", "nth"), ("n", "top")):
        if parts.get(name):
            number = float(parts[name][0].value)
            need(number >= 1 and number % 1 == 0)  # "the 0 heaviest"
            plain[key] = int(number)
    for name in {"more", "mm"} & set(parts):
        link = parts[name][0]
        more = link.role == "MORE" if name == "more" else link.value[1] == "most"
        plain.setdefault("show", "check")
        plain["order"] = "most" if more else "least"
        plain |= {"check": (">" if more else "<", 0.0)} if plain["show"] in ("check", "groups") else {}
    if "check" in plain:
        plain.setdefault("show", "check")


def _bound(plain: dict[str, Any], parts: Parts, filled: dict[str, Any]) -> None:
    """Set the bound that a yes needs: of a number, of a share, of a mean."""
    if "bound" in parts:
        held = parts["bound"][0].value
        need(held.op in FLIPPED and not (held.field.startswith("gene:") and held.values == (0,)))
        filled["of"], plain["check"] = (held.field,), (held.op, float(held.values[0]))
    link = _first(parts, "lim")
    if link is None:
        return
    need(link.role != "TOP" or not link.said.lower().startswith("the "))
    if link.role in _BOUNDS:
        plain["check"] = _BOUNDS[link.role]
    else:
        need(link.value.op in FLIPPED and link.value.field in ("", "%"))
        share = link.value.field == "%"
        if not filled["of"]:
            plain.setdefault("want", "fraction" if share else "count")
            need(share is (plain["want"] == "fraction"))
        plain["check"] = (link.value.op, float(link.value.values[0]) / (100 if share else 1))
    plain.setdefault("show", "check")


def _named(plain: dict[str, Any], parts: Parts, filled: dict[str, Any], names: Names) -> None:
    """Set rows by name, terms of the ontology and kinds of flags."""
    rows = [link for name in ("rows", "rows2") for link in parts.get(name, ()) if link.role == "ROW"]
    if rows:
        filled["against"] = tuple(names.row(link) for link in rows)
    if "gone" in parts:
        filled["words"] = str(parts["gone"][0].value)
    if "flag" in parts:
        filled["words"] = parts["flag"][0].role.lower()
    if "term" in parts:
        link = parts["term"][0]
        term = str((link.items or (link.value,))[0])
        known = term.startswith("CL:")
        filled["words"] = term if known else ""
        filled["where"] = None if known else link.value
        plain["want"] = "define" if known else "composition"


def _check(query: Query, parts: Parts, names: Names) -> None:
    """Leave out what has no single meaning."""
    held, rank = query.where, query.show == "rank"
    need(possible(held, names))
    if query.want in MEASURES:
        need(len(query.of) == FIELDS.get(query.want, 1))
    need(not (rank and query.want == "fraction" and held is not None and held.op == "not"))
    if rank and query.by and query.want == "count" and f"obs:{query.by}" in about(held):
        # No group that was left out can be called the least: "the least common type among T cells".
        need(query.order == "most" and not {"n", "ord"} & set(parts))
    # "How many donors gave cells" is how many there are.
    need(
        query.show != "groups"
        or query.want != "count"
        or held is not None
        or query.check != (">", 0.0)
        or query.against
    )
    if query.show == "check" and query.want == "count":
        # "Not expressed in B cells" may be of some or of all.
        need(not any(one.role == "PRED" and one.value.op == "not" for one in parts.get("w", ())))
    if rank and query.want == "fraction" and "top" not in parts:
        # "Which clusters have a pct_mito above 5" names no share.
        need(about(held) == {"gene"})


def possible(where: Where | None, names: Names) -> bool:
    """Whether a row can fulfil a condition: not "B cells in donor1 and T cells in donor2", two groups of a column."""
    found: dict[str, set[str | float]] = {}
    parts = [where] if where is not None else []
    while parts:
        one = parts.pop()
        parts += one.parts if one.op == "and" else ()
        leaves = one.leaves()
        fields = {leaf.field for leaf in leaves if leaf.op == "is"}
        columns = [field for field in fields if field.removeprefix("obs:") in names.rows.columns]
        alone = one.op in ("is", "or") and len(columns) == 1 and all(leaf.field in columns for leaf in leaves)
        if alone and not names.rows.groups(columns[0].removeprefix("obs:")).several:
            values = {value for leaf in leaves for value in leaf.values}
            found[columns[0]] = found.get(columns[0], values) & values
    return all(found.values())
