"""Words for molecules: captions in the style of ChEBI, read and put together again, and names of classes of drugs."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from .._logging import listed
from ._read import read_table

# A sentence ends at a full stop before white space and a capital: "EC 1.1.1.1 inhibitor" is one.
_SENTENCE = re.compile(r"(?<=[.])\s+(?=[A-Z])")
_ROLE = re.compile(r"(?:it )?has (?:a )?roles? as ", re.IGNORECASE)
_CLASS = re.compile(r"it is (?=(?:an?|the|one|member)\b)", re.IGNORECASE)
# "It is a conjugate base of ..." relates two molecules; it names no class.
_RELATION = re.compile(
    r"(?:an? |the )?(?:conjugate (?:acid|base)|enantiomer|tautomer|diastereo\w*|derivative) of "
    r"|functionally related to ",
    re.IGNORECASE,
)
_DERIVES = re.compile(r"it derives from ", re.IGNORECASE)
# What a molecule is known, made or used for is told in sentences that begin like those of classes.
_TOLD = re.compile(r"(?:the |an? )?(?:major|main|principal|active|known|used|isolated|produced|found)\b", re.IGNORECASE)
_ARTICLE = r"(?:an?|the|member of)\s"
# Items are separated where an article follows: names hold commas and "and" of their own.
_BETWEEN = re.compile(rf"\s*,?\s+and\s+(?={_ARTICLE})|\s*,\s+(?={_ARTICLE})", re.IGNORECASE)
_LEAD = re.compile(r"^(?:an?|the)\s+|^members? of (?:the class of )?", re.IGNORECASE)
_AN = re.compile(r"[aeio]|u(?!ni)", re.IGNORECASE)


@dataclass(frozen=True)
class Caption:
    """Sentences of a caption by what they say; roles and classes as items with their articles."""

    definition: str  # the first sentence
    more: tuple[str, ...] = ()  # of no other kind: where it was found, what it is used for
    roles: tuple[str, ...] = ()  # "a plant metabolite"
    classes: tuple[str, ...] = ()  # "a member of phenols"
    derives: tuple[str, ...] = ()  # what it derives from
    related: tuple[str, ...] = ()  # its conjugate acid or base, its enantiomer or tautomer

    def text(self) -> str:
        """Put the sentences together, in ChEBI's order. One class alone is not repeated: the definition names it."""
        roles = [f"It has a role as {listed(self.roles)}."] if self.roles else []
        classes = [f"It is {listed(self.classes)}."] if len(self.classes) > 1 else []
        return " ".join([self.definition, *self.more, *roles, *classes, *self.derives, *self.related])


def read_caption(text: str) -> Caption:
    """Read a caption.

    Examples
    --------
    >>> read_caption("The molecule is an ester. It has a role as a drug. It is an ester and a phenol.").classes
    ('an ester', 'a phenol')
    """
    # A minus sign is a hyphen in ChEBI-20: "acyl-CoA(4-)".
    first, *rest = sentences(text.replace("\u2212", "-"))
    held: dict[str, list[str]] = {"more": [], "roles": [], "classes": [], "derives": [], "related": []}
    for sentence in rest:
        role, kind = _ROLE.match(sentence), _CLASS.match(sentence)
        if role:
            held["roles"] += _items(sentence[role.end() :])
        elif _DERIVES.match(sentence):
            held["derives"].append(sentence)
        elif kind and _RELATION.match(sentence[kind.end() :]):
            held["related"].append(sentence)
        elif kind and not _TOLD.match(sentence[kind.end() :]):
            held["classes"] += _items(sentence[kind.end() :])
        else:
            held["more"].append(sentence)
    return Caption(first, **{name: tuple(found) for name, found in held.items()})


def sentences(text: str) -> list[str]:
    """Sentences of a text; of an empty one, one that is empty."""
    return _SENTENCE.split(text.strip())


def extract_roles(caption: str) -> frozenset[str]:
    """Read the roles from sentences such as "It has a role as a plant metabolite and an antioxidant.".

    Parameters
    ----------
    caption
        A caption in ChEBI's style.

    Returns
    -------
    Lower-case names without their article.

    Examples
    --------
    >>> sorted(extract_roles("It has a role as an EC 3.1.1.7 inhibitor and a drug."))
    ['drug', 'ec 3.1.1.7 inhibitor']
    """
    found = read_caption(caption) if caption.strip() else Caption("")
    first = _ROLE.match(found.definition)
    return frozenset(map(bare, [*found.roles, *(_items(found.definition[first.end() :]) if first else [])]))


def extract_classes(caption: str) -> frozenset[str]:
    """Read the chemical classes from sentences such as "It is a member of phenols, an ether and an ester.".

    The defining first sentence ("The molecule is a ...") and relations to other molecules ("It is a conjugate base of
    ...") are not read.

    Parameters
    ----------
    caption
        A caption in ChEBI's style.

    Returns
    -------
    Lower-case names without article and without "member of".

    Examples
    --------
    >>> sorted(extract_classes("It is a member of phenols and an ester. It is an enantiomer of a D-ethionine."))
    ['ester', 'phenols']
    """
    kinds = [sentence[kind.end() :] for sentence in sentences(caption) if (kind := _CLASS.match(sentence))]
    return frozenset(bare(item) for rest in kinds if not _RELATION.match(rest) for item in _items(rest))


def _items(rest: str) -> list[str]:
    return [item.strip() for item in _BETWEEN.split(rest.rstrip().rstrip(".")) if item.strip()]


def bare(item: str) -> str:
    """Name of an item without its article and without "member of", lower case."""
    return _LEAD.sub("", _LEAD.sub("", item.strip())).strip().lower()


def with_article(name: str) -> str:
    """Put "a" or "an" before a name."""
    return f"{'an' if _AN.match(name) and not name.startswith('eu') else 'a'} {name}"


# A name is replaced at most twice, so that "COX inhibitor" leads to "prostaglandin-endoperoxide synthase inhibitor".
_ROUNDS, _MOST = 2, 40
_ASIDE = re.compile(r"\s*\([^)]*\)")


def ways_to_say(words: str) -> list[str]:
    """Return ways to say the name of a class of molecules, such as `"beta blockers"`, the given one first."""
    said = _ASIDE.sub("", " ".join(words.lower().split()))
    plain = singular(said)
    wholes, parts = _table()
    # "SSRIs" end like "analysis".
    found = dict.fromkeys([plain, *(wholes.get(plain) or wholes.get(said.removesuffix("s")) or [])])
    for _ in range(_ROUNDS):
        for way in list(found):
            for pattern, meant in parts:
                if pattern.search(way):
                    found |= dict.fromkeys(pattern.sub(lambda _, one=one: one, way) for one in meant)  # type: ignore[misc]
    return list(found)[:_MOST]


def singular(name: str) -> str:
    """Take the plural off the last word."""
    if name.endswith("ies") and len(name) > 5:
        return f"{name[:-3]}y"
    return name[:-1] if re.search(r"[a-z]{2}[^siu]s$", name) else name


@lru_cache(maxsize=1)
def _table() -> tuple[dict[str, list[str]], list[tuple[re.Pattern[str], list[str]]]]:
    wholes, parts = {}, []
    for said, meant in read_table("drug_words.tsv"):
        ways = [one.lower() for one in meant.split("|")]
        if said.startswith("* "):
            parts.append((re.compile(rf"\b{re.escape(said[2:])}s?\b"), ways))
        else:
            wholes[said] = ways
    return wholes, parts
