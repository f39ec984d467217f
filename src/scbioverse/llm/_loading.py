"""Choose the number type, load a model folder through transformers, safely, and know what families differ in.

Most multiply the last hidden state with the output embedding and nothing else. Granite divides the product
(`logits_scaling`), Cohere multiplies it (`logit_scale`), Gemma 2 bends it by a soft cap (`final_logit_softcapping`).
Gemma multiplies what it looks up in the embedding table by the square root of its width; Granite multiplies whatever
comes in, looked up or handed in.
"""

from __future__ import annotations

import os
from functools import cache as once
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn

from .._optional import import_optional
from .._pretrained import load_pretrained
from ..errors import InputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from transformers import PreTrainedModel, PreTrainedTokenizerBase

DType = Literal["auto", "float32", "bfloat16"]
Quantize = Literal["8bit", "4bit"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn `"auto"` or a name into the number type to compute in on `device`."""
    if dtype in _DTYPES:
        return _DTYPES[dtype]
    if dtype != "auto":
        raise InputError(f"dtype={dtype!r}; choose 'auto', {', '.join(map(repr, _DTYPES))}.")
    if device.type == "cuda":
        return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float32
    return torch.bfloat16 if device.type == "cpu" and cpu_has_bfloat16() else torch.float32


def cpu_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware (AVX512-BF16 or AMX), and torch may use that."""
    # Kernels held back by a variable emulate bfloat16, a hundred times slower than they compute in float32.
    if torch.backends.cpu.get_cpu_capability() != "AVX512" or _onednn_is_held_back():
        return False
    # Private in torch, so that a version without them must not break loading.
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check is not None and check() for check in checks)


def _onednn_is_held_back() -> bool:
    wanted = os.environ.get("ONEDNN_MAX_CPU_ISA", os.environ.get("DNNL_MAX_CPU_ISA", "")).upper()
    return bool(wanted) and "BF16" not in wanted and "AMX" not in wanted and wanted not in ("ALL", "DEFAULT")


def quantisation(quantize: str | None, device: torch.device, dtype: torch.dtype) -> Any:
    """Return what tells transformers to pack the blocks' weights (on a GPU, by bitsandbytes), or None."""
    if quantize is None:
        return None
    if quantize not in ("8bit", "4bit"):
        raise InputError(f"quantize={quantize!r}; choose '8bit', '4bit' or None.")
    if device.type != "cuda":
        raise InputError(
            f"quantize={quantize!r} needs a CUDA GPU, the device is {str(device)!r}. Leave quantize out, or use a "
            "smaller language model."
        )
    import_optional("bitsandbytes", extra="quantize", purpose=f"quantize={quantize!r}")
    from transformers import BitsAndBytesConfig

    if quantize == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    # Normal float (Dettmers et al. 2023): weights are near normally distributed.
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)


def load_folder(
    folder: Path,
    dtype: torch.dtype,
    device: torch.device,
    *,
    quantisation: Any = None,
    device_map: str | dict[str, Any] | None = None,
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load model and tokenizer from a folder of safetensors, running no code from it.

    `quantisation` is what :func:`quantisation` gives; `device_map` says where the parts go, in place of `device`.
    """
    from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    try:
        config = AutoConfig.from_pretrained(folder, **safe)
        if getattr(config, "is_encoder_decoder", False):
            raise ValueError("it is an encoder-decoder model")
        tokenizer = AutoTokenizer.from_pretrained(folder, **safe)
    except Exception as error:  # a tokenizer that cannot be read raises a bare Exception
        raise WeightsError(
            f"{folder} cannot be loaded as a causal language model: {type(error).__name__}: {error}"
        ) from error
    # Packed weights cannot be moved afterwards: they are put in place while they are read.
    placed = device_map if device_map is not None else ({"": str(device)} if quantisation is not None else None)
    options = {"device_map": placed, "quantization_config": quantisation}
    model = load_pretrained(
        AutoModelForCausalLM,
        folder,
        config,
        name=str(folder),
        dtype=dtype,
        use_safetensors=True,
        trust_remote_code=False,
        **{name: value for name, value in options.items() if value is not None},
    )
    return (model.to(device) if placed is None else model), tokenizer


_SAMPLE = 64


class Head:
    """The way from last hidden states to logits of a causal language model of transformers, as its family does it.

    `scale` multiplies the product with the output embedding; `cap` is the c of c · tanh(x / c), or None.
    """

    def __init__(self, model: PreTrainedModel, name: str) -> None:
        config: Any = model.config.get_text_config()
        parts: Any = model
        self._linear = parts.get_output_embeddings()
        if self._linear is None or not hasattr(self._linear, "weight"):
            raise WeightsError(f"{name!r} has no output embedding: it is not a causal language model.")
        self.scale = _number(config, "logit_scale", 1.0) / _number(config, "logits_scaling", 1.0)
        cap = getattr(config, "final_logit_softcapping", None)
        self.cap = None if cap is None else float(cap)

    @property
    def device(self) -> torch.device:
        """Where the output embedding is."""
        device: torch.device = self._linear.weight.device
        return device

    def raw(self, hidden: Tensor, token_ids: Tensor | Sequence[int] | None = None) -> Tensor:
        """Multiply hidden states (..., d) with rows of the output embedding: (..., m), float32, nothing else done."""
        weight, bias = self._linear.weight, getattr(self._linear, "bias", None)
        if token_ids is not None:
            # A few rows of the table, where a few tokens are asked for.
            rows = torch.as_tensor(token_ids, dtype=torch.long, device=weight.device)
            weight = weight.index_select(0, rows)
            bias = None if bias is None else bias.index_select(0, rows)
        return nn.functional.linear(hidden.to(device=weight.device, dtype=weight.dtype), weight, bias).float()

    def finish(self, raw: Tensor) -> Tensor:
        """Scale and cap products, element by element, as the family does."""
        scaled = raw if self.scale == 1.0 else raw * self.scale
        return scaled if self.cap is None else self.cap * torch.tanh(scaled / self.cap)


def _number(config: Any, name: str, default: float) -> float:
    value = getattr(config, name, None)
    return default if value is None else float(value)


@torch.no_grad()
def lookup_scale(embedding: nn.Module) -> float:
    """By what an embedding module multiplies the rows of its own table (Gemma: the square root of the width)."""
    if type(embedding) is nn.Embedding:
        return 1.0
    table: Any = embedding.weight
    # Found out by trying: families name the factor differently, or not at all.
    ids = torch.arange(min(_SAMPLE, table.shape[0]), device=table.device)
    found: Tensor = embedding(ids)
    return float(found.float().norm() / table[ids].float().norm().clamp(min=1e-12))


@once
def cache_name() -> str:
    """Name the argument that takes earlier keys and values: `past_key_values`, or `cache` from transformers 5.24 on."""
    from transformers.modeling_outputs import BaseModelOutputWithPast

    return "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"


def cache_of(output: Any) -> Any:
    """Keys and values in a model's output."""
    return getattr(output, cache_name())


def is_placed(model: PreTrainedModel) -> bool:
    """Whether the model was spread over devices or quantised, so that it cannot be moved as a whole."""
    return bool(getattr(model, "hf_device_map", None)) or bool(getattr(model, "is_quantized", False))


def keep_on_one_device(model: PreTrainedModel) -> None:
    """Have a spread model hand its last hidden states back where its embeddings are, and keep the head there.

    Prompts are put together beside the embedding table and read out there, wherever the blocks between are.
    """
    places = getattr(model, "hf_device_map", None) or {}
    if len(set(map(str, places.values()))) < 2:
        return
    from accelerate.hooks import (  # type: ignore[import-untyped]
        AlignDevicesHook,
        add_hook_to_module,
        remove_hook_from_module,
    )

    parts: Any = model
    # Where prompts are put together and read out.
    home, head = parts.get_input_embeddings().weight.device, parts.get_output_embeddings()
    if head.weight.device.type != "meta" and head.weight.device != home:
        remove_hook_from_module(head)
        head.to(home)
    if home.type != "meta":
        hook = AlignDevicesHook(execution_device=home, io_same_device=True, skip_keys=cache_name())
        add_hook_to_module(parts.base_model, hook, append=True)


def check_placement(name: str, *, embedding: nn.Module, head: Head) -> None:
    """Refuse a model whose embedding table or head was left on the disk: label scores read rows of both."""
    table: Any = embedding.weight
    for part, device in (("embedding table", table.device), ("output embedding", head.device)):
        # What lies on the disk shows as a tensor without content.
        if device.type == "meta":
            raise WeightsError(
                f"The {part} of {name!r} was offloaded by device_map=. Keep embeddings and head on a device, offload "
                "blocks ('model.layers.7': 'disk') only."
            )
