"""Whatever is handed in as labels, or lies in a file of labels: candidates, or one of our errors."""

from __future__ import annotations

import tempfile
import warnings
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import scbioverse as sb
from tests.bad_inputs import CommandError, command

if TYPE_CHECKING:
    import anndata as ad

    from scbioverse.models import BioVerse

BOUNDED = settings(
    max_examples=50,
    deadline=timedelta(seconds=20),
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)
NAMES = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["B cell", "b cell", " T  cell", "unknown", "nan", "CL:0000236", "CL:9999999", "1", "-", "\ufeffB cell"]
    ),
)
ITEMS = st.one_of(NAMES, NAMES, NAMES, st.none(), st.integers(), st.floats(), st.binary(max_size=5), st.booleans())
LABELS = st.one_of(
    st.lists(NAMES, max_size=6),
    st.lists(ITEMS, max_size=6),
    st.lists(ITEMS, max_size=6).map(lambda items: pd.Series(items, dtype=object)),
    st.sets(NAMES, max_size=4),
    st.dictionaries(NAMES, st.one_of(NAMES, st.none(), st.integers()), max_size=5),
    NAMES,
    st.integers(),
)


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


def check(error: Exception, some: ad.AnnData) -> None:
    """What is said must not act on a terminal, and nothing is written."""
    assert str(error).replace("\n", " ").isprintable()
    assert "bioverse_label" not in some.obs


@BOUNDED
@given(labels=LABELS)
def test_labels(labels: Any, cells: ad.AnnData, tiny_model: BioVerse) -> None:
    cell = tiny_model.config.encoders["cell"]
    tiny_model.config.encoders["cell"] = replace(cell, methods=("nearest",))
    some = cells[:4].copy()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        try:
            sb.tl.annotate(some, model=tiny_model, labels=labels, method="nearest")
        except sb.errors.BioverseError as error:
            check(error, some)
            return
    assert some.obs["bioverse_label"].notna().all()
    with tempfile.TemporaryDirectory() as folder:
        some.write_h5ad(Path(folder) / "a.h5ad")  # what was found can be written


@BOUNDED
@given(
    raw=st.one_of(
        st.binary(max_size=100),
        st.lists(st.tuples(NAMES, st.sampled_from(["", "\t", "\tCL:0000236", ",x", ";"])), max_size=6).map(
            lambda rows: "\n".join(f"{name}{rest}" for name, rest in rows).encode("utf-8", errors="surrogatepass")
        ),
    ),
    kind=st.sampled_from([".txt", ".tsv", ".csv", ""]),
)
def test_files_of_labels(raw: bytes, kind: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"labels{kind}"
        path.write_bytes(raw)
        # The cells are not there: whatever the labels are, there is one line and nothing is written.
        with pytest.raises(CommandError) as told:
            command("annotate", Path(folder) / "gone.h5ad", "-o", Path(folder) / "out.h5ad", "--labels", path)
        assert str(told.value).strip().replace("\n", " ").isprintable()
        assert not (Path(folder) / "out.h5ad").exists()
        from scbioverse.cli._paths import read_labels

        try:
            found = read_labels(str(path))
        except sb.errors.BioverseError:
            return
        assert len(found) > 0
