"""The tissue of each row: as it was given, read from a column of `obs`, or guessed."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from .._logging import logger
from .._shown import shown_name
from .._warn import warn
from ..errors import InputError
from ..io.columns import as_categories, obs_column
from ..knowledge.tissues import is_early
from .tissue import OF_A_GUESS, SURE, Called, TissuePrior, doubt, guess_tissue

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData

    from .groups import Groups

Float = NDArray[np.float32]
# The word for no tissue: nothing is guessed either.
ANY = "any"
# So many candidates are a wide choice.
WIDE = 50


@dataclass(frozen=True)
class RowTissues:
    """Priors of tissues, and which row has which."""

    priors: tuple[TissuePrior, ...]  # one for each tissue; none where nothing is known
    codes: NDArray[np.int64]  # int64 (n,): prior of each row, -1 for none
    record: dict[str, Any] = field(default_factory=dict)  # what was given, and how it was read or guessed
    # bool (n,): rows whose tissue is of an embryo or fetus, as its name says; None: no row's is.
    early: NDArray[np.bool_] | None = None

    @property
    def named(self) -> str | None:
        """What the one tissue of all rows is called, as given and as known; None where there is none, or several."""
        if len(self.priors) != 1 or not (read := self.record.get("read")):
            return None
        return " ".join([*read, self.priors[0].tissue.name])

    def of_rows(self, rows: NDArray[np.integer] | None) -> RowTissues:
        """Return those of some rows, int (k,); all of them for None."""
        if rows is None:
            return self
        return replace(self, codes=self.codes[rows], early=None if self.early is None else self.early[rows])

    def adjust(self, log_probs: NDArray[np.floating], cl_ids: Sequence[str | None]) -> Float:
        """Log-probabilities with each row's prior, float32 (n, m); see :meth:`TissuePrior.adjust`."""
        found = np.array(log_probs, dtype=np.float32)
        for i, prior in enumerate(self.priors):
            rows = self.codes == i
            found[rows] = prior.adjust(found[rows], cl_ids)
        return found

    def of_groups(self, groups: Groups | None) -> RowTissues:
        """Return the tissue of most cells of each group, as rows; itself where there are no groups."""
        if groups is None:
            return self
        inside = groups.codes >= 0
        counts = np.zeros((len(groups.names), len(self.priors) + 1), dtype=np.int64)
        np.add.at(counts, (groups.codes[inside], self.codes[inside]), 1)  # -1, no tissue, is the last column
        codes = counts.argmax(axis=1)
        return replace(self, codes=np.where(codes == len(self.priors), -1, codes).astype(np.int64))

    def in_groups(
        self, ranked: NDArray[np.floating], alone: NDArray[np.floating], cl_ids: Sequence[str | None], groups: Groups
    ) -> tuple[Float, RowTissues]:
        """Let the tissue count where groups are named: scores with the prior, and the tissue of each row, weighed.

        `ranked` (n_groups, m) are the log-probabilities that decide, `alone` the same from the cells' embeddings and
        markers, by which a tissue is doubted or guessed.
        """
        here = self.of_groups(groups).weighed(alone, cl_ids, groups.sizes)
        rows = self.codes if self.priors or not here.priors else np.zeros_like(self.codes)
        return here.adjust(ranked, cl_ids), replace(here, codes=rows)

    def weighed(
        self,
        log_probs: NDArray[np.floating],
        cl_ids: Sequence[str | None],
        sizes: NDArray[np.integer] | None = None,
        *,
        wide: bool = True,
    ) -> RowTissues:
        """Doubt what was given, or guess where nothing was, by calls from the cells alone (:meth:`.tissue.Called.of`).

        `wide`: calls were made from a wide choice of types; from a short list, nothing is guessed. Returns the same
        with what was said in the record, or with the guess for all rows; a warning says that the calls fit another
        tissue much better than the one that was given.
        """
        if "given" not in self.record:
            return self if not wide else _guessed(Called.of(log_probs, cl_ids, sizes), self.codes)
        said = {}
        for i, prior in enumerate(self.priors):
            rows = self.codes == i
            called = Called.of(log_probs[rows], cl_ids, None if sizes is None else sizes[rows])
            why = doubt(prior.tissue, called, wide=wide)
            if why:
                said[prior.tissue.name] = why
                given, read = self.record["given"], self.record.get("read", {})
                # Of a column, the values that were read as this tissue.
                values = [one for one, found in read.items() if found["id"] == prior.tissue.id and one != given]
                of = f" ({', '.join(map(shown_name, values))})" if values else ""
                warn(f"tissue={given!r}{of}: {why}")
        return replace(self, record=self.record | {"doubts": said})


def read_tissues(
    adata: AnnData, tissue: str | None, *, method: str | None = None, modality: str = "cell"
) -> RowTissues:
    """Read what `tissue=` says: a column of `obs` where it is the name of one, else a tissue.

    Without priors where nothing was given, and for `"any"`. `method` and `modality` say how labels are found, and of
    what; there are some that no tissue can be given with. An :class:`InputError` says that a name is no tissue, a
    column holds none, or a tissue says nothing of labels found so; a warning, that a column leaves out some rows.
    """
    if tissue is None:
        return RowTissues((), np.full(adata.n_obs, -1, dtype=np.int64))
    if not isinstance(tissue, str):
        raise InputError(f"tissue takes one name, or the name of one column of adata.obs; found {tissue!r:.80}.")
    if not tissue.strip():
        raise InputError("tissue is empty: name one, such as 'blood', or a column of adata.obs, or leave it out.")
    if modality != "cell":
        raise InputError(f"tissue={tissue!r} is of cells; modality={modality!r} has none. Leave it out.")
    if method == "generate":
        raise InputError(
            f"tissue={tissue!r} weighs candidates; with method='generate' labels are written. Leave one out."
        )
    if tissue in adata.obs.columns:
        values = as_categories(obs_column(adata, tissue, "tissue"), "tissue")
        codes = values.cat.codes.to_numpy().astype(np.int64)
        names = [str(one) for one in values.cat.categories]
    else:
        codes, names = np.zeros(adata.n_obs, dtype=np.int64), [tissue]
        if tissue.strip().casefold() == ANY:
            return RowTissues((), codes - 1, {"given": tissue})
    used = [i for i in range(len(names)) if (codes == i).any()]
    early = np.isin(codes, [i for i in used if is_early(names[i])])
    priors = tuple(_read(names[i], tissue, adata) for i in used)
    codes = np.where(codes < 0, -1, np.searchsorted(used, codes)).astype(np.int64)
    read = {names[i]: {"id": one.tissue.id, "name": one.tissue.name} for i, one in zip(used, priors, strict=True)}
    # "PBMC" and "blood" are one tissue, in a vote of a group's cells, too.
    one_each = {one.tissue.id: one for one in priors}
    place = np.array([list(one_each).index(one.tissue.id) for one in priors] + [-1])  # the last is that of no tissue
    priors, codes = tuple(one_each.values()), place[codes]
    if missing := int((codes < 0).sum()):
        _warn_of_missing(missing, codes.size, tissue)
    shown = ", ".join(
        f"{shown_name(name)} -> {one['name']}" if name != one["name"] else name for name, one in read.items()
    )
    if read:
        logger.info("tissue: %s. Types of other organs need more evidence", shown)
    return RowTissues(priors, codes, {"given": tissue, "read": read}, early)


def _warn_of_missing(missing: int, n: int, column: str) -> None:
    """Warn of rows whose tissue a column does not say; an :class:`InputError` where it says none."""
    if missing == n:
        raise InputError(f"adata.obs[{shown_name(column)!r}] is missing (NaN) for every cell: leave tissue= out.")
    warn(f"{missing} cells have no value in adata.obs[{shown_name(column)!r}]; they are judged without a tissue.")


def _read(name: str, tissue: str, adata: AnnData) -> TissuePrior:
    try:
        return TissuePrior.of(name)
    except InputError as error:
        if tissue in adata.obs.columns:
            raise InputError(f"adata.obs[{shown_name(tissue)!r}]: {error}") from None
        raise InputError(f"{error} Nor is it a column of adata.obs.") from None


def _guessed(called: Called, codes: NDArray[np.int64]) -> RowTissues:
    """Guess one tissue for all rows: types of other organs need more evidence, but not as much as in a given one."""
    guess = guess_tissue(called)
    sure = guess.tissue is not None and guess.confidence >= SURE
    record = {"given": None, "guessed": None, "confidence": round(guess.confidence, 4), "used": sure}
    if guess.tissue is None or not sure:
        logger.info("tissue: cannot be told from the cells; give tissue= if you know it")
        return RowTissues((), np.full_like(codes, -1), record)
    logger.info(
        "tissue: the cells look like %s (confidence %.2f), and types of other organs need some more evidence; "
        "tissue= sets it, tissue='any' leaves it out", guess.tissue.name, guess.confidence,
    )  # fmt: skip
    prior = replace(TissuePrior.of(guess.tissue), weight=OF_A_GUESS)
    return RowTissues((prior,), np.zeros_like(codes), record | {"guessed": asdict(guess.tissue)})
