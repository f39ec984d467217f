"""Sections of the documentation page, each a table with the sentence that says how to read it."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from benchmarks.annotation_parts.tables import (
    ABLATION,
    CONTROLS,
    GROUPS,
    OWN,
    Result,
    best_peer_of_group,
    differences,
    losses,
    markdown,
    methods,
    points,
    share,
    studies,
    summary,
    value,
    whole,
)

PAIR = ("accuracy", "macro_f1")


def _groups(result: Result) -> list[str]:
    return [group for group in GROUPS if studies(result, group)]


def _pair(result: Result, study: str, method: str) -> str:
    found = [value(result, study, method, key) for key in PAIR]
    return "–" if found[0] is None else "/".join(map(share, found))


def _means(result: Result, group: str, method: str) -> str:
    found = [summary(result, studies(result, group), method, key) for key in PAIR]
    return "–" if found[0] is None else "/".join(map(share, found))


def overview(result: Result) -> str:
    """Means over studies, speed and memory."""
    groups, everything = _groups(result), list(result["tests"])
    columns = ["method", *(f"{GROUPS[group]} ({len(studies(result, group))})" for group in groups)]
    rows = [
        [
            method,
            *(_means(result, group, method) for group in groups),
            whole(summary(result, everything, method, "cells_per_second", np.median)),
            whole(summary(result, everything, method, "added_mb", max)),
        ]
        for method in methods(result)
    ]
    table = markdown([*columns, "cells/s", "memory added, MB"], rows)
    return (
        "## In one table\n\nAccuracy/macro-F1, means over studies. Cells per second are of prediction only, from "
        "counts to calls, the median over studies; the memory is the most that the process grew by while the method "
        "ran.\n\n" + table
    )


def by_study(result: Result) -> str:
    """Accuracy/macro-F1 of every method on every study."""
    out = ["## Study by study\n\nAccuracy/macro-F1."]
    for group in _groups(result):
        names = studies(result, group)
        rows = [[method, *(_pair(result, name, method) for name in names)] for method in methods(result)]
        out.append(f"### {GROUPS[group].capitalize()}\n\n" + markdown(["method", *(f"`{n}`" for n in names)], rows))
    return "\n\n".join(out)


def against_peers(result: Result) -> str:
    """Difference to the best peer on each study, and what loses where."""
    out = [
        "## Against the best peer, and what loses where\n\nFor each study the peer that is best *there*: a bar that no "
        "single peer reaches on all. Differences in percentage points."
    ]
    for method in methods(result, OWN):
        held = {key: {row[0]: row for row in differences(result, method, key)} for key in PAIR}
        if not held["accuracy"]:
            continue
        rows = []
        for study, (_, own, peer, other, gap) in held["accuracy"].items():
            _, own_f1, peer_f1, other_f1, gap_f1 = held["macro_f1"][study]
            rows.append(
                [
                    *(f"`{study}`", share(own), f"{share(other)} ({peer})", points(gap)),
                    *(share(own_f1), f"{share(other_f1)} ({peer_f1})", points(gap_f1)),
                ]
            )
        columns = ["study", "accuracy", "best peer", "difference", "macro-F1", "best peer", "difference"]
        out.append(f"### {method}\n\n" + markdown(columns, rows))
        for group in _groups(result):
            for key, word in zip(PAIR, ("accuracy", "macro-F1"), strict=True):
                peer_of_all = best_peer_of_group(result, group, key)
                mean = summary(result, studies(result, group), method, key)
                if peer_of_all and mean is not None:
                    name, best = peer_of_all
                    out.append(
                        f"{GROUPS[group].capitalize()}, mean {word}: {share(mean)}; best single peer {name}, "
                        f"{share(best)}: {points(mean - best)} points."
                    )
        below = losses(result, method, "accuracy")
        listed = [f"- `{study}`: {peer} {share(other)}, `{method}` {share(own)}" for study, peer, own, other in below]
        counted = "No peer has a higher accuracy on any study." if not below else "Peers with a higher accuracy:"
        out.append("\n".join([counted, "", *listed]).strip())
    return "\n\n".join(out)


def commonest_mistakes(result: Result) -> str:
    """Say which labels are taken for which, and what spoke for the wrong one."""
    rows = []
    for name, one in result["tests"].items():
        for row in one.get("mistakes") or []:
            nats = [f"{row[source]:+.1f}".replace("-", "−") for source in ("attention", "nearest", "markers")]
            genes = ", ".join(row["genes"]) or "–"
            rows.append([f"`{name}`", row["true"], row["called"], f"{row['cells']} of {row['of']}", *nats, genes])
    if not rows:
        return ""
    columns = ["study", "cells are", "called", "cells", "attention", "nearest", "markers", "genes that say so"]
    return (
        "## Why cells are called wrongly\n\nThe commonest confusions of `cascade` on each study. *Attention*, "
        "*nearest* and *markers*: by how many nats the source prefers the wrong name to the right one, the mean over "
        "these cells, as the pool weighs it; above zero it misleads, below zero it was outvoted. *Genes*: whose values "
        "add most to what markers say for the wrong name. What is behind them is told in `benchmarks/README.md`, "
        '"What goes wrong".\n\n' + markdown(columns, rows)
    )


def controls(result: Result) -> str:
    """Score on other cells' inputs and on zeros."""
    if not methods(result, ["score, no markers, embedding shuffled"]):
        return ""
    names = list(result["tests"])
    rows = []
    for name in names:
        chance = value(result, name, "score, no markers, embedding shuffled", "by_chance")
        rows.append([f"`{name}`", *(share(value(result, name, one, "accuracy")) for one in CONTROLS), share(chance)])
    return (
        "## Controls: is it the embedding that is read?\n\nAccuracy. *Shuffled*: the model is asked about the inputs "
        "of other cells of the study. *Embedding alone shuffled* keeps each cell's own marker evidence, and shows what "
        "it carries. *Zeroed*: one embedding of zeros for all. *By chance*: what the calls on shuffled embeddings "
        "would score if dealt at random, the sum over labels of their share of calls times their share of cells.\n\n"
        + markdown(["study", *CONTROLS, "by chance"], rows)
    )


BESIDE_TEXT = ("score", "cascade")


def text_only(result: Result) -> str:
    """Set the language model on gene names beside `score` and the default."""
    rows = []
    for name, one in result["tests"].items():
        if text := one["methods"].get("text only"):
            row = [f"`{name}`", text["cells"], share(text["accuracy"]), whole(text["cells_per_second"])]
            for method in BESIDE_TEXT:
                if own := one["methods"].get(method):
                    times = own["cells_per_second"] / text["cells_per_second"]
                    row += [points(own["accuracy"] - text["accuracy"]), f"{times:,.0f}"]
                else:
                    row += ["–", "–"]
            rows.append(row)
    if not rows:
        return ""
    columns = ["study", "cells read as text", "accuracy", "cells/s"]
    columns += [part for method in BESIDE_TEXT for part in (f"`{method}`, points more", "times as fast")]
    trained = [
        [
            *(fold, f"{held['tokens']:,}", f"{held['token_budget']:,}", f"{held['examples']:,}"),
            *(held["seconds"], held["first_loss"], held["last_loss"], held.get("guess_loss", "–")),
        ]
        for fold, held in result["text"].items()
    ]
    return (
        "## The same language model on gene names\n\nIt is trained with the projector's cells, candidate sets and "
        "loss, up to the projector's number of tokens or the time given, whichever comes first, and scored on a "
        "sub-sample of the cells (`score` and `cascade` on all).\n\n"
        + markdown(columns, rows)
        + "\n\nIts training; *guess* is the loss of the last batches had all their candidates been equally likely:\n\n"
        + markdown(
            ["training without", "tokens", "of", "examples", "seconds", "first loss", "last loss", "guess"], trained
        )
    )


def ablation(result: Result) -> str:
    """Show what encoder, language model, shared space and markers add."""
    groups = _groups(result)
    rows = [[method, *(_means(result, group, method) for group in groups)] for method in methods(result, ABLATION)]
    out = (
        "## What each part adds\n\nAccuracy/macro-F1, means over studies. The head is the encoder alone; `score` puts "
        "the language model in its place, `nearest` the space shared with text.\n\n"
        + markdown(["method", *(GROUPS[group] for group in groups)], rows)
    )
    held = result.get("ablations") or {}
    if held:
        names = studies(result, "development")
        rows = [
            [checkpoint, method, *("/".join(share(tests[name][method][key]) for key in PAIR) for name in names)]
            for checkpoint, tests in held.items()
            for method in ABLATION
        ]
        out += "\n\nOther checkpoints:\n\n" + markdown(["checkpoint", "method", *(f"`{n}`" for n in names)], rows)
    return out


def left_out_types(result: Result) -> str:
    """Recall of labels that were never trained."""
    held = result.get("left_out_types") or []
    if not held:
        return ""
    ways = list(held[0]["recall"])
    recall = [
        [
            row["name"],
            f"`{row['study']}`",
            row["cells"],
            *(share(row["recall"][way]) for way in ways),
            share(row["chance"]),
        ]
        for row in held
    ]
    mean = {way: float(np.mean([row["recall"][way] for row in held])) for way in ways}
    chance = float(np.mean([row["chance"] for row in held]))
    recall.append(["mean", "", "", *(share(mean[way]) for way in ways), share(chance)])
    change = [
        [row["name"], f"`{row['study']}`", share(row["full_recall"]["score"])]
        + [points(row["others_change"][way]) for way in ways]
        for row in held
    ]
    change.append(
        ["mean", "", ""] + [points(float(np.mean([row["others_change"][way] for row in held]))) for way in ways]
    )
    return (
        "## Labels never trained\n\nModels trained without any cell or profile of some types, asked about development "
        "tests that have them. Recall of the untrained label among all of the study's candidates; *chance* is one over "
        "their number.\n\n"
        + markdown(["untrained label", "study", "cells", *ways, "chance"], recall)
        + "\n\nMean change of the other labels' recall against the model that was trained on all types, in points, "
        "beside that model's recall of the label:\n\n"
        + markdown(["untrained label", "study", "recall when trained, `score`", *ways], change)
    )


def whole_body(result: Result) -> str:
    """Accuracy and macro-F1 on sets of profiles that a training left out."""
    body = result.get("body")
    if not body:
        return ""
    ways = list(next(iter(body.values()))["methods"])
    pairs = {name: [[one["methods"][way][key] for key in PAIR] for way in ways] for name, one in body.items()}

    def cells(row: Iterable[Iterable[float]]) -> list[str]:
        return ["/".join(map(share, pair)) for pair in row]

    rows = [[name, one["cells"], len(one["candidates"]), *cells(pairs[name])] for name, one in body.items()]
    rows.append(["mean", "", "", *cells(np.mean(list(pairs.values()), axis=0))])
    return (
        "## Tissues of the whole body, simulated\n\nCells simulated from sets of published profiles, with a model "
        "trained without these sets, and weights fitted without the set at hand. They are **not cells**: they have the "
        "noise of counts and what parts one laboratory's protocol and naming from another's, and none of what varies "
        "within a type. The weights of what the default pools are fitted on these sets and on left-out studies; how "
        "sure to be, on studies alone.\n\n" + markdown(["set", "cells", "candidates", *ways], rows)
    )


def lineage_and_confidence(result: Result) -> str:
    """Lineage accuracy and calibration error."""
    groups = _groups(result)
    rows = [
        [method]
        + [
            share(summary(result, studies(result, group), method, key))
            for group in groups
            for key in ("lineage_accuracy", "ece")
        ]
        for method in methods(result)
    ]
    columns = [f"{word}, {GROUPS[group]}" for group in groups for word in ("lineage", "calibration error")]
    return (
        "## Lineage and confidence\n\n*Lineage*: a call counts when its term is the true one, lies within it or holds "
        "it, by the ontology's `is_a` closure; it exceeds accuracy only where a study's labels lie within one another. "
        "*Calibration error*: mean gap between confidence and accuracy over ten equal bins of confidence; none for "
        "methods without probabilities. CellTypist's one-against-rest probabilities are brought to a sum of one.\n\n"
        + markdown(["method", *columns], rows)
    )


def references(result: Result) -> str:
    """Say what the peers could learn from."""
    rows = []
    for name, one in result["tests"].items():
        held = one.get("reference")
        if held:
            called = dict(zip(one["candidates"], one["names"], strict=True))
            missing = ", ".join(called[i] for i in held["missing"]) or "none"
            rows.append([f"`{name}`", one["cells"], len(called), held["cells"], held["genes"], missing])
    if not rows:
        return ""
    columns = ["study", "cells", "candidates", "reference cells", "shared genes", "candidates without reference cells"]
    return (
        "## References\n\nReal training cells that are of one of the candidates or lie within it, a bounded number of "
        "each label of each study. Where candidates have none, peers that learn from cells lose them all; the model "
        "has them from published profiles and markers.\n\n" + markdown(columns, rows)
    )


def how(result: Result) -> str:
    """Command, budget and machine."""
    budget, machine = result["budget"], result["machine"]
    rows = [[key.replace("_", " "), str(held) if held != [] else "none"] for key, held in {**budget, **machine}.items()]
    return (
        "## How it was run\n\n`python -m benchmarks.annotation`, "
        f"{result['seconds']:,} s. One seed: differences of a point or two between methods are within what "
        "another seed or sub-sample changes.\n\n" + markdown(["setting", "value"], rows)
    )
