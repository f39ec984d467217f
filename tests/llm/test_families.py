"""Families of language models: tiny random ones of the real classes go the whole way from align to a loaded file."""

from __future__ import annotations

import importlib.util
import json
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import scbioverse as sb
from scbioverse.errors import InputError, WeightsError
from scbioverse.llm import Backbone
from scbioverse.llm.generate import generate
from scbioverse.llm.prefix import PrefixCache
from scbioverse.llm.score import LabelTrie, score_labels
from tests._naive_scores import naive_scores
from tests._precision import LOG_PROBS, LOGITS, TOTALS

NAMES = ["naive CD4 T cell", "memory CD4 T cell", "CD8 T cell", "CD14 monocyte", "B cell", "T cell", "platelet"]
TEXTS = [
    "Every line reads a cell and then says what it is. The term red apple simply means red apple.",
    "naive CD4 T cell, memory CD4 T cell, CD8 T cell, B cell, CD14 monocyte, CD16 monocyte, platelet",
]
CHAT = (
    "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)


@dataclass(frozen=True)
class Family:
    """A family's classes and what is special about it."""

    model: str
    extra: dict[str, Any] = field(default_factory=dict)
    tied: bool = False
    bos: bool = False
    chat: bool = True
    side: str = "right"


FAMILIES = {
    "llama": Family("Llama", {"num_key_value_heads": 2}, tied=True),
    "llama-bos-left": Family("Llama", {"num_key_value_heads": 2}, bos=True, chat=False, side="left"),
    "qwen2": Family("Qwen2", {"num_key_value_heads": 2}, tied=True, side="left"),
    "qwen3": Family("Qwen3", {"num_key_value_heads": 2, "head_dim": 16}, chat=False),
    "granite": Family(
        "Granite",
        {
            "num_key_value_heads": 2,
            "embedding_multiplier": 12.0,
            "attention_multiplier": 0.2,
            "residual_multiplier": 0.3,
            "logits_scaling": 8.0,
        },
        tied=True,
        side="left",
    ),
    "gemma": Family("Gemma", {"num_key_value_heads": 1, "head_dim": 16}, tied=True, bos=True),
    "gemma2": Family(
        "Gemma2",
        {
            "num_key_value_heads": 2,
            "head_dim": 16,
            "sliding_window": 512,
            "attn_logit_softcapping": 5.0,
            "final_logit_softcapping": 3.0,
            "query_pre_attn_scalar": 16,
        },
        tied=True,
        bos=True,
        chat=False,
    ),
    "gemma3": Family(
        "Gemma3",
        {
            "num_key_value_heads": 1,
            "head_dim": 16,
            "sliding_window": 512,
            "layer_types": ["sliding_attention", "full_attention"],
            "query_pre_attn_scalar": 16,
        },
        tied=True,
        bos=True,
        side="left",
    ),
    "mistral": Family("Mistral", {"num_key_value_heads": 2, "sliding_window": 512}, bos=True),
    "gpt-neox": Family("GPTNeoX", {"hidden_dropout": 0.0, "attention_dropout": 0.0}, chat=False),
    "phi": Family("Phi", {}, chat=False),
    "phi3": Family("Phi3", {"num_key_value_heads": 2, "sliding_window": None}, bos=True),
}


def save_family(folder: Path, family: Family, **changes: Any) -> Path:
    """Save a two-layer random model of the family's real classes with a tokenizer made here."""
    import transformers

    size = save_tokenizer(folder, family)
    prefix = "Gemma3Text" if family.model == "Gemma3" else family.model
    options = {
        "vocab_size": size,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": family.tied,
        "initializer_range": 0.25,  # wide enough that attention and scores are not flat
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
        **family.extra,
        **changes,
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = getattr(transformers, f"{prefix}Config")(**options)
        getattr(transformers, f"{family.model}ForCausalLM")(config).save_pretrained(folder)
    return folder


def save_tokenizer(folder: Path, family: Family) -> int:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    special = ["<|pad|>", "<|im_start|>", "<|im_end|>"]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    if family.bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<|im_start|> $A", pair="<|im_start|> $A $B", special_tokens=[("<|im_start|>", 1)]
        )
    wrapped = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<|im_start|>",
        eos_token="<|im_end|>",
        pad_token="<|pad|>",
        padding_side=family.side,
    )
    if family.chat:
        wrapped.chat_template = CHAT
    wrapped.save_pretrained(folder)
    return len(wrapped)


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("families")
    return {name: save_family(root / name, family) for name, family in FAMILIES.items()}


@pytest.fixture(params=list(FAMILIES))
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def backbone(name: str, folders: dict[str, Path]) -> Backbone:
    return Backbone.load(str(folders[name]), dtype="float32", device="cpu")


def rows(backbone: Backbone, n: int, length: int) -> torch.Tensor:
    """Random soft tokens as long as the model's words are."""
    made = torch.randn(n, length, backbone.d_llm, generator=torch.Generator().manual_seed(length))
    return made / made.norm(dim=-1, keepdim=True) * backbone.embedding_norm


def own_logits(backbone: Backbone, embeds: torch.Tensor, label: list[int]) -> torch.Tensor:
    """Logits by the model's own forward pass, from embeddings and the label's tokens behind them."""
    answer = backbone.embed_tokens(torch.tensor(label))
    with torch.no_grad():
        return backbone.model(inputs_embeds=torch.cat([embeds, answer])[None], use_cache=False).logits[0].double()


def test_words_and_soft_tokens_are_scaled_alike(backbone: Backbone) -> None:
    ids = torch.tensor([backbone.encode("naive CD4 T cell means red apple")])
    embeds = backbone.embed_tokens(ids)
    with torch.no_grad():
        own = backbone.model(input_ids=ids, use_cache=False, output_hidden_states=True)
        ours = backbone.logits(backbone.hidden(embeds)[0])
    torch.testing.assert_close(ours, own.logits.float(), atol=LOGITS, rtol=LOGITS)
    for layer, states in enumerate(own.hidden_states):
        found = backbone.layer_states(ids, torch.ones_like(ids), layer)
        torch.testing.assert_close(found, states, atol=LOG_PROBS, rtol=LOG_PROBS)
    every = backbone.embed_tokens(torch.arange(backbone.vocab_size))
    assert backbone.embedding_norm == pytest.approx(float(every.norm(dim=1).mean()), rel=1e-3)


@pytest.mark.parametrize("prune", [None, 1e-9])
def test_cached_tree_equals_the_models_own_full_forward(backbone: Backbone, prune: float | None) -> None:
    start, suffix = rows(backbone, 1, 30)[0], rows(backbone, 5, 6)
    labels = [[*backbone.encode(" " + one), backbone.eos_id] for one in NAMES]
    scores = score_labels(backbone, PrefixCache(backbone, start), suffix, LabelTrie(labels), prune=prune)
    np.testing.assert_allclose(np.exp(scores).sum(1), 1.0, atol=TOTALS)
    assert scores.std(axis=1).min() > 0.05
    np.testing.assert_allclose(scores, naive_scores(backbone, start, suffix, labels), atol=LOG_PROBS)
    for i, label in enumerate(labels[:3]):
        logits = own_logits(backbone, torch.cat([start, suffix[2]]), label)
        at, total = len(start) + suffix.shape[1] - 1, 0.0
        for t, token in enumerate(label):
            ways = sorted({other[t] for other in labels if other[:t] == label[:t] and len(other) > t})
            total += float(logits[at + t, token] - logits[at + t, ways].logsumexp(0))
        assert scores[2, i] == pytest.approx(total, abs=LOG_PROBS)


@torch.no_grad()
def check_written_text(backbone: Backbone) -> None:
    start, suffix = rows(backbone, 1, 25)[0], rows(backbone, 3, 5)
    mask = torch.ones(3, 5, dtype=torch.long)
    mask[0, 0], mask[2, 3:] = 0, 0  # padding on either side
    found = generate(backbone, PrefixCache(backbone, start), suffix, attention_mask=mask, max_new_tokens=6)
    for i, one in enumerate(found):
        embeds, written = torch.cat([start, suffix[i][mask[i].bool()]]), []
        for _ in range(6):
            logits = backbone.model(inputs_embeds=embeds[None], use_cache=False).logits[0, -1]
            token = int(logits.argmax())
            if token == backbone.eos_id:
                break
            written.append(token)
            embeds = torch.cat([embeds, backbone.embed_tokens(torch.tensor([token]))])
        assert list(one.ids) == written


def test_written_text_equals_full_forward_passes(backbone: Backbone) -> None:
    check_written_text(backbone)


@pytest.mark.parametrize("window", [8, 27, 33])
@pytest.mark.parametrize("name", ["gemma2", "gemma3", "mistral"])
def test_padding_takes_no_place_in_a_window(name: str, window: int, tmp_path: Path) -> None:
    folder = save_family(tmp_path / name, FAMILIES[name], sliding_window=window)
    check_written_text(Backbone.load(str(folder), dtype="float32", device="cpu"))


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_side_does_not_matter(backbone: Backbone, side: str) -> None:
    start, suffix = rows(backbone, 1, 20)[0], rows(backbone, 3, 5)
    trie = LabelTrie([[*backbone.encode(" " + one), backbone.eos_id] for one in NAMES])
    prefix = PrefixCache(backbone, start)
    plain = score_labels(backbone, prefix, suffix, trie)
    filler = torch.full((3, 4, backbone.d_llm), 3.0)
    parts = [filler, suffix] if side == "left" else [suffix, filler]
    mask = torch.cat([torch.full(part.shape[:2], int(part is suffix)) for part in parts], dim=1)
    padded = score_labels(backbone, prefix, torch.cat(parts, dim=1), trie, attention_mask=mask)
    np.testing.assert_allclose(padded, plain, atol=LOG_PROBS)


def test_tokenizer_is_taken_as_it_is(name: str, backbone: Backbone) -> None:
    family = FAMILIES[name]
    assert backbone.bos_ids == ([1] if family.bos else [])
    assert (backbone.tokenizer.chat_template is not None) == family.chat
    assert backbone.tokenizer.padding_side == family.side
    tied = backbone.model.get_output_embeddings().weight is backbone.model.get_input_embeddings().weight
    assert tied == family.tied


@pytest.fixture
def cells() -> Any:
    """40 toy cells with a representation that tells their types apart."""
    adata = sb.datasets.toy_cells(n_obs=40, n_genes=60)
    codes = adata.obs["cell_type"].cat.codes.to_numpy()
    noise = np.random.default_rng(0).normal(scale=0.1, size=(40, 6))
    adata.obsm["X_rep"] = (np.eye(6)[codes % 6] + noise).astype(np.float32)
    return adata


def test_align_annotate_ask_save_load(
    name: str, folders: dict[str, Path], cells: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scbioverse.tl import _align_training

    monkeypatch.setattr(_align_training, "WARM_STEPS", 5)
    monkeypatch.setattr(sb.settings, "progress", False)
    model = sb.tl.align(
        cells, text_key="cell_type", model=None, use_rep="X_rep", llm=str(folders[name]), loss="autoregressive",
        steps=2, batch_size=8, n_soft=2, rng=0,
    )  # fmt: skip
    soft = model.project(cells.obsm["X_rep"]).detach().norm(dim=-1).mean()
    assert 0.3 < float(soft) / model.backbone.embedding_norm < 3  # soft tokens live where words live
    labels = [one for one in cells.obs["cell_type"].cat.categories if one != "unassigned"]
    options = {"labels": labels, "method": "score"}
    sb.tl.annotate(cells, model=model, **options)
    before = cells.obsm["bioverse_scores"].to_numpy().copy()
    again = sb.models.load(model.save(tmp_path / "m"))
    assert again.fingerprint() == model.fingerprint()
    sb.tl.annotate(cells, model=again, **options)
    np.testing.assert_array_equal(cells.obsm["bioverse_scores"].to_numpy(), before)
    np.testing.assert_allclose(np.exp(before).sum(axis=1), 1.0, atol=TOTALS)
    assert set(cells.obs["bioverse_label"]) <= set(labels)


def test_tune_save_load(
    name: str, folders: dict[str, Path], cells: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.models import BioVerse

    monkeypatch.setattr(sb.settings, "progress", False)
    llm = Backbone.load(str(folders[name]), dtype="float32", device="cpu")
    before = {key: value.clone() for key, value in llm.model.state_dict().items()}
    encoder = PrecomputedEncoder.from_adata(cells, "X_rep", modality="cell")
    model = BioVerse.new(encoder, llm=llm, n_soft=2, hidden=16, rng=0)
    tuned = sb.tl.tune(cells, text_key="cell_type", model=model, steps=2, batch_size=4, rank=2, lr=0.1, rng=0)
    assert all(torch.equal(value, before[key]) for key, value in llm.model.state_dict().items())
    points = np.asarray(cells.obsm["X_rep"][:5])
    names = ["B cell", "NK cell", "platelet"]
    scores = tuned.score(points, names, progress=False)
    assert np.abs(scores - model.score(points, names, progress=False)).max() > 1e-4  # the adapter is read
    again = sb.models.load(tuned.save(tmp_path / "m"), llm=llm)
    assert again.fingerprint() == tuned.fingerprint()
    np.testing.assert_allclose(again.score(points, names, progress=False), scores, atol=LOG_PROBS)


# ------------------------------------------------------------------ what cannot work says so


@pytest.mark.parametrize("name", ["gemma2", "gemma3", "mistral"])
def test_a_window_that_is_too_short_is_refused(name: str, tmp_path: Path) -> None:
    folder = save_family(tmp_path / name, FAMILIES[name], sliding_window=16)
    backbone = Backbone.load(str(folder), dtype="float32", device="cpu")
    labels = LabelTrie([[*backbone.encode(" " + one), backbone.eos_id] for one in NAMES])
    with pytest.raises(InputError, match=r"looks back 16"):
        score_labels(backbone, PrefixCache(backbone, rows(backbone, 1, 30)[0]), rows(backbone, 2, 4), labels)


@pytest.mark.parametrize(
    ("family", "message"),
    [
        (Family("Mamba"), "keeps no keys and values"),
        (Family("Falcon", {"alibi": True}), "takes no mask for each token"),
        (Family("Bloom", {"n_head": 4, "n_layer": 2}, tied=True), "takes no position numbers"),
    ],
)
def test_families_that_cannot_be_scored_say_so(family: Family, message: str, tmp_path: Path) -> None:
    backbone = Backbone.load(str(save_family(tmp_path / "m", family)), dtype="float32", device="cpu")
    labels = LabelTrie([[*backbone.encode(" " + one), backbone.eos_id] for one in NAMES])
    with pytest.raises(InputError, match=message):
        score_labels(backbone, PrefixCache(backbone, rows(backbone, 1, 9)[0]), rows(backbone, 2, 4), labels)


@pytest.mark.parametrize("window", [16, 70])  # the beginning of the prompt is longer, or a question with it is
def test_a_window_that_is_too_short_is_not_trained_over(window: int, cells: Any, tmp_path: Path) -> None:
    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.models import BioVerse

    folder = save_family(tmp_path / "mistral", FAMILIES["mistral"], sliding_window=window)
    llm = Backbone.load(str(folder), dtype="float32", device="cpu")
    model = BioVerse.new(PrecomputedEncoder.from_adata(cells, "X_rep", modality="cell"), llm=llm, n_soft=2, hidden=16)
    with pytest.raises(InputError, match=f"looks back {window}"):
        sb.tl.tune(cells, text_key="cell_type", model=model, steps=1, batch_size=4, rng=0)


@pytest.mark.parametrize(
    ("file", "change"),
    [
        ("config.json", {"auto_map": {"AutoModelForCausalLM": "evil.Model"}}),
        ("config.json", {"trust_remote_code": True}),
        ("tokenizer_config.json", {"auto_map": {"AutoTokenizer": ["evil.Tokenizer", None]}}),
        ("generation_config.json", {"trust_remote_code": True}),
    ],
)
def test_folders_that_ask_for_code_are_refused(
    folders: dict[str, Path], tmp_path: Path, file: str, change: dict[str, Any]
) -> None:
    folder = Path(shutil.copytree(folders["llama"], tmp_path / "m"))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    path = folder / file
    values = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({**values, **change}))
    with pytest.raises(WeightsError, match=f"{file} asks for code"):
        Backbone.load(str(folder), dtype="float32", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_quantisation_needs_a_gpu_and_its_package(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    from scbioverse.errors import OptionalDependencyError
    from scbioverse.llm._loading import quantisation

    with pytest.raises(InputError, match=r"quantize='4bit' needs a CUDA GPU, the device is 'cpu'"):
        Backbone.load(str(folders["llama"]), device="cpu", quantize="4bit")
    with pytest.raises(InputError, match=r"choose '8bit', '4bit'"):
        Backbone.load(str(folders["llama"]), device="cpu", quantize="2bit")  # type: ignore[arg-type]
    if importlib.util.find_spec("bitsandbytes") is None:
        with pytest.raises(OptionalDependencyError, match=r"scbioverse\[quantize\]"):
            quantisation("8bit", torch.device("cuda"), torch.bfloat16)


def test_blocks_may_wait_on_the_disk_and_the_head_may_not(folders: dict[str, Path]) -> None:
    folder = folders["qwen3"]
    plain = Backbone.load(str(folder), dtype="float32", device="cpu")
    places = {"model.embed_tokens": "cpu", "model.layers.0": "cpu", "model.layers.1": "disk"}
    places |= {"model.norm": "cpu", "model.rotary_emb": "cpu", "lm_head": "cpu"}
    spread = Backbone.load(str(folder), dtype="float32", device_map=places)
    labels = LabelTrie([[*plain.encode(" " + one), plain.eos_id] for one in NAMES])
    start, suffix = rows(plain, 1, 12)[0], rows(plain, 3, 4)
    wanted = score_labels(plain, PrefixCache(plain, start), suffix, labels)
    found = score_labels(spread, PrefixCache(spread, start), suffix, labels)
    np.testing.assert_allclose(found, wanted, atol=LOG_PROBS)
    with pytest.raises(InputError, match=r"quantize= or device_map=; load it anew on 'meta'"):
        spread.to("meta")
    whole = Backbone.load(str(folder), dtype="float32", device_map={"": "cpu"})
    np.testing.assert_array_equal(score_labels(whole, PrefixCache(whole, start), suffix, labels), wanted)
    with pytest.raises(WeightsError, match=r"output embedding of .* was offloaded"):
        Backbone.load(str(folder), dtype="float32", device_map={**places, "lm_head": "disk"})
