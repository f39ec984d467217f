"""Labels for CITE-seq cells from their surface proteins: naive, memory, regulatory.

CD45RA and CD45RO split T cells into two clean modes; the cuts lie in the valley between them on log1p counts of the
10x 10k PBMC protein set. Cells between the modes keep the coarser label they came with.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

NAIVE_CD4, MEMORY_CD4, TREG = "CL:0000895", "CL:0000897", "CL:0000815"
NAIVE_CD8, MEMORY_CD8 = "CL:0000900", "CL:0000909"


def refine_t_cells(cl_ids: np.ndarray, proteins: pd.DataFrame) -> np.ndarray:
    """Replace "CD4 T" and "CD8 T" by naive, memory or regulatory where the proteins say so.

    Parameters
    ----------
    cl_ids
        (n,) Cell Ontology ids.
    proteins
        (n, p) raw antibody counts, columns named by antigen.

    Returns
    -------
    (n,) ids, finer where the gate is clear.
    """
    level = np.log1p(proteins)
    refined = cl_ids.copy()
    naive = (level["CD45RA"] > 6.4) & (level["CD45RO"] < 4.3)
    memory = (level["CD45RA"] < 5.2) & (level["CD45RO"] > 5.5)
    cd4, cd8 = cl_ids == "CL:0000624", cl_ids == "CL:0000625"
    regulatory = (level["CD25"] > 4.8) & (level["CD127"] < 4.2)
    refined[cd4 & naive & ~regulatory] = NAIVE_CD4
    refined[cd4 & memory & ~regulatory] = MEMORY_CD4
    refined[cd4 & regulatory] = TREG
    refined[cd8 & naive] = NAIVE_CD8
    refined[cd8 & memory] = MEMORY_CD8
    return refined
