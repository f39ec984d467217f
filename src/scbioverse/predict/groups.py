"""Cells joined into groups, and one answer for each; of several samples, one where these agree."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import logsumexp

from .._shown import shown_name
from .._warn import warn
from ..errors import InputError
from ..io.columns import as_categories, obs_column

if TYPE_CHECKING:
    from anndata import AnnData

Float = NDArray[np.float32]
# A column with more different numbers may be a measurement: clusters are few, and their numbers leave no gaps.
_MANY = 50
_LEAST_AGREEMENT = 0.6
_NAMED = 5
# More than this share of a group's samples must have the same label for all of them to get it.
AGREE = 0.5


@dataclass(frozen=True)
class Groups:
    """Groups with at least one cell.

    Attributes
    ----------
    names
        As strings, in the order of the categories.
    codes
        int64 (n_obs,): group of each cell, -1 for none.
    """

    names: list[str]
    codes: NDArray[np.int64]

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Cells in each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))

    def mean(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Mean over each group's cells, float64 (n_groups, ...)."""
        inside = self.codes >= 0
        flat = np.asarray(values, dtype=np.float64)[inside].reshape(int(inside.sum()), -1)
        # pandas sums in C; a loop over clusters would read all cells once a cluster.
        frame = pd.DataFrame(flat).groupby(self.codes[inside]).mean().reindex(range(len(self.names)))
        return frame.to_numpy().reshape(len(self.names), *np.shape(values)[1:])

    def spread(self, values: NDArray[Any], none: Any) -> NDArray[Any]:
        """Give every cell what its group has, (n_obs, ...); `none` to cells without a group."""
        # Index -1, of no group, takes the row put at the end.
        last = np.full((1, *values.shape[1:]), none, dtype=values.dtype)
        return np.concatenate([values, last])[self.codes]


def read_groups(adata: AnnData, groupby: str) -> Groups:
    """Read a column of `obs` as groups; categories without cells are left out.

    Raises
    ------
    MissingKeyError
        There is no such column.
    InputError
        No cell is in a group; it is no name of a column; the column holds a measurement.

    Warns
    -----
    UserWarning
        Some cells are in none.
    """
    values = obs_column(
        adata,
        groupby,
        "groupby",
        advice="To make clusters: scanpy.pp.neighbors(adata, use_rep='X_bioverse'); scanpy.tl.leiden(adata).",
    )
    if (n := _measured(values)) is not None:
        raise InputError(
            f"groupby={groupby!r} holds {n} different numbers for {int(values.notna().sum())} cells: a measurement, "
            "not groups. Name a column of clusters or samples, or cut it into classes first: "
            f"adata.obs['class'] = pandas.cut(adata.obs[{groupby!r}], 5). If the numbers are names, as of donors: "
            f"adata.obs[{groupby!r}] = adata.obs[{groupby!r}].astype('category')."
        )
    found = _as_groups(values, "groupby")
    missing = int((found.codes < 0).sum())
    if missing == found.codes.size:
        raise InputError(f"adata.obs[{groupby!r}] is missing (NaN) for every cell: there is no group to annotate.")
    if missing:
        warn(f"{missing} cells have no value in adata.obs[{groupby!r}]; they get no label.")
    return found


def read_samples(adata: AnnData, sample_key: str) -> Groups:
    """Read a column of `obs` as samples.

    Raises
    ------
    InputError, MissingKeyError
        It is no column of `obs`.

    Warns
    -----
    UserWarning
        Some cells have none; they count as a sample of their own.
    """
    found = _as_groups(obs_column(adata, sample_key, "sample_key"), "sample_key")
    alone = found.codes < 0
    if not alone.any():
        return found
    warn(f"{int(alone.sum())} cells have no value in adata.obs[{sample_key!r}]; they are one sample.")
    return Groups([*found.names, "no sample"], np.where(alone, len(found.names), found.codes))


def _as_groups(values: pd.Series, argument: str) -> Groups:
    column = as_categories(values, argument)
    return Groups([str(name) for name in column.cat.categories], np.asarray(column.cat.codes, dtype=np.int64))


def group_scores(log_probs: Float, groups: Groups) -> Float:
    """Mean log-probability over the cells of each group, normalised again: (n_groups, n_labels).

    The geometric mean of the cells' probabilities: a label must be possible for most cells of a group.
    """
    mean = groups.mean(log_probs)
    return (mean - logsumexp(mean, axis=1, keepdims=True)).astype(np.float32)


def agreement(log_probs: Float, groups: Groups, best: NDArray[np.integer]) -> NDArray[np.float64]:
    """Share of each group's cells whose own best label is the group's."""
    return groups.mean(log_probs.argmax(axis=1) == groups.spread(best, -1))


def warn_of_disagreement(table: list[dict[str, Any]]) -> None:
    """Warn of groups whose cells are of several types, going by the cells' own best labels.

    Parameters
    ----------
    table
        One dict a group: `group`, `label`, `agreement`.
    """
    mixed = sorted((one for one in table if one["agreement"] < _LEAST_AGREEMENT), key=lambda one: one["agreement"])
    if not mixed:
        return
    named = ", ".join(
        f"{shown_name(one['group'])!r} ({one['label']}: {one['agreement']:.0%})" for one in mixed[:_NAMED]
    )
    more = f" and {len(mixed) - _NAMED} more" if len(mixed) > _NAMED else ""
    warn(
        f"cells of {len(mixed)} of {len(table)} groups disagree: fewer than {_LEAST_AGREEMENT:.0%} of them have the "
        f"group's label as their own best one: {named}{more}. Look at the cells by themselves (without groupby), or "
        "make smaller groups; sb.get.groups shows the agreement of all."
    )


def _measured(values: pd.Series) -> int | None:
    """Count the different numbers of a column that holds a measurement; None for one of groups."""
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        return None
    held = values.dropna().to_numpy()
    different = np.unique(held)
    n = int(different.size)
    alone = n > _MANY // 2 and 2 * n > held.size  # hardly two cells in a group
    if n <= _MANY and not alone:
        return None
    whole = bool((different == np.rint(different)).all())
    # Numbers of clusters are counted through; a measurement leaves gaps.
    gaps = float(different[-1] - different[0]) + 1 > 1.2 * n
    return n if alone or not whole or gaps else None


def harmonise_samples(
    log_probs: Float, names: list[str], groups: Groups, samples: Groups
) -> tuple[Groups, list[dict[str, Any]]]:
    """Let the samples of each group vote.

    In every sample the group's cells name a label, by their mean log-probability. If one label has the votes of more
    than half of the samples, whatever their sizes, the group keeps together and all its cells decide at once. Else each
    sample's part of the group is labelled by itself.

    Parameters
    ----------
    log_probs
        float32 (n_obs, n_labels).
    names
        The labels.
    groups, samples
        Group of each cell, or none; sample of each cell.

    Returns
    -------
    Groups as they are to be labelled: one of all samples where they agree, each sample's part by itself (named
    `"group [sample]"`) where not. And one dict a group and sample: `group`, `sample`, `n`, `own_label`, `confidence`,
    `share` (of the samples that have the winning label), `harmonised`.
    """
    inside = groups.codes >= 0
    # A part is what one sample has of one group; parts are ordered by group, then by sample.
    pairs, codes = np.unique(groups.codes[inside] * len(samples.names) + samples.codes[inside], return_inverse=True)
    of_group, of_sample = np.divmod(pairs, len(samples.names))
    parts = Groups([str(pair) for pair in pairs], np.full(groups.codes.size, -1, dtype=np.int64))
    parts.codes[inside] = codes
    joint = group_scores(log_probs, parts)
    votes, whole = joint.argmax(axis=1), group_scores(log_probs, groups).argmax(axis=1)
    share = Groups(groups.names, of_group).mean(votes == whole[of_group])[of_group]
    together = share > AGREE
    called = [
        groups.names[group] if one else f"{groups.names[group]} [{samples.names[sample]}]"
        for group, sample, one in zip(of_group, of_sample, together, strict=True)
    ]
    # The first part of a group that keeps together stands for all of them.
    first = ~together | (np.diff(of_group, prepend=-1) > 0)
    place = np.cumsum(first) - 1
    report = [
        {"group": groups.names[of_group[part]], "sample": samples.names[of_sample[part]], "n": int(n)}
        | {"own_label": names[votes[part]], "confidence": round(float(np.exp(joint[part].max())), 6)}
        | {"share": round(float(share[part]), 6), "harmonised": bool(together[part])}
        for part, n in enumerate(parts.sizes)
    ]
    new = Groups([name for name, one in zip(called, first, strict=True) if one], parts.codes)
    return Groups(new.names, parts.spread(place, -1)), report
