"""Make the data set in the wheel, src/scbioverse/datasets/data/pbmc3k.h5ad, from the registry's copy of it.

    SCBIOVERSE_CACHE_DIR=... python recipes/datasets/build_pbmc3k.py

Keeps the counts, the gene symbols and the expert labels. The same input gives the same bytes.
"""

from __future__ import annotations

from pathlib import Path

import anndata as ad
import h5py
import numpy as np

import scbioverse as sb

TARGET = Path(__file__).parents[2] / "src" / "scbioverse" / "datasets" / "data" / "pbmc3k.h5ad"


def main() -> None:
    """Write the file and say how large it is."""
    source = sb.datasets.load("pbmc3k")
    info = sb.datasets.list_datasets().loc["pbmc3k"]
    counts = source.X.astype(np.uint16)
    if (counts != source.X).nnz:
        raise ValueError("counts do not fit into uint16")
    small = ad.AnnData(counts, obs=source.obs[["cell_type"]].copy(), var=source.var[[]].copy())
    origin = {"source": info["address"], "licence": info["licence"], "citation": info["citation"]}
    TARGET.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(TARGET, "w") as file:
        ad.io.write_elem(
            file, "/", small, dataset_kwargs={"compression": "gzip", "compression_opts": 9, "shuffle": True}
        )
        ad.io.write_elem(file, "uns", origin)  # apart: scalars take no compression
    print(f"{TARGET}: {small.n_obs} cells × {small.n_vars} genes, {TARGET.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
