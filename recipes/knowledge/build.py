"""Make the tables of `scbioverse.knowledge` from the public sources.

    SCBIOVERSE_CACHE_DIR=<folder with knowledge/> python recipes/knowledge/build.py [genes ontology ...]

Deterministic: the same sources give the same bytes. The order matters, because misleading names are found and markers
are mapped with the freshly built resolver. `misleading` needs no source: build it anew after a change of the tables
kept by hand.
"""

from __future__ import annotations

import importlib
import sys

PARTS = ("genes", "ontology", "names", "misleading", "markers", "tissues", "summaries", "general")


def main(parts: list[str]) -> None:
    """Build the named parts, or all."""
    for part in parts or PARTS:
        if part not in PARTS:
            raise SystemExit(f"unknown part {part!r}; there are {', '.join(PARTS)}")
        sys.stdout.write(importlib.import_module(f"_{part}").build() + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
