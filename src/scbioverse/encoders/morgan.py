"""Morgan fingerprints: which neighbourhoods of atoms a molecule has. Nothing in them was learnt."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, get_args

import numpy as np

from .._untrusted import refusing
from ..errors import InputError
from ..pp._smiles import SMILES_VERSION, Salts, parse_smiles
from ._distinct import TextEncoder
from ._registry import digest, read_config, register, whole_number, write_config

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from numpy.typing import NDArray

_VERSION = "morgan-v1"


@register("morgan")
class MorganEncoder(TextEncoder):
    """SMILES to the bits of rdkit's Morgan fingerprint (Rogers and Hahn 2010, doi:10.1021/ci100050t), 0 or 1.

    Parameters
    ----------
    radius
        Bonds around each atom; 2 is what is called ECFP4.
    n_bits
        Length of the folded fingerprint.
    chirality
        Tell tetrahedral configurations apart.
    salts
        Which of several parts to read, see :func:`scbioverse.pp.molecules`.
    """

    kind: str
    default_key: ClassVar[str] = "smiles"
    noun: ClassVar[str] = "SMILES"
    modality: str = "molecule"

    def __init__(self, *, radius: int = 2, n_bits: int = 2048, chirality: bool = True, salts: Salts = "strip") -> None:
        if radius < 0 or n_bits < 1:
            raise InputError(f"radius must not be negative and n_bits at least 1; found {radius} and {n_bits}")
        # Plain numbers: numpy's own would not go into JSON.
        self.radius, self.dim, self.chirality, self.salts = int(radius), int(n_bits), bool(chirality), salts
        self.name = f"morgan-{radius}-{n_bits}"

    def __repr__(self) -> str:
        return f"MorganEncoder(radius={self.radius}, n_bits={self.dim}, chirality={self.chirality})"

    def fingerprint(self) -> str:
        """Sha256, in hex, of parameters and preprocessing version."""
        return digest(_VERSION, SMILES_VERSION, self._config())

    def clean(self, values: Sequence[str]) -> list[tuple[str, str]]:
        """Return (canonical SMILES, problem) for each SMILES."""
        return [(one.canonical, one.problem) for one in parse_smiles(values, salts=self.salts)]

    def embed_texts(self, values: Sequence[str]) -> NDArray[np.float32]:
        """Fingerprints of canonical SMILES: float32 (n, n_bits) of 0 and 1."""
        from rdkit import Chem
        from rdkit.Chem import rdFingerprintGenerator
        from rdkit.rdBase import BlockLogs

        out = np.empty((len(values), self.dim), dtype=np.float32)
        generator = rdFingerprintGenerator.GetMorganGenerator(
            radius=self.radius, fpSize=self.dim, includeChirality=self.chirality
        )
        with BlockLogs():  # rdkit remarks on odd molecules to stderr
            for row, value in enumerate(values):
                out[row] = generator.GetFingerprintAsNumPy(Chem.MolFromSmiles(value))
        return out

    def _config(self) -> dict[str, Any]:
        options = {"radius": self.radius, "n_bits": self.dim, "chirality": self.chirality, "salts": self.salts}
        return {"kind": "morgan", **options}

    def save(self, folder: str | Path) -> Path:
        """Write `encoder.json` into `folder` and return it."""
        return write_config(folder, self._config())

    @classmethod
    def from_folder(cls, folder: str | Path) -> MorganEncoder:
        """Read what :meth:`save` wrote; a :class:`WeightsError` where it is missing or damaged."""
        found = read_config(folder, needs=("radius", "n_bits", "chirality", "salts"))
        with refusing(f"cannot read the encoder in {folder}"):
            radius = whole_number(found, "radius", least=0, most=64)
            n_bits = whole_number(found, "n_bits", most=2**20)
            if not isinstance(found["chirality"], bool) or found["salts"] not in get_args(Salts):
                raise ValueError(f"chirality {found['chirality']!r:.40} and salts {found['salts']!r:.40}")
        return cls(radius=radius, n_bits=n_bits, chirality=found["chirality"], salts=found["salts"])
