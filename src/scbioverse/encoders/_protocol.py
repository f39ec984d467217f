"""What an encoder is: anything that turns cells, or other rows of an AnnData, into a few float vectors each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

if TYPE_CHECKING:
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from ..io import Cells


@runtime_checkable
class Encoder(Protocol):
    """The contract of every encoder.

    What holds for a whole data set (which column is which gene, say) an encoder finds once with
    :meth:`scbioverse.io.Cells.once`. It may also have `summary(cells)`: plain values for the record in `uns`.

    Attributes
    ----------
    modality
        `"cell"`, `"protein"`, `"molecule"`, ...
    name
        Name shown in records.
    dim
        Width of one token.
    n_tokens
        Tokens a row.
    """

    modality: str
    name: str
    dim: int
    n_tokens: int

    def fingerprint(self) -> str:
        """Sha256, in hex, of weights and preprocessing version: equal if and only if the output is."""

    def prepare(self, cells: Cells, rows: slice | NDArray[np.integer]) -> Any:
        """Turn some rows into the encoder's input. What cannot be used is an error that says why."""

    def encode(self, batch: Any) -> NDArray[np.float32]:
        """Embed one batch: float32 (n, n_tokens, dim). Row i depends on row i of the batch only."""


@runtime_checkable
class SavableEncoder(Encoder, Protocol):
    """An encoder that a checkpoint can carry.

    Attributes
    ----------
    kind
        Name under which its class is registered.
    """

    kind: str

    def save(self, folder: str | Path) -> Path:
        """Write the encoder's files, `encoder.json` with its `kind` among them."""


@runtime_checkable
class TraceableEncoder(Encoder, Protocol):
    """An encoder that can tell whether what it read has changed; embeddings by others are never used a second time."""

    def input_digest(self, cells: Cells) -> str:
        """Digest of everything in the data that :meth:`prepare` reads, in the order of the rows."""
