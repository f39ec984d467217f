"""Molecules and proteins: names, structures and what follows from them, each worked out on first use."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._logging import bounded, listed
from .._slots import read_record
from ..errors import InputError, MissingKeyError
from ..llm.prompts import MAX_NAME_CHARS
from ..pp._molecule_properties import GROUPS, element_count, molecule_formula, molecule_property
from ..pp._sequences import clean_sequence, isoelectric_point, protein_mass
from ..pp._smiles import parse_smiles
from .answer import Result
from .rows import Rows
from .say import more
from .values import value_text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from numpy.typing import NDArray

    from .query import Where
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
_DESCRIBED, _MOST_CUT = 5, 3
# What is said of salts, and of mixtures.
_LEFT_OUT = (
    ("Counter-ions or solvents were left out of", "left out"), ("One part alone was read of", "not read"),
)  # fmt: skip
_WRITTEN = {"molecule": "SMILES", "protein": "sequence"}
# What is said of a row first.
_FIRST = {
    "molecule": ("property:weight", "property:logp", "property:rings"), "protein": ("property:length", "property:mass"),
}  # fmt: skip
_FIVE = {"weight": 500.0, "logp": 5.0, "lipinski_donors": 5.0, "lipinski_acceptors": 10.0}


class Sequences(Rows):
    """Rows that are molecules or proteins (`modality`), with SMILES or sequences in the column `key` of `obs`.

    Texts in the column `text_key` are shown and never counted.
    """

    def __init__(
        self, adata: AnnData, *, modality: str, key: str | None = None, text_key: str = "text", **options: Any
    ) -> None:
        self.noun, self.key, self.text_key = modality, key or KEYS[modality], text_key
        self.hidden = frozenset({self.key, text_key, *_OWN} - {options.get("groupby")})
        super().__init__(adata, **options)
        self.obs = adata.obs
        self._check_table()

    def _check_table(self) -> None:
        obs, noun = self.obs, self.noun
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

    def _named(self) -> list[list[Any]]:
        """Names of the rows, of the index and of a column of names where there is one."""
        obs = self.adata.obs
        return [list(obs.index), *(obs[one].astype(object).tolist() for one in [NAME_COLUMN] if one in obs)]

    @cached_property
    def labels(self) -> list[str]:
        """What an answer calls each row: its name, with the id behind it where they differ."""
        ids, *names = [[bounded(value_text(one), MAX_NAME_CHARS) for one in some] for some in self._named()]
        plain = [f"{self.noun} {one}" if one.isdigit() else one for one in ids]
        said = zip(*names, plain, strict=True) if names else zip(plain, plain, strict=True)
        return [one if name in ("", one) else f"{name} ({one})" for name, one in said]

    @cached_property
    def row_names(self) -> dict[str, list[int]]:
        """Rows of each name, lower case."""
        names = pd.concat([pd.Series(column, dtype=object) for column in self._named()])
        keys = names.map(lambda one: bounded(value_text(one), _LONGEST_NAME + 1).casefold())
        keys = keys[keys.str.len().between(1, _LONGEST_NAME)]
        return {str(name): some.index.unique().tolist() for name, some in keys.groupby(keys, sort=False)}

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

    def beside(self, row: int) -> NDArray[np.int64]:
        """Positions of the rows asked about that one can be compared with."""
        others = np.flatnonzero(self.asked & self.readable)
        return others[others != row]

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
        found = [(self.labels[i], self._parsed[i]) for i in np.flatnonzero(rows)]
        said = []
        for mixed, (what, lost) in enumerate(_LEFT_OUT):
            parts = [(label, one.left_out) for label, one in found if one.left_out and one.mixture == mixed]
            named = [f"{label} ({lost}: {bounded(part, MAX_NAME_CHARS)})" for label, part in parts[:_MOST_CUT]]
            if parts:
                said.append(f"{what} {listed(named)}{more(len(parts), _MOST_CUT)}: numbers are of what is left.")
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
        groups = {names[0]: smarts for smarts, names in GROUPS.items()}
        match kind:
            case "property":
                return lambda one: molecule_property(one.mol, name)
            case "element":
                return lambda one: sum(element_count(one.mol, symbol) for symbol in name.split("+"))
            case "group" if name in groups:
                from rdkit.Chem import MolFromSmarts

                pattern = MolFromSmarts(groups[name])
                return lambda one: len(one.mol.GetSubstructMatches(pattern))
        return None

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
        first, shown = _FIRST[self.noun], rows[:_DESCRIBED]
        said = [self._of_row(row, speech) for row in shown]
        texts = {column: self.texts(column, shown) for column in (self.text_key, "description") if column in self.obs}
        said += [
            f"obs[{column!r}] says of {self.labels[row]}: {bounded(held[i], 400).rstrip('.')}"
            for i, row in enumerate(shown)
            for column, held in texts.items()
            if held[i]
        ]
        if len(shown) == 2 and self.noun == "molecule" and self.readable[shown].all():
            said.append(f"Tanimoto similarity of their Morgan fingerprints {self.tanimoto(*shown):.2f}")
        if len(said) == 1:
            said.append(
                f"What it does is told by the text of the most similar one of a reference: pass reference=, "
                f"{self.noun}s with texts in obs[{self.text_key!r}] (or another column, text_key=)"
            )
        rest = f" {len(rows) - _DESCRIBED} more were not looked at." if len(rows) > _DESCRIBED else ""
        cut = self.cut(first, np.isin(np.arange(self.adata.n_obs), shown))
        table = pd.DataFrame({"row": self.adata.obs_names[shown]} | {one: self.numbers(one)[shown] for one in first})
        return Result(" ".join([f"{'. '.join(said)}.{rest}", *cut]), table)

    def _of_row(self, row: int, speech: Speech) -> str:
        if not self.readable[row]:
            return f"{self.labels[row]} has no {_WRITTEN[self.noun]} that can be read"
        parts = [f"{speech.field(one)} {speech.value(one, self.numbers(one)[row])}" for one in _FIRST[self.noun]]
        parts += [f"{one} = {bounded(value_text(self.obs[one].iloc[row]), MAX_NAME_CHARS)}" for one in self.columns]
        return f"{self.labels[row]}: {', '.join(parts)}"

    def tanimoto(self, first: int, second: int) -> float:
        """Tanimoto similarity of the Morgan fingerprints (radius 2, 2,048 bits, with chirality) of two molecules."""
        from rdkit.Chem import rdFingerprintGenerator
        from rdkit.DataStructs import TanimotoSimilarity

        make = rdFingerprintGenerator.GetMorganGenerator(radius=2, fpSize=2048, includeChirality=True).GetFingerprint
        return float(TanimotoSimilarity(make(self._parsed[first].mol), make(self._parsed[second].mol)))
