"""BLEU, ROUGE and METEOR, by the libraries that papers use: nltk and rouge-score."""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from types import SimpleNamespace
from typing import TypeAlias

import numpy as np

from .._docs import documented
from .._lazy import import_optional
from ..errors import InputError

Tokeniser: TypeAlias = Callable[[str], Sequence[str]]
_DOCS = {
    "texts": """\
Parameters
----------
predictions, references
    Written texts, and the text that each should have been, in the same order.""",
    "raises": """\
Raises
------
InputError
    The lists differ in length or are empty.""",
}
_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokenise(text: str) -> list[str]:
    """Split a text into lower-case words, numbers and single punctuation marks.

    Parameters
    ----------
    text
        The text.

    Returns
    -------
    Its tokens: `"4-hydroxy"` gives `["4", "-", "hydroxy"]`.
    """
    return _TOKEN.findall(text.lower())


@documented(**_DOCS)
def bleu(
    predictions: Sequence[str],
    references: Sequence[str],
    *,
    max_order: int = 4,
    tokeniser: Tokeniser = tokenise,
) -> float:
    """Compute corpus BLEU with even weights for orders 1 to `max_order` and no smoothing (nltk).

    Papineni et al. 2002, doi:10.3115/1073083.1073135. BLEU-2 and BLEU-4 of caption papers are `max_order` 2 and 4.
    Those on ChEBI-20 split text with SciBERT's tokeniser: pass it as `tokeniser` to compare with them.

    {texts}
    max_order
        Longest n-gram.
    tokeniser
        Splits a text.

    Returns
    -------
    Between 0 and 1; 0 where no n-gram of some order is shared.

    {raises}
    OptionalDependencyError
        nltk is not installed.
    """
    _check(predictions, references)
    if max_order < 1:
        raise InputError(f"max_order must be at least 1, found {max_order}")
    score = import_optional("nltk.translate.bleu_score", extra="metrics", purpose="BLEU")
    with warnings.catch_warnings():
        # It warns where an order has no match; the value, all but 0, says so.
        warnings.simplefilter("ignore", UserWarning)
        value = score.corpus_bleu(
            [[list(tokeniser(text))] for text in references],
            [list(tokeniser(text)) for text in predictions],
            weights=(1 / max_order,) * max_order,
        )
    return float(value) if value > 1e-12 else 0.0


@documented(**_DOCS)
def rouge(predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
    """Compute ROUGE-1, ROUGE-2 and ROUGE-L, F-measures averaged over texts (rouge-score, no stemming).

    Lin 2004, https://aclanthology.org/W04-1013. The library's own tokens: runs of letters a-z and digits.

    {texts}

    Returns
    -------
    `{"rouge1": ..., "rouge2": ..., "rougeL": ...}`, each between 0 and 1.

    {raises}
    OptionalDependencyError
        rouge-score is not installed.
    """
    _check(predictions, references)
    package = import_optional("rouge_score.rouge_scorer", extra="metrics", purpose="ROUGE")
    names = ["rouge1", "rouge2", "rougeL"]
    scorer = package.RougeScorer(names, use_stemmer=False)
    found = [scorer.score(right, written) for written, right in zip(predictions, references, strict=True)]
    return {name: float(np.mean([one[name].fmeasure for one in found])) for name in names}


@documented(**_DOCS)
def meteor(predictions: Sequence[str], references: Sequence[str], *, tokeniser: Tokeniser = tokenise) -> float:
    """Compute METEOR from exact and stem matches, averaged over texts (nltk, without synonyms).

    Banerjee and Lavie 2005, https://aclanthology.org/W05-0909, with nltk's parameters and Porter stems. The published
    measure also matches WordNet synonyms, which nltk downloads and this does not: values are a little lower than those,
    and do not depend on what is installed.

    {texts}
    tokeniser
        Splits a text.

    Returns
    -------
    Between 0 and 1.

    {raises}
    OptionalDependencyError
        nltk is not installed.
    """
    _check(predictions, references)
    package = import_optional("nltk.translate.meteor_score", extra="metrics", purpose="METEOR")
    stems = import_optional("nltk.stem.porter", extra="metrics", purpose="METEOR")
    # The same words come again in every caption; and where nltk expects WordNet, nothing is a synonym.
    stemmer = SimpleNamespace(stem=cache(stems.PorterStemmer().stem))
    words = SimpleNamespace(synsets=lambda word: [])
    scores = [
        package.single_meteor_score(list(tokeniser(right)), list(tokeniser(written)), stemmer=stemmer, wordnet=words)
        for written, right in zip(predictions, references, strict=True)
    ]
    return float(np.mean(scores))


@documented(**_DOCS)
def text_metrics(
    predictions: Sequence[str], references: Sequence[str], *, tokeniser: Tokeniser = tokenise
) -> dict[str, float]:
    """Compute BLEU-2, BLEU-4, ROUGE-1, ROUGE-2, ROUGE-L, METEOR and the share of exact matches.

    {texts}
    tokeniser
        Splits a text for BLEU and METEOR.

    Returns
    -------
    `bleu2`, `bleu4`, `rouge1`, `rouge2`, `rougeL`, `meteor` and `exact` (equal but for case and white space), each
    between 0 and 1.

    {raises}
    OptionalDependencyError
        nltk or rouge-score is not installed.

    Examples
    --------
    >>> import scbioverse as sb
    >>> found = sb.metrics.text_metrics(["The molecule is an ester."], ["The molecule is an ester."])
    >>> found["bleu4"], found["exact"]
    (1.0, 1.0)
    """
    _check(predictions, references)
    same = [_plain(a) == _plain(b) for a, b in zip(predictions, references, strict=True)]
    return {
        "bleu2": bleu(predictions, references, max_order=2, tokeniser=tokeniser),
        "bleu4": bleu(predictions, references, max_order=4, tokeniser=tokeniser),
        **rouge(predictions, references),
        "meteor": meteor(predictions, references, tokeniser=tokeniser),
        "exact": float(np.mean(same)),
    }


def _plain(text: str) -> str:
    return " ".join(text.lower().split())


def _check(predictions: Sequence[str], references: Sequence[str]) -> None:
    if isinstance(predictions, str) or isinstance(references, str):
        raise InputError("pass lists of texts, not a text")
    if len(predictions) != len(references) or not len(predictions):
        raise InputError(
            f"each prediction needs one reference: found {len(predictions)} predictions, {len(references)} references"
        )
