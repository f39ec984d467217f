"""Cells: what was measured in them, which type their labels mean, and what sets groups apart."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse
from scipy.special import ndtr

from .._slots import read_record
from ..errors import InputError, MissingKeyError
from ..io import Cells as Matrix
from ..io import gene_names, matrix_name, to_counts_like
from ..io._genes import claims_of
from ..knowledge import load_ontology, resolve_label
from ..knowledge.ontology import KEPT_APART
from .rows import Rows

if TYPE_CHECKING:
    from collections.abc import Set

    from anndata import AnnData
    from numpy.typing import NDArray

# Columns of quality that need no preparation: named as scanpy's calculate_qc_metrics does.
COMPUTED = ("n_genes_by_counts", "total_counts", "pct_counts_mt")
# Without the word "cell" most names of types are also words ("tumour", "heart", "alpha", "windows").
CELL_NOUN = re.compile(
    r"(?i:(?:cyte|blast|clast|phage|phil|neuron|platelet|killer|glia|mono)s?$|\bcells?\b)|^[TB]$|[A-Z].*[A-Z]|^Tregs?$"
)
_OF_TYPES = re.compile(r"type|label|annot|ident|class|bioverse", re.IGNORECASE)
_NO_TYPE = frozenset(
    ["unknown", "unassigned", "nan", "none", "", "other", "others", "doublet", "doublets", "unlabelled"]
)
# A label is meant to name a type: the resolver's rules are trusted further than for words of a question.
_LEAST_LABEL = 0.5
# Two types share cells where so much of the kinds of one are kinds of the other: fewer are kinds of some organ.
_SHARED = 0.1
_DEPTH, _PSEUDO = 1e4, 0.1
_LOGS = {2.0: "log2", 10.0: "log10"}
# What a marker must show: cells that express it, fold change (log2), and a p beyond that of all genes tested.
LEAST_FRACTION, LEAST_CHANGE, LARGEST_P = 0.2, 1.0, 0.01


class Cells(Rows):
    """Cells with a matrix of expression in `layer` and gene names in `key`, as for :func:`scbioverse.tl.annotate`."""

    def __init__(self, adata: AnnData, *, layer: str | None = None, key: str | None = None, **options: Any) -> None:
        super().__init__(adata, **options)
        self.matrix = Matrix.of(adata, layer, key)
        self._fault: InputError | None = None
        # An option that names nothing is an error of the call, whatever is asked.
        self.names = gene_names(adata, key=key, layer=layer)

    # ---------------------------------------------------------------- genes

    @cached_property
    def unmeasured(self) -> str:
        """What to say of genes where each cell is a list of them."""
        said = "Each row is a list of genes: 'expressed' says that a gene is listed, values are made up from its rank."
        return said if self.matrix.unlisted else ""

    @cached_property
    def scale(self) -> str:
        """What to say of values of genes: on which scale they are, as :mod:`scbioverse.io` reads the matrix."""
        if self.unmeasured:
            return ""
        base = self.readable().info.log_base
        if base is not None:
            return f"Values of genes are log-normalised ({_LOGS.get(base, 'natural-log')} of 1 + x)."
        return f"Values of genes are {'raw counts' if self.holds_counts else 'linear values, no whole counts'}."

    @cached_property
    def genes(self) -> dict[str, int]:
        """Column of each gene, by its approved symbol and by its name in the data."""
        try:
            found = self.matrix.gene_columns(min_genes=0)
        except InputError as error:  # of a matrix that cannot be read, names can still be told
            self._fault = error
            found = {symbol: min(claims).column for symbol, claims in claims_of(self.names).items()}
        return {name: i for i, name in reversed(list(enumerate(self.names))) if name} | found

    def readable(self) -> Matrix:
        """Return the matrix; raise an InputError where it was found to be none of expression, or names repeat."""
        if self.genes is not None and self._fault is not None:  # the genes are looked up first: this checks it
            raise InputError(str(self._fault)) from self._fault
        return self.matrix

    def measured(self, kind: str, name: str) -> NDArray[np.float64]:
        """Read a gene's values, or work out a column of quality."""
        if kind == "gene" and name in self.genes:
            parts = [block.toarray() for _, block in self.readable().blocks(columns=[self.genes[name]])]
            return self._checked(np.concatenate(parts).astype(np.float64).ravel())
        if kind == "qc" and name in COMPUTED:
            return self._quality[name]
        return super().measured(kind, name)

    def _checked(self, values: NDArray[Any]) -> NDArray[Any]:
        if values.size and not (np.isfinite(values).all() and values.min() >= 0):
            raise InputError(
                f"{matrix_name(self.matrix.layer)} holds negative or missing values, so that no cell can be said to "
                "express a gene: pass layer= with counts or log-normalised values."
            )
        return values

    @cached_property
    def holds_counts(self) -> bool:
        """Whether the matrix holds whole numbers only."""
        try:
            return bool(self._quality)
        except InputError:
            return False

    @cached_property
    def _quality(self) -> dict[str, NDArray[np.float64]]:
        mito = np.array([name.upper().startswith("MT-") for name in self.names])
        parts = []
        for _, block in self.readable().blocks():
            if not np.array_equal(self._checked(block.data), np.round(block.data)):
                raise InputError(f"{matrix_name(self.matrix.layer)} holds no counts: sums of them are not known.")
            parts.append([np.ravel(one.sum(axis=1)) for one in (block > 0, block, block[:, mito])])
        genes, total, of_mito = np.concatenate(parts, axis=1, dtype=np.float64)
        with np.errstate(invalid="ignore"):
            return dict(zip(COMPUTED, (genes, total, 100 * of_mito / total), strict=True))

    def profiles(
        self, codes: NDArray[np.integer], n: int, *, scaled: bool = True
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Cells that express each gene and the sum of expression per 10,000, of n groups, (n, n_genes) each.

        `codes` (n_obs,) says the group of each cell, -1 for none. Not `scaled`: the sum of the values as they are.
        """
        cells, sums = np.zeros((n, len(self.names))), np.zeros((n, len(self.names)))
        for rows, whole in self.readable().blocks():
            held = codes[rows]
            inside = np.flatnonzero(held >= 0)
            if not inside.size:
                continue
            block = sparse.csr_array(whole)[inside].astype(np.float64)
            self._checked(block.data)
            levels = self._levels(block) if scaled else block
            member = sparse.csr_array((np.ones(inside.size), (held[inside], np.arange(inside.size))), (n, inside.size))
            cells += (member @ (block > 0).astype(np.float64)).toarray()
            sums += (member @ levels).toarray()
        return cells, sums

    def _levels(self, block: sparse.csr_array) -> sparse.csr_array:
        # One decision on the scale for all of the matrix: a block by itself may look otherwise.
        levels = sparse.csr_array(to_counts_like(block, self.matrix.info), dtype=np.float64)
        totals = np.asarray(levels.sum(axis=1)).ravel()
        return sparse.csr_array(sparse.diags_array(_DEPTH / np.where(totals > 0, totals, 1)) @ levels)

    def totals(self, mask: NDArray[np.bool_]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Sum of the values of each gene in some cells, and how many of these express it, (n_genes,) each."""
        cells, sums = self.profiles(np.where(mask, 0, -1), 1, scaled=False)
        return sums[0], cells[0].astype(np.int64)

    def markers(self, inside: NDArray[np.bool_], outside: NDArray[np.bool_]) -> pd.DataFrame:
        """Genes that are higher in some cells than in others, the clearest first.

        Expressed by at least a fifth of the cells inside, by a larger share of them than outside, with at least twice
        the expression per 10,000, and a one-sided z test of the two shares with p < 0.01 / number of genes. Ordered by
        the difference of the shares times the log2 fold change. No cell is in both masks, bool (n_obs,).
        """
        cells, sums = self.profiles(np.where(inside, 0, np.where(outside, 1, -1)), 2)
        n = np.array([inside.sum(), outside.sum()], dtype=np.float64)
        shares, means = cells / n[:, None], sums / n[:, None]
        change = np.log2(means[0] + _PSEUDO) - np.log2(means[1] + _PSEUDO)
        pooled = cells.sum(axis=0) / n.sum()
        spread = np.sqrt(np.maximum(pooled * (1 - pooled) * (1 / n).sum(), 1e-12))
        p = ndtr((shares[1] - shares[0]) / spread)
        table = pd.DataFrame(
            {"gene": self.names, "fraction_in": shares[0], "fraction_out": shares[1], "log_fold_change": change, "p": p}
        )
        fits = (shares[0] >= LEAST_FRACTION) & (change >= LEAST_CHANGE) & (p < LARGEST_P / max(len(self.names), 1))
        table["strength"] = (shares[0] - shares[1]) * change
        clearest = table[fits].sort_values(["strength", "gene"], ascending=[False, True]).drop_duplicates("gene")
        return clearest.drop(columns="strength").reset_index(drop=True)

    @cached_property
    def changed(self) -> str:
        """Say that the matrix is not the one that the labels were made from; read once a conversation."""
        from ..predict.embedding import embed_step

        try:
            record = read_record(self.adata, embed_step(self.slots))
            now = Matrix.of(self.adata, record.get("layer"), record.get("key")).info.digest
        except (InputError, MissingKeyError, ValueError):
            return ""
        # Other encoders read other things: of theirs nothing is said.
        if "panel_share" not in record or record.get("input_digest") in (None, "", now):
            return ""
        return (
            f"The matrix, or its rows, have changed since obs[{self.slots.label!r}] was made from them: run "
            "scbioverse.tl.annotate(adata) again to be sure of the labels."
        )

    # ---------------------------------------------------------------- types

    @cached_property
    def types(self) -> dict[str, dict[str, str]]:
        """Cell Ontology id of each value, of the columns whose values are names of cell types.

        Half of the values must be read, and where the column is not called as if it held types, as names of cells:
        "blood" in a column of tissues is no blood cell.
        """
        found = {}
        for column in self.columns:
            names = self._labels(column)
            known = {one: hit for one in names if (hit := cell_type(one, _LEAST_LABEL))}
            named = known if _OF_TYPES.search(column) else list(filter(CELL_NOUN.search, known))
            if known and 2 * len(named) >= len(names):
                found[column] = known
        return found

    def unread(self, column: str) -> list[str]:
        """Values of a column of types that are read as none."""
        return [one for one in self._labels(column) if one not in self.types[column]]

    def _labels(self, column: str) -> list[str]:
        return [one for one in self.groups(column).names if one.strip().lower() not in _NO_TYPE]

    def kinds(self, column: str, cl_id: str) -> tuple[list[str], list[str]]:
        """Values of a column that name a type or a kind of it, and values of which some cells may be of it."""
        ontology, known = load_ontology(), self.types[column]
        below = {cl_id, *ontology.descendants(cl_id)}
        inside = [one for one, own in known.items() if own in below and ontology.overlaps(own, cl_id)]
        apart = {other for pair in KEPT_APART if cl_id in pair for other in pair}
        others = {one: {own, *ontology.descendants(own)} for one, own in known.items() if own not in below | apart}
        maybe = [one for one, kinds in others.items() if _shared(below, kinds) >= _SHARED]
        if not inside and not maybe:
            # Terms of one kind may share cells though the ontology has no term for these: CD8 T cells are the cytotoxic
            # T cells, and neither is a kind of the other.
            kind = _kind(ontology.term(cl_id).label)
            maybe = [one for one, own in known.items() if _kind(ontology.term(own).label) == kind]
        return inside, maybe


def _shared(kinds: Set[str], others: Set[str]) -> float:
    """Share of the kinds of one type that are kinds of another, of the one with fewer of its own."""
    return len(kinds & others) / min(len(kinds), len(others))


def _kind(label: str) -> str:
    """Return the last word of a term's label, or the last two: "T cell", "neuron"."""
    words = label.split()
    return " ".join(words[-2:] if words[-1] == "cell" else words[-1:])


def cell_type(name: str, least: float = 0.9) -> str | None:
    """Return the Cell Ontology id that a name stands for, beyond doubt unless less is asked for."""
    found = resolve_label(name)
    return found.cl_id if found.cl_id is not None and found.score >= least else None
