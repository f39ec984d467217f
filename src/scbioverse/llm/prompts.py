"""The text around soft tokens: rendered once into ids, with the shared part in front. For labels, and for questions."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from .._logging import bounded, one_line
from ..errors import InputError

if TYPE_CHECKING:
    from ..nn import BioTokens
    from .backbone import Backbone

# Raise this when the same template would be rendered to other ids: it is part of the template's hash.
_VERSION = 2
_TAIL = "task"  # what follows the soft tokens of a single object; part of the hash, too
MAX_LABEL_CHARS = 200
MAX_TEXT_CHARS = 2000  # of a text that is learned as a whole, such as the caption of a molecule


@dataclass(frozen=True)
class Prompt:
    """A prompt as ids, the language model's (≥ 0) and those of the bio tokens (< 0)."""

    prefix: list[int]  # what all rows share, up to and with the first start marker: computed once
    head: list[int]  # before the answer: placeholders, end marker, task token, question


@dataclass(frozen=True)
class PromptTemplate:
    """Wording of a prompt. Order: instruction, start marker, soft tokens, task token, question, answer.

    Everything that is the same for all rows stands in front of the soft tokens and is computed once; a row costs its
    soft tokens, two markers and the question.

    The prefix shows the language model three lines in which a term is followed by the same term. A small model that has
    seen such lines goes on copying, so soft tokens that resemble the words of a name are read as that name from the
    first training step, and names that were never trained can be read, too. It is plain text: every causal language
    model takes it, with a chat template or without, and it is computed once, so its length costs little.

    In `instruction`, `{modality}` stands for the kind of object. `examples` are terms that nobody scores, with words
    `before` and `after` and the `last` one. The start marker begins as the last word of `before`, the end marker as
    `after`, the task token as `last`; from there on they are trained or fixed like any marker. `question` stands
    between object and answer and is read by every row: four tokens at most.
    """

    instruction: str = "Every line reads a {modality} and then says what it is."
    examples: tuple[str, ...] = ("wooden garden chair", "CD4 music player", "large blue bus")
    before: str = "The term"
    after: str = ""
    last: str = "means"
    question: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "examples", tuple(self.examples))  # JSON gives a list

    def template_hash(self) -> str:
        """Sha256, hexadecimal, of the wording and of how it is rendered."""
        content = json.dumps({"version": _VERSION, "tail": _TAIL, **asdict(self)}, sort_keys=True, ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()

    def render_annotate(self, backbone: Backbone, tokens: BioTokens, modality: str = "cell", *, n_soft: int) -> Prompt:
        """Render the prompt that asks for a label of an object, with `n_soft` soft tokens."""
        opening = self._opening(backbone, self.instruction.replace("{modality}", modality))
        # What follows the soft tokens is read by every row: each token here costs as much as one of them.
        asked = f" {self.question.strip()}".rstrip()
        head = [*[tokens.placeholder(modality)] * n_soft, tokens.task_id, *backbone.encode(asked, allow_special=False)]
        return Prompt([*opening, tokens.start_id(modality)], head)

    def marker_words(self) -> tuple[str, str, str]:
        """Words that start marker, end marker and task token begin as, each with its leading space."""
        return " " + self.before.split()[-1], " " + (self.after or self.last), " " + self.last

    def _opening(self, backbone: Backbone, instruction: str) -> list[int]:
        around = [(self.before, one, self.after, self.last, one) for one in self.examples]
        lines = [instruction, *(" ".join(filter(None, words)) for words in around)]
        lines.append(" ".join(self.before.split()[:-1]))
        return [*backbone.bos_ids, *backbone.encode("\n".join(lines), allow_special=False)]

    def encode_answer(self, backbone: Backbone, text: str, *, max_chars: int = MAX_LABEL_CHARS) -> list[int]:
        """Token ids of an answer as a user wrote it, the end token included. It is never cut."""
        return [*encode_plain(backbone, " " + clean_text(text, max_chars=max_chars)), backbone.eos_id]


# The names of a vocabulary are asked about again and again.
@lru_cache(maxsize=1 << 12)
def clean_text(text: str, *, max_chars: int = MAX_LABEL_CHARS) -> str:
    """Make a user's text safe to put into a prompt: one line, no control or invisible characters, composed accents."""
    clean = one_line(str(text))
    if not clean:
        raise InputError(f"The text {text!r:.60} holds no readable character.")
    if len(clean) > max_chars:
        raise InputError(f"The text {clean[:40]!r}… has {len(clean)} characters; at most {max_chars} are read.")
    return clean


def encode_plain(backbone: Backbone, text: str) -> list[int]:
    """Tokenise a user's text so that no part of it becomes a special token.

    Strings such as `<|im_end|>` are broken by a space after their first character if the tokenizer would otherwise take
    them for the token of that name; an :class:`InputError` where it does so all the same.
    """
    tokenizer = backbone.tokenizer
    special = dict(zip(tokenizer.all_special_tokens, tokenizer.all_special_ids, strict=True))
    ids = backbone.encode(text, allow_special=False)
    # What stands for unknown characters is special by name only.
    forbidden = set(special.values()) - {tokenizer.unk_token_id}
    if forbidden.isdisjoint(ids):
        return ids
    for token in sorted(special, key=len, reverse=True):
        text = text.replace(token, f"{token[:1]} {token[1:]}")
    ids = backbone.encode(text, allow_special=False)
    if not forbidden.isdisjoint(ids):
        raise InputError(f"The text {text!r:.60} reads as special tokens of {backbone.name!r}; rename it.")
    return ids


# ------------------------------------------------------------------ questions about objects

# Order: instruction (the same for all, computed once), one line an object with its soft tokens, what was measured,
# question, answer. Whatever a user or a file wrote goes in as one bounded line of plain text: special-token strings in
# it stay text.
MAX_QUESTION_CHARS = 400
MAX_EVIDENCE_CHARS = 700
MAX_NAME_CHARS = 60


@dataclass(frozen=True)
class QuestionTemplate:
    """Wording of a question's prompt: its first line, and the words before what was measured, question and answer."""

    instruction: str = "Answer the question about these cells in one short sentence, from what is measured."
    measured: str = "Measured:"
    asked: str = "Question:"
    answered: str = "Answer:"

    def render(
        self,
        backbone: Backbone,
        tokens: BioTokens,
        asked: Sequence[tuple[str, str]],
        *,
        n_soft: int,
        objects: Sequence[tuple[str, str]] = (),
    ) -> list[list[int]]:
        """Render questions about the same objects (modality, name), up to where each answer begins.

        `asked` are questions with evidence in words, `""` for none. Returns what follows the instruction as ids, the
        language model's (≥ 0) and those of the bio tokens (< 0).
        """
        questions = [bounded(one, MAX_QUESTION_CHARS) for one, _ in asked]
        evidence = [bounded(one, MAX_EVIDENCE_CHARS) for _, one in asked]
        if "" in questions:
            raise InputError(f"the question {asked[questions.index('')][0]!r:.60} holds no readable character.")
        shown: list[int] = []
        for modality, name in objects:
            head = f"\n{modality.capitalize()} {bounded(name, MAX_NAME_CHARS)}".rstrip() + ":"
            shown += encode_plain(backbone, head)
            shown += [tokens.start_id(modality), *[tokens.placeholder(modality)] * n_soft, tokens.end_id(modality)]
        measured = [f"\n{self.measured} {said}" if said else "" for said in evidence]
        texts = [f"{said}\n{self.asked} {one}\n{self.answered}" for said, one in zip(measured, questions, strict=True)]
        return [shown + encode_plain(backbone, text) for text in texts]

    def prefix_ids(self, backbone: Backbone) -> list[int]:
        """Ids of the instruction, never empty."""
        ids = [*backbone.bos_ids, *backbone.encode(self.instruction, allow_special=False)]
        # A prefix has at least one position.
        return ids or [backbone.eos_id]

    def encode_answers(self, backbone: Backbone, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each answer, the end token included."""
        said = [bounded(text, 2 * MAX_EVIDENCE_CHARS) for text in texts]
        for text, given in zip(said, texts, strict=True):
            if not 1 <= len(text) <= MAX_EVIDENCE_CHARS:
                raise InputError(f"an answer has 1 to {MAX_EVIDENCE_CHARS} readable characters, found {given!r:.60}.")
        return [[*encode_plain(backbone, f" {text}"), backbone.eos_id] for text in said]
