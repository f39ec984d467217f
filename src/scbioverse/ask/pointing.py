"""Words that point back: what "them", "it" and "the two" mean after a question; after none they mean nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .follow import referred
from .grammar import matches
from .query import UnreadError, Where, in_column
from .run import run
from .tables import listing
from .words import UNITS, Link, pick, roles_of, said_of, without

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from .link import Names
    from .query import Query
    from .rows import Rows
    from .say import Speech

_NUMBERS = {name: n for n, name in enumerate(UNITS) if 2 <= n <= 6}
_OF_NUMBER = rf"(?P<n>{'|'.join(_NUMBERS)}|\d+)"
# "The two", "those three", where no noun follows that says of what.
_COUNTED = re.compile(
    rf"\b(?P<said>(?:the|these|those|them) {_OF_NUMBER})(?:\s*[?.!,;](?!\d)|\s*$|"
    r"\s+(?=(?:is|are|was|were|be|do|does|did|has|have|can|express|expresses|contain|contains|weighs?|together|with|in)\b))",
    re.IGNORECASE,
)
# What points at one of several that were named before, and never at what the same question names.
_ONE_OF = re.compile(
    r"\b(?:the (?:former|latter|aforementioned)|(?:that|this) one|those ones|these ones|said ones"
    r"|the ones?(?=\s*(?:[?.!,;]|$|(?:is|are|do|does|has|have)\b))"
    r"|(?:of|among) (?:that|this)(?=\s*(?:[?.!,;]|$)|\s+(?:is|are|was|were|express\w*|has|have|contains?)\b)"
    r"|he|she|him|his|her|hers|theirs|such)\b(?!-)",
    re.IGNORECASE,
)
_OTHERS = re.compile(r"\b(?:the )?(?:the rest|others|other one|other ones|remaining ones)\b", re.IGNORECASE)
# Of two the one that is "heavier" is the heaviest.
_ENDS: dict[str, Callable[[Link], Link]] = {
    "MOREM": lambda one: one.but("TOPM"),
    "MORE": lambda one: one.but("TOP", value="most"),
    "LESS": lambda one: one.but("TOP", value="least"),
}
# "Do both express CD3D": none is listed, and no column or number of groups follows.
_BOTH_ALONE = "(?!.*(AND|OR|COMMA))(?!.*BOTH.*(COLUMN|GROUPS))[^BOTH]*<both:BOTH>"
# The data as a whole, or what was found before.
_LISTED = re.compile(r"\b(?:this|that|the) (?:list|cohort|subset|selection)\b", re.IGNORECASE)
_NAMED = ("WHERE", "ROW", "TRAIT", "TWICE", "PEOPLE", "TOOFINE")
_ANTECEDENT = (*_NAMED, "ROWS", "COLUMN", "FIELD", "MEASURE", "GENES", "NOGENE", "NOTYPES")
# "Of those that express CD3D", "those cells with more than 2 genes": what follows says which.
_TOLD_NEXT = "THEM ROWS? (THAT|WHICH|HAVING|LACKING|TRAIT)"
# "In it", "how many cells it has".
_PLACED = "(IN|OF|AMONG) THEM|.?THEM HAVE"
_PLURAL = frozenset(["them", "these", "those", "of them", "of these", "of those", "they", "their", "these one"])


def dangling(said: str) -> UnreadError:
    """Refuse a word that points at nothing."""
    return UnreadError(
        f"{said!r} points at nothing: no question before this one was answered that says what is meant. Name it."
    )


def unclear(said: str, why: str = "") -> UnreadError:
    """Refuse a word of which it is not clear at what it points."""
    return UnreadError(f"It is not clear what {said!r} points at: {why}")


# ---------------------------------------------------------------- where nothing was answered before


def check_pointed(question: str, links: Sequence[Link], rows: Rows, *, first: bool) -> None:
    """Refuse a question with a word that points back where nothing was answered before.

    `first` says that nothing was asked yet: then "these compounds" are those of the table that was handed over.
    """
    for i in [i for i, one in enumerate(links) if one.role == "THEM"]:
        if not (_named_beside(links, i, rows) or _told_next(links, i) or (first and _handed(links, i, rows))):
            raise dangling(links[i].said)
    found = _COUNTED.search(question)
    said = found["said"] if found is not None else _lone(question, links)
    if said:
        raise dangling(said)


def _named_beside(links: Sequence[Link], at: int, rows: Rows) -> bool:
    """Whether the question itself names before a word what that points at."""
    before, key = roles_of(links[:at]), links[at].key
    named = {*before} & {*_ANTECEDENT}
    if key in ("it", "its"):  # "how many cells has it"
        named -= {"ROWS"}
    # "T cells with no CD3D, how many of them": named first; "in stim, how many of them" names but a place.
    placed = before[:1] and before[0] in ("IN", "AMONG") and not any(_names_rows(one, rows) for one in links[:at])
    front = "COMMA" in before and not placed
    partitive = key.startswith("of ") or bool({*before[-1:]} & {"OF", "AMONG", "OUT"})
    return bool(named) and (front or not partitive)


def _names_rows(link: Link, rows: Rows) -> bool:
    """Whether a word names rows, not a place: "among the B cells, how many of them"."""
    return link.role in ("ROWS", "ROW", "TRAIT") or (link.role == "WHERE" and rows.of_types(link.value))


def _told_next(links: Sequence[Link], at: int) -> bool:
    """Whether what follows says which are meant: "those cells that express CD3D"."""
    return links[at].key.endswith(("those", "these", "they")) and matches(_TOLD_NEXT, links[at:]) is not None


def _handed(links: Sequence[Link], at: int, rows: Rows) -> bool:
    """Whether the rows that were handed over are meant: a selection, one row, or a table that the asker looks at."""
    table = rows.noun != "cell" and links[at].key in _PLURAL
    return table or rows.asked.sum() == 1 or not rows.whole or matches("THEM ROWS", links[at:]) is not None


def _lone(question: str, links: Sequence[Link]) -> str:
    """Return what points at one of several, or at the others, with none named beside it; "" where nothing does."""
    both = matches(_BOTH_ALONE, links)
    if both is not None:  # "both donors" and "both CD3D and LYZ" name what they mean
        return links[both.start("both")].said
    found = _ONE_OF.search(question)
    if found is None and not pick(links, *_NAMED, "COLUMN"):
        found = _OTHERS.search(question)
    return "" if found is None else found[0]


# ---------------------------------------------------------------- after a question that was answered


def genes_meant(links: Sequence[Link], before: Query | None) -> list[Link]:
    """Put a gene in the place of what is expressed: "how many express it?", "in how many is it detected?".

    Refuses where no question before was about one gene alone: cells are not what other cells express.
    """
    genes = {one for one in (before.fields() if before is not None else ()) if one.startswith("gene:")}
    made = list(links)
    for i, one in enumerate(links):
        if one.role != "THEM" or not _of_gene(made, i, before, genes):
            continue
        if before is None:
            raise dangling(one.said)
        if one.key != "it" or len(genes) != 1:
            held = f"{len(genes) or 'no'} gene{'s' * (len(genes) != 1)}"
            raise UnreadError(f"It is not clear what {one.said!r} is: the question before names {held}. Name it.")
        made[i] = Link("FIELD", one.said, next(iter(genes)))
    return made


def _of_gene(links: Sequence[Link], at: int, before: Query | None, genes: set[str]) -> bool:
    """Whether a word that points back is said of a gene."""
    verb, it = links[max(at - 1, 0)], links[at].key == "it"
    # "Is it detected" asks of a gene, "are they detected" may ask of cells; after "is IFNG measured?" all do.
    if "express" in verb.key or (it and matches("THEM SEEN", links[at:])):
        return True
    if before is None:
        return False
    # "Which cell type has it most often", but "how many cells has it" of a cluster.
    turned = verb.said.lower() != "have" and roles_of(links[max(at - 2, 0) : at - 1]) == ["ROWS"]
    had = it and verb.role == "HAVE" and len(genes) == 1 and before.show == "value" and not turned
    return had or before.want == "genes"


def counted(question: str, links: Sequence[Link], before: Query, names: Names, speech: Speech) -> list[Link]:
    """Read "which of the two is heavier?" after a question whose rows are two; the links as they are where not asked.

    Of two "heavier" is the heaviest, "has more rings" has the most. What points at one of several sets that were named
    before, which no query keeps apart, is refused.
    """
    several = _LISTED.search(question)
    said = _lone(question, links) if several is None else several[0]
    if said:
        raise unclear(said, "name it.")
    found = _COUNTED.search(question)
    if found is None:
        return list(links)
    n = int(_NUMBERS.get(found["n"].lower(), 0) or found["n"])
    at = next((i for i, one in enumerate(links) if one.role == "NUM" and one.value == n), None)
    meant = names.rows_said(rows_meant(Link("THEM", found["said"]), before, names, speech))
    size = int(names.rows.mask(meant).sum())
    if at is None or size != n or meant is None:
        said = f"{found['said']!r} points at nothing: the question before is about {size:,} {names.rows.noun}s."
        raise UnreadError(f"{said} Name them.")
    rest = list(links[at + 1 :])
    return [*without(links[:at], "THEM"), Link("WHERE", found["said"], meant), *(_of_two(rest) if n == 2 else rest)]


def _of_two(rest: Sequence[Link]) -> list[Link]:
    """Read "is heavier", "has more" of two as "is the heaviest", "has the most"."""
    if pick(rest, "THAN", "BOUND", "NUM"):
        return list(rest)
    return [_ENDS[one.role](one) if one.role in _ENDS else one for one in rest]


def found_group(links: Sequence[Link], at: int, before: Query, names: Names, speech: Speech) -> Link | None:
    """Read "how many cells are in it?", "that cluster" after a question that one group answers; else None."""
    key = links[at].key
    column = [one.value for one in pick(links[at + 1 : at + 2], "COLUMN")] == [before.by]
    placed = matches(_PLACED, links[max(at - 1, 0) :]) or matches("WHAT COLUMN? BE THEM$", links)
    meant = column or (key == "it" and placed)
    asked = before.show == "rank" or (column and before.show == "groups")
    if before.by is None or before.then or before.against or not (asked and meant):
        return None
    found = run(before, names.rows, speech).value or ()
    several = column and key in ("these", "those")  # "these clusters"
    if len(found) != 1 and not (found and several):
        return None
    return Link("WHERE", said_of(links[at : at + 2]), in_column(before.by, *found), term="found")


def found_groups(links: Sequence[Link], before: Query, names: Names, speech: Speech) -> list[Link] | None:
    """Read "which of them has the most cells?" after an answer that names groups; else None."""
    asked = matches("(WHICH|WHAT) THEM", links)
    if asked is None or before.by is None or (before.show, before.then) != ("groups", None):
        return None
    found = run(before, names.rows, speech).value
    # "The higher" is one of two.
    if len(found) < 2 or (len(found) > 2 and pick(links, "MORE", "LESS", "MOREM")):
        raise unclear(links[1].said, f"{len(found)} groups were found. Name what is meant.")
    same = [one.value for one in pick(links[2:3], "COLUMN")] == [before.by]
    rest = list(links[3 if same else 2 :])
    where = Link("WHERE", links[1].said, in_column(before.by, *found))
    turned = _of_two(rest) if len(found) == 2 else rest
    return [links[0], Link("COLUMN", links[1].said, before.by), *turned, Link("IN", ""), where]


def rows_meant(link: Link, before: Query, names: Names, speech: Speech) -> Link:
    """Say which rows "these", "them" and "it" are after a question that was answered."""
    rows = names.rows
    if {one.field for one in before.against} == {"row"}:
        return link.but("ROW", value=tuple(rows.at(before.against)))
    if before.want == "list" and before.show == "rank":
        # The rows that the answer named, not those among which they were looked for.
        found = listing(before, rows, speech).value
        one = before.top in (None, 1)
        if one != (link.key in ("it", "its")):
            said = "one is named" if one else f"{len(found)} are named"
            raise unclear(link.said, f"{said} by the answer before. Name it.")
        where = Where(op="is", field="row", values=tuple(found), said=", ".join(found))
        return link.but("ROW", value=tuple(rows.at([where]))) if one else Link("WHERE", link.said, where)
    if (before.by is not None and before.show in ("rank", "groups", "any")) or before.want in ("groups", "flag"):
        raise unclear(link.said, "the answer before names groups. Name what is meant.")
    held = referred(before)
    return Link("ROWS", link.said) if held is None else Link("WHERE", link.said, held)
