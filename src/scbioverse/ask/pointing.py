"""Words that point back: what "them", "it" and "the two" mean after a question; after none they mean nothing."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from .follow import referred
from .query import Query, Refusal, Where, in_column
from .run import run
from .tables import listing
from .words import UNITS, Link, pick, roles_of, said_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .link import Names
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
_ENDS: dict[str, tuple[str, str]] = {"MOREM": ("TOPM", ""), "MORE": ("TOP", "most"), "LESS": ("TOP", "least")}
# The data as a whole, or what was found before.
_LISTED = re.compile(r"\b(?:this|that|the) (?:list|cohort|subset|selection)\b", re.IGNORECASE)
_NAMED = ("WHERE", "ROW", "TRAIT", "TWICE", "PEOPLE", "TOOFINE")
_ANTECEDENT = (*_NAMED, "ROWS", "COLUMN", "FIELD", "MEASURE", "GENES", "NOGENE", "NOTYPES")
# "Of those that express CD3D", "those cells with more than 2 genes": what follows says which.
_TOLD_NEXT = ("THAT", "WHICH", "HAVING", "LACKING", "TRAIT")
_PLURAL = frozenset(["them", "these", "those", "of them", "of these", "of those", "they", "their", "these one"])


def dangling(said: str) -> Refusal:
    """Refuse a word that points at nothing."""
    text = f"{said!r} points at nothing: no question before this one was answered that says what is meant. Name it."
    return Refusal(text=text)


def pointed(question: str, links: Sequence[Link], rows: Rows, *, first: bool) -> Refusal | None:
    """Refuse a question with a word that points back where nothing was answered before; None where it has none.

    `first` says that nothing was asked yet: then "these compounds" are those of the table that was handed over.
    """
    for i, one in enumerate(links):
        if one.role != "THEM":
            continue
        before, after = [link.role for link in links[:i]], [link.role for link in links[i + 1 :]]
        partitive = (bool(before) and before[-1] in ("OF", "AMONG", "OUT")) or one.key.startswith("of ")
        # "T cells with no CD3D, how many of them": named first; "in stim, how many of them" names but a place.
        front = ("COMMA" in before and before[0] not in ("IN", "AMONG")) or "BOTH" in before[-2:]
        named = {*before} & {*_ANTECEDENT} - (
            {"ROWS"} if one.key in ("it", "its") else set()
        )  # "how many cells has it"
        own = bool(named) and (front or not partitive)
        noun = after[:1] == ["ROWS"]
        told = one.key.endswith(("those", "these", "they")) and after[noun : noun + 1] and after[noun] in _TOLD_NEXT
        # A table of molecules is a list that the asker looks at; of cells nobody does.
        few = rows.asked.sum() in (1, *({len(rows.asked)} if rows.noun != "cell" and one.key in _PLURAL else ()))
        handed = first and (noun or few or not rows.asked.all())
        if not (own or told or handed):
            return dangling(one.said)
    found = _COUNTED.search(question)
    said = found["said"] if found is not None else _lone(question, links)
    return dangling(said) if said else None


def _lone(question: str, links: Sequence[Link]) -> str:
    """Return what points at one of several, or at the others, with none named beside it; "" where nothing does."""
    found, roles = _ONE_OF.search(question), roles_of(links)
    at = roles.index("BOTH") if "BOTH" in roles else -1
    if at >= 0 and not {"AND", "OR", "COMMA"} & {*roles} and not {"COLUMN", "GROUPS"} & {*roles[at:]}:
        return links[at].said  # "both donors" and "both CD3D and LYZ" name what they mean
    if found is None and not pick(links, *_NAMED, "COLUMN"):
        found = _OTHERS.search(question)
    return "" if found is None else found[0]


def genes_meant(links: Sequence[Link], before: Query | None) -> list[Link] | Refusal:
    """Put a gene in the place of what is expressed: "how many express it?", "in how many is it detected?".

    Refuses where no question before was about one gene alone: cells are not what other cells express.
    """
    asked = () if before is None else [*before.of, *(leaf.field for leaf in before.leaves())]
    genes = {one for one in asked if one.startswith("gene:")}
    made = list(links)
    for i, one in enumerate(links):
        verb, after = made[i - 1] if i else one, roles_of(links[i + 1 : i + 2])
        if one.role != "THEM":
            continue
        # "Is it detected" asks of a gene, "are they detected" may ask of cells; after "is IFNG measured?" all do.
        of_gene = "express" in verb.key or (one.key == "it" and after == ["SEEN"])
        if before is not None and not of_gene:
            # "Which cell type has it most often", but "how many cells has it" of a cluster.
            turned = verb.said.lower() != "have" and roles_of(made[i - 2 : i - 1]) == ["ROWS"]
            had = one.key == "it" and verb.role == "HAVE" and len(genes) == 1 and before.show == "value" and not turned
            of_gene = had or before.want == "genes"
        if not of_gene:
            continue
        if one.key != "it" or len(genes) != 1:
            if before is None:
                return dangling(one.said)
            held = f"{len(genes) or 'no'} gene{'s' * (len(genes) != 1)}"
            return Refusal(text=f"It is not clear what {one.said!r} is: the question before names {held}. Name it.")
        made[i] = Link("FIELD", one.said, next(iter(genes)))
    return made


def never(question: str, links: Sequence[Link]) -> Refusal | None:
    """Refuse what points at one of several sets that were named before, which no query keeps apart."""
    found = _LISTED.search(question)
    said = _lone(question, links) if found is None else found[0]
    return Refusal(text=f"It is not clear what {said!r} points at: name it.") if said else None


def counted(question: str, links: Sequence[Link], before: Query, names: Names, speech: Speech) -> list[Link] | Refusal:
    """Read "which of the two is heavier?" after a question whose rows are two; the links as they are where not asked.

    Of two "heavier" is the heaviest, "has more rings" has the most.
    """
    found = _COUNTED.search(question)
    if found is None:
        return list(links)
    n = int(_NUMBERS.get(found["n"].lower(), 0) or found["n"])
    at = next((i for i, one in enumerate(links) if one.role == "NUM" and one.value == n), None)
    held = rows_meant(Link("THEM", found["said"]), before, names, speech)
    if isinstance(held, Refusal):
        return held
    meant: Where | None = held.value if held.role == "WHERE" else names.row(held) if held.role == "ROW" else None
    size = int(names.rows.mask(meant).sum())
    if at is None or size != n or meant is None:
        said = f"{found['said']!r} points at nothing: the question before is about {size:,} {names.rows.noun}s."
        return Refusal(text=f"{said} Name them.")
    made = [*(one for one in links[:at] if one.role != "THEM"), Link("WHERE", found["said"], meant)]
    rest = list(links[at + 1 :])
    return made + (_of_two(rest) if n == 2 and links[0].role in ("WHICH", "WHAT") else rest)


def _of_two(rest: Sequence[Link]) -> list[Link]:
    """Read "is heavier", "has more" of two as "is the heaviest", "has the most"."""
    if pick(rest, "THAN", "BOUND", "NUM"):
        return list(rest)
    turned = [(one, _ENDS.get(one.role)) for one in rest]
    return [one if end is None else one.but(end[0], value=end[1] or one.value) for one, end in turned]


def found_group(links: Sequence[Link], at: int, before: Query, names: Names, speech: Speech) -> Link | None:
    """Read "how many cells are in it?", "that cluster" after a question that one group answers; else None."""
    roles, key = ["", *roles_of(links), "", ""], links[at].key
    column = roles[at + 2] == "COLUMN" and links[at + 1].value == before.by
    it = key == "it" and (
        roles[at] in ("IN", "OF", "AMONG")
        or roles[at + 2] == "HAVE"
        or roles[1:-2] in (["WHAT", "BE", "THEM"], ["WHAT", "COLUMN", "BE", "THEM"])
    )
    shown = ("rank", *(["groups"] if column else []))
    if not (column or it) or before.show not in shown or before.then or before.by is None or before.against:
        return None
    found = run(before, names.rows, speech).value or []
    several = bool(found) and column and key in ("these", "those")  # "these clusters"
    said = said_of(links[at : at + 2])
    return Link("WHERE", said, in_column(before.by, *found), term="found") if several or len(found) == 1 else None


def found_groups(links: Sequence[Link], before: Query, names: Names, speech: Speech) -> list[Link] | Refusal | None:
    """Read "which of them has the most cells?" after an answer that names groups; else None."""
    asked = roles_of(links[:2]) in (["WHICH", "THEM"], ["WHAT", "THEM"]) and links[1].key.startswith("of ")
    if not asked or (before.show, before.then) != ("groups", None) or before.by is None:
        return None
    found = run(before, names.rows, speech).value
    # "The higher" is one of two.
    if len(found) < 2 or (len(found) > 2 and pick(links, "MORE", "LESS", "MOREM")):
        said = f"It is not clear what {links[1].said!r} points at: {len(found)} groups were found."
        return Refusal(text=f"{said} Name what is meant.")
    rest = links[3:] if pick(links[2:3], "COLUMN") and links[2].value == before.by else links[2:]
    where = Link("WHERE", links[1].said, in_column(before.by, *found))
    rest = _of_two(rest) if len(found) == 2 else list(rest)
    return [links[0], Link("COLUMN", links[1].said, before.by), *rest, Link("IN", ""), where]


def rows_meant(link: Link, before: Query, names: Names, speech: Speech) -> Link | Refusal:
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
            return Refusal(text=f"It is not clear what {link.said!r} points at: {said} by the answer before. Name it.")
        where = Where(op="is", field="row", values=tuple(found), said=", ".join(found))
        return link.but("ROW", value=tuple(rows.at([where]))) if one else Link("WHERE", link.said, where)
    if (before.by is not None and before.show in ("rank", "groups", "any")) or before.want in ("groups", "flag"):
        text = f"It is not clear what {link.said!r} points at: the answer before names groups. Name what is meant."
        return Refusal(text=text)
    held = referred(before)
    return Link("ROWS", link.said) if held is None else Link("WHERE", link.said, held)
