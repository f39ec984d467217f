"""The documentation page, written from the results file: every figure comes from there."""

from __future__ import annotations

from pathlib import Path

from benchmarks.annotation_parts import sections
from benchmarks.annotation_parts.tables import Result

INTRODUCTION = """# Benchmarks

How well cells of a study that nobody trained on are called by their names, beside what else one could run. The page is
written by `python -m benchmarks.annotation --docs` from `benchmarks/results/annotation.json`; every figure below stands
in that file, and figures in bold are losses.

Each cell is called by itself. The candidates are the study's own labels as Cell Ontology terms, the same for all
methods, and so are the cells. *Development tests* are three studies that no training ever sees, though design choices
were made by looking at them. *Training studies left out* are each tested with a model that was trained without them
(and without studies that share cells with them); these models, like the shipped one, are calibrated on other studies
and on sets of profiles of the whole body that one more training left out. How markers are weighed, how far below its
kin a type that was never trained is put, and that the sets of profiles have a say in the weights, was chosen with all
these studies in view. All of it was measured before marker evidence was counted beside its background, which changes
accuracy on the development tests by .002 at most and on sets of profiles by more: `python -m benchmarks.background`.

- `score`: the language model reads the cell's soft tokens and says one of the names. The soft tokens are codes of the
  candidates, mixed by the projector's attention among them and by marker evidence, whose weights are fitted.
  `nearest`: the nearest description in the space shared with text, markers added with a fitted weight. *No markers*:
  without evidence. *Not asked*: soft tokens that do not depend on the candidates, and no markers.
- `cascade`, the default of `annotate`: cosines, log-probabilities by the projector's attention, and markers, pooled;
  the language model reads the cells whose label its word could change, none where its weight is 0. Without one of the
  sources (*no attention*, *no nearest*, *no markers*), the weights of the others stay as they were fitted. Cells a
  second are put together from the times of the parts.
- *Bypass head*: the classifier that the cell encoder was trained with, no language model; the same embedding.
- *Markers alone*: the evidence term by itself, from the pooled marker tables. It needs no training on cells beyond the
  genes' means and deviations, and counts as a peer.
- *Marker z-mean*, *score_genes*: the same tables (at most 50 markers of a label), against the other cells of the study:
  only these two see more than one cell at a time.
- *Logistic regression*, *CellTypist*, *PCA + kNN*, *scVI + kNN*: trained for each test on the real training cells that
  are of one of its candidates, through the ontology. They cannot call a label without reference cells.
- *Text only*: the same language model, adapted by LoRA to read as words the 30 genes of the cell that are
  furthest above what is usual for them.
- *Majority*: every cell is called the study's commonest label.
"""


def page(result: Result) -> str:
    """Write the page."""
    parts = [
        INTRODUCTION,
        sections.overview(result),
        sections.by_study(result),
        sections.against_peers(result),
        sections.commonest_mistakes(result),
        sections.controls(result),
        sections.text_only(result),
        sections.ablation(result),
        sections.left_out_types(result),
        sections.whole_body(result),
        sections.lineage_and_confidence(result),
        sections.references(result),
        sections.how(result),
    ]
    return "\n\n".join(part.strip() for part in parts if part) + "\n"


def write_page(result: Result, path: Path) -> None:
    """Write the page to a file."""
    path.write_text(page(result), encoding="utf-8")
