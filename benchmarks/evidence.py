"""Are the reasons true? Every gene in them, computed again from the counts: `python -m benchmarks.evidence`.

For each data set the cells are labelled group by group (the expert's groups, with the expert's names as candidates),
and every gene that a reason cites is tested anew, by code that shares nothing with the package's checker: fractions and
means by pandas, Mann-Whitney by scipy. Then false genes are planted into the reasons: genes that are not higher in the
group, genes that the data do not hold, and names that are no genes. Kang and the fetal cortex are studies the model was
trained on, which matters for its labels and not for whether a reason is true.
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
from scipy.stats import mannwhitneyu

import scbioverse as sb
from scbioverse.explain.reading import MeasuredCells, check_text
from scbioverse.knowledge import harmonise

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
        assert set(cited) == set(table.loc[table["label"] == one, "gene"]), (one, cited)
        claims, true = claims + len(cited), true + len(good)
        groups, enough = groups + 1, enough + (len(good) >= 2)
        shown.append(
            {"label": one, "cells": int(inside.sum()), "reason": text, "not_supported": sorted({*cited} - {*good})}
        )
        plain, _ = check_text(text, cells, inside, against=outside, names=[str(one)])
        for gene in planted(adata, inside, outside, rng):
            for false in (
                f"{gene} marks {one}.",
                f"These cells express {gene}.",
                f"{gene} (97 % of these cells, 1 % of others) marks {one}.",
            ):
                kept, _ = check_text(f"{text} {false}", cells, inside, against=outside, names=[str(one)])
                sown, caught = sown + 1, caught + (kept == plain)
    return {
        "study": name, "cells": adata.n_obs, "groups": groups, "claims": claims, "supported": true / max(claims, 1),
        "groups_with_two": enough / max(groups, 1), "planted": sown, "caught": caught / max(sown, 1), "reasons": shown,
    }  # fmt: skip


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="bioverse-small", help="name of a model, or a folder")
    parser.add_argument("--method", choices=["score", "nearest"], help="default: what the model was trained for")
    parser.add_argument("--output", type=Path, default=RESULTS)
    args = parser.parse_args()
    sb.settings.progress = False
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
