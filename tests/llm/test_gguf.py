from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scbioverse import settings
from scbioverse.errors import WeightsError
from scbioverse.llm import gguf
from scbioverse.llm.gguf import GGUFFile, read_gguf
from tests._precision import LOGITS

TEXTS = ["naive CD4 T cell", "a  12 x\n\n3\t4 B cells' IL-2R\u03b1", "<|im_start|>user\nhi 007<|im_end|>"]


def interleave(weight: np.ndarray, n_heads: int) -> np.ndarray:
    """Order query and key rows as llama.cpp's converter does."""
    halves = weight.reshape(n_heads, 2, len(weight) // n_heads // 2, *weight.shape[1:])
    return np.ascontiguousarray(halves.swapaxes(1, 2).reshape(weight.shape))


GGUF_NAMES = {
    "model.embed_tokens": "token_embd",
    "model.norm": "output_norm",
    "lm_head": "output",
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}


def write_gguf(
    path: Path, model: Any, tokenizer_folder: Path, *, quantization: str = "F32", pre: str = "smollm"
) -> Path:
    """Write a transformers Llama or Qwen2 as GGUF, with the package that llama.cpp publishes for it."""
    from gguf import GGMLQuantizationType, GGUFWriter
    from gguf.quants import quantize

    config = model.config
    architecture = config.model_type
    writer = GGUFWriter(path, architecture)
    writer.add_name("tiny")
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if architecture == "llama":
        writer.add_rope_dimension_count(config.head_dim)
        writer.add_vocab_size(config.vocab_size)

    saved = json.loads((tokenizer_folder / "tokenizer.json").read_text(encoding="utf-8"))
    vocab = sorted(saved["model"]["vocab"], key=saved["model"]["vocab"].get)
    special = {token["content"] for token in saved["added_tokens"]}
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocab)
    writer.add_token_types([3 if token in special else 1 for token in vocab])
    writer.add_token_merges([" ".join(merge) for merge in saved["model"]["merges"]])
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(2)
    writer.add_add_bos_token(False)
    writer.add_chat_template("{% for message in messages %}{{ message['content'] }}{% endfor %}")

    heads = {"attn_q": config.num_attention_heads, "attn_k": config.num_key_value_heads}
    for name, tensor in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        stem, _, leaf = name.rpartition(".")
        block = ""
        if stem.startswith("model.layers."):
            _, _, number, stem = stem.split(".", 3)
            block = f"blk.{number}."
        part = GGUF_NAMES[stem]
        values = tensor.numpy()
        if architecture == "llama" and part in heads:
            values = interleave(values, heads[part])
        kind = GGMLQuantizationType[quantization if values.ndim == 2 else "F32"]
        raw = quantize(values, kind) if kind != GGMLQuantizationType.F32 else values
        writer.add_tensor(f"{block}{part}.{leaf}", raw, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def load_folder(folder: Path, **kwargs: Any) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, **kwargs).eval()


def rebuild(path: Path) -> Any:
    """A transformers model from what read_gguf returns."""
    from transformers import AutoModelForCausalLM

    parts = read_gguf(path)
    model = AutoModelForCausalLM.from_config(parts.config, dtype=torch.float32)
    missing, unexpected = model.load_state_dict(parts.state_dict, strict=False)
    assert not unexpected
    assert set(missing) <= {"lm_head.weight"}
    model.tie_weights()
    return model.eval()


@torch.no_grad()
def logits(model: Any) -> torch.Tensor:
    ids = torch.arange(3, 40)[None]
    return model(input_ids=ids).logits


@pytest.fixture(scope="module")
def tiny_gguf(tiny_llm: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf", load_folder(tiny_llm), tiny_llm)


def test_unquantised_weights_and_logits_are_the_models(tiny_gguf: Path, tiny_llm: Path) -> None:
    original = load_folder(tiny_llm)
    parts = read_gguf(tiny_gguf)
    expected = original.state_dict()
    assert set(parts.state_dict) == set(expected) - {"lm_head.weight"}
    for name, tensor in parts.state_dict.items():
        assert tensor.dtype == torch.float32
        assert torch.equal(tensor, expected[name]), name
    assert torch.allclose(logits(rebuild(tiny_gguf)), logits(original), atol=LOGITS)


@pytest.mark.parametrize("quantization", ["F16", "Q8_0", "Q4_1"])
@pytest.mark.parametrize("tied", [True, False])
def test_logits_equal_transformers_own_reading(tmp_path: Path, tiny_llm: Path, quantization: str, tied: bool) -> None:
    model = load_folder(tiny_llm)
    if not tied:
        model.config.tie_word_embeddings = False
        model.lm_head.weight = torch.nn.Parameter(torch.randn_like(model.lm_head.weight))
    path = write_gguf(tmp_path / "m.gguf", model, tiny_llm, quantization=quantization)
    ours = rebuild(path)
    assert ours.config.tie_word_embeddings is tied
    theirs = load_folder(tmp_path, gguf_file="m.gguf")
    assert torch.allclose(logits(ours), logits(theirs), atol=LOGITS)
    # Near the unquantised model, too: both readers could be wrong in the same way.
    least = {"F16": 0.999, "Q8_0": 0.99, "Q4_1": 0.7}[quantization]
    assert torch.corrcoef(torch.stack([logits(ours).flatten(), logits(model).flatten()]))[0, 1] > least


@pytest.mark.parametrize("progress", [False, True])
def test_a_bar_is_drawn_only_where_bars_are_wanted(
    tiny_gguf: Path, progress: bool, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(settings, "progress", progress)
    read_gguf(tiny_gguf)
    assert ("tensors" in capfd.readouterr().err) is progress


def test_config_holds_the_shape(tiny_gguf: Path, tiny_llm: Path) -> None:
    from transformers import AutoConfig

    config, expected = read_gguf(tiny_gguf).config, AutoConfig.from_pretrained(tiny_llm)
    names = [
        *("model_type", "vocab_size", "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
        *("num_key_value_heads", "head_dim", "max_position_embeddings", "tie_word_embeddings"),
        *("bos_token_id", "eos_token_id", "pad_token_id"),
    ]
    for field in names:
        assert getattr(config, field) == getattr(expected, field), field


def test_tokenizer_is_rebuilt(tiny_gguf: Path, tiny_llm: Path) -> None:
    from transformers import AutoTokenizer

    tokenizer, original = read_gguf(tiny_gguf).tokenizer, AutoTokenizer.from_pretrained(tiny_llm)
    assert len(tokenizer) == len(original)
    assert (tokenizer.eos_token, tokenizer.bos_token, tokenizer.pad_token) == (
        "<|im_end|>",
        "<|im_start|>",
        "<|im_end|>",
    )
    assert tokenizer("naive CD4 T cell").input_ids == original("naive CD4 T cell").input_ids
    assert tokenizer.chat_template.startswith("{% for message")
    for text in TEXTS:
        assert tokenizer.decode(tokenizer(text).input_ids) == text
    assert tokenizer("<|im_end|>").input_ids == [2]


def test_digits_are_split_before_spaces_are_joined(tiny_gguf: Path) -> None:
    # SmolLM2's own tokenizer splits off digits first, so that spaces before a digit stay together.
    backend = read_gguf(tiny_gguf).tokenizer.backend_tokenizer
    pieces = [piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str("a  12")]
    assert pieces == ["a", "ĠĠ", "1", "2"]


def test_another_architecture_goes_through_transformers(tmp_path: Path, tiny_llm: Path) -> None:
    from transformers import Qwen2Config, Qwen2ForCausalLM

    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=320,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=128,
        tie_word_embeddings=True,
        initializer_range=0.3,
    )
    model = Qwen2ForCausalLM(config).eval()
    path = write_gguf(tmp_path / "qwen.gguf", model, tiny_llm, pre="qwen2")
    parts = read_gguf(path)
    assert parts.config.model_type == "qwen2"
    assert "lm_head.weight" not in parts.state_dict
    assert not hasattr(parts.config, "quantization_config")
    assert torch.allclose(logits(rebuild(path)), logits(model), atol=LOGITS)


def header_end(path: Path) -> int:
    return min(one.data_offset for one in GGUFFile(path).tensors)


def tensors_end(path: Path) -> int:
    return max(one.data_offset + one.n_bytes for one in GGUFFile(path).tensors)


@pytest.mark.parametrize("keep", ["2 bytes", "20 bytes", "half the header", "the header", "all but one byte"])
def test_truncated_file(tiny_gguf: Path, tmp_path: Path, keep: str) -> None:
    content = tiny_gguf.read_bytes()
    head = header_end(tiny_gguf)
    size = {
        "2 bytes": 2,
        "20 bytes": 20,
        "half the header": head // 2,
        "the header": head,
        "all but one byte": tensors_end(tiny_gguf) - 1,
    }[keep]
    path = tmp_path / "cut.gguf"
    path.write_bytes(content[:size])
    with pytest.raises(WeightsError, match=r"cut\.gguf is truncated"):
        read_gguf(path)


def test_every_cut_is_noticed(tiny_gguf: Path, tmp_path: Path) -> None:
    content = tiny_gguf.read_bytes()
    path = tmp_path / "cut.gguf"
    for size in np.linspace(1, tensors_end(tiny_gguf) - 1, 60).astype(int):
        path.write_bytes(content[:size])
        with pytest.raises(WeightsError):
            GGUFFile(path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"PK\x03\x04" + bytes(60), "magic"),
        (b"GGUF" + struct.pack("<IQQ", 99, 0, 0), "version 99"),
        (b"GGUF" + struct.pack("<IQQ", 3, 2**60, 2**60), "truncated"),
        (b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 1) + b"k" + struct.pack("<I", 77), r"77\) is not a valid"),
    ],
)
def test_not_gguf(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        GGUFFile(path)


def test_numbers_in_the_other_order_are_refused(tmp_path: Path) -> None:
    from gguf import GGUFEndian, GGUFWriter

    writer = GGUFWriter(tmp_path / "big.gguf", "llama", endianess=GGUFEndian.BIG)
    writer.add_tensor("token_embd.weight", np.zeros((8, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(WeightsError, match="big-endian"):
        read_gguf(tmp_path / "big.gguf")


def test_a_header_of_too_many_values_is_refused(tiny_gguf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gguf, "_MOST_VALUES", 1000)
    with pytest.raises(WeightsError, match="more than 1,000 values"):
        read_gguf(tiny_gguf)


def test_missing_metadata_is_named(tmp_path: Path) -> None:
    from gguf import GGUFWriter

    writer = GGUFWriter(tmp_path / "bare.gguf", "llama")
    writer.add_tensor("token_embd.weight", np.zeros((8, 4), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(WeightsError, match=r"llama\.block_count"):
        read_gguf(tmp_path / "bare.gguf")


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is missing"):
        read_gguf(tmp_path / "none.gguf")
