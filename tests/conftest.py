"""Fixtures shared by every test folder: tiny random language models of the real classes.

Heavy packages are imported inside the fixtures, so that collecting the tests stays quick.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from scbioverse.llm.backbone import Backbone

# Numba gives torch its own number of threads back, whatever torch was told: after a first neighbour graph every process
# of several would have a thread for each core, and they would wait for one another.
if "OMP_NUM_THREADS" in os.environ:
    os.environ.setdefault("NUMBA_NUM_THREADS", os.environ["OMP_NUM_THREADS"])

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)

_TOKENIZER_TEXT = [
    "The cell type is naive CD4 T cell, memory CD4 T cell, CD8 T cell, regulatory T cell.",
    "B cell, plasma cell, natural killer cell, dendritic cell, platelet, megakaryocyte, erythrocyte.",
    "CD14 monocyte, CD16 monocyte, pancreatic beta cell, alpha cell, ductal cell, acinar cell.",
    "You are an expert in single-cell biology. Which cell type is this? Answer with one label.",
    "Cells are read from their gene expression: CD3E MS4A1 NKG7 LYZ FCGR3A PPBP INS GCG.",
]


def save_tiny_tokenizer(folder: Path, *, chat: bool) -> int:
    """Train a byte-level BPE tokenizer of about 300 entries, save it in `folder`, return its size.

    With `chat` it has a chat template and no BOS (as SmolLM2); without, a BOS that is added to every
    text and no chat template (as a base model).
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] if chat else ["<pad>", "<s>", "</s>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_TOKENIZER_TEXT, trainer)
    if chat:
        wrapped = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<|im_start|>", eos_token="<|im_end|>", pad_token="<|im_end|>"
        )
        wrapped.chat_template = CHAT_TEMPLATE
    else:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
        wrapped = PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
        )
    wrapped.save_pretrained(folder)
    return len(wrapped)


def save_tiny_llama(folder: Path) -> Path:
    """Save a random two-layer Llama (grouped-query attention, tied head) with a chat tokenizer."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    size = save_tiny_tokenizer(folder, chat=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            tie_word_embeddings=True,
            initializer_range=0.3,  # wide enough that the attention and the scores are not flat
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=2,
        )
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def save_tiny_neox(folder: Path) -> Path:
    """Save a random two-layer GPT-NeoX (untied head, other module names) with a BOS and no chat template."""
    import torch
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    size = save_tiny_tokenizer(folder, chat=False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = GPTNeoXConfig(
            vocab_size=size,
            hidden_size=32,
            intermediate_size=64,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
            tie_word_embeddings=False,
            initializer_range=0.3,
            hidden_dropout=0.0,
            attention_dropout=0.0,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
        GPTNeoXForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def tiny_llm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random Llama: 32 wide, 2 layers, tied head, chat template, no BOS added."""
    return save_tiny_llama(tmp_path_factory.mktemp("tiny-llama"))


@pytest.fixture(scope="session")
def tiny_llm_untied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny random GPT-NeoX: 32 wide, 2 layers, untied head, BOS added, no chat template."""
    return save_tiny_neox(tmp_path_factory.mktemp("tiny-neox"))


@pytest.fixture
def tiny_backbone(tiny_llm: Path) -> Backbone:
    """Return the tiny Llama, float32 on the CPU, fresh for each test."""
    from scbioverse.llm.backbone import Backbone

    return Backbone.load(str(tiny_llm), dtype="float32", device="cpu")


@pytest.fixture
def tiny_backbone_untied(tiny_llm_untied: Path) -> Backbone:
    """Return the tiny GPT-NeoX, float32 on the CPU, fresh for each test."""
    from scbioverse.llm.backbone import Backbone

    return Backbone.load(str(tiny_llm_untied), dtype="float32", device="cpu")


@pytest.fixture
def cache_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point `settings.cache_dir` at an empty folder and stay offline, for one test."""
    from scbioverse import settings

    monkeypatch.setattr(settings, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(settings, "offline", True)
    return tmp_path / "cache"
