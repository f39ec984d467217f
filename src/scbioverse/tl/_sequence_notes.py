"""What a model guesses of rows by phrases, and which of the language model's sentences keep to these."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from ..knowledge.sentences import split_sentences
from ..llm.questions import MAX_NAME_CHARS, bounded
from ..metrics import extract_classes, extract_roles
from ._answer_stream import Answer, pieces, whole_sentences
from ._question_facts import listed
from ._sequence_questions import OPEN

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from ..llm.questions import QuestionPrompt
    from ..models.captioner import PhraseCaptioner
    from ._asked_sequences import AskedSequences, Rows
    from ._sequence_questions import SequenceQuestion

_FIRST = "kind"  # what a group of phrases without a name in the note is
_ARTICLE = re.compile(r"^(?:an?|the)\s+(?:member of\s+)?", re.IGNORECASE)
_BETWEEN = frozenset(
    [
        "a", "act", "acts", "also", "an", "and", "are", "as", "belong", "belongs", "both", "class", "classes",
        "compound", "has", "have", "in", "is", "it", "its", "kind", "member", "molecule", "of", "protein", "role",
        "roles", "that", "the", "these", "they", "this", "to", "which", "with",
    ]
)  # fmt: skip
_SUBJECT = re.compile(r"(?:it|this|(?:this|the) (?:molecule|compound|protein))\s+(?:is|has|acts|belongs)\b")
_ASKED = {"role": r"\broles?\b|\bused?\b|\buses\b|\bfunctions?\b|\bdo(?:es)?\b.*\bdo\b|\bactivity\b|\beffects?\b",
          "class": r"\bclass(?:es)?\b|\bfamily\b|\bbelongs?\b"}  # fmt: skip
_VERBS = {"role": "act as", "class": "be classed as", "kind": "be"}


def say_notes(
    question: SequenceQuestion, data: AskedSequences, rows: Rows, max_new_tokens: int, *, begun: bool
) -> Generator[str, None, Answer]:
    """Answer an open question about each row from the phrases found in its embedding."""
    captioner = data.model.captioner(data.modality)
    names = [re.sub(r"^\W+|\W+$", "", one.lead) or _FIRST for one in captioner.book.groups]
    found = captioner.phrases(data.embed(rows))
    held = [dict(zip(names, phrases, strict=True)) for phrases in found]
    asked = [_asked(question.bare or question.text, one) for one in held]
    prompts = [
        captioner.text_writer.prompt(question.bare or question.text, evidence=captioner.note(phrases))
        for phrases, some in zip(found, asked, strict=True)
        if any(some.values())
    ]
    written = _written(captioner, prompts, max_new_tokens)
    said: list[str] = []
    dropped: list[str] = []
    claims = []
    for row, one, some in zip(rows, held, asked, strict=True):
        kept: list[str] = []
        for sentence in dict.fromkeys(next(written)) if any(some.values()) else ():
            good = backed(sentence, one)
            claims.append((data.ids[row], sentence, "supported" if good else "unsupported"))
            (kept if good else dropped).append(sentence)
        text = _row_text(data.labels[row], some, kept)
        yield from pieces(text, begun or bool(said))
        said.append(text)
    nothing = _not_said(question, found)
    if nothing:
        yield from pieces(nothing, True)
        said.append(nothing)
    closing = f"That is the model's guess from the {data.written}; nothing has checked it."
    yield from pieces(closing, True)
    evidence = pd.DataFrame(
        [
            (data.ids[row], name, phrase)
            for row, phrases in zip(rows, found, strict=True)
            for name, some in zip(names, phrases, strict=True)
            for phrase in some
        ],
        columns=["row", "group", "phrase"],
    )
    table = pd.DataFrame(claims, columns=["row", "sentence", "verdict"])
    text = " ".join([*said, closing])
    return Answer(
        text,
        question.text,
        question.kind,
        False,
        evidence,
        table,
        "\n\n".join(one.text for one in prompts),
        tuple(dropped),
    )


def _written(captioner: PhraseCaptioner, prompts: list[QuestionPrompt], max_new_tokens: int) -> Iterator[Iterator[str]]:
    """Sentences of each answer: of a single one as they come, of several all at once, which is faster."""
    if len(prompts) == 1:
        yield whole_sentences(captioner.text_writer.stream(prompts[0], {}, max_new_tokens=max_new_tokens))
        return
    for text in captioner.text_writer.write(prompts, [{}] * len(prompts), max_new_tokens=max_new_tokens):
        yield iter(split_sentences(text))


def _not_said(question: SequenceQuestion, found: list[list[list[str]]]) -> str:
    """Name the words of a question that no phrase speaks of."""
    phrases = " ".join(one for row in found for some in row for one in some).lower()
    words = [word for word in question.about if word.lower() not in OPEN and word[:5].lower() not in phrases]
    words = [word for word in words if word not in question.absent]
    return f"Of {bounded(' '.join(words), MAX_NAME_CHARS)!r} these phrases say nothing." if words else ""


def _asked(text: str, held: dict[str, list[str]]) -> dict[str, list[str]]:
    """Choose the groups of phrases that a question is about; all if it names none."""
    meant = [name for name in held if re.search(_ASKED.get(name, rf"\b{re.escape(name)}s?\b"), text, re.IGNORECASE)]
    return {name: held[name] for name in meant or held}


def _row_text(label: str, asked: dict[str, list[str]], kept: list[str]) -> str:
    """Sentences that keep to the phrases, then the phrases asked for that these leave out."""
    written = " ".join(re.sub(r"^(?:this|the) \w+\b|^it\b", label, one, flags=re.IGNORECASE) for one in kept)
    done: set[str] = set()
    left = {name: [one for one in some if _bare(one) not in written.lower()] for name, some in asked.items()}
    for some in left.values():
        some[:] = [one for one in some if _bare(one) not in done]
        done |= {_bare(one) for one in some}
    parts = [f"{_VERBS.get(name, f'have as {name}')} {listed(some)}" for name, some in left.items() if some]
    if written:
        written = written if label in written else f"{label}: {written}"
        return f"{written} It may also {'; '.join(parts)}." if parts else written
    if parts:
        return f"{label} may {'; '.join(parts)}."
    return f"{label}: no {' or '.join(asked)} is probable enough to be said."


def backed(sentence: str, held: dict[str, list[str]]) -> bool:
    """Whether a sentence says nothing but phrases of the note, roles as roles and classes as what it is.

    What is left of it without the phrases must be words that join them: a sentence with "not" in it is no phrase's.
    """
    every = [phrase for some in held.values() for phrase in some]
    roles = held.get("role", every)
    others = [phrase for name, some in held.items() if name != "role" for phrase in some] or every
    if not extract_roles(sentence) <= _each(extract_roles, "It has a role as", roles):
        return False
    if not extract_classes(sentence) <= _each(extract_classes, "It is", others):
        return False
    rest, hits, repeated = sentence.lower(), 0, False
    for bare in sorted({_bare(one) for one in every}, key=lambda one: (-len(one), one)):
        rest, n = re.subn(rf"(?<![\w-]){re.escape(bare)}(?![\w-])", " ", rest)
        hits, repeated = hits + n, repeated or n > 1
    # What repeats itself, or copies the note with its colons, is no sentence.
    if re.search(r"[:;]", rest) or not sentence.rstrip().endswith((".", "!")) or repeated:
        return False
    return bool(hits and _SUBJECT.match(rest)) and set(re.findall(r"[^\W_]+", rest)) <= _BETWEEN


def _each(read: object, lead: str, phrases: list[str]) -> set[str]:
    return {name for phrase in phrases for name in read(f"{lead} {phrase}.")}  # type: ignore[operator]


def _bare(phrase: str) -> str:
    return _ARTICLE.sub("", phrase).lower()
