from __future__ import annotations

from tests.cli.conftest import model_folder  # noqa: F401  # the same small model in a folder
