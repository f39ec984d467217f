"""Groups of several samples: one label for a group's name where the samples agree."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..io.columns import as_categories, obs_column
from .groups import Groups, group_scores

if TYPE_CHECKING:
    from anndata import AnnData

# More than this share of a group's samples must have the same label for all of them to get it.
AGREE = 0.5
Float = NDArray[np.float32]


@dataclass(frozen=True)
class Harmonised:
    """Groups as they are to be labelled, and how that came about.

    Attributes
    ----------
    groups
        A group of all samples where they agree; each sample's part by itself (named `"group [sample]"`) where not.
    report
        One dict a group and sample: `group`, `sample`, `n`, `own_label`, `confidence`, `share` (of the samples that
        have the winning label), `harmonised`.
    """

    groups: Groups
    report: list[dict[str, Any]]


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
    column = as_categories(obs_column(adata, sample_key, "sample_key"), "sample_key")
    codes = np.asarray(column.cat.codes, dtype=np.int64)
    names = [str(name) for name in column.cat.categories]
    if (codes < 0).any():
        warnings.warn(
            f"{int((codes < 0).sum())} cells have no value in adata.obs[{sample_key!r}]; they are one sample.",
            UserWarning,
            stacklevel=3,
        )
        codes, names = np.where(codes < 0, len(names), codes), [*names, "no sample"]
    return Groups(names, codes)


def harmonise_samples(log_probs: Float, names: list[str], groups: Groups, samples: Groups) -> Harmonised:
    """Let the samples of each group vote.

    In every sample the group's cells name a label, by their mean log-probability. If one label has the votes of more
    than half of the samples, whatever their sizes, the group keeps together and all its cells decide at once. Else each
    sample's part of the group is labelled by itself.
    """
    inside = groups.codes >= 0
    pairs = groups.codes * len(samples.names) + samples.codes
    present, codes = np.unique(pairs[inside], return_inverse=True)
    parts = Groups([str(i) for i in range(present.size)], np.full(groups.codes.size, -1, dtype=np.int64))
    parts.codes[inside] = codes
    joint = group_scores(log_probs, parts)
    votes, sizes = joint.argmax(axis=1), parts.sizes
    whole = group_scores(log_probs, groups).argmax(axis=1)
    of_group, of_sample = present // len(samples.names), present % len(samples.names)
    new_names: list[str] = []
    report: list[dict[str, Any]] = []
    place = np.zeros(present.size, dtype=np.int64)
    for group, name in enumerate(groups.names):
        mine = np.flatnonzero(of_group == group)
        share = float((votes[mine] == whole[group]).mean())
        together = share > AGREE
        for part in mine:
            sample = samples.names[of_sample[part]]
            if part == mine[0] or not together:
                new_names.append(name if together else f"{name} [{sample}]")
            place[part] = len(new_names) - 1
            report.append(
                {"group": name, "sample": sample, "n": int(sizes[part]), "own_label": names[votes[part]]}
                | {"confidence": round(float(np.exp(joint[part].max())), 6), "share": round(share, 6)}
                | {"harmonised": together}
            )
    full = np.full(groups.codes.size, -1, dtype=np.int64)
    full[inside] = place[codes]
    return Harmonised(Groups(new_names, full), report)
