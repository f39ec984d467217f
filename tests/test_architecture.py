"""The page on architecture names files that are there."""

from __future__ import annotations

import re
from pathlib import Path

import scbioverse

PAGE = Path(__file__).parents[1] / "docs" / "architecture.md"
ROOT = Path(scbioverse.__file__).parent


def test_every_file_of_the_page_exists() -> None:
    named = re.findall(r"`([\w/]+\.py)`", PAGE.read_text(encoding="utf-8"))
    assert len(named) > 25
    places = (ROOT, ROOT.parents[1])
    assert [one for one in named if not any((place / one).is_file() for place in places)] == []


def test_every_room_is_on_the_page() -> None:
    text = PAGE.read_text(encoding="utf-8")
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"datasets", "get", "metrics", "pp"}
    assert {room for room in rooms if not re.search(rf"\b{room}\b", text)} == set()
