"""Low-rank adapters of a language model: trained with peft, kept apart from its weights, which are never changed.

Two twins of a model serve two ends. The one that trains (:func:`training_twin`) holds peft's layers over float32 copies
of the weights. The one that reads (:meth:`Adapter.merged_into`) has the adapter added into copies of the few matrices
it touches, so that reading costs what it cost before; everything else it shares with the model. Neither is ever saved.
"""

from __future__ import annotations

import copy
import hashlib
import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from .._tensor_files import add_tensors, fill, read_tensors
from .._untrusted import read_json_object, refusing
from ..errors import InputError, MismatchError, WeightsError
from .backbone import Backbone

Targets = Literal["attention", "mlp", "all"] | Sequence[str]
CONFIG, TENSORS = "adapter_config.json", "adapter_model.safetensors"
# What peft puts before the names of a whole model that it saves: with it, its own loader reads our folder.
_PREFIX = "base_model.model."
_NAME = re.compile(r"(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


@dataclass(frozen=True)
class AdapterConfig:
    """Shape of an adapter (Hu et al. 2022, LoRA: W + alpha / rank · B A).

    `dropout` is the share of inputs to A dropped in training; `targets` says which matrices of each block are changed:
    `"attention"`, `"mlp"`, `"all"`, or the ends of their names.
    """

    rank: int = 8
    alpha: float = 16.0
    dropout: float = 0.0
    targets: str | tuple[str, ...] = "attention"

    def __post_init__(self) -> None:
        # True is a number to Python, and none here; numpy's float64 is one.
        real = all(isinstance(one, int | float) and type(one) is not bool for one in (self.alpha, self.dropout))
        if not (
            real and type(self.rank) is int and self.rank >= 1 and 0 < self.alpha < math.inf and 0 <= self.dropout < 1
        ):
            raise InputError(
                f"an adapter needs rank ≥ 1, alpha > 0 and dropout in 0 to 1, found {self.rank}, {self.alpha} and "
                f"{self.dropout}."
            )
        if not isinstance(self.targets, str):
            object.__setattr__(self, "targets", tuple(self.targets))


@dataclass(frozen=True, eq=False)
class Adapter:
    """A trained adapter: its shape, and float32 tensors on the CPU.

    They are named `<module>.lora_A.weight` (rank, d_in) and `<module>.lora_B.weight` (d_out, rank).
    """

    config: AdapterConfig
    tensors: dict[str, Tensor]

    def changes(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Return A and B of each changed module."""
        found: dict[str, dict[str, Tensor]] = {}
        for name, value in self.tensors.items():
            match = _NAME.fullmatch(name)
            if match is None:
                raise WeightsError(f"{name!r} is no part of a low-rank adapter; its tensors end in lora_A and lora_B.")
            found.setdefault(match["module"], {})[match["side"]] = value
        halves = [module for module, sides in found.items() if len(sides) != 2]
        if halves or not found:
            raise WeightsError(f"the adapter is incomplete: {halves[:3] or 'it holds no matrix'}.")
        return {module: (sides["A"], sides["B"]) for module, sides in found.items()}

    @cached_property
    def fingerprint(self) -> str:
        """Sha256, in hex, of shape and tensors; nothing changes these."""
        digest = hashlib.sha256(json.dumps(asdict(self.config), sort_keys=True).encode())
        add_tensors(digest, self.tensors, typed=False)
        return digest.hexdigest()

    @torch.no_grad()
    def merged_into(self, backbone: Backbone) -> Backbone:
        """Make a model that reads with the adapter; `backbone` and its weights stay as they are.

        Raises a :class:`MismatchError` where the adapter was made for a model of another shape.
        """
        model = _twin(backbone.model, None)
        modules = dict(model.named_modules())
        scale = self.config.alpha / self.config.rank
        for name, (down, up) in self.changes().items():
            module = modules.get(name)
            found = (module.out_features, module.in_features) if isinstance(module, nn.Linear) else None
            if not isinstance(module, nn.Linear) or found != (up.shape[0], down.shape[1]):
                raise MismatchError(
                    f"the adapter changes {name!r} of shape {(up.shape[0], down.shape[1])}; {backbone.name!r} has "
                    f"{found}."
                )
            weight = module.weight
            if weight.is_meta or not weight.is_floating_point():
                # It waits on the disk, or is packed: nothing can be added to it, and its output is changed instead.
                module.register_forward_hook(_Beside(scale * up, down))
                continue
            change = scale * (up @ down).to(weight.device)
            # In float32: in bfloat16 a small change would be rounded away.
            module.weight = nn.Parameter((weight.float() + change).to(weight.dtype), requires_grad=False)
        return Backbone(model, backbone.tokenizer, name=backbone.name, sha256=backbone.sha256)

    def save(self, folder: Path, *, llm: str, dtype: torch.dtype = torch.float32) -> None:
        """Write peft's layout: a JSON file and one of safetensors; never the language model's own weights."""
        from safetensors.torch import save_file

        folder.mkdir(parents=True, exist_ok=True)
        # Names within a block, as peft knows them, without the block's number.
        modules = sorted({module.split(".", 3)[-1] for module in self.changes()})
        plain = {
            "peft_type": "LORA",
            "task_type": None,
            "base_model_name_or_path": llm,
            "r": self.config.rank,
            "lora_alpha": self.config.alpha,
            "lora_dropout": self.config.dropout,
            "target_modules": modules,
            "bias": "none",
            "inference_mode": True,
            "scbioverse": asdict(self.config),
        }
        tensors = {_PREFIX + key: value.to(dtype).contiguous() for key, value in sorted(self.tensors.items())}
        save_file(tensors, folder / TENSORS)
        (folder / CONFIG).write_text(json.dumps(plain, indent=2) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Adapter:
        """Read what :meth:`save` wrote; a :class:`WeightsError` where a file is missing or damaged."""
        with refusing(f"the adapter in {folder} is damaged", "Save or fetch the model again."):
            plain = read_json_object(folder / CONFIG, strict=True)
            tensors = read_tensors(folder / TENSORS)
            config = AdapterConfig(**plain["scbioverse"])
        adapter = cls(config, {key.removeprefix(_PREFIX): value.float() for key, value in tensors.items()})
        for module, (down, up) in adapter.changes().items():
            if down.ndim != 2 or up.ndim != 2 or not len(down) == up.shape[1] == config.rank:
                raise WeightsError(
                    f"the adapter in {folder} has rank {config.rank}, and its matrices for {module!r} have shapes "
                    f"{tuple(down.shape)} and {tuple(up.shape)}. Save or fetch the model again."
                )
        return adapter


class _Beside:
    """Adds to a layer's output what an adapter's matrices make of its input."""

    def __init__(self, up: Tensor, down: Tensor) -> None:
        self.up, self.down = up, down

    def __call__(self, module: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
        self.up, self.down = self.up.to(output.device), self.down.to(output.device)
        x = given[0].to(self.down)
        return output + (x @ self.down.T @ self.up.T).to(output.dtype)


def target_modules(backbone: Backbone, targets: str | Sequence[str]) -> list[str]:
    """Full names of the linear layers that an adapter changes; an :class:`InputError` where there is none."""
    # The head and the embedding table are linear layers, too, and stay as they are.
    blocks = {id(module) for layer in backbone.layers for module in layer.modules()}
    modules = backbone.model.named_modules()
    linear = [name for name, module in modules if id(module) in blocks and isinstance(module, nn.Linear)]
    forms = {"attention": ".*att.*", "mlp": "(?!.*att).*", "all": ".*"}
    if not isinstance(targets, str):
        form = rf"(?:.*\.)?(?:{'|'.join(map(re.escape, targets))})"
    elif (form := forms.get(targets, "")) == "":
        raise InputError(f"targets={targets!r}; choose 'attention', 'mlp', 'all', or name the layers in a list.")
    chosen = [name for name in linear if re.fullmatch(form, name)]
    if not chosen:
        ends = sorted({name.rsplit(".", 1)[-1] for name in linear})
        raise InputError(f"{backbone.name!r} has no layers {targets!r} to adapt; its blocks have {ends or 'none'}.")
    return chosen


def training_twin(
    backbone: Backbone, config: AdapterConfig, *, start: Adapter | None = None, seed: int = 0
) -> tuple[Backbone, dict[str, nn.Parameter]]:
    """Make a model to train an adapter in, and return it with the adapter's parameters; `backbone` stays as it is.

    Weights are float32 (shared with `backbone` where it has them so): the gradients of bfloat16 weights are several
    times slower on a CPU. Training begins from `start`, or from no change, with a random half of that `seed`.
    """
    from peft import LoraConfig, inject_adapter_in_model

    names = target_modules(backbone, config.targets)
    if any(value.is_meta for value in backbone.model.parameters()):
        raise InputError(
            f"{backbone.name!r} has blocks that wait on the disk or beside the GPU (device_map=), in which no adapter "
            "can be trained. Load all of it on devices for that; what was trained is read with this one, too."
        )
    model = _twin(backbone.model, torch.float32)
    lora = LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=config.dropout,
        target_modules=names,
        bias="none",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # In place and not by `get_peft_model`, whose wrapper renames every module.
        inject_adapter_in_model(lora, model)
    twin = Backbone(model, backbone.tokenizer, name=backbone.name, sha256=backbone.sha256)
    params = {name.replace(".default.", "."): param for name, param in model.named_parameters() if ".lora_" in name}
    if start is not None:
        fill(params, start.tensors, "the adapter has another shape than asked for; begin anew")
    for param in params.values():
        param.requires_grad_(True)
    return twin, params


def set_dropout(backbone: Backbone, mode: bool) -> None:
    """Switch the adapter's dropout; the language model's own stays off."""
    for name, module in backbone.model.named_modules():
        if ".lora_dropout" in name:
            module.train(mode)


def trained_adapter(config: AdapterConfig, params: dict[str, nn.Parameter]) -> Adapter:
    """Copy the parameters that :func:`training_twin` gave."""
    return Adapter(config, {name: param.detach().float().cpu().clone() for name, param in params.items()})


def _twin(model: Any, dtype: torch.dtype | None) -> Any:
    """Copy the modules of a model but not its weights; those of another `dtype` are converted, tied ones once."""
    # deepcopy takes what stands in its memo as copied already: modules are made anew, weights are shared.
    memo: dict[int, Any] = {id(value): value for value in (*model.parameters(), *model.buffers())}
    if dtype is None:
        return copy.deepcopy(model, memo)
    for value in model.parameters():
        if value.is_floating_point() and value.dtype != dtype:
            memo[id(value)] = nn.Parameter(value.detach().to(dtype), requires_grad=False)
    twin = copy.deepcopy(model, memo)
    twin.config.dtype = dtype
    return twin
