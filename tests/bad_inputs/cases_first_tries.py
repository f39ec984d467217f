"""Matrices, labels and questions as they are passed at a first try."""

from __future__ import annotations

from pathlib import Path

import scbioverse as sb

from . import Given, case
from ._inputs import blood

AREA = "First tries"


@case(
    AREA,
    "`X` is empty, and the counts lie in the layers `spliced` and `unspliced`",
    "sb.tl.annotate(adata)",
    says=["nothing but zeros", "layer='spliced'", "layer='unspliced'"],
)
def zeros_beside_layers(at: Path) -> Given:
    adata = blood()
    adata.layers["spliced"] = adata.X.copy()
    adata.layers["unspliced"] = adata.X.copy()
    adata.X = adata.X * 0
    return Given(lambda: sb.tl.annotate(adata), {"adata": adata})


@case(
    AREA,
    '`layer="raw"`, and `adata.raw` was never set',
    'sb.tl.embed(adata, layer="raw")',
    says=["adata.raw is not set", "Leave layer out"],
)
def raw_that_is_not_set(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.embed(adata, layer="raw"), {"adata": adata})


@case(
    AREA,
    "two candidates that mean one type, one of them as it is written in short (`B` and `B cell`)",
    'sb.tl.annotate(adata, labels=["B", "B cell"])',
    outcome="said",
    says=["labels name the same term", "'B' and 'B cell' both mean 'B cell'", "Merge them"],
)
def two_names_of_one_type(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.annotate(adata, labels=["B", "B cell"], rationale=None), {})


@case(AREA, "a question that is None", "sb.tl.ask(adata, None)", says=["question is one text", "NoneType"])
def no_question(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.ask(adata, None), {"adata": adata})


@case(
    AREA,
    "a list of questions",
    'sb.tl.ask(adata, ["How many cells?", "How many genes?"])',
    says=["question is one text", "list", "one question a call"],
)
def many_questions(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.ask(adata, ["How many cells?", "How many genes?"]), {"adata": adata})


@case(
    AREA,
    "two candidates in one entry of the list",
    'sb.tl.annotate(adata, labels=["B;NK", "CD4 T cell"])',
    outcome="said",
    says=["labels hold ['B;NK']", "several names in one", "pass the names by themselves"],
)
def two_names_in_one(at: Path) -> Given:
    adata = blood()
    return Given(lambda: sb.tl.annotate(adata, labels=["B;NK", "CD4 T cell"], rationale=None), {})
