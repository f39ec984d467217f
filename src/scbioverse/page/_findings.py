"""What a report says of labels: reasons, evidence, alternatives, and what a reader should be warned of.

And the paragraph for a paper: what was run, on what, with which versions and seeds, and what to cite.
"""

from __future__ import annotations

import json
import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .. import get
from .._logging import and_more, shown_name
from .._slots import without_nan
from ..errors import InputError, MissingKeyError
from ..get._labelled import Labelled, texts
from ..io import Cells

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from anndata import AnnData

    from .._slots import Slots

# A second label with less than this mean probability is no alternative.
_LEAST = 0.02
_ALTERNATIVES = 3
_UNSURE = 0.5
_MIXED = 0.7
# A gene that sets a label apart fourfold and is yet found in half of all other cells may float in all droplets.
_EVERYWHERE, _FOLD = 0.5, 2.0  # share of the others; log2
_EVIDENCE = [
    "gene", "direction", "against", "fraction_in", "fraction_out", "log_fold_change", "p", "verdict", "kind", "source",
]  # fmt: skip


def labels_found(adata: AnnData, slots: Slots) -> tuple[list[dict[str, Any]], list[str]]:
    """Return one entry a label, the most frequent first, and what was warned of while the tables were read."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        # Of a label that was not recorded, such as one set by hand, id and term may be missing.
        table = get.labels(adata, key=slots.key).fillna({"cl_id": "", "term": "", "how": ""})
        claims = _table(get.evidence, adata, slots)
        scores = _table(get.scores, adata, slots)
    table = table[table["n"] > 0].sort_values("n", ascending=False, kind="stable")
    claims = pd.DataFrame(columns=["label"]) if claims is None else claims
    plain = without_nan(claims[pd.Index(_EVIDENCE).intersection(claims.columns, sort=False)])
    label, out = texts(adata.obs[slots.label]), []
    row: Any
    for row in table.itertuples():
        mine = (label == row.name).to_numpy()
        known = _known(adata, slots.confidence, mine)
        out.append(
            {
                "name": shown_name(row.name),
                "cl_id": row.cl_id,
                "term": row.term,
                "how": row.how,
                "n": int(row.n),
                "share": round(float(row.n) / max(adata.n_obs, 1), 6),
                "confidence": round(float(known.mean()), 4) if known.size else None,
                "unsure": round(float((known < _UNSURE).mean()), 4) if known.size else None,
                "reason": _reason(adata, slots, mine),
                "alternatives": _alternatives(scores, mine, row.name),
                "evidence": plain[claims["label"] == row.name].to_dict("records"),
            }
        )
    return out, list(dict.fromkeys(str(one.message) for one in caught if one.category is UserWarning))


def cautions(adata: AnnData, slots: Slots, labels: list[dict[str, Any]]) -> list[str]:
    """Return what the data say against taking every label at its word, one sentence each."""
    obs, n = adata.obs, max(adata.n_obs, 1)
    few = [one["name"] for one in labels if one["n"] < 10]

    def some(which: Any, what: str) -> list[str]:
        part = int(np.sum(which))
        return [f"{part:,} of {n:,} cells ({100 * part / n:.1f} %) {what}"] if part else []

    def numbers(slot: str) -> np.ndarray:
        return obs.get(slot, pd.Series(np.nan, index=obs.index)).to_numpy(float)

    doubled = obs.get("predicted_doublet", pd.Series(dtype=object)).astype(object).map(str).str.lower()
    return [
        *some(obs[slots.label].isna(), "have no label: they are in no group."),
        *some(
            [one["n"] for one in labels if one["how"] == "unknown"],
            "are called unknown: no candidate is likely enough.",
        ),
        *some(
            numbers(slots.elsewhere) > _UNSURE,
            "are more like a type that is not among the candidates (open set). Their label is the nearest candidate; "
            "check whether a type is missing from the list.",
        ),
        *some(
            numbers(slots.confidence) < _UNSURE,
            f"have a confidence below {_UNSURE}: another label may be as likely.",
        ),
        *_mixed(_table(get.groups, adata, slots)),
        *some(doubled == "true", "are predicted doublets in obs['predicted_doublet'], and labelled all the same."),
        *_ambient(labels),
        *([f"Fewer than 10 cells each: {', '.join(few)}. Reasons of so few cells rest on little."] if few else []),
    ]


def _mixed(groups: pd.DataFrame | None) -> list[str]:
    """Say which groups may be mixtures."""
    if groups is None or "agreement" not in groups:
        return []
    mixed = groups[groups["agreement"].astype(float) < _MIXED]
    named = "; ".join(
        f"{shown_name(str(name))} ({n} cells, {100 * share:.0f} % alike)"
        for name, n, share in mixed[["group", "n", "agreement"]].head(8).to_numpy(object)
    )
    said = (
        f"Groups that may be mixtures of types, since fewer than {100 * _MIXED:.0f} % of their cells agree on a label: "
        f"{named}{' …' if len(mixed) > 8 else ''}."
    )
    return [said] if len(mixed) else []


def _ambient(labels: list[dict[str, Any]]) -> list[str]:
    """Say which genes of the reasons look as if their RNA lay in the droplets of other cells, too."""
    seen = [
        f"{claim['gene']} (marks {one['name']}, found in {100 * claim['fraction_out']:.0f} % of all other cells)"
        for one in labels
        for claim in one["evidence"]
        if (claim["direction"], claim.get("kind"), claim.get("against") or "") == ("high", "self", "")
        and (claim["fraction_out"] or 0) >= _EVERYWHERE
        and (claim["log_fold_change"] or 0) >= _FOLD
    ]
    if not seen:
        return []
    return [
        f"Ambient RNA is possible: genes that are at least {2**_FOLD:.0f} times higher in one label are found in most "
        f"other cells, too: {'; '.join(seen[:8])}. SoupX, DecontX or CellBender estimate and remove it."
    ]


def _table(read: Any, adata: AnnData, slots: Slots) -> pd.DataFrame | None:
    try:
        return read(adata, key=slots.key)
    except (MissingKeyError, InputError):
        return None


def _known(adata: AnnData, slot: str, mine: np.ndarray) -> np.ndarray:
    """Values of some rows, without those of labels set by hand, which have none."""
    values = adata.obs[slot].to_numpy(float)[mine] if slot in adata.obs else np.zeros(0)
    return values[np.isfinite(values)]


def _reason(adata: AnnData, slots: Slots, mine: np.ndarray) -> str:
    if slots.rationale not in adata.obs:
        return ""
    said = adata.obs[slots.rationale].astype(str)[mine].value_counts()
    # With a reason for each cell, or for each group, one label has several: the commonest stands for them.
    more = f" ({len(said) - 1:,} more wordings among these cells.)" if len(said) > 1 else ""
    return f"{said.index[0]}{more}"


def _alternatives(scores: pd.DataFrame | None, mine: np.ndarray, name: str) -> list[dict[str, Any]]:
    if scores is None:
        return []
    chances = np.exp(scores.to_numpy()[mine].astype(np.float64))  # of these rows alone: it is done for every label
    mean = pd.Series(chances.mean(axis=0), index=scores.columns).drop(name, errors="ignore")
    best = mean[mean >= _LEAST].sort_values(ascending=False).head(_ALTERNATIVES)
    return [{"name": shown_name(str(other)), "probability": round(float(p), 4)} for other, p in best.items()]


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
_MARKER_TABLES = ("PanglaoDB", "CellMarker 2.0", "Azimuth", "CellTypist", "HuBMAP")
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
    said = [*_made_by(adata, record), *_chosen_from(record), *_decided_by(record)]
    if corrected := Labelled(adata, slots).n_corrected:
        said.append(f"{corrected:,} labels were changed by hand afterwards.")
    cited = ["scbioverse", "anndata"]
    if "smollm2" in str(record.get("llm")).lower():
        cited.append("smollm2")
    if _none_given(record) and not record.get("groupby"):
        cited.append("leiden")
    cited.append("cl")
    if record.get("n_neighbors"):
        cited.append("propagation")
    if axis_name == "UMAP":
        said.append("The map is a UMAP.")
        cited += ["umap", "scanpy"]
    claims = records.get(slots.step("evidence"), {"columns": [], "rows": []})
    sources = " ".join(pd.DataFrame(claims["rows"], columns=claims["columns"]).get("source", pd.Series()).astype(str))
    cited += [name for name in _MARKER_TABLES if name in sources]
    return " ".join(said), [CITATIONS[one] for one in cited]


def _none_given(record: Mapping[str, Any]) -> bool:
    """Whether names were found, and no candidates given."""
    return bool(record.get("found")) or "level" in record


def _made_by(adata: AnnData, record: Mapping[str, Any]) -> Iterator[str]:
    """Say what was run, and on what."""
    versions, method, layer = dict(record.get("versions", {})), str(record.get("method")), record.get("layer")
    ours = versions.pop("scbioverse", "(version not recorded)")
    others = ", ".join(f"{name} {number}" for name, number in versions.items())
    yield f"{adata.n_obs:,} cells were labelled with scbioverse {ours} ({others})."
    yield (
        f"The model was {shown_name(str(record.get('model')))} (fingerprint {str(record.get('fingerprint'))[:12]}), "
        f"with the frozen language model {shown_name(str(record.get('llm')))} (sha256 "
        f"{str(record.get('llm_sha256'))[:12]})."
    )
    matrix = f"layer {shown_name(str(layer))}" if layer else "the matrix X"
    chosen = f"{_METHODS.get(method, method)} (method {method!r})"
    yield f"Expression was read from {matrix}; labels were chosen by {chosen}."
    if Cells.of(adata).unlisted:
        yield (
            "Rows are lists of genes in order, of which values were made: none was measured, and a gene that is not "
            "listed was not taken for silent."
        )


def _chosen_from(record: Mapping[str, Any]) -> Iterator[str]:
    """Say which candidates there were, and what was known of them."""
    candidates, groupby = record.get("labels") or [], record.get("groupby")
    if _none_given(record):
        groups = "the groups given were" if groupby else "groups of alike cells were found and"
        yield (
            f"No candidates were given: {groups} named on the level {record.get('level')!r}, and every cell was called "
            f"among these {len(candidates)} names."
        )
    if heard := record.get("heard"):
        yield (
            f"The mean probability of the {heard} cells that are most like it, by 30 principal components of the 1,000 "
            "most variable genes, was a prior for each cell."
        )
    if background := (record.get("markers") or {}).get("background"):
        yield (
            "What cells of other types show of the markers of a type was taken from its evidence "
            f"({len(background)} candidates)."
        )
    if candidates and not _none_given(record):
        yield f"The {len(candidates)} candidates were {_listed(candidates)}."
    if groupby:
        yield f"Cells of one group of {shown_name(str(groupby))!r} got one label, by mean log-probability."


def _decided_by(record: Mapping[str, Any]) -> Iterator[str]:
    """Say how labels were decided, and what their reasons rest on."""
    if near := record.get("n_neighbors"):
        yield f"Log-probabilities were averaged over {near} mutual nearest neighbours."
    if threshold := record.get("unknown_threshold"):
        lifted = "called unknown" if record.get("parents") is None else "replaced by a parent term or called unknown"
        yield f"Labels with a confidence below {threshold} were {lifted}."
    if record.get("rationale"):
        yield (
            "Each gene that a reason names passed a one-sided Mann-Whitney test on these cells, or where either side "
            "has fewer than ten cells a bound on the size of the difference; those for which the evidence gives a "
            "source are known markers of the label or of a broader type."
        )
    yield f"The random seed was {record.get('seed')}."


def provenance(adata: AnnData) -> str:
    """Return all records as indented JSON."""
    return json.dumps(get.records(adata), indent=1, ensure_ascii=False, sort_keys=True)


def _listed(candidates: list[dict[str, Any]]) -> str:
    ids = (f" ({one['cl_id']})" if one.get("cl_id") else "" for one in candidates)
    return and_more([shown_name(str(one["name"])) + cl_id for one, cl_id in zip(candidates, ids, strict=True)], 40)
