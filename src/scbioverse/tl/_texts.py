"""The texts of a column of `obs`, and which rows to learn from."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError
from ..io.columns import as_categories, obs_column
from ..knowledge import load_ontology, resolve_labels
from ..knowledge.cards import label_card
from ..knowledge.spoken import answer_name
from ..predict.candidates import NO_NAME, is_number

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

HOLDOUT = 0.1
LEAST_HELD_OUT = 20
# Longer than any name of a cell type: such a text is taken as it stands and not looked up in the ontology.
LONGEST_NAME = 60


@dataclass(frozen=True, eq=False)
class Texts:
    """The different texts of a column."""

    names: list[str]  # as they stand in the column
    codes: NDArray[np.int64]  # int64 (n_obs,): text of each row, -1 where it is missing
    cl_ids: list[str | None]  # ontology ids, or None
    answers: list[str]  # what the language model should say, different for each: the term's phrase, else the name
    cards: list[str]  # descriptions for the contrastive side
    related: NDArray[np.bool_]  # bool (m, m): one term is an ancestor of the other

    def said(self, form: str) -> Texts:
        """Return the texts with answers in another form of names, see `BioVerseConfig.names`."""
        answers, cards = _answers(self.names, self.cl_ids, form)
        return replace(self, answers=answers, cards=cards)


def read_texts(adata: AnnData, text_key: str) -> Texts:
    """Read the texts of a column and what they mean, with answers in the spoken form of names; two are needed."""
    if not hasattr(adata, "obs"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}.")
    column = as_categories(obs_column(adata, text_key, "text_key"), "text_key")
    written = [" ".join(str(one).split()) for one in column.cat.categories]
    # Categories that read the same are one text; order by name, so that it does not depend on the rows.
    names = sorted({one for one in written if one.casefold() not in NO_NAME})
    at = {one: i for i, one in enumerate(names)}
    table = np.array([*(at.get(one, -1) for one in written), -1], dtype=np.int64)
    codes = table[column.cat.codes.to_numpy(dtype=np.int64)]
    if names and all(is_number(one) for one in names):
        raise InputError(
            f"adata.obs[{text_key!r}] holds only numbers ({', '.join(names[:5])}): a language model learns nothing "
            "from cluster numbers. Name the clusters first."
        )
    if len(names) < 2:
        raise InputError(f"adata.obs[{text_key!r}] holds {len(names)} different texts; alignment needs at least two.")
    found = resolve_labels([one if len(one) <= LONGEST_NAME else "" for one in names])
    cl_ids = [one.cl_id for one in found]
    answers, cards = _answers(names, cl_ids, "spoken")
    return Texts(names, codes, cl_ids, answers, cards, _related(cl_ids))


def _answers(names: list[str], cl_ids: list[str | None], form: str) -> tuple[list[str], list[str]]:
    """Find what the language model should say for each name, and the description of each."""
    phrase = [answer_name(cl_id, form) if cl_id else one for one, cl_id in zip(names, cl_ids, strict=True)]
    answers = [text if phrase.count(text) == 1 else one for text, one in zip(phrase, names, strict=True)]
    cards = []
    for one, cl_id, answer in zip(names, cl_ids, answers, strict=True):
        card = label_card(cl_id) if cl_id else one
        cards.append(card if cl_id is None or answer == answer_name(cl_id, form) else f"{one}. {card}")
    return answers, cards


def split_rows(codes: NDArray[np.integer], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows held out, each text in proportion; a text with one row is always trained on."""
    rng = np.random.default_rng([seed, 1])
    rows = np.flatnonzero(codes >= 0)
    if rows.size * HOLDOUT < LEAST_HELD_OUT:
        return rows, rows[:0]
    held = []
    for code in np.unique(codes[rows]):
        mine = rng.permutation(rows[codes[rows] == code])
        held.append(mine[: round(HOLDOUT * mine.size)])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(rows, out), out


def _related(cl_ids: list[str | None]) -> NDArray[np.bool_]:
    ontology = load_ontology()
    out = np.zeros((len(cl_ids), len(cl_ids)), dtype=bool)
    for i, a in enumerate(cl_ids):
        for j, b in enumerate(cl_ids[:i]):
            # Two texts with one meaning: neither is wrong for a cell of the other.
            out[i, j] = out[j, i] = a is not None and b is not None and ontology.overlaps(a, b)
    return out
