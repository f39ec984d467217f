"""Labels as people write them, against the terms that an expert chooses: `python -m benchmarks.labels`.

Four sets of labels: the authors' own names of colorectal and lymphoid organs, those of the other studies of the
registry, and two sets of lists in the style of published figures, whose terms were written down before any reading of
them was run. `lists/published_style.tsv` falls into two halves by turns: the tables of names were tuned on the first
alone. These halves and the tables were written by the same hand. `lists/other_authors.tsv` was written by four others,
one after the other, who saw neither tables nor code; `lists/other_authors_kept.tsv` holds lists of the last two that
nothing was tuned on.

A name is read right if it is the expert's term ("exact"; a list may allow several, and none where the name is no cell
type), and related if it is a direct parent or child, or else lies above or below. Controls: each name by itself,
without company; and each list with the names of another list around it, which company must not survive. Lists whose
title names an organ are read without and with it, as `annotate(tissue=)` hands it on, whole and by three names.

With `--model` the cells of colorectal and lymphoid organs are annotated, with the authors' own names as labels and with
the expert's ids for them; both calls are scored against the expert's id.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scbioverse.knowledge import Resolution, load_ontology, resolve_label, resolve_labels
from scbioverse.knowledge.names.resolver import organs_in

HERE = Path(__file__).parent
# Beside terms: an expert may as well say that the name is of no cell type.
NO_TERM = "-"
LISTS = HERE / "lists" / "published_style.tsv"
OTHER_AUTHORS, OTHER_AUTHORS_KEPT = HERE / "lists" / "other_authors.tsv", HERE / "lists" / "other_authors_kept.tsv"
RESULTS = HERE / "results" / "labels.json"
NEW_STUDIES = ("colorectal_scmetalink_2850_4047g", "lymphoid_organs_330")
Pairs = list[tuple[str, tuple[str, ...]]]
Read = Callable[[Sequence[str]], list[Resolution]]


def read_lists(path: Path = LISTS) -> dict[str, Pairs]:
    """Read lists of names with the ids that an expert would choose; no id for what is no cell type."""
    lists: dict[str, Pairs] = {}
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE):
            lists.setdefault(row["list"], []).append((row["name"], tuple(filter(None, row["cl_ids"].split("|")))))
    return lists


def study_lists(name: str) -> dict[str, Pairs]:
    """Read each study's own labels with the expert's ids, from a table in the cache folder."""
    lists: dict[str, Pairs] = {}
    with _cached(name).open(encoding="utf-8") as file:
        for row in csv.DictReader(file, delimiter="\t"):
            lists.setdefault(row["dataset"], []).append((row["label"], (row["cl_id"],) if row["cl_id"] else ()))
    return lists


def _cached(name: str) -> Path:
    return Path(os.environ.get("SCBIOVERSE_CACHE_DIR", "")) / "cells" / name


def kinship(found: str | None, wanted: tuple[str, ...]) -> str:
    """Return how a reading stands to the expert's terms: exact, near (a direct parent or child), related, other."""
    ontology = load_ontology()
    if found in wanted or (found is None and (not wanted or NO_TERM in wanted)):
        return "exact"
    wanted = tuple(one for one in wanted if one != NO_TERM)
    if found is None or not wanted:
        return "none" if found is None else "other"
    if any(one in (*ontology.parents(found), *ontology.children(found)) for one in wanted):
        return "near"
    return "related" if any(ontology.related(found, one) for one in wanted) else "other"


def alone(names: Sequence[str]) -> list[Resolution]:
    """Read each name by itself."""
    return [resolve_label(name) for name in names]


def figures(lists: dict[str, Pairs], read: Read, company: dict[str, list[str]] | None = None) -> dict[str, Any]:
    """Shares of names by kinship; and the names that were read as something else, by list.

    Parameters
    ----------
    lists
        What is read.
    read
        Reads names.
    company
        Names that are read beside those of each list, in place of the list's own company.
    """
    counts = dict.fromkeys(("exact", "near", "related", "other", "none"), 0)
    wrong: dict[str, list[str]] = {}
    for title, pairs in lists.items():
        names = [name for name, _ in pairs]
        # With foreign company each name is read without its own.
        found = read(names) if company is None else [read([name, *company[title]])[0] for name in names]
        for (name, wanted), one in zip(pairs, found, strict=True):
            kind = kinship(one.cl_id, wanted)
            counts[kind] += 1
            if kind in ("other", "none"):
                wrong.setdefault(title, []).append(f"{name} -> {one.term_label if one.cl_id else 'nothing'}")
    n = sum(counts.values())
    exact, near, related = (counts[kind] for kind in ("exact", "near", "related"))
    return {
        "lists": len(lists),
        "names": n,
        "exact": round(exact / n, 4),
        "exact_or_near": round((exact + near) / n, 4),
        "exact_or_related": round((exact + near + related) / n, 4),
        "wrong": wrong,
    }


def halves(lists: dict[str, Pairs]) -> tuple[dict[str, Pairs], dict[str, Pairs]]:
    """Part lists by turns: those that tables were tuned on, and those kept back."""
    turns: list[dict[str, Pairs]] = [{}, {}]
    for i, (title, pairs) in enumerate(lists.items()):
        turns[i % 2][title] = pairs
    return turns[0], turns[1]


def shifted(lists: dict[str, Pairs]) -> dict[str, list[str]]:
    """Give each list the names of one half-way round as its company."""
    titles = list(lists)
    half = len(titles) // 2
    return {title: [name for name, _ in lists[titles[(i + half) % len(titles)]]] for i, title in enumerate(titles)}


def accuracy(study: str, model: str, max_cells: int, seed: int) -> dict[str, Any]:
    """Share of cells called by the expert's term, with the authors' names and with the expert's ids as candidates."""
    import anndata as ad

    import scbioverse as sb

    adata = ad.read_h5ad(_cached(f"{study}.h5ad"))
    wanted = {name: ids[0] for name, ids in study_lists("label_to_cl_added.tsv")[study] if ids}
    adata = adata[adata.obs["cell_type"].isin(list(wanted)).to_numpy()]
    keep = np.sort(np.random.default_rng(seed).permutation(adata.n_obs)[:max_cells])
    adata = adata[keep].copy()
    names = adata.obs["cell_type"].astype(str).to_numpy()
    truth = np.array([wanted[name] for name in names])
    out: dict[str, Any] = {"cells": int(adata.n_obs), "majority": round(_share(truth), 4)}
    sb.tl.embed(adata, model=model)
    for title, labels in (("authors_names", sorted(wanted)), ("experts_terms", sorted(set(wanted.values())))):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given: Any = labels if title == "authors_names" else {one: one for one in labels}
            sb.tl.annotate(adata, model=model, labels=given, rationale=None)
        called = adata.obs["bioverse_label"].astype(str)
        # The label that the authors gave the cell, or another that means the same term.
        mine = called.map(wanted).to_numpy() if title == "authors_names" else called.to_numpy()
        out[title] = round(float((mine == truth).mean()), 4)
    return out


def organ_in(title: str) -> str:
    """Words of a list's title that name an organ, as they would be given by `tissue=`; "" where none does."""
    words = title.lower().replace("_", " ")
    return words if organs_in(words) else ""


def told(lists: dict[str, Pairs], *, most: int | None = None) -> dict[str, dict[str, Any]]:
    """Figures of the lists whose title names an organ, without it and with it; cut into lists of `most` names."""
    parts: dict[str, dict[str, Pairs]] = {}
    for title, pairs in lists.items():
        if organ := organ_in(title):
            size = most or len(pairs)
            cut = {f"{title} {at}": pairs[at : at + size] for at in range(0, len(pairs), size)}
            parts.setdefault(organ, {}).update(cut)
    plain = figures({name: pairs for own in parts.values() for name, pairs in own.items()}, resolve_labels)
    each = [figures(own, partial(resolve_labels, context=organ)) for organ, own in parts.items()]
    known = {"lists": plain["lists"], "names": plain["names"]} | {
        name: round(sum(one[name] * one["names"] for one in each) / plain["names"], 4)
        for name in ("exact", "exact_or_near", "exact_or_related")
    }
    plain.pop("wrong")
    return {"together": plain, "organ told": known}


def _share(values: np.ndarray) -> float:
    return float(np.unique(values, return_counts=True)[1].max() / len(values))


def measure(model: str | None, max_cells: int, seed: int) -> dict[str, Any]:
    """All figures."""
    tuned, kept = halves(read_lists())
    added, other = study_lists("label_to_cl_added.tsv"), study_lists("label_to_cl.tsv")
    sets = {
        "colorectal and lymphoid organs": {name: added[name] for name in NEW_STUDIES},
        "other studies": other | {name: pairs for name, pairs in added.items() if name not in NEW_STUDIES},
        "published style, tuned on": tuned,
        "published style, kept back": kept,
        "other authors, tuned on": read_lists(OTHER_AUTHORS),
        "other authors, kept back": read_lists(OTHER_AUTHORS_KEPT),
    }
    out: dict[str, Any] = {"sets": {}}
    for title, lists in sets.items():
        rows = {"together": figures(lists, resolve_labels), "each alone": figures(lists, alone)}
        rows["in another's company"] = figures(lists, resolve_labels, shifted(lists))
        for row in (rows["each alone"], rows["in another's company"]):
            row.pop("wrong")
        if title.endswith("kept back"):
            # Nobody looks at these while the tables are tuned: only how many a list has.
            rows["together"]["wrong"] = {name: len(names) for name, names in rows["together"]["wrong"].items()}
        out["sets"][title] = rows
    for title, lists in (("organ in the title, tuned on", tuned), ("organ in the title, kept back", kept)):
        out["sets"][title] = told(lists)
        out["sets"][f"{title}, by threes"] = told(lists, most=3)
    if model is not None:
        out["accuracy"] = {study: accuracy(study, model, max_cells, seed) for study in NEW_STUDIES}
    return out


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", help="annotate with this model, too")
    parser.add_argument("--max-cells", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    found = measure(args.model, args.max_cells, args.seed)
    print(f"{'':44}{'':24}{'names':>6}{'exact':>8}{'+near':>8}{'+related':>9}")
    for title, rows in found["sets"].items():
        for way, row in rows.items():
            print(
                f"{title:44}{way:24}{row['names']:6}{row['exact']:8.3f}{row['exact_or_near']:8.3f}"
                f"{row['exact_or_related']:9.3f}"
            )
    for study, row in found.get("accuracy", {}).items():
        print(study, json.dumps(row))
    args.output.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
