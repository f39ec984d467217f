"""Search of proteins, and what is told from it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import scbioverse as sb
from scbioverse.errors import InputError, MissingKeyError
from scbioverse.predict.descriptions import choose_rows
from scbioverse.predict.from_reference import BESIDE
from scbioverse.predict.homologues import LEAST, Homologues, are_classes, search, sure_classes
from scbioverse.predict.neighbours import FLOOR, Neighbours, said_by, shares, vote_weights

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


def test_no_match_is_weaker_than_it_may_be() -> None:
    rng = np.random.default_rng(0)
    residues = list("ACDEFGHIKLMNPQRSTVWY")
    pool = ["".join(rng.choice(residues, 150)) for _ in range(60)]
    # A short piece of the first among strange residues: as weak a match as is wanted.
    asked = ["".join([*rng.choice(residues, 50), pool[0][40:52], *rng.choice(residues, 50)]) for _ in range(10)]
    every = np.ones(60, dtype=bool)
    far = search(asked, pool, 5, among=every, expected=10.0)
    best = np.nanmin(far.evalue)
    assert best < 1
    for most in (best / 20, best / 2, best * 2):
        found = search(asked, pool, 5, among=every, expected=most)
        np.testing.assert_array_equal(found.near.rows, far.within(most).near.rows)
    assert (found.near.rows[:, 0] == 0).any()


def test_a_weaker_match_is_relied_on_less() -> None:
    whole, part = (search([one], [MOUSE], 1, among=np.array([True])) for one in (HUMAN, HUMAN[:40]))
    assert whole.sure()[0] > 0.85
    assert part.sure()[0] < whole.sure()[0] - 0.1
    assert np.isnan(search([UBIQUITIN], [MOUSE], 1, among=np.array([True])).sure()[0])


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


def test_matches_vote_on_columns_and_kmers_where_there_are_none() -> None:
    relatives = [MOUSE, HUMAN[:130], HUMAN[10:], UBIQUITIN[::-1], UBIQUITIN[::-1][:60]]
    known = sb.pp.proteins(
        pd.DataFrame({
            "sequence": relatives,
            "text": ["", "Carries oxygen.", "Carries oxygen.", "Nonsense.", "Nonsense."],
            "ec": ["1.2.3.4; 5.6.7.8", "1.2.3.4", "9.9.9.9", "7.1.1.1", "7.1.1.2"],
            "go": ["oxygen transport|haem binding", "", "", "none", "none"],
        })
    )  # fmt: skip
    new = ad.AnnData(obs=pd.DataFrame({"sequence": [HUMAN, UBIQUITIN, ""]}, index=["alpha", "ubiquitin", "empty"]))
    sb.tl.describe(new, modality="protein", reference=known, vote=["ec", "go"])
    said = new.obs.filter(like="bioverse_description_")
    assert said["bioverse_description_ec"].iloc[0] == "1.2.3.4"
    assert 0.5 < said["bioverse_description_ec_share"].iloc[0] < 1
    assert said["bioverse_description_go"].iloc[0] == "oxygen transport; haem binding"
    # All agree, and a good match is relied on, if not wholly.
    assert 0.85 < said["bioverse_description_go_share"].iloc[0] < 1
    # No match: nothing is told, and k-mers, for which a sequence backwards is much the same, count less than a match.
    assert new.obs["bioverse_description"].tolist()[1:] == ["Nothing known is similar.", ""]
    assert 0 < said["bioverse_description_ec_share"].iloc[1] <= BESIDE
    assert np.isnan(said["bioverse_description_ec_share"].iloc[2])
    assert said["bioverse_description_ec"].iloc[2] == ""
    # One of three matches says another class: not even the first digit is sure. GO terms have no digits.
    assert said["bioverse_description_ec_sure"].tolist() == ["", "", ""]
    assert said["bioverse_description_ec_probability"].isna().all()
    assert "bioverse_description_go_sure" not in said
    agreed = known[[0, 1]].copy()
    sb.tl.describe(new, modality="protein", reference=agreed, vote=["ec"], key_added="agreed")
    assert new.obs["agreed_description_ec_sure"].tolist() == ["1.2.3.4", "", ""]
    assert new.obs["agreed_description_ec_probability"].iloc[0] > LEAST
    with pytest.raises(MissingKeyError, match="kegg"):
        sb.tl.describe(new, modality="protein", reference=known, vote=["kegg"])


@pytest.mark.parametrize("choose", ["combined", "consensus", "aligned"])
def test_places_without_a_match_are_nobodys_text(choose: Any) -> None:
    # The last text, which is of no relative, agrees best with itself and stands behind every match that is missing.
    known = sb.pp.proteins(
        pd.DataFrame({
            "sequence": [MOUSE, HUMAN[:120], UBIQUITIN[::-1]],
            "text": ["Carries oxygen.", "It carries oxygen in blood.", "It carries oxygen and it carries blood."],
        })
    )  # fmt: skip
    new = ad.AnnData(obs=pd.DataFrame({"sequence": [HUMAN, "", UBIQUITIN]}, index=["alpha", "none", "ubiquitin"]))
    sb.tl.describe(new, modality="protein", reference=known, choose=choose, n_neighbors=3)
    assert new.obs["bioverse_description_source"].tolist()[0] in ("0", "1")
    assert "arries oxygen" in new.obs["bioverse_description"].iloc[0]
    # No sequence, no text; a sequence like no other is told so.
    assert new.obs["bioverse_description"].tolist()[1:] == ["", "Nothing known is similar."]


def test_a_reference_without_sequences_is_refused() -> None:
    new = ad.AnnData(obs=pd.DataFrame({"sequence": [HUMAN]}, index=["alpha"]))
    empty = ad.AnnData(obs=pd.DataFrame({"sequence": ["", "M1K"], "text": ["one", "two"]}, index=["a", "b"]))
    for verb, more in ((sb.tl.describe, {}), (sb.tl.retrieve, {"query": "a transferase"})):
        with pytest.raises(InputError, match="holds no sequence that can be read"):
            verb(new, modality="protein", reference=empty, **more)


def test_a_class_is_said_down_to_the_last_digit_that_is_sure() -> None:
    items = [["2.7.11.1"], ["2.7.11.22"], ["2.7.-.-"], ["3.1.1.n2", "3.1.1.1"], []]
    assert are_classes(items)
    assert not are_classes([["2.7.11.1"], ["GO:0004672"]])
    assert not are_classes([[], []])
    rows = np.array([[0, 0, -1], [0, 1, 2], [0, 1, -1], [3, -1, -1], [0, 3, -1], [-1, -1, -1], [0, -1, -1]])
    bits = np.where(rows < 0, np.nan, 400.0).astype(np.float32)
    bits[6, 0] = 10.0  # two of three for the first digit and half of it for the second: nothing is sure
    nothing = np.full(rows.shape, np.nan, dtype=np.float32)
    found = Homologues(Neighbours(rows, nothing), nothing.astype(np.float64), nothing, bits)
    said, sure = sure_classes(items, found)
    # All agree; two thirds on three digits and all on two; on three; on one of two classes; on nothing; no match.
    assert said.tolist() == ["2.7.11.1", "2.7.-.-", "2.7.11.-", "3.1.1.n2", "", "", ""]
    assert sure[:4] == pytest.approx([400 / 430, 400 / 405, 400 / 408, 400 / 430])
    assert np.isnan(sure[4:]).all()


def test_a_choice_is_made_among_the_matches_alone() -> None:
    texts = ["x y", "a b c", "a b c", "a b c a b c"]
    near = Neighbours(np.array([[0, 1, 2, -1, -1]]), np.array([[0.5, 0.49, 0.49, np.nan, np.nan]], dtype=np.float32))
    assert choose_rows(near, texts, "consensus", None, None).tolist() == [1]
    placed = SimpleNamespace(text_coordinates=lambda held: np.array([[len(one)] for one in held], dtype=np.float32))
    assert choose_rows(near, texts, "aligned", placed, np.ones((1, 1), dtype=np.float32)).tolist() == [1]


def test_votes() -> None:
    near = np.array([[0.9, 0.5], [FLOOR - 0.01, 0.1]])
    weights = vote_weights(near)
    assert weights[0].sum() == pytest.approx(1)
    assert weights[0, 0] > 10 * weights[0, 1]
    assert not weights[1].any()
    assert shares(np.array([[0, 1], [0, 1]]), near, np.array([True, False]))[0] == pytest.approx(weights[0, 0])
    assert said_by([["a", "b"], ["b"]], np.array([1.0, 3.0])) == {"b": 1.0, "a": 0.25}
    assert said_by([["a"]], np.array([0.0])) == {}
