"""Encoders that read one text a row (a SMILES, a sequence): each distinct text is embedded once, then spread."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeAlias

import numpy as np
import pandas as pd
from tqdm.auto import tqdm

from .._device import BatchSize
from .._logging import first_few, logger, shown_name
from .._settings import settings
from ..errors import InputError, check_choice, check_columns
from ..io import check_one_name, texts_digest
from ..pp._text_column import cell_text
from ._registry import FrozenEncoder, read_config, same_fingerprint, write_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..io import Cells

Invalid: TypeAlias = Literal["raise", "skip"]
_SHOWN = 5  # values that a message names


@dataclass(frozen=True, eq=False)
class DistinctPlan:
    """The distinct texts of a column, in the encoder's own form, and who has which."""

    values: list[str]
    codes: NDArray[np.int64]  # (n_obs,): each row's position in `values`, -1 for rows without a text
    key: str
    n_missing: int
    n_invalid: int  # rows with a text that cannot be read

    @property
    def summary(self) -> dict[str, Any]:
        """Plain values for the record in `uns`."""
        return {
            "source": f"obs/{self.key}",
            "n_distinct": len(self.values),
            "n_missing": self.n_missing,
            "n_invalid": self.n_invalid,
        }


class TextEncoder(FrozenEncoder):
    """What encoders of one text a row share; a subclass says how texts are cleaned and embedded.

    A row without a text (NaN, None or "") is a row to which nothing was given, such as an untreated cell: its embedding
    is NaN. A text that cannot be read is an error that names it, unless the plan was told to skip it.
    """

    default_key: ClassVar[str]
    noun: ClassVar[str]
    name: str
    modality: str
    dim: int

    def clean(self, values: Sequence[str]) -> list[tuple[str, str]]:
        """Return (text in the encoder's form, problem) for each value; a problem is "" where there is none."""
        raise NotImplementedError

    def embed_texts(self, values: Sequence[str]) -> NDArray[np.float32]:
        """Embed texts that :meth:`clean` returned: float32 (n, dim)."""
        raise NotImplementedError

    def plan(self, adata: AnnData, *, key: str | None = None, invalid: Invalid = "raise") -> DistinctPlan:
        """Find and clean the distinct texts of `obs[key]`, once for a data set.

        Texts that cannot be read are an error that names them, or, with `invalid="skip"`, make their rows NaN.
        """
        check_choice("invalid", invalid, "raise", "skip")
        key = key or self.default_key
        raw, codes = _factorise(adata, key)
        cleaned = self.clean(raw)
        bad = {i: problem for i, (_, problem) in enumerate(cleaned) if problem}
        if bad and invalid == "raise":
            raise InputError(self._complaint(adata, key, raw, codes, bad))
        values: dict[str, int] = {}
        # Different spellings of one molecule share an embedding.
        place = [-1 if problem else values.setdefault(text, len(values)) for text, problem in cleaned]
        # Code -1 stays -1: such a row has nothing to look up.
        own = np.array([*place, -1], dtype=np.int64)[codes]
        n_missing = int((codes < 0).sum())
        n_invalid = int((own < 0).sum()) - n_missing
        if not values:
            raise InputError(f"adata.obs[{key!r}] holds no {self.noun} that can be read ({adata.n_obs} rows)")
        if n_missing:
            logger.info("%d of %d rows have no %s: their embedding is NaN", n_missing, adata.n_obs, self.noun)
        if n_invalid:
            logger.warning("%d of %d rows have an unreadable %s: NaN", n_invalid, adata.n_obs, self.noun)
        return DistinctPlan(list(values), own, key, n_missing, n_invalid)

    def _plan_of(self, cells: Cells) -> DistinctPlan:
        return self.plan(cells.adata, key=cells.key)

    def input_digest(self, cells: Cells) -> str:
        """Digest of what is read: the column's texts in the order of the rows."""
        return texts_digest(*_factorise(cells.adata, cells.key or self.default_key))

    def _complaint(
        self, adata: AnnData, key: str, raw: list[str], codes: NDArray[np.int64], bad: dict[int, str]
    ) -> str:
        # By row, as a user finds them, and not by distinct text.
        rows = np.flatnonzero(np.isin(codes, list(bad)))
        named = (
            f"row {shown_name(adata.obs_names[row])!r}: {raw[codes[row]][:40]!r} ({bad[int(codes[row])]})"
            for row in rows[: _SHOWN + 1]
        )
        return (
            f"{len(rows)} of {adata.n_obs} rows of adata.obs[{key!r}] hold no readable {self.noun}: "
            f"{first_few(named, _SHOWN, '; ')}. Correct them, or embed them as NaN with "
            "scbioverse.tl.embed(..., invalid='skip')."
        )

    def prepare(self, cells: Cells, rows: slice | NDArray[np.integer]) -> list[str | None]:
        """Look up the texts of the rows of one batch, None where a row has none."""
        plan = cells.once(self._plan_of)
        return [None if code < 0 else plan.values[code] for code in plan.codes[rows]]

    def encode(self, batch: list[str | None]) -> NDArray[np.float32]:
        """Embed one batch, each distinct text once: float32 (n, 1, dim), NaN for rows without a text."""
        distinct: dict[str, int] = {}
        codes = np.array([-1 if text is None else distinct.setdefault(text, len(distinct)) for text in batch])
        return spread(self.embed_texts(list(distinct)), codes)[:, None]

    def save(self, folder: str | Path) -> Path:
        """Write `encoder.json`, which names what is installed by its fingerprint, into `folder` and return it."""
        return write_config(folder, {"kind": self.kind, "fingerprint": self.fingerprint()})

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """Read what :meth:`save` wrote; a :class:`MismatchError` where what is installed is not the same."""
        saved, encoder = read_config(folder).get("fingerprint"), cls()
        same_fingerprint(folder, saved, encoder.fingerprint(), f"the {encoder.name!r} that is installed")
        return encoder


def spread(table: NDArray[np.float32], codes: NDArray[np.integer]) -> NDArray[np.float32]:
    """Give each row its entry of `table`: float32 (n, dim), NaN where the code is -1."""
    out = np.full((len(codes), table.shape[1]), np.nan, dtype=np.float32)
    held = codes >= 0
    out[held] = table[codes[held]]
    return out


def embed_distinct(
    encoder: TextEncoder, plan: DistinctPlan, *, batch_size: int = 512, progress: bool | None = None
) -> NDArray[np.float32]:
    """Embed the distinct texts of a plan, a batch of similar lengths at a time, and spread them over the rows.

    Returns float32 (n_obs, 1, dim), NaN for rows without a text. `batch_size` texts are embedded at once, half as many
    each time memory runs out.
    """
    # Texts of one length side by side: little padding. A stable order, so that runs repeat.
    order = np.argsort(list(map(len, plan.values)), kind="stable")
    table = np.empty((len(plan.values), encoder.dim), dtype=np.float32)
    show, name = settings.progress if progress is None else progress, shown_name(encoder.name)
    with tqdm(total=len(order), desc=f"embed ({name})", unit=f" {encoder.modality}", disable=not show) as bar:
        memory = BatchSize(batch_size, what=f"{encoder.modality}s", hint="Use device='cpu', or a smaller encoder.")
        for part, found in memory.each(
            len(order), lambda part: encoder.embed_texts([plan.values[row] for row in order[part]])
        ):
            table[order[part]] = found
            bar.update(len(found))
    bad = np.flatnonzero(~np.isfinite(table).all(axis=1))
    if len(bad):
        raise InputError(
            f"encoder {encoder.name!r} gave NaN or infinite values for {len(bad)} of {len(table)} distinct texts, "
            f"first {plan.values[int(bad[0])][:60]!r}"
        )
    return spread(table, plan.codes)[:, None]


def _factorise(adata: AnnData, key: str) -> tuple[list[str], NDArray[np.int64]]:
    """Distinct texts of `obs[key]` and each row's position among them, -1 for NaN, None and ""."""
    check_one_name("key", key)
    check_columns(adata.obs, [key], "Name the column that holds the texts by key=.")
    text = adata.obs[key].astype(object).map(lambda value: cell_text(value).strip() or None)
    codes, distinct = pd.factorize(text, use_na_sentinel=True)
    return list(map(str, distinct)), codes.astype(np.int64)
