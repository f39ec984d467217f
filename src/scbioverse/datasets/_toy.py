"""Small made-up cells with planted markers, for tests, examples and trying things out."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from .._device import Rng, as_generator
from ..errors import InputError

if TYPE_CHECKING:
    from anndata import AnnData

TOY_MARKERS: dict[str, tuple[str, ...]] = {
    "B cell": ("MS4A1", "CD79A", "CD79B", "CD19", "BANK1", "TCL1A", "VPREB3", "LINC00926"),
    "CD14 monocyte": ("CD14", "LYZ", "S100A8", "S100A9", "FCN1", "VCAN", "CST3", "S100A12"),
    "CD8 T cell": ("CD3D", "CD3E", "CD8A", "CD8B", "GZMK", "TRAC", "CD2", "CD27"),
    "NK cell": ("GNLY", "NKG7", "KLRD1", "KLRF1", "PRF1", "FGFBP2", "SPON2", "GZMB"),
    "platelet": ("PPBP", "PF4", "GP9", "ITGA2B", "TUBB1", "GNG11", "SDPR", "TREML1"),
}
_UNNAMED = re.compile(r"^(MT-|RP[LS]\d|RP\d+-|A[CLPF]\d{6}|LOC\d|CT[ABCD]-|XX|KB-|LINC)|[.]")


@cache
def _filler_symbols() -> tuple[str, ...]:
    """Real gene symbols that are no marker above, in the order of the bundled data set."""
    import h5py

    with (
        resources.as_file(resources.files(__package__) / "data" / "pbmc3k.h5ad") as path,
        h5py.File(path, "r") as file,
    ):
        names = file["var"][file["var"].attrs["_index"]].asstr()[:]
    markers = {gene for genes in TOY_MARKERS.values() for gene in genes}
    return tuple(name for name in names if name not in markers and not _UNNAMED.search(name))


def toy_cells(*, n_obs: int = 250, n_genes: int = 400, depth: float = 2000.0, rng: Rng = 0) -> AnnData:
    """Make cells of five types whose marker genes are planted.

    Rates are lognormal per gene, a type's eight markers are raised forty-fold in its cells, depth is lognormal per
    cell, counts are Poisson.

    Parameters
    ----------
    n_obs
        Number of cells, dealt to the five types in turn.
    n_genes
        Number of genes: 40 markers, and other human gene symbols.
    depth
        Median counts per cell.
    rng
        Seed or generator.

    Returns
    -------
    AnnData of shape (n_obs, n_genes): `X` CSR float32 counts, `var_names` gene symbols, `obs["cell_type"]`
    categorical, `var["marker_of"]` the type a gene marks or `""`.

    Raises
    ------
    InputError
        `n_obs` is below 1, or `n_genes` is not between 40 and what symbols there are.

    Examples
    --------
    >>> import scbioverse as sb
    >>> sb.datasets.toy_cells(n_obs=10).obs["cell_type"].nunique()
    5
    """
    import anndata as ad
    import pandas as pd
    from scipy.sparse import csr_matrix

    filler = _filler_symbols()
    markers = [gene for genes in TOY_MARKERS.values() for gene in genes]
    if n_obs < 1:
        raise InputError(f"n_obs must be at least 1, found {n_obs}.")
    if not len(markers) <= n_genes <= len(markers) + len(filler):
        raise InputError(f"n_genes must be between {len(markers)} and {len(markers) + len(filler)}, found {n_genes}.")
    generator = as_generator(rng)
    types = list(TOY_MARKERS)
    # Evenly spread over the list, so that the names do not depend on the seed.
    others = [filler[i] for i in np.linspace(0, len(filler) - 1, n_genes - len(markers)).astype(int)]
    genes = markers + others
    marker_of = [name for name, its in TOY_MARKERS.items() for _ in its] + [""] * len(others)

    rate = generator.lognormal(0.0, 1.0, size=n_genes)
    rate[: len(markers)] = 0.5
    codes = np.arange(n_obs) % len(types)
    raised = np.where(np.array(types)[:, None] == np.array(marker_of), 40.0, 1.0)
    rates = rate * raised[codes]
    sizes = depth * generator.lognormal(0.0, 0.3, size=(n_obs, 1))
    counts = generator.poisson(rates / rates.sum(axis=1, keepdims=True) * sizes)
    return ad.AnnData(
        csr_matrix(counts.astype(np.float32)),
        obs=pd.DataFrame(
            {"cell_type": pd.Categorical([types[code] for code in codes], categories=types)},
            index=[f"cell_{i}" for i in range(n_obs)],
        ),
        var=pd.DataFrame({"marker_of": marker_of}, index=genes),
    )
