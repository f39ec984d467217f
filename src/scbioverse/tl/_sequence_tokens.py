"""The words of a question about molecules or proteins that carry meaning, as tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from ._sequence_words import ELEMENTS, MOLECULE, PARTS, PROTEIN, Property, share_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROW = "\0"  # stands where a row was named
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
_N = rf"(?:\d+(?:[.,]\d+)*|{'|'.join(_WORDS)})(?![\w])"
_SIGNED = rf"(?:[-−+](?=\d))?{_N}"
_UNIT = r"(?:\s*(?P<unit>kda|da|daltons?|g/mol|kg/mol|residues?|aa|amino acids?|%|per ?cent|å²|a\^?2)(?![\w]))?"
_MORE = r"(?:more|greater|larger|bigger|higher|above|over)"
_LESS = r"(?:less|fewer|smaller|lower|below|under)"
_COMPARED = (
    (">=", r"at least|minimum of|(?:more|greater|larger|higher) than or equal to|>=|≥", ""),
    ("<=", r"at most|up to|maximum of|(?:less|fewer|smaller|lower) than or equal to|<=|≤", ""),
    (">", r"above|over|exceed(?:s|ing)?|beyond|(?:more|greater|larger|bigger|higher) than|>", ""),
    ("<", r"below|under|(?:less|fewer|smaller|lower) than|<", ""),
    (">", r"heavier than", "mass"), ("<", r"lighter than", "mass"),
    (">", r"longer than", "length"), ("<", r"shorter than", "length"),
    ("==", r"exactly|equal to|equals|=", ""),
)  # fmt: skip
_WAYS = (
    (">", r"more|greater|higher|larger|bigger", ""), ("<", r"less|fewer|lower|smaller", ""),
    (">", r"heavier", "mass"), ("<", r"lighter", "mass"), (">", r"longer", "length"), ("<", r"shorter", "length"),
)  # fmt: skip
_CHARGES = (
    ("<", r"negatively charged|negative(?:ly)?(?: charges?)?|anionic|anions?"),
    (">", r"positively charged|positive(?:ly)?(?: charges?)?|cationic|cations?"),
    ("==", r"uncharged|neutral|no (?:net |formal )?charge|without (?:a )?(?:net |formal )?charge"),
    ("!=", r"charged|ions?|ionic"),
)
_NOUNS = r"(?:molecules?|compounds?|drugs?|proteins?|sequences?|rows?)"
_LOGP = r"(?:crippen )?c?log ?-?p"
_PLAIN_TOKENS = (
    ("best", rf"(?:top|first|best)\s+{_N}|{_N}(?=\s+(?:{_NOUNS}\b.*\s)?(?:\w*est|most|least)\b)"),
    ("rule", r"lipinski(?:'?s)?(?: rules?(?: of (?:five|5))?)?|rules? of (?:five|5)"),
    ("break", r"violat\w+|breaks?|breaking|fail(?:s|ing)?"),
    ("pass", r"obeys?|follows?|satisf(?:y|ies)|fulfil(?:l|ls|s)?|pass(?:es)?|meets?"),
    ("not", r"not|don't|doesn't|isn't|aren't|cannot|can't|never|no(?=\s+(?:more|less|few|great|larg|bigg|small|high|low"
            r"|heavi|light|long|short)\w* than)"),
    ("have", r"contain(?:s|ing|ed)?|ha(?:s|ve|ving)|with|includ(?:es?|ing)|bear(?:s|ing)?|carry|carries|carrying"),
    ("lack", r"without(?: any)?|lack(?:s|ing)?|no|free of|devoid of|neither|nor"),
    ("quantity", r"how many|numbers? of|count of|most|fewest|least|highest|lowest|greatest|maximum|minimum|average|mean"
                 r"|median|by|which"),
    ("filler", r"different|the|a|an|of|both|either"),
    ("and", r"and|plus"), ("or", r"or"), ("but", r"but|yet|while"), ("than", r"than"),
    ("noun", rf"{_NOUNS}|that|who"),
    # Nothing that can be asked here says how many of several, or nothing else.
    ("odd", r"only|solely|nothing but|times|about|approximately|roughly|around|half|twice"),
)  # fmt: skip
_ADJECTIVE = r"aromatic(?! rings?\b)|cyclic|chiral(?! cent)|halogenated|[a-z]+[ -]containing"
# One letter is an element where something is contained.
_SYMBOL = re.compile(r"[FIPSBNOCHKU](?![\w-])")
_NON = re.compile(r"non-?(?=aromatic|cyclic|chiral|halogenated|ionic|charged)", re.IGNORECASE)
_WORD = re.compile(r"[\w'-]+")


@dataclass(frozen=True)
class Token:
    """A piece of a question.

    Attributes
    ----------
    kind
        What it does.
    said
        Its text.
    of
        The property it names.
    sign, value, most, unit
        Of comparisons and numbers; `most` of a range.
    hint
        `"mass"` or `"length"`, of a comparison that says of what.
    """

    kind: str
    said: str
    of: Property | None = None
    sign: str = ""
    value: float = 0.0
    most: float = 0.0
    unit: str = ""
    hint: str = ""


class Vocabulary:
    """The properties that a question may name.

    Parameters
    ----------
    modality
        `"molecule"` or `"protein"`.
    columns
        Columns of `obs`.
    """

    def __init__(self, modality: str, columns: Sequence[Property] = ()) -> None:
        self.modality = modality
        self.known = (*(MOLECULE if modality == "molecule" else PROTEIN), *columns)

    def named(self, name: str) -> Property:
        """Return a property by its name."""
        return next(one for one in self.known if one.name == name)

    @property
    def mass(self) -> Property:
        """Weight or mass."""
        return self.named("weight" if self.modality == "molecule" else "mass")

    def by_hint(self, hint: str) -> Property | None:
        """Return what "heavier" or "longer" is said of; of molecules nothing is long."""
        if hint == "mass":
            return self.mass
        return self.named("length") if hint == "length" and self.modality == "protein" else None

    def implied(self, token: Token) -> Property | None:
        """Find the property that "heavier than 500" or "over 300 residues" means."""
        if "da" in token.unit or "g/mol" in token.unit:
            return self.mass
        if token.unit in ("å²", "a2", "a^2"):
            return self.named("tpsa") if self.modality == "molecule" else None
        if self.modality == "protein" and token.unit.startswith(("res", "aa", "amino")):
            return self.named("length")
        return self.by_hint(token.hint)

    @cached_property
    def patterns(self) -> list[tuple[str, re.Pattern[str], Property | None, str, str]]:
        """Kind, pattern, property, sign and hint of what may stand at a place; the longest match counts."""
        out: list[tuple[str, str, Property | None, str, str]] = []
        for one in (*self.known, *PARTS[self.modality]):
            out += [("superlative", some, one, "", "") for some in (one.high, one.low) if some]
            if one.words:
                out.append(("property", one.words, one, "", ""))
        out += [("way", words, self.by_hint(hint), sign, hint) for sign, words, hint in _WAYS]
        out += [(kind, words, None, "", "") for kind, words in _PLAIN_TOKENS]
        out.append(("property", r"weigh(?:s|ing)?", self.mass, "", ""))
        if self.modality == "molecule":
            out += [("condition", words, self.named("charge"), sign, "") for sign, words in _CHARGES]
            for sign, word in (("<", "negative"), (">", "positive")):
                words = rf"{word} {_LOGP}|{_LOGP}s? (?:(?:that )?(?:is|are) )?{word}"
                out.append(("condition", words, self.named("logp"), sign, ""))
        return [
            (kind, re.compile(rf"(?:{words})(?![\w])", re.IGNORECASE), one, sign, hint)
            for kind, words, one, sign, hint in out
        ]


_RANGE = re.compile(
    rf"(?:between\s+(?P<a>{_SIGNED})\s+and\s+(?P<b>{_SIGNED})|(?:from\s+)?(?P<c>{_SIGNED})\s*(?:to|-|–)\s*(?P<d>{_N})){_UNIT}",
    re.IGNORECASE,
)
_SUFFIXED = re.compile(
    rf"(?P<n>{_SIGNED}){_UNIT}(?:\s+or\s+(?:(?P<more>{_MORE})|(?P<less>{_LESS}))(?!\s+than)(?![\w])|(?P<plus>\+))",
    re.IGNORECASE,
)
_PREFIXED = [
    (re.compile(rf"(?:{words})\s*(?:a |an |about )?(?:(?P<n>{_SIGNED}){_UNIT}|(?P<row>{ROW}))", re.I), sign, hint)
    for sign, words, hint in _COMPARED
]
_NUMBER = re.compile(rf"(?P<n>{_SIGNED}){_UNIT}", re.IGNORECASE)
_SHARE = re.compile(
    r"(?:share|fraction|percent(?:age)?|proportion|content) of\s+(?:\w+\s+)?$"
    r"|(?:share|fraction|percent(?:age)?|proportion)\b.*\b(?:is|are|made up of|made of)\s+$"
)


def tokens_of(text: str, vocabulary: Vocabulary) -> tuple[list[Token], str]:
    """Cut a question into tokens; also return the text without them."""
    tokens: list[Token] = []
    left, at = list(text), 0
    while at < len(text):
        found = _at(text, at, vocabulary, tokens[-1].kind if tokens else "")
        if found is None:
            at = _next_word(text, at)
            continue
        token, end = found
        tokens.append(token)
        left[at:end] = " " * (end - at)
        at = max(end, at + 1)
    return tokens, "".join(left)


def _next_word(text: str, at: int) -> int:
    """Where the word that stands here ends."""
    match = _WORD.match(text, at)
    return match.end() if match else at + 1


def _at(text: str, at: int, vocabulary: Vocabulary, before: str) -> tuple[Token, int] | None:
    """Read the longest token that begins here."""
    if text[at] == ROW:
        return Token("row", ROW), at + 1
    if text[at] in ",;&":
        number = text[at] == "," and at + 1 < len(text) and text[at + 1].isdigit() and text[at - 1 : at].isdigit()
        return None if number else (Token("comma" if text[at] == "," else "and", text[at]), at + 1)
    if text[at].isspace() or (at and re.match(r"\w", text[at - 1]) and re.match(r"\w", text[at])):
        return None
    if prefix := _NON.match(text, at):
        return Token("not", prefix[0]), prefix.end()
    # Of equally long ones the first: "10" of "the 10 heaviest" is no number to compare with.
    found = [*_worded(text, at, vocabulary, before), *_numeric(text, at)]
    return max(found, key=lambda pair: pair[1], default=None)


def _numeric(text: str, at: int) -> Iterator[tuple[Token, int]]:
    for pattern, sign, hint in _PREFIXED:
        if match := pattern.match(text, at):
            yield _counted(match, "compare", sign, hint), match.end()
    if match := _RANGE.match(text, at):
        low, high = (match["a"] or match["c"]), (match["b"] or match["d"])
        token = Token("range", match[0], None, ">=", number(low), number(high), _unit(match["unit"]))
        yield token, match.end()
    if match := _SUFFIXED.match(text, at):
        yield _counted(match, "compare", "<=" if match["less"] else ">=", ""), match.end()
    if match := _NUMBER.match(text, at):
        yield _counted(match, "number", "", ""), match.end()


def _counted(match: re.Match[str], kind: str, sign: str, hint: str) -> Token:
    held = match.groupdict()
    if held.get("row"):
        return Token(kind, ROW, None, sign, hint=hint)
    return Token(kind, match["n"].lower(), None, sign, number(match["n"]), unit=_unit(match["unit"]), hint=hint)


def _unit(said: str | None) -> str:
    unit = (said or "").lower()
    return "%" if unit.startswith("per") else unit


def _worded(text: str, at: int, vocabulary: Vocabulary, before: str) -> Iterator[tuple[Token, int]]:
    if (
        before in ("have", "lack", "and", "comma", "or", "number", "compare", "filler")
        and vocabulary.modality == "molecule"
    ):
        match = _SYMBOL.match(text, at)
        name = next((name for name, symbol in ELEMENTS.items() if match and symbol == match[0]), None)
        if match and name:
            named = next(one for one in PARTS["molecule"] if one.name == f"element:{match[0]}")
            yield Token("property", match[0], named), match.end()
    for kind, pattern, one, sign, hint in vocabulary.patterns:
        match = pattern.match(text, at)
        if match is None:
            continue
        if kind == "property" and one is not None:
            yield _property(text, match, one), match.end()
        else:
            yield Token(kind, match[0].lower(), one, sign, hint=hint), match.end()


def _property(text: str, match: re.Match[str], one: Property) -> Token:
    end = text[match.end() :].lower()
    if one.counted and re.match(_ADJECTIVE, match[0] + end, re.IGNORECASE):
        return Token("adjective", match[0], one)
    before = text[: match.start()].lower()
    if one.name.startswith("residue:") and (_SHARE.search(before) or end.startswith(" content")):
        return Token("property", match[0], share_of(one))
    return Token("property", match[0], one)


def number(text: str) -> float:
    """Read a number; NaN where it is none."""
    said = text.lower().replace("−", "-")
    if said in _WORDS:
        return float(_WORDS.index(said))
    # "1,000" is a thousand; "1,5" one and a half.
    said = re.sub(r",(?=\d{3}\b)", "", said).replace(",", ".")
    try:
        return float(said)
    except ValueError:
        return float("nan")
