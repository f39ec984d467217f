"""The encoders of a model, some of them built only when they are needed, and all of them saved as they were read.

A model of several modalities is used for cells by somebody who never installed what reads molecules. An encoder of
which the folder holds no tensors, because they come with another package or there are none, is therefore built on first
use; so is one that needs a package which is not here. It then fails by itself, and with its own message. The files it
was read from are kept until then, so that a model can be saved, tuned and joined whatever is installed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..encoders import SavableEncoder
from ..errors import InputError, OptionalDependencyError

if TYPE_CHECKING:
    from pathlib import Path

    from ..encoders import Encoder


@dataclass(eq=False)
class Held:
    """One encoder, built or not; shared by the models that were made from one another."""

    build: Callable[[], Encoder]  # builds it and compares it with the one the projector was trained with
    files: Mapping[str, bytes] = field(default_factory=dict)  # what it was read from, by path; empty for one handed in
    built: Encoder | None = None  # once it was asked for

    def get(self) -> Encoder:
        """Return the encoder; the first call builds it."""
        if self.built is None:
            self.built = self.build()
            self.files = {}
        return self.built

    def can_be_built(self) -> bool:
        """Build it, unless it needs a package that is not installed."""
        try:
            self.get()
        except OptionalDependencyError:
            return False
        return True

    def save(self, folder: Path) -> None:
        """Write the encoder, or what it would be built from, into `folder`."""
        if self.built is None:
            for name, content in self.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            return
        if not isinstance(self.built, SavableEncoder):
            raise InputError(f"encoder {self.built.name!r} cannot be saved: it has no save(folder) method.")
        self.built.save(folder)


class Encoders(Mapping[str, "Encoder"]):
    """Encoders by modality. Asking whether one is there builds none."""

    def __init__(self, held: Mapping[str, Held]) -> None:
        self._held = dict(held)

    @classmethod
    def of(cls, encoders: Mapping[str, Encoder]) -> Encoders:
        """Hold encoders that are built already, or those of another model as they are."""
        if isinstance(encoders, Encoders):
            return encoders
        return cls({modality: Held(lambda one=one: one, built=one) for modality, one in encoders.items()})  # type: ignore[misc]

    def held(self) -> dict[str, Held]:
        """Return the encoders without building any."""
        return dict(self._held)

    def only(self, modalities: list[str]) -> Encoders:
        """Return the encoders of some modalities, in the order of `modalities`."""
        return Encoders({one: self._held[one] for one in modalities})

    def __getitem__(self, modality: str) -> Encoder:
        return self._held[modality].get()

    def __contains__(self, modality: object) -> bool:
        return modality in self._held

    def __iter__(self) -> Iterator[str]:
        return iter(self._held)

    def __len__(self) -> int:
        return len(self._held)
