"""The prompt that asks a question about objects: what was measured, the question, and their soft tokens.

Order: instruction (the same for all, computed once), one line an object with its soft tokens, what was measured,
question, answer. Whatever a user or a file wrote goes in as one bounded line of plain
text: special-token strings in it stay text.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._shown import one_line
from ..errors import InputError
from .prompts import encode_plain

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..nn import BioTokens
    from .backbone import Backbone

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
        question: str,
        *,
        n_soft: int,
        objects: Sequence[tuple[str, str]] = (),
        evidence: str = "",
    ) -> list[int]:
        """Render a question about objects (modality, name), with evidence in words, up to where the answer begins.

        Returns what follows the instruction as ids, the language model's (≥ 0) and those of the bio tokens (< 0).
        """
        asked = bounded(question, MAX_QUESTION_CHARS)
        if not asked:
            raise InputError(f"the question {question!r:.60} holds no readable character.")
        ids: list[int] = []
        for modality, name in objects:
            head = f"\n{modality.capitalize()} {bounded(name, MAX_NAME_CHARS)}".rstrip() + ":"
            ids += encode_plain(backbone, head)
            ids += [tokens.start_id(modality), *[tokens.placeholder(modality)] * n_soft, tokens.end_id(modality)]
        lines = []
        if evidence and (said := bounded(evidence, MAX_EVIDENCE_CHARS)):
            lines.append(f"{self.measured} {said}")
        lines += [f"{self.asked} {asked}", self.answered]
        return ids + encode_plain(backbone, "\n" + "\n".join(lines))

    def prefix_ids(self, backbone: Backbone) -> list[int]:
        """Ids of the instruction, never empty."""
        ids = [*backbone.bos_ids, *backbone.encode(self.instruction, allow_special=False)]
        # A prefix has at least one position.
        return ids or [backbone.eos_id]

    def encode_answer(self, backbone: Backbone, text: str) -> list[int]:
        """Token ids of an answer, the end token included."""
        said = bounded(text, 2 * MAX_EVIDENCE_CHARS)
        if not said or len(said) > MAX_EVIDENCE_CHARS:
            raise InputError(f"an answer has 1 to {MAX_EVIDENCE_CHARS} readable characters, found {text!r:.60}.")
        return [*encode_plain(backbone, " " + said), backbone.eos_id]


def bounded(text: object, max_chars: int) -> str:
    """One line of readable characters, at most `max_chars` of them; what is cut off leaves an ellipsis.

    Control, format (zero-width, direction), surrogate and private-use characters go, so that a name can neither move a
    terminal's cursor nor hide text.
    """
    # A long text is cut first, so that ten million characters cost no more than a few thousand.
    clean = one_line(str(text)[: 20 * max_chars])
    if len(clean) <= max_chars:
        return clean
    return clean[: max_chars - 1].rsplit(" ", 1)[0].rstrip() + "…" if max_chars > 1 else clean[:max_chars]
