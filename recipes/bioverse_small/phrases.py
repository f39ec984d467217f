"""What a text calls its object: the kind of a molecule, the name of a protein."""

from __future__ import annotations

import re

# "The molecule is a fatty acid anion that is ..." and the sentences that name a protein.
_KIND = re.compile(
    r"The molecule is (?:an? member of (?:the class of )?|an? |the |any |one of )?(?P<said>.+?)"
    r"(?:,| that | which | in which | in | consisting | comprising | obtained | having | with | of which |\.(?:\s|$)|$)"
)
_NAME = re.compile(
    r"(?:The protein is|This protein is called|Name:|It is(?! an? | found)) (?P<said>.+?)(?:\.(?:\s|$)|, EC |$)"
)
MOST_PHRASE = 60


def phrase_of(text: str) -> str:
    """Find the kind of a molecule or the name of a protein in a text; `""` where there is none of a fair length."""
    found = _KIND.match(text) or _NAME.match(text)
    said = "" if found is None else found["said"].strip()
    return said if 3 <= len(said) <= MOST_PHRASE else ""
