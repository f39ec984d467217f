"""Reasons that the language model writes about groups, of which only what holds is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._shown import shown_name
from ..explain.reading import CheckedClaim, MeasuredCells, check_text
from ..explain.reasons import Reasons, _row
from ..knowledge.sentences import split_sentences
from ..predict.free_text import group_means
from ..predict.groups import Groups
from ..train.lessons import measured

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse
    from ..predict.calls import Answers

Float = NDArray[np.float32]
# Gives the sentences of a text that hold, and how many claims about genes they make.
Check = Callable[[str], tuple[str, int]]
WHY = "Why are these cells called {label}?"
TRIES = 2
# Fewest genes of a written reason.
_ENOUGH = 2
_TEMPERATURE = 0.7


def written_reasons(
    model: BioVerse,
    adata: AnnData,
    values: Float,
    answers: Answers,
    why: Reasons,
    *,
    layer: str | None = None,
    key: str | None = None,
    modality: str = "cell",
    seed: int = 0,
) -> Reasons:
    """Replace reasons put together from measured markers by what the language model writes, where that holds.

    Written reasons that name fewer than two genes the data bear out are not better than what is there and are dropped.

    Parameters
    ----------
    model
        The model.
    adata
        The data; not changed.
    values
        float32 (n_obs, n_tokens, dim).
    answers
        Labels of the rows.
    why
        Reasons to replace, with the table of their claims.
    layer, key
        Where expression and gene names are.
    modality
        Modality of the embeddings.
    seed
        Seed of further tries.
    """
    known = {label: why.table[why.table["label"] == label] for label in why.table["label"].unique()}
    at = [code for code, one in enumerate(answers.called) if one.name in known and (answers.codes == code).any()]
    if not at:
        return why
    cells = MeasuredCells(adata, layer=layer, key=key, codes=answers.codes)
    claims: list[list[CheckedClaim]] = [[] for _ in at]

    def check(number: int, code: int) -> Check:
        inside = answers.codes == code
        outside = (answers.codes >= 0) & ~inside
        label = shown_name(answers.called[code].name)

        def test(text: str) -> tuple[str, int]:
            left, found = check_text(text, cells, inside, against=outside, names=[label])
            claims[number] = [one for one in found if one.verdict == "supported"]
            # Genes of sentences that were dropped for another claim do not count.
            claims[number] = [one for one in claims[number] if split_sentences(text)[one.claim.sentence] in left]
            enough = len({one.gene for one in claims[number]}) >= _ENOUGH
            return (left, len(claims[number])) if enough else ("", 0)

        return test

    groups = Groups([str(code) for code in at], _places(answers.codes, at))
    texts = generate_reasons(
        model,
        group_means(values, groups),
        [shown_name(answers.called[code].name) for code in at],
        [measured(known[answers.called[code].name]) for code in at],
        [check(number, code) for number, code in enumerate(at)],
        modality=modality,
        seed=seed,
    )
    sentences, parts = list(why.sentences), []
    for number, (code, text) in enumerate(zip(at, texts, strict=True)):
        rows = known[answers.called[code].name]
        if text:
            sentences[code] = text
            found = [_row(answers.called[code].name, one, rows) for one in claims[number]]
            rows = pd.DataFrame(found, columns=why.table.columns)
        parts.append(rows)
    return replace(why, sentences=sentences, table=pd.concat(parts, ignore_index=True))


def _places(codes: NDArray[np.int64], at: list[int]) -> NDArray[np.int64]:
    place = np.full(max(int(codes.max(initial=0)), *at) + 2, -1, dtype=np.int64)
    place[at] = np.arange(len(at))
    return place[codes]


def generate_reasons(
    model: BioVerse,
    means: Float,
    labels: Sequence[str],
    evidence: Sequence[str],
    checks: Sequence[Check],
    *,
    modality: str = "cell",
    max_new_tokens: int = 64,
    tries: int = TRIES,
    seed: int = 0,
) -> list[str]:
    """Let the language model say why each group has its label, and keep what holds.

    The first text is the most probable one. Groups of which no sentence holds are asked again, drawing words at
    temperature 0.7, `tries` times; then the reason stays empty, for the caller to fill from what was measured.

    Parameters
    ----------
    model
        The model.
    means
        float32 (n, n_tokens, dim), mean embedding of each group.
    labels
        Its label.
    evidence
        What was measured in it, in words.
    checks
        Per group, gives the sentences of a text that hold and the number of claims about genes in them. A text without
        a claim cannot be tested and is not a reason.
    modality
        Modality of the embeddings.
    max_new_tokens
        Longest reason.
    tries
        How often to ask again.
    seed
        Seed of the drawing.

    Returns
    -------
    A reason or `""` for each group.
    """
    asks = model.text_writer
    prompts = [
        asks.prompt(WHY.format(label=label), objects=[(modality, "")], evidence=said)
        for label, said in zip(labels, evidence, strict=True)
    ]
    out = [""] * len(prompts)
    for attempt in range(tries + 1):
        open_ones = [i for i, text in enumerate(out) if not text]
        if not open_ones:
            break
        texts = asks.write(
            [prompts[i] for i in open_ones],
            [{modality: means[i : i + 1]} for i in open_ones],
            max_new_tokens=max_new_tokens,
            temperature=0.0 if attempt == 0 else _TEMPERATURE,
            seed=seed + attempt,
        )
        for i, text in zip(open_ones, texts, strict=True):
            # A sentence that was cut off may say the opposite of what it began to say.
            whole = " ".join(one for one in split_sentences(text) if one.endswith((".", "!")))
            kept, claims = checks[i](whole) if whole else ("", 0)
            out[i] = kept if claims else ""
    return out
