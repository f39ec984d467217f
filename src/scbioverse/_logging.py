"""One logger for the package. Handlers are the application's business: none is set up at import.

Nor one that swallows everything: where the application sets up nothing, Python prints what is a warning to stderr, such
as a batch that had to be halved, and keeps quiet about the rest.
"""

from __future__ import annotations

import logging

from ._shown import printable

logger = logging.getLogger("scbioverse")


def _make_printable(record: logging.LogRecord) -> bool:
    """Write characters that act on a terminal as escapes: names out of files stand in what is logged."""
    said = record.getMessage()
    clean = printable(said)
    if clean != said:
        record.msg, record.args = clean, None
    return True


logger.addFilter(_make_printable)


def log_added(verb: str, slots: list[str]) -> None:
    """Say in one line which slots a verb filled: `"adata.obs['x']"`, `"adata.uns['bioverse']['embed']"`."""
    filled: dict[str, list[str]] = {}
    for slot in slots:
        where, _, name = slot.removeprefix("adata.").rpartition("[")
        filled.setdefault(where, []).append(name.strip("]'\""))
    logger.info("%s added %s", verb, "; ".join(f"{where}: {', '.join(names)}" for where, names in filled.items()))
