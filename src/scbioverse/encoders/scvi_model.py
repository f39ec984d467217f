"""The latent space of an scvi-tools model (Lopez et al., Nature Methods 15, 1053-1058, 2018) as an encoder."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from .._logging import logger
from .._warn import warn
from ..errors import InputError, MissingKeyError
from ..io import var_of
from ._config_file import read_config, write_config
from ._registry import register
from ._scvi_parts import ScviParts, quiet

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..io import Cells

__all__ = ["ScviEncoder", "ScviPlan"]

# Below this share of reference genes scvi-tools warns, and so does this encoder.
GOOD_SHARE = 0.8


class ScviPlan(NamedTuple):
    """Where the model's genes and covariates are in a data set."""

    columns: NDArray[np.int64]  # (m,): columns of the data set that are reference genes
    places: NDArray[np.int64]  # (m,): their places among the reference genes
    covariates: dict[str, NDArray[Any]]  # by scvi-tools' names: codes and numbers, (n_obs, k)


class ScviBatch(NamedTuple):
    """Cells as the model's network expects them."""

    tensors: dict[str, torch.Tensor]  # by scvi-tools' names, (n, ...): counts and covariates
    n_empty: int  # cells without counts in the reference genes


@register("scvi")
class ScviEncoder:
    """Mean of an SCVI or SCANVI model's posterior, float32 (n, 1, n_latent).

    The model's weights are copied: training it on does not change the encoder. Query data are mapped as scvi-tools'
    `prepare_query_anndata` does: genes by their exact names, in the model's order, those not measured filled with
    zeros.

    Where the model's encoder does not read covariates (scvi-tools' default), batches it never saw can be embedded.
    Where it does (`encode_covariates=True`), the batch column must be in `obs` with batches that it knows.

    Parameters
    ----------
    model
        A trained `scvi.model.SCVI` or `scvi.model.SCANVI`, or its parts.
    name
        Name shown in records; `"scvi"` or `"scanvi"` if not given.

    Raises
    ------
    InputError
        The model is of another class, not trained, or draws its latent space at random.
    OptionalDependencyError
        scvi-tools is not installed.
    """

    kind: str
    modality: str = "cell"
    n_tokens: int = 1

    def __init__(self, model: Any, *, name: str | None = None) -> None:
        self.parts = model if isinstance(model, ScviParts) else ScviParts.of_model(model)
        self.name = name or self.parts.class_name.lower()
        self._model = self.parts.build()
        if getattr(self._model.module, "latent_distribution", "normal") == "ln":
            raise InputError("the model's latent space (latent_distribution='ln') is drawn at random for every cell.")
        self.dim = int(self._model.module.n_latent)
        self._fingerprint: str | None = None

    def __repr__(self) -> str:
        return f"ScviEncoder({self.name!r}, {self.parts.class_name}, {len(self.parts.genes)} genes, dim {self.dim})"

    @classmethod
    def load(cls, folder: str | Path, *, name: str | None = None) -> ScviEncoder:
        """Read the folder that scvi-tools' `model.save` wrote; its AnnData is not needed, no code in it is run."""
        return cls(ScviParts.of_folder(Path(folder).expanduser()), name=name)

    def fingerprint(self) -> str:
        """Sha256, in hex, of weights, genes and settings."""
        if self._fingerprint is None:
            self._fingerprint = self.parts.fingerprint()
        return self._fingerprint

    def plan(self, cells: Cells) -> ScviPlan:
        """Check the matrix, which must hold raw counts, map the genes and find the covariates.

        Warns where less than 80 % of the reference genes are there.
        """
        columns, places = self._map_genes(cells)
        info = cells.info
        if info.scale == "log" and getattr(self._model.module, "gene_likelihood", "") != "normal":
            raise InputError(
                f"{cells.hints.name} holds logarithms ({info.evidence}); the model was trained on counts. Pass them as "
                "layer=, or layer='raw' if adata.raw has them."
            )
        n_found, n_reference = columns.size, len(self.parts.genes)
        logger.info(
            "%d of %d reference genes found (%.1f %%), %d filled with zeros; %s",
            n_found, n_reference, 100 * n_found / n_reference, n_reference - n_found, info.describe(),
        )  # fmt: skip
        return ScviPlan(columns, places, self._covariates(cells.adata))

    def summary(self, cells: Cells) -> dict[str, Any]:
        """Plain values for the record in `uns`."""
        n_found, n_reference = int(cells.once(self.plan).columns.size), len(self.parts.genes)
        return {"n_genes": n_found, "n_genes_reference": n_reference, "share": round(n_found / n_reference, 6)}

    def _map_genes(self, cells: Cells) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        reference = pd.Index(self.parts.genes)
        names = pd.Index(cells.names)
        places = reference.get_indexer(names)
        found = names[places >= 0]
        if found.has_duplicates:
            twice = found[found.duplicated()].unique()
            raise InputError(f"{len(twice)} reference genes occur more than once in the data: {list(twice[:5])}.")
        if not len(found):
            var = var_of(cells.adata, cells.layer)
            better = [str(name) for name in var.columns if reference.isin(var[name].astype(str)).any()]
            raise InputError(
                f"none of the {len(reference)} reference genes is in the data: it has {list(names[:3])}, the model "
                f"{list(reference[:3])}. Names must be equal."
                + (f" adata.var has names that are: pass key={better[0]!r}." if cells.key is None and better else "")
            )
        if len(found) < GOOD_SHARE * len(reference):
            warn(
                f"only {len(found)} of {len(reference)} reference genes ({len(found) / len(reference):.0%}) are in the "
                "data; the others are filled with zeros, and the embedding may be poor."
            )
        columns = np.flatnonzero(places >= 0)
        return columns, places[columns].astype(np.int64)

    def _covariates(self, adata: AnnData) -> dict[str, NDArray[Any]]:
        """Read what the network wants besides counts; stand-ins where its encoder does not look at them."""
        setup, categories = self.parts.setup, self.parts.categories()
        reads = bool(getattr(self._model.module, "encode_covariates", False))

        def codes(name: str) -> NDArray[np.int64]:
            if not reads:
                return np.zeros(adata.n_obs, dtype=np.int64)
            known = pd.Index(categories[name])
            values = _column(adata, name)
            # Categories may have become text in a file while the model knows them as numbers.
            found = (
                known.get_indexer(values) if values.isin(known).all() else known.map(str).get_indexer(values.map(str))
            )
            if (found < 0).any():
                unknown = sorted(set(values[found < 0]), key=str)
                raise InputError(
                    f"adata.obs[{name!r}] has categories that the model's encoder does not know: {unknown[:5]}. It "
                    f"knows {list(known[:5])}. Train it on them with scvi-tools' load_query_data first."
                )
            return found.astype(np.int64)

        def numbers(name: str) -> NDArray[np.float32]:
            return _column(adata, name).to_numpy(np.float32) if reads else np.zeros(adata.n_obs, dtype=np.float32)

        batch, none = setup.get("batch_key"), np.zeros(adata.n_obs, dtype=np.int64)
        # Labels and size factors are the decoder's.
        found = {"batch": (none if batch is None else codes(batch))[:, None], "labels": none[:, None]}
        if setup.get("categorical_covariate_keys"):
            names = setup["categorical_covariate_keys"]
            found["extra_categorical_covs"] = np.stack([codes(name) for name in names], axis=1)
        if setup.get("continuous_covariate_keys"):
            names = setup["continuous_covariate_keys"]
            found["extra_continuous_covs"] = np.stack([numbers(name) for name in names], axis=1)
        return found

    def input_digest(self, cells: Cells) -> str:
        """Digest of what is read: matrix, names of genes and covariates."""
        found = hashlib.blake2b(cells.info.digest.encode(), digest_size=16)
        for name, values in sorted(self._covariates(cells.adata).items()):
            found.update(f"{name}{values.dtype}{values.shape}".encode())
            found.update(np.ascontiguousarray(values).tobytes())
        return found.hexdigest()

    def prepare(self, cells: Cells, rows: slice | NDArray[np.integer]) -> ScviBatch:
        """Put the counts of the cells `rows` where the model has its genes."""
        plan = cells.once(self.plan)
        block = sp.coo_array(cells.read(rows, plan.columns).astype(np.float32))
        shape = (block.shape[0], len(self.parts.genes))
        row, column = block.coords
        counts = np.zeros(shape, dtype=np.float32)
        counts[row, plan.places[column]] = block.data
        tensors = {"X": torch.from_numpy(counts)}
        tensors |= {name: torch.from_numpy(values[rows]) for name, values in plan.covariates.items()}
        return ScviBatch(tensors, int((counts.sum(axis=1) == 0).sum()))

    def encode(self, batch: ScviBatch) -> NDArray[np.float32]:
        """Embed one batch: float32 (n, 1, n_latent)."""
        if len(batch.tensors["X"]) == 0:
            return np.empty((0, 1, self.dim), dtype=np.float32)
        with quiet():
            latent = self._model.get_latent_representation(dataloader=[batch.tensors], give_mean=True)
        return np.asarray(latent, dtype=np.float32)[:, None]

    def save(self, folder: str | Path) -> Path:
        """Write settings as JSON, weights as safetensors and `encoder.json` into `folder` and return it."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        self.parts.save(folder)
        return write_config(folder, {"kind": "scvi", "name": self.name})

    @classmethod
    def from_folder(cls, folder: str | Path, config: dict[str, Any] | None = None) -> ScviEncoder:
        """Read what :meth:`save` wrote; a :class:`WeightsError` where it is missing or damaged."""
        config = read_config(folder, config, needs=("name",))
        return cls(ScviParts.load(Path(folder)), name=str(config["name"]))


def _column(adata: AnnData, name: str) -> pd.Series:
    if name not in adata.obs:
        raise MissingKeyError(f"adata.obs[{name!r}] is missing: the model's encoder reads it (encode_covariates=True).")
    return adata.obs[name]
