"""Names that users wrote, made fit to be shown: one line, no control characters, bounded."""

from __future__ import annotations

import unicodedata

MOST_SHOWN = 80


def shown_name(name: str, most: int = MOST_SHOWN) -> str:
    """One readable line of at most `most` characters; what is cut off is marked by "…".

    Control, format (zero-width, direction), surrogate and private-use characters are taken out. The name itself stays
    as it is in the data: this is for sentences, logs and pictures.
    """
    # A long text is cut first, so that ten million characters cost no more than a few hundred.
    line = one_line(str(name)[: 20 * most]) or "?"
    return line if len(line) <= most and len(str(name)) <= 20 * most else line[: most - 1].rstrip() + "…"


def one_line(text: str) -> str:
    """Return a text as one line with composed accents, without characters that are not seen or act on a terminal."""
    # Categories C*: control, format (zero-width, direction), surrogate, private use, unassigned.
    composed = unicodedata.normalize("NFC", text)
    kept = "".join(" " if c.isspace() else c for c in composed if c.isspace() or unicodedata.category(c)[0] != "C")
    return " ".join(kept.split())


def printable(text: str) -> str:
    r"""Return a text with characters that act on a terminal, or are not seen, written as escapes: `\x1b[2J`.

    Line ends and tabs stay. Everything that goes to a log, an error or a terminal passes through here, since names in
    files can hold anything.
    """
    if text.isprintable():
        return text
    return "".join(
        one if one in "\n\t" or unicodedata.category(one)[0] != "C" else one.encode("unicode_escape").decode("ascii")
        for one in text
    )


def first_line(error: BaseException, most: int) -> str:
    """First line of what an error says, cut to `most` characters; its kind where it says nothing."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:most]


def plotted_name(name: str, most: int = 40) -> str:
    """:func:`shown_name` for a picture, in which a dollar sign would begin a formula."""
    return shown_name(name, most).replace("$", r"\$")
