"""Surface proteins measured on cells (CITE-seq) as one abundance-weighted protein embedding a cell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._device import place_encoder
from .._logging import logger
from .._slots import slot_of
from ..errors import InputError, MissingKeyError
from ..io import MatrixDigest, Source, row_blocks
from ._distinct import TextEncoder
from ._registry import digest

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..io import Cells

DEFAULT_KEY = "protein_expression"
_VERSION = "surface-clr-v1"
# What antibody panels add to a protein's name.
_DECORATION = re.compile(r"^(adt|ab|anti)[_-]|[_-](totalseq[a-d]?|adt|tag|prot)$", re.IGNORECASE)
_SHOWN = 8


def clr_weights(abundance: NDArray[np.floating]) -> NDArray[np.float64]:
    """Weights (n, m) of a cell's proteins: the positive part of the centred log-ratio, scaled to sum 1.

    clr = log1p(abundance) − its mean over the cell's proteins (Stoeckius et al. 2017, doi:10.1038/nmeth.4380). A
    protein at or below the cell's own average, where unspecific binding is, counts nothing. NaN for a cell without
    counts; even for a cell whose proteins are all equal.
    """
    logs = np.log1p(np.asarray(abundance, dtype=np.float64))
    positive = np.clip(logs - logs.mean(axis=1, keepdims=True), 0, None)
    total = positive.sum(axis=1, keepdims=True)
    even = np.full_like(positive, 1 / positive.shape[1])
    weights = np.where(total > 1e-12, positive / np.maximum(total, 1e-12), even)
    weights[~(logs > 0).any(axis=1)] = np.nan
    return weights


@dataclass(frozen=True, eq=False)
class SurfacePlan:
    """Measured proteins and the embeddings of those with a sequence."""

    abundance: Any  # (n_obs, m), in memory, sparse or dense
    used: NDArray[np.int64]  # int64 (u,), columns of `abundance` with a sequence
    table: NDArray[np.float32]  # float32 (u, dim), their embeddings
    source: str  # where the abundance was found
    unmatched: list[str]  # measured proteins without a sequence


class SurfaceBatch(NamedTuple):
    """Weights of some cells' proteins, and the proteins' embeddings."""

    weights: NDArray[np.float32]
    table: NDArray[np.float32]

    @property
    def n_missing(self) -> int:
        """Cells that get NaN on purpose: none of their proteins with a sequence stands out."""
        return int(np.isnan(self.weights).any(axis=1).sum())


class SurfaceProteinEncoder:
    """The mean of the embeddings of a cell's surface proteins, weighted by abundance.

    Weights are :func:`clr_weights` over all measured proteins, restricted to those with a sequence and scaled to sum 1.
    Each cell stands by itself. A cell without counts, or in which no protein with a sequence lies above the cell's
    average, gets NaN.

    Parameters
    ----------
    base
        Encoder of amino acid sequences.
    sequences
        Protein name → sequence. Names are compared with the measured ones exactly, then without case and without
        additions of antibody panels (`"CD3_TotalSeqB"` is `"CD3"`).

    Raises
    ------
    InputError
        `base` does not read protein sequences, or a sequence cannot be read.
    """

    modality: str = "protein"
    n_tokens: int = 1

    def __init__(self, base: Any, sequences: Mapping[str, str] | pd.Series) -> None:
        if not isinstance(base, TextEncoder) or base.modality != "protein":
            raise InputError(f"expected an encoder of amino acid sequences, found {base!r}")
        if not len(sequences):
            raise InputError("sequences is empty: pass protein name -> amino acid sequence")
        table = dict(sequences)
        names = list(map(str, table))
        cleaned = base.clean(list(map(str, table.values())))
        bad = [(name, problem) for name, (_, problem) in zip(names, cleaned, strict=True) if problem]
        if bad:
            raise InputError(f"{len(bad)} of {len(names)} sequences cannot be read: {bad[:_SHOWN]}")
        self.base, self.dim, self.name = base, base.dim, f"surface:{base.name}"
        self._sequences = {name: text for name, (text, _) in zip(names, cleaned, strict=True)}

    def to(self, device: str) -> Self:
        """Run the encoder of sequences on another device from now on; returns the encoder itself."""
        place_encoder(self.base, device)
        return self

    def __repr__(self) -> str:
        return f"SurfaceProteinEncoder({self.base!r}, {len(self._sequences)} sequences)"

    def fingerprint(self) -> str:
        """Sha256, in hex, of the base encoder, the sequences and the version of the weighting."""
        return digest(_VERSION, self.base.fingerprint(), self._sequences)

    def plan(self, cells: Cells) -> SurfacePlan:
        """Find the abundances, match their names and embed the matched sequences.

        They are `obsm[cells.key]`, a DataFrame, or an array with its names in `uns["protein_names"]`. Without a key
        `obsm["protein_expression"]` where that is there, else the matrix with the names in `var`.
        """
        abundance, names, source = _abundance(cells.adata, cells.key, cells.layer)
        values = abundance.data if sp.issparse(abundance) else abundance
        if values.size and not (np.isfinite(values).all() and values.min() >= 0):
            raise InputError(f"{source} holds negative or not finite values; counts of proteins are expected")
        exact = self._sequences
        loose = {_plain(name): text for name, text in self._sequences.items()}
        found = {i: exact.get(name) or loose.get(_plain(name), "") for i, name in enumerate(names)}
        used = np.array([i for i, text in found.items() if text], dtype=np.int64)
        unmatched = [names[i] for i, text in found.items() if not text]
        if not len(used):
            raise InputError(
                f"none of {len(names)} proteins in {source} has a sequence (measured: {names[:_SHOWN]}; "
                f"given: {list(exact)[:_SHOWN]})"
            )
        if unmatched:
            logger.info("%d of %d proteins have no sequence: %s", len(unmatched), len(names), unmatched[:_SHOWN])
        table = self.base.embed_texts([found[i] for i in used])
        return SurfacePlan(abundance, used, table, source, unmatched)

    def summary(self, cells: Cells) -> dict[str, Any]:
        """Plain values for the record in `uns`."""
        plan = cells.once(self.plan)
        n_proteins = len(plan.used)
        return {"source": plan.source, "n_proteins": n_proteins, "proteins_without_sequence": plan.unmatched}

    def input_digest(self, cells: Cells) -> str:
        """Digest of what is read: abundances and the proteins' names."""
        abundance, names, _ = _abundance(cells.adata, cells.key, cells.layer)
        found, source = MatrixDigest(names), Source(abundance)
        for rows in row_blocks(abundance, 4096):
            found.add(source.read(rows.start, rows.stop))
        return found.hexdigest()

    def prepare(self, cells: Cells, rows: slice | NDArray[np.integer]) -> SurfaceBatch:
        """Weigh the proteins of the cells `rows`."""
        plan = cells.once(self.plan)
        block = plan.abundance[rows]
        weights = clr_weights(np.asarray(block.toarray() if sp.issparse(block) else block))[:, plan.used]
        total = weights.sum(axis=1, keepdims=True)
        with np.errstate(invalid="ignore", divide="ignore"):
            return SurfaceBatch((weights / np.where(total > 0, total, np.nan)).astype(np.float32), plan.table)

    def encode(self, batch: SurfaceBatch) -> NDArray[np.float32]:
        """Average the embeddings: float32 (n, 1, dim)."""
        return (batch.weights @ batch.table)[:, None]


def _plain(name: str) -> str:
    return _DECORATION.sub("", name.strip()).lower()


def _abundance(adata: AnnData, key: str | None, layer: str | None) -> tuple[Any, list[str], str]:
    if key is None and DEFAULT_KEY not in adata.obsm:
        matrix = adata.X if layer is None else adata.layers.get(layer)
        if matrix is None:
            raise MissingKeyError(
                f"adata.obsm[{DEFAULT_KEY!r}] is missing (found: {sorted(adata.obsm) or 'nothing'}), so is the matrix"
            )
        return matrix, list(map(str, adata.var_names)), "X" if layer is None else f"layers/{layer}"
    key = key or DEFAULT_KEY
    values = slot_of(adata, "obsm", key, "Pass the name of the protein counts by key=.")
    if isinstance(values, pd.DataFrame):
        return values.to_numpy(), list(map(str, values.columns)), f"obsm/{key}"
    names = list(map(str, adata.uns.get("protein_names", [])))
    if len(names) != values.shape[1]:
        raise MissingKeyError(
            f"adata.obsm[{key!r}] has {values.shape[1]} columns without names: make it a DataFrame, or put their names "
            f"into adata.uns['protein_names'] (found: {len(names)})"
        )
    return values, names, f"obsm/{key}"
