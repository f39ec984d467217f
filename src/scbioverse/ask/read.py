"""From linked words to a query: neighbours are joined to conditions, then the whole must have a form of the grammar."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol

from .bounds import said_of
from .follow import BARE, followed
from .grammar import forms, letters, pattern, turned
from .join import chunked
from .query import FLIPPED, MEASURES, Query, Refusal, Where, both
from .values import listed
from .words import Link

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names
    from .rows import Rows

_ENDS = {"MORE": "most", "LESS": "least"}
CAN_BE_ASKED = {
    "cell": (
        "numbers, shares and lists of cells by group, cell type, gene or column; means and medians; the most and the "
        "least; comparisons; marker genes; what a cluster is and why"
    ),
    "molecule": "numbers, shares and lists by property, element, functional group or column; properties of one; the "
    "most and the least; comparisons",
    "protein": "numbers, shares and lists by length, mass, amino acid or column; properties of one; the most "
    "and the least",
}


class Reader(Protocol):
    """Reads a question into a query: by rules here, by a language model where one is put in its place."""

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; `before` is the query that a follow-up goes on from."""
        ...


# ---------------------------------------------------------------- refusals


def refused(links: Sequence[Link], rows: Rows) -> Refusal | None:
    """Say what stands in the way of an answer, None where nothing does."""
    told = {
        "TWICE": "{said!r} may mean {note}, and these differ: say which.",
        "NOGENE": "{said!r} was not measured in these data.",
        "TOOFINE": "The labels are not so fine: of {note} some may be {said!r}, and the data do not say which.",
        "NOTYPES": "{said!r} is a cell type, but no column of these data says which type a cell is: run "
        "scbioverse.tl.annotate(adata) first.",
        "NOGROUP": "There is no group {said!r}: {note}.",
        "MIXED": "{said!r} can be read in two ways (and, or, not): ask for each by itself.",
    }
    for one in links:
        if one.role in told:
            return Refusal(text=told[one.role].format(said=one.said, note=one.note), words=(one.said,))
    words = tuple(one.said for one in links if one.role == "?")
    if words:
        return Refusal(text=_not_known(words, rows), words=words)
    return None


def _not_known(words: Sequence[str], rows: Rows) -> str:
    shown = listed([repr(one[:60]) for one in words[:8]])
    verb = "was" if len(words) == 1 else "were"
    columns = listed([repr(one) for one in [*rows.columns, *rows.measures][:12]]) or "none"
    return (
        f"{shown} {verb} not understood, so that nothing was computed. These data can be asked about "
        f"{CAN_BE_ASKED[rows.noun]}. Columns: {columns}."
    )


# ---------------------------------------------------------------- reading


class Rules:
    """Reads by :func:`scbioverse.ask.grammar.forms`.

    Parameters
    ----------
    names
        Names of the data set.
    """

    def __init__(self, names: Names) -> None:
        self.names, self.rows = names, names.rows
        self._refused = False

    def read(self, question: str, links: Sequence[Link], before: Query | None = None) -> Query | Refusal:
        """Read a question whose words were linked; see :class:`Reader`.

        What follows a question that was refused does not go on from the one before that.
        """
        made = self._read(links, None if self._refused else before)
        if self._refused and before is not None and not isinstance(made, Refusal):
            # A question of its own is read alike, whatever came before it.
            roles = {one.role for one in links}
            if "THEM" in roles or made != self._read(links, before):
                made = Refusal(text="The question before was not answered: ask in full.")
        self._refused = isinstance(made, Refusal)
        return made

    def _read(self, links: Sequence[Link], before: Query | None) -> Query | Refusal:
        if links and links[0].role == "TRUE":
            swapped = [one.role for one in links[1:3]] == ["THERE", "BE"]
            links = [links[2], links[1], *links[3:]] if swapped else [replace(links[0], role="DO"), *links[1:]]
        follow = bool(links) and (links[0].role == "AND" or links[0].said.lower() in _ALSO)
        held = chunked([one for i, one in enumerate(links) if i or one.role != "AND"], self.names)
        held = [self._them(one, before) for one in held]
        open_search = self._search(held)
        if open_search is not None:
            return open_search
        bad = refused([one for one in held if not (one.role in _TERMS and self._is_term(held))], self.rows)
        if bad is not None:
            return bad
        # "How many of these ...?" and "How many contain chlorine?" are whole questions; "And how many ...?" may not be.
        roles = {one.role for one in links}
        whole = "COUNT" in roles and ("THEM" in roles or (not follow and len(roles) > 1 and not roles <= BARE))
        if before is not None and (follow or len(held) < 4) and not whole:
            made = followed(held, before, self.names)
            if made is not None:
                return made
        made = self._form(held)
        if isinstance(made, Query) and self._impossible(made.where):
            return Refusal(text=self._no_form(held), words=tuple(one.said for one in held))
        if (
            isinstance(made, Query)
            and made.want == "differential"
            and before is not None
            and before.want in MEASURES
            and "THEM" in {one.role for one in links}
        ):
            made = before.model_copy(
                update={
                    "against": made.against,
                    "where": None if before.want == "count" else before.where,
                    "show": "value",
                }
            )
        return made if made is not None else Refusal(text=self._no_form(held), words=tuple(one.said for one in held))

    def _impossible(self, where: Where | None) -> bool:
        """Whether a row would have to be in two groups of a column, as in "B cells in donor1 and T cells in donor2"."""
        found: dict[str, set[str | float]] = {}
        parts = [where] if where is not None else []
        while parts:
            one = parts.pop()
            if one.op == "and":
                parts += one.parts
                continue
            leaves = one.leaves()
            fields = {leaf.field for leaf in leaves}
            if one.op in ("is", "or") and len(fields) == 1 and all(leaf.op == "is" for leaf in leaves):
                field, values = fields.pop(), {value for leaf in leaves for value in leaf.values}
                column = field.removeprefix("obs:")
                if column not in self.rows.columns or self.rows.groups(column).several:
                    continue
                if field in found and not found[field] & values:
                    return True
                found[field] = found.get(field, values) & values
        return False

    def _is_term(self, held: Sequence[Link]) -> bool:
        roles = [one.role for one in held]
        return (len(roles) == 3 and roles[:2] == ["WHAT", "BE"]) or (
            "NOGENE" in roles and set(roles) <= {"DO", "BE", "NOGENE", "SEEN"}
        )

    def _search(self, held: Sequence[Link]) -> Query | None:
        """Read "which molecules are antibiotics?", "is caffeine a stimulant?": words that nothing computes."""
        named = [one.role for one in held[:2]] == ["BE", "ROW"] and self.rows.noun != "cell"
        if named and len(held) > 2 and all(one.role == "?" for one in held[2:]):
            return Query(want="search", words=said_of(held[2:]), against=(self._row(held[1]),))
        found = pattern("(WHICH|WHAT) (OF? (ROWS|THEM))? BE|LIST (OF? (ROWS|THEM))?").match(
            letters(one.role for one in held)
        )
        rest = held[found.end() :] if found else []
        if (
            self.rows.noun == "cell"
            or not rest
            or any(one.role != "?" for one in rest)
            or [one.role for one in held[:2]] == ["WHAT", "BE"]
        ):
            return None
        return Query(want="search", words=said_of(rest))

    def _them(self, link: Link, before: Query | None) -> Link:
        if link.role != "THEM":
            return link
        if before is not None and before.against and all(one.field == "row" for one in before.against):
            names = [str(name) for one in before.against for name in one.values]
            return Link("ROW", link.said, tuple(self.rows.adata.obs_names.get_indexer(names).tolist()))
        rows = referred(before) if before is not None else None
        return Link("ROWS", link.said) if rows is None else Link("WHERE", link.said, rows)

    def _no_form(self, held: Sequence[Link]) -> str:
        content = [one.said for one in held if one.role not in ("BE", "DO", "IN", "OF", "WHAT", "HAVE")]
        return (
            f"It is not clear how {listed([repr(one[:60]) for one in content[:8]])} go together in this question, so "
            f"that nothing was computed. These data can be asked about {CAN_BE_ASKED[self.rows.noun]}."
        )

    def _form(self, held: Sequence[Link]) -> Query | Refusal | None:
        by = [one for one in held if one.role == "BYCOL"]
        rest = [one for one in held if one.role != "BYCOL"]
        while rest and rest[0].role == "COMMA":
            rest = rest[1:]
        while rest and rest[-1].role == "COMMA":
            rest = rest[:-1]
        if any(one.role == "IN" and most.role == "TOP" and most.said == "most" for one, most in pairwise(rest)):
            return None  # "in most cells" may be a bound or a rank
        return self._fitted(rest, by) or self._fitted(turned(rest), by)

    def _fitted(self, rest: Sequence[Link], by: list[Link]) -> Query | Refusal | None:
        roles = letters(one.role for one in rest)
        for text, constants in forms() if rest else ():
            found = pattern(text).fullmatch(roles)
            if found is None:
                continue
            parts = {
                name: rest[found.start(name) : found.end(name)] for name in found.groupdict() if found[name] is not None
            }
            made = self._query(dict(constants), parts, by)
            if made is not None:
                return made
        return None

    def _query(self, plain: dict[str, Any], parts: dict[str, Sequence[Link]], by: list[Link]) -> Query | Refusal | None:
        """Put the parts of a form together."""

        def where(*names: str) -> Where | None:
            held = [one for name in names for one in parts.get(name, ()) if isinstance(one.value, Where)]
            return both(*(one.value for one in held))

        def one(name: str) -> Link | None:
            return next((link for link in parts.get(name, ()) if link.role not in ("OF", "IN", "COMMA", "AND")), None)

        if plain.pop("needs", None) and not by:
            return None
        if plain.pop("single", False) and parts["w"][0].value.op == "or":
            return None  # "compare B and T cells of ctrl and stim": each by itself, or both together?
        if plain.pop("alone", False) and by:
            return None
        if plain.pop("same", False) and _about(parts["s"]) != _about(parts["t"]):
            return None  # "B cells per NK cell", not "B cells per donor1"
        if plain.pop("ahead", False):
            plain |= {"show": "check", "check": (">", 0.0)}
        if plain.pop("either", False) and parts["sides"][0].value.op != "or":
            return None
        if plain.pop("place", False):
            parts["w"] = [*parts["w"], *parts.pop("s")]
        if plain.pop("twice", False):
            inner, outer = parts["w"], parts["a"]
            return Refusal(text=(
                f"This can be read in two ways: the share of {said_of(outer)} that is {said_of(inner)}, or the "
                f"share of {said_of(inner)} that is in {said_of(outer)}. Ask "
                f"'What fraction of {said_of(outer)} is {said_of(inner)}?' or the other."
            ))  # fmt: skip
        if plain.pop("cells", False) and self.rows.noun != "cell":
            return None
        filled: dict[str, Any] = {"where": where("w", "v"), "among": where("a", "b")}
        if "gone" in parts:
            filled["words"] = str(parts["gone"][0].value)
        stat, column = one("st"), one("by")
        if stat is not None:
            plain["want"] = stat.value
        if "ext" in parts:
            if parts["ext"][0].said.lower() in ("most", "fewest", "top", "majority", "least"):
                return None  # "the most genes" may be of one cell or of all
            plain["want"] = "max" if parts["ext"][0].value == "most" else "min"
        if column is not None:
            filled["by"] = column.value
        elif plain.get("by") == "type":
            filled["by"] = self.names.type_column or self.names.cluster_column
            if filled["by"] is None:
                return None
        if by:
            named = [name for link in by for name in (link.value if isinstance(link.value, tuple) else (link.value,))]
            if len(named) > 2 or len({*named, filled.get("by")} - {None}) != len(named) + ("by" in filled):
                return None
            own = plain.pop("own", False)
            if plain.get("want") == "composition" and filled["where"] is None and "by" not in filled and not own:
                filled["by"] = self.names.type_column if named != [self.names.type_column] else None
                filled = {name: value for name, value in filled.items() if value is not None or name != "by"}
            filled["by"], *then = [filled.get("by"), *named] if "by" in filled else named
            if len(then) > 1:
                return None
            filled["then"] = next(iter(then), None)
            if then and plain.get("want") == "composition":
                plain["want"] = "count"
            kept = {"composition": True, "count": True, "fraction": True, "groups": len(then) == 1, "markers": not then}
            if not kept.get(plain.get("want", "mean"), "of" in parts or "m" in parts):
                return None  # what is asked "per donor" is not passed over
            if then and (plain.get("show", "value") not in ("value", "rank") or "n" in parts or "ord" in parts):
                return None
        plain.pop("by", None)
        fields = self._fields(parts, plain)
        if fields is None:
            return None
        filled["of"] = fields
        for name in ("s", "t"):
            if name in parts:
                filled["against"] = (*filled.get("against", ()), where(name))
        if None in filled.get("against", ()):
            return None
        if plain.pop("owner", False) and _about(parts["t"]) != _about(parts["s"]):
            if _about(parts["t"]) != _about(parts["w"]):
                return None
            parts["s"], parts["w"] = parts["w"], parts["s"]  # "does donor1 have more B cells than T cells"
            filled["where"], filled["against"] = where("w"), (where("s"), where("t"))
        compared = "s" in parts and "t" in parts and plain.get("want") != "why"
        if compared and not self._shared_place(parts, filled):
            return None
        sides = parts.get("sides")
        if sides:
            items = sides[0].items if sides[0].items and isinstance(sides[0].items[0], Where) else ()
            if len(items) < 2:
                return None
            filled["against"] = items
        if by and filled.get("against"):
            return None  # numbers by group, or of the two that are compared?
        ranked = filled.get("by") is not None and "top" in parts and plain.get("want") == "count"
        if ranked and filled["where"] is not None and not self._whole_rank(parts, filled):
            return None
        if plain.pop("pair", False) and len(filled["against"]) != 2:
            return None
        self._extremes(parts, plain, filled)
        negated = filled["where"] is not None and filled["where"].op == "not"
        if plain.get("show") == "rank" and plain.get("want") == "fraction" and negated:
            return None
        if "bound" in parts:
            bound = parts["bound"][0].value
            if bound.op not in FLIPPED or (bound.field.startswith("gene:") and bound.values == (0,)):
                return None
            filled["of"], plain["check"] = (bound.field,), (bound.op, float(bound.values[0]))
        if "lim" in parts and not self._bound(one("lim"), plain):
            return None
        rows = [link for name in ("rows", "rows2") for link in parts.get(name, ()) if link.role == "ROW"]
        if rows:
            filled["against"] = tuple(self._row(link) for link in rows)
        if "flag" in parts or "term" in parts:
            link = (parts.get("flag") or parts["term"])[0]
            filled["words"] = link.role.lower() if "flag" in parts else str((link.items or (link.value,))[0])
            if "term" in parts and not filled["words"].startswith("CL:"):
                plain["want"], filled["words"] = "composition", ""
                filled["where"] = link.value
        denied = any(link.role == "PRED" and link.value.op == "not" for link in parts.get("w", ()))
        if plain.get("show") == "check" and plain.get("want") == "count" and denied:
            return None  # "not expressed in B cells" may be of some or of all
        if not self._plain_number(plain, parts, filled):
            return None
        if (
            plain.get("want", "mean") in MEASURES
            and plain.get("want", "mean") not in ("count", "fraction")
            and not filled["of"]
        ):
            return None
        plain.setdefault("want", "mean")
        if plain["want"] in MEASURES and len(filled["of"]) > 1:
            return None  # one number, of one field
        unsaid = plain["want"] == "fraction" and plain.get("show") == "rank" and "top" not in parts
        if unsaid and not all(leaf.field.startswith("gene:") for leaf in filled["where"].leaves()):
            return None  # "which clusters have a pct_mito above 5" names no share
        return Query.model_validate({**filled, **plain})

    def _shared_place(self, parts: dict[str, Sequence[Link]], filled: dict[str, Any]) -> bool:
        """Let each side of a comparison take over what only the other says, where it is clear; else there is no answer.

        "NK cells than B cells in donor1" are both in donor1, and so are "T cells in donor1 than B cells"; "B cells in
        ctrl than in stim" are both B cells. Of "B cells of donor1" nothing is taken over.
        """
        first, second = ([one for one in parts[name] if isinstance(one.value, Where)] for name in "st")
        said, named = _about(first), _about(second)
        left, right = filled["against"]
        if said == named:
            return True
        if said - named and named - said:
            return len(first) == len(second) == 1 and parts["t"][0].role != "IN"
        if named - said:
            places = [one for one in parts["t"] if one.role == "WHERE"][1:]
            if not places or _about(places) <= said:
                return len(parts["t"]) > 1 or len(first) == len(second) == 1
            if "OF" in {one.role for one in parts["t"]} or _about(places) & said:
                return False
            filled["against"] = (both(left, *(one.value for one in places)), right)
            return True
        lost = [one for one in first if not _about([one]) <= named]
        placed = {id(one) for before, one in zip(parts["s"], parts["s"][1:], strict=False) if before.role == "IN"}
        if (
            len(second) == 1
            and parts["s"][-1:] == first[-1:]
            and id(first[-1]) in placed
            and _about(first[-1:]) == named
        ):
            lost = first[:-1]  # "B cells in donor1 than donor2"
            filled["against"] = (left, both(*(one.value for one in lost), right))
            return not _about(lost) & named
        clear = parts["t"][0].role == "IN" or all(one.role == "WHERE" and id(one) in placed for one in lost)
        if not clear or _about(lost) & named:
            return False
        filled["against"] = (left, both(*(one.value for one in lost), right))
        return True

    def _whole_rank(self, parts: dict[str, Sequence[Link]], filled: dict[str, Any]) -> bool:
        """Whether no group that was left out can be called the least: "the least common type among T cells"."""
        inside = any(leaf.field == f"obs:{filled['by']}" for leaf in filled["where"].leaves())
        return not inside or (parts["top"][0].value == "most" and not {"n", "ord"} & set(parts))

    def _plain_number(self, plain: dict[str, Any], parts: dict[str, Sequence[Link]], filled: dict[str, Any]) -> bool:
        """Whether it is said which number of a field is meant: "the counts of B cells" may be a mean, a sum, a most."""
        if "m" not in parts or "want" in plain:
            return True
        if plain.get("show") != "rank":
            return bool(filled["against"]) if "against" in filled else False
        few = parts.get("top", [])
        return not any(one.said.lower() in ("most", "fewest") for one in few)

    def _row(self, link: Link) -> Where:
        names = tuple(str(self.rows.adata.obs_names[row]) for row in link.value)
        return Where(op="is", field="row", values=names, said=link.said)

    def _fields(self, parts: dict[str, Sequence[Link]], plain: dict[str, Any]) -> tuple[str, ...] | None:
        usual = plain.pop("measure", None)
        if usual is not None:
            return (self.names.usual(usual),)
        found: list[str] = []
        share = plain.pop("share", False)
        for name in ("m", "m2", "mm", "topm"):
            for link in parts.get(name, ()):
                if isinstance(link.value, Where):
                    leaves = link.items if link.items else (link.value,)
                    if any(leaf.op != ">" or leaf.values != (0,) for leaf in leaves):
                        return None
                    found += [leaf.field.replace("residue:", "share:") if share else leaf.field for leaf in leaves]
                elif link.role in ("MOREM", "TOPM"):
                    found.append(link.value[0])
                elif link.role in ("MEASURE", "COLUMN"):
                    found.append(link.value if link.role == "MEASURE" else f"obs:{link.value}")
        return tuple(found)

    def _extremes(self, parts: dict[str, Sequence[Link]], plain: dict[str, Any], filled: dict[str, Any]) -> None:
        for name in ("top", "topm"):
            for link in parts.get(name, ()):
                plain["show"] = "rank"
                plain["order"] = link.value[1] if name == "topm" else _ENDS.get(link.role, link.value)
        if "ord" in parts:
            plain["nth"] = int(parts["ord"][0].value)
        if "n" in parts:
            plain["top"] = int(parts["n"][0].value)
        for name, links in parts.items():
            if name in ("more", "mm"):
                more = links[0].role == "MORE" if name == "more" else links[0].value[1] == "most"
                plain.setdefault("show", "check")
                if plain["show"] == "check":
                    plain["check"] = (">" if more else "<", 0.0)
                plain["order"] = "most" if more else "least"
        if "check" in plain and plain.get("want") != "which":
            plain.setdefault("show", "check")

    def _bound(self, link: Link | None, plain: dict[str, Any]) -> bool:
        if link is None:
            return False
        fixed = {"ALL": (">=", 1.0), "MAJ": (">", 0.5), "TOP": (">", 0.5)}
        if link.role in fixed:
            plain["check"] = fixed[link.role]
        elif link.value.op in FLIPPED and link.value.field in ("", "%"):
            share = link.value.field == "%"
            if share != (plain["want"] == "fraction") and plain["want"] != "which":
                return False
            plain["check"] = (link.value.op, float(link.value.values[0]) / (100 if share else 1))
        else:
            return False
        plain.setdefault("show", "check" if plain["want"] != "which" else "value")
        return True


_ALSO = ("and", "what about", "how about")
_TERMS = ("TOOFINE", "NOTYPES", "NOGENE")


def _about(links: Sequence[Link]) -> set[str]:
    """Return what conditions are about: columns, any gene."""
    fields = {leaf.field for one in links if isinstance(one.value, Where) for leaf in one.value.leaves()}
    return {"gene" if one.startswith("gene:") else one for one in fields}


def referred(query: Query) -> Where | None:
    """Rows that "these" and "them" mean after a query."""
    if query.show == "check" or query.want == "fraction":
        return both(query.among) or query.where
    return both(query.among, query.where)
