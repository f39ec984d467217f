"""Words that chemists write: letters of elements, groups, units, parts, places; and what stays refused."""

from __future__ import annotations

from typing import Any

import pytest

from tests.ask._asked import asked

# A question, and what it is about as tables made without scbioverse say.
NUMBERS = [
    ("molecules | How many nitrogen- and sulfur-containing compounds are there?", lambda v, **_: (v.N > 0) & (v.S > 0)),
    ("molecules | Cl or Br: how many compounds?", lambda v, **_: (v.Cl > 0) | (v.Br > 0)),
    ("molecules | Count compounds free of S and N", lambda v, **_: (v.S == 0) & (v.N == 0)),
    ("molecules | How many have 3+ rings?", lambda v, **_: v.rings >= 3),
    ("molecules | How many drugs have a single chlorine atom?", lambda v, **_: v.Cl == 1),
    ("molecules | How many drugs do not have a single chlorine atom?", lambda v, **_: v.Cl == 0),
    ("molecules | How many have a TPSA below 60 square angstroms?", lambda v, **_: v.tpsa < 60),
    ("molecules | How many weigh over 0.3 kDa?", lambda v, **_: v.w > 300),
    ("molecules | number of compounds within the 200-300 Da window", lambda v, **_: v.w.between(200, 300)),
    ("molecules | How many drugs are Ro5 non-compliant?", lambda v, **_: ~v.five),
    ("molecules | Count the drugs whose class is not NSAID", lambda o, **_: o["class"] != "NSAID"),
    ("molecules | How many drugs are for pain as well as for fever?", lambda area, **_: area("pain") & area("fever")),
    ("molecules | Drugs used for neither pain nor fever: how many?", lambda area, **_: ~(area("pain") | area("fever"))),
    ("molecules | How many drugs carry a net charge?", lambda v, **_: v.charge != 0),
    ("molecules | How many drugs have no net charge?", lambda v, **_: v.charge == 0),
    ("molecules | How many contain S or N or both Cl and F?", lambda v, **_: (v.S + v.N > 0) | (v.Cl * v.F > 0)),
    ("molecules | How many nitrogen atoms are there in total?", lambda v, **_: v.N),
    ("proteins | How many sequences are 9 aa long?", lambda p, **_: p.length == 9),
    ("proteins | How many Cys-free proteins?", lambda p, **_: p.C == 0),
    ("proteins | How many are both nuclear and cytosolic?", lambda place, **_: place("nucleus") & place("cytosol")),
    ("proteins | How many weigh more than 10000 daltons?", lambda p, **_: p.kda > 10),
]  # fmt: skip
NAMED = {
    "molecules | Which drug class is the largest?": ["NSAID"],
    "molecules | aspirin or caffeine: which has more nitrogen atoms?": ["caffeine"],
    "molecules | the most lipophilic drug, which molecule is that?": ["stearin"],
    "proteins | ubiquitin vs glucagon: which is heavier?": ["ubiquitin"],
    "molecules | Which drugs' phase is withdrawn?": ["pindolol", "halothane"],
}
SAID = {
    "molecules | Is the TPSA of aspirin greater than 60?": "Yes",
    "molecules | aspirin vs caffeine: is aspirin the heavier one?": "No",
    "molecules | Yes or no: does aspirin contain nitrogen?": "No",
    "molecules | Is the number of rings in diazepam greater than in caffeine?": "Yes",
    "molecules | Is caffeine used to treat fatigue?": "Yes",
    "molecules | Is there chlorine in diazepam?": "Yes",
    "proteins | Is ubiquitin more than 50 residues long?": "Yes",
    "proteins | Where is ubiquitin located?": "ubiquitin: place nucleus|cytosol",
}
REFUSED = [
    "molecules | How many compounds with a free carboxylic acid are there?",  # "free" denies nothing here
    "molecules | Count compounds without S and N",
    "molecules | How many drugs are used for pain and fever?",
    "molecules | Count drugs for pain as well as drugs for fever",
    "molecules | How many drugs for pain as well as fever or cough are there?",
    "molecules | How many are approved for pain?",  # whether a drug is approved is another matter than what for
    "molecules | How many contain NH2?",  # amines alone, or amides too
    "molecules | What is the range of logP?",
    "molecules | How many compounds pass the filter?",
    "molecules | compounds with at least 2 rings, no more and no less than 4",
    "molecules | How many rings do statins have?",  # together, each, or how many have some
    "molecules | Which drug treats the most areas?",
    "molecules | Which drugs have more than one area?",
    "molecules | What is the structure of caffeine?",
    "proteins | How many Da does lysozyme weigh?",  # numbers are told in kDa
    "proteins | Number of amino acids in the hormones",  # of all together, or of each
    "proteins | How many proteins have 2 chains?",
    "proteins | How many extracellular proteins are there?",  # secreted ones are, and more may be
]


@pytest.mark.parametrize(("line", "rows"), NUMBERS)
def test_numbers_of_what_chemists_write(line: str, rows: Any) -> None:
    answer, truths = asked(line)
    assert (answer.computed, answer.value) == (True, int(rows(**truths).sum()))


@pytest.mark.parametrize(("line", "names"), NAMED.items())
def test_what_is_named_first_or_by_its_class(line: str, names: list[str]) -> None:
    answer, _ = asked(line)
    assert answer.computed
    assert sorted(answer.value) == sorted(names)


@pytest.mark.parametrize(("line", "begins"), SAID.items())
def test_what_is_said_of_one(line: str, begins: str) -> None:
    answer, _ = asked(line)
    assert answer.computed
    assert answer.text.startswith(begins)


@pytest.mark.parametrize("line", REFUSED)
def test_what_may_be_meant_otherwise_is_refused(line: str) -> None:
    assert not asked(line)[0].computed
