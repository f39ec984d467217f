"""State of a training run, to resume it: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ..errors import MismatchError, WeightsError

TENSORS, META = "state.safetensors", "state.json"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_state(
    folder: str | Path, *, step: int, params: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, meta: Any
) -> Path:
    """Write parameters, Adam moments and step; the folder appears whole or not at all.

    Parameters
    ----------
    folder
        Where to. What an earlier call left there is replaced.
    step
        Steps done.
    params
        The trained parameters by name.
    optimizer
        An Adam-like optimiser over these parameters.
    meta
        Anything JSON can hold: history and settings of the run.
    """
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    fresh = folder.with_name(f".{folder.name}.{uuid.uuid4().hex[:8]}")
    fresh.mkdir()
    save_file(tensors, fresh / TENSORS)
    (fresh / META).write_text(json.dumps({"step": step, "meta": meta}))
    old = folder.with_name(f".{folder.name}.old.{uuid.uuid4().hex[:8]}")
    if folder.exists():
        folder.replace(old)
    fresh.replace(folder)
    shutil.rmtree(old, ignore_errors=True)
    return folder


def load_state(
    folder: str | Path, *, params: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[int, Any]:
    """Read what :func:`save_state` wrote into `params` and `optimizer`.

    Returns
    -------
    Steps done, and `meta`.

    Raises
    ------
    WeightsError
        The state is missing or damaged.
    MismatchError
        It belongs to other parameters.
    """
    folder = Path(folder)
    try:
        saved = json.loads((folder / META).read_text())
        tensors = load_file(folder / TENSORS)
    except (OSError, ValueError, SafetensorError) as error:
        raise WeightsError(f"cannot resume from {folder}: {error}. Delete it to start anew.") from error
    shapes = {name: tuple(param.shape) for name, param in params.items()}
    found = {k.removeprefix("param/"): tuple(v.shape) for k, v in tensors.items() if k.startswith("param/")}
    if shapes != found:
        differ = sorted(set(shapes.items()) ^ set(found.items()))[:4]
        raise MismatchError(f"the state in {folder} is of another model; they differ in {differ}.")
    with torch.no_grad():
        for name, param in params.items():
            param.copy_(tensors[f"param/{name}"])
            # The step count stays on the CPU, where the optimiser keeps it.
            moments = {
                key: tensors[f"{key}/{name}"].to("cpu" if key == "step" else param.device)
                for key in _MOMENTS
                if f"{key}/{name}" in tensors
            }
            if moments:
                optimizer.state[param] = moments
    return int(saved["step"]), saved["meta"]
