"""Questions with known answers, and how soon an answer begins: `python -m benchmarks.ask`.

Five computable questions about the bundled cells are answered by `sb.tl.ask` and, independently, by counting in the
matrix with numpy. An open question is streamed with the model already loaded, and the time to its first piece is taken.
With `--molecules`, ChEBI-20 test molecules whose captions name a role are asked for it: by `describe(question=)`, which
reads the phrases found in the embedding, and by the soft tokens of the projector, which was trained for retrieval.
Prints tables, writes a JSON file.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import pandas as pd

import scbioverse as sb
from recipes.bioverse_small.molecules import pairs
from scbioverse.metrics import extract_roles
from scbioverse.models import BioVerse

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


def molecule_roles(model: BioVerse, n: int, seed: int = 0) -> pd.DataFrame:
    """Share of the roles that captions name and answers repeat, by way of asking; and of answers dealt to others."""
    table = pairs("test")
    named = [extract_roles(text) for text in table["text"]]
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(np.flatnonzero([bool(one) for one in named]))[:n])
    drugs = sb.pp.molecules(table["smiles"].iloc[rows].tolist())
    question = "What role does it have?"
    sb.tl.describe(drugs, modality="molecule", model=model, question=question, max_new_tokens=48)
    values = drugs.obsm["X_bioverse_molecule"]
    prompt = model.text_writer.prompt(question, objects=[("molecule", "")])
    said = {
        "describe": drugs.obs["bioverse_description"].tolist(),
        "soft tokens": model.text_writer.write(
            [prompt] * len(rows), [{"molecule": values[i : i + 1, None]} for i in range(len(rows))], max_new_tokens=48
        ),
        "phrases themselves": model.captioner("molecule").notes(values),
    }
    order = rng.permutation(len(rows))
    out = []
    for way, answers in said.items():
        for dealt in (False, True):
            texts = [answers[i].lower() for i in (order if dealt else range(len(rows)))]
            shares = [np.mean([role in text for role in named[row]]) for row, text in zip(rows, texts, strict=True)]
            out.append((way + (", dealt" if dealt else ""), len(rows), round(float(np.mean(shares)), 3)))
    return pd.DataFrame(out, columns=["way", "n", "roles_named"])


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="bioverse-small")
    parser.add_argument("--molecules", type=int, default=0, help="also ask about so many molecules of the test split")
    args = parser.parse_args()
    adata = sb.datasets.pbmc3k()
    adata.obs["leiden"] = adata.obs["cell_type"].cat.codes.astype(str).astype("category")
    table = computable(adata)
    print(table[["question", "ask", "counted", "equal"]].to_string(index=False))
    tick = time.perf_counter()
    model = sb.models.load(args.model)
    _ = model.reader, model.text_writer.prefix
    loaded = time.perf_counter() - tick
    seconds = first_piece(adata, model)
    print(f"\nload {loaded:.1f} s; first streamed piece after {seconds['first']} s, whole after {seconds['whole']} s")
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {"load_s": round(loaded, 2), "stream_s": seconds, "answers": table.to_dict("records")}
    if args.molecules:
        roles = molecule_roles(model, args.molecules)
        print("\n" + roles.to_string(index=False))
        figures["molecule_roles"] = roles.to_dict("records")
    elif RESULTS.is_file():
        before = json.loads(RESULTS.read_text(encoding="utf-8"))
        figures |= {key: value for key, value in before.items() if key == "molecule_roles"}
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if not table["equal"].all():
        raise SystemExit("an answer differs from the count")


if __name__ == "__main__":
    main()
