"""genes.tsv.gz: approved human symbols, Ensembl ids, and the older names that lead to exactly one of them."""

from __future__ import annotations

import gzip
import json
import re
from collections import defaultdict

from _tables import read, source, split, write

# Written as in mouse (Cd3e): would let mouse data pass for human.
MOUSE_STYLE = re.compile(r"^[A-Z][a-z0-9]+$")
PLAIN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._@-]*$")


def build() -> str:
    """Write the table; return one line of counts."""
    hgnc = read("knowledge/hgnc_entries.tsv.gz")
    hgnc = hgnc[hgnc["Status"] == "Approved"].sort_values("Approved symbol", kind="stable")
    approved = dict(zip(hgnc["Approved symbol"], hgnc["Ensembl gene ID"], strict=True))
    by_ensembl = {ens: sym for sym, ens in approved.items() if ens}
    ncbi = read("knowledge/human_genes.tsv.gz")
    for sym, ids in zip(ncbi["symbol"], ncbi["ensembl_id"], strict=True):
        for ens in split(ids, "|"):
            if sym in approved and ens not in by_ensembl:
                by_ensembl[ens] = sym
    # Names in falling order of trust: a name claimed at one level is not looked for at the next.
    levels: list[dict[str, set[str]]] = [defaultdict(set) for _ in range(4)]
    for sym, prev, alias in zip(hgnc["Approved symbol"], hgnc["Previous symbols"], hgnc["Alias symbols"], strict=True):
        for name in split(prev, ","):
            levels[0][name].add(sym)
        for name in split(alias, ","):
            levels[1][name].add(sym)
    # What a symbol meant in the annotation that Geneformer was trained with: settles names that two genes once had.
    with gzip.open(source("knowledge/geneformer_symbol_to_ensembl.json.gz"), "rt") as file:
        meant = {name: by_ensembl[ens] for name, ens in json.load(file).items() if ens in by_ensembl}
    for name, sym in meant.items():
        levels[2][name].add(sym)
    for sym, alias in zip(ncbi["symbol"], ncbi["aliases"], strict=True):
        if sym in approved:
            for name in split(alias, "|"):
                levels[3][name].add(sym)
    taken = set(approved)
    upper = {sym.upper() for sym in approved}
    older: dict[str, list[str]] = defaultdict(list)
    for level in levels:
        for name in sorted(level):
            if name in taken:
                continue
            taken.add(name)
            owners = level[name]
            if len(owners) > 1 and meant.get(name) in owners:
                owners = {meant[name]}
            plain = PLAIN.match(name) and not name.isdigit()
            mouse = MOUSE_STYLE.match(name) and name.upper() in upper
            if len(owners) == 1 and plain and not mouse:
                older[next(iter(owners))].append(name)
    ensembl: dict[str, list[str]] = defaultdict(list)
    for ens, sym in by_ensembl.items():
        ensembl[sym].append(ens)
    rows = []
    for sym in approved:
        ids = sorted(ensembl[sym], key=lambda ens, first=approved[sym]: (ens != first, ens))
        short = "|".join(ens.removeprefix("ENSG").lstrip("0") for ens in ids)
        rows.append([sym, short, "|".join(sorted(older[sym]))])
    path = write("genes.tsv.gz", ["symbol", "ensembl", "older_names"], rows)
    return (
        f"{path.name}: {len(rows)} symbols, {len(by_ensembl)} Ensembl ids, {sum(map(len, older.values()))} older names"
    )
