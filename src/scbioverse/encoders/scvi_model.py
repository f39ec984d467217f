"""The latent space of an scvi-tools model (Lopez et al., Nature Methods 15, 1053-1058, 2018) as an encoder.

First what such a model is made of as plain data, and the model built from it again without the training data.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from safetensors.torch import save_file

from .._hub_files import cached, fetch_folder, list_repo
from .._lazy import import_optional
from .._logging import logger, warn
from .._settings import settings
from .._tensor_files import add_tensors, read_tensors
from .._untrusted import read_json_object, refusing
from ..errors import InputError, MissingKeyError, WeightsError
from ..io import var_of
from ._registry import FrozenEncoder, read_config, register, write_config
from ._unpickle import Inert, load_torch_file

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..io import Cells

CLASSES = ("SCVI", "SCANVI")
PARTS, WEIGHTS = "scvi.json", "scvi.safetensors"
_ARRAY = "__array__"


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep scvi-tools from reporting every batch, and its packages from warning of each other."""
    log = logging.getLogger("scvi")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        log.setLevel(level)


@dataclass(frozen=True, eq=False)
class ScviParts:
    """An scvi-tools model without its data."""

    class_name: str  # "SCVI" or "SCANVI"
    genes: tuple[str, ...]  # reference genes, in order
    registry: dict[str, Any]  # scvi-tools' record of the setup: keys, categories
    init: dict[str, Any]  # arguments of the class
    state: dict[str, torch.Tensor]  # parameters and buffers, on the CPU

    @property
    def setup(self) -> dict[str, Any]:
        """Arguments of `setup_anndata`."""
        return self.registry["setup_args"]

    def categories(self) -> dict[str, list[Any]]:
        """Categories of each categorical column of `obs` that the setup names."""
        fields, found = self.registry["field_registries"], {}
        for name in ("batch", "labels"):
            if self.setup.get(f"{name}_key") is not None:
                found[self.setup[f"{name}_key"]] = list(fields[name]["state_registry"]["categorical_mapping"])
        extra = fields.get("extra_categorical_covs", {}).get("state_registry", {}).get("mappings", {})
        return found | {key: list(values) for key, values in extra.items()}

    def numbers(self) -> list[str]:
        """Columns of `obs` with numbers that the setup names."""
        size = self.setup.get("size_factor_key")
        return [*(self.setup.get("continuous_covariate_keys") or []), *([] if size is None else [size])]

    def fingerprint(self) -> str:
        """Sha256, in hex, of weights, genes and settings."""
        head = [self.class_name, self.genes, encode(self.init), encode(self.categories()), self.setup]
        digest = hashlib.sha256(json.dumps(head, sort_keys=True, default=str).encode())
        add_tensors(digest, self.state)
        return digest.hexdigest()

    # ------------------------------------------------------------------ from and to

    @classmethod
    def of_model(cls, model: Any) -> ScviParts:
        """Copy the parts of a trained model; refuse one of another class, or untrained."""
        name = type(model).__name__
        if name not in CLASSES:
            raise InputError(f"an scvi-tools model of class {name}; the encoder reads {' and '.join(CLASSES)}.")
        if not model.is_trained_:
            raise InputError(f"the {name} model is not trained: its latent space is random. Run model.train() first.")
        genes = tuple(map(str, model.get_var_names()))
        state = {key: value.detach().cpu().clone() for key, value in model.module.state_dict().items()}
        return cls(name, genes, decode(encode(model.registry)), decode(encode(model.init_params_)), state)

    @classmethod
    def of_folder(cls, folder: Path) -> ScviParts:
        """Read what scvi-tools' `model.save` wrote, running nothing of it."""
        file = folder / "model.pt"
        content = load_torch_file(file)
        with refusing(f"{file} is no scvi-tools model that can be read"):
            settings = content["attr_dict"]
            registry, init = settings["registry_"], settings["init_params_"]
            if registry["model_name"] not in CLASSES:
                raise ValueError(f"a model of class {registry['model_name']}; {' and '.join(CLASSES)} are read")
            if registry.get("setup_method_name", "setup_anndata") != "setup_anndata":
                raise ValueError("it was set up from something else than an AnnData")
            if not settings.get("is_trained_", False):
                raise ValueError("it was not trained")
            state = {key: one for key, one in content["model_state_dict"].items() if isinstance(one, torch.Tensor)}
            genes = tuple(map(str, content["var_names"]))
            return cls(registry["model_name"], genes, decode(encode(registry)), decode(encode(init)), state)

    def save(self, folder: Path) -> None:
        """Write the parts as JSON and safetensors."""
        values = {"class": self.class_name, "genes": list(self.genes)}
        values |= {"registry": encode(self.registry), "init": encode(self.init)}
        (folder / PARTS).write_text(json.dumps(values), encoding="utf-8")
        save_file({key: value.contiguous() for key, value in self.state.items()}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> ScviParts:
        """Read what :meth:`save` wrote."""
        with refusing(f"cannot read the scvi model in {folder}", "Save it again."):
            values = read_json_object(folder / PARTS, strict=True)
            if values["class"] not in CLASSES:
                raise ValueError(f"class {values['class']!r}")
            registry, init = decode(values["registry"]), decode(values["init"])
            return cls(values["class"], tuple(values["genes"]), registry, init, read_tensors(folder / WEIGHTS))

    # ------------------------------------------------------------------ the model

    def frame(self, n_rows: int) -> pd.DataFrame:
        """Columns of `obs` that the setup names, with stand-in values: categories in turn, 1 for numbers."""
        obs = pd.DataFrame(index=pd.RangeIndex(n_rows).astype(str))
        for key, values in self.categories().items():
            obs[key] = [values[i % len(values)] for i in range(n_rows)]
        return obs.assign(**dict.fromkeys(self.numbers(), 1.0))

    def table(self, counts: sp.csr_matrix, obs: pd.DataFrame) -> ad.AnnData:
        """Build an AnnData with the counts where the setup expects them."""
        adata = ad.AnnData(counts, obs=obs, var=pd.DataFrame(index=pd.Index(self.genes, dtype=str)))
        if self.setup.get("layer") is not None:
            adata.layers[self.setup["layer"]] = counts
        return adata

    def build(self) -> Any:
        """Build the model, on rows that hold every category once; its weights are the stored ones."""
        with quiet():
            scvi_model = import_optional("scvi.model", extra="scvi", purpose="An scvi-tools model")
            model_class = getattr(scvi_model, self.class_name)
            n_rows = max([2, *map(len, self.categories().values())])
            counts = sp.csr_matrix(np.ones((n_rows, len(self.genes)), dtype=np.float32))
            try:
                template = self.table(counts, self.frame(n_rows))
                model_class.setup_anndata(template, source_registry=self.registry, **self.setup)
                model = model_class(template, **_arguments(self.init))
                model.module.load_state_dict(self.state)
            except (RuntimeError, ValueError, KeyError, TypeError, AttributeError) as error:
                raise WeightsError(
                    f"the {self.class_name} model (scvi-tools {self.registry.get('scvi_version')}) cannot be built "
                    f"with the installed version: {error}"
                ) from error
            model.is_trained_ = True
            model.module.eval().requires_grad_(False)
        return model


def _arguments(init: Mapping[str, Any]) -> dict[str, Any]:
    """Flatten scvi-tools' record of a class's arguments."""
    plain = {key: value for key, value in init["non_kwargs"].items() if key not in ("datamodule", "registry")}
    return plain | {key: value for group in init["kwargs"].values() for key, value in group.items()}


def encode(value: Any) -> Any:
    """Turn nested settings into what JSON has; arrays are marked."""
    if isinstance(value, Mapping):
        return {str(key): encode(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | pd.Index):
        return {_ARRAY: list(map(encode, value.tolist()))}
    if isinstance(value, list | tuple):
        return list(map(encode, value))
    if isinstance(value, np.generic):
        return value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    kind = "an object that was not read" if isinstance(value, Inert) else f"a {type(value).__name__}"
    raise ValueError(f"a setting is {kind}, which cannot be kept as JSON")


def decode(value: Any) -> Any:
    """Undo :func:`encode`."""
    if isinstance(value, dict):
        if set(value) == {_ARRAY}:
            items = value[_ARRAY]
            return np.array(items, dtype=object if any(isinstance(one, str) for one in items) else None)
        return {key: decode(one) for key, one in value.items()}
    return list(map(decode, value)) if isinstance(value, list) else value


# What scvi-tools puts beside every model that it shares.
_FILES = ("_scvi_required_metadata.json", "model.pt")


def find_on_hub(name: str) -> Path | None:
    """Return the local folder of an scvi-tools model on the hub, fetched where it is not in the hub's cache here.

    None where there is no such repository, it is not of scvi-tools, or it was not fetched before and `settings.offline`
    is on.
    """
    repo, _, revision = name.partition("@")
    folder = cached(repo, revision or None)
    if folder is not None and all((folder / file).is_file() for file in _FILES):
        return folder
    if settings.offline:
        return None
    try:
        listing = list_repo(repo, revision or None)
    except WeightsError:
        return None
    return fetch_folder(listing, _FILES) if set(_FILES) <= set(listing.sha256) else None


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
class ScviEncoder(FrozenEncoder):
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

    modality: str = "cell"

    def __init__(self, model: Any, *, name: str | None = None) -> None:
        self.parts = model if isinstance(model, ScviParts) else ScviParts.of_model(model)
        self.name = name or self.parts.class_name.lower()
        self._model = self.parts.build()
        if getattr(self._model.module, "latent_distribution", "normal") == "ln":
            raise InputError("the model's latent space (latent_distribution='ln') is drawn at random for every cell.")
        self.dim = int(self._model.module.n_latent)

    def __repr__(self) -> str:
        return f"ScviEncoder({self.name!r}, {self.parts.class_name}, {len(self.parts.genes)} genes, dim {self.dim})"

    @classmethod
    def load(cls, folder: str | Path, *, name: str | None = None) -> ScviEncoder:
        """Read the folder that scvi-tools' `model.save` wrote; its AnnData is not needed, no code in it is run."""
        return cls(ScviParts.of_folder(Path(folder).expanduser()), name=name)

    @cached_property
    def _fingerprint(self) -> str:
        return self.parts.fingerprint()

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
        setup = self.parts.setup
        reads = bool(getattr(self._model.module, "encode_covariates", False))
        batch = setup.get("batch_key")
        numbers, codes = setup.get("continuous_covariate_keys") or (), setup.get("categorical_covariate_keys") or ()
        wanted = {
            "batch": (np.int64, (batch,) if reads and batch is not None else (None,)),
            "labels": (np.int64, (None,)),  # labels and size factors are the decoder's
            "extra_categorical_covs": (np.int64, codes),
            "extra_continuous_covs": (np.float32, numbers),
        }
        none = np.zeros(adata.n_obs)
        found: dict[str, NDArray[Any]] = {}
        for name, (kind, keys) in wanted.items():
            columns = [none if key is None or not reads else self._column(adata, key, kind) for key in keys]
            if columns:
                found[name] = np.stack(columns, axis=1).astype(kind)
        return found

    def _column(self, adata: AnnData, name: str, kind: Any) -> NDArray[Any]:
        """Read a column of `obs`: numbers as they are, of categories the model's codes."""
        if name not in adata.obs:
            raise MissingKeyError(
                f"adata.obs[{name!r}] is missing: the model's encoder reads it (encode_covariates=True)."
            )
        values = adata.obs[name]
        if kind is np.float32:
            return values.to_numpy(np.float32)
        known = pd.Index(self.parts.categories()[name])
        # Categories may have become text in a file while the model knows them as numbers.
        same = values.isin(known).all()
        found = known.get_indexer(values) if same else known.map(str).get_indexer(values.map(str))
        if (found < 0).any():
            unknown = sorted(set(values[found < 0]), key=str)
            raise InputError(
                f"adata.obs[{name!r}] has categories that the model's encoder does not know: {unknown[:5]}. It "
                f"knows {list(known[:5])}. Train it on them with scvi-tools' load_query_data first."
            )
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
        folder = write_config(folder, {"kind": "scvi", "name": self.name})
        self.parts.save(folder)
        return folder

    @classmethod
    def from_folder(cls, folder: str | Path) -> ScviEncoder:
        """Read what :meth:`save` wrote; a :class:`WeightsError` where it is missing or damaged."""
        config = read_config(folder, needs=("name",))
        return cls(ScviParts.load(Path(folder)), name=str(config["name"]))
