"""What an scvi-tools model is made of as plain data, and the model built from it again without the training data."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import anndata as ad
import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from safetensors.torch import save_file

from .._hub_files import cached, fetch_folder, list_repo
from .._optional import import_optional
from .._settings import settings
from .._tensor_files import add_tensors, read_tensors
from .._untrusted import FOREIGN, read_json_object
from ..errors import InputError, WeightsError
from ._torch_file import Inert, load_torch_file

if TYPE_CHECKING:
    from pathlib import Path

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
        genes = tuple(str(gene) for gene in model.get_var_names())
        state = {key: value.detach().cpu().clone() for key, value in model.module.state_dict().items()}
        return cls(name, genes, decode(encode(model.registry)), decode(encode(model.init_params_)), state)

    @classmethod
    def of_folder(cls, folder: Path) -> ScviParts:
        """Read what scvi-tools' `model.save` wrote, running nothing of it."""
        file = folder / "model.pt"
        content = load_torch_file(file)
        try:
            settings = content["attr_dict"]
            registry, init = settings["registry_"], settings["init_params_"]
            if registry["model_name"] not in CLASSES:
                raise ValueError(f"a model of class {registry['model_name']}; {' and '.join(CLASSES)} are read")
            if registry.get("setup_method_name", "setup_anndata") != "setup_anndata":
                raise ValueError("it was set up from something else than an AnnData")
            if not settings.get("is_trained_", False):
                raise ValueError("it was not trained")
            return cls(
                registry["model_name"],
                tuple(str(gene) for gene in content["var_names"]),
                decode(encode(registry)),
                decode(encode(init)),
                {key: value for key, value in content["model_state_dict"].items() if isinstance(value, torch.Tensor)},
            )
        except FOREIGN as error:
            raise WeightsError(f"{file} is no scvi-tools model that can be read: {error!r}.") from error

    def save(self, folder: Path) -> None:
        """Write the parts as JSON and safetensors."""
        values = {"class": self.class_name, "genes": list(self.genes)}
        values |= {"registry": encode(self.registry), "init": encode(self.init)}
        (folder / PARTS).write_text(json.dumps(values), encoding="utf-8")
        save_file({key: value.contiguous() for key, value in self.state.items()}, folder / WEIGHTS)

    @classmethod
    def load(cls, folder: Path) -> ScviParts:
        """Read what :meth:`save` wrote."""
        try:
            values = read_json_object(folder / PARTS, strict=True)
            if values["class"] not in CLASSES:
                raise ValueError(f"class {values['class']!r}")
            return cls(
                values["class"],
                tuple(values["genes"]),
                decode(values["registry"]),
                decode(values["init"]),
                read_tensors(folder / WEIGHTS),
            )
        except WeightsError:
            raise
        except FOREIGN as error:
            raise WeightsError(f"cannot read the scvi model in {folder}: {error!r}. Save it again.") from error

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
            n_rows = max([2, *(len(values) for values in self.categories().values())])
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
        return {_ARRAY: [encode(one) for one in value.tolist()]}
    if isinstance(value, list | tuple):
        return [encode(one) for one in value]
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
    return [decode(one) for one in value] if isinstance(value, list) else value


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
