"""What users hand in that cannot work, or not as it is: one table for the tests and for the page in the docs.

A case is a function that builds the input in an empty folder and returns what to run; `@case` says what is wrong with
it and which words the message must hold. `test_bad_inputs.py` runs every case; `python -m tests.bad_inputs` writes
`docs/bad_inputs.md` from the same runs. Cases go through the public API or the command line only.
"""

from __future__ import annotations

from ._case import CASES, Case, CommandError, Given, case, command, load_cases

__all__ = ["CASES", "Case", "CommandError", "Given", "case", "command", "load_cases"]
