"""The tissue of each row: as it was given, read from a column of `obs`, or guessed."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._logging import logger
from .._shown import shown_name
from ..errors import InputError
from ..io.columns import as_categories, obs_column
from .tissue import OF_A_GUESS, SURE, TissuePrior, doubt, guess_tissue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

Float = NDArray[np.float32]
# The word for no tissue: nothing is guessed either.
ANY = "any"


@dataclass(frozen=True)
class RowTissues:
    """Priors of tissues, and which row has which.

    Attributes
    ----------
    priors
        One for each tissue; none where nothing is known.
    codes
        int64 (n,): prior of each row, -1 for none.
    record
        What was given, and how it was read or guessed.
    """

    priors: tuple[TissuePrior, ...]
    codes: NDArray[np.int64]
    record: dict[str, Any] = field(default_factory=dict)

    def log_prior(self, cl_ids: Sequence[str | None]) -> Float:
        """Nats to be added to the log-probability of each term, float32 (n, m); see :meth:`TissuePrior.log_prior`."""
        rows = [one.log_prior(cl_ids) for one in self.priors]
        return np.array([*rows, np.zeros(len(cl_ids))], dtype=np.float32)[self.codes]

    def adjust(self, log_probs: NDArray[np.floating], cl_ids: Sequence[str | None]) -> Float:
        """Log-probabilities with each row's prior, float32 (n, m); see :meth:`TissuePrior.adjust`."""
        found = np.array(log_probs, dtype=np.float32)
        for i, prior in enumerate(self.priors):
            rows = self.codes == i
            found[rows] = prior.adjust(found[rows], cl_ids)
        return found

    def warn_if_doubtful(self, log_probs: NDArray[np.floating], cl_ids: Sequence[str | None]) -> RowTissues:
        """Say where calls from the cells alone fit another tissue much better than the one that was given.

        Returns
        -------
        The same, with what was said in the record.

        Warns
        -----
        UserWarning
            They do.
        """
        said = {}
        for i, prior in enumerate(self.priors):
            why = doubt(prior.tissue, log_probs[self.codes == i], cl_ids)
            if why:
                said[prior.tissue.name] = why
                warnings.warn(f"tissue: {why}", UserWarning, stacklevel=3)
        return replace(self, record=self.record | {"doubts": said})


def read_tissues(adata: AnnData, tissue: str | None) -> RowTissues | None:
    """Read what `tissue=` says: a column of `obs` where it is the name of one, else a tissue.

    Returns
    -------
    The tissues; without priors for `"any"`; None where nothing was given.

    Raises
    ------
    InputError
        A name is no tissue.
    """
    if tissue is None:
        return None
    if tissue in adata.obs.columns:
        values = as_categories(obs_column(adata, tissue, "tissue"), "tissue")
        codes = values.cat.codes.to_numpy().astype(np.int64)
        names = [str(one) for one in values.cat.categories]
    else:
        codes, names = np.zeros(adata.n_obs, dtype=np.int64), [tissue]
        if tissue.strip().casefold() == ANY:
            return RowTissues((), codes - 1, {"given": tissue})
    used = [i for i in range(len(names)) if (codes == i).any()]
    priors = tuple(_read(names[i], tissue, adata) for i in used)
    codes = np.where(codes < 0, -1, np.searchsorted(used, codes)).astype(np.int64)
    read = {names[i]: {"id": one.tissue.id, "name": one.tissue.name} for i, one in zip(used, priors, strict=True)}
    shown = ", ".join(
        f"{shown_name(name)} -> {one['name']}" if name != one["name"] else name for name, one in read.items()
    )
    if read:
        logger.info("tissue: %s. Types of other organs need more evidence", shown)
    return RowTissues(priors, codes, {"given": tissue, "read": read})


def _read(name: str, tissue: str, adata: AnnData) -> TissuePrior:
    try:
        return TissuePrior.of(name)
    except InputError as error:
        if tissue in adata.obs.columns:
            raise InputError(f"adata.obs[{shown_name(tissue)!r}]: {error}") from None
        raise InputError(f"{error} Nor is it a column of adata.obs.") from None


def guess_tissues(log_probs: NDArray[np.floating], cl_ids: Sequence[str | None]) -> RowTissues:
    """Guess one tissue for all rows; types of other organs need less more evidence than in one that was given.

    Parameters
    ----------
    log_probs, cl_ids
        See :func:`~scbioverse.predict.tissue.guess_tissue`.
    """
    guess = guess_tissue(log_probs, cl_ids)
    codes = np.zeros(len(log_probs), dtype=np.int64)
    name = guess.tissue and guess.tissue.name
    found = {"guessed": name, "id": guess.tissue and guess.tissue.id, "confidence": round(guess.confidence, 4)}
    if guess.tissue is None or guess.confidence < SURE:
        logger.info("tissue: cannot be told from the cells; give tissue= if you know it")
        return RowTissues((), codes - 1, {"given": None, **found, "used": False})
    logger.info(
        "tissue: the cells look like %s (confidence %.2f), and types of other organs need some more evidence; "
        "tissue= sets it, tissue='any' leaves it out", name, guess.confidence,
    )  # fmt: skip
    prior = replace(TissuePrior.of(guess.tissue), weight=OF_A_GUESS)
    return RowTissues((prior,), codes, {"given": None, **found, "used": True})
