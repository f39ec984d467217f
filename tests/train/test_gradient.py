"""Training when memory runs out: smaller parts, the same steps."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scbioverse.errors import InputError
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse
from scbioverse.train import AutoregressiveTask, CandidateSet, ContrastiveTask, LabelSampler, MixedTask, fit
from scbioverse.train.instructions import Instruction, InstructionSampler, InstructionTask, Lessons
from tests._precision import LOSS, trained_alike

Toy = tuple[NDArray[np.float32], NDArray[np.int64]]
SETTINGS = {"steps": 4, "lr": 3e-3, "progress": False}


def tighten(model: BioVerse, limit: int, seen: list[int]) -> None:
    """Let memory run out on more than `limit` rows."""
    real = model.project

    def project(embeddings: torch.Tensor, modality: str = "cell") -> torch.Tensor:
        seen.append(len(embeddings))
        if len(embeddings) > limit:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB.")
        return real(embeddings, modality)

    model.project = project  # type: ignore[method-assign]


def weights(model: BioVerse) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.modules.state_dict().items()}


def align(model: BioVerse, toy: Toy, names: list[str], **settings: object):
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))
    return fit(task, LabelSampler(*toy, names, batch_size=16), **{**SETTINGS, **settings})


@pytest.mark.parametrize("micro_batch", [None, 12])
def test_parts_are_halved_and_the_steps_are_the_same(
    new_model: Callable, toy: Toy, names: list[str], caplog: pytest.LogCaptureFixture, micro_batch: int | None
) -> None:
    wide, tight = new_model(dropout=0.0), new_model(dropout=0.0)
    began = weights(wide)
    wanted = align(wide, toy, names)
    seen: list[int] = []
    tighten(tight, 5, seen)
    with caplog.at_level("WARNING", logger="scbioverse"):
        found = align(tight, toy, names, micro_batch=micro_batch)
    assert trained_alike(weights(tight), weights(wide), began)
    assert not trained_alike(weights(tight), began, began)
    np.testing.assert_allclose(found["loss"], wanted["loss"], atol=LOSS)
    assert list(found["rows"]) == [16] * 4
    # It stays small: later steps begin where the first one ended.
    assert max(seen[4:]) <= 5
    first = micro_batch or 16
    assert f"out of memory on {first} examples at once; going on with {first // 2}" in caplog.text
    assert len(caplog.records) == 2


def test_a_step_begun_anew_draws_the_same_dropout(new_model: Callable, toy: Toy, names: list[str]) -> None:
    small, tight = new_model(dropout=0.3), new_model(dropout=0.3)
    align(small, toy, names, micro_batch=4)
    tighten(tight, 4, [])
    align(tight, toy, names, micro_batch=8)
    ours, theirs = weights(small), weights(tight)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_one_row_that_does_not_fit_is_an_error(new_model: Callable, toy: Toy, names: list[str]) -> None:
    model = new_model()
    tighten(model, 0, [])
    with pytest.raises(InputError, match=r"Memory ran out on a single one of the examples: CUDA out of memory"):
        align(model, toy, names)


def test_a_loss_that_compares_its_rows_says_what_batch_to_try(new_model: Callable, toy: Toy, names: list[str]) -> None:
    model = new_model()
    model.space.fit(names, dim=4)
    seen: list[int] = []
    tighten(model, 10, seen)
    with pytest.raises(
        InputError, match=r"16 examples at once.*cannot be computed in parts: pass batch_size=8 or less"
    ):
        fit(ContrastiveTask(model), LabelSampler(*toy, names, batch_size=16), micro_batch=8, **SETTINGS)
    assert seen == [16]


def test_of_a_mixture_only_the_part_that_can_is_cut(new_model: Callable, toy: Toy, names: list[str]) -> None:
    def mixed(model: BioVerse, **settings: object) -> None:
        model.space.fit(names, dim=4)
        parts = [
            (AutoregressiveTask(model, candidates=CandidateSet.of(model, names)), 1.0),
            (ContrastiveTask(model), 1.0),
        ]
        fit(MixedTask(parts), LabelSampler(*toy, names, batch_size=16), **{**SETTINGS, **settings})

    wide, tight = new_model(dropout=0.0), new_model(dropout=0.0)
    began = weights(wide)
    mixed(wide, micro_batch=8)
    reading = tight.forward

    def forward(x: torch.Tensor, **more: object) -> torch.Tensor:
        if len(x) > 4:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return reading(x, **more)  # type: ignore[arg-type]

    tight.forward = forward  # type: ignore[method-assign]
    mixed(tight, micro_batch=8)
    assert trained_alike(weights(wide), weights(tight), began)


def test_tuning_goes_on_in_parts(
    new_model: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from scbioverse.train import instructions

    monkeypatch.setattr(instructions, "cpu_has_bfloat16", lambda: False)
    values = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
    examples = [
        Instruction("label", "", name, f"toy/{row}", (("cell", row, ""),), prompt="label")
        for row, name in enumerate(["B cell", "platelet", "CD8 T cell"] * 4)
    ]
    lessons = Lessons(examples, {"cell": values})
    real, seen = instructions.suffix_hidden, []

    def tight(backbone: object, prefix: object, embeds: torch.Tensor, *rest: object, **more: object) -> object:
        seen.append(len(embeds))
        if len(embeds) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(backbone, prefix, embeds, *rest, **more)  # type: ignore[arg-type]

    adapters = []
    for patched in (False, True):
        if patched:
            monkeypatch.setattr(instructions, "suffix_hidden", tight)
        task = InstructionTask(new_model(dropout=0.0), lessons, AdapterConfig(rank=4, targets="all"))
        with caplog.at_level("WARNING", logger="scbioverse"):
            fit(task, InstructionSampler(lessons, batch_size=8), **SETTINGS)
        adapters.append(task.adapter().tensors)
    assert seen[:3] == [8, 4, 2]
    assert max(seen[3:]) <= 2
    assert "going on with 2" in caplog.text
    assert trained_alike(adapters[0], adapters[1])
    assert any(float(value.abs().max()) > 0 for value in adapters[0].values())
