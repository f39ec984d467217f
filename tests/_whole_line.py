"""Use everything once in a fresh process and print every attempt at a connection: `test_network.py` runs it.

An audit hook sees what any Python code of any package tries, imports and threads included.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

attempts: list[str] = []


def watch(event: str, arguments: tuple[object, ...]) -> None:
    """Write down names that are looked up and addresses that are called; paths are sockets of this machine's own."""
    if event in ("socket.getaddrinfo", "socket.gethostbyname", "socket.gethostbyaddr"):
        attempts.append(f"{event} {arguments[0]}")
        raise OSError("the test lets nothing through")
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not isinstance(arguments[1], str | bytes):
        attempts.append(f"{event} {arguments[1]}")
        raise OSError("the test lets nothing through")


def main(folder: Path, tiny_llm: str) -> None:
    """Load, embed, annotate, retrieve, describe, ask, plot, align, tune, save and load again."""
    import anndata as ad
    import matplotlib as mpl
    import pandas as pd

    import scbioverse as sb

    mpl.use("agg")
    assert not sb.settings.offline
    cells = sb.datasets.pbmc3k()[::90].copy()
    labels = ["B cell", "monocyte", "natural killer cell", "T cell"]
    sb.models.list_models()
    sb.tl.embed(cells)
    sb.tl.annotate(cells, labels=labels)
    sb.tl.annotate(cells, labels=labels, method="nearest", key_added="near", rationale="template")
    sb.tl.retrieve(cells, "a cell that makes antibodies")
    cells.obs["group"] = cells.obs["bioverse_label"].astype(str).astype("category")
    sb.tl.describe(cells, max_new_tokens=8)
    sb.tl.ask(cells, "How many B cells are there?")
    sb.Chat(cells).ask("Which cells express MS4A1?")
    cells.obsm["X_umap"] = cells.obsm["X_bioverse"][:, :2]
    sb.pl.annotation_umap(cells, basis="X_umap", show=False)
    sb.pl.evidence_dotplot(cells, show=False)
    made = sb.tl.align(cells, text_key="group", llm=tiny_llm, loss="both", steps=2, batch_size=8)
    made = sb.tl.tune(cells, text_key="group", model=made, steps=2, batch_size=4)
    made.save(folder / "mine")
    sb.tl.annotate(cells, model=folder / "mine", labels=labels)
    drugs = ad.AnnData(obs=pd.DataFrame({"smiles": ["CCO", "CC(=O)Oc1ccccc1C(=O)O"]}, index=["ethanol", "aspirin"]))
    for model in ("morgan", "chemnet"):
        sb.tl.embed(drugs, model=model, modality="molecule")
    sb.tl.describe(drugs, modality="molecule", max_new_tokens=8)
    sb.tl.ask(drugs, "Which contain nitrogen?", modality="molecule")


if __name__ == "__main__":
    sys.addaudithook(watch)
    with tempfile.TemporaryDirectory() as temporary:
        main(Path(temporary), sys.argv[1])
    print("\n".join(["attempts:", *attempts]))
