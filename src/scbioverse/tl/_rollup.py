"""`sb.tl.rollup`: labels lifted to broader terms of the Cell Ontology."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._slots import Slots, check_target, takes_mudata, without_nan, write_results
from ..errors import InputError
from ..get._labelled import Labelled
from ..io.columns import as_categories, obs_column
from ..knowledge import load_ontology, resolve_labels
from ..knowledge.levels import lift
from ..knowledge.ontology import canonical_phrase
from ..predict.candidates import resolve_term

if TYPE_CHECKING:
    from anndata import AnnData

OTHER = "other"


@takes_mudata
def rollup(
    adata: AnnData,
    *,
    level: int | str | Iterable[str],
    label_key: str | None = None,
    key_added: str = "bioverse",
    copy: bool = False,
) -> AnnData | None:
    """Lift labels to chosen ancestors or to a depth of the Cell Ontology.

    Parameters
    ----------
    adata
        Annotated data.
    level
        `"broad"`: the names of a first look at any tissue, such as T cell, neuron, epithelial cell; `"usual"`: those
        that atlases print, such as CD4 T cell, GABAergic neuron, enterocyte; a label above all of these stays. Or ids
        or names of Cell Ontology terms: every label becomes the nearest of them (fewest `is_a` steps up) that it is or
        descends from. Or a whole number, the depth, which is the longest number of `is_a` steps from a root down to a
        term (cell 0, leukocyte 2, lymphocyte 4, T cell 5, CD4 T cell 8): a label deeper than that becomes its deepest
        ancestor that is not; of equally deep ones that with the fewest kinds below it.
    label_key
        Column of `obs` with names of cell types, resolved to terms. What :func:`scbioverse.tl.annotate` wrote if not
        given.
    key_added
        Stem of the slot names.
    copy
        Return a copy with the results and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets, with `bioverse` standing for `key_added`:

    `obs["bioverse_label_rollup"]`
        categorical: the broader name; `"other"` where none of the chosen terms is above the label; `"unknown"` and
        labels without a term stay as they are; missing where the label is.
    `obs["bioverse_label_rollup_cl_id"]`
        categorical: its id, empty where it has none.
    `uns["bioverse"]["rollup"]`
        the level and what each label became.

    Raises
    ------
    MissingKeyError
        There are no labels.
    InputError
        `level` is empty, negative, or names something that is no term.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> sb.tl.annotate(adata)
    >>> sb.tl.rollup(adata, level=["T cell", "B cell", "myeloid cell"])
    """
    slots = Slots(key_added)
    check_target(adata, slots.step("rollup"), [slots.rollup, f"{slots.rollup}_cl_id"])
    rows = _labels(adata, slots, label_key)
    up, said = _lifting(level)
    # Labels repeat by the thousand: each different one is looked up once.
    became = rows.drop_duplicates()
    lifted = [_lifted(name, cl_id, up) for name, cl_id in became.itertuples(index=False, name=None)]
    became = became.assign(rollup=[name for name, _ in lifted], rollup_cl_id=[cl_id for _, cl_id in lifted])
    found = rows.merge(became, how="left", on=["label", "cl_id"])
    return write_results(
        adata,
        "rollup",
        obs={
            slots.rollup: pd.Categorical(found["rollup"]),
            f"{slots.rollup}_cl_id": pd.Categorical(found["rollup_cl_id"]),
        },
        records={
            slots.step("rollup"): {"level": said, "label_key": label_key}
            | {"labels": without_nan(became).to_dict("records")}
        },
        copy=copy,
    )


def _labels(adata: AnnData, slots: Slots, label_key: str | None) -> pd.DataFrame:
    """Name (`label`, NaN where missing) and ontology id (`cl_id`, empty where none) of every row's label."""
    if label_key is None:
        Labelled.of(adata, slots.key, "label", "cl_id")
        names, ids = adata.obs[slots.label].astype(object), adata.obs[slots.cl_id].astype(str)
        return pd.DataFrame({"label": names.to_numpy(), "cl_id": ids.to_numpy(object)})
    column = as_categories(obs_column(adata, label_key, "label_key"), "label_key")
    written = list(map(str, column.cat.categories))
    # A name of thousands of characters is no cell type's, and need not be searched for one.
    found = [one.cl_id or "" for one in resolve_labels([one if len(one) <= 200 else "" for one in written])]
    # Text throughout: numbers among names would make a column that no file takes. Code -1, missing, takes the last.
    table = pd.DataFrame({"label": [*written, np.nan], "cl_id": [*found, ""]}, dtype=object)
    return table.iloc[column.cat.codes.to_numpy()].reset_index(drop=True)


def _lifting(level: object) -> tuple[Callable[[str], str | None], object]:
    """Return what lifts a term to the level that is meant, to None where it has none, and what the record says."""
    ontology = load_ontology()
    if level == "broad" or level == "usual":
        return partial(lift, level=level), level
    if isinstance(level, bool) or not isinstance(level, int | np.integer | str | Iterable):
        raise InputError(
            f"level={level!r} is neither a depth nor terms; pass 'broad', 'usual', a whole number, or ids or names "
            "of terms."
        )
    if isinstance(level, int | np.integer):
        if level < 0:
            raise InputError(f"level={level} is negative; a depth counts is_a steps from the root, 0 or more.")
        depth = int(level)

        def to_depth(cl_id: str) -> str:
            # The term itself if it is no deeper; of equally deep ancestors the narrowest says most.
            fits = [one for one in (cl_id, *ontology.ancestors(cl_id)) if ontology.depth(one) <= depth]
            return min(fits, key=lambda one: (-ontology.depth(one), len(ontology.descendants(one)), one))

        return to_depth, depth
    chosen = list(map(resolve_term, [level] if isinstance(level, str) else map(str, level)))
    if not chosen:
        raise InputError("level names no term; pass a depth, or ids or names of Cell Ontology terms.")
    return lambda cl_id: next((one for one in (cl_id, *ontology.ancestors(cl_id)) if one in chosen), None), chosen


def _lifted(name: Any, cl_id: str, up: Callable[[str], str | None]) -> tuple[Any, str]:
    """Name and id of what a label becomes."""
    if pd.isna(name) or cl_id not in load_ontology():
        return name, ""
    hit = up(cl_id)
    if hit is None:
        return OTHER, ""
    return (name if hit == cl_id else canonical_phrase(hit)), hit
