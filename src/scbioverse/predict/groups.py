"""Cells that are alike: joined into groups, given or found, with one answer for each, or heard one by one.

Of a group in several samples there is one answer where these agree.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy import linalg, sparse
from scipy.special import log_softmax, logsumexp

from .._logging import and_more, logger, shown_name, warn
from ..errors import BioverseError, InputError
from ..io import row_blocks
from ..io.cells import SAMPLE_CELLS
from ..io.columns import as_categories, obs_column

if TYPE_CHECKING:
    from anndata import AnnData

    from ..io import Cells

Float = NDArray[np.float32]
# A column with more different numbers may be a measurement: clusters are few, and their numbers leave no gaps.
_MANY = 50
_LEAST_AGREEMENT = 0.6
_NAMED = 5
# More than this share of a group's samples must have the same label for all of them to get it.
AGREE = 0.5


@dataclass(frozen=True)
class Groups:
    """Groups with at least one cell."""

    names: list[str]  # as strings, in the order of the categories
    codes: NDArray[np.int64]  # int64 (n_obs,): group of each cell, -1 for none

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

    A :class:`MissingKeyError` where there is no such column, an :class:`InputError` where no cell is in a group or the
    column holds a measurement; a warning where some cells are in none.
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
    found = as_groups(values, "groupby")
    missing = int((found.codes < 0).sum())
    if missing == found.codes.size:
        raise InputError(f"adata.obs[{groupby!r}] is missing (NaN) for every cell: there is no group to annotate.")
    if missing:
        warn(f"{missing} cells have no value in adata.obs[{groupby!r}]; they get no label.")
    return found


def read_samples(adata: AnnData, sample_key: str) -> Groups:
    """Read a column of `obs` as samples; cells without one count as a sample of their own, and are warned of."""
    found = as_groups(obs_column(adata, sample_key, "sample_key"), "sample_key")
    alone = found.codes < 0
    if not alone.any():
        return found
    warn(f"{int(alone.sum())} cells have no value in adata.obs[{sample_key!r}]; they are one sample.")
    return Groups([*found.names, "no sample"], np.where(alone, len(found.names), found.codes))


def as_groups(values: pd.Series, argument: str) -> Groups:
    """Read a column as groups: categories that some cell has, as texts."""
    column = as_categories(values, argument)
    return Groups(list(column.cat.categories), np.asarray(column.cat.codes, dtype=np.int64))


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

    `table` has one dict a group: `group`, `label`, `agreement`.
    """
    mixed = sorted((one for one in table if one["agreement"] < _LEAST_AGREEMENT), key=lambda one: one["agreement"])
    if not mixed:
        return
    named = [f"{shown_name(one['group'])!r} ({one['label']}: {one['agreement']:.0%})" for one in mixed]
    warn(
        f"cells of {len(mixed)} of {len(table)} groups disagree: fewer than {_LEAST_AGREEMENT:.0%} of them have the "
        f"group's label as their own best one: {and_more(named, _NAMED)}. Look at the cells by themselves (without "
        "groupby), or make smaller groups; sb.get.groups shows the agreement of all."
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
    """Let the samples of each group vote, by `log_probs` (n_obs, n_labels).

    In every sample the group's cells name a label, by their mean log-probability. If one label has the votes of more
    than half of the samples, whatever their sizes, the group keeps together and all its cells decide at once. Else each
    sample's part of the group is labelled by itself.

    Returns groups as they are to be labelled: one of all samples where they agree, each sample's part by itself (named
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


# ------------------------------------------------------------------ alike cells, where the user names no groups

# Groups are meant to be smaller than types: those that are alike get the same name afterwards, while a mixture of two
# types could not be named at all. So the resolution need not be right, only fine enough.

# Nearest cells that each cell looks at. Of 8, 10, 12 and 15 (that of scanpy.pp.neighbors): with more, types of a few
# dozen cells are not kept apart. Chosen on the development studies that `python -m benchmarks.first_call` reports.
NEIGHBOURS = 10
# Modularity at resolution 1 joins types that are alike; from 2 up, more groups get the names that fewer had.
RESOLUTION = 2.0
# Groups are found among so many cells; the others join their nearest.
MOST_CELLS = 20_000
# Fewer linked cells are no group: chance makes pairs.
FEWEST = 3
# So few different cells are named one by one: most of their types have fewer cells than a group needs.
MOST_ALONE = 60
_VOTES = 5
_ROUNDS = 10
_ROWS = 4096  # rows that are computed at once
# What a row says by itself against what its neighbours say, and how often they hear each other. Chosen among a few
# values on the very studies that `python -m benchmarks.neighbours` reports.
OWN_SHARE = 0.2
SWEEPS = 2
# Exact neighbours up to here, approximate ones beyond: distances of all pairs would take minutes.
MOST_EXACT = 50_000


def find_groups(values: Float, seed: int = 0, *, most_cells: int = MOST_CELLS) -> Groups:
    """Find groups of alike cells in embeddings, float32 (n, n_tokens, dim) or (n, d).

    Cells are linked that are among each other's 10 nearest (cosine), which keeps rare types apart; the groups are
    communities of these links (Leiden: Traag et al. 2019, modularity, resolution 2). All is done in an order that
    follows from the cells' own values, so that the order of the rows changes nothing; cells with the same values are in
    the same group. Beyond `most_cells` a sample is grouped, and each other cell joins the group that most of its five
    nearest cells of the sample are in.

    Groups are named from `"1"` on, the largest first; those of fewer than three cells are none.
    """
    flat = np.reshape(values, (len(values), -1)).astype(np.float32, copy=False)
    keys = content_keys(flat, seed)
    _, first, same = np.unique(keys, return_index=True, return_inverse=True)  # sorted by key: a random order, too
    chosen = first[:most_cells]
    codes = _communities(mutual_neighbours(flat[chosen], NEIGHBOURS, seed), seed)
    of_first = np.full(first.size, -1, dtype=np.int64)
    of_first[: chosen.size] = codes
    if chosen.size < first.size:
        of_first[chosen.size :] = _joined(flat[first[chosen.size :]], flat[chosen], codes)
    # Copies of a cell, such as empty ones, make no group.
    different = np.bincount(of_first[of_first >= 0], minlength=of_first.max(initial=0) + 1)
    of_first[(of_first >= 0) & (different[of_first] < FEWEST)] = -1
    return _by_size(of_first[same], keys)


def content_keys(values: Float, seed: int) -> NDArray[np.int64]:
    """Return a number for each row that depends on the rows' values alone, not on their order: int64 (n,).

    Equal rows have equal numbers, and the numbers are a random order of the rows. Rows are ordered along a random
    direction first: values that another processor rounds otherwise in their last bits keep their places.
    """
    flat = np.reshape(values, (len(values), -1))
    rng = np.random.default_rng(seed)
    direction = rng.standard_normal(flat.shape[1])
    along = np.empty(len(flat), dtype=np.float64)
    for rows in row_blocks(flat, _ROWS):
        # Not a matrix product: its sums would depend on where a row stands.
        along[rows] = (flat[rows] * direction).sum(axis=1)
    different, place = np.unique(along, return_inverse=True)
    return rng.permutation(different.size)[place]


def _communities(links: sparse.csr_matrix, seed: int) -> NDArray[np.int64]:
    """Leiden communities of a graph, int64 (n,)."""
    import igraph

    pairs = links.tocoo()
    upper = pairs.row < pairs.col
    graph = igraph.Graph(n=links.shape[0], edges=np.column_stack([pairs.row[upper], pairs.col[upper]]))
    # igraph draws from one generator for all of Python: it is given back.
    igraph.set_random_number_generator(random.Random(seed))
    try:
        found = graph.community_leiden("modularity", resolution=RESOLUTION, n_iterations=_ROUNDS)
    finally:
        igraph.set_random_number_generator(random)
    return np.asarray(found.membership, dtype=np.int64)


def _joined(rest: Float, sample: Float, codes: NDArray[np.int64]) -> NDArray[np.int64]:
    """Group that most of the five nearest cells of the sample are in, int64 (n,); -1 counts as one."""
    from sklearn.neighbors import NearestNeighbors

    search = NearestNeighbors(n_neighbors=min(_VOTES, len(sample)), algorithm="brute").fit(_unit(sample))
    out = np.empty(len(rest), dtype=np.int64)
    for rows in row_blocks(rest, _ROWS):
        near = codes[search.kneighbors(_unit(rest[rows]), return_distance=False)]
        votes = (near[:, :, None] == near[:, None, :]).sum(axis=2)
        # Of equally many votes those of the nearer cell count.
        out[rows] = near[np.arange(len(near)), votes.argmax(axis=1)]
    return out


def _unit(rows: Float) -> Float:
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _by_size(codes: NDArray[np.int64], keys: NDArray[np.int64]) -> Groups:
    """Return groups in the order of their size; of equally large ones that with the smallest key comes first."""
    sizes = np.bincount(codes[codes >= 0], minlength=1)
    smallest = np.full(sizes.size, np.iinfo(np.int64).max)
    np.minimum.at(smallest, codes[codes >= 0], keys[codes >= 0])
    order = [one for one in np.lexsort((smallest, -sizes)) if sizes[one]]
    place = np.full(sizes.size + 1, -1, dtype=np.int64)
    place[order] = np.arange(len(order))
    return Groups([str(i + 1) for i in range(len(order))], place[codes])


def nearest_each(values: Float, n_neighbors: int, seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Find the `n_neighbors` rows, or as many as there are, with the largest cosine to each row of `values` (n, d).

    Returns the rows that are finite and not all zero, int64 (m,), and theirs, int64 (m, k). None is its own, but beyond
    50,000 rows, where the search is approximate (by `seed`), it stands among one more, and -1 for what was not found.
    """
    rows = np.flatnonzero(np.isfinite(values).all(axis=1) & (values != 0).any(axis=1))
    k = min(n_neighbors, rows.size - 1)
    if k < 1:
        return rows, np.empty((rows.size, 0), dtype=np.int64)
    unit = _unit(values[rows])
    if rows.size <= MOST_EXACT:
        from sklearn.neighbors import NearestNeighbors

        near = NearestNeighbors(algorithm="brute").fit(unit).kneighbors(n_neighbors=k, return_distance=False)
        return rows, rows[near]
    from pynndescent import NNDescent

    # Each row finds itself, too.
    near, _ = NNDescent(unit, n_neighbors=k + 1, metric="euclidean", random_state=seed).neighbor_graph
    return rows, np.where(near >= 0, rows[near], -1)


def mutual_neighbours(values: Float, n_neighbors: int, seed: int) -> sparse.csr_matrix:
    """Link rows (n, d) that are among each other's `n_neighbors` nearest: symmetric ones, float64 CSR (n, n).

    Being near to a large type is not enough: a rare type's cells are seldom among the nearest of its neighbours', so
    that mutual links keep it apart. Rows that are not finite or all zero are linked to none.
    """
    rows, near = nearest_each(values, n_neighbors, seed)
    n, start, found = len(values), np.repeat(rows, near.shape[1]), near.ravel() >= 0
    links = sparse.csr_matrix((np.ones(found.sum()), (start[found], near.ravel()[found])), shape=(n, n))
    links.setdiag(0)
    links.eliminate_zeros()
    return links.multiply(links.T).tocsr()


def propagate(log_probs: Float, values: Float, n_neighbors: int, seed: int = 0) -> Float:
    """Average log-probabilities, float32 (n, m), over mutual nearest neighbours in the embedding.

    Label propagation with a row's own word kept in (Zhou et al. 2003, "Learning with local and global consistency"):
    twice, a row becomes one fifth its own log-probabilities and four fifths the mean of its neighbours'. A row without
    neighbours keeps its own. Each looks at its `n_neighbors` nearest in `values`, float32 (n, n_tokens, dim) or (n, d);
    the `seed` is for the search beyond 50,000 rows, which is approximate.
    """
    links = mutual_neighbours(np.reshape(values, (len(values), -1)), n_neighbors, seed)
    degree = np.asarray(links.sum(axis=1)).ravel()
    linked = degree > 0
    weights = np.divide(1.0, degree, out=np.zeros_like(degree), where=linked)
    mean = (sparse.diags_array(weights) @ links).astype(np.float32)
    own = said = log_probs.astype(np.float32, copy=False)
    for _ in range(SWEEPS):
        said = np.where(linked[:, None], OWN_SHARE * own + (1 - OWN_SHARE) * (mean @ said), own)
    return np.asarray(log_softmax(said, axis=1), dtype=np.float32)


# ------------------------------------------------------------------ cells that each cell hears

# A model that was trained on other tissues or genes tells the types of a study apart less well than the study's own
# variable genes do. So a cell also hears what cells are that are like it by these.

# Variable genes, principal components of these, and cells that each cell hears. Others from 1,000 to 3,000, 15 to 50
# and 5 to 30 are as good (`python -m benchmarks.first_call`, "not by their own genes", is without).
N_GENES, N_COMPONENTS, N_ALIKE = 1000, 30, 10
# A gene has to be in so many cells: of one in fewer nothing can be told.
_IN_CELLS = 10
_BINS = 20
_SUM = 1e4
_CLIP = 10.0
# What the sum of a cell's log-probabilities and its neighbours' is divided by: they are not independent. Of 1, 1.3, 1.6
# and 2, by the calibration error on the development studies of `benchmarks.first_call`.
SOFTEN = 1.6


def alike_cells(cells: Cells) -> NDArray[np.int64] | None:
    """Find for each cell those that are most like it in this data set's own variable genes: int64 (n, k), -1 for none.

    Each cell is brought to a sum of 10,000, the 1,000 genes are taken that vary most beside others of their
    mean (as Satija et al. 2015 do), and of their standardised logarithms 30 principal components; alike is what has
    the largest cosine there. Of the cells without any of these genes nothing is known.

    All values are held in memory for it: those of a file that were not kept are read once more. None, said in the log,
    where no genes can be read; and for more than 20,000 cells, or fewer than there are neighbours to look for.
    """
    if not N_ALIKE < cells.n_obs <= SAMPLE_CELLS:
        return None
    try:
        counts = cells.linear(slice(0, cells.n_obs))
    except BioverseError as error:
        logger.info("names go by the model alone, since the genes cannot be read: %s", error)
        return None
    return nearest(components(counts))


def components(counts: sparse.csr_array) -> Float:
    """Return principal components, float32 (n, at most 30), of the variable genes of `counts`, CSR (n, m), linear."""
    sums = np.asarray(counts.sum(axis=1)).ravel()
    # Logarithms have lost their sums, so that a sum of the data's own would treat them otherwise than counts.
    factors = (_SUM / np.where(sums > 0, sums, 1)).astype(np.float32)
    columns = variable_genes(counts, factors)
    values = np.empty((counts.shape[0], columns.size), dtype=np.float32)
    for rows in row_blocks(counts, _ROWS):
        np.log1p(counts[rows][:, columns].toarray() * factors[rows, None], out=values[rows])
    values -= values.mean(axis=0)
    spread = values.std(axis=0)
    values /= np.where(spread > 0, spread, 1)
    values.clip(-_CLIP, _CLIP, out=values)
    # Of the covariance rather than of the values: nothing random, and few genes.
    among = values.T @ values
    kept = min(N_COMPONENTS, len(among))
    if not kept:
        return np.zeros((len(values), 0), dtype=np.float32)
    _, directions = linalg.eigh(among, subset_by_index=(len(among) - kept, len(among) - 1))
    return np.asarray(values @ directions, dtype=np.float32)


def variable_genes(counts: sparse.csr_array, factors: Float) -> NDArray[np.int64]:
    """Columns that vary most beside others of their mean, increasing: at most 1,000 of those in 10 cells or more.

    Of the logarithm of variance over mean, standardised among the genes of a twentieth of all means. `counts` are CSR
    (n, m), each row of which is multiplied with one of the `factors`, (n,).
    """
    n, m = counts.shape
    held, total, squares = np.zeros(m), np.zeros(m), np.zeros(m)
    for rows in row_blocks(counts, _ROWS):
        block = counts[rows]
        scaled = block.data.astype(np.float64) * np.repeat(factors[rows], np.diff(block.indptr))
        for out, weights in ((held, scaled > 0), (total, scaled), (squares, scaled**2)):
            out += np.bincount(block.indices, weights, minlength=m)
    columns = np.flatnonzero(held >= _IN_CELLS)
    if not columns.size:
        return columns
    mean = total[columns] / n
    dispersion = np.log((squares[columns] / n - mean**2).clip(1e-12) / mean)
    score = np.empty(columns.size)
    for some in np.array_split(np.argsort(mean, kind="stable"), min(_BINS, columns.size)):
        score[some] = (dispersion[some] - np.median(dispersion[some])) / (dispersion[some].std() + 1e-9)
    return np.sort(columns[np.argsort(-score, kind="stable")[:N_GENES]])


def nearest(places: Float) -> NDArray[np.int64]:
    """Return the 10 rows with the largest cosine to each row of `places` (n, d), int64 (n, 10); -1 for zeros."""
    out = np.full((len(places), N_ALIKE), -1, dtype=np.int64)
    rows, near = nearest_each(places, N_ALIKE, 0)  # so few rows are searched whole: no seed decides
    if near.shape[1] == N_ALIKE:
        out[rows] = near
    return out


def hear(log_probs: Float, near: NDArray[np.int64]) -> Float:
    """Let the mean probability of alike cells count as a prior for each: log-probabilities, float32 (n, m).

    `near` as :func:`alike_cells` gives it. One cell's weight is spread over all names, so that none is ruled out, and
    the sum is divided by :data:`SOFTEN`. Cells that hear none keep their own.
    """
    heard = near[:, 0] >= 0
    spread = 1 / (near.shape[1] * log_probs.shape[1])
    prior = np.log(np.exp(log_probs)[near[heard]].mean(axis=1) + spread)
    out = log_probs.astype(np.float32, copy=True)
    out[heard] = log_softmax((log_probs[heard] + prior) / SOFTEN, axis=1)
    return out
