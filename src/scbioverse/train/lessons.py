"""Questions and answers in many wordings, each from a fact that it names: the data of stage 2.

Nothing is made up here: an answer repeats a label, a measured fraction, a marker table or a sentence of the ontology,
and says that there is not enough evidence where nothing of that is at hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from .._logging import listed
from ..knowledge import canonical_phrase, load_ontology, markers_for
from ..knowledge.phrases import phrases
from ..knowledge.sentences import split_sentences
from .instructions import Instruction

if TYPE_CHECKING:
    import pandas as pd

NOT_ENOUGH = "Not enough evidence in these data to answer that."
_MAX_DEFINITION = 260
_BROADEST = 900
_IDENTITY = (
    "What are these cells?", "Which cell type is this?", "What type of cells are these?", "Name the cell type.",
    "Identify these cells.", "What would you call these cells?",
)  # fmt: skip
_IS = ("These cells are {label}.", "This is {label}.", "They are {label}.")
_WHY = (
    "Why are these cells called {label}?", "What supports the label {label}?", "Which genes support {label}?",
    "Why {label}?", "What is the evidence for {label}?",
)  # fmt: skip
_BECAUSE = ("{genes} mark {label}.", "{genes} support {label}.", "These cells express {genes}, which mark {label}.")
_GENES = ("Which genes mark these cells?", "What genes set these cells apart?", "Name marker genes of these cells.")
_SET_APART = ("{genes} mark these cells.", "{genes} set these cells apart.")
_LINEAGE = (
    "What kind of cell is {label}?",
    "To which broader type does {label} belong?",
    "What is the lineage of {label}?",
)
_KIND = ("{label} is a kind of {kind}.", "It is a kind of {kind}.")
_COMPARE = ("How do A and B differ?", "Compare A and B.", "What distinguishes A from B?")
_DIFFER = ("{first} are higher in A; {second} are higher in B.",)
_TISSUE = ("Which tissue are these cells from?", "From which organ were these cells taken?", "Name the tissue.")
_TISSUE_IS = ("They come from {tissue}.", "The tissue is {tissue}.")
_UNANSWERABLE = (
    "How old was the donor?", "Which drug did these cells see?", "Was the donor a smoker?", "Who took the sample?",
    "What was the weather on that day?", "Which hospital are these cells from?", "Will the patient recover?",
)  # fmt: skip
_DEFINE = ("What is {label}?", "Define {label}.", "Describe {label}.")
_SYNONYM = ("What is another name for {label}?", "What else is {label} called?")
_ALSO = ("{label} is also called {other}.", "Another name for {label} is {other}.")
_MARKERS = ("Which markers does {label} have?", "Name markers of {label}.", "Which genes are known for {label}?")
_LISTED = ("Marker tables list {genes} for {label}.", "{genes} are listed for {label}.")


@dataclass(frozen=True, eq=False)
class Group:
    """Cells that share a label."""

    label: str
    cl_id: str | None
    rows: Sequence[int]  # in the embeddings
    genes: pd.DataFrame  # the clearest first: `gene`, `fraction_in`, `fraction_out`
    source: str  # where the cells come from, such as "kang_ifnb_pbmc"
    tissue: str = ""  # where in the body
    said: str = ""  # name that the prompt of `annotate` is answered with, where it is not the label

    @property
    def where(self) -> str:
        """Source id of what is said about the group."""
        return f"{self.source}/{self.cl_id or self.label}"


def group_lessons(
    group: Group, rng: np.random.Generator, *, per_task: int = 4, modality: str = "cell"
) -> list[Instruction]:
    """Label, identity, reasons, marker genes, lineage, tissue, and what cannot be known, of one group.

    `per_task` examples of each kind of question, each with a cell and a wording drawn by `rng`.
    """
    out: list[Instruction] = []
    label = group.label
    kinds = _kinds(group.cl_id)

    def add(task: str, asked: Sequence[str], answers: Sequence[str], evidence: str = "", **words: str) -> None:
        source = f"{group.where}/{task}"
        question = _pick(asked, rng).format(label=label)
        answer = _pick(answers, rng).format(label=label, **words)
        out.append(Instruction(task, question, answer, source, _one(group, rng, modality), evidence))

    for _ in range(per_task):
        name, source = group.said or label, f"{group.where}/label"
        out.append(Instruction("label", "", name, source, _one(group, rng, modality), prompt="label"))
        add("identity", _IDENTITY, _IS)
        if len(group.genes) > 1:
            said = measured(group.genes, rng)
            # Names without figures: a short answer is a quick one, and the figures stand in the evidence.
            add("reason", _WHY, _BECAUSE, said, genes=_names(group.genes, rng))
            add("markers", _GENES, _SET_APART, said, genes=_names(group.genes, rng))
        if kinds:
            add("lineage", _LINEAGE, _KIND, kind=kinds[0])
        if group.tissue:
            add("tissue", _TISSUE, _TISSUE_IS, f"tissue {group.tissue}", tissue=group.tissue)
        else:
            add("not enough", _TISSUE, (NOT_ENOUGH,))
        add("not enough", _UNANSWERABLE, (NOT_ENOUGH,))
    return out


def comparison_lesson(a: Group, b: Group, rng: np.random.Generator, *, modality: str = "cell") -> Instruction | None:
    """Compare two groups of one study by the genes that set each apart; None where one has none of its own."""
    shared = set(a.genes["gene"]) & set(b.genes["gene"])
    first = a.genes[~a.genes["gene"].isin(shared)].head(2)
    second = b.genes[~b.genes["gene"].isin(shared)].head(2)
    if len(first) < 2 or len(second) < 2:
        return None
    objects = tuple((modality, int(rng.choice(np.asarray(group.rows))), name) for group, name in ((a, "A"), (b, "B")))
    answer = _pick(_DIFFER, rng).format(first=" and ".join(first["gene"]), second=" and ".join(second["gene"]))
    evidence = f"A: {figures(first)}. B: {figures(second)}."
    return Instruction("compare", _pick(_COMPARE, rng), answer, f"{a.where}+{b.where}/compare", objects, evidence)


def nothing_lessons(rows: Sequence[int], rng: np.random.Generator, *, modality: str = "cell") -> list[Instruction]:
    """Embeddings of nothing (noise, shuffled values): whatever is asked, there is not enough evidence."""
    return [
        Instruction("not enough", _pick((*_IDENTITY, *_GENES), rng), NOT_ENOUGH, "noise", ((modality, int(row), ""),))
        for row in rows
    ]


def term_lessons(cl_id: str, rng: np.random.Generator) -> list[Instruction]:
    """Definition, another name, broader type and markers of a Cell Ontology term, without any cell."""
    term, label = load_ontology().term(cl_id), canonical_phrase(cl_id)
    out = []

    def add(task: str, asked: Sequence[str], answer: str) -> None:
        out.append(Instruction(task, _pick(asked, rng).format(label=label), answer, f"{cl_id}/{task}"))

    sentences = split_sentences(term.definition)
    if sentences and len(sentences[0]) <= _MAX_DEFINITION:
        add("definition", _DEFINE, sentences[0])
    others = [name for name in phrases(cl_id) if name.casefold() != label.casefold()]
    if others:
        add("synonym", _SYNONYM, _pick(_ALSO, rng).format(label=label, other=_pick(others, rng)))
    kinds = _kinds(cl_id)
    if kinds:
        add("lineage", _LINEAGE, _KIND[0].format(label=label, kind=kinds[0]))
    genes = list(markers_for(cl_id)["gene"][:4])
    if len(genes) > 1:
        add("known markers", _MARKERS, _pick(_LISTED, rng).format(label=label, genes=listed(genes)))
    return out


def measured(genes: pd.DataFrame, rng: np.random.Generator) -> str:
    """Say what was measured in a group: its two or three clearest genes with their fractions."""
    return f"{figures(genes.head(int(rng.integers(2, 4))))}."


def figures(genes: pd.DataFrame) -> str:
    """Genes with the per cent of cells that express them, here and elsewhere."""
    said = [
        f"{gene} ({round(100 * inside)} %, {round(100 * outside)} %)"
        for gene, inside, outside in zip(genes["gene"], genes["fraction_in"], genes["fraction_out"], strict=True)
    ]
    return listed(said)


def _names(genes: pd.DataFrame, rng: np.random.Generator) -> str:
    return listed(genes["gene"].head(2 if rng.random() < 0.5 else 3))


def _kinds(cl_id: str | None) -> list[str]:
    ontology = load_ontology()
    if cl_id is None or cl_id not in ontology:
        return []
    return [canonical_phrase(one) for one in ontology.ancestors(cl_id) if len(ontology.descendants(one)) <= _BROADEST]


def _one(group: Group, rng: np.random.Generator, modality: str) -> tuple[tuple[str, int, str], ...]:
    return ((modality, int(rng.choice(np.asarray(group.rows))), ""),)


def _pick(options: Sequence[str], rng: np.random.Generator) -> str:
    return options[int(rng.integers(len(options)))]
