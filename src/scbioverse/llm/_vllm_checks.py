"""What goes into a vLLM engine and comes out of it, checked; and the table of words read from a folder."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from .._plain_files import read_json_object
from .._safe_files import check_file_name
from ..errors import InputError, WeightsError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


# Families that look words up and hand them on as they are, or multiply whatever comes in (Granite). vLLM multiplies
# looked-up words and handed-in embeddings differently from one version of Gemma to the next, so that Gemma is left out.
FAMILIES = frozenset({"llama", "mistral", "qwen2", "qwen3", "granite", "gpt_neox", "phi", "phi3"})
_TABLES = ("model.embed_tokens.weight", "gpt_neox.embed_in.weight", "embed_tokens.weight", "embed_in.weight")


def check_prompt(embeds: Tensor, *, d_llm: int, dtype: torch.dtype, max_length: int) -> None:
    """Check a prompt before it reaches the engine, which a malformed one can bring down for everybody.

    Raises
    ------
    InputError
        It is not (T, d_llm) of the engine's number type, empty, too long, or holds NaN or infinite values.
    """
    if embeds.ndim != 2 or embeds.shape[1] != d_llm or not embeds.shape[0]:
        raise InputError(f"a prompt must be (T, {d_llm}) with T >= 1, found {tuple(embeds.shape)}.")
    if embeds.dtype != dtype:
        raise InputError(f"a prompt must be {dtype}, found {embeds.dtype}.")
    if embeds.shape[0] >= max_length:
        raise InputError(
            f"a prompt of {embeds.shape[0]} tokens leaves no room for an answer; at most {max_length - 1}."
        )
    if embeds.layout != torch.strided or not bool(torch.isfinite(embeds).all()):
        raise InputError("a prompt must be dense and finite; the embeddings hold NaN or infinite values.")


def read_answer(answer: Any, allowed: list[int]) -> NDArray[np.float64]:
    """Log-probabilities of the allowed tokens from the engine's answer, normalised over them.

    Raises
    ------
    InputError
        The answer lacks some of them: the engine was started with another `logprobs_mode`.
    """
    steps = answer.outputs[0].logprobs if answer.outputs else None
    given = {int(token): float(one.logprob) for token, one in steps[0].items()} if steps else {}
    absent = [token for token in allowed if not math.isfinite(given.get(token, -math.inf))]
    if absent:
        raise InputError(
            f"the vLLM engine gave no log-probability for {len(absent)} of {len(allowed)} allowed tokens, for example "
            f"{absent[0]}. Start it with logprobs_mode='processed_logprobs' and max_logprobs >= {len(allowed)}."
        )
    values = np.array([given[token] for token in allowed])
    top = values.max()
    return values - (top + np.log(np.exp(values - top).sum()))


def read_table(folder: Path) -> Tensor:
    """Read the token embeddings (vocab, d_llm) of a model folder, and nothing else of it.

    Raises
    ------
    WeightsError
        None of its files holds them under a known name.
    """
    from safetensors import safe_open

    files = sorted(folder.glob("*.safetensors"))
    for index in folder.glob("*.safetensors.index.json"):
        named = read_json_object(index).get("weight_map", {})
        files = sorted({folder / check_file_name(one, where=str(index)) for one in named.values()})
    for file in files:
        with safe_open(file, framework="pt") as handle:
            for key in set(_TABLES).intersection(handle.keys()):
                table: Tensor = handle.get_tensor(key)
                return table
    raise WeightsError(f"{folder} holds no token embeddings under a known name ({', '.join(_TABLES)}).")


def family_of(folder: Path) -> str:
    return str(read_json_object(folder / "config.json").get("model_type"))
