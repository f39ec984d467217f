"""Marker genes of cell types, pooled from curated tables; how much each speaks for each of several candidates."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Collection, Container, Iterable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from ..errors import InputError
from ._read import read_columns, read_table
from .levels import lift
from .ontology import ORIGINS, TUMOURS, load_ontology, origins_left

Include = Literal["self", "ancestors", "descendants"]

SOURCES = {
    "P": "PanglaoDB",
    "C": "CellMarker 2.0",
    "T": "CellTypist encyclopaedia",
    "H": "HuBMAP ASCT+B",
    "A": "Azimuth references",
    "S": "Tabula Sapiens (through GPTCelltype and CASSIA)",
    "G": "other expert-labelled lists (through GPTCelltype and CASSIA)",
    "L": "papers, each named in markers_by_hand.tsv",
}
# What a gene counts that was written down from a paper: as one that a table has picked by hand.
BY_HAND = 1.5
_COLUMNS = ["cl_id", "gene", "weight", "sources", "n_sources"]
# `python -m benchmarks.markers` shows what each does to the share of right calls, left out or changed.
DESCENDANT = 0.5
ANCESTOR = 0.3
SHARED = 0.5
SHRINK = 0.3
# What a gene counts that the user gives for a label: as one that a table has picked by hand and for one type only.
GIVEN = 1.5
_AND = "|"


def load_markers() -> pd.DataFrame:
    r"""Load the bundled marker table.

    One row per (term, gene): `cl_id`; `gene` (approved symbol); `weight` (float); `sources` (codes, such as
    `"CPT"`); `n_sources`. Sorted by term, then by falling weight, then by gene.

    The weight is :math:`\sum_s q_s \cdot \log\frac{N+1}{u+1} / \log(N+1)`. Here :math:`q_s` is the strength of
    source :math:`s` (1 for a plain list, 1.5 for hand-picked markers, 0.75 for lists ranked by expression, and a
    quarter more for every doubling of the lists in which the source repeats it), :math:`N` is the number of terms and
    :math:`u` how many terms unrelated to this one share the gene: a marker of everything marks nothing.
    """
    return _load().copy()


@lru_cache(maxsize=1)
def _load() -> pd.DataFrame:
    cl_id, gene, strengths, unrelated = (np.array(column, dtype=object) for column in read_columns("markers.tsv.gz"))
    # Few distinct strings: parse each once.
    distinct, place = np.unique(strengths.astype(str), return_inverse=True)
    # "C5P4": the codes of the sources, and their strengths in quarters.
    codes = np.array([text[::2] for text in distinct], dtype=object)[place]
    strength = np.array([sum(map(int, text[1::2])) / 4 for text in distinct])[place]
    n_terms = np.unique(cl_id.astype(str)).size
    share = 1 - np.log(unrelated.astype(float) + 1) / math.log(n_terms + 1)
    frame = pd.DataFrame({"cl_id": cl_id, "gene": gene, "weight": strength * share, "sources": codes})
    frame = pd.concat([frame, _by_hand(frame, n_terms)], ignore_index=True)
    frame["n_sources"] = frame["sources"].str.len()
    order = np.lexsort((frame["gene"].astype(str), -frame["weight"], frame["cl_id"].astype(str)))
    return frame.iloc[order].reset_index(drop=True)


def _by_hand(pooled: pd.DataFrame, n_terms: int) -> pd.DataFrame:
    """Markers written down from papers, of types that the pooled tables know few of, beside what is `pooled`.

    The weights of the pooled tables stay as they are, whatever is written here.
    """
    ontology, held = load_ontology(), set(zip(pooled["cl_id"], pooled["gene"], strict=True))
    pairs = [(cl_id, gene) for cl_id, _, genes, _ in read_table("markers_by_hand.tsv") for gene in genes.split()]
    terms = pd.concat([pooled[["cl_id", "gene"]], pd.DataFrame(pairs, columns=["cl_id", "gene"])]).drop_duplicates()
    of_gene = terms.groupby("gene")["cl_id"].apply(list)
    rows = []
    for cl_id, gene in dict.fromkeys(pairs):
        if (cl_id, gene) not in held:
            unrelated = sum(not ontology.related(cl_id, other) for other in of_gene[gene])
            share = 1 - math.log(unrelated + 1) / math.log(n_terms + 1)
            rows.append({"cl_id": cl_id, "gene": gene, "weight": BY_HAND * share, "sources": "L"})
    return pd.DataFrame(rows)


@lru_cache(maxsize=1)
def _spans() -> dict[str, tuple[int, int]]:
    """First row of each term in the marker table, and the row after its last."""
    ids = _load()["cl_id"].to_numpy()
    starts = np.flatnonzero(np.r_[True, ids[1:] != ids[:-1]])
    ends = np.r_[starts[1:], ids.size]
    return {str(ids[start]): (int(start), int(end)) for start, end in zip(starts, ends, strict=True)}


@lru_cache(maxsize=1)
def _columns() -> tuple[NDArray[np.object_], NDArray[np.intp], NDArray[np.float64]]:
    """Each row's gene, its number in the alphabet, and its weight."""
    genes = _load()["gene"]
    numbers = np.unique(genes.astype(str), return_inverse=True)[1]
    return genes.to_numpy(dtype=object), numbers, _load()["weight"].to_numpy()


def markers_for(cl_id: str, *, include: Include = "self", max_genes: int | None = None) -> pd.DataFrame:
    """Markers of one term, and with `include` of its ancestors or descendants; at most `max_genes`.

    Columns of :func:`load_markers` and `kind` (`"self"`, `"ancestor"` or `"descendant"`), one row per gene: its own
    markers first by falling weight, then those of the others, of which the nearest term that lists a gene counts.
    """
    rows, other = _ranked(cl_id, include, max_genes)
    found = _load().iloc[rows].reset_index(drop=True)
    found["kind"] = np.where(other, include.removesuffix("s"), "self").astype(object)
    return found


def marker_genes(
    cl_id: str, *, include: Include = "self", max_genes: int | None = None, by_hand: bool = True
) -> list[str]:
    """Return the genes of :func:`markers_for`, in its order, without the table around them.

    Without `by_hand`, those of the pooled tables alone.
    """
    return list(_columns()[0][_ranked(cl_id, include, max_genes, by_hand)[0]])


def _ranked(
    cl_id: str, include: Include, max_genes: int | None, by_hand: bool = True
) -> tuple[NDArray[np.intp], NDArray[np.bool_]]:
    """Rows of the marker table in the order of :func:`markers_for`, and which are another term's."""
    ontology = load_ontology()
    ontology.term(cl_id)
    others: dict[str, Callable[[str], tuple[str, ...]]] = {
        "self": lambda _: (), "ancestors": ontology.ancestors, "descendants": ontology.descendants,
    }  # fmt: skip
    if include not in others:
        raise InputError(f"include={include!r}; choose {', '.join(map(repr, others))}.")
    spans = _spans()
    present = [one for one in (cl_id, *others[include](cl_id)) if one in spans]
    rows = np.concatenate([np.arange(*spans[one]) for one in present]) if present else np.array([], dtype=int)
    if not by_hand:
        rows = rows[_load()["sources"].to_numpy()[rows] != "L"]
    _, codes, weights = _columns()
    # Terms come nearest first, so the first row of a gene is that of the nearest term.
    rows = rows[np.sort(np.unique(codes[rows], return_index=True)[1])]
    start, end = spans.get(cl_id, (0, 0))
    other = (rows < start) | (rows >= end)
    order = np.lexsort((codes[rows], -weights[rows], other))[:max_genes]
    return rows[order], other[order]


# Looked up in a table of all markers; the same claims come up for each label and test.
@lru_cache(maxsize=1 << 14)
def source_names(cl_id: str, gene: str) -> str:
    """Names of the tables that list a gene for a term, such as `"PanglaoDB, CellMarker 2.0"`; empty for none."""
    start, end = _spans().get(cl_id, (0, 0))
    part = _load().iloc[start:end]
    codes = part.loc[part["gene"] == gene, "sources"]
    return ", ".join(SOURCES[code] for code in codes.iloc[0]) if len(codes) else ""


@lru_cache(maxsize=2)
def _listed(by: Literal["cl_id", "gene"]) -> dict[str, list[tuple[str, float]]]:
    """Genes of each term, or terms of each gene, with their weights."""
    found: dict[str, list[tuple[str, float]]] = defaultdict(list)
    other = {"cl_id": "gene", "gene": "cl_id"}[by]
    for one, listed, weight in _load()[[by, other, "weight"]].itertuples(index=False, name=None):
        found[one].append((listed, weight))
    return dict(found)


@lru_cache(maxsize=65536)
def _marks_a_sibling(gene: str, ancestor: str, cl_id: str) -> bool:
    """Whether a marker of an ancestor of a term speaks for another of its branches rather than for the term.

    CD3D is listed for lymphocytes, but it marks T cells more: it is no reason to call a cell a B cell.
    """
    ontology = load_ontology()
    listed = _listed("gene").get(gene, [])
    own = max((weight for one, weight in listed if one == ancestor), default=0.0)
    return any(
        weight > own and ontology.is_ancestor(ancestor, one) and not ontology.related(one, cl_id)
        for one, weight in listed
    )


def known_markers(cl_ids: Iterable[str | None], measured: Container[str], most: int) -> list[list[str]]:
    """Return the strongest markers of each of some terms, of genes that are `measured`; none of None."""
    every = (marker_genes(one) if one else [] for one in cl_ids)
    return [[gene for gene in genes if gene in measured][:most] for genes in every]


def markers_to_test(
    cl_ids: Iterable[str | None], measured: Collection[str], *, own: int, of_ancestor: int
) -> list[pd.DataFrame]:
    """Return the markers of each of some terms by which cells called so are tested, of genes that are `measured`.

    The `own` strongest of the term and the `of_ancestor` strongest of each of its ancestors, but for those that mark
    one of the term's siblings more; of tumour cells, which no gene marks, those of the types that they can come from.
    Columns `gene`, `kind` (`"self"`, `"ancestor"` or `"origin"`), `cl_id` (the term whose marker it is) and `weight`;
    no rows for what is no term.
    """
    found, ontology = [], load_ontology()
    for cl_id in cl_ids:
        known = bool(cl_id) and cl_id in ontology
        every = _tested_markers(str(cl_id)) if known else _load().head(0).assign(kind=pd.Series(dtype=object))
        table = every[every["gene"].isin(measured)]
        if cl_id in TUMOURS:  # a gene that several types of origin have counts for the one it marks most
            table = table.drop_duplicates("gene")
        most = np.where(table["kind"] == "self", own, of_ancestor)
        found.append(table.loc[table.groupby("cl_id").cumcount() < most, ["gene", "kind", "cl_id", "weight"]])
    return found


def _tested_markers(cl_id: str) -> pd.DataFrame:
    """Markers of a term and its ancestors, measured or not, that speak for it rather than for a sibling."""
    if cl_id in TUMOURS:
        every = pd.concat(list(map(markers_for, ORIGINS))).sort_values("weight", ascending=False, kind="stable")
        return every.assign(kind="origin")
    every = markers_for(cl_id, include="ancestors")
    of_others = [
        kind == "ancestor" and _marks_a_sibling(gene, of, cl_id)
        for gene, of, kind in every[["gene", "cl_id", "kind"]].itertuples(index=False)
    ]
    return every[~np.array(of_others, dtype=bool)]


def evidence_key(cl_id: str | None, genes: Sequence[str]) -> str | None:
    """Name a candidate together with marker genes that a user gave for it, for :func:`marker_weights`."""
    return _AND.join((cl_id or "", *genes)) if genes else cl_id


def term_of(key: str | None) -> str:
    """Return the Cell Ontology id in what :func:`evidence_key` gives, "" where there is none."""
    return (key or "").partition(_AND)[0]


def broad_kinds(keys: Sequence[str | None]) -> list[str]:
    """Broad type of the term in each of some keys; genes alone are of their own."""
    return [lift(term, "broad") if (term := term_of(key)) else str(key) for key in keys]


def marker_weights(cl_ids: Sequence[str | None], genes: Sequence[str]) -> sp.csr_array:
    """Weights that turn a cell's z-scores into marker evidence for each candidate.

    A candidate has its own markers by their table weight, those of its descendants and ancestors at a discount (but not
    those of another candidate), less a share of the gene's mean weight over the other candidates: a marker of all of
    them tells little. Tumour cells, which no gene marks, have the markers of the types that they can come from and that
    no other candidate is or holds (see :mod:`.ontology`), at the discount of descendants. Each row is divided by its
    Euclidean length plus :data:`SHRINK`. The weighted sum of z-scores is then itself in standard deviations, as if the
    genes were independent: many markers that are a little up say more than one that is, as in Stouffer's test with
    weights. (A mean of z-scores, which divides by the sum, calls fewer cells right: `benchmarks.markers`.)

    `cl_ids` are m candidates, None for one that is no ontology term and so has no markers; for one with genes of its
    own, what :func:`evidence_key` gives. `genes` are G measured ones, approved symbols. Returns float32 CSR (m, G),
    non-negative; the row of a candidate without a measured marker is empty.
    """
    ontology, known = load_ontology(), _listed("cl_id")
    column = {gene: i for i, gene in enumerate(genes)}
    split = [(cl_id or "").split(_AND) for cl_id in cl_ids]
    candidates = {cl_id or None for cl_id, *_ in split}
    rows: list[dict[int, float]] = []
    for cl_id, *given in split:
        row = {column[gene]: GIVEN for gene in given if gene in column}
        rows.append(row)
        if cl_id not in ontology:
            continue
        kin = {cl_id: 1.0} | dict.fromkeys(ontology.descendants(cl_id), DESCENDANT)
        kin |= dict.fromkeys(ontology.ancestors(cl_id), ANCESTOR)
        kin |= dict.fromkeys(origins_left(candidates) if cl_id in TUMOURS else (), DESCENDANT)
        # Markers of a narrower candidate speak for that one, not for what holds it.
        for narrower in candidates - {cl_id}:
            kin.pop(narrower or "", None)
        for term, factor in kin.items():
            for gene, weight in known.get(term, ()):
                if (at := column.get(gene)) is not None:
                    row[at] = max(row.get(at, 0.0), factor * weight)
    matrix = sp.csr_array(
        (
            np.array([value for row in rows for value in row.values()], dtype=np.float64),
            np.array([at for row in rows for at in row], dtype=np.int64),
            np.cumsum([0, *map(len, rows)]),
        ),
        shape=(len(rows), len(genes)),
    )
    if len(rows) > 1:
        total = np.asarray(matrix.sum(axis=0)).ravel()
        others = (total[matrix.indices] - matrix.data) / (len(rows) - 1)
        matrix.data = np.clip(matrix.data - SHARED * others, 0.0, None)
    matrix.eliminate_zeros()
    lengths = np.sqrt(np.asarray(matrix.power(2).sum(axis=1)).ravel())
    matrix.data /= np.repeat(lengths + SHRINK, np.diff(matrix.indptr))
    matrix.sort_indices()
    return matrix.astype(np.float32)
