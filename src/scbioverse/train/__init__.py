"""Training: tasks turn a batch into a loss, one loop runs them, its state can be saved and resumed."""

from __future__ import annotations

from .autoregressive import AutoregressiveTask, CandidateSet
from .calibrate import expected_calibration_error, fit_pool, fit_temperature
from .loop import fit, load_state, save_state
from .tasks import Batch, ContrastiveTask, LabelSampler, LexicalTask, MixedTask, Task

__all__ = [
    "AutoregressiveTask",
    "Batch",
    "CandidateSet",
    "ContrastiveTask",
    "LabelSampler",
    "LexicalTask",
    "MixedTask",
    "Task",
    "expected_calibration_error",
    "fit",
    "fit_pool",
    "fit_temperature",
    "load_state",
    "save_state",
]
