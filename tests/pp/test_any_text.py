"""Whatever text is handed in as SMILES or FASTA: a result or one of our errors, never anything else, and no hang."""

from __future__ import annotations

import gzip
import tempfile
import warnings
from datetime import timedelta
from pathlib import Path

import anndata as ad
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scbioverse as sb

pytest.importorskip("rdkit")

BOUNDED = settings(
    max_examples=50,
    deadline=timedelta(seconds=10),
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
# What SMILES are made of, so that many are nearly right; and anything else.
SIGNS = st.sampled_from(
    [*"CNOPSFIBcnos*.()[]=#/\\-+%0123456789@:~$>| \0", "Cl", "Br", "[Pt]", "[Na+]", "[nH]", "[C@H]", "[13C]", "%10"]
)
SMILES = st.one_of(
    st.lists(SIGNS, max_size=60).map("".join),
    st.text(max_size=60),
    st.tuples(
        st.sampled_from(["C", "C(", "C1", "[", "c1ccccc1", "N.", "C1CC1", "[Fe]"]),
        st.sampled_from([3, 50, 500, 30_000]),
    ).map(lambda pair: pair[0] * pair[1]),
)
LINES = st.lists(
    st.one_of(
        st.just(">"),
        st.text(max_size=40).map(lambda text: f">{text}"),
        st.text(alphabet="ACDEFGHIKLMNPQRSTVWYXBZJUO*-. acgtn", max_size=80),
        st.text(max_size=40),
        st.sampled_from([";comment", "@read", "+", "", "\t", "﻿"]),
    ),
    max_size=12,
)


def check(error: Exception) -> None:
    """What is said must not act on a terminal."""
    assert str(error).replace("\n", " ").isprintable()


@BOUNDED
@given(st.lists(SMILES, min_size=1, max_size=5))
def test_smiles(texts: list[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            drugs = sb.pp.molecules(texts)
        except sb.errors.BioverseError as error:
            check(error)
            return
        assert drugs.n_obs == len(texts)
        assert ((drugs.obs["canonical_smiles"] != "") == drugs.obs["valid"]).all()
        # What was read is read again as the same molecule, of which nothing is left out any more.
        kept = drugs.obs.loc[drugs.obs["valid"], "canonical_smiles"]
        again = sb.pp.molecules(list(kept))
        assert again.obs["left_out"].eq("").all()
        sb.tl.embed(drugs, model="morgan", modality="molecule", invalid="skip")
        sb.tl.ask(drugs, "How many contain nitrogen and are heavier than 100?", modality="molecule", model="none")


@BOUNDED
@given(lines=LINES, end=st.sampled_from(["\n", "\r\n", "\r"]), mark=st.booleans(), packed=st.booleans())
def test_fasta(lines: list[str], end: str, mark: bool, packed: bool) -> None:
    raw = (b"\xef\xbb\xbf" if mark else b"") + end.join(lines).encode("utf-8", errors="surrogatepass")
    proteins = read(gzip.compress(raw) if packed else raw)
    if proteins is not None:
        readable = proteins.obs["valid"].to_numpy(bool)
        assert (proteins.obs["sequence"].str.fullmatch("[A-Z]+") == readable).all()
        assert proteins.obs_names.is_unique
        with tempfile.TemporaryDirectory() as folder:
            proteins.write_h5ad(Path(folder) / "a.h5ad")  # what was read can be written


@BOUNDED
@given(raw=st.binary(max_size=300), packed=st.sampled_from(["", "gzip", "cut", "changed"]))
def test_bytes_as_fasta(raw: bytes, packed: str) -> None:
    if packed:
        raw = gzip.compress(b">a\nMKV\n" + raw)
        raw = raw[: len(raw) // 2] if packed == "cut" else raw
        raw = raw[:15] + b"\xff" + raw[16:] if packed == "changed" else raw
    read(raw)


def read(raw: bytes) -> ad.AnnData | None:
    """Read a FASTA file of these bytes, None where it is refused."""
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        path = Path(folder) / "some.fasta"
        path.write_bytes(raw)
        try:
            return sb.pp.proteins(path)
        except sb.errors.BioverseError as error:
            check(error)
            return None


CELLS = st.one_of(
    st.none(),
    st.text(max_size=20),
    st.integers(),
    st.floats(),
    st.booleans(),
    st.binary(max_size=10),
    st.sampled_from([pd.NA, pd.NaT, ("C", "N"), ["C"], {"a": 1}, "CCO", "MKV", b"CCO"]),
)


@BOUNDED
@given(st.lists(CELLS, min_size=1, max_size=8), st.booleans())
def test_columns_of_anything(cells: list[object], molecules: bool) -> None:
    column = pd.Series(cells, dtype=object, index=[f"row{n}" for n in range(len(cells))])
    noun, key = ("molecule", "smiles") if molecules else ("protein", "sequence")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for make in (
            lambda: (sb.pp.molecules if molecules else sb.pp.proteins)(column),
            lambda: sb.tl.embed(
                ad.AnnData(obs=pd.DataFrame({key: column})), model="morgan" if molecules else "kmer", modality=noun
            ),
            lambda: sb.tl.ask(
                ad.AnnData(obs=pd.DataFrame({key: ["C"] * len(column), "use": column}, index=column.index)),
                "How many groups are there in use?", modality=noun, model="none",
            ),
        ):  # fmt: skip
            try:
                make()
            except sb.errors.BioverseError as error:
                check(error)
