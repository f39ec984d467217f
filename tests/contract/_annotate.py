"""The scenarios of `annotate`: cells, what is done to them, options."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anndata as ad

import scbioverse as sb

from . import _data as data
from ._golden import Found, annotation

# Names as people write them: plural, abbreviated, with a slash, a number, no type at all, and one for tumours.
ODD = ["Tregs", "CD4 T", "FCGR3A+ Monocytes", "B cells/plasma", "7", "weird cells", "NK-cells", "Malignant cell", "DCs"]
# Ids, descriptions, and a name that says nothing beside an id.
MAPPING = {
    "T": "CL:0000084",
    "lymphs, B": "CL:0000236",
    "myeloid": "a phagocyte of the blood with a kidney-shaped nucleus that expresses CD14 and LYZ",
    "killers": "natural killer cell",
    "cluster 8": "CL:0000233",
}
FEW = ["B", "CD14+ Mono", "NK", "CD4 T", "CD8 T"]


@dataclass(frozen=True)
class Scenario:
    """One call of `annotate`.

    Attributes
    ----------
    name
        Of its golden files.
    options
        What is passed beside model and data.
    step
        Every which cell of pbmc3k is taken: 9 for 300 cells, 45 for 60, 90 for 30.
    source
        Makes the cells.
    prepare
        What is done to them first.
    """

    name: str
    options: dict[str, Any] = field(default_factory=dict)
    step: int = 9
    source: Callable[[int], ad.AnnData] = data.blood
    prepare: Callable[[ad.AnnData], ad.AnnData] = data.same

    @property
    def asked(self) -> dict[str, Any]:
        """What is passed beside model and data, with reasons by the template where the options name no other."""
        # Reasons that the language model words take a second each: one scenario has them.
        return {"rationale": "template", **self.options}

    def cells(self) -> ad.AnnData:
        """Return the cells in memory, as CSR."""
        return self.prepare(self.source(self.step))

    def run(self, adata: Any = None) -> Found:
        """Annotate, these or other cells, and return what came out."""
        adata = self.cells() if adata is None else adata
        sb.tl.annotate(adata, model=data.model(), **self.asked)
        return annotation(
            adata.mod["rna"] if hasattr(adata, "mod") else adata, self.options.get("key_added", "bioverse")
        )


NAMES = data.NAMES
SCENARIOS = [
    # methods and candidates
    Scenario("cascade_names", {"labels": NAMES}),
    Scenario("nearest_names", {"labels": NAMES, "method": "nearest"}),
    Scenario("score_names", {"labels": NAMES, "method": "score"}, step=45),
    Scenario("generate_names", {"labels": NAMES, "method": "generate", "rationale": None}, step=90),
    Scenario("cascade_vocabulary", {"labels": "vocabulary"}),
    Scenario("nearest_vocabulary", {"labels": "vocabulary", "method": "nearest"}),
    Scenario("score_vocabulary", {"labels": "vocabulary", "method": "score"}, step=45),
    Scenario("generate_free", {"method": "generate"}, step=180),
    Scenario("cascade_odd_names", {"labels": ODD}),
    Scenario("nearest_odd_names", {"labels": ODD, "method": "nearest"}),
    Scenario("score_odd_names", {"labels": ODD, "method": "score"}, step=90),
    Scenario("cascade_mapping", {"labels": MAPPING}),
    Scenario("nearest_mapping", {"labels": MAPPING, "method": "nearest"}),
    Scenario("ontology", {"labels": "cl"}, step=45),
    Scenario("ontology_within", {"labels": "cl", "within": ["CL:0000542", "monocyte"]}, step=45),
    Scenario("ontology_within_cascade", {"labels": "cl", "within": "leukocyte", "method": "cascade"}, step=90),
    # names that are found, and the tissue
    Scenario("found_names"),
    Scenario("found_names_of_clusters", {"groupby": "cluster", "level": "broad"}, step=45),
    Scenario("tissue", {"labels": [*NAMES, "hepatocyte"], "tissue": "blood", "method": "nearest"}, step=45),
    # groups and neighbours
    Scenario("clusters", {"labels": NAMES, "groupby": "cluster"}),
    Scenario("clusters_vocabulary", {"labels": "vocabulary", "groupby": "cluster"}),
    Scenario("clusters_nearest", {"labels": NAMES, "groupby": "cluster", "method": "nearest"}),
    Scenario("clusters_score", {"labels": NAMES, "groupby": "cluster", "method": "score"}, step=45),
    Scenario("clusters_generate", {"labels": NAMES, "groupby": "cluster", "method": "generate"}, step=90),
    Scenario("clusters_generate_free", {"groupby": "cluster", "method": "generate", "rationale": None}, step=45),
    Scenario("clusters_ontology", {"labels": "cl", "groupby": "cluster"}, step=45),
    Scenario("experts", {"labels": NAMES, "groupby": "cell_type"}),
    Scenario("samples", {"labels": NAMES, "groupby": "cluster", "sample_key": "donor"}),
    Scenario("neighbours", {"labels": NAMES, "n_neighbors": 5}),
    Scenario("neighbours_nearest", {"labels": NAMES, "n_neighbors": 15, "method": "nearest"}),
    # unknown cells
    Scenario("unknown_auto", {"labels": ["B", "NK", "CD14+ Mono"], "unknown_threshold": "auto"}),
    Scenario("unknown_parents", {"labels": NAMES, "unknown_threshold": 0.8}),
    Scenario("unknown_no_parents", {"labels": NAMES, "unknown_threshold": 0.8, "parents": False}),
    Scenario("unknown_clusters", {"labels": FEW, "groupby": "cluster", "unknown_threshold": 0.7}),
    Scenario("unknown_nearest", {"labels": FEW, "unknown_threshold": 0.5, "method": "nearest"}),
    # reasons and markers
    Scenario("reasons_worded", {"labels": NAMES, "rationale": "group"}),
    Scenario("reasons_of_cells", {"labels": NAMES, "rationale": "cell"}),
    Scenario("no_reasons", {"labels": NAMES, "rationale": None, "method": "nearest"}),
    Scenario("no_markers", {"labels": NAMES, "markers": False}),
    Scenario("no_markers_nearest", {"labels": NAMES, "markers": False, "method": "nearest"}),
    Scenario("no_markers_score", {"labels": NAMES, "markers": False, "method": "score"}, step=45),
    # where values and names lie
    Scenario("log_normalised", {"labels": NAMES}, prepare=data.log_normalised),
    Scenario("counts_in_layer", {"labels": NAMES, "layer": "counts"}, prepare=data.counts_in_layer),
    Scenario("counts_in_raw", {"labels": NAMES, "layer": "raw"}, prepare=data.counts_in_raw),
    Scenario("key_added", {"labels": FEW, "key_added": "mine", "method": "nearest", "rng": 7}),
    # a panel of 219 genes
    Scenario("panel", {"labels": NAMES}, source=data.panel),
    Scenario("panel_vocabulary", {"labels": "vocabulary"}, source=data.panel),
    Scenario("panel_nearest", {"labels": NAMES, "method": "nearest"}, source=data.panel),
    Scenario("panel_score", {"labels": NAMES, "method": "score"}, source=data.panel, step=45),
    Scenario("panel_clusters", {"labels": NAMES, "groupby": "cluster"}, source=data.panel),
    Scenario("panel_log", {"labels": NAMES}, source=data.panel, prepare=data.log_normalised),
    Scenario("panel_ensembl", {"labels": NAMES, "key": "gene_ids"}, source=data.panel, prepare=data.by_ensembl),
]
