"""Annotate one zarr store with the workers of a scheduler: python annotate.py SCHEDULER STORE."""

import sys

import anndata as ad
import zarr
from distributed import Client

import scbioverse as sb


def main() -> None:
    address, store = sys.argv[1:]
    root = zarr.open_group(store, mode="r")
    X = ad.experimental.read_elem_lazy(root["X"], chunks=(4096, root["X"].attrs["shape"][1]))
    adata = ad.AnnData(X, obs=ad.io.read_elem(root["obs"]), var=ad.io.read_elem(root["var"]))
    with Client(address):
        sb.tl.annotate(adata, labels=["B cell", "CD4 T cell", "CD8 T cell", "NK cell", "monocyte"])
    adata.obs.filter(like="bioverse").to_csv(store.rstrip("/").removesuffix(".zarr") + "_labels.csv")


if __name__ == "__main__":
    main()
