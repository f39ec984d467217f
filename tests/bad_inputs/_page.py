"""The page of the docs that lists every case with what was said."""

from __future__ import annotations

import re
import tempfile
from itertools import groupby
from pathlib import Path

from ._case import Case, load_cases

PAGE = Path(__file__).parents[2] / "docs" / "bad_inputs.md"
_TEMPORARY = re.compile(rf"{re.escape(tempfile.gettempdir())}/[^/\s']+/")
HEAD = """# Bad inputs

What happens where the input cannot work, or not as it is. Each row was run: `python -m tests.bad_inputs` builds the
input, makes the call, checks that what the last column names is the same before and after, bit for bit, and writes this
page. The same table is part of the tests. **Refused** means an error of {mod}`scbioverse.errors` (a line on stderr and
exit code 1 in a shell); **said** means that the call goes on and says what it made of the input."""


def write_page() -> None:
    """Run every case and write docs/bad_inputs.md."""
    parts = [HEAD]
    by_area = sorted(load_cases(), key=lambda one: one.area)
    for area, cases in groupby(by_area, key=lambda one: one.area):
        parts.append(f"\n## {area}\n")
        parts.append("| Input | Call | | What is said | Unchanged |\n| --- | --- | --- | --- | --- |")
        parts += [row(one) for one in cases]
    parts.append("")
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def row(case: Case) -> str:
    """One case as a row of the table."""
    with tempfile.TemporaryDirectory() as folder:
        said, stays = case.run(Path(folder))
    said = _TEMPORARY.sub("", said)  # of inputs that several cases share
    given = case.given[0].upper() + case.given[1:]
    unchanged = ", ".join(f"`{name}`" for name in stays)
    return f"| {cell(given)} | {code(case.call)} | {case.outcome} | {cell(said)} | {unchanged} |"


def cell(text: str) -> str:
    """Text that a table of Markdown takes as it stands."""
    for sign in "\\|*_<>`$":
        text = text.replace(sign, f"\\{sign}")
    return text


def code(text: str) -> str:
    """Code in a cell of a table, where a bar would end the cell."""
    return f"`{text}`".replace("|", "\\|")
