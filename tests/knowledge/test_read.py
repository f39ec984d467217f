from __future__ import annotations

import pytest

from scbioverse.knowledge._read import read_columns, read_table


@pytest.mark.parametrize("name", ["genes", "markers", "ontology", "misleading"])
def test_columns_are_those_of_the_rows(name):
    columns = read_columns(f"{name}.tsv.gz")
    assert [list(row) for row in zip(*columns, strict=True)] == read_table(f"{name}.tsv.gz")
