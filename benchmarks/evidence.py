"""Are the reasons true? Every gene in them, computed again from the counts: `python -m benchmarks.evidence`.

For each data set the cells are labelled group by group (the expert's groups, with the expert's names as candidates),
and every gene that a reason cites is tested anew, by code that shares nothing with the package's checker: fractions and
means by pandas, Mann-Whitney by scipy. Then false genes are planted into the reasons: genes that are not higher in the
group, genes that the data do not hold, and names that are no genes. Kang and the fetal cortex are studies the model was
trained on, which matters for its labels and not for whether a reason is true.

`--choice` asks another question: what does it add that the language model chooses which claims a reason names? On half
of a study's cells the markers of every expert group are tested and five are offered; on the other half it is measured
how well the named genes (their mean z-score) tell the group from all other cells and from the group that is told from
it worst, as areas under the curve. Beside it stand as many genes in the template's order and at random, the model
before another group's cells, and the model without the measured figures.
"""

from __future__ import annotations

import argparse
import json
import re
from collections import Counter
from pathlib import Path

import anndata as ad
import numpy as np
import pandas as pd
from scipy.stats import mannwhitneyu, rankdata

import scbioverse as sb
from scbioverse.explain.check import check_text
from scbioverse.explain.expression import InMemory, MeasuredCells
from scbioverse.explain.reasons import MOST_OFFERED, MOST_SAID, Asked, Wording
from scbioverse.explain.support import evidence_of, worth_naming
from scbioverse.knowledge import harmonise, resolve_label

RESULTS = Path(__file__).parent / "results" / "evidence.json"
STUDIES = ("pbmc3k", "kang_ifnb_pbmc", "fetal_cortex_culture_4474_2000g")
NO_TYPE = {"unassigned", "unknown"}
# Genes in a reason: a name in front of a percentage.
CITED = re.compile(r"([A-Za-z0-9][A-Za-z0-9.-]*) \([<>]?\d+ %")


def load(name: str) -> ad.AnnData | None:
    """Return the study, or None where its file is absent."""
    if name == "pbmc3k":
        return sb.datasets.pbmc3k()
    try:
        return sb.datasets.load(name)
    except (OSError, ValueError, KeyError) as error:
        print(f"{name} is skipped: {str(error).splitlines()[0]}")
        return None


def log_values(adata: ad.AnnData, genes: list[str]) -> pd.DataFrame:
    """Bring counts to 10,000 per cell and log1p."""
    counts = pd.DataFrame(np.asarray(adata[:, genes].X.todense(), dtype=float), columns=genes, index=adata.obs_names)
    depth = np.asarray(adata.X.sum(axis=1)).ravel()
    return np.log1p(counts.div(np.maximum(depth, 1), axis=0) * 1e4)


def holds(values: pd.Series, inside: np.ndarray, outside: np.ndarray) -> bool:
    """Whether a gene is higher inside: in ten percent, in more than outside, by 0.25 log2, with p < 0.01."""
    a, b = values[inside], values[outside]
    change = np.log2((np.expm1(a).mean() + 0.1) / (np.expm1(b).mean() + 0.1))
    more = (a > 0).mean() >= 0.1 and (a > 0).mean() > (b > 0).mean() and change > 0.25
    if min(len(a), len(b)) < 10:
        return bool(more)
    return bool(more and mannwhitneyu(a, b, alternative="greater").pvalue < 0.01)


def planted(adata: ad.AnnData, inside: np.ndarray, outside: np.ndarray, rng: np.random.Generator) -> list[str]:
    """Genes that are not higher inside, by the plain counts: 20 of the data, and five that it does not hold."""
    some = [str(one) for one in rng.permutation(adata.var_names)[:400] if re.fullmatch(r"[A-Z][A-Z0-9-]{2,}", str(one))]
    logs = log_values(adata, some)
    false = [gene for gene in some if not holds(logs[gene], inside, outside)][:20]
    absent = [one for one in ("INS", "GCG", "ALB", "TTR", "MYH7", "PRM1", "SFTPC") if one not in adata.var_names]
    return [*false, *absent[:3], "FOOB77", "ZORBLAX"]


def study(name: str, adata: ad.AnnData, model: str, method: str | None) -> dict[str, object]:
    """Figures of one study."""
    # Older symbols in the data are read under today's, which reasons cite; the names only, not the numbers.
    today = [new or old for old, new in zip(adata.var_names, harmonise(adata.var_names), strict=True)]
    counts = Counter(today)
    adata.var_names = [new if counts[new] == 1 else old for old, new in zip(adata.var_names, today, strict=True)]
    names = [str(one) for one in adata.obs["cell_type"].astype("category").cat.categories]
    candidates = [one for one in names if one not in NO_TYPE]
    sb.tl.annotate(adata, model=model, labels=candidates, groupby="cell_type", method=method)
    label = adata.obs["bioverse_label"].astype(object)
    reasons = adata.obs.groupby(label, observed=True)["bioverse_rationale"].first()
    table = sb.get.evidence(adata)
    rng = np.random.default_rng(0)
    claims = true = groups = enough = sown = caught = 0
    cells = MeasuredCells(adata)
    shown = []
    for one, text in reasons.items():
        inside = (label == one).to_numpy()
        outside = label.notna().to_numpy() & ~inside
        cited = list(dict.fromkeys(CITED.findall(text)))
        missing = [gene for gene in cited if gene not in adata.var_names]
        logs = log_values(adata, [gene for gene in cited if gene not in missing])
        good = [gene for gene in logs if holds(logs[gene], inside, outside)]
        # What the evidence table lists and what the text says must be the same genes.
        mine = table[(table["label"] == one) & (table["against"] == "")]
        assert set(cited) == set(mine["gene"]), (one, cited)
        claims, true = claims + len(cited), true + len(good)
        groups, enough = groups + 1, enough + (len(good) >= 2)
        shown.append(
            {"label": one, "cells": int(inside.sum()), "reason": text, "not_supported": sorted({*cited} - {*good})}
        )
        for gene in planted(adata, inside, outside, rng):
            for false in (
                f"{gene} marks {one}.",
                f"These cells express {gene}.",
                f"{gene} (97 % of these cells, 1 % of others) marks {one}.",
            ):
                claims_made = check_text(f"{text} {false}", cells, inside, outside=outside, own=[str(one)])
                sown, caught = sown + 1, caught + (claims_made[-1].verdict != "supported")
    return {
        "study": name, "cells": adata.n_obs, "groups": groups, "claims": claims, "supported": true / max(claims, 1),
        "groups_with_two": enough / max(groups, 1), "planted": sown, "caught": caught / max(sown, 1), "reasons": shown,
    }  # fmt: skip


def area(values: np.ndarray, inside: np.ndarray) -> float:
    """Probability that a value inside exceeds one outside."""
    n, m = inside.sum(), (~inside).sum()
    return float((rankdata(values)[inside].sum() - n * (n + 1) / 2) / (n * m))


def choices(name: str, adata: ad.AnnData, model: str) -> list[dict[str, object]]:
    """Name genes of each expert group in several ways, and measure how well they tell the group apart."""
    loaded = sb.models.load(model)
    sb.tl.embed(adata, model=loaded)
    values = np.asarray(adata.obsm["X_bioverse"], np.float32).reshape(adata.n_obs, 1, -1)
    column = adata.obs["cell_type"].astype("category").cat
    names, codes = [str(one) for one in column.categories], column.codes.to_numpy().astype(int)
    rng = np.random.default_rng(0)
    half = rng.random(adata.n_obs) < 0.5
    cells, ids = MeasuredCells(adata), {code: resolve_label(one).cl_id for code, one in enumerate(names)}
    tested = InMemory(cells.expression, np.where(half, codes, -1), len(names))
    evidence = evidence_of(tested, range(len(names)), ids)
    large = [
        code for code in range(len(names)) if min((half & (codes == code)).sum(), (~half & (codes == code)).sum()) >= 5
    ]
    wording, rows = Wording(loaded, values), []
    for code in large:
        offered = worth_naming(evidence[evidence["group"] == code], most=MOST_OFFERED).claims[:MOST_OFFERED]
        if names[code] in NO_TYPE or len(offered) < MOST_OFFERED:
            continue
        logs = cells.expression.logs([one.gene for one in offered], np.flatnonzero(~half)).toarray()
        scaled = dict(zip([one.gene for one in offered], ((logs - logs.mean(0)) / (logs.std(0) + 1e-9)).T, strict=True))
        held = codes[~half]
        other = int(rng.choice([one for one in large if one != code]))
        asked = [Asked(half & (codes == at), names[code], offered) for at in (code, other)]
        weighed = [*wording.weigh(asked), *wording.weigh(asked[:1], measured=False)]
        mine, theirs, plain = (
            [offered[i].gene for i in np.argsort(-scores, kind="stable")[:MOST_SAID]] for scores in weighed
        )
        ways = {
            "the model": [mine],
            "another group's cells": [theirs],
            "without figures": [plain],
            "template's order": [[one.gene for one in offered[: len(mine)]]],
            "at random": [[offered[i].gene for i in rng.permutation(MOST_OFFERED)[: len(mine)]] for _ in range(50)],
        }
        for way, drawn in ways.items():
            found = []
            for genes in drawn:
                score = np.mean([scaled[gene] for gene in genes], axis=0)
                apart = {
                    one: area(score[np.isin(held, [code, one])], held[np.isin(held, [code, one])] == code)
                    for one in large if one != code
                }  # fmt: skip
                found.append((area(score, held == code), min(apart.values()), set(genes) == set(mine), len(genes)))
            means = dict(zip(("auc", "nearest_auc", "same_genes", "genes"), np.mean(found, axis=0), strict=True))
            rows.append({"study": name, "group": names[code], "way": way, **means})
    return rows


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name of a model, or a folder")
    parser.add_argument("--method", choices=["score", "nearest"], help="default: what the model was trained for")
    parser.add_argument("--choice", action="store_true", help="what the language model's choice of claims adds")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
    if args.choice:
        found = [
            row for name in STUDIES if (adata := load(name)) is not None for row in choices(name, adata, args.model)
        ]
        table = pd.DataFrame(found)
        print(f"{table['group'].nunique()} groups of {table['study'].nunique()} studies")
        print(
            table.groupby("way", sort=False)[["auc", "nearest_auc", "same_genes", "genes"]].mean().round(3).to_string()
        )
        return
    rows = [study(name, adata, args.model, args.method) for name in STUDIES if (adata := load(name)) is not None]
    args.output.parent.mkdir(parents=True, exist_ok=True)
    args.output.write_text(json.dumps({"model": args.model, "method": args.method, "studies": rows}, indent=1) + "\n")
    table = pd.DataFrame(rows).drop(columns="reasons")
    total = {"study": "all", "cells": table["cells"].sum(), "groups": table["groups"].sum()}
    total |= {"claims": table["claims"].sum(), "planted": table["planted"].sum()}
    total["supported"] = (table["supported"] * table["claims"]).sum() / table["claims"].sum()
    total["groups_with_two"] = (table["groups_with_two"] * table["groups"]).sum() / table["groups"].sum()
    total["caught"] = (table["caught"] * table["planted"]).sum() / table["planted"].sum()
    print(pd.concat([table, pd.DataFrame([total])]).round(4).to_string(index=False))
    print(f"written to {args.output}")


if __name__ == "__main__":
    main()
