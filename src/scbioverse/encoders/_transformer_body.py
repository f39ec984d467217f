"""A bidirectional transformer over sequences of very different lengths: loading, batching by length, running."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from .._device import autocast, pick_device
from .._tensor_files import load_pretrained
from .._untrusted import read_json, refuse_code, refusing
from ..errors import InputError, WeightsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray
    from transformers import BertModel

DType = Literal["auto", "float32", "bfloat16", "float16"]
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
# Padded tokens of one forward pass: what stays in a processor's cache, and what fills a GPU.
TOKENS_CPU, TOKENS_GPU = 8_192, 131_072


def pick_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Turn `"auto"` or a name into the number type to multiply in: half precision on a GPU, float32 elsewhere."""
    if dtype in _DTYPES:
        return _DTYPES[dtype]
    if dtype != "auto":
        raise InputError(f"dtype={dtype!r}; choose 'auto', {', '.join(map(repr, _DTYPES))}.")
    if device.type != "cuda":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported(including_emulation=False) else torch.float16


def read_body_config(folder: Path) -> dict[str, Any]:
    """Read `config.json` of a folder that holds a BERT."""
    file = folder / "config.json"
    config = read_json(file)
    if not isinstance(config, dict) or config.get("model_type") != "bert":
        found = config.get("model_type") if isinstance(config, dict) else type(config).__name__
        raise WeightsError(f"{folder} holds a model of type {found!r}; expected 'bert'.")
    return config


def load_body(folder: Path, *, layer: int = 0) -> BertModel:
    """Load a BERT body from a folder of safetensors, as float32 on the CPU, running no code from it.

    A masked-language model's folder serves as well, its head is left out. `layer` is the one whose states are wanted,
    counted back from the last (0); layers above it are not loaded.
    """
    from transformers import BertConfig, BertModel

    with refusing(f"{folder / 'config.json'} describes no BERT", "Fetch it again."):
        config = BertConfig.from_dict(read_body_config(folder))
        n_layers = int(config.num_hidden_layers)
    if not -n_layers < layer <= 0:
        raise InputError(f"layer={layer}; the model has {n_layers} layers: choose from {1 - n_layers} to 0 (the last).")
    # Layers that nobody reads are neither loaded nor run.
    config.num_hidden_layers = n_layers + layer
    if not list(folder.glob("*.safetensors")):
        pickles = sorted(file.name for file in folder.glob("*.bin"))
        hint = (
            f"it holds {', '.join(pickles)}, a pickle, which can run code and is refused: convert it to safetensors"
            if pickles
            else "fetch them, or name the subfolder that holds them"
        )
        raise WeightsError(f"{folder} has no *.safetensors weights; {hint}.")
    refuse_code(folder)
    return load_pretrained(
        BertModel,
        folder,
        config,
        name=str(folder),
        add_pooling_layer=False,
        use_safetensors=True,
        dtype=torch.float32,
    )


def length_batches(lengths: NDArray[np.integer], max_tokens: int) -> Iterator[NDArray[np.int64]]:
    """Group rows of similar lengths, longest first, so that little is padded; yields the rows' positions.

    A group has at most `max_tokens` tokens, padding included; a longer row makes a group of its own. Rows of length 0
    are left out.
    """
    order = np.argsort(-np.asarray(lengths), kind="stable")
    order = order[np.asarray(lengths)[order] > 0]
    first = 0
    while first < order.size:
        n = max(1, max_tokens // int(lengths[order[first]]))
        yield order[first : first + n]
        first += n


class BodyRunner:
    """A frozen body on a device, run on sequences given as flat tokens and lengths.

    Weights stay float32, so that what is saved and what is fingerprinted does not depend on the device; lower precision
    is used for the products only (autocast). A forward pass has at most `max_tokens`, padding included; where memory
    does not suffice for that, fewer rows are handed in (:class:`scbioverse._device.BatchSize`).
    """

    def __init__(
        self, body: BertModel, *, pad: int, device: str = "auto", dtype: DType = "auto", max_tokens: int | None = None
    ) -> None:
        self.pad, self._dtype, self._max_tokens = pad, dtype, max_tokens
        # Half precision that a file holds would be fingerprinted as other weights.
        self.body = body.float().eval().requires_grad_(False)
        self.to(device)

    def to(self, device: str) -> None:
        """Run on another device from now on, in the number type and with the batches that suit it."""
        self.device = pick_device(device)
        self.dtype = pick_dtype(self._dtype, self.device)
        self.max_tokens = self._max_tokens or (TOKENS_CPU if self.device.type == "cpu" else TOKENS_GPU)
        self.body.to(self.device)

    @torch.inference_mode()
    def run(
        self,
        ids: NDArray[np.integer],
        lengths: NDArray[np.integer],
        pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> NDArray[np.float32]:
        """Run every sequence and pool its states: float32 (n, dim), zeros for a sequence of length 0.

        `ids` holds the tokens, one sequence behind the other, `lengths` (n,) says how many each has; `pool` goes from
        states (b, l, dim), float32, and lengths (b,) to (b, dim).
        """
        out = np.zeros((len(lengths), self.body.config.hidden_size), dtype=np.float32)
        starts = np.cumsum(lengths) - lengths
        for rows in length_batches(lengths, self.max_tokens):
            out[rows] = self._forward(ids, starts[rows], np.asarray(lengths)[rows], pool)
        return out

    def _forward(
        self,
        ids: NDArray[np.integer],
        starts: NDArray[np.integer],
        lengths: NDArray[np.integer],
        pool: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    ) -> NDArray[np.float32]:
        width = int(lengths.max())
        place = np.arange(width)
        filled = place < lengths[:, None]
        block = np.full(filled.shape, self.pad, dtype=np.int64)
        block[filled] = ids[(starts[:, None] + place)[filled]]
        # Without padding no mask is needed, and attention runs through its faster path.
        mask = None if filled.all() else torch.from_numpy(filled).to(self.device)
        with autocast(self.device, self.dtype):
            states = self.body(input_ids=torch.from_numpy(block).to(self.device), attention_mask=mask).last_hidden_state
        pooled = pool(states.float(), torch.from_numpy(lengths.astype(np.int64)).to(self.device))
        return pooled.cpu().numpy()
