"""The adapter that reads questions: pairs from a schema, and training on them."""

from __future__ import annotations

import re

import pytest

import scbioverse as sb
from recipes.questions.make import ReadingConfig, encoded, loss_of, train
from recipes.questions.pairs import pairs, schemas
from scbioverse.ask.linear import NONE, following
from scbioverse.llm import Backbone
from scbioverse.llm.adapter import AdapterConfig


@pytest.fixture(scope="module")
def drawn():
    some = schemas(0, ["cells 2"])
    found = pairs(60, 0, some)
    assert [one.text for one in found] == [one.text for one in pairs(60, 0, some)]
    return found


def test_each_line_may_be_written_and_holds_names_of_the_question(drawn):
    assert sum(one.line == NONE for one in drawn) < 20
    for one in drawn:
        held, line = re.findall(r"\b[TGMCNR]\d", one.text), one.line.split()
        assert all(symbol in following(line[:i], held) for i, symbol in enumerate(line)), one
        assert "" in following(line, held), one


def test_training_makes_the_lines_more_probable_and_the_folder_reads(drawn, tiny_llm, tmp_path):
    backbone = Backbone.load(str(tiny_llm), dtype="float32", device="cpu")
    config = ReadingConfig(AdapterConfig(rank=4, targets="all"), batch_tokens=600, lr=2e-2)
    adapter = train(backbone, drawn * 6, config, seed=0)
    rows = [encoded(backbone, one) for one in drawn]
    assert float(loss_of(adapter.merged_into(backbone), rows)) < 0.8 * float(loss_of(backbone, rows))
    adapter.save(tmp_path, llm=str(tiny_llm))
    answer = sb.tl.ask(sb.datasets.pbmc3k(), "How many B cells died?", groupby="cell_type", reader=tmp_path)
    assert not answer.computed
