from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from scbioverse.llm import Backbone
from scbioverse.llm import backbone as reading
from scbioverse.llm.backbone import first_batch, row_bytes
from tests._precision import LOG_PROBS


def test_scores_do_not_change_when_memory_runs_out(
    tiny_backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.models import BioVerse, score

    points = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    import anndata as ad

    adata = ad.AnnData(np.zeros((20, 1), dtype=np.float32), obsm={"X_rep": points})
    model = BioVerse.new(PrecomputedEncoder.from_adata(adata, "X_rep", modality="cell"), llm=tiny_backbone, rng=0)
    names = ["B cell", "T cell", "platelet"]
    wanted = model.score(points, names, progress=False)
    real, sizes = score.score_labels, []

    def tight(*args: object, batch_size: int, **more: object) -> np.ndarray:
        sizes.append(batch_size)
        if batch_size > 6:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, batch_size=batch_size, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(score, "score_labels", tight)
    with caplog.at_level(logging.WARNING, logger="scbioverse"):
        np.testing.assert_allclose(model.score(points, names, batch_size=16, progress=False), wanted, atol=LOG_PROBS)
    assert sizes == [16, 8, 4, 4]
    assert "going on with 4" in caplog.text


def test_written_labels_do_not_change_when_memory_runs_out(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anndata as ad

    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.llm import generate as writing
    from scbioverse.models import BioVerse, score

    points = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    adata = ad.AnnData(np.zeros((20, 1), dtype=np.float32), obsm={"X_rep": points})
    model = BioVerse.new(PrecomputedEncoder.from_adata(adata, "X_rep", modality="cell"), llm=tiny_backbone, rng=0)
    names = ["B cell", "T cell", "platelet"]
    wanted = score.write_labels(model, points, names, batch_size=16)
    asks = model.text_writer
    prompts = [asks.prompt("What is it?", objects=[("cell", "it")])] * 3
    soft = [{"cell": row[None, None]} for row in points[:3]]
    said = asks.write(prompts, soft, max_new_tokens=4)
    real, sizes, most = writing.generate, [], [6]

    def tight(*args: object, batch_size: int = 32, **more: object) -> object:
        sizes.append(batch_size)
        if batch_size > most[-1]:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, batch_size=batch_size, **more)  # type: ignore[arg-type]

    for module in (writing, score):
        monkeypatch.setattr(module, "generate", tight)
    found = score.write_labels(model, points, names, batch_size=16)
    assert found[0] == wanted[0]
    np.testing.assert_allclose(found[1], wanted[1], atol=LOG_PROBS)
    assert sizes == [16, 8, *[4] * 5]
    most.append(1)
    assert asks.write(prompts, soft, max_new_tokens=4) == said
    assert sizes[7:] == [3, 1]


def test_the_estimate_is_the_sum_that_it_says(tiny_backbone: Backbone) -> None:
    config = tiny_backbone.model.config
    d, heads, e = config.hidden_size, config.num_attention_heads, 4
    d_kv = config.num_key_value_heads * (d // heads)
    cache = config.num_hidden_layers * 2 * d_kv * (60 + 10) * e
    block = 10 * (6 * d + 3 * config.intermediate_size) * e
    attention = heads * 10 * (60 + 10) * 8
    assert row_bytes(tiny_backbone, length=10, prefix=60) == cache + block + attention
    assert row_bytes(tiny_backbone, length=10, prefix=60, logits=1) == (
        cache + block + attention + tiny_backbone.vocab_size * 8
    )


def test_keys_and_values_of_the_estimate_are_those_of_the_model(tiny_backbone: Backbone) -> None:
    _, cache = tiny_backbone.hidden(torch.zeros(1, 12, tiny_backbone.d_llm), use_cache=True)
    assert cache is not None
    held = sum(one.keys.nbytes + one.values.nbytes for one in cache.layers)
    with_12, with_0 = (row_bytes(tiny_backbone, length=0, prefix=prefix) for prefix in (12, 0))
    assert with_12 - with_0 == held


def test_the_first_size_goes_by_free_memory(
    tiny_backbone: Backbone, tiny_backbone_untied: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    for backbone in (tiny_backbone, tiny_backbone_untied):
        one = row_bytes(backbone, length=10, prefix=60)
        for free, wanted in ((None, 128), (10**12, 128), (int(one * 40 / reading.SHARE) + 9, 40), (1, 1)):
            monkeypatch.setattr(reading, "free_bytes", lambda device, free=free: free)
            assert first_batch(backbone, 128, length=10, prefix=60).size == wanted
        monkeypatch.setattr(reading, "free_bytes", lambda device, one=one: int(one * 40 / reading.SHARE) + 9)
        assert first_batch(backbone, 128, length=10, prefix=60, copies=4).size == 10
        assert first_batch(backbone, 5, length=10, prefix=60).size == 5  # never more than the caller asked for


def test_scores_and_texts_do_not_depend_on_free_memory(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.models import BioVerse, score

    model = BioVerse.new(PrecomputedEncoder("X_rep", dim=6), llm=tiny_backbone, rng=0)
    points = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    names = ["B cell", "T cell", "platelet"]
    wanted, written = model.score(points, names, progress=False), score.write_labels(model, points, names)
    sizes: list[int] = []
    for module, name in ((score, "score_labels"), (score, "generate")):

        def watched(*args: object, real: object = getattr(module, name), **more: object) -> object:
            sizes.append(more["batch_size"])  # type: ignore[arg-type]
            return real(*args, **more)  # type: ignore[operator]

        monkeypatch.setattr(module, name, watched)
    each = row_bytes(tiny_backbone, length=40, prefix=60)
    monkeypatch.setattr(reading, "free_bytes", lambda device: 6 * each)
    with caplog.at_level(logging.INFO, logger="scbioverse"):
        np.testing.assert_allclose(model.score(points, names, progress=False), wanted, atol=LOG_PROBS)
        found = score.write_labels(model, points, names)
    assert found[0] == written[0]
    assert sizes
    assert all(1 <= size < 20 for size in sizes)
    assert "GB are free on cpu and one of the cells takes about" in caplog.text
