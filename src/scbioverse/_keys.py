"""The names of every slot that scbioverse reads or writes, in one place."""

from __future__ import annotations

import re
from dataclasses import dataclass

from .errors import InputError

UNS_ROOT = "bioverse"


@dataclass(frozen=True)
class Slots:
    """Slot names derived from one `key_added` stem.

    Attributes
    ----------
    key
        The stem, `"bioverse"` unless the caller chose another by `key_added=`.
    """

    key: str = "bioverse"

    def __post_init__(self) -> None:
        """Refuse a stem whose slots no file could hold."""
        # A slash would make a group of it in h5ad and zarr.
        if not isinstance(self.key, str) or not re.fullmatch(r"[^\W_][\w .+-]{0,79}", self.key):
            raise InputError(
                f"key_added={self.key!r:.90} becomes part of the names of slots: up to 80 letters, digits, spaces, "
                "'_', '.', '+' and '-', a letter or digit first."
            )

    def step(self, verb: str) -> str:
        """Name of a verb's record in `uns["bioverse"]`: with the stem, where that is not the default."""
        return verb if self.key == "bioverse" else f"{verb}_{self.key}"

    @property
    def label(self) -> str:
        """`obs`, categorical: the label."""
        return f"{self.key}_label"

    @property
    def confidence(self) -> str:
        """`obs`, float32 in 0-1: calibrated probability of the label among the candidates."""
        return f"{self.key}_confidence"

    @property
    def margin(self) -> str:
        """`obs`, float32 in 0-1: probability of the best candidate less that of the second."""
        return f"{self.key}_margin"

    @property
    def entropy(self) -> str:
        """`obs`, float32: entropy of the candidates' probabilities, in nats."""
        return f"{self.key}_entropy"

    @property
    def elsewhere(self) -> str:
        """`obs`, float32 in 0-1: above 0.5 where a type that is not among the candidates is nearer than they are."""
        return f"{self.key}_elsewhere"

    @property
    def rationale(self) -> str:
        """`obs`, string: the checked reason."""
        return f"{self.key}_rationale"

    @property
    def text(self) -> str:
        """`obs`, string: what the language model wrote, before it was mapped to a label."""
        return f"{self.key}_text"

    @property
    def description(self) -> str:
        """`obs`, string: what :func:`scbioverse.tl.describe` says of the row."""
        return f"{self.key}_description"

    @property
    def description_score(self) -> str:
        """`obs`, float32: mean log-probability of a written token, or similarity of the row a text was taken from."""
        return f"{self.key}_description_score"

    @property
    def description_source(self) -> str:
        """`obs`, string: name of the reference's row that a text was taken from."""
        return f"{self.key}_description_source"

    @property
    def cl_id(self) -> str:
        """`obs`, categorical: Cell Ontology id of the label, empty where it resolved to none."""
        return f"{self.key}_cl_id"

    @property
    def rollup(self) -> str:
        """`obs`, categorical: the label lifted to a broader term; its id stands under the same name with `_cl_id`."""
        return f"{self.key}_label_rollup"

    def retrieve(self, name: str | int) -> str:
        """`obs`, float32 (one text), or `obsm`, DataFrame (several): nearness of each row to a text."""
        return f"{self.key}_retrieve_{name}"

    @property
    def scores(self) -> str:
        """`obsm`, DataFrame (n_obs, n_labels): log-probability of each candidate."""
        return f"{self.key}_scores"

    @property
    def aligned(self) -> str:
        """`obsm`, float32 (n_obs, d_text): coordinates in the space shared with text."""
        return f"X_{self.key}_aligned"

    def embedding(self, modality: str = "cell") -> str:
        """`obsm`, float32 (n_obs, dim) or (n_obs, n_tokens, dim): the encoder's output."""
        return f"X_{self.key}" if modality == "cell" else f"X_{self.key}_{modality}"
