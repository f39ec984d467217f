"""Kinds of queries: which words each needs and may have, and what a condition can be in it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

# Words that only hold a sentence together. "All" and "any" are none of them: they change what a yes needs.
_GLUE = "BE DO HAVE HAVING IN OF WHICH WHAT LIST THERE ROWS COMMA AND THAT AMONG SEEN GROUPS TO BY PLACE"
GLUE = frozenset(_GLUE.split())
CONDITIONS = frozenset(["WHERE", "TRAIT", "PRED", "HAS"])
LINKS = frozenset(["IN", "OF", "DO", "BE", "HAVE", "THAT"])


@dataclass(frozen=True)
class Kind:
    """A kind of query.

    Attributes
    ----------
    name
        How it is written.
    plain
        What of the query it settles.
    needs
        Of each of these sets one role stands in the question.
    may
        Roles that may.
    places
        What a condition can be: `w` where, `a` among, `s` and `t` the two compared, `x` both of them in a list.
    least
        Places that at least one condition has.
    by, of
        Whether a column or a field has to be there (`"must"`), may (`"may"`) or must not (`"no"`).
    yes
        Whether it is asked for a yes.
    """

    name: str
    plain: dict[str, Any] = field(hash=False)
    needs: tuple[str, ...] = ()
    may: str = ""
    places: str = "w"
    least: str = ""
    by: str = "no"
    of: str = "no"
    yes: bool = False


_RANK = "NUM ORD"
KINDS = (
    Kind("count", {"want": "count"}, ("COUNT",), "ALL", by="may"),
    Kind("share", {"want": "fraction"}, ("SHARE",), "ALL COMPOSITION", "wa", "w", by="may"),
    Kind("number", {}, ("STAT",), "COUNT ALL", by="may", of="must"),
    Kind("top count", {"want": "count", "show": "rank"}, ("TOP SIZETOP",), f"COUNT OFTEN {_RANK}", by="must"),
    Kind("top share", {"want": "fraction", "show": "rank"}, ("TOP", "SHARE OFTEN"), _RANK, "wa", "w", by="must"),
    Kind("top number", {"show": "rank"}, ("TOP",), f"STAT COUNT {_RANK}", by="must", of="must"),
    Kind("which mostly", {"want": "which", "check": (">", 0.5)}, ("BE",), "MAJ COMPOSITION", least="w", by="must"),
    Kind("which any", {"want": "which", "check": (">", 0.0)}, ("HAVE HAVING",), "ANY", least="w", by="must"),
    Kind("mixture", {"want": "composition"}, ("WHICH WHAT LIST COMPOSITION",), "COMPOSITION", by="must"),
    Kind("groups", {"want": "groups"}, ("WHICH WHAT LIST COUNT",), "COUNT DIFF", places="", by="must"),
    Kind("any", {"want": "count", "check": (">", 0.0), "show": "check"}, (), "ANY", least="w", yes=True),
    Kind("limit", {"want": "fraction", "show": "check"}, ("ALL MAJ LIMIT TOP",), "COMPOSITION", "wa", "w", yes=True),
    Kind("more", {"want": "count", "show": "check"}, ("MORE LESS",), "THAN COUNT OFTEN VERSUS", "wst", "st", yes=True),
    Kind("more share", {"want": "fraction", "show": "check"}, ("MORE LESS", "SHARE OFTEN"), "THAN VERSUS", "wast",
         "wst", yes=True),
    Kind("more number", {"show": "check"}, ("MORE LESS",), "THAN STAT COUNT VERSUS", "wst", "st", of="must", yes=True),
    Kind("ratio", {"want": "count", "show": "ratio"}, ("RATIO",), "BETWEEN VERSUS COUNT", "wstx"),
    Kind("gap", {"want": "count", "show": "difference"}, ("DIFF MORE", "COUNT"), "THAN BETWEEN", "wstx"),
    Kind("gap number", {"show": "difference"}, ("DIFF", "STAT"), "THAN BETWEEN COUNT", "wstx", of="must"),
    Kind("both count", {"want": "count"}, ("COMPARE VERSUS DIFF BETWEEN", "COUNT"), "COMPARE VERSUS DIFF BETWEEN",
         "wstx"),
    Kind("both share", {"want": "fraction"}, ("COMPARE VERSUS DIFF BETWEEN", "SHARE"), "COMPARE VERSUS DIFF BETWEEN",
         "wastx", "w"),
    Kind("both number", {}, ("COMPARE VERSUS DIFF BETWEEN", "STAT"), "COMPARE VERSUS DIFF BETWEEN COUNT", "wstx",
         of="must"),
    Kind("markers", {"want": "markers"}, ("MARKERS MARK",), "GENES MARKERS MARK TOP NUM", least="w"),
    Kind("apart", {"want": "differential"}, ("MARKERS GENES MARK DIFF COMPARE VERSUS",),
         "MARKERS GENES MARK DIFF COMPARE VERSUS BETWEEN", "stx"),
    Kind("genes", {"want": "genes"}, ("COUNT", "GENES"), places=""),
    Kind("rows", {"want": "list"}, ("WHICH WHAT LIST",), "ALL", least="w"),
    Kind("top rows", {"want": "list", "show": "rank"}, ("TOPM",), _RANK),
)  # fmt: skip
