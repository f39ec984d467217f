"""Markers and placeholders of our own, so that the language model's vocabulary stays as it is."""

from __future__ import annotations

import contextlib
import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

# Below every id that means something elsewhere (-100 marks positions without a label).
_FIRST = -1001


class BioTokens(nn.Module):
    """Embedding table of the markers around soft tokens, and the ids that stand for them in a prompt.

    Ids are negative and so never meet the language model's own. Per modality there is a start marker (`<cell>`), an end
    marker (`</cell>`) and a placeholder, which stands where one soft token goes and has no embedding; one task token is
    shared by all.

    Start markers, `fixed` (n_modalities, d_llm), belong to the part of the prompt whose keys and values are computed
    once, where no gradient comes, and a weight decay that moved them would make those stale. End markers and, last, the
    task token are `trained`. All begin with the Euclidean length `init_norm`: the mean norm of the language model's
    token embeddings.
    """

    def __init__(self, modalities: Sequence[str], d_llm: int, *, init_norm: float = 1.0) -> None:
        super().__init__()
        self.modalities = tuple(modalities)
        self.d_llm = d_llm
        if not self.modalities or len(set(self.modalities)) != len(self.modalities):
            raise InputError(f"BioTokens needs at least one modality, each named once, found {list(modalities)}.")
        if wrong := [name for name in self.modalities if not name.isidentifier() or name == "task"]:
            raise InputError(f"Modality names must be plain words other than 'task', found {wrong}.")
        if d_llm < 1 or not (math.isfinite(init_norm) and init_norm > 0):
            raise InputError(f"d_llm and init_norm must be positive, found {d_llm} and {init_norm}.")
        k, std = len(self.modalities), init_norm / math.sqrt(d_llm)
        self.fixed = nn.Parameter(nn.init.normal_(torch.empty(k, d_llm), std=std), requires_grad=False)
        self.trained = nn.Parameter(nn.init.normal_(torch.empty(k + 1, d_llm), std=std))
        # Rows of [fixed; trained], then the placeholders, which have no row.
        names = [f"<{name}>" for name in self.modalities] + [f"</{name}>" for name in self.modalities]
        names.append("<task>")
        self._n_rows = len(names)
        names += [f"<{name}:soft>" for name in self.modalities]
        self._ids = {name: _FIRST - row for row, name in enumerate(names)}
        self._names = {number: name for name, number in self._ids.items()}

    @torch.no_grad()
    def begin_as(self, start: Tensor, end: Tensor, task: Tensor) -> None:
        """Set markers of all modalities to vectors (d_llm,) of words, so that a frozen model can read them at once."""
        k = len(self.modalities)
        self.fixed.copy_(start.to(self.fixed).expand(k, -1))
        self.trained[:k] = end.to(self.trained)
        self.trained[k] = task.to(self.trained)

    @contextlib.contextmanager
    def only_end_of(self, modality: str) -> Iterator[None]:
        """Let training inside move the end marker of a modality alone: the task token belongs to the others, too."""
        kept = torch.zeros_like(self.trained[:, :1])
        kept[self.modalities.index(modality)] = 1
        hook = self.trained.register_hook(lambda gradient: gradient * kept.to(gradient))
        try:
            yield
        finally:
            hook.remove()

    def _id(self, form: str, modality: str) -> int:
        if modality not in self.modalities:
            raise InputError(f"No tokens for modality {modality!r}; there are {list(self.modalities)}.")
        return self._ids[form.format(modality)]

    def start_id(self, modality: str) -> int:
        """Return the id of the marker before a modality's soft tokens."""
        return self._id("<{}>", modality)

    def end_id(self, modality: str) -> int:
        """Return the id of the marker after a modality's soft tokens."""
        return self._id("</{}>", modality)

    def placeholder(self, modality: str) -> int:
        """Return the id that stands for one soft token of a modality."""
        return self._id("<{}:soft>", modality)

    @property
    def task_id(self) -> int:
        """Id of the task token."""
        return self._ids["<task>"]

    def name(self, token_id: int) -> str:
        """Return the name of one of the negative ids, such as `"<cell>"`."""
        if token_id not in self._names:
            raise InputError(f"{token_id} is not a bio token; they are {min(self._names)}..{_FIRST}.")
        return self._names[token_id]

    def embed(self, ids: Tensor) -> Tensor:
        """Look up markers and the task token: int64 (...) to a new (..., d_llm), with a gradient to `trained`."""
        rows = _FIRST - ids.to(self.trained.device)
        if rows.numel() and (int(rows.min()) < 0 or int(rows.max()) >= self._n_rows):
            unknown = sorted(set(ids[(rows < 0).to(ids.device) | (rows >= self._n_rows).to(ids.device)].tolist()))
            raise InputError(f"These ids have no embedding here: {[self._names.get(i, i) for i in unknown[:5]]}.")
        return torch.cat([self.fixed, self.trained])[rows]
