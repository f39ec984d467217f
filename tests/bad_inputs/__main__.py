"""`python -m tests.bad_inputs`: run every case and write docs/bad_inputs.md."""

from __future__ import annotations

from ._page import write_page

if __name__ == "__main__":
    write_page()
