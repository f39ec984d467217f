from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from scbioverse.errors import BioverseError, InputError, MismatchError, WeightsError
from scbioverse.models import BioVerse
from scbioverse.train import AutoregressiveTask, CandidateSet, ContrastiveTask, LabelSampler, fit
from scbioverse.train.loop import learning_rate
from tests._precision import LOSS

Toy = tuple[NDArray[np.float32], NDArray[np.int64]]


def run(model: BioVerse, toy: Toy, names: list[str], **settings: object):
    task = AutoregressiveTask(model, candidates=CandidateSet.of(model, names))
    settings = {"steps": 6, "lr": 3e-3, "micro_batch": 8, "progress": False, **settings}
    return fit(task, LabelSampler(*toy, names, batch_size=16), **settings)


def weights(model: BioVerse) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.modules.state_dict().items()}


def same(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(a[key], b[key]) for key in a)


def test_it_learns_and_the_language_model_stays(new_model: Callable, toy: Toy, names: list[str]) -> None:
    model = new_model(dropout=0.0)
    frozen = {key: value.clone() for key, value in model.backbone.model.state_dict().items()}
    fixed = model.tokens.fixed.detach().clone()
    history = run(model, toy, names, steps=60, lr=1e-2)
    assert list(history["step"]) == list(range(60))
    assert history["loss"].iloc[-5:].mean() < 0.5 * history["loss"].iloc[:5].mean()
    assert {"lr", "grad_norm", "rows", "seconds", "right"} <= set(history.columns)
    assert same(frozen, model.backbone.model.state_dict())
    assert torch.equal(fixed, model.tokens.fixed)
    X, labels = toy
    assert (model.score(X, names, progress=False).argmax(axis=1) == labels).mean() > 0.8


def test_a_seed_reproduces(new_model: Callable, toy: Toy, names: list[str]) -> None:
    models = [new_model(dropout=0.3) for _ in range(3)]
    for model, seed in zip(models, (4, 4, 5), strict=True):
        torch.manual_seed(seed * 7)  # what the caller drew before must not matter
        run(model, toy, names, seed=seed)
    assert same(weights(models[0]), weights(models[1]))
    assert not same(weights(models[0]), weights(models[2]))


def test_the_callers_generator_is_left_alone(model: BioVerse, toy: Toy, names: list[str]) -> None:
    torch.manual_seed(3)
    wanted = torch.rand(2)
    torch.manual_seed(3)
    run(model, toy, names, steps=1)
    assert torch.equal(torch.rand(2), wanted)


def test_resumed_equals_uninterrupted(new_model: Callable, toy: Toy, names: list[str], tmp_path: Path) -> None:
    straight, resumed = new_model(dropout=0.3), new_model(dropout=0.3)
    full = run(straight, toy, names, steps=6)

    class StoppedError(Exception):
        pass

    def stop(step: int) -> None:
        if step == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        run(resumed, toy, names, steps=6, state=tmp_path / "s", save_every=2, every=1, callback=stop)
    again = new_model(rng=9, dropout=0.3)  # what it starts from must not matter
    again.modules.load_state_dict({**again.modules.state_dict(), "tokens.fixed": straight.tokens.fixed})
    history = run(again, toy, names, steps=6, state=tmp_path / "s", save_every=2)
    assert list(history["step"]) == list(range(6))
    np.testing.assert_allclose(history["loss"], full["loss"], atol=LOSS, rtol=0)
    assert same(weights(straight), weights(again))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["s"]
    with pytest.raises(MismatchError, match="Use another folder"):
        run(again, toy, names, steps=7, state=tmp_path / "s")


def test_a_resumed_run_keeps_the_centre_that_the_first_batch_gave(
    new_model: Callable, toy: Toy, names: list[str], tmp_path: Path
) -> None:
    def contrast(model: BioVerse, **settings: object):
        model.space.fit([*names, "red apple", "wooden chair"])
        task = ContrastiveTask(model)
        task.prepare(names)
        return fit(task, LabelSampler(*toy, names, batch_size=16), steps=4, progress=False, **settings)

    def stop(step: int) -> None:
        if step == 2:
            raise KeyboardInterrupt

    straight, again = new_model(), new_model()
    full = contrast(straight)
    with pytest.raises(KeyboardInterrupt):
        contrast(new_model(), state=tmp_path / "s", save_every=2, every=1, callback=stop)
    history = contrast(again, state=tmp_path / "s")
    assert list(history["loss"]) == list(full["loss"])
    assert same(weights(straight), weights(again))


def test_a_state_is_of_its_data_and_of_what_is_said_about_it(
    new_model: Callable, toy: Toy, names: list[str], tmp_path: Path
) -> None:
    X, labels = toy
    run(new_model(), toy, names, steps=2, state=tmp_path / "s", about={"scale": 2.0})
    run(new_model(), toy, names, steps=2, state=tmp_path / "s", about={"scale": 2.0})
    with pytest.raises(MismatchError, match=r"had \{'scale': 2.0\}, this one has \{'scale': 1.0\}: it is another run"):
        run(new_model(), toy, names, steps=2, state=tmp_path / "s", about={"scale": 1.0})
    with pytest.raises(MismatchError, match=r"first_batch.* or of other data"):
        run(new_model(), (X, labels[::-1]), names, steps=2, state=tmp_path / "s", about={"scale": 2.0})


def test_numbers_of_numpy_can_be_kept(new_model: Callable, toy: Toy, names: list[str], tmp_path: Path) -> None:
    numbers = {"steps": np.int64(2), "lr": np.float32(1e-3), "seed": np.int64(3)}
    looks = {"every": 1, "callback": lambda step: {"looked": np.float32(step)}}
    first = run(new_model(), toy, names, state=tmp_path / "s", **numbers, **looks)
    again = run(new_model(), toy, names, state=tmp_path / "s", **numbers, **looks)
    assert list(again["looked"]) == list(first["looked"]) == [0.0, 1.0]


def test_damaged_and_foreign_state(new_model: Callable, toy: Toy, names: list[str], tmp_path: Path) -> None:
    run(new_model(), toy, names, steps=2, state=tmp_path / "s")
    file = tmp_path / "s" / "state.safetensors"
    whole = file.read_bytes()
    file.write_bytes(whole[:100])
    with pytest.raises(WeightsError, match="cannot resume"):
        run(new_model(), toy, names, steps=2, state=tmp_path / "s")
    file.write_bytes(whole)
    other = new_model()
    other.modules["projectors"]["cell"].out = torch.nn.Linear(16, 3)
    with pytest.raises(MismatchError, match="another model"):
        run(other, toy, names, steps=2, state=tmp_path / "s")


def test_callback_sees_a_model_that_does_not_drop_out(model: BioVerse, toy: Toy, names: list[str]) -> None:
    seen = []

    def look(step: int) -> dict[str, float]:
        seen.append((step, model.modules.training))
        return {"looked": 1.0}

    history = run(model, toy, names, steps=5, every=2, callback=look)
    assert seen == [(1, False), (3, False), (4, False)]
    assert history["looked"].notna().sum() == 3
    assert not model.modules.training


def test_loss_that_breaks_is_an_error(model: BioVerse, toy: Toy, names: list[str]) -> None:
    X = toy[0].copy()
    X[:] = np.nan
    with pytest.raises(BioverseError, match="broke at step 0"):
        run(model, (X, toy[1]), names)
    assert not model.modules.training


@pytest.mark.parametrize("wrong", [{"steps": 0}, {"lr": 0.0}, {"seed": -1}, {"seed": 0.5}])
def test_bad_settings(model: BioVerse, toy: Toy, names: list[str], wrong: dict) -> None:
    with pytest.raises(InputError, match=r"must be positive|a seed is a whole number from 0 up"):
        run(model, toy, names, **wrong)


def test_weight_decay_spares_tokens_and_norms(model: BioVerse, names: list[str]) -> None:
    from scbioverse.train.loop import _param_groups

    params = dict(AutoregressiveTask(model, candidates=CandidateSet.of(model, names)).named_parameters())
    decayed, plain = _param_groups({k: p for k, p in params.items() if p.requires_grad}, 0.1)
    assert decayed["weight_decay"] == 0.1
    assert all(param.ndim == 2 for param in decayed["params"])
    assert any(param is model.tokens.trained for param in plain["params"])


def test_learning_rate_rises_and_falls() -> None:
    rates = [learning_rate(step, steps=100, peak=1.0, warmup=10) for step in range(101)]
    assert rates[0] == pytest.approx(0.1)
    assert max(rates) == pytest.approx(1.0)
    assert rates[9] == pytest.approx(1.0)
    assert all(a >= b for a, b in itertools.pairwise(rates[9:]))
    assert rates[100] == pytest.approx(0.02)
