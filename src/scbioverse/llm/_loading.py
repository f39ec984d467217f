"""Choose the number type, and load a model folder through transformers, safely."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Literal

import torch

from .._optional import import_optional
from .._pretrained import load_pretrained
from ..errors import InputError, WeightsError

if TYPE_CHECKING:
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
