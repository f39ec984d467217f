"""The README's examples name functions and parameters that exist."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import pytest

import scbioverse

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)


def calls(page: Path) -> list[ast.Call]:
    trees = [ast.parse(code) for code in BLOCK.findall(page.read_text(encoding="utf-8"))]
    return [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples_call_what_exists(page: Path) -> None:
    for call in calls(page):
        name = ast.unparse(call.func)
        if not name.startswith("sb."):
            continue
        function = scbioverse
        for part in name.split(".")[1:]:
            function = getattr(function, part)
        arguments = {keyword.arg: None for keyword in call.keywords if keyword.arg}
        inspect.signature(function).bind_partial(*call.args, **arguments)


@pytest.mark.parametrize("page", [ROOT / "README.md"], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert targets
    assert not [target for target in targets if not (page.parent / target).exists()]
