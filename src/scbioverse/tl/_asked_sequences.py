"""The molecules or proteins a question is about: names, structures and properties, each worked out on first use."""

from __future__ import annotations

import re
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from .._keys import Slots
from .._record import read_record
from .._settings import settings
from ..errors import InputError, MissingKeyError
from ..llm.questions import MAX_NAME_CHARS, bounded
from ..models import load
from ..pp._molecule_properties import element_count, molecule_formula, molecule_property
from ..pp._protein_properties import protein_mass
from ..pp._sequences import Sequence as Residues
from ..pp._sequences import clean_sequence
from ..pp._smiles import Molecule, parse_smiles
from ..predict.embedding import represent_rows
from ._column_values import is_list, value_text
from ._describe_reference import reference_texts
from ._neighbours import compared_views
from ._question_cells import check_rows, groups_in, read_cells
from ._questions import MOST_GROUPS, column_values, group_columns
from ._sequence_names import lowered
from ._sequence_tokens import Vocabulary
from ._sequence_words import Property

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse
    from ._column_values import ColumnValues
    from ._neighbours import View

Float = NDArray[np.float32]
Rows = NDArray[np.int64]
SequenceModality = Literal["molecule", "protein"]
SEQUENCE_MODALITIES: frozenset[str] = frozenset(["molecule", "protein"])
NAME_COLUMN = "name"
# Columns called as the rows are: "how many compounds" does not mean them.
_NOUNS = frozenset([NAME_COLUMN, "molecule", "compound", "drug", "protein", "sequence", "row"])
# Longer names are shown, but not looked for in a question.
LONGEST_NAME = 200
_MOST_VALUES = 5000
MOST_TEXT = 400
_KEYS = {"molecule": "smiles", "protein": "sequence"}
# What is worked out here is not read from these.
_COMPUTED = (
    "n_heavy_atoms",
    "formal_charge",
    "n_stereo",
    "n_stereo_unset",
    "length",
    "valid",
    "charge",
    "weight",
    "left_out",
)
_BOOKKEEPING = ("canonical_smiles", "problem", "duplicate_of", "description", "valid", "left_out", NAME_COLUMN)


class AskedSequences:
    """Rows that a question is about; everything slow is done on first use, and for the rows that need it.

    Parameters
    ----------
    adata
        The data; not changed.
    modality
        `"molecule"` or `"protein"`.
    groupby, cells, model, key, key_added, device
        As in :func:`scbioverse.tl.ask`.
    reference, text_key
        Rows of the same modality with texts, and the column of these.

    Raises
    ------
    InputError
        The selection is empty or unknown, there are no rows, or a row is a cell.
    MissingKeyError
        `groupby`, `text_key` or the column of structures is not there.
    """

    def __init__(
        self,
        adata: AnnData,
        *,
        modality: str,
        groupby: str | None = None,
        cells: Any = None,
        model: str | Path | BioVerse,
        key: str | None = None,
        layer: str | None = None,
        key_added: str = "bioverse",
        device: str = "auto",
        reference: AnnData | None = None,
        text_key: str = "text",
    ) -> None:
        check_rows(adata, groupby)
        self.adata, self.modality, self.groupby = adata, modality, groupby
        self.key, self._given_key, self.layer = key or _KEYS[modality], key, layer
        self._check_table()
        self.noun = modality
        self.written = "SMILES" if modality == "molecule" else "sequence"
        self.slots = Slots(key_added)
        self.asked = read_cells(adata, cells)
        self.whole = bool(self.asked.all())
        self.reference, self.text_key = reference, text_key
        self.texts = [] if reference is None else reference_texts(reference, text_key)
        self._model_name, self._device = model, device
        self._model: BioVerse | None = None
        self._values: dict[str, NDArray[np.float64]] = {}
        self._embedded: dict[int, Float] = {}
        self._columns: dict[str, ColumnValues] = {}

    def _check_table(self) -> None:
        obs, noun = self.adata.obs, self.modality
        if self.key not in obs:
            raise MissingKeyError(
                f"adata.obs has no column {self.key!r} (found: {list(map(str, obs.columns)) or 'none'}). Make a table "
                f"of {noun}s with scbioverse.pp.{noun}s, or name the column with key=."
            )
        held = obs[self.key].dropna().astype(str)
        if self.adata.n_vars and held.nunique() < len(held) / 2:
            raise InputError(
                f"rows of adata are cells, and obs[{self.key!r}] says which {noun} each has: {held.nunique()} "
                f"different ones. Ask about these: table = scbioverse.pp.{noun}s(adata.obs.drop_duplicates("
                f"{self.key!r}), key={self.key!r}); scbioverse.tl.ask(table, ..., modality={noun!r})."
            )

    @property
    def model(self) -> BioVerse:
        """The model; the first access loads it."""
        if self._model is None:
            self._model = load(self._model_name, device=self._device)
        return self._model

    @cached_property
    def columns(self) -> list[str]:
        """Columns of `obs` whose groups a question may name, those of plain text with few values included."""
        obs = self.adata.obs
        hidden = {self.key, self.text_key, *_BOOKKEEPING} - {self.groupby}
        known = [one for one in group_columns(self.adata, self.groupby, self.slots.label) if one not in hidden]
        for name in map(str, obs.columns):
            if name in known or name in hidden or not _holds_text(obs[name]):
                continue
            values = self.column_values(name)
            # Where values recur beside others the column names groups, however many.
            most = _MOST_VALUES if values.several else min(MOST_GROUPS, len(obs) - 1)
            if 1 < len(values.names) <= most:
                known.append(name)
        return known

    def column_values(self, column: str) -> ColumnValues:
        """Read the groups of a column of `obs`, once; a row may be in several."""
        if column not in self._columns:
            self._columns[column] = column_values(self.adata, column)
        return self._columns[column]

    def remark(self, column: str | None) -> str:
        """Say what an answer that counts the groups of a column must."""
        return "" if column is None else self.column_values(column).remark()

    @cached_property
    def column_properties(self) -> list[Property]:
        """Columns of `obs` whose values a question may ask for, the longest names first."""
        obs, made = self.adata.obs, []
        for name in sorted(map(str, obs.columns), key=lambda one: (-len(one), one)):
            if not 2 <= len(name) <= MAX_NAME_CHARS or name in _COMPUTED or pd.api.types.is_bool_dtype(obs[name]):
                continue
            number = pd.api.types.is_numeric_dtype(obs[name])
            words = r"[\s_-]+".join(re.escape(part) for part in re.split(r"[\s_-]+", name) if part) + "s?"
            if words != "s?" and name.lower().removesuffix("s") not in _NOUNS:
                said = f"obs[{bounded(name, MAX_NAME_CHARS)!r}]"
                made.append(Property(f"{'obs' if number else 'text'}:{name}", said, "", 0, words))
        return made

    @cached_property
    def vocabulary(self) -> Vocabulary:
        """The properties that a question may name; a conversation makes its patterns once."""
        return Vocabulary(self.modality, self.column_properties)

    def groups_of(self, column: str) -> list[tuple[str, NDArray[np.bool_]]]:
        """Names and masks of a column's groups among the rows asked about."""
        groups = groups_in(self.column_values(column), self.asked)
        return [(name, mask) for name, mask in groups if name.strip()]

    # ---------------------------------------------------------------- names

    @cached_property
    def labels(self) -> list[str]:
        """What an answer calls each row."""
        return row_labels(self.adata, self.noun)

    @cached_property
    def ids(self) -> list[str]:
        """What evidence calls each row: its name in `obs_names`."""
        return [bounded(one, LONGEST_NAME) for one in self.adata.obs_names]

    @cached_property
    def names(self) -> dict[str, list[int]]:
        """Rows of each name, lower case, the longest names first."""
        held: dict[str, list[int]] = {}
        columns = [list(self.adata.obs_names)]
        if NAME_COLUMN in self.adata.obs:
            columns.append(list(self.adata.obs[NAME_COLUMN].astype(object)))
        for column in columns:
            for row, name in enumerate(column):
                said = lowered(bounded(value_text(name), LONGEST_NAME + 1))
                if said and len(said) <= LONGEST_NAME and row not in held.setdefault(said, []):
                    held[said].append(row)
        return dict(sorted(held.items(), key=lambda one: (-len(one[0]), one[0])))

    # ---------------------------------------------------------------- structures

    @cached_property
    def _parsed(self) -> list[Molecule] | list[Residues]:
        column = self.adata.obs[self.key].astype(object)
        texts = [value_text(one) for one in column]
        if self.modality == "protein":
            return [clean_sequence(one) for one in texts]
        return parse_smiles(texts, **self._reading())

    def _reading(self) -> dict[str, Any]:
        """Options with which :func:`scbioverse.pp.molecules` read the table."""
        try:
            record = read_record(self.adata, "molecules")
        except (MissingKeyError, ValueError):
            return {}
        return {name: record[name] for name in ("salts", "charges") if name in record}

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """Rows whose SMILES or sequence can be read, bool (n_obs,)."""
        return np.array([not one.problem for one in self._parsed])

    @cached_property
    def left_out(self) -> list[str]:
        """Parts of each molecule that were not read, as SMILES, `""` where all was."""
        if self.modality == "protein":
            return [""] * self.adata.n_obs
        return [one.left_out for one in self._parsed]  # type: ignore[union-attr]

    @cached_property
    def mixtures(self) -> NDArray[np.bool_]:
        """Molecules of which a part was left out that is no counter-ion or solvent, bool (n_obs,)."""
        if self.modality == "protein":
            return np.zeros(self.adata.n_obs, dtype=bool)
        return np.array([one.mixture for one in self._parsed])  # type: ignore[union-attr]

    def mol(self, row: int) -> Any:
        """Return the rdkit molecule of a readable row."""
        return self._parsed[row].mol  # type: ignore[union-attr]

    def sequence(self, row: int) -> str:
        """Return the cleaned sequence of a row."""
        return self._parsed[row].text  # type: ignore[union-attr]

    def values(self, name: str, rows: Rows) -> NDArray[np.float64]:
        """Values of a property, float64 (len(rows),); NaN for rows that cannot be read.

        Parameters
        ----------
        name
            A property of `pp`; `"element:N"`: atoms of nitrogen, `"element:Cl+Br"`: of either; `"residue:C"`:
            cysteines; `"share:C"`: their share.
        rows
            Positions.
        """
        held = self._values.setdefault(name, np.full(self.adata.n_obs, np.nan))
        if name.startswith("obs:"):
            return pd.to_numeric(self.adata.obs[name.removeprefix("obs:")], errors="coerce").to_numpy(np.float64)[rows]
        for row in rows[np.isnan(held[rows]) & self.readable[rows]]:
            held[row] = self._value(name, int(row))
        return held[rows]

    def texts_of(self, name: str, rows: Rows) -> list[str]:
        """Texts of a property, `""` where there is none: `"formula"`, or `"text:"` and a column of `obs`."""
        if name == "formula":
            return [molecule_formula(self.mol(int(row))) if self.readable[row] else "" for row in rows]
        column = self.adata.obs[name.removeprefix("text:")].astype(object)
        return [bounded(value_text(one), MOST_TEXT) for one in column.iloc[rows]]

    def _value(self, name: str, row: int) -> float:
        kind, _, what = name.partition(":")
        if self.modality == "molecule":
            if kind == "element":
                return float(sum(element_count(self.mol(row), symbol) for symbol in what.split("+")))
            return molecule_property(self.mol(row), name)
        text = self.sequence(row)
        if kind in ("residue", "share"):
            return text.count(what) / (1 if kind == "residue" else len(text))
        return protein_mass(text) / 1000 if kind == "mass" else float(len(text))

    # ---------------------------------------------------------------- embeddings

    def part(self, rows: Rows) -> AnnData:
        """Rows without the matrix; what was embedded before is among them."""
        return self.adata[rows]

    def views(self, rows: Rows, pool: AnnData | None = None) -> list[View]:
        """How readable rows are compared with those of a reference, or with one another."""
        with quietly():
            return compared_views(
                self.adata, self.adata if pool is None else pool, self.model, modality=self.modality, use_rep=None,
                metric="cosine", key=self._given_key, layer=self.layer, slots=self.slots, rows=rows,
            )[0]  # fmt: skip

    def embed(self, rows: Rows) -> Float:
        """Embeddings float32 (len(rows), n_tokens, dim) of readable rows, each made once."""
        new = np.array([row for row in rows if int(row) not in self._embedded], dtype=np.int64)
        if new.size:
            with quietly():
                made = represent_rows(
                    self.adata, self.model, modality=self.modality, key=self._given_key, layer=self.layer,
                    slots=self.slots, rows=new,
                )  # fmt: skip
            self._embedded |= dict(zip(new.tolist(), made.values, strict=True))
        return np.stack([self._embedded[int(row)] for row in rows])


@contextmanager
def quietly() -> Iterator[None]:
    """Show no progress: an answer is a sentence."""
    shown, settings.progress = settings.progress, False
    try:
        yield
    finally:
        settings.progress = shown


def _holds_text(column: pd.Series) -> bool:
    """Whether a column holds texts or lists, and what numbers it holds are few."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return bool(pd.api.types.is_string_dtype(column.cat.categories))
    if pd.api.types.is_string_dtype(column):
        return True
    if column.dtype != object:
        return False
    held = column.dropna()
    return len(held) > 0 and all(isinstance(one, str) or is_list(one) for one in held)


def row_labels(adata: AnnData, noun: str) -> list[str]:
    """Return what an answer calls each row: its name in `obs_names`, behind its `name` in `obs` if there is one."""
    own = [bounded(one, MAX_NAME_CHARS) or f"row {row}" for row, one in enumerate(adata.obs_names)]
    # A bare number would read as one.
    own = [f"{noun} {one}" if one.isdigit() else one for one in own]
    if NAME_COLUMN not in adata.obs:
        return own
    column = adata.obs[NAME_COLUMN].astype(object)
    given = [bounded(value_text(one), MAX_NAME_CHARS) for one in column]
    return [f"{name} ({row})" if name and name != row else row for name, row in zip(given, own, strict=True)]
