"""Read a GGUF file into what transformers needs: a config, float32 weights and a tokenizer.

transformers and the gguf package do it. Here the file is looked at before, and digits are split as the vocabulary was
learned.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from gguf import GGUFEndian, GGUFReader

from .._logging import logger
from .._settings import settings
from .._tensor_files import load_pretrained, quiet_transformers
from .._untrusted import FOREIGN, check_plain
from ..errors import WeightsError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# Vocabularies whose merges were learned with every digit by itself, then GPT-2's split (llama.cpp, llm_tokenizer_bpe).
_DIGIT_VOCABULARIES = frozenset({"smollm", "starcoder", "refact", "codeshell", "command-r"})
# Each value that the header holds becomes a Python object of about 150 bytes. A vocabulary of 49,000 words with its
# merges takes 250,000 of them, the largest published, of a quarter of a million words, 1.3 million.
_MOST_VALUES = 2**22


class GGUFModel(NamedTuple):
    """What :func:`read_gguf` returns. `state_dict` is float32, without the head where that is tied."""

    config: PretrainedConfig
    state_dict: dict[str, torch.Tensor]
    tokenizer: PreTrainedTokenizerBase


class GGUFFile(GGUFReader):
    """gguf's own reader, which slices past the end of a truncated file without noticing: here that is an error.

    A :class:`WeightsError` says that the file is absent, not GGUF, of an unknown version or type, or ends before its
    last tensor, or that two of its tensors overlap.
    """

    def __init__(self, path: Path) -> None:
        self.path, self._values = check_plain(path), 0
        try:
            super().__init__(path)
            self._check_tensors()
        except EOFError:
            raise WeightsError(
                f"{path} is truncated: its header names more than its {path.stat().st_size:,} bytes. Fetch the file "
                "again."
            ) from None
        except FOREIGN as error:
            raise WeightsError(f"{path} cannot be read as GGUF ({error}). Fetch the file again.") from error

    def _get(self, offset: int, dtype: Any, count: int = 1, override_order: Any = None) -> Any:
        self._values += 1
        if self._values > _MOST_VALUES:
            raise ValueError(f"its header holds more than {_MOST_VALUES:,} values")
        if int(offset) + np.dtype(dtype).itemsize * int(count) > len(self.data):
            raise EOFError
        # A plain array: slices of a memory map take three times as long.
        self.data = np.asarray(self.data)  # type: ignore[assignment]
        return super()._get(offset, dtype, count, override_order)

    def _check_tensors(self) -> None:
        if self.endianess != GGUFEndian.LITTLE:
            raise ValueError("its numbers are big-endian; convert the model anew")
        for before, after in pairwise(sorted(self.tensors, key=lambda one: (one.data_offset, one.n_bytes))):
            # Tensors that share bytes would make of a small file a model of any size.
            if after.data_offset < before.data_offset + before.n_bytes:
                raise ValueError(f"tensors {before.name!r:.60} and {after.name!r:.60} overlap")

    def value(self, key: str, default: Any = None) -> Any:
        """Return what the metadata say of `key`."""
        found = self.get_field(key)
        return default if found is None else found.contents()


def read_gguf(path: Path) -> GGUFModel:
    """Read a GGUF file: config, dequantised float32 weights, named as transformers names its parameters, and tokenizer.

    What transformers does not read is a :class:`WeightsError`.
    """
    file = GGUFFile(Path(path))
    architecture = file.value("general.architecture", "unknown")
    try:
        return _read(file, architecture)
    except Exception as error:
        raise WeightsError(
            f"{path} (architecture {architecture!r:.60}) cannot be turned into a transformers model: "
            f"{type(error).__name__}: {error}. Pass a folder with config.json and *.safetensors instead."
        ) from error


def _read(file: GGUFFile, architecture: str) -> GGUFModel:
    import transformers

    for key in ("block_count", "embedding_length", "attention.head_count"):
        if file.value(f"{architecture}.{key}") is None:  # transformers would take its own default
            raise ValueError(f"the metadata lack '{architecture}.{key}'")
    name = file.path.name
    if any(tensor.name == "rope_freqs.weight" for tensor in file.tensors):
        logger.warning("%s: its scaled rotary frequencies are ignored (long texts suffer)", name)
    safe: dict[str, Any] = {"gguf_file": name, "trust_remote_code": False, "local_files_only": True}
    # Newer versions keep some architectures packed unless told otherwise; older ones always unpack.
    unpack = getattr(transformers, "GgufConfig", None)
    packing = {} if unpack is None else {"quantization_config": unpack(dequantize=True)}
    with quiet_transformers():
        config = transformers.AutoConfig.from_pretrained(file.path.parent, **safe)
        tokenizer = transformers.AutoTokenizer.from_pretrained(file.path.parent, **safe)
    if file.value("tokenizer.ggml.pre") in _DIGIT_VOCABULARIES:
        _split_digits(tokenizer)
    shapes = {tensor.name: tuple(map(int, tensor.shape)) for tensor in file.tensors}
    options = {"dtype": torch.float32, **packing, "gguf_file": name, "trust_remote_code": False}
    with quiet_transformers(), _bar_as_set():
        model = load_pretrained(
            transformers.AutoModelForCausalLM, file.path.parent, config, name=str(file.path), shapes=shapes, **options
        )
    # The copy that is kept is not quantised.
    vars(model.config).pop("quantization_config", None)
    state = {key: value.detach() for key, value in model.state_dict().items()}
    for tied in getattr(model, "all_tied_weights_keys", None) or {}:
        state.pop(tied, None)
    return GGUFModel(model.config, state, tokenizer)


@contextmanager
def _bar_as_set() -> Iterator[None]:
    """Draw the bar of unpacked tensors only where bars are wanted: transformers would draw it always."""
    from transformers import modeling_gguf_pytorch_utils

    unpacking: Any = modeling_gguf_pytorch_utils
    shown = unpacking.tqdm
    unpacking.tqdm = partial(shown, disable=not settings.progress)
    try:
        yield
    finally:
        unpacking.tqdm = shown


def _split_digits(tokenizer: Any) -> None:
    """Have every digit be a piece by itself before all else, which transformers' converter does not know of."""
    from tokenizers import pre_tokenizers

    backend = tokenizer.backend_tokenizer
    digits = pre_tokenizers.Digits(individual_digits=True)
    backend.pre_tokenizer = pre_tokenizers.Sequence([digits, backend.pre_tokenizer])
