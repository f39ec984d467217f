"""From soft tokens into the space shared with text."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

TEMPERATURE = 0.07
"""Start of the learned InfoNCE temperature (Radford et al. 2021)."""


class SharedHead(nn.Module):
    """A modality's own centre and scale in the text space, and the learned InfoNCE scale.

    Text representations lie around their own mean, which the text space subtracts. Soft tokens are made for the
    language model's input and lie elsewhere; subtracting the text's mean from them would leave one constant direction
    in which all cells agree. Each modality therefore has its own centre, set on the first data seen and then trained. A
    linear map follows, the identity to begin with: it leaves soft tokens free to be what the language model reads best,
    whatever the text space makes of their mean.

    Parameters
    ----------
    dim
        Dimensions of the text space.
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
