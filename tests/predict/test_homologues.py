"""Search of proteins, and what is told from it."""

from __future__ import annotations

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.predict.homologues import search
from scbioverse.predict.vote import FLOOR, said_by, shares, vote_weights

pytest.importorskip("pyhmmer")

# Haemoglobin alpha of man and mouse, and ubiquitin.
HUMAN = (
    "MVLSPADKTNVKAAWGKVGAHAGEYGAEALERMFLSFPTTKTYFPHFDLSHGSAQVKGHGKKVADALTNAVAHVDDMPNALSALSDLHAHKLRVDPVNFKLLSHCLLVTLAAHLPAEFTPA"
    "VHASLDKFLASVSTVLTSKYR"
)
MOUSE = (
    "MVLSGEDKSNIKAAWGKIGGHGAEYGAEALERMFASFPTTKTYFPHFDVSHGSAQVKGHGKKVADALANAAGHLDDLPGALSALSDLHAHKLRVDPVNFKLLSHCLLVTLASHHPADFTPA"
    "VHASLDKFLASVSTVLTSKYR"
)
UBIQUITIN = "MQIFVKTLTGKTITLEVEPSDTIENVKAKIQDKEGIPPDQQRLIFAGKQLEDGRTLSDYNIQKESTLHLVLRLRGG"


def test_search_finds_the_homologue_and_no_other() -> None:
    found = search([HUMAN, "", HUMAN, UBIQUITIN], [UBIQUITIN[::-1], MOUSE], 2, among=np.array([True, True]))
    assert found.near.rows.tolist() == [[1, -1], [-1, -1], [1, -1], [-1, -1]]
    same = np.mean([a == b for a, b in zip(HUMAN, MOUSE, strict=True)])
    assert found.near.similarity[0, 0] == pytest.approx(same, abs=0.01)
    assert found.coverage[0, 0] > 0.98
    assert found.evalue[0, 0] < 1e-50
    assert np.isnan(found.evalue[3]).all()
    none = search([HUMAN], [UBIQUITIN, MOUSE], 1, among=np.array([True, False]))
    assert none.near.rows.tolist() == [[-1]]


def test_describe_says_what_it_rests_on() -> None:
    known = sb.pp.proteins(
        pd.DataFrame({"sequence": [UBIQUITIN[::-1], MOUSE], "text": ["nonsense", "Carries oxygen."]})
    )
    new = ad.AnnData(obs=pd.DataFrame({"sequence": [HUMAN, UBIQUITIN]}, index=["alpha", "ubiquitin"]))
    sb.tl.describe(new, modality="protein", reference=known)
    assert new.obs["bioverse_description"].tolist() == ["Carries oxygen.", "Nothing known is similar."]
    assert new.obs["bioverse_description_source"].tolist() == ["1", ""]
    assert new.obs["bioverse_description_evalue"].iloc[0] < 1e-50
    assert new.obs["bioverse_description_coverage"].iloc[0] > 0.98
    assert np.isnan(new.obs["bioverse_description_evalue"].iloc[1])


def test_votes() -> None:
    near = np.array([[0.9, 0.5], [FLOOR - 0.01, 0.1]])
    weights = vote_weights(near)
    assert weights[0].sum() == pytest.approx(1)
    assert weights[0, 0] > 10 * weights[0, 1]
    assert not weights[1].any()
    assert shares(np.array([[0, 1], [0, 1]]), near, np.array([True, False]))[0] == pytest.approx(weights[0, 0])
    assert said_by([["a", "b"], ["b"]], np.array([1.0, 3.0])) == {"b": 1.0, "a": 0.25}
    assert said_by([["a"]], np.array([0.0])) == {}
