"""The page, written from the results file: every figure comes from there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import norm

Result = dict[str, Any]
# Columns of the table: what was asked.
WAYS = {
    "without": "all other sources, without its word",
    "with": "with its word",
    "own soft tokens": "its word alone: soft tokens of the cell",
    "candidate tokens": "its word alone: candidate tokens",
    "shuffled": "soft tokens of other cells",
    "gene words": "its word alone: gene names in place of soft tokens",
}
# Of the adapter that reads groups: the same, in rows.
GROUP_WAYS = {
    "without": "all other sources, without its word",
    "with": "with its word, weight chosen on the other studies",
    "soft tokens and words": "its word alone: soft tokens and genes",
    "own soft tokens": "its word alone: soft tokens",
    "gene words": "its word alone: genes",
    "words, soft tokens shuffled": "genes, and soft tokens of another group",
    "soft tokens, words shuffled": "soft tokens, and genes of another group",
    "both shuffled": "both of another group",
}
GROUPS_MEAN = """
So its word adds nothing to the other sources here, and the adapter is not in the repository. What it says follows the
soft tokens: with those of another group it is wrong nearly always, whatever genes it reads, and the right genes add
next to nothing to the right soft tokens. Of genes alone it knows more than by chance, and far less than of soft tokens.
The other sources leave few groups to be made right, so that a small gain would not be seen.
"""
INTRODUCTION = """# What the language model's word adds

The language model of `bioverse-small`, SmolLM2-135M, does two things. It *reads texts*: the space in which labels and
cells are compared is made of its representations of descriptions, and a label that is only described could not be used
without it. And it *says* something: names of cells, groups, and which claims a reason names. This page measures the
second. It is written by `python -m benchmarks.language_model --docs` from
`benchmarks/results/language_model.json`.

{studies}; about as many cells of each label, at most {cells} in all; none was trained on. Each entry is a share of
right answers, with its 95 % interval by Wilson and the number asked. Cells of one study are not independent, so that
the true intervals are wider. An empty entry was not measured or has no meaning, and a row
that is explained below the table and not in it was not measured.

In short: its reading of descriptions is needed where a label is only described. What it *says* of a cell is worth less
than the other sources together, and beside them the fit gave it the weight 0 on every study."""


def interval(right: int, n: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson's interval of a share (Wilson 1927)."""
    z = float(norm.ppf(0.5 + level / 2))
    share, wide = right / n, z * z / n
    half = z * np.sqrt(share * (1 - share) / n + wide / (4 * n))
    return (share + wide / 2 - half) / (1 + wide), (share + wide / 2 + half) / (1 + wide)


def entry(counts: dict[str, list[int]], way: str) -> str:
    """Write one share with its interval."""
    if way not in counts or not counts[way][1]:
        return ""
    right, n = counts[way]
    low, high = interval(right, n)
    return f"{right / n:.2f} ({low:.2f}–{high:.2f}; {n})"


def table(result: Result) -> str:
    """Write the one table."""
    lines = ["| what is done | " + " | ".join(WAYS.values()) + " |", "| --- " * (len(WAYS) + 1) + "|"]
    for task, one in result["tasks"].items():
        if "counts" in one:
            lines.append(
                "| " + " | ".join([f"{task} ({one['unit']})", *(entry(one["counts"], w) for w in WAYS)]) + " |"
            )
    if asked := result.get("questions"):
        said = entry({"without": [asked["right"], asked["questions"]]}, "without")
        lines.append(f"| questions (answers) | {said} |" + " |" * (len(WAYS) - 1))
    return "\n".join(lines)


def write_page(result: Result, path: Path) -> None:
    """Write the page."""
    studies = result["studies"]
    parts = [
        INTRODUCTION.format(studies=", ".join(studies), cells=sum(studies.values())),
        table(result),
        HOW.strip(),
        reasons(result),
        times(result),
        adapter(result),
    ]
    path.write_text("\n\n".join(part for part in parts if part) + "\n", encoding="utf-8")


HOW = """
- *Trained labels*, *labels never trained*: each cell by itself, the study's labels as candidates; types that some cell
  or profile of the training had, and others. *Without* is the pool of nearness, attention and markers; *with* adds
  what it says from the cell's own soft tokens, with a weight that the other studies' likelihood chose, of 0 to 1.
- *Free names*: no list. Right is the expert's term, one within it, or a broader one that is not above 600 terms.
  *Without* is the pool over the model's own vocabulary.
- *Descriptions as labels*: each label is called "type 1", "type 2" and is said by the ontology's definition alone.
  *With* is nearness in its space, *candidate tokens* what it says itself.
- *Group names without a list*: *own soft tokens*: what it writes of a group's mean; *with*: it proposes names from the
  mean and from single cells, and the group's cells decide by the pool (`method="generate", groupby=`).
- *Groups, labels given*: the tuned language model is asked what the cells are, with soft tokens, with the names of the
  eight genes furthest above what is usual and their fractions, or with both; what it says of the average group is taken
  off. *With* adds what it says from both.
- *Studies*, *types left out of the training*: by [`python -m benchmarks.annotation`](benchmarks.md), each with a model
  trained without it. *Gene names*: the language model adapted by LoRA to read them, 60 cells of a study.
- *Reasons*: three of five tested claims are named. Right is a gene that is listed for the expert's type by marker
  tables which ours is not made of. *Without* is the template's order.
- *Gene names* of cells: the language model as it was published reads the 15 genes furthest above what is usual for
  them, and its word without any genes is taken off.
- *Questions*: read by rules alone. Right answers of `python -m benchmarks.ask --reader rules`.
"""


def adapter(result: Result) -> str:
    """Write what an adapter that learned to read groups is worth."""
    one = result.get("adapter for groups")
    if one is None:
        return ""
    learned, kinds = one["training"], one["kinds"]
    before, best = learned["before"], learned["best"]
    head = "| what is read | " + " | ".join(f"{kind} | nats" for kind in kinds) + " |"
    rows = []
    for way, name in GROUP_WAYS.items():
        cells = [
            f"{entry(kind['counts'], way)} | {kind['nats'][way]:.2f}" if way in kind["nats"] else " | "
            for kind in kinds.values()
        ]
        rows.append(f"| {name} | " + " | ".join(cells) + " |")
    said = []
    for kind, found in kinds.items():
        better, worse = found["made right, made wrong"]
        gain = found["nats"]["with"] - found["nats"]["without"]
        weights = sorted(set(found["weights"].values()))
        given = f"{weights[0]:g}" if len(weights) == 1 else f"{weights[0]:g} to {weights[-1]:g}"
        said.append(
            f"- *{kind.capitalize()}*: the weight that other studies chose is {given}; the word makes {better} right "
            f"that were wrong and {worse} wrong that were right, and adds "
            f"{gain:.3f} nats of likelihood a group."
        )
    return "\n\n".join(
        part
        for part in [
            "## An adapter that reads groups",
            f"An adapter (LoRA) was trained by `python -m recipes.bioverse_small.group_words` to read groups as soft "
            f"tokens and as the names of their {one['genes']} top genes: {learned['steps']} steps of "
            f"{learned['groups a step']} of {learned['groups']:,} groups, simulated from profiles of the whole body, "
            f"asked about among 4 to 16 terms. Its loss fell from {learned['loss, first 20']:.2f} to "
            f"{learned['loss, last 50']:.2f} nats, where guessing has {learned['guess, last 50']:.2f}. On "
            f"{learned['groups held back']} groups of six sets of profiles that it did not learn from (the encoder "
            f"knows them), it called {before['held_right']:.2f} right before and {best['held_right']:.2f} after "
            f"{best['step']} steps, which is the adapter that was measured; the loss fell from "
            f"{before['held_loss']:.2f} to {best['held_loss']:.2f}. It was then asked about the five studies, among "
            f"each study's labels. What it says of the average group is taken off.",
            "\n".join([head, "| --- " * (2 * len(kinds) + 1) + "|", *rows]),
            "\n".join(said),
            earlier(result.get("adapter for groups, genes ranked otherwise")),
            GROUPS_MEAN.strip(),
        ]
        if part
    )


def earlier(one: Result | None) -> str:
    """Write what was measured before this."""
    if one is None:
        return ""
    kind = one["kinds"]["groups of the experts"]
    told = {way: entry(kind["counts"], way) for way in ("soft tokens and words", "gene words", "with")}
    return (
        f"Another adapter was trained and measured before this one, for {one['steps']} steps. Its genes were ranked by "
        f"their mean over that of the cells that show them, which puts genes of nearly every cell before markers. "
        f"Of the experts' groups its word alone called {told['soft tokens and words']} right, genes alone "
        f"{told['gene words']}, and all sources with its word {told['with']}. The ranking was changed after its words "
        f"for these studies had been seen; weights, steps and candidates were not chosen by them."
    )


def reasons(result: Result) -> str:
    """Write what its choice of claims is worth."""
    one = result["tasks"].get("reasons")
    if one is None:
        return ""
    areas = one["area to the nearest group"]
    names = {
        "own soft tokens": "the language model", "shuffled": "before another group's cells",
        "without figures": "without the measured figures", "without": "the template's order",
        "strongest test": "the strongest test", "at random": "at random",
    }  # fmt: skip
    rows = [f"| {name} | {entry(one['counts'], way)} | {areas[way]:.3f} |" for way, name in names.items()]
    head = "| three of five claims, chosen by | listed for the type elsewhere | area to the nearest group |"
    head += "\n| --- | --- | --- |"
    return f"## Reasons\n\n{one['groups']} groups of the experts.\n\n" + "\n".join([head, *rows])


def times(result: Result) -> str:
    """Write what its wording costs."""
    one = result["tasks"].get("times")
    if one is None:
        return ""
    plain, worded = one["template"]["processor seconds"], one["group"]["processor seconds"]
    right, n = one["claims of our own sentences, supported by sb.explain.check"]
    return (
        f"`annotate` of pbmc3k takes {plain} processor seconds with the template and {worded} with the model's wording "
        f"of {one['group']['labels worded']} reasons, embedding included, on one thread; opening the language model, "
        f"once a process, {one['opening the language model, processor seconds']}. `sb.explain.check` calls {right} of "
        f"{n} claims of these sentences supported."
    )
