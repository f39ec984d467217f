"""What a user hears who has set up no logging."""

from __future__ import annotations

import subprocess
import sys


def test_warnings_are_heard_and_the_rest_is_not() -> None:
    code = "from scbioverse._logging import logger; logger.warning('half as many'); logger.info('slots filled')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "half as many"
    assert not done.stdout
