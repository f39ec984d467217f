"""Read a GGUF file into what transformers needs: a config, float32 weights and a tokenizer.

Dequantisation is the gguf package's own; names and the order of query and key rows are put back here.
"""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch

from .._logging import logger
from ..errors import WeightsError
from ._gguf_header import GGUFHeader, read_header

if TYPE_CHECKING:
    from transformers import PretrainedConfig, PreTrainedTokenizerBase

# What llama.cpp calls the tensors of a Llama block, and what transformers calls them.
_BLOCK_NAMES = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_TOP_NAMES = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

# Vocabularies whose merges were learned with every digit by itself, then GPT-2's split
# (llama.cpp, llm_tokenizer_bpe). transformers' own converter does not know them.
_DIGIT_VOCABULARIES = frozenset({"smollm", "starcoder", "refact", "codeshell", "command-r"})
_CONTROL, _USER_DEFINED = 3, 4


class GGUFModel(NamedTuple):
    """What :func:`read_gguf` returns. `state_dict` is float32, without the head where that is tied."""

    config: PretrainedConfig
    state_dict: dict[str, torch.Tensor]
    tokenizer: PreTrainedTokenizerBase


def read_gguf(path: Path) -> GGUFModel:
    """Read a GGUF file: config, dequantised float32 weights and tokenizer.

    Llama-style files are read here. Files of another architecture, or with mixtures of experts or
    scaled rotary positions, go through transformers' own GGUF loading, which is slower.

    Parameters
    ----------
    path
        The `.gguf` file.

    Returns
    -------
    The model's parts; `state_dict` is named as transformers names its parameters.

    Raises
    ------
    WeightsError
        The file is absent, truncated or damaged, or neither reader knows its architecture.
    """
    header = read_header(Path(path))
    try:
        if not _is_plain_llama(header):
            return _read_with_transformers(header)
        return GGUFModel(_llama_config(header), _llama_weights(header), _tokenizer(header))
    except WeightsError:
        raise
    except Exception as error:
        raise WeightsError(
            f"{path} (architecture {header.architecture!r}) cannot be turned into a transformers model: "
            f"{type(error).__name__}: {error}. Pass a folder with config.json and *.safetensors instead."
        ) from error


def _is_plain_llama(header: GGUFHeader) -> bool:
    """Whether every tensor of the file is one that a dense Llama without scaled positions has."""
    if header.architecture != "llama" or header.metadata.get("llama.rope.scaling.type", "none") != "none":
        return False
    return all(_llama_name(name) is not None for name in header.tensors)


def _llama_name(name: str) -> str | None:
    """Translate a tensor name (`blk.0.attn_q.weight`) to transformers' (`model.layers.0.self_attn.q_proj.weight`)."""
    stem, _, leaf = name.rpartition(".")
    if leaf not in ("weight", "bias"):
        return None
    if stem in _TOP_NAMES:
        return f"{_TOP_NAMES[stem]}.{leaf}"
    head, _, rest = stem.partition(".")
    block, _, part = rest.partition(".")
    if head != "blk" or not block.isdigit() or part not in _BLOCK_NAMES:
        return None
    return f"model.layers.{block}.{_BLOCK_NAMES[part]}.{leaf}"


def _llama_config(header: GGUFHeader) -> PretrainedConfig:
    from transformers import LlamaConfig

    def field(name: str, default: Any = None) -> Any:
        value = header.metadata.get(f"llama.{name}", default)
        if value is None:
            raise ValueError(f"the metadata lack 'llama.{name}'")
        return value

    def token(name: str) -> int | None:
        return header.metadata.get(f"tokenizer.ggml.{name}_token_id")

    n_heads, width = field("attention.head_count"), field("embedding_length")
    return LlamaConfig(
        architectures=["LlamaForCausalLM"],
        vocab_size=header.tensors["token_embd.weight"].shape[0],
        hidden_size=width,
        intermediate_size=field("feed_forward_length"),
        num_hidden_layers=field("block_count"),
        num_attention_heads=n_heads,
        num_key_value_heads=field("attention.head_count_kv", n_heads),
        head_dim=field("rope.dimension_count", width // n_heads),
        max_position_embeddings=field("context_length"),
        rms_norm_eps=field("attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": field("rope.freq_base", 10_000.0)},
        attention_bias="blk.0.attn_q.bias" in header.tensors,
        mlp_bias="blk.0.ffn_up.bias" in header.tensors,
        # llama.cpp writes the head only where it is not the embedding matrix.
        tie_word_embeddings="output.weight" not in header.tensors,
        bos_token_id=token("bos"),
        eos_token_id=token("eos"),
        pad_token_id=token("padding"),
    )


def _llama_weights(header: GGUFHeader) -> dict[str, torch.Tensor]:
    from gguf.constants import GGMLQuantizationType
    from gguf.quants import dequantize, quant_shape_to_byte_shape

    data = np.memmap(header.path, dtype=np.uint8, mode="r")
    n_heads = header.metadata["llama.attention.head_count"]
    heads = {"attn_q": n_heads, "attn_k": header.metadata.get("llama.attention.head_count_kv", n_heads)}

    def read(name: str) -> torch.Tensor:
        info = header.tensors[name]
        kind = GGMLQuantizationType(info.kind)
        raw = data[info.start : info.stop]
        if kind in (GGMLQuantizationType.F32, GGMLQuantizationType.F16):
            stored = np.dtype("<f4" if kind == GGMLQuantizationType.F32 else "<f2")
            values = raw.view(stored).astype(np.float32)
        else:
            values = dequantize(raw.reshape(quant_shape_to_byte_shape(info.shape, kind)), kind)
        part = name.split(".")[-2]
        weight = torch.from_numpy(values).reshape(info.shape)
        return _unpermute(weight, heads[part]) if part in heads else weight

    # numpy drops the GIL, so that two cores halve the time.
    with ThreadPoolExecutor(max_workers=2) as pool:
        weights = list(pool.map(read, header.tensors))
    return {str(_llama_name(name)): weight for name, weight in zip(header.tensors, weights, strict=True)}


def _unpermute(weight: torch.Tensor, n_heads: int) -> torch.Tensor:
    """Undo llama.cpp's reordering of query and key rows.

    llama.cpp rotates neighbouring pairs (x0 x1)(x2 x3)..., transformers rotates halves, so that the
    conversion to GGUF interleaved each head's two halves of rows (llama.cpp, convert_hf_to_gguf.py).
    """
    per_head = weight.shape[0] // n_heads
    pairs = weight.reshape(n_heads, per_head // 2, 2, *weight.shape[1:])
    return pairs.transpose(1, 2).reshape(weight.shape).contiguous()


def _tokenizer(header: GGUFHeader) -> PreTrainedTokenizerBase:
    """Rebuild the tokenizer from the metadata; kinds that are not byte-level BPE go through transformers."""
    meta = header.metadata
    pre = meta.get("tokenizer.ggml.pre", "")
    if meta.get("tokenizer.ggml.model") != "gpt2" or pre not in _DIGIT_VOCABULARIES | {"gpt-2"}:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(
            str(header.path.parent), gguf_file=header.path.name, trust_remote_code=False, local_files_only=True
        )

    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    tokens: list[str] = meta["tokenizer.ggml.tokens"]
    kinds = meta.get("tokenizer.ggml.token_type", [1] * len(tokens))
    merges = [tuple(merge.split(" ", 1)) for merge in meta["tokenizer.ggml.merges"]]
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

    def special(name: str) -> str | None:
        index = meta.get(f"tokenizer.ggml.{name}_token_id")
        return None if index is None else tokens[index]

    bos = special("bos")
    if meta.get("tokenizer.ggml.add_bos_token", False) and bos is not None:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", pair=f"{bos} $A {bos} $B", special_tokens=[(bos, tokens.index(bos))]
        )
    named = {"bos_token": bos, "eos_token": special("eos"), "unk_token": special("unknown")}
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        model_max_length=meta.get("llama.context_length", sys.maxsize),
        pad_token=special("padding") or special("eos"),
        **{name: token for name, token in named.items() if token is not None},
    )
    fast.chat_template = meta.get("tokenizer.chat_template")
    return fast


def _read_with_transformers(header: GGUFHeader) -> GGUFModel:
    """Load through transformers, unpacked to float32, and keep the parts."""
    import transformers
    from transformers import AutoModelForCausalLM, AutoTokenizer

    logger.info("%s: architecture %r is read through transformers", header.path.name, header.architecture)
    if "rope_freqs.weight" in header.tensors:
        logger.warning("%s: its scaled rotary frequencies are ignored (long texts suffer)", header.path.name)
    folder, name = str(header.path.parent), header.path.name
    safe: dict[str, Any] = {"trust_remote_code": False, "local_files_only": True}
    # Newer versions keep some architectures packed unless told otherwise; older ones always unpack.
    options = dict(safe)
    if hasattr(transformers, "GgufConfig"):
        options["quantization_config"] = transformers.GgufConfig(dequantize=True)
    model = AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32, **options)
    tokenizer = AutoTokenizer.from_pretrained(folder, gguf_file=name, **safe)
    config = model.config
    if hasattr(config, "quantization_config"):
        del config.quantization_config  # the copy that is kept is not quantised
    state = {key: value.detach() for key, value in model.state_dict().items()}
    for tied in getattr(model, "all_tied_weights_keys", None) or {}:
        state.pop(tied, None)
    return GGUFModel(config, state, tokenizer)
