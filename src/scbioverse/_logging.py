"""One logger for the package. Handlers are the application's business: none is set up at import.

Nor one that swallows everything: where the application sets up nothing, Python prints what is a warning to stderr, such
as a batch that had to be halved, and keeps quiet about the rest.
"""

from __future__ import annotations

import logging

logger = logging.getLogger("scbioverse")


def log_added(verb: str, slots: list[str]) -> None:
    """Say which slots a verb filled, one line a slot, as scanpy does."""
    logger.info("%s added\n%s", verb, "\n".join(f"    {slot}" for slot in slots))
