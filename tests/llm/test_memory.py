from __future__ import annotations

import logging
from collections.abc import Callable

import numpy as np
import pytest
import torch

from scbioverse._errors import InputError
from scbioverse.llm import Backbone
from scbioverse.llm._memory import BatchSize


def gpu_with(limit: int, seen: list[int]) -> Callable[[int], str]:
    """Work that fits up to `limit` rows at once."""

    def work(size: int) -> str:
        seen.append(size)
        if size > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.\nmore lines")
        return "done"

    return work


def test_halves_until_it_fits_stays_there_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    memory = BatchSize(128, what="cells")
    with caplog.at_level(logging.WARNING, logger="scbioverse"):
        assert memory.run(gpu_with(40, seen)) == "done"
        assert memory.run(gpu_with(40, seen)) == "done"
    assert seen == [128, 64, 32, 32]
    assert memory.size == 32
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory on 128 cells at once; going on with 64 (CUDA out of memory. Tried to allocate 20.00 GiB.)",
        "out of memory on 64 cells at once; going on with 32 (CUDA out of memory. Tried to allocate 20.00 GiB.)",
    ]


def test_odd_sizes_come_down_to_one(caplog: pytest.LogCaptureFixture) -> None:
    seen: list[int] = []
    assert BatchSize(7).run(gpu_with(1, seen)) == "done"
    assert seen == [7, 3, 1]
    with pytest.raises(InputError, match=r"single one of the cells: CUDA out of memory.*smaller language model"):
        BatchSize(4, what="cells").run(gpu_with(0, []))


@pytest.mark.parametrize(
    "error",
    [
        MemoryError("Unable to allocate 3 GiB"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
)
def test_a_cpu_runs_out_too(error: Exception) -> None:
    def work(size: int) -> int:
        if size > 2:
            raise error
        return size

    assert BatchSize(8).run(work) == 2


def test_other_errors_pass() -> None:
    def work(size: int) -> None:
        raise RuntimeError("shapes do not match")

    with pytest.raises(RuntimeError, match="shapes"):
        BatchSize(8).run(work)
    with pytest.raises(InputError, match="batch_size"):
        BatchSize(0)


def test_scores_do_not_change_when_memory_runs_out(
    tiny_backbone: Backbone,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.models import BioVerse, _score

    points = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    import anndata as ad

    adata = ad.AnnData(np.zeros((20, 1), dtype=np.float32), obsm={"X_rep": points})
    model = BioVerse.new(PrecomputedEncoder.from_adata(adata, "X_rep", modality="cell"), llm=tiny_backbone, rng=0)
    names = ["B cell", "T cell", "platelet"]
    wanted = model.score(points, names, progress=False)
    real, sizes = _score.score_labels, []

    def tight(*args: object, batch_size: int, **more: object) -> np.ndarray:
        sizes.append(batch_size)
        if batch_size > 6:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, batch_size=batch_size, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(_score, "score_labels", tight)
    with caplog.at_level(logging.WARNING, logger="scbioverse"):
        np.testing.assert_allclose(model.score(points, names, batch_size=16, progress=False), wanted, atol=1e-5)
    assert sizes == [16, 8, 4, 4]
    assert "going on with 4" in caplog.text


def test_written_labels_do_not_change_when_memory_runs_out(
    tiny_backbone: Backbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    import anndata as ad

    from scbioverse.encoders import PrecomputedEncoder
    from scbioverse.models import BioVerse, _questioner

    points = np.random.default_rng(0).normal(size=(20, 6)).astype(np.float32)
    adata = ad.AnnData(np.zeros((20, 1), dtype=np.float32), obsm={"X_rep": points})
    model = BioVerse.new(PrecomputedEncoder.from_adata(adata, "X_rep", modality="cell"), llm=tiny_backbone, rng=0)
    names = ["B cell", "T cell", "platelet"]
    wanted = _questioner.write_labels(model, points, names, batch_size=16)
    asks = model.questioner
    prompts = [asks.prompt("What is it?", objects=[("cell", "it")])] * 3
    soft = [{"cell": row[None, None]} for row in points[:3]]
    said = asks.write(prompts, soft, max_new_tokens=4)
    real, sizes = _questioner.generate, []

    def tight(*args: object, batch_size: int = 32, **more: object) -> object:
        sizes.append(batch_size)
        if batch_size > (6 if len(sizes) < 6 else 1):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(*args, batch_size=batch_size, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(_questioner, "generate", tight)
    found = _questioner.write_labels(model, points, names, batch_size=16)
    assert found[0] == wanted[0]
    np.testing.assert_allclose(found[1], wanted[1], atol=1e-5)
    assert sizes == [16, 8, 4, 4]
    sizes += [0, 0]
    assert asks.write(prompts, soft, max_new_tokens=4) == said
    assert sizes[6:] == [3, 1]
