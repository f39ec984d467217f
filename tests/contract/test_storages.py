"""How the matrix is stored changes nothing: every storage is held to the golden files of the one in memory."""

from __future__ import annotations

from pathlib import Path

import pytest

from ._annotate import SCENARIOS, Scenario
from ._data import STORAGES
from ._golden import differences, read

BY_NAME = {one.name: one for one in SCENARIOS}
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


def check(scenario: Scenario, storage: str, folder: Path) -> None:
    stored = STORAGES[storage](scenario.cells(), folder)
    said = differences(read(f"annotate_{scenario.name}"), scenario.run(stored))
    assert not said, "\n".join(said)


@pytest.mark.parametrize("storage", STORAGES)
@pytest.mark.parametrize("name", ["cascade_names", "panel"])
def test_the_default_method(storage: str, name: str, tmp_path: Path) -> None:
    check(BY_NAME[name], storage, tmp_path)


@pytest.mark.parametrize(
    "name", ["nearest_vocabulary", "score_names", "samples", "reasons_of_cells", "unknown_parents"]
)
def test_a_backed_file(name: str, tmp_path: Path) -> None:
    check(BY_NAME[name], "backed", tmp_path)


@pytest.mark.parametrize("storage", ["backed", "view", "mudata"])
@pytest.mark.parametrize("name", ["counts_in_layer", "counts_in_raw", "panel_ensembl"])
def test_layers_and_columns_of_names(storage: str, name: str, tmp_path: Path) -> None:
    check(BY_NAME[name], storage, tmp_path)
