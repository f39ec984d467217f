"""Molecules and proteins: names, structures and what follows from them, each worked out on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._slots import read_record
from ..errors import InputError, MissingKeyError
from ..llm.questions import MAX_NAME_CHARS, bounded
from ..pp._functional_groups import GROUPS
from ..pp._molecule_properties import element_count, molecule_formula, molecule_property
from ..pp._protein_properties import isoelectric_point, protein_mass
from ..pp._sequences import clean_sequence
from ..pp._smiles import parse_smiles
from .rows import Rows
from .values import listed, value_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from numpy.typing import NDArray

    from .query import Where
    from .result import Result
    from .say import Speech

KEYS = {"molecule": "smiles", "protein": "sequence"}
NAME_COLUMN = "name"
# Columns of the table makers that are worked out here, or say how the table was made.
_OWN = (
    "n_heavy_atoms", "formal_charge", "n_stereo", "n_stereo_unset", "length", "valid", "charge", "weight", "left_out",
    "canonical_smiles", "problem", "duplicate_of", "n_isotopes", "n_radical_electrons", "description", NAME_COLUMN,
)  # fmt: skip
_LONGEST_NAME = 200
_OF_STRUCTURES = ("property:", "element:", "group:", "rule")
_FIVE = {"weight": 500.0, "logp": 5.0, "lipinski_donors": 5.0, "lipinski_acceptors": 10.0}


class Sequences(Rows):
    """Rows that are molecules or proteins.

    Parameters
    ----------
    adata, groupby, cells, key_added
        As for :class:`Rows`.
    modality
        `"molecule"` or `"protein"`.
    key
        Column of `obs` with SMILES or sequences.
    text_key
        Column with texts about rows, which are shown and never counted.
    """

    def __init__(
        self, adata: AnnData, *, modality: str, key: str | None = None, text_key: str = "text", **options: Any
    ) -> None:
        self.noun, self.key, self.text_key = modality, key or KEYS[modality], text_key
        self.hidden = frozenset({self.key, text_key, *_OWN} - {options.get("groupby")})
        super().__init__(adata, **options)
        self._check_table()

    def _check_table(self) -> None:
        obs, noun = self.adata.obs, self.noun
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

    # ---------------------------------------------------------------- names

    @cached_property
    def labels(self) -> list[str]:
        """What an answer calls each row: its name, with the id behind it where they differ."""
        ids = [bounded(one, MAX_NAME_CHARS) for one in self.adata.obs_names]
        names = self.adata.obs[NAME_COLUMN].astype(object) if NAME_COLUMN in self.adata.obs else [None] * len(ids)
        said = [bounded(value_text(one), MAX_NAME_CHARS) for one in names]
        plain = [f"{self.noun} {one}" if one.isdigit() else one for one in ids]
        return [f"{name} ({one})" if name and name != one else one for name, one in zip(said, plain, strict=True)]

    @cached_property
    def row_names(self) -> dict[str, list[int]]:
        """Rows of each name, lower case."""
        held: dict[str, list[int]] = {}
        columns = [list(self.adata.obs_names)]
        columns += [list(self.adata.obs[NAME_COLUMN].astype(object))] if NAME_COLUMN in self.adata.obs else []
        for column in columns:
            for row, name in enumerate(column):
                said = bounded(value_text(name), _LONGEST_NAME + 1).casefold()
                if said and len(said) <= _LONGEST_NAME and row not in held.setdefault(said, []):
                    held[said].append(row)
        return held

    # ---------------------------------------------------------------- structures

    @cached_property
    def _parsed(self) -> list[Any]:
        texts = [value_text(one) for one in self.adata.obs[self.key].astype(object)]
        if self.noun == "protein":
            return [clean_sequence(one) for one in texts]
        try:
            record = read_record(self.adata, "molecules")
        except (MissingKeyError, ValueError):
            record = {}
        # As scbioverse.pp.molecules read the table.
        return list(parse_smiles(texts, **{name: record[name] for name in ("salts", "charges") if name in record}))

    @cached_property
    def readable(self) -> NDArray[np.bool_]:
        """Rows whose SMILES or sequence can be read, bool (n_obs,)."""
        return np.array([not one.problem for one in self._parsed])

    def structures(self, rows: Iterable[int]) -> list[Any] | None:
        """Return the molecules of some rows as rdkit holds them, None for what cannot be read; of proteins nothing."""
        return [self._parsed[row].mol for row in rows] if self.noun == "molecule" else None

    def texts(self, field: str, rows: list[int]) -> list[str | None]:
        """Texts of a field of some rows, None where there is none; the formula is the only one that is worked out."""
        if field == "property:formula":
            return [molecule_formula(self._parsed[row].mol) if self.readable[row] else None for row in rows]
        return super().texts(field, rows)

    def cut(self, fields: Iterable[str], rows: NDArray[np.bool_]) -> list[str]:
        """Say of which molecules a part was left out: numbers are of the rest."""
        if self.noun == "protein" or not any(one.startswith(_OF_STRUCTURES) for one in fields):
            return []
        said = []
        for mixed, what, lost in (
            (False, "Counter-ions or solvents were left out of", "left out"),
            (True, "One part alone was read of", "not read"),
        ):
            some = [i for i, one in enumerate(self._parsed) if rows[i] and one.left_out and one.mixture == mixed]
            named = [
                f"{self.labels[i]} ({lost}: {bounded(self._parsed[i].left_out, MAX_NAME_CHARS)})" for i in some[:3]
            ]
            more = f" and {len(some) - 3} more" if len(some) > 3 else ""
            said += [f"{what} {listed(named)}{more}: numbers are of what is left."] if some else []
        return said

    def known(self, where: Where) -> pd.arrays.BooleanArray:
        """Tell for which rows a condition holds, see :meth:`Rows.known`; also for the rule of five."""
        if where.field != "rule":
            return super().known(where)
        limits = [self.numbers(f"property:{name}") <= most for name, most in _FIVE.items()]
        return pd.arrays.BooleanArray(np.all(limits, axis=0), ~self.readable)

    def measured(self, kind: str, name: str) -> NDArray[np.float64]:
        """Work out a property of every readable row."""
        work = {"molecule": self._of_molecule, "protein": self._of_protein}[self.noun](kind, name)
        if work is None:
            return super().measured(kind, name)
        return np.array([np.nan if one.problem else float(work(one)) for one in self._parsed])

    def _of_molecule(self, kind: str, name: str) -> Any:
        if kind == "property":
            return lambda one: molecule_property(one.mol, name)
        if kind == "element":
            return lambda one: sum(element_count(one.mol, symbol) for symbol in name.split("+"))
        smarts = next((smarts for smarts, names in GROUPS.items() if names[0] == name), None)
        if kind != "group" or smarts is None:
            return None
        from rdkit.Chem import MolFromSmarts

        pattern = MolFromSmarts(smarts)
        return lambda one: len(one.mol.GetSubstructMatches(pattern))

    def _of_protein(self, kind: str, name: str) -> Any:
        return {
            "residue": lambda one: one.text.count(name),
            "share": lambda one: one.text.count(name) / max(1, len(one.text)),
            "property": {
                "mass": lambda one: protein_mass(one.text) / 1000,
                "length": lambda one: len(one.text),
                "pi": lambda one: isoelectric_point(one.text),
            }.get(name),
        }.get(kind)

    def described(self, rows: list[int], speech: Speech) -> Result:
        """Say what follows from the structure of rows, and what the columns say of them."""
        from .result import Result

        names = {"molecule": ("weight", "logp", "rings"), "protein": ("length", "mass")}[self.noun]
        first = [f"property:{one}" for one in names]
        shown, said = rows[:5], []
        for row in shown:
            if not self.readable[row]:
                said.append(
                    f"{self.labels[row]} has no {'SMILES' if self.noun == 'molecule' else 'sequence'} that can be read"
                )
                continue
            parts = [f"{speech.field(one)} {speech.value(one, self.numbers(one)[row])}" for one in first]
            parts += [
                f"{one} = {bounded(value_text(self.adata.obs[one].iloc[row]), MAX_NAME_CHARS)}" for one in self.columns
            ]
            said.append(f"{self.labels[row]}: {', '.join(parts)}")
        for row in shown:
            for column in (self.text_key, "description"):
                text = value_text(self.adata.obs[column].iloc[row]) if column in self.adata.obs else ""
                if text:
                    said.append(f"obs[{column!r}] says of {self.labels[row]}: {bounded(text, 400).rstrip('.')}")
        if len(shown) == 2 and self.noun == "molecule" and self.readable[shown].all():
            said.append(f"Tanimoto similarity of their Morgan fingerprints {self.tanimoto(*shown):.2f}")
        if len(shown) == 1 and not said[1:]:
            said.append(
                f"What it does is told by the text of the most similar one of a reference: pass reference=, "
                f"{self.noun}s with texts in obs[{self.text_key!r}] (or another column, text_key=)"
            )
        cut = self.cut(first, np.isin(np.arange(self.adata.n_obs), shown))
        more = f" {len(rows) - 5} more were not looked at." if len(rows) > 5 else ""
        table = pd.DataFrame({"row": self.adata.obs_names[shown]})
        for one in first:
            table[one] = self.numbers(one)[shown]
        return Result(" ".join([f"{'. '.join(said)}.{more}", *cut]), table)

    def tanimoto(self, first: int, second: int) -> float:
        """Tanimoto similarity of the Morgan fingerprints (radius 2, 2,048 bits, with chirality) of two molecules."""
        from rdkit.Chem import rdFingerprintGenerator
        from rdkit.DataStructs import TanimotoSimilarity

        make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048, includeChirality=True).GetFingerprint
        return float(TanimotoSimilarity(make(self._parsed[first].mol), make(self._parsed[second].mol)))
