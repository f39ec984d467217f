"""`sb.get.cellxgene`: annotated data as CELLxGENE takes them.

Fields and what may stand in them are after the schema 7.1.0 of the package cellxgene-schema (Chan Zuckerberg
Initiative, MIT licence). Whether an id is a term of its ontology is for that package's validator to say: here only its
form is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from scipy import sparse

from .._logging import first_few, logger, warn
from ..errors import InputError, MissingKeyError
from ..io import Cells, gene_names, layer_names, var_of
from ..io.columns import obs_column
from ..knowledge import load_genes
from ..knowledge.genes import gencode_genes
from ._labelled import Labelled, texts

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData
    from numpy.typing import NDArray

UNKNOWN = "unknown"
_SEX = "PATO:0000383|PATO:0000384|PATO:0001340|unknown|na"


@dataclass(frozen=True)
class Field:
    """A column of `obs`."""

    pattern: str  # what a value looks like
    example: str
    may_be_unknown: bool = False  # whether "unknown" says that nobody knows


FIELDS = {
    "assay_ontology_term_id": Field(r"EFO:\d{7}", "'EFO:0009922' for 10x 3' v3"),
    "development_stage_ontology_term_id": Field(r"HsapDv:\d{7}|unknown|na", "'HsapDv:0000258' for mature", True),
    "disease_ontology_term_id": Field(
        r"PATO:0000461|MONDO:\d{7}(?: \|\| MONDO:\d{7})*", "'PATO:0000461' for normal"
    ),
    "donor_id": Field(r"\S(?:.*\S)?", "a column such as 'donor', or 'pooled'"),
    "is_primary_data": Field("True|False", "True unless these cells were published before"),
    "self_reported_ethnicity_ontology_term_id": Field(
        r"(?:HANCESTRO|AfPO|AFPO):\w+(?: \|\| (?:HANCESTRO|AfPO|AFPO):\w+)*|unknown|na", "'unknown'", True
    ),
    "sex_ontology_term_id": Field(_SEX, "'PATO:0000383' for female, 'PATO:0000384' for male", True),
    "suspension_type": Field("cell|nucleus|na", "'cell', 'nucleus' or 'na'"),
    "tissue_ontology_term_id": Field(r"UBERON:\d{7}|CL:\d{7}|CVCL_\w{4}", "'UBERON:0000178' for blood"),
    "tissue_type": Field(
        "tissue|organoid|primary cell culture|cell line",
        "'tissue', 'organoid', 'primary cell culture' or 'cell line'",
    ),
}  # fmt: skip
# Written by CELLxGENE itself, from the ids.
RESERVED_OBS = (
    "assay", "cell_type", "development_stage", "disease", "organism", "self_reported_ethnicity", "sex", "tissue",
    "observation_joinid", "experimental_condition", "perturbation_types", "ethnicity", "ethnicity_ontology_term_id",
    "organism_ontology_term_id",
)  # fmt: skip
RESERVED_VAR = (
    "feature_name", "feature_reference", "feature_biotype", "feature_length", "feature_type", "feature_is_filtered",
)  # fmt: skip
RESERVED_UNS = (
    "schema_version", "schema_reference", "citation", "is_pre_analysis", "organism", "X_normalization", "default_field",
    "layer_descriptions", "tags", "version", "contributors", "preprint_doi", "project_description", "project_links",
    "project_name", "publication_doi",
)  # fmt: skip
# Terms of the Cell Ontology that say no more than "a cell" and are refused.
REFUSED_TYPES = ("CL:0000255", "CL:0000257", "CL:0000548")


def read_field(name: str, values: pd.Series) -> pd.Series:
    """Check the values of a field, and return them as they are to stand in `obs`."""
    if name == "is_primary_data":
        if not values.isin([True, False]).all():
            raise InputError(f"is_primary_data takes True or False; found {_some(values)}.")
        return values.astype(bool)
    said = texts(values)
    odd = said[said.isna() | ~said.astype(str).str.fullmatch(FIELDS[name].pattern)]
    if len(odd):
        raise InputError(f"{name} takes {FIELDS[name].example}; found {_some(odd)} in {len(odd)} rows.")
    if name == "disease_ontology_term_id":
        for one in said.unique():
            if (parts := one.split(" || ")) != sorted(set(parts)):
                raise InputError(f"several terms of {name} stand in their order, each once; found {one!r}.")
    return said.astype("category")


def _some(values: pd.Series) -> str:
    return first_few(map(repr, texts(values).fillna("no value").unique()), 3)


def renamed(names: Iterable[object], reserved: Iterable[str]) -> dict[str, str]:
    """Return new names for those that CELLxGENE keeps to itself: `author_…`, or without underscores in front."""
    held, taken = set(reserved), set(map(str, names))
    out = {}
    for name in map(str, names):
        new = f"author_{name}" if name in held else re.sub(r"^__+", "author_", name)
        if new != name:
            while new in taken:
                new += "_"
            taken.add(new)
            out[name] = new
    return out


HUMAN = "NCBITaxon:9606"
_ENSEMBL = re.compile(r"(ENSG\d{11})(?:\.\d+)?", re.IGNORECASE)
_MAP = re.compile(r"X_[a-zA-Z][a-zA-Z0-9_.-]*")
# So many names must be Ensembl ids for a column to hold them; and so many genes must have one.
_MOST, _LEAST = 0.9, 0.25


def cellxgene(
    adata: AnnData,
    *,
    title: str,
    columns: Mapping[str, str] | None = None,
    values: Mapping[str, Any] | None = None,
    key: str = "bioverse",
    gene_key: str | None = None,
    layer: str | None = None,
) -> AnnData:
    """Return annotated data in the form that CELLxGENE takes (schema 7.1.0, human RNA).

    Genes become Ensembl ids, labels Cell Ontology ids; raw counts stand in `raw.X` beside values in `X`, or in `X`
    where there are only counts. Names that CELLxGENE keeps to itself get `author_` in front. What is known of the
    donors is yours to say: fields that were not given are named in a warning. The file is then for the validator of the
    package cellxgene-schema: `cellxgene-schema validate out.h5ad`.

    Parameters
    ----------
    adata
        Data that :func:`scbioverse.tl.annotate` wrote to; not changed.
    title
        Of the data set.
    columns
        Column of `obs` for a field: `{"donor_id": "patient"}`. Columns that bear a field's name are taken anyway.
    values
        One value of a field for all cells: `{"assay_ontology_term_id": "EFO:0009922", "is_primary_data": True}`.
    key
        The stem that `key_added` was.
    gene_key
        Column of `var` with gene names. If not given: a column of Ensembl ids if there is one, else the index.
    layer
        Where raw counts are; found if not given.

    Returns
    -------
    A new AnnData; `obs["cell_type_ontology_term_id"]` is `"unknown"` where a label has no id. `sex`, `ethnicity` and
    `development_stage` that were not given are `"unknown"`. Genes without an id that GENCODE 48 has are left out; of
    several columns for one gene the one with most cells stays.

    Raises
    ------
    MissingKeyError
        There are no labels, or no such column.
    InputError
        There are no raw counts, as of lists of genes, cells without any, or names that repeat; or a value is not what
        its field takes.

    Warns
    -----
    UserWarning
        Fields that are still to be filled in, or were set to `"unknown"`.

    Examples
    --------
    >>> values = {"assay_ontology_term_id": "EFO:0009899", "tissue_type": "tissue", "is_primary_data": False}
    >>> out = sb.get.cellxgene(adata, title="Blood of one donor", values=values, columns={"donor_id": "donor"})
    """
    found = Labelled.of(adata, key, "cl_id")
    adata = found.adata
    for what, names in (("cells", adata.obs_names), ("columns of obs", adata.obs.columns)):
        if not names.is_unique:
            raise InputError(f"names of {what} repeat; make them unique first: adata.obs_names_make_unique().")
    if not title.strip():
        raise InputError("title is empty; say in a few words what the data are.")
    if Cells.of(adata).unlisted:
        raise InputError(
            "rows are lists of genes (scbioverse.pp.ranked_genes): nothing was counted, and the values were made from "
            "ranks. CELLxGENE takes counts that were measured."
        )
    obs = _obs(found, columns or {}, values or {})
    matrices = _matrices(adata, gene_key, layer)
    import anndata as ad

    maps = {name: one for name, one in adata.obsm.items() if _is_map(name, one)}
    if not maps:
        raise InputError(f"adata.obsm holds no embedding called X_… with two columns (found: {sorted(adata.obsm)}).")
    out = ad.AnnData(X=matrices["X"], obs=obs, var=matrices["var"], obsm=maps)
    if "raw" in matrices:
        out.raw = ad.AnnData(X=matrices["raw"], obs=obs[[]], var=matrices["var"].drop(columns="feature_is_filtered"))
    out.uns = _uns(adata, obs, title)
    if "X_umap" in maps:
        out.uns["default_embedding"] = "X_umap"
    return out


def _obs(found: Labelled, columns: Mapping[str, str], values: Mapping[str, Any]) -> pd.DataFrame:
    adata, slots = found
    known = {**{name: name for name in FIELDS if name in adata.obs}, **columns}
    if odd := {*columns, *values} - {*FIELDS}:
        raise InputError(f"{min(odd)!r} is no field; there are {', '.join(FIELDS)}.")
    if both := {*columns} & {*values}:
        raise InputError(f"{min(both)} is given as a column and as a value; give one of them.")
    given = {name: pd.Series([one] * adata.n_obs, index=adata.obs_names) for name, one in values.items()}
    for name in known.keys() - values.keys():
        given[name] = obs_column(adata, known[name], f"columns[{name!r}]")
    if "tissue_ontology_term_id" not in given and (tissue := _tissue_given(found)) is not None:
        given["tissue_ontology_term_id"] = tissue
        logger.info("tissue_ontology_term_id is %s, as annotate was told", ", ".join(tissue.unique()))
    obs = adata.obs.drop(columns=list(FIELDS), errors="ignore")
    obs = obs.rename(columns=renamed(obs.columns, (*RESERVED_OBS, "cell_type_ontology_term_id")))
    # Mixed types, and texts with missing values, cannot be stored.
    mixed = obs.select_dtypes(object).columns
    obs[mixed] = obs[mixed].apply(texts).astype("category")
    ids = adata.obs[slots.cl_id].astype(object)
    ids = ids.where(ids.notna() & (ids != "") & ~ids.isin(REFUSED_TYPES), UNKNOWN)
    obs["cell_type_ontology_term_id"] = ids.astype("category")
    for name in sorted(given):
        obs[name] = read_field(name, given[name])
    absent = [name for name in FIELDS if name not in given]
    unsaid = [name for name in absent if FIELDS[name].may_be_unknown]
    obs = obs.assign(**{name: pd.Categorical([UNKNOWN] * len(obs)) for name in unsaid})
    if absent:
        listed = "; ".join(f"{name} ({FIELDS[name].example})" for name in absent)
        until = f" Until then these are 'unknown': {', '.join(unsaid)}." if unsaid else ""
        warn(f"CELLxGENE asks for more, pass it by values= or columns=: {listed}.{until}")
    if n := int((ids == UNKNOWN).sum()):
        names = sorted(set(adata.obs[slots.label].astype(object)[ids == UNKNOWN].dropna().map(str)))
        logger.info("%d cells have no Cell Ontology id and are 'unknown': %s", n, ", ".join(names[:10]))
    return obs


def _tissue_given(found: Labelled) -> pd.Series | None:
    """Return the tissue of each row that `annotate` was told, None where it was not; what it guessed is not taken."""
    said = found.noted("tissue")
    if not isinstance(said, dict) or said.get("given") is None:
        return None
    given, obs = said["given"], found.adata.obs
    ids = {name: one["id"] for name, one in (said.get("read") or {}).items() if isinstance(one, dict)}
    tissues = texts(obs.get(given, pd.Series(given, index=obs.index, dtype=object))).map(ids)
    return None if tissues.isna().any() else tissues


def _matrices(adata: AnnData, gene_key: str | None, layer: str | None) -> dict[str, Any]:
    """Return `X`, `var` and, where `X` holds no counts, `raw`: float32 CSR, columns by Ensembl id."""
    source, counts = _counts(adata, layer)
    names = gene_names(adata, key=gene_key, layer=source)
    ids = _ensembl_ids(names if gene_key else _named_by_id(var_of(adata, source), names))
    seen = np.asarray((counts > 0).sum(axis=0)).ravel()
    best: dict[str, int] = {}
    for at in np.argsort(-seen, kind="stable"):  # of several columns for one gene the one with most cells
        if ids[at]:
            best.setdefault(ids[at], int(at))
    if len(best) < max(1, _LEAST * len(ids)):
        raise InputError(
            f"{len(best)} of {len(ids)} genes have an Ensembl id (names: {names[:3]} …). "
            "Name a column of var with human gene names by gene_key=."
        )
    kept = np.sort(np.fromiter(best.values(), np.int64, len(best)))
    logger.info("%d of %d genes have an Ensembl id of GENCODE 48 and stay", len(kept), len(ids))
    counts = counts[:, kept]
    empty = int((np.asarray(counts.sum(axis=1)).ravel() == 0).sum())
    if empty:
        raise InputError(
            f"{empty} cells have no counts; leave them out first: scanpy.pp.filter_cells(adata, min_genes=1)."
        )
    var = var_of(adata, source).iloc[kept].copy()
    var = var.rename(columns=renamed(var.columns, RESERVED_VAR))
    var["author_gene_name"] = [names[at] for at in kept]
    var.index = pd.Index([ids[at] for at in kept], name=None)
    mixed = var.select_dtypes(object).columns
    var[mixed] = var[mixed].apply(texts).fillna("").astype(str)
    var["feature_is_filtered"] = False
    final = None if source is None else _final(adata, source, kept)
    if final is None:
        return {"X": counts, "var": var}
    matrix, var["feature_is_filtered"] = final
    return {"X": matrix, "raw": counts, "var": var}


def _counts(adata: AnnData, layer: str | None) -> tuple[str | None, Any]:
    """Find the matrix of raw counts: float32 CSR, and where it stands."""
    there: list[str | None] = [None, *layer_names(adata), *["raw"] * (adata.raw is not None)]
    if layer not in there:
        raise MissingKeyError(f"adata.layers has no {layer!r} (found: {layer_names(adata) or 'nothing'}).")
    for place in dict.fromkeys([None, "counts", *there] if layer is None else [layer]):
        if place in there and (found := _whole_numbers(Cells.of(adata, place))) is not None:
            return place, found
    where = "neither X, a layer nor raw holds any: add a layer." if layer is None else f"layer {layer!r} holds none."
    raise InputError(f"CELLxGENE asks for raw counts, whole numbers, and {where}")


def _whole_numbers(cells: Cells) -> sparse.csr_matrix | None:
    """Return a matrix of counts, float32; None where it holds others than whole numbers from 0 up."""
    blocks = []
    for _, block in cells.blocks():
        if (block.data < 0).any() or (block.data != np.rint(block.data)).any():
            return None
        blocks.append(block.astype(np.float32))
    found = sparse.csr_matrix(sparse.vstack(blocks))
    found.eliminate_zeros()
    return found


def _named_by_id(var: pd.DataFrame, names: list[str]) -> list[str]:
    """Return the column of `var` that holds Ensembl ids, else the names."""
    for column in var.select_dtypes(exclude="number"):
        held = var[column].astype(str)
        if held.str.fullmatch(_ENSEMBL).mean() >= _MOST:
            return held.tolist()
    return names


def _ensembl_ids(names: list[str]) -> list[str]:
    """Ensembl id of each gene without its version, `""` where none is known or GENCODE 48 does not have it."""
    table, taken = load_genes(), gencode_genes()
    # The first of several ids of one symbol.
    by_symbol = {symbol: one for one, symbol in reversed(table.ensembl.items()) if one in taken}

    def of(name: str) -> str:
        if match := _ENSEMBL.fullmatch(name):
            found = match[1].upper()
            return found if found in taken else ""
        return by_symbol.get((table.lookup(name) or [""])[0], "")

    return [of(name) if name else "" for name in names]


def _final(adata: AnnData, source: str, kept: NDArray[np.int64]) -> tuple[Any, NDArray[np.bool_]] | None:
    """Return the values of `X` for the genes of the counts, and which of these `X` lacks; None where it is scaled."""
    whole = sparse.csr_matrix(sparse.vstack([block for _, block in Cells.of(adata).blocks()])).astype(np.float32)
    if not np.isfinite(whole.data).all():
        raise InputError("adata.X holds values that are not finite.")
    if (whole.data < 0).any():
        logger.info("adata.X holds scaled values, which are left out: X holds the counts")
        return None
    if source != "raw":
        return whole[:, kept], np.zeros(len(kept), dtype=bool)
    if not adata.var_names.is_unique:
        raise InputError("names of genes repeat; make them unique first: adata.var_names_make_unique().")
    at = adata.var_names.get_indexer(adata.raw.var_names[kept])
    empty = sparse.csr_matrix((whole.shape[0], 1), dtype=whole.dtype)
    return sparse.hstack([whole, empty], format="csr")[:, at], at < 0  # -1, of a gene that X lacks, takes the last


def _is_map(name: str, values: Any) -> bool:
    """Whether CELLxGENE takes an entry of `obsm` as an embedding."""
    if not _MAP.fullmatch(name) or name.lower() == "x_spatial" or not isinstance(values, np.ndarray):
        return False
    if values.dtype.kind not in "iuf" or values.ndim != 2 or values.shape[1] < 2:
        return False
    return not (np.isinf(values).any() or np.isnan(values).all())


def _uns(adata: AnnData, obs: pd.DataFrame, title: str) -> dict[str, Any]:
    """Return what may stand in `uns`; lists of colours only where their column still bears the name."""
    names = renamed(adata.uns, RESERVED_UNS)
    kept: dict[str, Any] = {}
    for name, value in adata.uns.items():
        if name.endswith("_colors"):
            column = obs.get(name.removesuffix("_colors"))
            fits = column is not None and isinstance(column.dtype, pd.CategoricalDtype)
            if not fits or len(value) < column.nunique():
                continue
            value = np.asarray(value, dtype=str)
        if (held := _filled(value)) is not None:
            kept[names.get(name, name)] = held
    return {**kept, "title": title.strip(), "organism_ontology_term_id": HUMAN}


def _filled(value: Any) -> Any:
    """Return what of a value of `uns` is there: neither None, which the validator's anndata cannot read, nor empty."""
    if isinstance(value, Mapping):
        value = {name: held for name, one in value.items() if (held := _filled(one)) is not None}
    return None if value is None or (hasattr(value, "__len__") and not len(value)) else value
