"""Where the sentences of a text end."""

from __future__ import annotations

import re

# A sentence ends at a full stop, an exclamation or question mark before a space, or at a line's end.
_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+(?=[^a-z])|\n+")
_ABBREVIATED = re.compile(r"\b(?:e\.g|i\.e|vs|cf|approx|etc|ca|al|Fig|resp)\.$")


def split_sentences(text: str) -> list[str]:
    """Cut a text into sentences; abbreviations such as "e.g." do not end one."""
    out: list[str] = []
    start = 0
    for gap in _END.finditer(text):
        if _ABBREVIATED.search(text[start : gap.start()]) and "\n" not in gap[0]:
            continue
        out.append(text[start : gap.end()].strip())
        start = gap.end()
    out.append(text[start:].strip())
    return [one for one in out if one]
