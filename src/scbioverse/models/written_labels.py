"""Labels that the language model writes, freely or one of some names."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from ..llm._memory import first_batch
from ..llm.generate import Choices, Generated, generate
from ..llm.trie import LabelTrie
from .score import answer_sequences, unique_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .bioverse import BioVerse

Float = NDArray[np.float32]


def write_labels(
    model: BioVerse,
    embeddings: Float,
    names: Sequence[str] | None = None,
    *,
    modality: str = "cell",
    max_new_tokens: int = 24,
    beams: int = 1,
    batch_size: int = 32,
) -> tuple[list[str], Float, NDArray[np.int64]]:
    """Let the language model write a label for each row, freely or one of `names`, which are written to their end.

    Equal embeddings are read once. What is written freely of a modality with phrases of its own (see
    :class:`scbioverse.models.writer.PhraseCaptioner`) is written from these. `batch_size` is the most rows at once:
    fewer where little memory is free.

    Returns the texts; their log-probabilities float32 (n,), among `names` where given; and int64 (n,) which of the
    names each is, -1 for free texts.
    """
    model.check_modality(modality)
    if names is None and modality in model.phrase_books:
        captioner = model.captioner(modality)
        said, likely = captioner.write(embeddings, max_new_tokens=max_new_tokens, beams=beams, batch_size=batch_size)
        return said, likely, np.full(len(said), -1, dtype=np.int64)
    reader = model.writing_reader
    choices = None if names is None else Choices(LabelTrie(answer_sequences(reader, list(names))))
    rows = np.ascontiguousarray(embeddings, dtype=np.float32)
    unique, back = unique_rows(rows.reshape(len(rows), int(np.prod(rows.shape[1:]))))
    model.modules.eval()
    done: list[Generated] = []
    length = max_new_tokens if choices is None else choices.longest
    memory = first_batch(
        reader.backbone,
        batch_size,
        length=len(reader.prompt(modality).head) + length,
        prefix=reader.prefix(modality).length,
        logits=1,
        copies=beams,
        what=f"{modality}s",
    )
    forward = torch.inference_mode()(partial(model.forward, modality=modality, writes=True))
    write = partial(generate, max_new_tokens=length, allowed=choices, beams=beams)
    for start in range(0, unique.size, batch_size):
        block = rows[unique[start : start + batch_size]]
        done += memory.run(lambda size, block=block: forward(block, partial(write, batch_size=size)))  # type: ignore[misc]
    texts = [" ".join(reader.backbone.decode(one.ids).split()) for one in done]
    log_probs = np.array([one.log_prob for one in done], dtype=np.float32)
    which = np.array([-1 if choices is None else choices.label(one.ids) for one in done], dtype=np.int64)
    return [texts[i] for i in back], log_probs[back], which[back]
