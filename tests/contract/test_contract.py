"""Every scenario gives what its golden files hold."""

from __future__ import annotations

import pytest

from ._golden import FOLDER, differences, read
from ._scenarios import scenarios

MOST_BYTES = 1_500_000


@pytest.mark.filterwarnings("ignore::UserWarning")  # what is warned of is not pinned here
@pytest.mark.parametrize("name", scenarios())
def test_results_are_those_of_the_golden_files(name: str) -> None:
    said = differences(read(name), scenarios()[name]())
    assert not said, "\n".join(said)


def test_no_golden_file_is_left_over_and_all_are_small() -> None:
    assert {file.stem for file in FOLDER.iterdir()} == set(scenarios())
    assert sum(file.stat().st_size for file in FOLDER.iterdir()) < MOST_BYTES
