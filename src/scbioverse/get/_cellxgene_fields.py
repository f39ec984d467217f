"""Fields that CELLxGENE asks of every cell, and what may stand in them.

After the schema 7.1.0 of the package cellxgene-schema (Chan Zuckerberg Initiative, MIT licence). Whether an id is a
term of its ontology is for that package's validator to say: here only its form is looked at.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd

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
        if not set(values.unique()) <= {True, False, np.True_, np.False_}:
            raise InputError(f"is_primary_data takes True or False; found {_some(values)}.")
        return values.astype(bool)
    texts = values.astype(object).map(str, na_action="ignore")
    odd = texts[texts.isna() | ~texts.astype(str).str.fullmatch(FIELDS[name].pattern)]
    if len(odd):
        raise InputError(f"{name} takes {FIELDS[name].example}; found {_some(odd)} in {len(odd)} rows.")
    if name == "disease_ontology_term_id":
        _check_sorted(name, texts.unique())
    return texts.astype("category")


def _check_sorted(name: str, texts: Iterable[str]) -> None:
    for one in texts:
        parts = one.split(" || ")
        if parts != sorted(set(parts)):
            raise InputError(f"several terms of {name} stand in their order, each once; found {one!r}.")


def _some(values: pd.Series) -> str:
    found = values.astype(object).where(values.notna(), "no value").map(str).unique()
    return ", ".join(repr(one) for one in found[:3]) + (" …" if len(found) > 3 else "")


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
