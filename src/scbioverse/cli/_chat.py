"""A conversation in the terminal; the file that is talked about is only read."""

from __future__ import annotations

import contextlib
import sys
from typing import TYPE_CHECKING

from ..errors import BioverseError
from ._run import in_words, say

if TYPE_CHECKING:
    from ..tl._ask import Chat

PROMPT = "you> "
GOODBYE = frozenset({"exit", "quit", "bye", ":q", "/exit", "/quit"})
HELP = (
    "Ask about the cells: how many, which fraction, which genes mark a group, how two groups differ, what they are.\n"
    "/history shows what was said, /evidence the numbers behind the last answer, /clear forgets; exit or Ctrl-D ends."
)
_COMMANDS = HELP.split("\n")[1]
HELPS = {
    "molecule": (
        "Ask about the molecules by name: how many, which are heaviest, what one weighs, how two compare, which are "
        f"most like one, which are antibiotics, what role one has.\n{_COMMANDS}"
    ),
    "protein": (
        "Ask about the proteins by name: how many, which are longest, what one weighs, how two compare, which are most "
        f"like one, which bind DNA.\n{_COMMANDS}"
    ),
}


def converse(chat: Chat) -> None:
    """Read questions from standard input and print answers until the input ends, `exit`, or Ctrl-C at the prompt.

    Ctrl-C while an answer is written breaks that answer off. In a terminal, the arrow keys go through what was asked.
    """
    interactive = sys.stdin.isatty()
    if interactive:
        # Line editing and history, where the platform has them.
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401
        say(HELPS.get(chat.modality, HELP))
    while True:
        try:
            question = input(PROMPT if interactive else "").strip()
        except (EOFError, KeyboardInterrupt):
            if interactive:
                say()
            return
        if not question:
            continue
        if question.lower() in GOODBYE:
            return
        if question.startswith("/"):
            say(_command(chat, question[1:].strip().lower()))
            continue
        _answer(chat, question)


def _answer(chat: Chat, question: str) -> None:
    try:
        stream = chat.stream(question)
        for piece in stream:
            say(piece, nl=False)
        computed = stream.answer is not None and stream.answer.computed
        say("  [computed from the data]" if computed else "")
    except KeyboardInterrupt:
        say("  [broken off]")
    except BioverseError as error:
        say(f"error: {in_words(' '.join(str(error).split()))}", err=True)


def _command(chat: Chat, name: str) -> str:
    if name == "history":
        return "\n".join(f"{PROMPT}{one.question}\n{one.text}" for one in chat.history) or "nothing was asked yet"
    if name == "evidence":
        table = chat.history[-1].evidence if chat.history else None
        if table is None or table.empty:
            return "no numbers stand behind the last answer"
        return str(table.head(20).round(3).to_string(index=False))
    if name == "clear":
        chat.clear()
        return "forgotten"
    return HELPS.get(chat.modality, HELP)
