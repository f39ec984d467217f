"""Counts and averages of an amino acid sequence: the floor that needs no network, no download and no training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..pp._sequences import SEQUENCE_VERSION, STANDARD, clean_sequence
from ._distinct import TextEncoder
from ._registry import digest, register

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_VERSION = "kmer-v1"
N_BUCKETS = 512
_ENDS = 40  # residues at each end: where sorting signals are
_WINDOW = 15  # residues over which a scale is averaged before its spread is taken

# One value a residue, in the order of STANDARD. Hydropathy: Kyte and Doolittle 1982, doi:10.1016/0022-2836(82)90515-0.
# Charge at pH 7. Volume and polarity: Grantham 1974, doi:10.1126/science.185.4154.862. Helix and strand propensity:
# Chou and Fasman 1978, doi:10.1146/annurev.bi.47.070178.001343.
SCALES: dict[str, tuple[float, ...]] = {
    "hydropathy": (
        *(1.8, 2.5, -3.5, -3.5, 2.8, -0.4, -3.2, 4.5, -3.9, 3.8),
        *(1.9, -3.5, -1.6, -3.5, -4.5, -0.8, -0.7, 4.2, -0.9, -1.3),
    ),
    "charge": (0, 0, -1, -1, 0, 0, 0.1, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0),
    "volume": (31, 55, 54, 83, 132, 3, 96, 111, 119, 111, 105, 56, 32.5, 85, 124, 32, 61, 84, 170, 136),
    "polarity": (
        *(8.1, 5.5, 13.0, 12.3, 5.2, 9.0, 10.4, 5.2, 11.3, 4.9),
        *(5.7, 11.6, 8.0, 10.5, 10.5, 9.2, 8.6, 5.9, 5.4, 6.2),
    ),
    "helix": (
        *(1.42, 0.70, 1.01, 1.51, 1.13, 0.57, 1.00, 1.08, 1.16, 1.21),
        *(1.45, 0.67, 0.57, 1.11, 0.98, 0.77, 0.83, 1.06, 1.08, 0.69),
    ),
    "strand": (
        *(0.83, 1.19, 0.54, 0.37, 1.38, 0.75, 0.87, 1.60, 0.74, 1.30),
        *(1.05, 0.89, 0.55, 1.10, 0.93, 0.75, 1.19, 1.70, 1.37, 1.47),
    ),
}
# Aliphatic, aromatic, sulphur, tiny or polar, positive, negative, and those that break a chain's regularity.
_GROUPS = ("AILV", "FWY", "CM", "NQST", "HKR", "DE", "GP")

_CODE = np.full(256, -1, dtype=np.int64)
_CODE[list(map(ord, STANDARD))] = np.arange(len(STANDARD))
_GROUP = np.array([next(i for i, group in enumerate(_GROUPS) if letter in group) for letter in STANDARD])


# Scales, each with mean 0 and standard deviation 1 over the twenty residues: (20, n_scales).
_RAW = np.array(list(SCALES.values()), dtype=np.float64).T
_SCALE = (_RAW - _RAW.mean(axis=0)) / _RAW.std(axis=0)


def _mix(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """Mix the bits as SplitMix64 does (Steele et al. 2014, doi:10.1145/2714064.2660195), the same on every machine."""
    with np.errstate(over="ignore"):
        z = values + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return z ^ (z >> np.uint64(31))


# Bucket and sign of each of the 8,000 3-mers (feature hashing, Weinberger et al. 2009, arXiv:0902.2206).
_MIXED = _mix(np.arange(20**3, dtype=np.uint64))
_BUCKET, _SIGN = (_MIXED % np.uint64(N_BUCKETS)).astype(np.int64), np.where(_MIXED >> np.uint64(63), 1.0, -1.0)


@register("kmer")
class KmerEncoder(TextEncoder):
    """Amino acid sequence to 640 numbers: 3-mers, composition and physico-chemical averages.

    Not a protein language model: it knows which residues stand where, not what they mean. Nothing is fitted to data.
    The numbers, in order:

    - 512: square roots of 3-mer counts, scaled to length 1 and hashed with signs;
    - 20 each: composition of the sequence, of its first and of its last 40 residues;
    - 49: composition of neighbouring pairs in seven groups of residues;
    - 1: log10 of the length, less 2.5;
    - 18: for hydropathy, charge, volume, polarity, helix and strand propensity (each standardised over the twenty
      residues) the mean, the mean of the first 40 residues, and the standard deviation of the mean over 15 neighbours.

    Compositions are square roots of fractions, the last 18 divided by 4, so that the blocks are of similar length.
    Ambiguous residues (B, J, X, Z) count in the length alone; U is read as C and O as K.
    """

    kind: str
    default_key: ClassVar[str] = "sequence"
    noun: ClassVar[str] = "amino acid sequence"
    modality: str = "protein"
    name: str = "kmer"
    dim: int = N_BUCKETS + 3 * 20 + len(_GROUPS) ** 2 + 1 + 3 * len(SCALES)

    def __repr__(self) -> str:
        return f"KmerEncoder(dim={self.dim})"

    def fingerprint(self) -> str:
        """Sha256, in hex, of the version: there are no weights."""
        return digest(_VERSION, SEQUENCE_VERSION, self.dim)

    def clean(self, values: Sequence[str]) -> list[tuple[str, str]]:
        """Return (upper-case letters, problem) for each sequence."""
        return [(one.text, one.problem) for one in map(clean_sequence, values)]

    def embed_texts(self, values: Sequence[str]) -> NDArray[np.float32]:
        """Embed cleaned sequences: float32 (n, 640)."""
        return np.array(list(map(features, values)), dtype=np.float32).reshape(len(values), self.dim)


def kmer_counts(sequence: str) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Distinct 3-mers of standard residues, as numbers below 8,000, and how often each occurs."""
    code = _codes(sequence)
    return np.unique(_joined([code[:-2], code[1:-1], code[2:]], 20), return_counts=True)


def features(sequence: str) -> NDArray[np.float64]:
    """Compute the 640 numbers of a cleaned sequence, see :class:`KmerEncoder`."""
    code = _codes(sequence)
    known = code[code >= 0]
    kmers, counts = kmer_counts(sequence)
    hashed = np.bincount(_BUCKET[kmers], weights=_root(counts) * _SIGN[kmers], minlength=N_BUCKETS)
    group = np.where(code >= 0, _GROUP[code], -1)
    n_groups = len(_GROUPS)
    pairs = np.bincount(_joined([group[:-1], group[1:]], n_groups), minlength=n_groups**2)
    head, length = code[:_ENDS], np.log10(max(len(code), 1)) - 2.5
    blocks: list[Any] = [hashed, *map(_shares, (code, head, code[-_ENDS:])), _root(pairs), [length]]
    blocks += [_means(known) / 4, _means(head[head >= 0]) / 4, _spread(known) / 4]
    return np.concatenate(blocks)


def _codes(sequence: str) -> NDArray[np.int64]:
    return _CODE[np.frombuffer(sequence.replace("U", "C").replace("O", "K").encode("latin-1"), dtype=np.uint8)]


def _joined(parts: list[NDArray[np.int64]], base: int) -> NDArray[np.int64]:
    """Neighbouring codes as one number; those with an unknown among them are left out."""
    held = np.logical_and.reduce([part >= 0 for part in parts])
    number = np.zeros(len(parts[0]), dtype=np.int64)
    for part in parts:
        number = number * base + part
    return number[held]


def _root(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    return np.sqrt(counts / max(counts.sum(), 1))


def _shares(code: NDArray[np.int64]) -> NDArray[np.float64]:
    return _root(np.bincount(code[code >= 0], minlength=20))


def _means(known: NDArray[np.int64]) -> NDArray[np.float64]:
    return _SCALE[known].mean(axis=0) if len(known) else np.zeros(_SCALE.shape[1])


def _spread(known: NDArray[np.int64]) -> NDArray[np.float64]:
    if len(known) <= _WINDOW:
        return np.zeros(_SCALE.shape[1])
    total = np.cumsum(np.vstack([np.zeros(_SCALE.shape[1]), _SCALE[known]]), axis=0)
    return ((total[_WINDOW:] - total[:-_WINDOW]) / _WINDOW).std(axis=0)
