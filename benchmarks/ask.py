"""Questions with known answers, and how soon an answer begins: `python -m benchmarks.ask`.

Five computable questions about the bundled cells are answered by `sb.tl.ask` and, independently, by counting in the
matrix with numpy. An open question is streamed with the model already loaded, and the time to its first piece is taken.
Prints one table, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

import scbioverse as sb

RESULTS = Path(__file__).parent / "results" / "ask.json"


def computable(adata: object) -> pd.DataFrame:
    """Answers of five computable questions beside numbers counted from the matrix."""
    matrix = adata.X.toarray() if hasattr(adata.X, "toarray") else np.asarray(adata.X)
    label, names = adata.obs["cell_type"].astype(str).to_numpy(), list(adata.var_names)

    def expresses(gene: str) -> np.ndarray:
        return matrix[:, names.index(gene)] > 0

    def ask(question: str) -> object:
        answer = sb.tl.ask(adata, question, groupby="cell_type", model="none-is-loaded")
        if not answer.computed:
            raise SystemExit(f"{question!r} was not computed")
        return answer

    b, nk = label == "B", label == "NK"
    rows = []
    answer = ask("How many NK cells are there?")
    rows.append((answer, float(answer.evidence["n"].iloc[0]), float(nk.sum())))
    answer = ask("Which fraction of B cells expresses MS4A1?")
    rows.append((answer, float(answer.evidence["fraction_in"].iloc[0]), float(expresses("MS4A1")[b].mean())))
    answer = ask("How many cells express PPBP?")
    rows.append((answer, float(answer.evidence["n"].iloc[0]), float(expresses("PPBP").sum())))
    answer = ask("Which genes mark NK cells?")
    first = str(answer.evidence["gene"].iloc[0])
    found = answer.evidence["fraction_in"].iloc[0] - answer.evidence["fraction_out"].iloc[0]
    rows.append((answer, float(found), float(expresses(first)[nk].mean() - expresses(first)[~nk].mean())))
    answer = ask("Is CD3D higher in CD8 T cells than in B cells?")
    cd8 = label == "CD8 T"
    found = answer.evidence["fraction_in"].iloc[0] - answer.evidence["fraction_out"].iloc[0]
    rows.append((answer, float(found), float(expresses("CD3D")[cd8].mean() - expresses("CD3D")[b].mean())))
    table = pd.DataFrame(
        [(one.question, value, wanted, one.text) for one, value, wanted in rows],
        columns=["question", "ask", "counted", "answer"],
    )
    table["equal"] = np.isclose(table["ask"], table["counted"], atol=1e-6)
    return table


def first_piece(adata: object, model: object) -> dict[str, float]:
    """Seconds to the first and to the last piece of an open question, the model loaded."""
    tick = time.perf_counter()
    stream = sb.tl.ask(adata, "What is cluster 2?", groupby="leiden", model=model, stream=True)
    next(stream)
    first = time.perf_counter() - tick
    stream.finish()
    return {"first": round(first, 2), "whole": round(time.perf_counter() - tick, 2)}


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bioverse-small")
    args = parser.parse_args()
    adata = sb.datasets.pbmc3k()
    adata.obs["leiden"] = adata.obs["cell_type"].cat.codes.astype(str).astype("category")
    table = computable(adata)
    print(table[["question", "ask", "counted", "equal"]].to_string(index=False))
    tick = time.perf_counter()
    model = sb.models.load(args.model)
    _ = model.reader, model.questioner.prefix
    loaded = time.perf_counter() - tick
    seconds = first_piece(adata, model)
    print(f"\nload {loaded:.1f} s; first streamed piece after {seconds['first']} s, whole after {seconds['whole']} s")
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {"load_s": round(loaded, 2), "stream_s": seconds, "answers": table.to_dict("records")}
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if not table["equal"].all():
        raise SystemExit("an answer differs from the count")


if __name__ == "__main__":
    main()
