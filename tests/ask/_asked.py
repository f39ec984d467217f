"""A question, or the last of a chat, about data of the sets of questions, read by the rules."""

from __future__ import annotations

from functools import cache
from typing import Any

import scbioverse as sb
from benchmarks.ask import made


@cache
def talk(name: str) -> tuple[sb.Chat, dict[str, Any]]:
    """Return a chat about a set's data, and what its truths are computed from."""
    adata, truths, options = made(name)
    return sb.Chat(adata, reader="rules", **options), truths


def asked(line: str) -> tuple[Any, dict[str, Any]]:
    """Return the answer to the last question of "set | question | question", and what truths are computed from."""
    name, *turns = line.split(" | ")
    chat, truths = talk(name)
    chat.clear()
    return [chat.ask(one) for one in turns][-1], truths
