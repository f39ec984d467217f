"""Connections: opened for what was asked for by name, for nothing else, and not at all where they are forbidden.

Whoever opens one calls :func:`need_network` first. What a user did not name (a language model that a saved model
mentions, an update, a count of users) is looked for on this machine alone.
"""

from __future__ import annotations

import os

from ._settings import OFFLINE_VARIABLES, is_on, settings
from .errors import OfflineError

# Seconds until a server must have taken the call, and between two pieces of an answer.
CONNECT_SECONDS, READ_SECONDS = 5.0, 15.0


def need_network(what: str, instead: str) -> None:
    """Raise an error where `settings.offline` forbids connections.

    Parameters
    ----------
    what
        What would be reached, as the subject of a sentence.
    instead
        How to go on without a connection, as a sentence.

    Raises
    ------
    OfflineError
        They are forbidden; the message says by what.
    """
    if settings.offline:
        raise OfflineError(f"{what}, and {forbidden()}, or go on without a connection: {instead}")


def forbidden() -> str:
    """Say what forbids connections, and how to allow them."""
    by = next((name for name in OFFLINE_VARIABLES if is_on(os.environ.get(name, ""))), None)
    if by is None:
        return "settings.offline is on. Set scbioverse.settings.offline = False"
    return f"settings.offline is on, by {by}={os.environ[by]} in the environment. Set {by}=0"


def is_network_error(error: BaseException) -> bool:
    """Whether a library failed to reach a server: httpx and its heirs have errors that are no OSError."""
    return isinstance(error, OSError) or type(error).__module__.split(".")[0] in ("httpx", "httpx2", "httpcore")
