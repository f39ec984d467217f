"""Text that the language model writes about groups: labels, and reasons of which only what holds is kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._shown import shown_name
from ..knowledge import resolve_label
from ..knowledge.claims import split_sentences
from ..knowledge.phrases import canonical_phrase
from ..llm.questions import MAX_EVIDENCE_CHARS, bounded
from ..models._questioner import write_labels
from ..train.lessons import measured
from ._answers import Answers, decide
from ._claims import CheckedClaim, MeasuredCells, check_text
from ._groups import Groups, agreement
from ._labels import Label
from ._reasons import Reasons, _row

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse

Float = NDArray[np.float32]
# Gives the sentences of a text that hold, and how many claims about genes they make.
Check = Callable[[str], tuple[str, int]]
WHY = "Why are these cells called {label}?"
TRIES = 2
# Fewest genes of a written reason.
_ENOUGH = 2
_TEMPERATURE = 0.7


@dataclass(frozen=True, eq=False)
class Written:
    """Labels that the language model wrote.

    Attributes
    ----------
    texts
        n texts as they were written.
    labels
        The different labels that they mean.
    codes
        int64 (n,): which of them each is.
    log_probs
        float32 (n,): log-probability of each text, among the candidates where there are some.
    """

    texts: list[str]
    labels: list[Label]
    codes: NDArray[np.int64]
    log_probs: Float


def generate_labels(
    model: BioVerse,
    embeddings: Float,
    candidates: Sequence[Label] | None = None,
    *,
    modality: str = "cell",
    beams: int = 1,
    batch_size: int = 32,
) -> Written:
    """Let the language model write a label for each row.

    Parameters
    ----------
    model
        The model.
    embeddings
        float32 (n, n_tokens, dim) or (n, dim): of cells, or mean ones of groups.
    candidates
        What may be written. None: anything; the text is then mapped to the Cell Ontology, and stays a label of its own
        where it means no term.
    modality
        Modality of the embeddings.
    beams
        Beginnings kept, see :func:`scbioverse.llm.generate.generate`.
    batch_size
        Rows written for at once.

    Returns
    -------
    With `candidates`, `labels` are these, and every text is one of them.
    """
    names = None if candidates is None else [one.text for one in candidates]
    texts, log_probs, which = write_labels(
        model, embeddings, names, modality=modality, beams=beams, batch_size=batch_size
    )
    if candidates is not None:
        return Written(texts, list(candidates), which, log_probs)
    texts = [bounded(text, MAX_EVIDENCE_CHARS) for text in texts]
    labels: dict[str, Label] = {}
    keys = []
    for text in texts:
        label = label_of(text)
        key = label.cl_id or label.name.casefold()
        labels.setdefault(key, label)
        keys.append(key)
    order = list(labels)
    codes = np.array([order.index(key) for key in keys], dtype=np.int64)
    return Written(texts, list(labels.values()), codes, log_probs)


@dataclass(frozen=True, eq=False)
class GeneratedAnswers:
    """What :func:`generate_answers` hands to :func:`scbioverse.tl.annotate`.

    Attributes
    ----------
    labels
        The candidates, or the labels that the texts mean.
    answers
        Label and confidence of every row; the confidence is the probability of the written text, among the candidates
        where there are some and among all texts else.
    texts
        What was written for each row, `""` for rows without a group.
    """

    labels: list[Label]
    answers: Answers
    texts: list[str]


def generate_answers(
    model: BioVerse,
    values: Float,
    candidates: Sequence[Label] | None,
    groups: Groups | None,
    *,
    modality: str = "cell",
    threshold: float = 0.0,
    batch_size: int = 32,
) -> GeneratedAnswers:
    """Let the language model write a label for every row, or for the mean embedding of every group.

    The scores beside them are those of `method="score"` among the same labels.

    Parameters
    ----------
    model
        The model.
    values
        float32 (n_obs, n_tokens, dim).
    candidates
        What may be written; anything if None.
    groups
        Groups that get one label each, or None.
    modality
        Modality of the embeddings.
    threshold
        Texts with a lower probability are unknown.
    batch_size
        Rows at once.
    """
    units = values if groups is None else _group_means(values, groups)
    written = generate_labels(model, units, candidates, modality=modality, batch_size=min(batch_size, 32))
    names = [label.name for label in written.labels]
    scores = model.score(values, [label.text for label in written.labels], modality=modality, batch_size=batch_size)
    base = decide(scores, names, groups, 0.0, cl_ids=[label.cl_id for label in written.labels], parents=False)
    sure = np.exp(written.log_probs).clip(0, 1).astype(np.float32)
    known = sure >= threshold
    if groups is None:
        answers = replace(base, codes=written.codes, confidence=sure, known=known)
        return GeneratedAnswers(written.labels, answers, written.texts)
    agree = agreement(scores, groups, written.codes)
    table = [
        {**row, "label": names[code] if fine else base.unknown, "confidence": round(float(conf), 6)}
        | {"agreement": round(float(share), 6)}
        for row, code, fine, conf, share in zip(base.groups, written.codes, known, sure, agree, strict=True)
    ]
    at = groups.codes
    answers = replace(
        base,
        codes=np.append(written.codes, -1)[at],
        confidence=np.append(sure, np.float32(np.nan))[at],
        known=np.append(known, True)[at],
        groups=table,
    )
    return GeneratedAnswers(written.labels, answers, [[*written.texts, ""][code] for code in at])


def _group_means(values: Float, groups: Groups) -> Float:
    inside = groups.codes >= 0
    sums = np.zeros((len(groups.names), *values.shape[1:]), dtype=np.float64)
    np.add.at(sums, groups.codes[inside], values[inside])
    return (sums / groups.sizes.reshape(-1, *[1] * (values.ndim - 1))).astype(np.float32)


def label_of(text: str) -> Label:
    """Map a free text to the term that it names; a text that names none stays as it is, `"unnamed"` if empty."""
    first = split_sentences(text)
    said = bounded(first[0].rstrip(".") if first else "", 80)
    found = resolve_label(said)
    if found.cl_id is None:
        return Label(said or "unnamed", said or "unnamed", None, said or "unnamed", "none")
    phrase = canonical_phrase(found.cl_id)
    return Label(phrase, phrase, found.cl_id, found.term_label, found.how)


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
        _group_means(values, groups),
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
    asks = model.questioner
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
