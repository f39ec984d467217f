"""What a user hears who has set up no logging."""

from __future__ import annotations

import subprocess
import sys


def test_warnings_are_heard_and_the_rest_is_not() -> None:
    code = "from scbioverse._logging import logger; logger.warning('half as many'); logger.info('slots filled')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "half as many"
    assert not done.stdout


def test_scanpys_verbosity_is_respected() -> None:
    code = """
import logging, scanpy as sc
from scbioverse._logging import logger
logger.info("not yet")
sc.settings.verbosity = 2
logger.info("slots filled")
logger.debug("too much")
sc.settings.verbosity = 0
logger.warning("not wanted")
logger.error("broken")
logging.basicConfig(format="ours: %(message)s")
sc.settings.verbosity = 3
logger.info("no longer scanpy's affair")
logger.warning("half as many")
"""
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.split("\n") == ["slots filled", "broken", "ours: half as many", ""]
