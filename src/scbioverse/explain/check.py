"""Free text about a group of cells against the data: which of its claims hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from .._logging import shown_name
from ..errors import InputError, MissingKeyError, check_columns
from ..io import Cells
from ..knowledge.sentences import split_sentences
from .expression import MeasuredCells
from .reading import read_claims
from .support import EVIDENCE, CheckedClaim, judge

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    from anndata import AnnData
    from numpy.typing import NDArray


def check(
    adata: AnnData,
    text: str,
    *,
    groupby: str,
    group: str,
    label: str | None = None,
    layer: str | None = None,
    key: str | None = None,
) -> pd.DataFrame:
    """Check what a text says about the genes of a group of cells: a published rationale, another model's answer.

    Few kinds of sentences are read, as a whole and with certainty: "CD79A and MS4A1 mark these cells", "They express
    CD79A (94 % of these cells, 5 % of others) and lack CD3D", "LYZ is not expressed", "Rather than DC: LYZ in 9 % of
    these cells, 80 % of those", which compares with the group of that name. Every gene in any other sentence
    ("CD3D is virtually undetectable", "CD3D is restricted to other cells", "most of them express CD3D") comes back as
    `"not checked"`, whatever the data say, as does one that may speak of other cells. Only what is higher than in
    the others is a reason: "CD3D is expressed" is contradicted where the others express it as much.

    Parameters
    ----------
    adata
        Counts or log-normalised values; not changed. Of a MuData the part that holds genes.
    text
        Sentences in English.
    groupby
        Column of `obs`.
    group
        Which of its groups the text is about; it is compared with all others. Cells without a group are left out.
    label
        What the text calls these cells, where that is not the group's name.
    layer, key
        Where expression and gene names are, as for :func:`scbioverse.tl.annotate`.

    Returns
    -------
    One row a gene that the text names, in its order: `said` (as written), `gene` (approved symbol that decided),
    `direction` (`"high"`, `"low"`, `"absent"`, or `""` where the sentence was not understood), `verdict`
    (`"supported"`, `"contradicted"`, `"not measured"` or `"not checked"`), `sentence` (the whole of it), `fraction_in`,
    `fraction_out` (cells that express it), `log_fold_change` (log2), `p` (one-sided Mann-Whitney in that direction),
    `n_in`, `n_out` (cells).

    Raises
    ------
    MissingKeyError
        There is no such column, group, layer or key.
    InputError
        The matrix cannot be read as counts or log values, this is no AnnData, or `text` is no string.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> text = "CD79A and MS4A1 mark these cells. CD3D is virtually undetectable."
    >>> sb.explain.check(adata, text, groupby="cell_type", group="B")[["gene", "direction", "verdict"]]
    """
    if not isinstance(text, str):
        raise InputError(f"text must be a string of sentences, found {type(text).__name__}.")
    data = Cells.of(adata, layer, key)
    obs = data.adata.obs
    check_columns(obs, [groupby], "Name the column of groups with groupby=.")
    column = obs[groupby].astype("category")
    names = [str(name) for name in column.cat.categories]
    if str(group) not in names:
        raise MissingKeyError(f"adata.obs[{groupby!r}] has no group {group!r}; there are {names}.")
    codes = column.cat.codes.to_numpy().astype(int)
    inside = codes == names.index(str(group))
    if not inside.any():
        raise InputError(f"group {group!r} of adata.obs[{groupby!r}] has no cells.")
    # Fair shares of a large data set: the group that the text is about may be a small one.
    cells = MeasuredCells(data, codes=codes)
    # Clusters are called by numbers, which no text does: what they are called in it is for the caller to say.
    own = [one for one in (label, str(group)) if one]
    others = {name: codes == i for i, name in enumerate(names) if name != str(group)}
    claims = check_text(text, cells, inside, outside=(codes >= 0) & ~inside, own=own, others=others)
    sentences = split_sentences(text)
    rows = [one.row("") | {"sentence": sentences[one.claim.sentence]} for one in claims]
    return pd.DataFrame(rows, columns=["said", "gene", "direction", "verdict", "sentence", *EVIDENCE[3:9]])


def check_text(
    text: str,
    cells: MeasuredCells,
    inside: NDArray[np.bool_],
    *,
    outside: NDArray[np.bool_] | None = None,
    own: Sequence[str] = (),
    others: Mapping[str, NDArray[np.bool_]] | None = None,
) -> list[CheckedClaim]:
    """Test every claim about a gene in a text, in its order.

    `inside` and `outside`, bool (n_obs,), are the cells that the text is about, called by the names `own`, and those to
    compare them with (all others if None). `others` says what other cells are called, and which they are: a text may
    compare with them.
    """
    named = {shown_name(name): rows for name, rows in (others or {}).items()}
    claims = read_claims(text, own=own, names=list(others or ()), against=named)
    measured = {}
    for against in dict.fromkeys(claim.against for claim in claims):
        # All genes at once: ranking is by far the largest part of a test.
        genes = [gene for claim in claims if claim.against == against for gene in claim.genes]
        measured[against] = cells.measure(inside, genes, named.get(against, outside))
    judged = [(claim, *judge(claim, measured[claim.against])) for claim in claims]
    return [CheckedClaim(claim, gene, verdict, measured[claim.against].get(gene)) for claim, verdict, gene in judged]
