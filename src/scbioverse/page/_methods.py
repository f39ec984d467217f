"""The paragraph for a paper: what was run, on what, with which versions and seeds, and what to cite."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .. import get
from .._shown import shown_name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from anndata import AnnData

    from .._slots import Slots

CITATIONS = {
    "scbioverse": "scbioverse developers (2026). scbioverse: cells become soft tokens that a language model reads, "
    "inside AnnData.",
    "anndata": "Virshup I et al. (2024). anndata: Access and store annotated data matrices. J Open Source Softw "
    "9(101): 4371.",
    "scanpy": "Wolf FA, Angerer P, Theis FJ (2018). SCANPY: large-scale single-cell gene expression data analysis. "
    "Genome Biol 19: 15.",
    "cl": "Diehl AD et al. (2016). The Cell Ontology 2016: enhanced content, modularization, and ontology "
    "interoperability. J Biomed Semantics 7: 44.",
    "smollm2": "Allal LB et al. (2025). SmolLM2: When Smol Goes Big. arXiv:2502.02737.",
    "umap": "McInnes L, Healy J, Melville J (2018). UMAP: Uniform Manifold Approximation and Projection. "
    "arXiv:1802.03426.",
    "leiden": "Traag VA, Waltman L, van Eck NJ (2019). From Louvain to Leiden. Sci Rep 9: 5233.",
    "propagation": "Zhou D et al. (2003). Learning with local and global consistency. NIPS 16.",
    "PanglaoDB": "Franzén O, Gan LM, Björkegren JLM (2019). PanglaoDB. Database 2019: baz046.",
    "CellMarker 2.0": "Hu C et al. (2023). CellMarker 2.0. Nucleic Acids Res 51: D870–D876.",
    "Azimuth": "Hao Y et al. (2021). Integrated analysis of multimodal single-cell data. Cell 184: 3573–3587.",
    "CellTypist": "Domínguez Conde C et al. (2022). Cross-tissue immune cell analysis. Science 376: eabl5197.",
    "HuBMAP": "Börner K et al. (2021). Anatomical structures, cell types and biomarkers of the Human Reference Atlas. "
    "Nat Cell Biol 23: 1117–1128.",
}
_METHODS = {
    "cascade": "pooling nearness to the labels' descriptions, the projector's attention and marker genes",
    "score": "taking the language model's probability of each candidate",
    "nearest": "nearness to the labels' descriptions",
    "generate": "letting the language model write the label",
}


def methods_text(adata: AnnData, slots: Slots, axis_name: str = "") -> tuple[str, list[str]]:
    """Return the paragraph, and the works to cite in the order in which they matter to it."""
    records = get.records(adata)
    record: Mapping[str, Any] = records.get(slots.step("annotate"), {})
    if not record:
        return "The record of the annotation is not in this file, so that nothing can be said of how it was made.", []
    versions = record.get("versions", {})
    cited = ["scbioverse", "anndata"]
    named = ", ".join(f"{name} {number}" for name, number in versions.items() if name != "scbioverse")
    said = [
        f"{adata.n_obs:,} cells were labelled with scbioverse {versions.get('scbioverse', '(version not recorded)')} "
        f"({named})."
    ]
    said.append(
        f"The model was {shown_name(str(record.get('model')))} (fingerprint {str(record.get('fingerprint'))[:12]}), "
        f"with the frozen language model {shown_name(str(record.get('llm')))} "
        f"(sha256 {str(record.get('llm_sha256'))[:12]})."
    )
    if "smollm2" in str(record.get("llm")).lower():
        cited.append("smollm2")
    matrix = f"layer {shown_name(str(record['layer']))}" if record.get("layer") else "the matrix X"
    method = str(record.get("method"))
    said.append(
        f"Expression was read from {matrix}; labels were chosen by {_METHODS.get(method, method)} (method {method!r})."
    )
    candidates, found = record.get("labels") or [], record.get("found")
    if found or "level" in record:
        alone = not record.get("groupby")
        groups = "groups of alike cells were found and" if alone else "the groups given were"
        said.append(
            f"No candidates were given: {groups} named on the level {record.get('level')!r}, and every cell was called "
            f"among these {len(candidates)} names."
        )
        cited += ["leiden"] if alone else []
    elif candidates:
        said.append(f"The {len(candidates)} candidates were {_listed(candidates)}.")
    cited.append("cl")
    if record.get("groupby"):
        said.append(
            f"Cells of one group of {shown_name(str(record['groupby']))!r} got one label, by mean log-probability."
        )
    if record.get("n_neighbors"):
        said.append(f"Log-probabilities were averaged over {record['n_neighbors']} mutual nearest neighbours.")
        cited.append("propagation")
    threshold = record.get("unknown_threshold")
    if threshold:
        instead = "called unknown" if record.get("parents") is None else "replaced by a parent term or called unknown"
        said.append(f"Labels with a confidence below {threshold} were {instead}.")
    if record.get("rationale"):
        said.append(
            "Each gene that a reason names passed a one-sided Mann-Whitney test on these cells; those for which the "
            "evidence gives a source are known markers of the label or of a broader type."
        )
    said.append(f"The random seed was {record.get('seed')}.")
    corrected = adata.obs.get(f"{slots.label}_corrected")
    if corrected is not None and corrected.dtype == bool and corrected.any():
        said.append(f"{int(corrected.sum()):,} labels were changed by hand afterwards.")
    if axis_name == "UMAP":
        said.append("The map is a UMAP.")
        cited += ["umap", "scanpy"]
    claims = records.get(slots.step("evidence"), {})
    if "source" in claims.get("columns", ()):
        at = claims["columns"].index("source")
        sources = " ".join(str(row[at]) for row in claims["rows"])
        cited += [
            name for name in ("PanglaoDB", "CellMarker 2.0", "Azimuth", "CellTypist", "HuBMAP") if name in sources
        ]
    return " ".join(said), [CITATIONS[name] for name in dict.fromkeys(cited)]


def provenance(adata: AnnData) -> str:
    """Return all records as indented JSON."""
    return json.dumps(get.records(adata), indent=1, ensure_ascii=False, sort_keys=True)


def _listed(candidates: list[dict[str, Any]]) -> str:
    names = [
        shown_name(str(one["name"])) + (f" ({one['cl_id']})" if one.get("cl_id") else "") for one in candidates[:40]
    ]
    return ", ".join(names) + (f" and {len(candidates) - 40} more" if len(candidates) > 40 else "")
