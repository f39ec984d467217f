"""The space in which inputs and texts are compared: soft tokens beside the language model's own states of texts."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize

from ..errors import InputError
from ..io import row_blocks
from ..llm.represent import TextSpace, TextTable, default_layer
from .config import TextSpaceConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .config import BioVerseConfig
    from .reader import Readers

TEMPERATURE = 0.07  # start of the learned InfoNCE temperature (Radford et al. 2021)
_ROWS = 4096


def cosines(rows: NDArray[np.float32], texts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cosines of n and m unit vectors, float32 (n, m).

    Taken in double precision and rounded: the last digits of a product in single precision depend on which rows lie
    beside a row, and a cell's labels may not.
    """
    columns = texts.T.astype(np.float64)
    out = np.empty((len(rows), len(texts)), dtype=np.float32)
    for block in row_blocks(rows, _ROWS):
        out[block] = rows[block].astype(np.float64) @ columns
    return out


class SharedHead(nn.Module):
    """A modality's own centre and scale in the text space (`dim` wide), and the learned InfoNCE scale.

    Text representations lie around their own mean, which the text space subtracts. Soft tokens are made for the
    language model's input and lie elsewhere; subtracting the text's mean from them would leave one constant direction
    in which all cells agree. Each modality therefore has its own centre, set on the first data seen and then trained. A
    linear map follows, the identity to begin with: it leaves soft tokens free to be what the language model reads best,
    whatever the text space makes of their mean.
    """

    gain: Tensor
    fitted: Tensor

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.mix = nn.Parameter(torch.zeros(dim, dim).fill_diagonal_(1.0))
        self.shift = nn.Parameter(torch.zeros(dim))
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / TEMPERATURE)))
        self.register_buffer("gain", torch.ones(()))
        self.register_buffer("fitted", torch.zeros((), dtype=torch.uint8))

    @torch.no_grad()
    def fit(self, projected: Tensor) -> None:
        """Centre (n, dim) values at zero and give them unit mean square."""
        centred = projected - projected.mean(dim=0)
        self.gain.copy_(1.0 / centred.pow(2).mean().sqrt().clamp(min=1e-8))
        self.shift.copy_(-projected.mean(dim=0) * self.gain)
        self.fitted.fill_(1)

    def forward(self, projected: Tensor) -> Tensor:
        """Return unit vectors (n, dim)."""
        return normalize((projected * self.gain + self.shift) @ self.mix, dim=-1)


Float = NDArray[np.float32]


class SharedSpace:
    """A model's side of that space: its fitted `text` side, and each modality's layer into it.

    `text` is None as long as nothing contrastive was trained; of texts in the `table` the place is known already.
    """

    def __init__(
        self,
        config: BioVerseConfig,
        modules: nn.ModuleDict,
        readers: Readers,
        text: TextSpace | None,
        table: TextTable | None,
    ) -> None:
        self.config, self.modules, self.readers, self.text, self.table = config, modules, readers, text, table

    @property
    def dim(self) -> int:
        """Dimensions."""
        return self._fitted()[0].dim

    def _fitted(self) -> tuple[TextSpaceConfig, TextSpace]:
        if self.config.text_space is None or self.text is None:
            raise InputError(
                f"model {self.config.name!r} has no text space: only method='score' works. Train one with "
                "scbioverse.tl.align(adata, text_key=..., loss='contrastive')."
            )
        return self.config.text_space, self.text

    def head(self, modality: str = "cell") -> SharedHead:
        """Return a modality's layer."""
        heads: Any = self.modules["shared"]
        return heads[modality]

    def loaded(self, mean: Tensor) -> Tensor:
        """Mean soft tokens (n, d_llm) on the text side's axes: (n, d_text)."""
        return mean.float() @ self._fitted()[1].components.to(mean.device)

    def place(self, soft: Tensor, modality: str = "cell") -> Tensor:
        """Map soft tokens (n, n_soft, d_llm), or the mean of each input's (n, d_llm), to unit vectors (n, d_text)."""
        return self.head(modality)(self.loaded(soft if soft.ndim == 2 else soft.float().mean(dim=1)))

    def centre(self, soft: Tensor, modality: str = "cell") -> None:
        """Start a modality's layer from soft tokens: centred, with unit mean square. Once is enough."""
        if not self.head(modality).fitted:
            self.head(modality).fit(self.loaded(soft.detach().float().mean(dim=1)))

    def fit(self, texts: Sequence[str], *, layer: int | None, dim: int, shrinkage: float) -> None:
        """Fit the text side: centre and whiten the states of texts after `layer` blocks (a fifth of all if None)."""
        layer = default_layer(self.readers.backbone) if layer is None else layer
        space = TextSpace.fit(self.readers.represent(texts, layer), dim=dim, shrinkage=shrinkage)
        self.set(space, TextSpaceConfig(layer, space.dim))

    def set(self, text: TextSpace, config: TextSpaceConfig) -> None:
        """Take over a fitted text side of the same language model; layers start anew."""
        self.text, self.config.text_space, self.table = text, config, None
        heads = nn.ModuleDict({modality: SharedHead(config.dim) for modality in self.config.encoders})
        self.modules["shared"] = heads.to(next(self.modules.parameters()).device)

    def of_texts(self, texts: Sequence[str]) -> Float:
        """Place texts: float32 (n, d_text), unit length."""
        config, space = self._fitted()
        out = np.empty((len(texts), config.dim), dtype=np.float32)
        new = np.ones(len(texts), dtype=bool)
        if self.table is not None and len(texts):
            known, kept = self.table.find(texts)
            out[known], new = kept, ~known
        if new.any():
            unread = [texts[i] for i in np.flatnonzero(new).tolist()]
            out[new] = space.transform(self.readers.represent(unread, config.layer))
        return out

    def keep(self, texts: Sequence[str], coordinates: Float | None = None) -> None:
        """Remember where different texts lie, in place of those remembered before.

        They need not be read by the language model again; :class:`scbioverse.llm.represent.TextTable` says how exact
        that is. `coordinates`, float32 (n, d_text), are computed if not given.
        """
        self.table = None
        found = self.of_texts(texts) if coordinates is None else coordinates
        self.table = TextTable.build(texts, found)
