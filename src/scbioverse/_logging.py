"""One logger for the package. Handlers are the application's business: none is set up at import."""

from __future__ import annotations

import logging

logger = logging.getLogger("scbioverse")
logger.addHandler(logging.NullHandler())


def log_added(verb: str, slots: list[str]) -> None:
    """Say which slots a verb filled, one line a slot, as scanpy does."""
    logger.info("%s added\n%s", verb, "\n".join(f"    {slot}" for slot in slots))
