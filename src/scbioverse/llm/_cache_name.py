"""What transformers calls the keys and values of earlier tokens: `past_key_values`, and `cache` from 5.24 on."""

from __future__ import annotations

from functools import cache as once
from typing import Any


@once
def cache_name() -> str:
    """Name of the argument and of the field of the output, in the transformers that is installed."""
    from transformers.modeling_outputs import BaseModelOutputWithPast

    return "cache" if "cache" in BaseModelOutputWithPast.__dataclass_fields__ else "past_key_values"


def cache_of(output: Any) -> Any:
    """Keys and values in a model's output."""
    return getattr(output, cache_name())
