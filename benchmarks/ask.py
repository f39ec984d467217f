"""Questions with known answers: `python -m benchmarks.ask [--reader READER] [--show] [--lines] [SET ...]`.

Sets of questions lie in `benchmarks/questions/*.json`: about the bundled cells with their expert labels (`cells`
and other wordings of such), about two studies of the registry (`kang`, `tumour`, in the cache or fetched), about
a list of drugs and of proteins, and chats of two turns. The truth
of each is an expression over tables that are made here with pandas, numpy and rdkit alone.

An answer is right where it was computed, its `value` is what is wanted and its sentence says so; refused where
`computed` is False; all else is wrong. `--reader rules` leaves the language model out. `--lines` counts instead the
lines of `scbioverse.ask`: of the modules that read words, of the tables that they read, and of the modules that run
queries and say what was found.
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
RESULTS = {one: Path(__file__).parent / "results" / f"ask_{one}.json" for one in ("auto", "rules")}
# Modules that turn words into a query; the others run queries, and say what was found.
READ_WORDS = frozenset([
    "words", "slips", "asides", "link", "settling", "type_names", "joins", "bounds", "chunks", "grammar", "sorting",
    "read", "fill", "follow", "pointing", "refusals", "slots", "linear", "accounting", "model_reader", "properties",
])  # fmt: skip
# Of these, and of the tables, what a language model is read by alone.
OF_MODEL = frozenset(["accounting", "linear", "model_reader", "slots", "accounts", "lines", "said", "vetoes"])
CLUSTERS = ["Naive CD4 T", "Memory CD4 T", "CD14+ Mono", "B", "CD8 T", "FCGR3A+ Mono", "NK", "DC", "Platelet"]
# Columns of the desk's data, by the short names that truths call them by.
_DESK = {"ct": "cell_type", "dn": "donor", "co": "condition", "cl": "cluster"}


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


def desk() -> tuple[Any, dict[str, Any]]:
    """Return the same cells with conditions by chance and clusters that differ from the labels in some 8 % of them."""
    adata, _ = cells()
    rng = np.random.default_rng(12)
    condition = pd.Categorical(np.where(rng.random(adata.n_obs) < 0.5, "ctrl", "stim"))
    cell_type = sb.datasets.pbmc3k().obs["cell_type"].loc[adata.obs_names].cat.remove_unused_categories()
    codes, moved = cell_type.cat.codes.to_numpy(copy=True), rng.random(adata.n_obs) < 0.08
    codes[moved] = rng.integers(0, len(CLUSTERS), size=int(moved.sum()))
    adata.obs = pd.DataFrame({
        "cell_type": cell_type, "donor": adata.obs["donor"], "condition": condition,
        "n_genes": adata.obs["n_genes"].astype(int), "n_umi": adata.obs["n_umi"].astype(int),
        "pct_mito": adata.obs["pct_mito"], "cluster": pd.Categorical([str(one) for one in codes]),
    })  # fmt: skip
    texts = {one: adata.obs[column].astype(str) for one, column in _DESK.items()}
    numbers = {"ng": adata.obs["n_genes"], "nu": adata.obs["n_umi"], "pm": adata.obs["pct_mito"]}
    values = pd.DataFrame(adata.X.toarray().astype(float), index=adata.obs_names, columns=adata.var_names)
    kinds = {"T": ["Naive CD4 T", "Memory CD4 T", "CD8 T"], "MONO": ["CD14+ Mono", "FCGR3A+ Mono"]}
    return adata, {"E": values, **kinds, **texts, **numbers}


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


def lab() -> tuple[Any, dict[str, Any]]:
    """Return the bundled cells with the columns that another tool writes, and with numbers of groups and ages."""
    adata, _ = cells()
    n, old = np.arange(adata.n_obs), adata.obs
    adata.obs = pd.DataFrame(
        {
            "cell_type": old["cell_type"], "seurat_clusters": old["leiden"],
            "patient_id": pd.Categorical([f"PT-{i % 5 + 1:02d}" for i in n]),
            "treatment": pd.Categorical(np.where(n % 5 < 3, "vehicle", "dexamethasone")),
            "response": pd.Categorical(np.where(n % 5 % 2, "responder", "non-responder")),
            "Phase": pd.Categorical(np.array(["G1", "S", "G1", "G2M"])[n % 4]),
            "batch": pd.Categorical(np.array(["1", "2", "3"])[n // 7 % 3]),
            "nCount_RNA": old["n_umi"], "nFeature_RNA": old["n_genes"], "percent.mt": old["pct_mito"],
            "age_years": np.array([29.0, 45.0, 51.0, 68.0, 73.0])[n % 5], "is_doublet": n % 23 == 0,
        },
        index=old.index,
    )  # fmt: skip
    kinds = {"T": [*CLUSTERS[:2], "CD8 T"], "CD4": CLUSTERS[:2], "CD8": ["CD8 T"],
             "Mono": ["CD14+ Mono", "FCGR3A+ Mono"]}  # fmt: skip
    return adata, _tables(adata, kinds)


def atlas() -> tuple[Any, dict[str, Any]]:
    """Return cells of Kang 2018 as an atlas names them: Cell Ontology labels, disease, assay, donors."""
    adata, _ = kang()
    named = {
        "CD14 Mono": "CD14-positive monocyte", "CD16 Mono": "CD14-low, CD16-positive monocyte",
        "CD4 Naive T": "naive thymus-derived CD4-positive, alpha-beta T cell",
        "CD4 Memory T": "CD4-positive, alpha-beta memory T cell", "CD8 T": "CD8-positive, alpha-beta T cell",
        "T activated": "activated T cell", "B": "B cell", "B Activated": "B cell", "NK": "natural killer cell",
        "DC": "conventional dendritic cell", "pDC": "plasmacytoid dendritic cell", "Mk": "megakaryocyte",
        "Eryth": "erythrocyte",
    }  # fmt: skip
    n, old = np.arange(adata.n_obs), adata.obs
    adata.obs = pd.DataFrame(
        {
            "cell_type": pd.Categorical(old["cell_type"].astype(str).map(named)),
            "donor_id": pd.Categorical([f"D{i % 6 + 1:03d}" for i in n]),
            "disease": pd.Categorical(np.where(n % 6 < 2, "normal", "systemic lupus erythematosus")),
            "assay": pd.Categorical(np.where(n % 6 % 2, "10x 3' v3", "10x 3' v2")),
            "tissue": pd.Categorical(np.where(n % 9 < 6, "blood", "bone marrow")),
            "sex": pd.Categorical(np.array(["female", "female", "male", "female", "male", "unknown"])[n % 6]),
            "is_primary_data": n % 4 != 0, "n_counts": old["n_umi"], "n_genes": old["n_genes"],
        },
        index=old.index,
    )  # fmt: skip
    t = ["naive thymus-derived CD4-positive, alpha-beta T cell", "CD4-positive, alpha-beta memory T cell"]
    kinds = {
        "T": [*t, "CD8-positive, alpha-beta T cell", "activated T cell"], "CD4": t, "B": ["B cell"],
        "Mono": ["CD14-positive monocyte", "CD14-low, CD16-positive monocyte"], "NK": ["natural killer cell"],
        "DC": ["conventional dendritic cell", "plasmacytoid dendritic cell"],
    }  # fmt: skip
    return adata, _tables(adata, kinds)


def visit() -> tuple[Any, dict[str, Any]]:
    """Return the bundled cells as of a trial: subjects, days, sites, a vaccine, body mass with gaps, shares below 1."""
    adata, _ = cells()
    n, old = np.arange(adata.n_obs), adata.obs
    bmi = np.array([21.5, 24.0, 27.5, 31.0, 22.0, 35.5, 26.0, 29.0])[n % 8]
    adata.obs = pd.DataFrame(
        {
            "predicted_celltype": old["cell_type"], "louvain": old["leiden"],
            "subject": pd.Categorical([f"S{i % 8 + 1}" for i in n]),
            "timepoint": pd.Categorical(np.array(["day 0", "day 7", "day 28"])[n // 5 % 3]),
            "site": pd.Categorical(np.array(["Leeds", "Kyoto", "Boston", "Leeds"])[n % 4]),
            "smoking": pd.Categorical(np.array(["never", "former", "never", "current"])[n % 8 // 2]),
            "vaccinated": n % 8 < 5, "bmi": np.where(n % 11 == 0, np.nan, bmi),
            "umis": old["n_umi"], "genes_detected": old["n_genes"], "mito_frac": old["pct_mito"] / 100,
            "doublet_score": np.round((n * 37 % 101) / 101, 3),
        },
        index=old.index,
    )  # fmt: skip
    adata.obs["cell_type"] = adata.obs["predicted_celltype"]
    kinds = {"T": [*CLUSTERS[:2], "CD8 T"], "CD4": CLUSTERS[:2], "CD8": ["CD8 T"],
             "Mono": ["CD14+ Mono", "FCGR3A+ Mono"]}  # fmt: skip
    truths = _tables(adata.copy(), kinds)
    del adata.obs["cell_type"]
    return adata, truths


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


def close(value: Any, want: float, slack: float) -> bool:
    """Whether a value is a number, and the one that is wanted."""
    plain = isinstance(value, int | float | np.number) and not isinstance(value, bool)
    return plain and abs(float(value) - want) <= slack


def _shares(answer: Any) -> dict[str, float]:
    """Shares by name, in per cent: of what was counted, and of a number that is a share."""
    table = answer.evidence
    column = "fraction" if "fraction" in table else answer.kind
    return dict(zip(map(str, table["group"]), 100 * table[column], strict=True))


def holds(kind: str, want: Any, answer: Any) -> bool:
    """Whether the value of an answer is what is wanted, and its sentence says so: no other number counts."""
    value, text = answer.value, answer.text
    names = list(value) if isinstance(value, list | dict) else []
    if kind == "number":
        return close(value, want, 0) and want in numbers(text)
    if kind in ("percent", "value"):
        slack = 1e-9 if kind == "percent" else max(0.0011 * abs(want), 0.006)
        shown = 100 * value if answer.kind == "fraction" and isinstance(value, float) else value
        return close(shown, want, slack) and any(close(one, want, max(slack, 0.06)) for one in numbers(text))
    if kind in ("names", "values", "percents"):
        slack = {"names": 0.0, "values": 0.006, "percents": 1e-6}[kind]
        held = value if kind != "percents" and isinstance(value, dict) else _shares(answer)
        if isinstance(value, list):  # groups at one end: these and no others
            held = dict(zip(answer.evidence["group"], answer.evidence["n"], strict=True))
            held = {one: held[one] for one in value}
        held = {name: len(one) if isinstance(one, list) else one for name, one in held.items()}
        return all(name in held and close(held[name], one, slack) and name in text for name, one in want.items())
    if kind == "lists":
        return bool(value == want)
    if kind == "genes":
        return set(want) <= {one for some in value.values() for one in some}
    if kind in ("all", "exactly", "set"):
        return set(map(str, names)) == set(map(str, want))
    if kind == "one":
        return [str(one) for one in names] == [str(want)]
    return value is bool(want) and text.startswith("Yes" if want else "No")


def verdict(row: dict[str, Any], answer: Any, truths: dict[str, Any]) -> str:
    """Judge an answer: "right", "refused" or "wrong"."""
    if row["kind"] == "refuse":
        return "wrong" if answer.computed else "right"
    want = eval(row["truth"], {"np": np, "pd": pd, **truths})  # of a refusal, too: a truth must hold before it is met
    if not answer.computed:
        return "refused"
    try:
        return "right" if holds(row["kind"], want, answer) else "wrong"
    except (KeyError, ValueError):
        return "wrong"


@cache
def made(name: str) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """Make the data of a set: the AnnData, names of the truths, and options of asking."""
    of = name.split("_")[0]
    makers = {"molecules": molecules, "proteins": proteins, "study": study, "kang": kang, "tumour": tumour,
              "lab": lab, "atlas": atlas, "visit": visit, "desk": desk}  # fmt: skip
    adata, truths = makers.get(of, cells)()
    if of in ("molecules", "proteins"):
        return adata, truths, {"modality": of[:-1]}
    clusters = [one for one in ("leiden", "seurat_clusters", "louvain") if one in adata.obs]
    return adata, truths, {"groupby": clusters[0] if clusters else "cell_type"}


def asked_of(talk: Any, turns: Any) -> list[tuple[dict[str, Any], Any, tuple[float, float]]]:
    """Ask a question, or a chat of several; give each with its answer and the seconds that took, and of processors."""
    talk.clear()
    found = []
    for row in turns if isinstance(turns, list) else [turns]:
        tick, worked = time.perf_counter(), time.process_time()
        answer = talk.ask(row["q"])
        found.append((row, answer, (time.perf_counter() - tick, time.process_time() - worked)))
    return found


def opened() -> float:
    """Load the language model that questions are read by, so that no answer waits for it; return the seconds."""
    tick = time.perf_counter()
    sb.tl.ask(sb.datasets.pbmc3k(), "What slice of the B cells express MS4A1?", groupby="cell_type", reader="both")
    return time.perf_counter() - tick


def lines() -> dict[str, int]:
    """Count the lines of what reads words, of its tables, and of all else in `scbioverse.ask`."""
    folder = Path(sb.__file__).parent / "ask"
    count = {one: len(one.read_text(encoding="utf-8").splitlines()) for one in folder.rglob("*") if one.is_file()}
    python = {one.stem: n for one, n in count.items() if one.suffix == ".py"}
    tables = {one.stem: n for one, n in count.items() if one.parent.name == "data"}
    return {
        "read words": sum(n for name, n in python.items() if name in READ_WORDS),
        "  for the language model alone": sum(n for name, n in python.items() if name in OF_MODEL),
        "tables of words and patterns": sum(tables.values()),
        "  for the language model": sum(n for name, n in tables.items() if name in OF_MODEL),
        "run queries and say": sum(n for name, n in python.items() if name not in READ_WORDS),
    }


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", help="names of sets; all if none")
    parser.add_argument("--reader", default="auto", choices=RESULTS, help="as in scbioverse.tl.ask")
    parser.add_argument("--show", action="store_true", help="print what was not answered rightly")
    parser.add_argument("--lines", action="store_true", help="count the lines of the code instead")
    args = parser.parse_args()
    if args.lines:
        for what, n in lines().items():
            print(f"{what:30} {n:6,} lines")
        return
    if args.reader != "rules":
        print(f"the language model is there after {opened():.1f} s")
    figures = {}
    for path in sorted(QUESTIONS.glob("*.json")):
        if args.sets and path.stem not in args.sets:
            continue
        adata, truths, options = made(path.stem)
        questions = json.loads(path.read_text(encoding="utf-8"))
        count, spent = {"right": 0, "refused": 0, "wrong": 0}, []
        talk = sb.Chat(adata, reader=args.reader, **options)
        for turns in questions:
            found = asked_of(talk, turns)
            outcomes = [verdict(row, answer, truths) for row, answer, _ in found]
            spent += [seconds for _, _, seconds in found]
            for (row, answer, _), outcome in zip(found, outcomes, strict=True):
                if args.show and outcome != "right":
                    print(f"{outcome:8} {row['q']}\n         {answer.text[:230]!r}")
            count["wrong" if "wrong" in outcomes else "refused" if "refused" in outcomes else "right"] += 1
        # The first answer of a set waits for the names of the data, the others do not.
        (first, _), *rest = spent
        middle, (slowest, of_processors) = float(np.median([one for one, _ in rest])), max(rest)
        figures[path.stem] = count | {
            "questions": len(questions), "first_s": round(first, 2), "median_s": round(middle, 3),
            "slowest_s": round(slowest, 2), "slowest_processor_s": round(of_processors, 2),
        }  # fmt: skip
        said = ", ".join(f"{n} {what}" for what, n in count.items())
        times = f"first {first:.1f} s, then {middle:.2f} s, at most {slowest:.1f} s ({of_processors:.1f} of processors)"
        print(f"{path.stem:16} {len(questions):3} questions: {said}; {times}", flush=True)
    total = {what: sum(one[what] for one in figures.values()) for what in ("right", "refused", "wrong")}
    print(f"{sum(total.values()):20} questions: {', '.join(f'{n} {what}' for what, n in total.items())}")
    # Sets that were not asked keep their figures.
    results = RESULTS[args.reader]
    kept = json.loads(results.read_text(encoding="utf-8")) if args.sets and results.is_file() else {}
    figures = dict(sorted((kept | figures).items()))
    results.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if any(one["wrong"] for one in figures.values()):
        raise SystemExit("an answer is wrong")


if __name__ == "__main__":
    main()
