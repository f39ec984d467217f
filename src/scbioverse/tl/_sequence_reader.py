"""Conditions and properties in a question, read from its tokens.

What carries meaning and was not understood (a number, a comparison, a "not", an "or" that could mean two things) is
kept in `Reader.unread`, so that the question is refused: a wrong number would be worse.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ._sequence_conditions import RULE_OF_FIVE, Condition, in_unit
from ._sequence_tokens import ROW, Token, Vocabulary, tokens_of
from ._sequence_words import Property, share_of

if TYPE_CHECKING:
    from collections.abc import Callable


@dataclass
class _Term:
    """A condition, how it hangs on the one before, and whether both follow one verb: "contain chlorine or fluorine"."""

    condition: Condition
    joined: str
    listed: bool
    absent: bool = False
    ranged: bool = False  # one end of a range, which holds with the other only


class Reader:
    """Reads the tokens of a question one by one.

    Attributes
    ----------
    left
        The text without what was understood.
    unread
        What carries meaning and was not understood.
    ranked_by
        Properties that superlatives name: "the heaviest".
    compares_row
        Whether a condition is made of the one row that the question names: "heavier than aspirin".
    """

    def __init__(self, text: str, vocabulary: Vocabulary, value_of_row: Callable[[Property], float] | None) -> None:
        self.vocabulary, self._value_of_row = vocabulary, value_of_row
        self._tokens, self.left = tokens_of(text, vocabulary)
        self.unread: list[str] = []
        self.ranked_by: list[Property] = []
        self.compares_row = False
        self.last: Property | None = None
        self._terms: list[_Term] = []
        self._properties: list[Property] = []
        self._open: Property | None = None  # the property named last, which "above 500" may be said of
        self._way = ""  # ">" after "higher", for "than" further on
        self._verb = ""
        self._verb_negated = self._not = self._quantity = self._fresh = False
        self._joined = ""
        self._rule, self._broken = False, False

    def read(self) -> tuple[list[Condition], list[Property]]:
        """Read conditions, and properties that no condition is made of."""
        at = 0
        while at < len(self._tokens):
            at = self._take(at)
        if self._not:
            self.unread.append("not")
        if self._rule:
            self._add_rule()
        elif self._broken:
            self.unread.append("violate")
        return self._grouped(), self._properties

    # ------------------------------------------------------------ token by token

    def _take(self, at: int) -> int:
        token = self._tokens[at]
        if token.kind != "property":
            # "The number of different rings".
            self._quantity = token.kind == "quantity" or (self._quantity and token.kind == "filler")
        if token.kind in ("number", "compare", "range"):
            return self._number(at)
        if token.kind == "than":
            return self._than(at)
        if token.kind == "property" and self._is_compared(at):
            self._mention_of(token)
            return at + 1
        getattr(self, f"_on_{token.kind}", lambda _: None)(token)
        return at + 1

    def _is_compared(self, at: int) -> bool:
        """Whether "above 5" follows a property, and is not said of another one: "donors below 5", "ring, 2 donors"."""
        after = self._tokens[at + 1 : at + 3]
        if not after or after[0].kind not in ("compare", "range") or self.vocabulary.implied(after[0]) is not None:
            return False
        of_next = len(after) > 1 and after[1].kind == "property" and after[1].of is not None and after[1].of.counted
        return not of_next

    def _mention_of(self, token: Token) -> None:
        if token.of is not None:
            self._mention(token.of)

    def _on_odd(self, token: Token) -> None:
        self.unread.append(token.said)

    def _on_not(self, _: Token) -> None:
        if self._not:
            self.unread.append("not")
        self._not = True

    def _on_have(self, _: Token) -> None:
        self._verb, self._verb_negated, self._not, self._fresh = "have", self._not, False, True

    def _on_lack(self, _: Token) -> None:
        # "not without nitrogen" has it.
        self._verb, self._verb_negated, self._not, self._fresh = "lack", self._not, False, True

    def _on_and(self, _: Token) -> None:
        self._joined = "or" if self._joined == "or" else "and"

    def _on_comma(self, _: Token) -> None:
        self._joined = self._joined or ","

    def _on_or(self, _: Token) -> None:
        self._joined = "or"

    def _on_but(self, _: Token) -> None:
        self._joined = "and"
        if self._verb == "have":
            self._verb_negated = False

    def _on_noun(self, _: Token) -> None:
        self._verb, self._verb_negated = "", False

    def _on_rule(self, _: Token) -> None:
        self._rule, self._broken, self._not = True, self._broken ^ self._not, False

    def _on_pass(self, _: Token) -> None:
        self._broken, self._not = self._broken ^ self._not, False

    def _on_break(self, _: Token) -> None:
        self._broken, self._not = not self._broken ^ self._not, False

    def _on_way(self, token: Token) -> None:
        self._way = token.sign
        self._mention_of(token)

    def _on_superlative(self, token: Token) -> None:
        if token.of is not None and token.of not in self.ranked_by:
            self.ranked_by.append(token.of)
            self._mention(token.of)
            self._open = None

    def _on_condition(self, token: Token) -> None:
        if token.of is not None:
            made = Condition(token.of, token.sign, 0.0)
            self._add(made.inverse if self._not or self._verb == "lack" else made)
            self._not = False
            self._verb = "" if self._verb == "lack" else self._verb

    def _on_adjective(self, token: Token) -> None:
        if token.of is not None:
            self._add(Condition(token.of, "==" if self._not else ">=", 0.0 if self._not else 1.0))
            self._not = False

    def _on_property(self, token: Token) -> None:
        one = token.of
        if one is None:
            return
        if self._quantity or not one.counted or not self._verb:
            self._mention(one)
            return
        negated = self._verb_negated or self._not
        if self._not and self._verb == "have":
            self._verb_negated = True
        self._not = False
        absent = negated != (self._verb == "lack")
        self._add(Condition(one, "==" if absent else ">=", 0.0 if absent else 1.0), absent=absent)

    def _mention(self, one: Property) -> None:
        self._open = one
        if one not in self._properties:
            self._properties.append(one)

    # ------------------------------------------------------------ numbers

    def _number(self, at: int) -> int:
        """Read "above 500", "3 or more", "2 to 4", "2 or 3", and find what of."""
        token = self._tokens[at]
        values, end = [token], at + 1
        while not token.sign and end + 1 < len(self._tokens) and self._tokens[end].kind == "or":
            other = self._tokens[end + 1]
            if other.kind != "number" or other.sign:
                break
            values, end = [*values, other], end + 2
        follows = self._tokens[end] if end < len(self._tokens) else None
        one, used = self._meant(values[-1], follows)
        if one is None:
            # "Which one": no number.
            if token.said not in ("one", "ten") or token.kind != "number":
                self.unread.append(token.said)
            return end
        if not token.sign and not (one.counted or one.name in ("charge", "length") or one.name.startswith("obs:")):
            self.unread.append(token.said)  # no molecule weighs exactly 300
            return end
        end += used
        suffix = self._tokens[end : end + 2]
        if used and not token.sign and len(values) == 1 and [some.kind for some in suffix] == ["or", "way"]:
            # "3 rings or fewer"
            values, end = [replace(token, sign=suffix[1].sign + "=")], end + 2
        self._compare(one, values)
        return end

    def _meant(self, token: Token, follows: Token | None) -> tuple[Property | None, int]:
        """Find the property that a number is of, and whether it is the token that follows."""
        next_one = follows.of if follows is not None and follows.kind == "property" else None
        if token.unit == "%" and next_one is not None and next_one.name.startswith(("residue:", "share:")):
            return share_of(next_one) if next_one.name.startswith("residue:") else next_one, 1
        implied = self.vocabulary.implied(token)
        if implied is not None:
            same = next_one is not None and next_one.name == implied.name
            return implied, int(same)
        if next_one is not None and next_one.counted:
            return next_one, 1
        one = self._open if self._open is not None and not self._open.text else self.last
        return (one, 0) if one is not None and not one.text else (None, 0)

    def _compare(self, one: Property, values: list[Token]) -> None:
        if one in self._properties and one not in self.ranked_by:
            self._properties.remove(one)
        negated = self._not or (self._verb_negated and self._fresh)
        self._not = False
        if len(values) > 1 or values[0].kind == "range":
            self._several(one, values, negated=negated)
        else:
            token = values[0]
            made = Condition(one, token.sign or "==", self._value(one, token))
            if np.isnan(made.value):
                self.unread.append(token.said)
                return
            self._add(made.inverse if negated else made)
        self.last, self._open = one, None

    def _several(self, one: Property, values: list[Token], *, negated: bool) -> None:
        if negated:
            self.unread.append("not")
        elif values[0].kind == "range":
            low, high = sorted([values[0].value, values[0].most])
            for sign, value in ((">=", low), ("<=", high)):
                self._add(Condition(one, sign, in_unit(one, value, values[0].unit)), ranged=True)
                self._joined = "and"
        else:
            for token in values:
                self._add(Condition(one, "==", in_unit(one, token.value, token.unit)), listed=token is not values[0])
                self._joined = "or"
        self._joined = ""

    def _value(self, one: Property, token: Token) -> float:
        if token.said != ROW:
            return in_unit(one, token.value, token.unit)
        self.compares_row = True
        # Compared as `holds` rounds.
        return float("nan") if self._value_of_row is None else round(self._value_of_row(one), 6)

    def _than(self, at: int) -> int:
        """Read "a higher logP than 3"."""
        follows = self._tokens[at + 1] if at + 1 < len(self._tokens) else None
        if follows is not None and follows.kind in ("number", "row") and self._way and self._open is not None:
            self._compare(self._open, [replace(follows, sign=self._way)])
            self._way = ""
            return at + 2
        self.unread.append("than")
        return at + 1

    # ------------------------------------------------------------ and, or

    def _add(self, made: Condition, *, absent: bool = False, listed: bool | None = None, ranged: bool = False) -> None:
        in_list = not self._fresh and bool(self._terms) if listed is None else listed
        self._terms.append(_Term(made, self._joined, in_list, absent, ranged=ranged))
        self._joined, self._fresh = "", False

    def _add_rule(self) -> None:
        group = len(self._terms) + 1000
        for one in RULE_OF_FIVE:
            made = replace(one.inverse, group=group) if self._broken else one
            self._terms.append(_Term(made, "and", listed=False))

    def _grouped(self) -> list[Condition]:
        """Put alternatives into groups: "or" joins two terms, "and" or nothing parts them."""
        # A comma means what the "and" or "or" means that ends the list.
        for term, after in zip(self._terms[-2::-1], self._terms[:0:-1], strict=True):
            if term.joined == ",":
                term.joined = "or" if after.joined == "or" and after.listed else "and"
        out: list[Condition] = []
        mixed, loose = False, False
        for i, term in enumerate(self._terms):
            before = self._terms[i - 1] if i else None
            joined = before is not None and term.joined == "or"
            # "Without chlorine or fluorine" has neither.
            if joined and before is not None and not (term.absent and before.absent):
                group = out[-1].group if out[-1].group >= 0 else i
                out[-1] = replace(out[-1], group=group)
                out.append(replace(term.condition, group=group))
                loose = loose or not term.listed
                continue
            if before is not None and not joined:
                mixed = True
                if term.joined == "and" and term.listed and term.absent and before.absent and self._verb_negated:
                    self.unread.append("and")  # "do not contain both" or "contain neither"?
            out.append(term.condition)
        ranged = any(one.ranged for one in self._terms) and any(one.group >= 0 for one in out)
        if (mixed and loose) or ranged:
            self.unread.append("or")
        return out
