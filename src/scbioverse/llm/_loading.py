"""Load a language model through transformers, safely: its number type, its folder, or the copy of a GGUF file.

The safetensors copy of a GGUF model is made once, and then loaded in about a second. It lies in
`settings.weights_dir()/<first 16 digits of the source's sha256>/`. Its manifest holds the source's digest and size and
CRC-32 of each file. The contents are compared with it at every load, beside the loading itself; a copy that differs in
one bit is made anew.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import torch

from .._hub_files import file_sha256
from .._lazy import import_optional
from .._logging import logger
from .._settings import settings
from .._tensor_files import load_pretrained, read_description
from .._whole import check_room, written_whole
from ..errors import InputError, WeightsError, check_choice
from .resolve import UNREADABLE, DamagedError, file_crc32, forget_digest, load_beside_check, remembered_crc32

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from .resolve import ResolvedLLM

DType = Literal["auto", "float32", "bfloat16"]
Quantize = Literal["8bit", "4bit"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn `"auto"` or a name into the number type to compute in on `device`."""
    check_choice("dtype", dtype, "auto", *_DTYPES)
    if dtype in _DTYPES:
        return _DTYPES[dtype]
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
    check_choice("quantize", quantize, "8bit", "4bit", None)
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
    from transformers import AutoModelForCausalLM

    config, tokenizer = read_description(folder, str(folder), "a causal language model")
    if getattr(config, "is_encoder_decoder", False):
        raise WeightsError(f"{folder} cannot be loaded as a causal language model: it is an encoder-decoder model")
    if device_map is None and quantisation is not None:
        # Packed weights cannot be moved afterwards: they are put in place while they are read.
        device_map = {"": str(device)}
    options = {"device_map": device_map, "quantization_config": quantisation, "use_safetensors": True}
    model = load_pretrained(
        AutoModelForCausalLM, folder, config, name=str(folder), dtype=dtype, trust_remote_code=False, **options
    )
    return (model.to(device) if device_map is None else model), tokenizer


# ------------------------------------------------------------------ the copy of a GGUF file

# Raised whenever the conversion changes what it writes, so that older copies are not used.
FORMAT = 2
_MANIFEST = "source.json"
_ADVICE = "Set SCBIOVERSE_CACHE_DIR to a folder with space."
Loaded = TypeVar("Loaded")


def load_files(resolved: ResolvedLLM, load: Callable[[Path], Loaded]) -> Loaded:
    """Load a model's folder, or the safetensors copy of a GGUF file, and compare its contents at the same time.

    `load` is called again where a copy turns out to be damaged and was made anew.
    """
    if resolved.kind == "folder":
        try:
            return load_beside_check(resolved.path, remembered_crc32(resolved.path), load)
        except DamagedError:
            forget_digest(resolved.path)  # if the user changed it, the next load takes it
            raise
    try:
        target = settings.weights_dir() / resolved.sha256[:16]
    except OSError as error:
        raise WeightsError(f"No folder to keep a converted copy of {resolved.path} in: {error}") from error
    if known := _manifest(target, resolved.sha256):
        try:
            return load_beside_check(target, known, load)
        except DamagedError:
            pass
    return load(_made(resolved, target))


def is_intact(folder: Path, sha256: str) -> bool:
    """Whether a copy is whole, bit for bit what was written, of this source and in today's format."""
    known = _manifest(folder, sha256)
    try:
        return bool(known) and all(file_crc32(folder / name) == crc for name, crc in known.items())
    except OSError:
        return False


def _made(resolved: ResolvedLLM, target: Path) -> Path:
    """Convert; another process that did so in the meantime is as good."""
    if target.exists():
        logger.warning("the converted copy in %s is damaged or from another version; it is made anew", target)
    logger.info("converting %s to safetensors (once)", resolved.path.name)
    try:
        # Concurrent processes never see half a copy.
        with written_whole(target) as fresh:
            fresh.mkdir()
            _write_copy(resolved, fresh)
    except WeightsError:
        raise
    except OSError as error:
        for _ in range(20):  # another process may be putting the same copy in its place just now
            if is_intact(target, resolved.sha256):
                return target
            time.sleep(0.05)
        raise WeightsError(
            f"The converted copy of {resolved.path} could not be written to {target} ({error}). It takes about "
            f"0.6 GB for a 135 M parameter model. {_ADVICE}"
        ) from error
    return target


def _write_copy(resolved: ResolvedLLM, folder: Path) -> None:
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from .gguf import read_gguf  # the package behind it takes a second to import, and a copy is made once

    # Its digest may be a remembered one, of the time when the file was whole.
    if (found := file_sha256(resolved.path)) != resolved.sha256:
        raise WeightsError(
            f"{resolved.path} has sha256 {found}, and had {resolved.sha256} when it was first read, with the same size "
            "and time: it is damaged. Install or fetch it again."
        )
    model = read_gguf(resolved.path)
    n_bytes = sum(tensor.nbytes for tensor in model.state_dict.values())
    what = f"the converted copy of {resolved.path.name}"
    check_room(folder, n_bytes, what, error=WeightsError, advice=_ADVICE)
    try:
        save_file(model.state_dict, folder / "model.safetensors", metadata={"format": "pt"})
    except SafetensorError as error:  # by which it reports a full disk
        raise OSError(str(error)) from error
    model.config.save_pretrained(folder)
    model.tokenizer.save_pretrained(folder)
    files = {one.name: {"size": one.stat().st_size, "crc32": file_crc32(one)} for one in sorted(folder.iterdir())}
    manifest = {"format": FORMAT, "source": resolved.path.name, "sha256": resolved.sha256, "files": files}
    (folder / _MANIFEST).write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _manifest(folder: Path, sha256: str) -> dict[str, int]:
    """CRC-32 of a copy's files as its manifest has them; {} where that is not today's, or names or sizes differ."""
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"]
        there = {path.name: path.stat().st_size for path in folder.iterdir() if path.name != _MANIFEST}
        known = (manifest["format"], manifest["sha256"]) == (FORMAT, sha256)
        fits = known and there == {name: entry["size"] for name, entry in files.items()}
        return {name: entry["crc32"] for name, entry in files.items()} if fits else {}
    except UNREADABLE:
        return {}
