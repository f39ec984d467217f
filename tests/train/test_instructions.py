from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from scbioverse.errors import InputError
from scbioverse.llm.adapter import AdapterConfig
from scbioverse.train import fit
from scbioverse.train.instructions import Instruction, InstructionSampler, InstructionTask, Lessons
from tests._precision import LOG_PROBS

if TYPE_CHECKING:
    from pathlib import Path

    from scbioverse.models import BioVerse

TYPES = ["B cell", "platelet", "CD8 T cell"]


@pytest.fixture
def lessons() -> Lessons:
    """Labels and questions about 60 points around three centres, and facts without any point."""
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 3
    x = (rng.normal(size=(3, 8)) * 2)[labels] + rng.normal(size=(60, 8)) * 0.2
    examples = [
        Instruction("label", "", TYPES[k], f"toy/{i}", (("cell", i, ""),), prompt="label") for i, k in enumerate(labels)
    ]
    examples += [
        Instruction("identity", "What is it?", f"It is a {TYPES[k]}.", f"toy/{i}", (("cell", i, "A"),), "LYZ 9 %")
        for i, k in enumerate(labels)
    ]
    examples += [
        Instruction("same", "Are they alike?", "Yes." if labels[i] == labels[i + 1] else "No.", f"toy/{i}",
                    (("cell", i, "A"), ("cell", i + 1, "B")))
        for i in range(20)
    ]  # fmt: skip
    examples += [Instruction("fact", "What is a platelet?", "A cell without nucleus.", "CL:0000233/definition")]
    return Lessons(examples, {"cell": x.astype(np.float32)})


def task(model: BioVerse, lessons: Lessons, **options: object) -> InstructionTask:
    return InstructionTask(model, lessons, AdapterConfig(rank=4, targets="all"), **options)


@pytest.fixture
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """No bfloat16, so that numbers compare."""
    monkeypatch.setattr("scbioverse.train.instructions.cpu_has_bfloat16", lambda: False)


def batch_of(rows: list[int], lessons: Lessons) -> dict[str, object]:
    return {"texts": [lessons.examples[row].answer for row in rows], "examples": np.array(rows)}


@pytest.mark.usefixtures("plain")
def test_loss_is_that_of_plain_passes_over_the_answers(model: BioVerse, lessons: Lessons) -> None:
    made = task(model, lessons)
    rows = [0, 61, 60, 121, 140, 4]
    with torch.no_grad():
        found = made(batch_of(rows, lessons))
    losses = {}
    for row in rows:
        one, example = lessons.examples[row], made.render(row)
        head = model.reader.prompt().prefix if one.prompt == "label" else made.template.prefix_ids(made.backbone)
        at = [place for _, place, _ in one.objects]
        soft = {"cell": [model.project(lessons.embeddings["cell"][at])]} if at else {}
        with torch.no_grad():
            whole = made.composer.compose([list(head) + example.ids], soft).inputs_embeds
            logits = made.backbone.model(inputs_embeds=whole).logits[0, len(head) - 1 : -1]
        wanted = torch.tensor(example.ids[example.start :])
        each = cross_entropy(logits[example.start :], wanted, reduction="none")
        assert example.ids[-1] == model.backbone.eos_id
        losses[row] = float(each.mean())
    assert float(found["loss"]) == pytest.approx(np.mean(list(losses.values())), abs=LOG_PROBS)
    assert float(found["loss_label"]) == pytest.approx((losses[0] + losses[4]) / 2, abs=LOG_PROBS)
    assert float(found["loss_fact"]) == pytest.approx(losses[140], abs=LOG_PROBS)


@pytest.mark.usefixtures("plain")
def test_gradient_reaches_the_adapter_through_the_beginning(model: BioVerse, lessons: Lessons) -> None:
    made = task(model, lessons)
    with torch.no_grad():
        for name, param in made.params.items():
            if ".lora_B." in name:
                param.add_(0.1)
    rows = [0, 61, 121]
    loss = made(batch_of(rows, lessons))["loss"]
    loss.backward()
    params = dict(made.named_parameters())
    assert all(param.grad is not None for name, param in params.items() if name.startswith("adapter."))
    assert not any(p.grad is not None for p in model.backbone.model.parameters())
    # The numerical derivative along one parameter holds only if the beginning's keys have their gradient too.
    name = next(name for name in params if name.endswith("0.self_attn.k_proj.lora_A.weight"))
    param, step = params[name], 1e-3
    values = []
    for sign in (1, -1):
        with torch.no_grad():
            param.add_(sign * step * torch.sign(param.grad))
            values.append(float(made(batch_of(rows, lessons))["loss"]))
            param.sub_(sign * step * torch.sign(param.grad))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(float(param.grad.abs().sum()), rel=0.05)


@pytest.mark.usefixtures("plain")
def test_it_learns_and_leaves_the_language_model_alone(new_model: Callable[..., BioVerse], lessons: Lessons) -> None:
    model = new_model()
    before = {name: value.clone() for name, value in model.backbone.model.state_dict().items()}
    made = task(model, lessons, train_projector=False)
    projector = {name: value.clone() for name, value in model.modules.state_dict().items()}
    history = fit(made, InstructionSampler(lessons, batch_size=8), steps=25, lr=2e-2, seed=0, progress=False)
    assert history["loss"].tail(5).mean() < 0.7 * history["loss"].head(3).mean()
    assert {"loss_label", "loss_identity", "loss_same", "loss_fact"} <= set(history)
    assert all(torch.equal(v, before[k]) for k, v in model.backbone.model.state_dict().items())
    assert all(torch.equal(v, projector[k]) for k, v in model.modules.state_dict().items())
    assert not any(name.startswith("projectors") for name, _ in made.named_parameters())


@pytest.mark.usefixtures("plain")
def test_a_stopped_run_goes_on_as_if_it_had_not(
    new_model: Callable[..., BioVerse], lessons: Lessons, tmp_path: Path
) -> None:
    sampler = InstructionSampler(lessons, batch_size=4)
    options = {"steps": 6, "lr": 1e-2, "seed": 3, "progress": False}
    whole = task(new_model(), lessons, seed=3)
    fit(whole, sampler, **options)

    def stop(step: int) -> None:
        if step == 3:
            raise KeyboardInterrupt

    half = task(new_model(), lessons, seed=3)
    with pytest.raises(KeyboardInterrupt):
        fit(half, sampler, state=tmp_path / "run", save_every=2, every=1, callback=stop, **options)
    again = task(new_model(), lessons, seed=9)  # other random halves: they come from the state
    fit(again, sampler, state=tmp_path / "run", save_every=2, **options)
    assert again.adapter().fingerprint == whole.adapter().fingerprint
    for (_, a), (_, b) in zip(again.named_parameters(), whole.named_parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.usefixtures("plain")
def test_parts_of_a_batch_add_up(model: BioVerse, lessons: Lessons) -> None:
    made = task(model, lessons)
    batch = batch_of([0, 61, 60, 121, 140], lessons)
    parts = made.split(batch, 2)
    assert sorted(int(row) for part, _ in parts for row in part["examples"]) == [0, 60, 61, 121, 140]
    with torch.no_grad():
        total = sum(share * float(made(part)["loss"]) for part, share in parts)
        assert total == pytest.approx(float(made(batch)["loss"]), abs=LOG_PROBS)


def test_weights_decide_what_is_drawn(lessons: Lessons) -> None:
    sampler = InstructionSampler(lessons, weights={"label": 3.0, "identity": 0.0, "same": 0.0}, batch_size=400)
    rows = sampler(np.random.default_rng(0))["examples"]
    tasks = [lessons.examples[row].task for row in rows]
    assert set(tasks) == {"label", "fact"}
    assert 0.68 < tasks.count("label") / 400 < 0.82
    assert np.array_equal(rows, sampler(np.random.default_rng(0))["examples"])
    with pytest.raises(InputError, match="tasks among"):
        InstructionSampler(lessons, weights={"other": 1.0})
    with pytest.raises(InputError, match="weight 0"):
        InstructionSampler(lessons, weights=dict.fromkeys(lessons.tasks, 0.0))


def test_no_lessons() -> None:
    with pytest.raises(InputError, match="no instructions"):
        Lessons([], {})
