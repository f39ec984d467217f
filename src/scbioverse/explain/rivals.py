"""The label that comes next to a group's own, and the gene that decides between the two."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..knowledge.markers import markers_for
from .claims import SUPPORTED, CheckedClaim, Claim
from .test import Rule

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from .grouped import Grouped

# Markers of each of the two labels that are compared, the best known first; and of these, those tested.
_KNOWN, _TESTED = 40, 5
# What fewer cells differ in than one of ten decides nothing that a reader would see in a plot.
_CLEAR = 0.1


def runners_up(log_probs: NDArray[np.floating], codes: NDArray[np.integer]) -> dict[int, int]:
    """Return for each label the one that its cells are called next to it.

    That is the candidate with the next highest mean probability, of `log_probs` (n_obs, m), -inf for what a row could
    not choose, among those that some rows are called. `codes` (n_obs,) are -1 for none, and from m on what is no
    candidate and has no rival. A label without a rival is left out.
    """
    m = log_probs.shape[1]
    sizes = np.bincount(codes[codes >= 0], minlength=m)[:m]
    found: dict[int, int] = {}
    for code in np.flatnonzero(sizes).tolist():
        mean = np.exp(log_probs[codes == code].astype(np.float64)).mean(axis=0)
        mean[code] = 0.0
        mean[sizes == 0] = 0.0
        if mean.max() > 0:
            found[code] = int(mean.argmax())
    return found


def deciding(
    groups: Grouped,
    cl_ids: Sequence[str | None],
    shown: Sequence[str],
    rivals: Mapping[int, int],
    rule: Rule | None = None,
) -> dict[int, CheckedClaim | None]:
    """Find for each label the known marker of it, or of its rival, that differs most between the two; None without one.

    Of the markers of either, those with the largest difference of the fractions that express them are tested: one of
    the label's own must be high in its cells, one of the rival's low, by the rule of all claims. The p is multiplied by
    the number of markers that were compared, since the largest differences were picked from them (Bonferroni). `shown`
    are the labels' names in sentences, `rivals` from :func:`runners_up`.
    """
    rule = rule or Rule()
    own = {code: _markers(cl_ids[code], groups) for pair in rivals.items() for code in pair}
    genes = sorted({gene for some in own.values() for gene in some})
    place = {gene: i for i, gene in enumerate(genes)}
    share = groups.shares(genes)
    found: dict[int, CheckedClaim | None] = {}
    for code, rival in rivals.items():
        both = list(dict.fromkeys([*own[code], *own[rival]]))
        apart = {gene: share[code, place[gene]] - share[rival, place[gene]] for gene in both}
        # A marker of the label counts where it is higher in its cells, one of the rival where it is lower.
        able = [g for g in both if (g in own[code] and apart[g] > _CLEAR) or (g in own[rival] and apart[g] < -_CLEAR)]
        picked = sorted(able, key=lambda gene: (-abs(apart[gene]), gene))[:_TESTED]
        measured = groups.measure(code, picked, rival)
        found[code] = None
        for gene in picked:
            one, side = measured[gene], "high" if apart[gene] > 0 else "low"
            holds = rule.high(one, one.p_high * len(both)) if side == "high" else rule.low(one, one.p_low * len(both))
            if holds:
                whose = code if side == "high" else rival
                claim = Claim(gene, (gene,), side, against=shown[rival])  # type: ignore[arg-type]
                found[code] = CheckedClaim(claim, gene, SUPPORTED, one, str(cl_ids[whose]), "self")
                break
    return found


def _markers(cl_id: str | None, groups: Grouped) -> list[str]:
    if not cl_id:
        return []
    known = markers_for(cl_id)["gene"].astype(str)
    return [gene for gene in known if gene in groups.positions][:_KNOWN]
