"""Questions that are answered rightly, with the truth computed here by numpy and pandas; and what is not answered.

What was answered wrongly when the contract was written is not held to that.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb

from . import _data as data
from ._golden import Found, plain
from ._verbs import molecules, proteins

T_CELLS = ["Naive CD4 T", "Memory CD4 T", "CD8 T"]


@cache
def cells() -> ad.AnnData:
    """Return the cells with an expert label."""
    adata = data.blood()
    adata = adata[adata.obs["cell_type"].astype(str) != "unassigned"].copy()
    adata.obs["cell_type"] = adata.obs["cell_type"].astype(str).astype("category")
    return adata


def is_type(*names: str) -> np.ndarray:
    return cells().obs["cell_type"].isin(names).to_numpy()


def expresses(gene: str) -> np.ndarray:
    return cells()[:, gene].X.toarray().ravel() > 0


def share(of: np.ndarray, among: np.ndarray) -> list[str]:
    """The three numbers of a fraction, as an answer gives them."""
    return [f"{100 * (of & among).sum() / among.sum():.1f} %", f"{(of & among).sum()} of {among.sum()}"]


def percents(of: np.ndarray, among: np.ndarray) -> list[str]:
    """Shares inside a group and outside."""
    return [f"{100 * of[rows].mean():.1f} %" for rows in (among, ~among)]


def most_often(gene: str) -> str:
    return pd.Series(expresses(gene)).groupby(cells().obs["cell_type"].to_numpy()).mean().idxmax()


# What the answer must hold, computed; None where nothing can be said.
Truth = Callable[[], list[str]]
CELLS: dict[str, Truth | None] = {
    "How many cells are there?": lambda: [str(cells().n_obs)],
    "How many T cells are there?": lambda: [str(is_type(*T_CELLS).sum())],
    "How many B cells are there?": lambda: [str(is_type("B").sum())],
    "How many cells express FOXP3?": lambda: [str(expresses("FOXP3").sum())],
    "Which fraction of B cells expresses MS4A1?": lambda: share(expresses("MS4A1"), is_type("B")),
    "What fraction of NK cells express NKG7?": lambda: share(expresses("NKG7"), is_type("NK")),
    "How many cells per cell type?": lambda: [
        f"{name}: {n} cells" for name, n in list(cells().obs["cell_type"].value_counts().items())[:8]
    ],
    "Which cell type is the most common?": lambda: [str(cells().obs["cell_type"].value_counts().index[0])],
    "Where is PPBP expressed?": lambda: [f"cell_type {most_often('PPBP')}: the highest"],
    "Which cell type expresses IL7R most often?": lambda: [f"cell_type {most_often('IL7R')}: the highest"],
    "Which genes mark NK cells?": lambda: ["GNLY", *percents(expresses("GNLY"), is_type("NK"))],
    "What is a natural killer cell?": lambda: ["CL:0000623", "lymphoc"],
    "Does ABCXYZ9 mark B cells?": None,
    "Write me a poem about the sea": None,
}
MOLECULES: dict[str, list[str]] = {
    "What is the molecular weight of caffeine?": ["194.19"],  # C8H10N4O2
    "How many molecules are there?": ["8"],
    "Which is the heaviest?": ["naproxen", "230.26"],
    "What is the formula of aspirin?": ["C9H8O4"],
}
PROTEINS: dict[str, list[str]] = {
    "How long is ubiquitin?": ["76"],
    "Which is the longest?": ["lysozyme"],
}
VERBS: dict[str, Callable[[], Found]] = {}
SAYS_NOTHING = "not understood, so that nothing was computed"


def asked(make: Callable[[], Found]) -> Callable[[], Found]:
    """Put a scenario into the table, under the name of its function."""
    VERBS[make.__name__] = make
    return make


@asked
def ask_cells() -> Found:
    found = Found()
    for question in CELLS:
        answer = sb.tl.ask(cells(), question, groupby="cell_type", model=data.model())
        found.text[question] = {"text": answer.text, "kind": answer.kind, "computed": answer.computed}
        found.text[question]["evidence"] = plain(list(answer.evidence.columns))
    return found


@asked
def ask_sequences() -> Found:
    found = Found()
    for modality, adata, questions in (("molecule", molecules(), MOLECULES), ("protein", proteins(), PROTEINS)):
        for question in questions:
            answer = sb.tl.ask(adata, question, modality=modality, model=data.model())
            found.text[question] = {"text": answer.text, "kind": answer.kind, "computed": answer.computed}
    return found


@asked
def chat() -> Found:
    """A conversation: what was said before is known, and a stream joins to its answer."""
    talk = sb.Chat(cells(), groupby="cell_type", model=data.model())
    first = talk.ask("Which fraction of B cells expresses MS4A1?")
    second = talk.ask("And in NK cells?")
    stream = talk.stream("How many cells are there?")
    pieces = list(stream)
    assert "".join(pieces) == stream.answer.text
    talk.clear()
    return Found(
        {"answers": [first.text, second.text, stream.answer.text], "computed": [first.computed, second.computed]}
    )
