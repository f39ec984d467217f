"""Every case of the table, and the page that is written from it."""

from __future__ import annotations

from pathlib import Path

import pytest

import scbioverse as sb
from tests.bad_inputs import Case, load_cases
from tests.bad_inputs._page import PAGE, cell, code

FEWEST = 80


@pytest.fixture(autouse=True)
def quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sb.settings, "progress", False)


@pytest.mark.parametrize("case", [pytest.param(one, id=one.name) for one in load_cases()])
def test_what_is_said_and_what_stays(case: Case, tmp_path: Path) -> None:
    said, _ = case.run(tmp_path)
    missing = [words for words in case.says if words not in said]
    assert not missing, f"{missing} not in {said!r}"
    assert "Traceback" not in said


def test_the_page_lists_every_case() -> None:
    assert len(load_cases()) >= FEWEST
    page = PAGE.read_text(encoding="utf-8")
    absent = [one.name for one in load_cases() if cell(one.given)[1:] not in page or code(one.call) not in page]
    assert not absent, f"run python -m tests.bad_inputs: {absent}"
