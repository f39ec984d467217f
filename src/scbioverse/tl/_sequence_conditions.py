"""Conditions in a question, such as "heavier than 500" or "without chlorine", read clause by clause."""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._sequence_words import MOLECULE, PARTS, PROTEIN, Property, share_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Condition:
    """What is asked of a row.

    Attributes
    ----------
    of
        The property compared.
    sign
        `">"`, `">="`, `"<"`, `"<="`, `"=="` or `"!="`.
    value
        What it is compared with, in the property's unit.
    """

    of: Property
    sign: str
    value: float

    def holds(self, values: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Which of some values fulfil it; NaN does not."""
        compare: Callable[..., NDArray[np.bool_]] = _SIGNS[self.sign][0]
        return np.isfinite(values) & compare(np.round(values, 6), self.value)

    @property
    def said(self) -> str:
        """What a row that fulfils it has, in words."""
        one, value = self.of, f"{100 * self.value if self.of.unit == '%' else self.value:g}"
        if one.name == "charge" and self.value == 0 and self.sign in _CHARGED:
            return _CHARGED[self.sign]
        if not one.counted:
            article = "" if one.name.startswith("obs:") else "a "
            return f"{article}{one.said} {_SIGNS[self.sign][1]}{value} {one.unit}".rstrip()
        if (self.sign, self.value) in ((">=", 1.0), (">", 0.0)):
            return one.said
        if (self.sign, self.value) == ("==", 0.0):
            return f"no {one.said}"
        return f"{_SIGNS[self.sign][2]}{value} {one.number(self.value)}"


_SIGNS = {
    ">": (operator.gt, "above ", "more than "), ">=": (operator.ge, "at least ", "at least "),
    "<": (operator.lt, "below ", "fewer than "), "<=": (operator.le, "at most ", "at most "),
    "==": (operator.eq, "", ""), "!=": (operator.ne, "other than ", "other than "),
}  # fmt: skip
_CHARGED = {"!=": "a charge", ">": "a positive charge", "<": "a negative charge", "==": "no charge"}
_WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NUMBER = rf"(?:\d+(?:[.,]\d+)*|{'|'.join(_WORDS)})"
_UNITS = r"(?:\s*(?P<unit>kda|da|daltons?|g/mol|kg/mol|residues?|aa|amino acids?|%|per ?cent|å²|a\^?2))?"
_COMPARED = (
    (">=", r"at least|no (?:less|fewer|shorter|lighter) than|minimum of|>=|≥"),
    ("<=", r"at most|up to|no (?:more|greater|longer|heavier|larger) than|maximum of|<=|≤"),
    (">", r"above|over|exceed(?:s|ing)?|beyond|(?:more|greater|larger|bigger|higher|heavier|longer) than|>"),
    ("<", r"below|under|(?:less|fewer|smaller|lower|lighter|shorter) than|<"),
    ("==", r"exactly|equal to|equals|="),
)
_HAVING = re.compile(r"\b(?:contain(?:s|ing)?|ha(?:s|ve|ving)|with|includ(?:es?|ing)|bear(?:s|ing)?|carry|carries)\b")
_LACKING = re.compile(r"\b(?:without|lack(?:s|ing)?|no|free of|not contain(?:ing)?|not have|devoid of)\b")
_CHARGES = (
    ("<", r"negatively charged|negative(?:ly)?(?: charges?)?|anionic|anions?"),
    (">", r"positively charged|positive(?:ly)?(?: charges?)?|cationic|cations?"),
    ("==", r"uncharged|not charged|neutral|no (?:net |formal )?charge|without (?:a )?(?:net |formal )?charge"),
    ("!=", r"charged|ions?|ionic"),
)
_ADJECTIVE = r"aromatic\b(?! rings?)|cyclic\b|chiral\b(?! cent)|halogenated\b|[a-z]+[ -]containing\b"
_FIVE = r"lipinski(?:'?s)?(?: rules?(?: of (?:five|5))?)?|rules? of (?:five|5)"
# Lipinski et al. 1997, doi:10.1016/S0169-409X(96)00423-1, who count N-H and O-H bonds, and nitrogens and oxygens.
_BREAKING = r"violat\w+|breaks?|breaking|fail(?:s|ing)?|not (?:obey|follow|satisfy|fulfil|fulfill|pass|meet)"
_RULE_OF_FIVE = (
    Condition(next(one for one in MOLECULE if one.name == "weight"), "<=", 500.0),
    Condition(next(one for one in MOLECULE if one.name == "logp"), "<=", 5.0),
    Condition(Property("lipinski_donors", "N-H and O-H bonds", "", 0, ""), "<=", 5.0),
    Condition(Property("lipinski_acceptors", "N and O atoms", "", 0, ""), "<=", 10.0),
)


_QUANTITY = re.compile(
    r"(?:how many|numbers? of|count of|most|fewest|least|highest|lowest|greatest|maximum|minimum|average|mean|by|which)"
    r"\s+(?:different\s+)?$"
)
_SHARE = re.compile(
    r"(?:share|fraction|percent(?:age)?|proportion|content) of\s+(?:\w+\s+)?$"
    r"|(?:share|fraction|percent(?:age)?|proportion)\b.*\b(?:is|are|made up of|made of)\s+$"
)


class Reader:
    """A text from which what was understood is taken out, so that what is left can be looked at."""

    def __init__(self, text: str, modality: str, columns: Sequence[Property] = ()) -> None:
        self.left, self.modality = text, modality
        self.known = (*(MOLECULE if modality == "molecule" else PROTEIN), *columns)
        self.unread: list[str] = []
        self.last: Property | None = None
        # What a superlative names: "the heaviest".
        self.ranked_by: Property | None = None
        self.either = re.search(r"\bor\b", text.lower()) is not None and _LACKING.search(text.lower()) is None

    def take(self, pattern: str | re.Pattern[str], start: int = 0, end: int | None = None) -> re.Match[str] | None:
        """Find a pattern, whole words, any case, and blank it."""
        flags = re.IGNORECASE
        found = re.compile(rf"(?<![\w]){_source(pattern)}(?![\w])", flags).search(
            self.left, start, len(self.left) if end is None else end
        )
        if found is not None:
            self.blank(*found.span())
        return found

    def blank(self, start: int, end: int) -> None:
        """Take a span out."""
        self.left = self.left[:start] + " " * (end - start) + self.left[end:]


def _source(pattern: str | re.Pattern[str]) -> str:
    return f"(?:{pattern if isinstance(pattern, str) else pattern.pattern})"


def read_conditions(reader: Reader) -> tuple[list[Condition], list[Property]]:
    """Read conditions, and properties that no condition is made of; they are taken out of the text."""
    conditions: list[Condition] = []
    properties: list[Property] = []
    if reader.modality == "molecule" and reader.take(_FIVE):
        broken = reader.take(_BREAKING)
        reader.either = reader.either or broken is not None
        conditions += [replace(one, sign=">") if broken else one for one in _RULE_OF_FIVE]
    for start, end in _clauses(reader.left):
        made, found = _clause(reader, start, end)
        conditions += made
        # "above 46 and below 50": of the same.
        reader.last = conditions[-1].of if conditions else None
        properties += [one for one in found if one not in properties]
    return conditions, properties


def _clauses(text: str) -> list[tuple[int, int]]:
    """Spans between "and", "but" and commas; "between 1 and 3" is one."""
    whole = re.sub(rf"between\s+{NUMBER}\s+and", lambda one: "-" * len(one[0]), text, flags=re.IGNORECASE)
    cuts = [0, *(at for one in re.finditer(r"\band\b|\bbut\b|,(?!\d)", whole, re.I) for at in one.span()), len(text)]
    return [(a, b) for a, b in zip(cuts[::2], cuts[1::2], strict=True) if text[a:b].strip()]


def _clause(reader: Reader, start: int, end: int) -> tuple[list[Condition], list[Property]]:
    clause = reader.left[start:end].lower()
    charge = _charge(reader, clause, start, end)
    held = [] if charge is None else [charge]
    compared = _comparison(reader, start, end)
    found = _properties(reader, clause, start, end)
    if compared is not None:
        return [*held, *_compared_with(reader, clause, compared, [one for _, one in found])], []
    if not found and re.search(r"\b(?:big|bigger|large|larger|small(?! molecules?\b)|smaller|size)\b", clause):
        found = [(0, _named(reader, "weight" if reader.modality == "molecule" else "length"))]
    conditions, properties = held, []
    for at, one in found:
        made = _had(one, clause, at)
        if made is None:
            properties.append(one)
        else:
            conditions.append(made)
    return conditions, properties


def _charge(reader: Reader, clause: str, start: int, end: int) -> Condition | None:
    if reader.modality != "molecule":
        return None
    if re.search(rf"\b(?:{_named(reader, 'logp').words})", clause) is not None:
        sign = reader.take("negative|positive", start, end)
        if sign is not None:
            reader.take(_named(reader, "logp").words, start, end)
            return Condition(_named(reader, "logp"), "<" if sign[0].lower() == "negative" else ">", 0.0)
    for test, words in _CHARGES:
        if reader.take(words, start, end):
            reader.take("charges?", start, end)
            return Condition(_named(reader, "charge"), test, 0.0)
    return None


def _compared_with(
    reader: Reader, clause: str, compared: tuple[str, float, str, float | None], found: list[Property]
) -> list[Condition]:
    sign, value, unit, most = compared
    one = found[0] if found else (_implied(reader, clause, unit) or reader.last)
    if one is None or one.text:
        reader.unread.append(f"{_SIGNS[sign][1]}{value:g}")
        return []
    if unit == "%" and one.name.startswith("residue:"):
        one = share_of(one)
    made = [Condition(one, sign, _in_unit(one, value, unit))]
    return made if most is None else [*made, Condition(one, "<=", _in_unit(one, most, unit))]


def _had(one: Property, clause: str, at: int) -> Condition | None:
    """Read "contain nitrogen", "two rings", "without chlorine", "aromatic"; None where a number is asked for."""
    before = clause[:at]
    if not one.counted:
        return None
    adjective = re.match(_ADJECTIVE, clause[at:]) is not None
    if _QUANTITY.search(before) and not adjective:
        return None
    many = re.search(rf"\b({NUMBER})\s+$", before)
    if _LACKING.search(before):
        return Condition(one, "==", 0.0)
    if many is not None:
        return Condition(one, "==", _number(many[1]))
    return Condition(one, ">=", 1.0) if adjective or _HAVING.search(before) else None


def _named(reader: Reader, name: str) -> Property:
    return next(one for one in reader.known if one.name == name)


def _properties(reader: Reader, clause: str, start: int, end: int) -> list[tuple[int, Property]]:
    """Properties named in a clause, with where in it."""
    found: list[tuple[int, Property]] = []
    for one in (*reader.known, *PARTS[reader.modality]):
        match = reader.take("|".join(part for part in (one.words, one.high, one.low) if part), start, end)
        if match is None:
            continue
        at = match.start() - start
        if any(some and re.fullmatch(some, match[0], re.IGNORECASE) for some in (one.high, one.low)):
            reader.ranked_by = one
        shared = one.name.startswith("residue:") and (
            _SHARE.search(clause[:at]) or clause[match.end() - start :].startswith(" content")
        )
        found.append((at, share_of(one) if shared else one))
    return sorted(found, key=lambda pair: pair[0])


def _comparison(reader: Reader, start: int, end: int) -> tuple[str, float, str, float | None] | None:
    """Sign, number and unit of a comparison, and for "between" the second number."""
    match = reader.take(rf"between\s+(?P<a>{NUMBER})\s+and\s+(?P<b>{NUMBER}){_UNITS}", start, end)
    if match is not None:
        low, high = sorted([_number(match["a"]), _number(match["b"])])
        return ">=", low, (match["unit"] or "").lower(), high
    for sign, words in _COMPARED:
        match = re.compile(rf"(?<!\w)(?:{words})\s*(?:a |an )?(?P<a>-?{NUMBER})(?![\w]){_UNITS}", re.I).search(
            reader.left, start, end
        )
        if match is not None:
            reader.blank(*match.span())
            unit = (match["unit"] or "").lower()
            return sign, _number(match["a"]), "%" if unit.startswith("per") else unit, None
    return None


def _number(text: str) -> float:
    said = text.lower()
    if said in _WORDS:
        return float(_WORDS.index(said))
    # "1,000" is a thousand; "1,5" one and a half.
    said = re.sub(r",(?=\d{3}\b)", "", said).replace(",", ".")
    try:
        return float(said)
    except ValueError:
        return float("nan")


def _implied(reader: Reader, clause: str, unit: str) -> Property | None:
    """Find the property that "heavier than 500" or "over 300 residues" means."""
    mass = "weight" if reader.modality == "molecule" else "mass"
    if re.search(r"heav|light|weigh", clause) or "da" in unit or "g/mol" in unit:
        return _named(reader, mass)
    if reader.modality == "protein" and (re.search(r"long|short|larg|small|bigg", clause) or unit):
        return _named(reader, "length")
    return _named(reader, mass) if re.search(r"larg|small|bigg", clause) else None


def _in_unit(one: Property, value: float, unit: str) -> float:
    if one.unit == "%":
        return value / 100
    if one.unit == "kDa" and unit in ("da", "dalton", "daltons", "g/mol"):
        return value / 1000
    return value * 1000 if one.unit == "g/mol" and unit in ("kda", "kg/mol") else value
