"""One adapter for all modalities or one for each: what is held back, and that one adapter is really shared."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.adapters import held_loss, in_turns, split, with_one_adapter
from scbioverse.encoders import PrecomputedEncoder
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.models import BioVerse
from scbioverse.train import fit
from scbioverse.train.instructions import Instruction, InstructionSampler, InstructionTask, Lessons


def lessons(word: str) -> Lessons:
    return Lessons(
        [Instruction("mine", f"What is {word} {i}?", f"It is {word}.", f"{word}/{i // 2}") for i in range(40)], {}
    )


@pytest.fixture
def tasks(tiny_backbone) -> list[InstructionTask]:
    model = BioVerse.new(PrecomputedEncoder("X_toy", dim=8), llm=tiny_backbone, n_soft=2, hidden=8)
    config = AdapterConfig(rank=2)
    return [InstructionTask(model, lessons(name), config, train_projector=False) for name in ("cell", "molecule")]


def test_no_source_is_on_both_sides() -> None:
    taught, held = split(lessons("cell"))
    assert len(taught.examples) + len(held.examples) == 40
    assert held.examples
    assert not {one.source for one in taught.examples} & {one.source for one in held.examples}


def test_both_train_one_adapter(tasks: list[InstructionTask]) -> None:
    both, (first, second) = with_one_adapter(tasks), tasks
    before = [held_loss(one, one.lessons, 8) for one in (first, second)]
    assert held_loss(first, first.lessons, 8) == before[0]
    turns = in_turns([InstructionSampler(one.lessons, batch_size=4) for one in (first, second)])
    parts = {turns(np.random.default_rng(i))["part"] for i in range(20)}  # type: ignore[typeddict-item]
    assert parts == {0, 1}
    # Halved for want of memory, a batch still goes to its own part alone.
    halves = both.split({**turns(np.random.default_rng(0)), "part": 1}, 2)  # type: ignore[typeddict-item]
    assert [half["part"] for half, _ in halves] == [1, 1]
    assert sum(share for _, share in halves) == pytest.approx(1.0)
    fit(both, turns, steps=12, lr=3e-2, progress=False)
    assert all(np.array_equal(one, other) for one, other in zip(
        first.adapter().tensors.values(), second.adapter().tensors.values(), strict=True
    ))  # fmt: skip
    assert held_loss(first, first.lessons, 8) < before[0]
    assert held_loss(second, second.lessons, 8) < before[1]
