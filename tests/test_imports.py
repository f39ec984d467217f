"""Importing and loading leave the process as it was."""

from __future__ import annotations

import subprocess
import sys


def test_the_garbage_collector_is_the_users() -> None:
    code = (
        "import gc; kept = gc.get_threshold(), gc.isenabled(), gc.get_freeze_count();"
        "import scbioverse as sb; sb.datasets.toy_cells(n_obs=3); sb.models.load();"
        "print(kept == (gc.get_threshold(), gc.isenabled(), gc.get_freeze_count()))"
    )
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"
