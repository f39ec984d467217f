"""The encoders of a saved model, some of them read only when they are needed.

A model of several modalities is used for cells by somebody who never installed what reads molecules. An encoder of
which the folder holds no tensors, because they come with another package or there are none, is therefore built on first
use; it then fails by itself, and with its own message, where that package is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..encoders import Encoder


class LoadedEncoders(Mapping[str, "Encoder"]):
    """Encoders by modality.

    Parameters
    ----------
    readers
        By modality, what builds the encoder and compares it with the one the model was trained with.
    """

    def __init__(self, readers: Mapping[str, Callable[[], Encoder]]) -> None:
        self._readers = dict(readers)
        self._built: dict[str, Encoder] = {}

    def __getitem__(self, modality: str) -> Encoder:
        if modality not in self._built:
            self._built[modality] = self._readers[modality]()
        return self._built[modality]

    def __contains__(self, modality: object) -> bool:
        return modality in self._readers  # asking must not build

    def __iter__(self) -> Iterator[str]:
        return iter(self._readers)

    def __len__(self) -> int:
        return len(self._readers)
