"""Language models whose blocks lie on several devices, or wait on the disk (accelerate's `device_map`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import WeightsError
from ._cache_name import cache_name

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

    from ._head import Head


def is_placed(model: PreTrainedModel) -> bool:
    """Whether the model was spread over devices or quantised, so that it cannot be moved as a whole."""
    return bool(getattr(model, "hf_device_map", None)) or bool(getattr(model, "is_quantized", False))


def keep_on_one_device(model: PreTrainedModel) -> None:
    """Have a spread model hand its last hidden states back where its embeddings are, and keep the head there.

    Prompts are put together beside the embedding table and read out there, wherever the blocks between are.
    """
    places = getattr(model, "hf_device_map", None) or {}
    if len(set(map(str, places.values()))) < 2:
        return
    from accelerate.hooks import (  # type: ignore[import-untyped]
        AlignDevicesHook,
        add_hook_to_module,
        remove_hook_from_module,
    )

    parts: Any = model
    home, head = parts.get_input_embeddings().weight.device, parts.get_output_embeddings()
    if head.weight.device.type != "meta" and head.weight.device != home:
        remove_hook_from_module(head)
        head.to(home)
    if home.type != "meta":
        hook = AlignDevicesHook(execution_device=home, io_same_device=True, skip_keys=cache_name())
        add_hook_to_module(parts.base_model, hook, append=True)


def check_placement(name: str, *, embedding: nn.Module, head: Head) -> None:
    """Refuse a model whose embedding table or head was left on the disk.

    Raises
    ------
    WeightsError
        Label scores read rows of both, which offloaded modules do not show.
    """
    table: Any = embedding.weight
    for part, device in (("embedding table", table.device), ("output embedding", head.device)):
        if device.type == "meta":
            raise WeightsError(
                f"The {part} of {name!r} was offloaded by device_map=. Keep embeddings and head on a device, offload "
                "blocks ('model.layers.7': 'disk') only."
            )
