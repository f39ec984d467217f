"""Groups of several samples: one label for a group's name where the samples agree."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .groups import Groups, group_scores

# More than this share of a group's samples must have the same label for all of them to get it.
AGREE = 0.5
Float = NDArray[np.float32]


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
