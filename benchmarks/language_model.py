"""What the language model's word adds, and where: `python -m benchmarks.language_model`.

Each task is done without its word and with it, and by its word alone: from soft tokens that depend on the cell only,
from candidate tokens (codes of the candidates, mixed by what the projector's attention already decided), from soft
tokens of other cells, and by the same language model reading the names of the cell's top genes in place of soft tokens.
*With* is the pool of all other sources and its word, whose weight is fitted on the other studies by likelihood, so that
a word that says nothing new gets the weight 0. Intervals are Wilson's 95 % (cells of one study are not independent:
true ones are wider). Prints tables, writes `results/language_model.json`; `--docs` writes the page from that file.
"""

from __future__ import annotations

import argparse
import json
import os
import time
import warnings
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.special import log_softmax

import scbioverse as sb
from benchmarks.annotation_parts.text_only import N_GENES, _padded, _Words, top_genes, usual_share
from benchmarks.language_model_parts.groups import BOTH, adapter_task, group_ways, with_its_word
from benchmarks.language_model_parts.page import write_page
from benchmarks.language_model_parts.reasons import reasons, times
from benchmarks.language_model_parts.studies import STUDIES, Asked, accordion, read
from benchmarks.ontology import kinship
from recipes.bioverse_small.group_words import genes_of_group, mean_share
from scbioverse.knowledge import load_ontology
from scbioverse.knowledge.ontology import canonical_phrase
from scbioverse.llm.prefix import PrefixCache
from scbioverse.llm.score import LabelTrie, score_labels
from scbioverse.predict.candidates import read_labels
from scbioverse.predict.free_text import generate_labels

RESULTS = Path(__file__).parent / "results" / "language_model.json"
PAGE = Path(__file__).parents[1] / "docs" / "language_model.md"
GROUP_GENES = 8
Counts = dict[str, list[int]]


def annotated(asked: Asked, model: Any, **options: Any) -> np.ndarray:
    """Log-probabilities (n, m) that `annotate` writes."""
    sb.tl.annotate(asked.adata, model=model, rationale=None, **options)
    return np.asarray(asked.adata.obsm["bioverse_scores"], np.float64)


def in_words(asked: Asked, model: Any, texts: list[str], usual: np.ndarray, *, rows: np.ndarray) -> np.ndarray:
    """Log-probabilities (n, m) of names by the language model as it was published, from the names of top genes.

    Less those that it gives without any genes: else it calls everything what it likes best to say.
    """
    backbone = model.backbone
    words = _Words(backbone, list(asked.adata.var_names))
    prefix = PrefixCache(backbone, backbone.embed_tokens(torch.tensor(words.before)))
    trie = LabelTrie([model.reader.answer_ids(one) for one in texts])
    chosen = [*top_genes(asked.adata.X[rows].toarray(), usual, N_GENES // 2), np.array([], int)]
    embeds, mask = _padded(backbone, [words.suffix(one) for one in chosen])
    with torch.inference_mode():
        said = score_labels(backbone, prefix, embeds, trie, attention_mask=mask, batch_size=16)
    return log_softmax(said[:-1].astype(np.float64) - said[-1].astype(np.float64), axis=1)


def called(asked: Asked, model: Any, seed: int) -> dict[str, np.ndarray]:
    """Log-probabilities (n, m) of the study's labels, by way."""
    labels = {canonical_phrase(one): one for one in asked.terms}
    rng = np.random.default_rng(seed)
    found = {"without": annotated(asked, model, labels=labels)}
    found["candidate tokens"] = annotated(asked, model, labels=labels, method="score", markers=False)
    texts = read_labels(labels, model).texts
    values = np.asarray(asked.adata.obsm["X_bioverse"], np.float32).reshape(asked.adata.n_obs, 1, -1)
    found["own soft tokens"] = model.score(values, texts, progress=False)
    found["shuffled"] = model.score(values[rng.permutation(len(values))], texts, progress=False)
    usual = usual_share(asked.adata.X)
    found["gene words"] = in_words(asked, model, texts, usual, rows=np.arange(asked.adata.n_obs))
    return found


def labels_task(studies: dict[str, Asked], model: Any, seed: int) -> dict[str, Any]:
    """Call cells by their study's own labels: types that some training cell or profile had, and others."""
    every = {name: called(one, model, seed) for name, one in studies.items()}
    truth = {name: one.truth for name, one in studies.items()}
    known = set(model.config.encoders["cell"].terms or ())
    joined = with_its_word(every, truth, "own soft tokens")
    for name, scores in joined["scores"].items():
        every[name]["with"] = scores
    tasks: dict[str, Any] = {}
    for task, wanted in (("trained labels", True), ("labels never trained", False)):
        counts: Counts = defaultdict(lambda: [0, 0])
        for name, one in studies.items():
            rows = np.array([one.terms[i] in known for i in one.truth]) == wanted
            for way, scores in every[name].items():
                counts[way][0] += int((scores.argmax(1) == one.truth)[rows].sum())
                counts[way][1] += int(rows.sum())
        types = {one.terms[i] for one in studies.values() for i in one.truth} & known if wanted else {
            one.terms[i] for one in studies.values() for i in one.truth} - known  # fmt: skip
        tasks[task] = {"counts": counts, "unit": "cells", "types": len(types)}
    tasks["trained labels"]["weights of its word"] = joined["weights"]
    return tasks


def free_task(studies: dict[str, Asked], model: Any, most: int, seed: int) -> dict[str, Any]:
    """Name single cells freely: what the language model writes, and the pool over the model's own vocabulary."""
    counts: Counts = defaultdict(lambda: [0, 0])
    vocabulary = {canonical_phrase(one): one for one in model.config.default_labels}
    rng = np.random.default_rng(seed)
    for one in studies.values():
        rows = np.sort(rng.permutation(one.adata.n_obs)[:most])
        part = Asked(one.name, one.adata[rows].copy(), one.terms, one.truth[rows])
        truth = [part.terms[i] for i in part.truth]
        ids = list(vocabulary.values())
        best = [ids[i] for i in annotated(part, model, labels=vocabulary).argmax(1)]
        values = np.asarray(part.adata.obsm["X_bioverse"], np.float32).reshape(len(rows), 1, -1)
        written = generate_labels(model, values)
        names = [written.labels[code].cl_id or "" for code in written.codes]
        dealt = [names[i] for i in rng.permutation(len(names))]
        for way, calls in {"without": best, "own soft tokens": names, "shuffled": dealt}.items():
            add(counts[way], [kinship(a, b) != "other" for a, b in zip(calls, truth, strict=True)])
    return {"free names": {"counts": counts, "unit": "cells"}}


def descriptions_task(studies: dict[str, Asked], model: Any) -> dict[str, Any]:
    """Call cells by the ontology's definitions, with labels that say nothing ("type 3")."""
    counts: Counts = defaultdict(lambda: [0, 0])
    ontology = load_ontology()
    for one in studies.values():
        said = [ontology.term(term).definition or canonical_phrase(term) for term in one.terms]
        labels = {f"type {i}": text for i, text in enumerate(said)}
        if len(set(said)) < len(said):
            continue
        # What annotate makes of descriptions by default rests on the space of the language model's representations.
        scores = annotated(one, model, labels=labels, method="nearest")
        add(counts["with"], scores.argmax(1) == one.truth)
        add(counts["shuffled"], np.random.default_rng(0).permutation(scores.argmax(1)) == one.truth)
        add(counts["candidate tokens"], annotated(one, model, labels=labels, method="score").argmax(1) == one.truth)
    return {"descriptions as labels": {"counts": counts, "unit": "cells"}}


def groups_task(studies: dict[str, Asked], model: Any, seed: int) -> dict[str, Any]:
    """Name groups without a list, and among the study's labels from soft tokens, words of top genes, or both."""
    free: Counts = defaultdict(lambda: [0, 0])
    every: dict[str, dict[str, np.ndarray]] = {}
    truth: dict[str, np.ndarray] = {}
    vocabulary = {canonical_phrase(one): one for one in model.config.default_labels}
    for one in studies.values():
        used = np.unique(one.truth)
        one.adata.obs["group"] = pd.Categorical([f"g{i}" for i in one.truth])
        first = [int(np.flatnonzero(one.truth == i)[0]) for i in used]
        want = [one.terms[i] for i in used]
        sb.tl.annotate(one.adata, model=model, method="generate", groupby="group", rationale=None)
        names = one.adata.obs["bioverse_cl_id"].astype(str).to_numpy()[first]
        ids = list(vocabulary.values())
        best = [ids[i] for i in annotated(one, model, labels=vocabulary, groupby="group")[first].argmax(1)]
        dealt = np.random.default_rng(seed).permutation(names)
        values = np.asarray(one.adata.obsm["X_bioverse"], np.float32).reshape(one.adata.n_obs, 1, -1)
        means = np.stack([values[one.truth == i].mean(0) for i in used])
        written = generate_labels(model, means)
        alone = [written.labels[code].cl_id or "" for code in written.codes]
        ways = {"without": best, "with": names, "own soft tokens": alone, "shuffled": dealt}
        for way, calls in ways.items():
            add(free[way], [kinship(a, b) != "other" for a, b in zip(calls, want, strict=True)])
        labels = {canonical_phrase(term): term for term in one.terms}
        pooled = annotated(one, model, labels=labels, groupby="group")[first]
        said = words_with_fractions(one, used)
        every[one.name] = {"without": pooled, **group_ways(model.text_writer, means, said, list(labels))}
        truth[one.name] = used
    joined = with_its_word(every, truth, BOTH)
    counts: Counts = defaultdict(lambda: [0, 0])
    for name, scores in joined["scores"].items():
        for way, said in {**every[name], "with": scores}.items():
            add(counts[way], said.argmax(1) == truth[name])
    among = {"counts": counts, "unit": "groups", "weights of its word": joined["weights"]}
    return {"group names without a list": {"counts": free, "unit": "groups"}, "groups, labels given": among}


def words_with_fractions(one: Asked, used: np.ndarray) -> list[str]:
    """Say each group's top genes with the share of cells that show them, as the model's own adapter learned to read."""
    usual = mean_share(one.adata.X)
    said = []
    for i in used:
        chosen, share = genes_of_group(one.adata.X[np.flatnonzero(one.truth == i)], usual, GROUP_GENES)
        named = [f"{one.adata.var_names[g]} ({n:.0%})".replace("%", " %") for g, n in zip(chosen, share, strict=True)]
        said.append(", ".join(named) + ".")
    return said


def from_annotation(result: dict[str, Any]) -> dict[str, Any]:
    """Take over what `python -m benchmarks.annotation` measured: studies and types that a training left out."""
    methods = {
        "without": "cascade",
        "own soft tokens": "score, no markers, not asked",
        "candidate tokens": "score, no markers",
        "shuffled": "score, no markers, embedding shuffled",
        "gene words": "text only",
    }
    studies: Counts = defaultdict(lambda: [0, 0])
    types: Counts = defaultdict(lambda: [0, 0])
    for test in result["tests"].values():
        for way, method in methods.items():
            if test["group"] == "left out" and (row := test["methods"].get(method)):
                n = row.get("cells") or test["cells"]
                studies[way] = [studies[way][0] + round(row["accuracy"] * n), studies[way][1] + n]
    for row in result["left_out_types"]:
        for way, method in methods.items():
            if method in row["recall"]:
                n = row["cells"]
                types[way] = [types[way][0] + round(row["recall"][method] * n), types[way][1] + n]
    return {
        "studies left out of the training": {"counts": studies, "unit": "cells"},
        "types left out of the training": {"counts": types, "unit": "cells"},
    }


def questions(result: dict[str, Any]) -> dict[str, int]:
    """Add up what `python -m benchmarks.ask --reader rules` counted."""
    return {name: sum(one[name] for one in result.values()) for name in ("right", "questions")}


def add(counts: list[int], right: Any) -> None:
    """Count right answers and all."""
    counts[0] += int(np.sum(right))
    counts[1] += len(right)


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--model", default="bioverse-small")
    parser.add_argument("--max-cells", type=int, default=100, help="of a study")
    parser.add_argument("--written", type=int, default=30, help="cells of a study that free names are written for")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", choices=["labels", "free", "descriptions", "groups", "reasons", "times"])
    parser.add_argument("--groups-adapter", type=Path, help="measure, and nothing else, what recipes.group_words wrote")
    parser.add_argument("--output", type=Path, default=RESULTS)
    parser.add_argument("--docs", action="store_true", help="write the page from the JSON file; measure nothing")
    args = parser.parse_args()
    if args.docs:
        write_page(json.loads(args.output.read_text()), PAGE)
        print(f"{PAGE} written from {args.output}")
        return
    sb.settings.progress = False
    warnings.simplefilter("ignore")
    model = sb.models.load(args.model)
    studies = {name: read(name, args.max_cells, args.seed) for name in STUDIES}
    steps = {
        "labels": lambda: labels_task(studies, model, args.seed),
        "free": lambda: free_task(studies, model, args.written, args.seed),
        "descriptions": lambda: descriptions_task(studies, model),
        "groups": lambda: groups_task(studies, model, args.seed),
        "reasons": lambda: reasons(model, accordion(), args.seed),
        "times": lambda: times(model),
    }
    result = (
        json.loads(args.output.read_text())
        if (args.only or args.groups_adapter) and args.output.exists()
        else {"tasks": {}}
    )
    result |= {"model": args.model, "fingerprint": model.fingerprint(), "cells of a study": args.max_cells}
    result |= {"studies": {name: one.adata.n_obs for name, one in studies.items()}, "load": os.getloadavg()[0]}
    if args.groups_adapter is not None:
        result["adapter for groups"] = adapter_task(studies, model, args.groups_adapter, args.seed)
        args.output.write_text(json.dumps(result, indent=1) + "\n")
        print(json.dumps(result["adapter for groups"]["kinds"], indent=1))
        return
    for name, step in steps.items():
        if args.only and name not in args.only:
            continue
        began = time.perf_counter()
        result["tasks"] |= step()
        args.output.write_text(json.dumps(result, indent=1) + "\n")
        print(f"{name}: {time.perf_counter() - began:.0f} s", flush=True)
    results = RESULTS.parent
    result["tasks"] |= from_annotation(json.loads((results / "annotation.json").read_text()))
    result["questions"] = questions(json.loads((results / "ask_rules.json").read_text()))
    args.output.write_text(json.dumps(result, indent=1) + "\n")
    for task, one in result["tasks"].items():
        print(task, {way: f"{k}/{n}" for way, (k, n) in one.get("counts", {}).items()} or one, sep="\n  ")


if __name__ == "__main__":
    main()
