"""The comparison itself: it says so when something changes, and only then."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

import scbioverse as sb

from . import _data as data
from ._annotate import SCENARIOS
from ._golden import NEAR_TIE, PROBABILITY, Found, annotation, column, differences, read, unpack

NAME = "annotate_nearest_names"


def relabel(found: Found, row: int) -> None:
    labels = unpack(found.text["label"])
    labels[row] = next(one for one in data.NAMES if one != labels[row])
    found.text["label"] = column(labels)


def change_a_digit(found: Found) -> None:
    values = found.text["rationale"]["values"]
    values[0] = values[0].replace("%", "percent", 1)


def drop_a_key(found: Found) -> None:
    del found.text["record"]["temperature"]


def change_evidence(found: Found) -> None:
    found.text["evidence"]["rows"][0][3] += 0.001


def shift(name: str, by: float) -> Callable[[Found], None]:
    def change(found: Found) -> None:
        found.numbers[name] = found.numbers[name] + np.float32(by)

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda found: relabel(found, int(found.numbers["margin"].argmax())), "1 labels changed"),
        (change_a_digit, "rationale"),
        (drop_a_key, "temperature"),
        (change_evidence, "evidence"),
        (shift("confidence", 1.5 * PROBABILITY), "confidence"),
        (shift("margin", -1.5 * PROBABILITY), "margin"),
        (shift("scores", 0.002), "scores"),
        (lambda found: found.numbers.pop("entropy"), "entropy: missing"),
        (lambda found: found.numbers.update(scores=found.numbers["scores"][1:]), "scores: shape"),
    ],
    ids=["label", "reason", "record", "evidence", "confidence", "margin", "scores", "column", "rows"],
)
def test_a_change_is_said(change: Callable[[Found], object], says: str) -> None:
    found = copy.deepcopy(read(NAME))
    assert not differences(read(NAME), found)
    change(found)
    said = differences(read(NAME), found)
    assert len(said) == 1
    assert says in said[0]


def test_a_near_tie_may_fall_the_other_way_and_records_and_tables_may_grow() -> None:
    wanted, found = read(NAME), read(NAME)
    row = int(wanted.numbers["margin"].argmin())
    relabel(found, row)
    assert differences(wanted, found)
    for one in (wanted, found):
        one.numbers["margin"][row] = NEAR_TIE / 2
    found.text["record"]["digest"] = "of what was read"
    found.text["evidence"]["columns"].insert(0, "page")
    for one in found.text["evidence"]["rows"]:
        one.insert(0, 7)
    assert not differences(wanted, found)


@pytest.mark.parametrize("field", ["temperature", "weights"])
def test_one_percent_of_a_calibrated_number_is_seen(field: str) -> None:
    scenario = next(one for one in SCENARIOS if one.name == "nearest_names")
    model, adata = data.model(), scenario.cells()
    table, before = model.config.calibration, model.config.calibration["nearest"]
    more = {"temperature": 1.01 * before.temperature, "weights": {"markers": 1.01 * before.weight("markers")}}
    table["nearest"] = replace(before, **{field: more[field]})
    try:
        sb.tl.annotate(adata, model=model, **scenario.asked)
    finally:
        table["nearest"] = before
    said = differences(read(NAME), annotation(adata))
    assert any(one.startswith("confidence") for one in said)
