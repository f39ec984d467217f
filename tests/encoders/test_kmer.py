from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scbioverse.encoders import KmerEncoder, build
from scbioverse.encoders.kmer import _BUCKET, _SIGN, SCALES, kmer_counts
from scbioverse.errors import MismatchError
from tests._precision import UNIT

AMINO = "ACDEFGHIKLMNPQRSTVWY"
RNG = np.random.default_rng(0)
HASHED = ([431, 193, 206, 493], [1, 1, 1, -1, -1, -1, 1, -1])
PROTEIN = "".join(RNG.choice(list(AMINO), 300))


def test_counts_by_hand() -> None:
    kmers, counts = kmer_counts("ACDACDX")
    names = ["".join(AMINO[i] for i in (k // 400, k // 20 % 20, k % 20)) for k in kmers]
    assert dict(zip(names, counts.tolist(), strict=True)) == {"ACD": 2, "CDA": 1, "DAC": 1}


def test_blocks_by_hand() -> None:
    found = KmerEncoder().embed_texts(["ACDACD"])[0]
    assert found.shape == (640,)
    expected = np.zeros(512)
    for kmer, count in zip(*kmer_counts("ACDACD"), strict=True):
        expected[_BUCKET[kmer]] += _SIGN[kmer] * np.sqrt(count / 4)
    np.testing.assert_allclose(found[:512], expected, atol=UNIT)
    composition = np.zeros(20)
    composition[:3] = np.sqrt(1 / 3)
    np.testing.assert_allclose(found[512:572].reshape(3, 20), np.tile(composition, (3, 1)), atol=UNIT)
    assert found[572:621].max() <= 1
    np.testing.assert_allclose(found[621], np.log10(6) - 2.5, atol=UNIT)
    hydropathy = np.array(SCALES["hydropathy"])
    mean = (hydropathy[:3].mean() - hydropathy.mean()) / hydropathy.std()
    np.testing.assert_allclose(found[622], mean / 4, atol=UNIT)


def test_scales_have_a_value_for_each_residue() -> None:
    assert all(len(values) == 20 for values in SCALES.values())
    hydropathy = dict(zip(AMINO, SCALES["hydropathy"], strict=True))
    assert (max(hydropathy, key=hydropathy.get), min(hydropathy, key=hydropathy.get)) == ("I", "R")  # type: ignore[arg-type]
    assert sum(SCALES["charge"]) == pytest.approx(0.1)


def test_like_sequences_are_close() -> None:
    changed = PROTEIN[:100] + "W" + PROTEIN[101:]
    other = "".join(RNG.choice(list(AMINO), 300))
    a, b, c = KmerEncoder().embed_texts([PROTEIN, changed, other])
    assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) > 0.98
    assert np.linalg.norm(a - b) < 0.3 * np.linalg.norm(a - c)


@pytest.mark.parametrize("text", ["M", "MK", "X", "BJXZ", "U" * 5, "MKV" * 13_334])
def test_any_sequence_is_finite(text: str) -> None:
    assert np.isfinite(KmerEncoder().embed_texts([text])).all()


def test_rare_residues_and_spelling() -> None:
    encoder = KmerEncoder()
    np.testing.assert_array_equal(*encoder.embed_texts(["MUOK", "MCKK"]))
    assert encoder.clean(["m k-v*", "MK1", "*"]) == [
        ("MKV", ""), ("", "character '1' at position 3 is no residue"), ("", "empty"),
    ]  # fmt: skip


def test_hashing_never_changes() -> None:
    # A checkpoint's projector was trained on these buckets.
    assert _BUCKET[:4].tolist() == HASHED[0]
    assert _SIGN[:8].tolist() == HASHED[1]
    assert np.bincount(_BUCKET, minlength=512).min() > 0


def test_saved(tmp_path: Path) -> None:
    encoder = KmerEncoder()
    assert build("kmer", encoder.save(tmp_path)).fingerprint() == encoder.fingerprint()
    (tmp_path / "encoder.json").write_text('{"kind": "kmer", "version": 1, "fingerprint": "x"}')
    with pytest.raises(MismatchError, match="that is installed"):
        build("kmer", tmp_path)
