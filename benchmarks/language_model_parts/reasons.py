"""The language model's choice of claims, beside the strongest test, the template's order, and chance.

On half of a study's cells the markers of each expert group are tested and five are offered; three are named. A gene is
right where a marker table that ours is not made of lists it for the expert's type. On the other half it is measured how
well the named genes (their mean z-score) tell the group from the one that is told from it worst, as area under the
curve.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import Any

import numpy as np
from scipy.stats import rankdata

import scbioverse as sb
from benchmarks.language_model_parts.studies import STUDIES, read
from scbioverse.explain.expression import InMemory, MeasuredCells
from scbioverse.explain.reasons import MOST_OFFERED, MOST_SAID, Asked, Wording
from scbioverse.explain.support import evidence_of, worth_naming
from scbioverse.knowledge.ontology import canonical_phrase

LEAST_CELLS, LEAST_LISTED, DRAWS = 10, 5, 30
LABELS = ["B", "CD14+ Mono", "CD8 T", "DC", "FCGR3A+ Mono", "Memory CD4 T", "NK", "Naive CD4 T", "Platelet"]


def area(values: np.ndarray, inside: np.ndarray) -> float:
    """Probability that a value inside exceeds one outside."""
    n, m = inside.sum(), (~inside).sum()
    return float((rankdata(values)[inside].sum() - n * (n + 1) / 2) / (n * m))


def reasons(model: Any, listed: dict[str, set[str]], seed: int) -> dict[str, Any]:
    """Name three of five genes of each expert group in several ways."""
    counts: dict[str, list[int]] = defaultdict(lambda: [0, 0])
    nearest: dict[str, list[float]] = defaultdict(list)
    rng = np.random.default_rng(seed)
    for name in STUDIES:
        one = read(name, None, seed)
        sb.tl.embed(one.adata, model=model)
        values = np.asarray(one.adata.obsm["X_bioverse"], np.float32).reshape(one.adata.n_obs, 1, -1)
        half = rng.random(one.adata.n_obs) < 0.5
        large = [i for i in range(len(one.terms)) if (one.truth == i).sum() >= LEAST_CELLS]
        cells, wording = MeasuredCells(one.adata), Wording(model, values)
        tested = InMemory(cells.expression, np.where(half, one.truth, -1), len(one.terms))
        evidence = evidence_of(tested, range(len(one.terms)), dict(enumerate(one.terms)))
        for code in large:
            rows = evidence[evidence["group"] == code]
            offered = worth_naming(rows, most=MOST_OFFERED).claims[:MOST_OFFERED]
            known = listed.get(one.terms[code], set())
            if len(offered) < MOST_OFFERED or len(known) < LEAST_LISTED:
                continue
            genes = [claim.gene for claim in offered]
            other = large[(large.index(code) + 1) % len(large)]
            label, mine, theirs = (
                canonical_phrase(one.terms[code]),
                half & (one.truth == code),
                half & (one.truth == other),
            )
            asked = [Asked(mine, label, offered), Asked(theirs, label, offered)]
            (own, shuffled), (plain,) = wording.weigh(asked), wording.weigh(asked[:1], measured=False)
            order = {
                "own soft tokens": -own,
                "shuffled": -shuffled,
                "without figures": -plain,
                "without": np.arange(MOST_OFFERED),
                "strongest test": -rows.drop_duplicates("gene").set_index("gene")["auc"].loc[genes].to_numpy(),
            }
            picks = {way: [np.argsort(score, kind="stable")[:MOST_SAID]] for way, score in order.items()}
            picks["at random"] = [rng.permutation(MOST_OFFERED)[:MOST_SAID] for _ in range(DRAWS)]
            held, logs = one.truth[~half], cells.expression.logs(genes, np.flatnonzero(~half)).toarray()
            scaled = (logs - logs.mean(0)) / (logs.std(0) + 1e-9)
            for way, draws in picks.items():
                for pick in draws:
                    counts[way][0] += sum(genes[i] in known for i in pick)
                    counts[way][1] += len(pick)
                apart = [nearest_area(scaled[:, pick].mean(1), held, code, large) for pick in draws]
                nearest[way].append(float(np.mean(apart)))
    groups = len(nearest["without"])
    areas = {way: round(float(np.mean(found)), 4) for way, found in nearest.items()}
    return {"reasons": {"counts": counts, "unit": "genes named", "groups": groups, "area to the nearest group": areas}}


def nearest_area(score: np.ndarray, held: np.ndarray, code: int, large: list[int]) -> float:
    """Area under the curve against the group that is told apart worst."""
    pairs = [np.isin(held, [code, other]) for other in large if other != code]
    return min(area(score[rows], held[rows] == code) for rows in pairs)


def times(model: Any) -> dict[str, Any]:
    """Seconds of `annotate` on pbmc3k with the template and with the model's wording, embedding included."""
    found: dict[str, Any] = {}
    began = time.process_time()
    _ = model.text_writer.prefix
    found["opening the language model, processor seconds"] = round(time.process_time() - began, 2)
    for rationale in ("template", "group", "template", "group"):
        adata = sb.datasets.pbmc3k()
        began, busy = time.perf_counter(), time.process_time()
        sb.tl.annotate(adata, model=model, labels=LABELS, rationale=rationale)  # type: ignore[arg-type]
        found[rationale] = {
            "seconds": round(time.perf_counter() - began, 2),
            "processor seconds": round(time.process_time() - busy, 2),
            "labels worded": sb.get.records(adata)["annotate"]["reasons_by_llm"],
        }
    texts = adata.obs.groupby("bioverse_label", observed=True)["bioverse_rationale"].first()
    checked = [
        sb.explain.check(adata, text, groupby="bioverse_label", group=str(label))["verdict"] == "supported"
        for label, text in texts.items()
    ]
    found["claims of our own sentences, supported by sb.explain.check"] = [
        int(sum(one.sum() for one in checked)),
        int(sum(map(len, checked))),
    ]
    return {"times": found}
