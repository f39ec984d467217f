"""The vLLM backend with the engine played by transformers: what is asked, what is checked, what comes out."""

from __future__ import annotations

import importlib.util
import json
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from scbioverse.errors import InputError, MismatchError, OptionalDependencyError, WeightsError
from scbioverse.llm import Backbone
from scbioverse.llm._vllm import VLLMBackbone
from scbioverse.llm._vllm_checks import check_prompt, read_answer, read_table
from scbioverse.llm.score import naive_scores
from scbioverse.llm.trie import LabelTrie
from tests._precision import LOG_PROBS, TOTALS

NAMES = ["naive CD4 T cell", "memory CD4 T cell", "CD8 T cell", "B cell", "T cell", "platelet"]
HAS_VLLM = importlib.util.find_spec("vllm") is not None


class FakeEngine:
    """Answers requests as vLLM does, one by one through the model itself."""

    def __init__(self, backbone: Backbone, mode: str = "processed") -> None:
        self.backbone, self.mode, self.requests = backbone, mode, []

    @torch.no_grad()
    def generate(self, prompts: list[dict[str, torch.Tensor]], parameters: list[Any], *, use_tqdm: bool) -> list[Any]:
        out = []
        for prompt, wanted in zip(prompts, parameters, strict=True):
            self.requests.append((tuple(prompt["prompt_embeds"].shape), wanted))
            logits = self.backbone.model(inputs_embeds=prompt["prompt_embeds"][None], use_cache=False).logits[0, -1]
            if self.mode == "processed":
                masked = torch.full_like(logits, -torch.inf)
                masked[wanted.allowed_token_ids] = logits[wanted.allowed_token_ids]
                logits = masked
            top = logits.log_softmax(0).topk(wanted.logprobs)
            answer = {int(token): SimpleNamespace(logprob=float(value)) for value, token in zip(*top, strict=True)}
            out.append(SimpleNamespace(outputs=[SimpleNamespace(logprobs=[answer])]))
        return out


def backend(backbone: Backbone, **more: Any) -> VLLMBackbone:
    engine = more.pop("engine", None) or FakeEngine(backbone)
    table = backbone.model.get_input_embeddings().weight.detach()
    return VLLMBackbone(
        engine, table, backbone.tokenizer, name=backbone.name, sha256=backbone.sha256,
        **{"max_length": 512, "sampling": SimpleNamespace, **more},
    )  # fmt: skip


def draw(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture(params=["tiny_backbone", "tiny_backbone_untied"])
def backbone(request: pytest.FixtureRequest) -> Backbone:
    return request.getfixturevalue(request.param)


def labels(backbone: Backbone) -> list[list[int]]:
    return [[*backbone.encode(" " + name), backbone.eos_id] for name in NAMES]


@pytest.mark.parametrize("batch_size", [1, 2, 50])
def test_same_scores_as_the_full_forward(backbone: Backbone, batch_size: int) -> None:
    start, suffix, sequences = draw(7, 32), draw(5, 4, 32), labels(backbone)
    mask = torch.ones(5, 4)
    mask[1, 0], mask[3, 3] = 0, 0  # padding on either side is never sent
    engine = backend(backbone)
    found = engine.score_labels(start, suffix, LabelTrie(sequences), attention_mask=mask, batch_size=batch_size)
    wanted = naive_scores(backbone, start, suffix, sequences, attention_mask=mask)
    np.testing.assert_allclose(found, wanted, atol=LOG_PROBS)
    np.testing.assert_allclose(np.exp(found).sum(axis=1), 1.0, atol=TOTALS)
    lengths = [shape[0] for shape, _ in engine.engine.requests]
    assert min(lengths) == 7 + 3
    assert len(lengths) == 5 * len(LabelTrie(sequences).branches)
    for _, asked in engine.engine.requests:
        assert (asked.max_tokens, asked.temperature, asked.logprobs) == (1, 0.0, len(asked.allowed_token_ids))


def test_whole_model_scores_through_the_engine(tiny_backbone: Backbone) -> None:
    import anndata as ad

    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.models import BioVerse

    points = np.random.default_rng(0).normal(size=(6, 5)).astype(np.float32)
    adata = ad.AnnData(np.zeros((6, 1), dtype=np.float32), obsm={"X_rep": points})
    model = BioVerse.new(PrecomputedEncoder.from_adata(adata, "X_rep", modality="cell"), llm=tiny_backbone, rng=0)
    wanted = model.score(points, NAMES, progress=False)
    served = BioVerse(model.config, encoders=model.encoders, modules=model.modules, backbone=backend(tiny_backbone))
    np.testing.assert_allclose(served.score(points, NAMES, progress=False), wanted, atol=LOG_PROBS)
    with pytest.raises(InputError, match=r"backend='vllm' only scores labels"):
        served.fit_text_space(["a text", "another"])
    other = backend(tiny_backbone)
    other.sha256 = "0" * 64
    with pytest.raises(MismatchError, match="sha256"):
        BioVerse(model.config, encoders=model.encoders, modules=model.modules, backbone=other)


@pytest.mark.parametrize(
    ("embeds", "message"),
    [
        (torch.zeros(3, 31), r"must be \(T, 32\)"),
        (torch.zeros(0, 32), r"must be \(T, 32\)"),
        (torch.zeros(1, 3, 32), r"must be \(T, 32\)"),
        (torch.zeros(3, 32, dtype=torch.float64), "must be torch.float32"),
        (torch.zeros(3, 32, dtype=torch.int64), "must be torch.float32"),
        (torch.full((3, 32), torch.nan), "finite"),
        (torch.full((3, 32), torch.inf), "finite"),
        (torch.zeros(3, 32).to_sparse(), "dense"),
        (torch.zeros(16, 32), "leaves no room"),
    ],
)
def test_nothing_malformed_reaches_the_engine(embeds: torch.Tensor, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_prompt(embeds, d_llm=32, dtype=torch.float32, max_length=16)


def test_bad_rows_are_refused_before_any_request(tiny_backbone: Backbone) -> None:
    engine, trie = backend(tiny_backbone), LabelTrie(labels(tiny_backbone))
    bad = draw(2, 4, 32)
    bad[1, 2, 5] = torch.nan
    for suffix, mask in ((bad, None), (draw(2, 4, 31), None), (draw(4, 32), None), (draw(2, 4, 32), torch.ones(2, 3))):
        with pytest.raises(InputError):
            engine.score_labels(draw(7, 32), suffix, trie, attention_mask=mask)
    with pytest.raises(InputError, match="leaves no room"):
        backend(tiny_backbone, max_length=9).score_labels(draw(7, 32), draw(1, 4, 32), trie)
    assert engine.engine.requests == []


def test_an_engine_in_another_mode_is_told_so(tiny_backbone: Backbone) -> None:
    engine = backend(tiny_backbone, engine=FakeEngine(tiny_backbone, mode="raw"))
    with pytest.raises(InputError, match=r"logprobs_mode='processed_logprobs'"):
        engine.score_labels(draw(7, 32), draw(2, 4, 32), LabelTrie(labels(tiny_backbone)))
    empty = SimpleNamespace(outputs=[])
    with pytest.raises(InputError, match="1 of 1 allowed"):
        read_answer(empty, [3])


def test_table_is_read_alone(tiny_llm: Path, tiny_llm_untied: Path, tmp_path: Path, tiny_backbone: Backbone) -> None:
    assert torch.equal(read_table(tiny_llm), tiny_backbone.model.get_input_embeddings().weight)
    assert read_table(tiny_llm_untied).shape[1] == 32
    folder = Path(shutil.copytree(tiny_llm, tmp_path / "m"))
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": "../x.safetensors"}}))
    with pytest.raises(WeightsError, match="leads out"):
        read_table(folder)


@pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed")
def test_without_vllm_the_extra_is_named(tiny_llm: Path) -> None:
    with pytest.raises(OptionalDependencyError, match=r"scbioverse\[vllm\]"):
        VLLMBackbone.load(str(tiny_llm))


@pytest.mark.gpu
@pytest.mark.skipif(not (HAS_VLLM and torch.cuda.is_available()), reason="needs vLLM and a GPU")
def test_a_real_engine(tiny_llm: Path, tiny_backbone: Backbone) -> None:
    engine = VLLMBackbone.load(str(tiny_llm), dtype="float32", max_model_len=256, gpu_memory_utilization=0.2)
    start, suffix, sequences = draw(7, 32), draw(3, 4, 32), labels(tiny_backbone)
    found = engine.score_labels(start, suffix, LabelTrie(sequences))
    np.testing.assert_allclose(found, naive_scores(tiny_backbone, start, suffix, sequences), atol=1e-2)
