"""The one training loop."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pandas as pd
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from tqdm.auto import tqdm

from .._device import BatchSize, as_seed, is_out_of_memory
from .._logging import first_few, logger
from .._runs import digest_of
from .._settings import settings
from .._tensor_files import fill
from .._whole import check_room, reason, whole_folder
from ..errors import BioverseError, InputError, MismatchError, WeightsError
from .processes import add_up, place

if TYPE_CHECKING:
    from .tasks import Batch, Sampler, Task


# Share of the batches' steps in which the rate rises, what it falls to of its peak, and the largest norm of a gradient.
_WARMUP, _FLOOR, _CLIP = 0.05, 0.02, 1.0


class Gradient:
    """Adds up the gradient of a batch over parts that fit into memory.

    When memory runs out the batch is begun anew in parts of half as many rows, and all later batches are cut that
    small. The rows of a step, and with them the step, stay the same: the parts' weighted gradients add up to the
    batch's, up to rounding. (Dropout draws other masks for a batch in parts; the same ones as with `micro_batch` of
    that size.)
    """

    def __init__(self, task: Task, params: Iterable[nn.Parameter], micro_batch: int | None) -> None:
        self.task, self.params, self.micro_batch = task, list(params), micro_batch

    def __call__(self, batch: Batch) -> dict[str, float]:
        """Fill the parameters' gradients; return the batch's values, `"loss"` among them."""
        rows = len(batch["texts"])
        _, n_processes = place()
        most = -(-rows // n_processes)
        memory = BatchSize(max(1, most if self.micro_batch is None else min(self.micro_batch, most)), what="examples")
        # State of the generators, so that a step begun anew draws what it drew before.
        first, drawn = memory.size, torch.get_rng_state()
        on_gpus = torch.cuda.get_rng_state_all() if torch.cuda.is_initialized() else []

        def work(size: int) -> dict[str, float]:
            for param in self.params:
                param.grad = None
            if size < first:
                torch.set_rng_state(drawn)
                if on_gpus:
                    torch.cuda.set_rng_state_all(on_gpus)
            whole = self.micro_batch is None and size == first and n_processes == 1
            return self._add_up([(batch, 1.0)] if whole else self.task.split(batch, size), size, rows)

        values = memory.run(work)
        if memory.size < first:
            self.micro_batch = memory.size
        return values

    def _add_up(self, parts: list[tuple[Batch, float]], size: int, all_rows: int) -> dict[str, float]:
        total: dict[str, float] = {}
        process, n_processes = place()
        for number, (part, weight) in enumerate(parts):
            try:
                if len(part["texts"]) == all_rows:  # all processes compute it together
                    weight = weight / n_processes
                elif number % n_processes != process:
                    continue
                values = self.task(part)
                (values["loss"] * weight).backward()
            except (MemoryError, RuntimeError) as error:
                rows = len(part["texts"])
                # It was asked for in smaller parts and stayed whole.
                if is_out_of_memory(error) and rows > size:
                    raise InputError(
                        f"Memory ran out on {rows} examples at once, and this loss compares all examples of a batch "
                        f"with each other, so that it cannot be computed in parts: pass batch_size={max(1, rows // 2)} "
                        "or less (the comparison is then among fewer), or device='cpu'."
                    ) from error
                raise
            for key, value in values.items():
                total[key] = total.get(key, 0.0) + weight * float(value.detach())
        return add_up(self.params, total)


def learning_rate(step: int, *, steps: int, peak: float, warmup: int) -> float:
    """Linear warm-up to `peak` over `warmup` steps, then a half cosine down to 2 % of it at `steps`."""
    if step < warmup:
        return peak * (step + 1) / warmup
    done = (step - warmup) / max(1, steps - warmup)
    return peak * (_FLOOR + (1 - _FLOOR) * 0.5 * (1 + math.cos(math.pi * min(1.0, done))))


def fit(
    task: Task,
    sampler: Sampler,
    *,
    steps: int,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    micro_batch: int | None = None,
    seed: int = 0,
    progress: bool | None = None,
    state: str | Path | None = None,
    save_every: int = 500,
    about: Mapping[str, Any] | None = None,
    every: int = 0,
    callback: Callable[[int], dict[str, float] | None] | None = None,
) -> pd.DataFrame:
    """Train what `task` names, with AdamW.

    With several processes (`accelerate launch`) each computes a share of every batch; see :mod:`.processes`. Step s
    draws its batch and its dropout from (`seed`, s) alone, so a run that was stopped and resumed gives the parameters
    of a run that was not.

    The learning rate rises to `lr` over a twentieth of the `steps`, then falls by a cosine to 2 % of it. `weight_decay`
    applies to matrices only: neither to norms and biases nor to marker tokens. `micro_batch` splits a batch into parts
    of at most this many rows, sorted by length, where the task's loss allows it: less padding, less memory, the same
    gradient; when memory runs out, parts are halved by themselves. `state` is a folder to keep the run's state in every
    `save_every` steps, and to resume from if it is there, by a run with the same options, the same first batch and the
    same plain values `about` it: any other is a :class:`MismatchError`. `callback(step)` is called after every `every`
    steps and after the last; what it returns joins the history.

    Returns one row a step: `step`, `loss` and the task's other values, `lr`, `grad_norm`, `rows`, `seconds`.
    """
    if steps < 1 or lr <= 0:
        raise InputError(f"steps and lr must be positive, found steps={steps}, lr={lr}.")
    seed, kept = as_seed(seed), dict(task.named_parameters())
    params = {name: cast("nn.Parameter", one) for name, one in kept.items() if one.requires_grad}
    optimizer = torch.optim.AdamW(_param_groups(params, weight_decay), lr=lr, betas=(0.9, 0.98))
    run: dict[str, Any] = {"steps": steps, "lr": lr, "weight_decay": weight_decay, "seed": seed}
    run |= {"warmup": _WARMUP, "clip": _CLIP}
    if state is not None:
        run |= {"first_batch": _told_by(sampler(np.random.default_rng([seed, 0]))), **(about or {})}
    rows, start = _resume(state, kept, optimizer, run)
    warm = max(1, round(_WARMUP * steps))
    gradient = Gradient(task, params.values(), micro_batch)
    show = settings.progress if progress is None else progress
    began = time.perf_counter()
    task.train(True)
    try:
        # The global generator is put back afterwards: training must not change what the caller draws next.
        with torch.random.fork_rng(devices=[]), tqdm(total=steps, initial=start, desc="train", disable=not show) as bar:
            for step in range(start, steps):
                tick = time.perf_counter()
                torch.manual_seed((seed * 1_000_003 + step) % 2**63)
                rate = learning_rate(step, steps=steps, peak=lr, warmup=warm)
                rows.append(_one_step(step, sampler(np.random.default_rng([seed, step])), gradient, optimizer, rate))
                rows[-1]["seconds"] = time.perf_counter() - tick
                if callback is not None and _is_due(step, every, steps):
                    task.train(False)
                    rows[-1] |= callback(step) or {}
                    task.train(True)
                bar.update()
                bar.set_postfix(loss=f"{rows[-1]['loss']:.3f}", refresh=False)
                if state is not None and place()[0] == 0 and _is_due(step, save_every, steps):
                    meta = {"run": run, "history": rows}
                    save_state(state, step=step + 1, params=kept, optimizer=optimizer, meta=meta)
    finally:
        task.train(False)
    done, seconds = rows[len(rows) - (steps - start) :], time.perf_counter() - began
    seen = sum(row["rows"] for row in done)
    logger.info("trained %d steps on %d examples, %.1f examples/s", len(done), seen, seen / seconds)
    return pd.DataFrame(rows)


def _is_due(step: int, every: int, steps: int) -> bool:
    """Whether something is to be done after a step: after `every` so many (0: never), and after the last."""
    return step + 1 == steps or (every > 0 and (step + 1) % every == 0)


def _one_step(
    step: int, batch: Batch, gradient: Gradient, optimizer: torch.optim.Optimizer, rate: float
) -> dict[str, float]:
    """Take a step and return its row of the history; a :class:`BioverseError` where the loss is no number any more."""
    for group in optimizer.param_groups:
        group["lr"] = rate
    values = gradient(batch)
    norm = float(nn.utils.clip_grad_norm_(gradient.params, _CLIP))
    if not math.isfinite(values["loss"]) or not math.isfinite(norm):
        raise BioverseError(
            f"training broke at step {step}: loss {values['loss']}, gradient norm {norm}. Lower lr (now {rate:g}) or "
            "check the embeddings for extreme values."
        )
    optimizer.step()
    return {"step": step, **values, "lr": rate, "grad_norm": norm, "rows": len(batch["texts"])}


def _param_groups(params: dict[str, nn.Parameter], weight_decay: float) -> list[dict[str, Any]]:
    groups: dict[float, list[nn.Parameter]] = {weight_decay: [], 0.0: []}
    for name, param in params.items():
        groups[weight_decay if param.ndim > 1 and not name.startswith("tokens") else 0.0].append(param)
    return [{"params": some, "weight_decay": decay} for decay, some in groups.items() if some]


def _resume(
    state: str | Path | None, params: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, run: dict[str, Any]
) -> tuple[list[dict[str, Any]], int]:
    if state is None:
        return [], 0
    place = state_place(state)
    check_room(place.parent, 3 * sum(one.nbytes for one in params.values()), "the state of the run")
    if not place.exists() or not any(place.iterdir()):
        return [], 0
    start, meta = load_state(state, params=params, optimizer=optimizer)
    found, wanted = meta["run"], json.loads(_as_json(run))
    if differ := sorted(key for key in {*found, *wanted} if found.get(key) != wanted.get(key)):
        had, has = ({key: one.get(key) for key in differ} for one in (found, wanted))
        raise MismatchError(
            f"the run in {state} had {had}, this one has {has}: it is another run, or of other data. Use another "
            "folder."
        )
    logger.info("resumed at step %d from %s", start, state)
    return list(meta["history"]), start


def _told_by(batch: Batch) -> str:
    """Digest of a batch: of one seed, other data, labels and sizes give another one."""
    # To three digits: processors differ in the last ones, and a run may go on elsewhere.
    size = np.abs(batch.get("embeddings", np.zeros(1))).mean()
    return digest_of(batch["texts"], batch["groups"], f"{size:.3g}")


TENSORS, META = "state.safetensors", "state.json"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def _as_json(values: Any) -> str:
    return json.dumps(values, default=float)  # numpy's numbers are numbers


def save_state(
    folder: str | Path, *, step: int, params: Mapping[str, Tensor], optimizer: torch.optim.Optimizer, meta: Any
) -> Path:
    """Write parameters, Adam moments, steps done, and `meta` as JSON; the folder appears whole or not at all."""
    folder = Path(folder)
    tensors: dict[str, Tensor] = {}
    for name, param in params.items():
        tensors[f"param/{name}"] = param.detach().contiguous()
        moments = optimizer.state.get(param, {})
        tensors |= {
            f"{key}/{name}": torch.as_tensor(moments[key]).detach().clone().contiguous()
            for key in _MOMENTS
            if key in moments
        }
    with whole_folder(state_place(folder), f"the state of the run cannot be kept in {folder}") as fresh:
        save_file(tensors, fresh / TENSORS)
        (fresh / META).write_text(_as_json({"step": step, "meta": meta}), encoding="utf-8")
    return folder


def state_place(folder: str | Path) -> Path:
    """Return where a state lies, links resolved; refuse a folder that holds other things, which would be lost."""
    try:
        place = Path(folder).resolve()
        names = sorted(one.name for one in place.iterdir()) if place.exists() else []
    except (OSError, ValueError) as error:
        raise InputError(
            f"state={str(folder)!r} cannot be a folder for the run: {reason(error)}. Name a new one."
        ) from error
    foreign = [one for one in names if one not in (TENSORS, META)]
    if foreign:
        raise InputError(
            f"state={str(folder)!r} holds {first_few(foreign, 4)}, which is no state of a run and would be replaced. "
            "Name a new folder."
        )
    return place


def load_state(
    folder: str | Path, *, params: Mapping[str, Tensor], optimizer: torch.optim.Optimizer
) -> tuple[int, Any]:
    """Read what :func:`save_state` wrote into `params` and `optimizer`; return steps done and `meta`."""
    folder = Path(folder)
    try:
        saved = json.loads((folder / META).read_text())
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"cannot resume from {folder}: {error}. Delete it to start anew.") from error
    saved_params = {k.removeprefix("param/"): value for k, value in tensors.items() if k.startswith("param/")}
    fill(params, saved_params, f"the state in {folder} is of another model")
    for name, param in params.items():
        held = {key: tensors[f"{key}/{name}"] for key in _MOMENTS if f"{key}/{name}" in tensors}
        if held:
            # The step count stays on the CPU, where the optimiser keeps it.
            optimizer.state[param] = {key: held[key].to("cpu" if key == "step" else param.device) for key in held}
    return int(saved["step"]), saved["meta"]
