"""Read a GGUF file into what transformers needs: a config, float32 weights and a tokenizer.

Parsing and dequantisation are the gguf package's own; names and the order of query and key rows are put back here.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from gguf import MODEL_ARCH, GGUFEndian, GGUFReader, dequantize, get_tensor_name_map

from .._logging import logger
from .._untrusted import FOREIGN, check_plain
from ..errors import WeightsError

if TYPE_CHECKING:
    from transformers import LlamaConfig, PretrainedConfig, PreTrainedTokenizerBase

# Vocabularies whose merges were learned with every digit by itself, then GPT-2's split
# (llama.cpp, llm_tokenizer_bpe). transformers' own converter does not know them.
_DIGIT_VOCABULARIES = frozenset({"smollm", "starcoder", "refact", "codeshell", "command-r"})
_CONTROL, _USER_DEFINED = 3, 4  # token types of ggml
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

    def llama(self, name: str, default: Any = None) -> Any:
        """Return what the metadata say of a Llama; without a default it must be there."""
        found = self.value(f"llama.{name}", default)
        if found is None:
            raise ValueError(f"the metadata lack 'llama.{name}'")
        return found

    def token(self, name: str) -> int | None:
        """Return the number of a special token (bos, eos, padding, unknown)."""
        return self.value(f"tokenizer.ggml.{name}_token_id")


def read_gguf(path: Path) -> GGUFModel:
    """Read a GGUF file: config, dequantised float32 weights, named as transformers names its parameters, and tokenizer.

    Dense Llamas are read here, in 5 seconds where transformers takes 15 (SmolLM2-135M, two cores). Files of another
    architecture, or with mixtures of experts or scaled rotary positions, go through transformers' own GGUF loading.
    What neither reads is a :class:`WeightsError`.
    """
    file = GGUFFile(Path(path))
    architecture = file.value("general.architecture", "unknown")
    try:
        if architecture == "llama" and file.value("llama.rope.scaling.type", "none") == "none":
            config = _llama_config(file)
            names = _llama_names(file, config)
            if names.keys() == {tensor.name for tensor in file.tensors}:
                return GGUFModel(config, _llama_weights(file, names), _tokenizer(file))
        return _read_with_transformers(file, architecture)
    except Exception as error:
        raise WeightsError(
            f"{path} (architecture {architecture!r:.60}) cannot be turned into a transformers model: "
            f"{type(error).__name__}: {error}. Pass a folder with config.json and *.safetensors instead."
        ) from error


def _llama_config(file: GGUFFile) -> LlamaConfig:
    from transformers import LlamaConfig

    there = {tensor.name: tensor for tensor in file.tensors}
    n_heads, width = file.llama("attention.head_count"), file.llama("embedding_length")
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=int(there["token_embd.weight"].shape[-1]),  # gguf names the fastest dimension first
        hidden_size=width,
        intermediate_size=file.llama("feed_forward_length"),
        num_hidden_layers=file.llama("block_count"),
        num_attention_heads=n_heads,
        num_key_value_heads=file.llama("attention.head_count_kv", n_heads),
        head_dim=file.llama("rope.dimension_count", width // n_heads),
        max_position_embeddings=file.llama("context_length"),
        rms_norm_eps=file.llama("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": file.llama("rope.freq_base", 10_000.0)},
        attention_bias="blk.0.attn_q.bias" in there,
        mlp_bias="blk.0.ffn_up.bias" in there,
        # llama.cpp writes the head only where it is not the embedding matrix.
        tie_word_embeddings="output.weight" not in there,
        bos_token_id=file.token("bos"),
        eos_token_id=file.token("eos"),
        pad_token_id=file.token("padding"),
    )


def _llama_names(file: GGUFFile, config: LlamaConfig) -> dict[str, str]:
    """Return transformers' name of each tensor that a dense Llama of this configuration has in such a file."""
    from transformers import LlamaForCausalLM

    if config.num_hidden_layers > len(file.tensors):  # looked at before so many blocks are built
        raise ValueError(f"{config.num_hidden_layers:,} blocks in {len(file.tensors):,} tensors")
    with torch.device("meta"):
        wanted = [name for name, _ in LlamaForCausalLM(config).named_parameters()]
    theirs = get_tensor_name_map(MODEL_ARCH.LLAMA, config.num_hidden_layers)
    return {str(theirs.get_name(name, try_suffixes=(".weight", ".bias"))): name for name in wanted}


def _llama_weights(file: GGUFFile, names: dict[str, str]) -> dict[str, torch.Tensor]:
    n_heads = file.llama("attention.head_count")
    heads = {"q_proj": n_heads, "k_proj": file.llama("attention.head_count_kv", n_heads)}

    def read(tensor: Any) -> tuple[str, torch.Tensor]:
        values = np.require(dequantize(tensor.data, tensor.tensor_type), np.float32, ["W", "E"])
        name = names[tensor.name]
        part = name.split(".")[-2]
        weight = torch.from_numpy(values)
        return name, _unpermute(weight, heads[part]) if part in heads else weight

    # numpy drops the GIL, so that two cores halve the time.
    with ThreadPoolExecutor(max_workers=2) as pool:
        return dict(pool.map(read, file.tensors))


def _unpermute(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Undo the reordering of query and key rows.

    llama.cpp rotates neighbouring pairs (x0 x1)(x2 x3)..., transformers rotates halves, so that the conversion to GGUF
    interleaved each head's two halves of rows (llama.cpp, convert_hf_to_gguf.py).
    """
    per_head = weight.shape[0] // n_heads
    pairs = weight.reshape(n_heads, per_head // 2, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape).contiguous()


def _tokenizer(file: GGUFFile) -> PreTrainedTokenizerBase:
    """Rebuild the tokenizer from the metadata; kinds that are not byte-level BPE go through transformers."""
    pre = file.value("tokenizer.ggml.pre", "")
    if file.value("tokenizer.ggml.model") != "gpt2" or pre not in _DIGIT_VOCABULARIES | {"gpt-2"}:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            str(file.path.parent), gguf_file=file.path.name, trust_remote_code=False, local_files_only=True
        )

    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = file.value("tokenizer.ggml.tokens")
    kinds = file.value("tokenizer.ggml.token_type", [1] * len(tokens))
    merges = [tuple(merge.split(" ", 1)) for merge in file.value("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    tokenizer.pre_tokenizer = (
        pre_tokenizers.Sequence([digits, byte_level]) if pre in _DIGIT_VOCABULARIES else byte_level
    )
    tokenizer.decoder = decoders.ByteLevel()
    pairs = list(zip(tokens, kinds, strict=True))
    tokenizer.add_special_tokens([AddedToken(t, normalized=False, special=True) for t, k in pairs if k == _CONTROL])
    tokenizer.add_tokens([AddedToken(t, normalized=False) for t, k in pairs if k == _USER_DEFINED])
    special = {
        name: tokens[at] for name in ("bos", "eos", "unknown", "padding") if (at := file.token(name)) is not None
    }
    if file.value("tokenizer.ggml.add_bos_token", False) and (bos := special.get("bos")):
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokens.index(bos))]
        )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=file.value("llama.context_length", sys.maxsize),
        bos_token=special.get("bos"),
        eos_token=special.get("eos"),
        unk_token=special.get("unknown"),
        pad_token=special.get("padding") or special.get("eos"),
    )
    fast.chat_template = file.value("tokenizer.chat_template")
    return fast


def _read_with_transformers(file: GGUFFile, architecture: str) -> GGUFModel:
    """Load through transformers, unpacked to float32, and keep the parts."""
    import transformers

    folder, name = str(file.path.parent), file.path.name
    logger.info("%s: architecture %r is read through transformers", name, architecture)
    if any(tensor.name == "rope_freqs.weight" for tensor in file.tensors):
        logger.warning("%s: its scaled rotary frequencies are ignored (long texts suffer)", name)
    safe: dict[str, Any] = {"gguf_file": name, "trust_remote_code": False, "local_files_only": True}
    # Newer versions keep some architectures packed unless told otherwise; older ones always unpack.
    unpack = getattr(transformers, "GgufConfig", None)
    packing = {} if unpack is None else {"quantization_config": unpack(dequantize=True)}
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **packing, **safe)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **safe)
    # The copy that is kept is not quantised.
    vars(model.config).pop("quantization_config", None)
    state = {key: value.detach() for key, value in model.state_dict().items()}
    for tied in getattr(model, "all_tied_weights_keys", None) or {}:
        state.pop(tied, None)
    return GGUFModel(model.config, state, tokenizer)
