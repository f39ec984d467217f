"""Any representation already in `obsm` as an encoder: PCA, an scVI latent, a foundation model's tokens."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import scipy.sparse as sp

from .._slots import slot_of
from .._untrusted import refusing
from ..errors import InputError, MismatchError
from ..io import row_blocks
from ._registry import FORMAT_VERSION, read_config, register, whole_number, write_config

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..io import Cells

_ROWS = 65_536


@register("precomputed")
class PrecomputedEncoder:
    """Read `adata.obsm[key]`, (n, d) as one token a row or (n, k, d) as k tokens.

    Parameters
    ----------
    key
        Name in `obsm`.
    dim
        Width of one token, d.
    n_tokens
        Tokens a row, k.
    modality
        What a row is.
    """

    kind: str

    def __init__(self, key: str, *, dim: int, n_tokens: int = 1, modality: str = "cell") -> None:
        if dim < 1 or n_tokens < 1:
            raise InputError(f"dim and n_tokens must be positive; found {dim} and {n_tokens}")
        self.key, self.dim, self.n_tokens, self.modality = key, int(dim), int(n_tokens), modality
        self.name = f"precomputed:{key}"

    def __repr__(self) -> str:
        return f"PrecomputedEncoder({self.key!r}, dim={self.dim}, n_tokens={self.n_tokens}, modality={self.modality!r})"

    @classmethod
    def from_adata(cls, adata: AnnData, key: str, *, modality: str = "cell") -> PrecomputedEncoder:
        """Build the encoder that reads `adata.obsm[key]`, with its shape."""
        values = _array(adata, key)
        _, n_tokens, dim = _shape3(values)
        return cls(key, dim=dim, n_tokens=n_tokens, modality=modality)

    def fingerprint(self) -> str:
        """Sha256, in hex, of key and shape. The values are the user's: whether they changed is not known here."""
        return hashlib.sha256(json.dumps(self._config(), sort_keys=True).encode()).hexdigest()

    def _values(self, cells: Cells) -> Any:
        """Return the array, checked: (n_obs, d) or (n_obs, k, d), in memory or dask; `cells.key` names another one."""
        key = cells.key or self.key
        values = _array(cells.adata, key)
        _, n_tokens, dim = _shape3(values)
        if (n_tokens, dim) != (self.n_tokens, self.dim):
            raise MismatchError(
                f"adata.obsm[{key!r}] has {n_tokens} tokens of width {dim}; the model was made for {self.n_tokens} of "
                f"width {self.dim}. Compute the representation in the same way, or align a new model."
            )
        for rows in row_blocks(values, _ROWS):
            strange = ~np.isfinite(_memory(values[rows])).reshape(rows.stop - rows.start, -1).all(axis=1)
            if strange.any():
                row = rows.start + int(np.flatnonzero(strange)[0])
                raise InputError(f"adata.obsm[{key!r}] has NaN or infinite values, first in row {row}")
        return values

    def summary(self, cells: Cells) -> dict[str, Any]:
        """Plain values for the record in `uns`."""
        return {"use_rep": cells.key or self.key}

    def prepare(self, cells: Cells, rows: slice | NDArray[np.integer]) -> NDArray[np.floating]:
        """Read the rows of one batch."""
        return _memory(cells.once(self._values)[rows])

    def encode(self, batch: NDArray[np.floating]) -> NDArray[np.float32]:
        """Give the batch its shape: float32 (n, n_tokens, dim)."""
        return np.array(batch, dtype=np.float32).reshape(batch.shape[0], self.n_tokens, self.dim)

    def _config(self) -> dict[str, Any]:
        shape = {"key": self.key, "dim": self.dim, "n_tokens": self.n_tokens, "modality": self.modality}
        return {"kind": "precomputed", "version": FORMAT_VERSION, **shape}

    def save(self, folder: str | Path) -> Path:
        """Write `encoder.json` into `folder` and return it."""
        return write_config(folder, self._config())

    @classmethod
    def from_folder(cls, folder: str | Path) -> PrecomputedEncoder:
        """Read what :meth:`save` wrote; a :class:`WeightsError` where it is missing or damaged."""
        config = read_config(folder, needs=("key", "dim", "n_tokens"))
        with refusing(f"cannot read the encoder in {folder}"):
            sizes = {name: whole_number(config, name) for name in ("dim", "n_tokens")}
        return cls(str(config["key"]), modality=str(config.get("modality", "cell")), **sizes)


def _array(adata: AnnData, key: str) -> Any:
    values = slot_of(adata, "obsm", key, "Compute it first, or name another representation.")
    if isinstance(values, pd.DataFrame):
        values = values.to_numpy()
    elif sp.issparse(values):
        # Row slices of a sparse representation are made dense a batch at a time.
        values = sp.csr_array(values)
    if getattr(values, "dtype", np.dtype(object)).kind not in "biuf":
        raise InputError(
            f"adata.obsm[{key!r}] holds values of type {getattr(values, 'dtype', type(values))}, not numbers"
        )
    if values.ndim not in (2, 3) or 0 in values.shape:
        raise InputError(f"adata.obsm[{key!r}] has shape {values.shape}; expected (n, d) or (n, k, d) with values")
    return values


def _shape3(values: Any) -> tuple[int, int, int]:
    shape = tuple(map(int, values.shape))
    return (shape[0], 1, shape[1]) if len(shape) == 2 else (shape[0], shape[1], shape[2])


def _memory(block: Any) -> NDArray[np.floating]:
    if hasattr(block, "compute"):
        block = block.compute()
    return np.asarray(block.toarray() if sp.issparse(block) else block)
