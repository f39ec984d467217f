"""Captions of molecules in the style of ChEBI: read sentence by sentence, and put together again."""

from __future__ import annotations

import re
from dataclasses import dataclass

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
    """Sentences of a caption by what they say.

    Attributes
    ----------
    definition
        The first sentence.
    more
        Sentences of no other kind: where it was found, what it is used for.
    roles, classes
        Items with their articles: `"a plant metabolite"`, `"a member of phenols"`.
    derives
        Sentences that say what it derives from.
    related
        Sentences that name its conjugate acid or base, its enantiomer or tautomer.
    """

    definition: str
    more: tuple[str, ...] = ()
    roles: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    derives: tuple[str, ...] = ()
    related: tuple[str, ...] = ()

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


def named_roles(caption: str) -> frozenset[str]:
    """Roles that a caption names, lower case and without article."""
    found = read_caption(caption) if caption.strip() else Caption("")
    return frozenset(bare(item) for item in (*found.roles, *_of_first(found.definition, _ROLE)))


def named_classes(caption: str) -> frozenset[str]:
    """Classes that a caption names beside its definition, lower case and without article."""
    return frozenset(map(bare, _all_classes(caption)))


def _all_classes(caption: str) -> list[str]:
    items: list[str] = []
    for sentence in sentences(caption):
        kind = _CLASS.match(sentence)
        if kind and not _RELATION.match(sentence[kind.end() :]):
            items += _items(sentence[kind.end() :])
    return items


def _of_first(sentence: str, opening: re.Pattern[str]) -> list[str]:
    match = opening.match(sentence)
    return _items(sentence[match.end() :]) if match else []


def _items(rest: str) -> list[str]:
    return [item.strip() for item in _BETWEEN.split(rest.rstrip().rstrip(".")) if item.strip()]


def bare(item: str) -> str:
    """Name of an item without its article and without "member of", lower case."""
    return _LEAD.sub("", _LEAD.sub("", item.strip())).strip().lower()


def with_article(name: str) -> str:
    """Put "a" or "an" before a name."""
    return f"{'an' if _AN.match(name) and not name.startswith('eu') else 'a'} {name}"


def listed(items: tuple[str, ...]) -> str:
    """Join items by commas and a last "and"."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
