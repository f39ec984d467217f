"""Questions with known answers: `python -m benchmarks.ask [--show] [SET ...]`.

Sets of questions lie in `benchmarks/questions/*.json`: about the bundled cells with their expert labels (`cells`
and other wordings of such), about two studies of the registry (`kang`, `tumour`, in the cache or fetched), about
a list of drugs and of proteins, and chats of two turns. The truth
of each is an expression over tables that are made here with pandas, numpy and rdkit alone.

An answer is right where it was computed and holds what is wanted; refused where `computed` is False; all else is wrong.
"""

from __future__ import annotations

import argparse
import json
import re
import time
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

import scbioverse as sb

QUESTIONS = Path(__file__).parent / "questions"
RESULTS = Path(__file__).parent / "results" / "ask.json"
CLUSTERS = ["Naive CD4 T", "Memory CD4 T", "CD14+ Mono", "B", "CD8 T", "FCGR3A+ Mono", "NK", "DC", "Platelet"]


def cells() -> tuple[Any, dict[str, Any]]:
    """Return the bundled cells with a label, clusters, donors and conditions made up; and the names of the truths."""
    adata = sb.datasets.pbmc3k()
    adata = adata[adata.obs["cell_type"].astype(str) != "unassigned"].copy()
    types = adata.obs["cell_type"].astype(str).to_numpy()
    n = np.arange(adata.n_obs)
    matrix = adata.X.toarray()
    obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(types),
            "leiden": pd.Categorical([str(min(CLUSTERS.index(one), 7)) for one in types]),
            "donor": pd.Categorical([f"donor{i % 3 + 1}" for i in n]),
            "condition": pd.Categorical(np.where(n % 2, "stim", "ctrl")),
            "n_umi": matrix.sum(axis=1),
            "n_genes": (matrix > 0).sum(axis=1),
        },
        index=adata.obs_names,
    )
    mito = adata.var_names.str.startswith("MT-")
    obs["pct_mito"] = 100 * matrix[:, mito].sum(axis=1) / obs["n_umi"]
    adata.obs = obs
    t = obs.astype({"cell_type": str, "leiden": str, "donor": str, "condition": str})
    names = list(adata.var_names)

    def counts(gene: str) -> pd.Series:
        return pd.Series(matrix[:, names.index(gene)], index=t.index)

    def is_(kind: str) -> pd.Series:
        label = t["cell_type"]
        kinds = {"T": ["Naive CD4 T", "Memory CD4 T", "CD8 T"], "CD4": CLUSTERS[:2], "CD8": ["CD8 T"],
                 "Mono": ["CD14+ Mono", "FCGR3A+ Mono"]}  # fmt: skip
        return label.isin(kinds.get(kind, [kind]))

    def most_of(kind: str, share: float = 0.5) -> list[str]:
        shares = is_(kind).groupby(t["leiden"]).mean()
        return sorted(shares.index[shares >= share])

    return adata, {
        "t": t, "x": counts, "e": lambda gene: counts(gene) > 0, "is_": is_, "most_of": most_of, "genes": set(names),
        "n_genes_measured": adata.n_vars,
    }  # fmt: skip


def study() -> tuple[Any, dict[str, Any]]:
    """Return the same cells with columns that studies have: sex, age with gaps, and whether a cell is a doublet."""
    adata, truths = cells()
    n, donor = np.arange(adata.n_obs), adata.obs["donor"].astype(str)
    adata.obs["sex"] = pd.Categorical(donor.map({"donor1": "female", "donor2": "male", "donor3": "female"}))
    age = donor.map({"donor1": 34.0, "donor2": 57.0, "donor3": 62.0}).astype(float)
    adata.obs["age"] = age.where(n % 10 != 0)
    adata.obs["predicted_doublet"] = n % 17 == 0
    return adata, truths | {"s": adata.obs.astype({"sex": str})}


def _tables(adata: Any, kinds: dict[str, list[str]]) -> dict[str, Any]:
    """Names of the truths: the columns, values of a gene, whether a gene is expressed, and kinds of cells."""
    t = adata.obs.astype({one: str for one in adata.obs if adata.obs[one].dtype.kind not in "if"})
    names = list(adata.var_names)

    def counts(gene: str) -> pd.Series:
        return pd.Series(adata.X[:, names.index(gene)].toarray().ravel(), index=t.index)

    def is_(kind: str) -> pd.Series:
        return t["cell_type"].isin(kinds.get(kind, [kind]))

    return {"t": t, "x": counts, "e": lambda gene: counts(gene) > 0, "is_": is_}


def kang() -> tuple[Any, dict[str, Any]]:
    """Return blood cells with and without interferon (Kang 2018), with patients made up and counts of genes."""
    adata = sb.datasets.load("kang_ifnb_pbmc")
    adata.obs = adata.obs[["cell_type", "sample"]].copy()
    adata.obs["patient"] = pd.Categorical([f"P{i % 4 + 1}" for i in range(adata.n_obs)])
    adata.obs["n_umi"] = np.asarray(adata.X.sum(axis=1)).ravel()
    adata.obs["n_genes"] = np.asarray((adata.X > 0).sum(axis=1)).ravel()
    kinds = {
        "T": ["CD4 Naive T", "CD4 Memory T", "CD8 T", "T activated"], "B": ["B", "B Activated"], "DC": ["DC", "pDC"],
        "Mono": ["CD14 Mono", "CD16 Mono"],
    }  # fmt: skip
    return adata, _tables(adata, kinds)


def tumour() -> tuple[Any, dict[str, Any]]:
    """Return cells of colorectal tumours and of the mucosa beside them, with patients, their age and sex made up."""
    adata = sb.datasets.load("colorectal_scmetalink_2850_4047g")
    n = np.arange(adata.n_obs)
    adata.obs["patient"] = pd.Categorical(np.array(list("ABCDE"))[n % 5])
    adata.obs["sex"] = pd.Categorical(np.where(n % 5 < 2, "male", "female"))
    adata.obs["age"] = np.array([48.0, 71.0, 66.0, 53.0, 60.0])[n % 5]
    kinds = {one: [f"Normal {one}"] for one in ("Epithelial", "Fibroblast", "Macrophage")}
    for one, more in zip(kinds, ("Tumor Epithelial", "CAF", "TAM"), strict=True):
        kinds[one].append(more)
    return adata, _tables(adata, kinds)


def molecules() -> tuple[Any, dict[str, Any]]:
    """Return the list of drugs, and what rdkit says of each."""
    from rdkit import Chem
    from rdkit.Chem import Crippen, Descriptors, rdMolDescriptors

    table = pd.read_csv(QUESTIONS / "molecules.tsv", sep="\t", index_col="name")
    mols = {name: Chem.MolFromSmiles(text) for name, text in table["smiles"].items()}
    rows = {}
    for name, mol in mols.items():
        rows[name] = {
            "w": Descriptors.MolWt(mol), "logp": Crippen.MolLogP(mol), "tpsa": rdMolDescriptors.CalcTPSA(mol),
            "rings": len(Chem.GetSSSR(mol)), "aromatic": rdMolDescriptors.CalcNumAromaticRings(mol),
            "rot": rdMolDescriptors.CalcNumRotatableBonds(mol), "charge": Chem.GetFormalCharge(mol),
            "hbd": rdMolDescriptors.CalcNumHBD(mol), "hba": rdMolDescriptors.CalcNumHBA(mol),
            "stereo": rdMolDescriptors.CalcNumAtomStereoCenters(mol),
        }  # fmt: skip
        rows[name] |= {
            one: sum(atom.GetSymbol() == one for atom in mol.GetAtoms())
            for one in ("N", "O", "F", "Cl", "Br", "S", "I")
        }
        rows[name]["five"] = (
            rows[name]["w"] <= 500 and rows[name]["logp"] <= 5
            and rdMolDescriptors.CalcNumLipinskiHBD(mol) <= 5 and rdMolDescriptors.CalcNumLipinskiHBA(mol) <= 10
        )  # fmt: skip
    v = pd.DataFrame(rows).T.astype({"five": bool})
    v[v.columns.drop("five")] = v[v.columns.drop("five")].astype(float)

    def sub(smarts: str) -> pd.Series:
        pattern = Chem.MolFromSmarts(smarts)
        return pd.Series({name: mol.HasSubstructMatch(pattern) for name, mol in mols.items()})

    return sb.pp.molecules(table), {"v": v, "o": table, "sub": sub, "area": _holds(table["area"])}


def _holds(column: pd.Series) -> Callable[[str], pd.Series]:
    return lambda value: column.map(lambda text: value in text.split("|"))


def proteins() -> tuple[Any, dict[str, Any]]:
    """Return the list of proteins, and what counting letters says of each; masses are of the residues and a water."""
    table = pd.read_csv(QUESTIONS / "proteins.tsv", sep="\t", index_col="name")
    # Average masses (Da) of the residues, as printed in textbooks.
    masses = {"A": 71.08, "R": 156.19, "N": 114.10, "D": 115.09, "C": 103.14, "E": 129.12, "Q": 128.13, "G": 57.05,
              "H": 137.14, "I": 113.16, "L": 113.16, "K": 128.17, "M": 131.20, "F": 147.18, "P": 97.12, "S": 87.08,
              "T": 101.10, "W": 186.21, "Y": 163.18, "V": 99.13}  # fmt: skip
    p = pd.DataFrame(index=table.index)
    p["length"] = table["sequence"].str.len()
    p["kda"] = table["sequence"].map(lambda text: (sum(masses[one] for one in text) + 18.015) / 1000)
    for letter in "CWM":
        p[letter] = table["sequence"].str.count(letter)
    return sb.pp.proteins(table), {"p": p, "o": table, "place": _holds(table["place"])}


# ---------------------------------------------------------------- judging


def numbers(text: str) -> list[float]:
    """All numbers in a text."""
    return [float(one.replace(",", "")) for one in re.findall(r"(?<![\w.])-?\d[\d,]*\.?\d*(?![\w])", text)]


def near(text: str, want: float, tolerance: float) -> bool:
    """Whether one of the numbers of a text is the one that is wanted."""
    return any(abs(one - want) <= tolerance for one in numbers(text))


def named(text: str, name: str) -> int:
    """Where a name stands in a text, -1 for nowhere."""
    found = re.search(rf"(?<![\w+]){re.escape(name)}(?![\w+])", text)
    return found.start() if found else -1


def holds(kind: str, want: Any, answer: Any, everything: list[str]) -> bool:
    """Whether an answer holds what is wanted."""
    text = answer.text
    if kind == "number":
        return near(text, want, 0)
    if kind == "percent":
        return near(text, want, 0.06)
    if kind == "value":
        return near(text, want, max(0.0011 * abs(want), 0.006))
    if kind in ("names", "values", "percents"):
        slack = {"names": 0.0, "values": 0.006, "percents": 0.06}[kind]
        return all(name in text and near(text, value, slack) for name, value in want.items())
    if kind == "all":
        return all(name in text for name in want)
    if kind == "exactly":
        return set(answer.evidence["row"]) == set(want)
    if kind == "set":
        table = answer.evidence
        return set(map(str, table[table["fraction"] > 0.3]["group"])) == set(want) and all(
            named(text, one) >= 0 for one in want
        )
    if kind == "one":
        places = {one: named(text, one) for one in everything}
        return min((at, -len(one), one) for one, at in places.items() if at >= 0)[2] == want
    return text.startswith("Yes" if want else "No")


def verdict(row: dict[str, Any], answer: Any, truths: dict[str, Any], everything: list[str]) -> str:
    """Judge an answer: "right", "refused" or "wrong"."""
    if row["kind"] == "refuse":
        return "wrong" if answer.computed else "right"
    if not answer.computed:
        return "refused"
    want = eval(row["truth"], {"np": np, "pd": pd, **truths})
    try:
        return "right" if holds(row["kind"], want, answer, everything) else "wrong"
    except (KeyError, ValueError):
        return "wrong"


@cache
def made(name: str) -> tuple[Any, dict[str, Any], list[str], dict[str, Any]]:
    """Make the data of a set: the AnnData, names of the truths, all names of groups and rows, and options of asking."""
    of = name.split("_")[0]
    makers = {"molecules": molecules, "proteins": proteins, "study": study, "kang": kang, "tumour": tumour}
    adata, truths = makers.get(of, cells)()
    text = [one for one in adata.obs if adata.obs[one].dtype.kind not in "fi"]
    names = [str(value) for one in text for value in adata.obs[one].unique()[:60]]
    if of in ("molecules", "proteins"):
        return adata, truths, [*adata.obs_names, *names], {"modality": of[:-1]}
    return adata, truths, names, {"groupby": "leiden" if "leiden" in adata.obs else "cell_type"}


def asked_of(talk: Any, turns: Any) -> list[tuple[dict[str, Any], Any, float]]:
    """Ask a question, or a chat of several; give each with its answer and the seconds that took."""
    talk.clear()
    found = []
    for row in turns if isinstance(turns, list) else [turns]:
        tick = time.perf_counter()
        answer = talk.ask(row["q"])
        found.append((row, answer, time.perf_counter() - tick))
    return found


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="names of sets; all if none")
    parser.add_argument("--show", action="store_true", help="print what was not answered rightly")
    args = parser.parse_args()
    figures = {}
    for path in sorted(QUESTIONS.glob("*.json")):
        if args.sets and path.stem not in args.sets:
            continue
        adata, truths, everything, options = made(path.stem)
        questions = json.loads(path.read_text(encoding="utf-8"))
        count, spent = {"right": 0, "refused": 0, "wrong": 0}, []
        talk = sb.Chat(adata, model="none-is-loaded", **options)
        for turns in questions:
            found = asked_of(talk, turns)
            outcomes = [verdict(row, answer, truths, everything) for row, answer, _ in found]
            spent += [seconds for _, _, seconds in found]
            for (row, answer, _), outcome in zip(found, outcomes, strict=True):
                if args.show and outcome != "right":
                    print(f"{outcome:8} {row['q']}\n         {answer.text[:230]!r}")
            count["wrong" if "wrong" in outcomes else "refused" if "refused" in outcomes else "right"] += 1
        # The first answer of a set waits for the names of the data, the others do not.
        first, *rest = spent
        figures[path.stem] = count | {
            "questions": len(questions), "first_s": round(first, 2), "median_s": round(float(np.median(rest)), 3),
            "slowest_s": round(max(rest), 2),
        }  # fmt: skip
        said = ", ".join(f"{n} {what}" for what, n in count.items())
        times = f"first {first:.1f} s, then {np.median(rest):.2f} s, at most {max(rest):.1f} s"
        print(f"{path.stem:16} {len(questions):3} questions: {said}; {times}")
    if not args.sets:
        RESULTS.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if any(one["wrong"] for one in figures.values()):
        raise SystemExit("an answer is wrong")


if __name__ == "__main__":
    main()
