"""State of a training run, to resume it: safetensors and JSON, never pickle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from .._whole import written_whole
from ..errors import InputError, MismatchError, WeightsError

TENSORS, META = "state.safetensors", "state.json"
_MOMENTS = ("exp_avg", "exp_avg_sq", "step")


def save_state(
    folder: str | Path, *, step: int, params: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, meta: Any
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
    folder.parent.mkdir(parents=True, exist_ok=True)
    place = state_place(folder)
    try:
        with written_whole(place) as fresh:
            fresh.mkdir()
            save_file(tensors, fresh / TENSORS)
            (fresh / META).write_text(json.dumps({"step": step, "meta": meta}), encoding="utf-8")
    # safetensors reports a full disk by an error of its own.
    except (OSError, SafetensorError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"the state of the run cannot be kept in {folder}: {said}. The one before stays.") from error
    return folder


def state_place(folder: str | Path) -> Path:
    """Return where a state lies, links resolved; refuse a folder that holds other things, which would be lost."""
    try:
        place = Path(folder).resolve()
        names = sorted(one.name for one in place.iterdir()) if place.exists() else []
    except (OSError, ValueError) as error:
        said = getattr(error, "strerror", None) or error
        raise InputError(f"state={str(folder)!r} cannot be a folder for the run: {said}. Name a new one.") from error
    foreign = [one for one in names if one not in (TENSORS, META)]
    if foreign:
        raise InputError(
            f"state={str(folder)!r} holds {', '.join(foreign[:4])}{', ...' if foreign[4:] else ''}, which is no state "
            "of a run and would be replaced. Name a new folder."
        )
    return place


def load_state(
    folder: str | Path, *, params: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer
) -> tuple[int, Any]:
    """Read what :func:`save_state` wrote into `params` and `optimizer`; return steps done and `meta`."""
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
