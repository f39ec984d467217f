"""The embedding a verb starts from: what is stored where that is current, else made anew, in a run that may be long.

And rows by their embeddings, as those get them who call them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from .. import _runs
from .._device import place_encoder
from .._logging import logger
from .._slots import Slots, check_target, read_record
from ..encoders import PrecomputedEncoder, embed_rows
from ..encoders._run import digest_of_input
from ..errors import InputError, MissingKeyError
from ..io import Cells, array_digest, row_blocks

if TYPE_CHECKING:
    from anndata import AnnData

    from ..encoders import Encoder
    from ..encoders._distinct import DistinctPlan
    from ..encoders._panel_share import GeneStats, PanelScores
    from ..models import BioVerse
    from .groups import Groups

Float = NDArray[np.float32]
_ROWS = 4096  # cells that are summed up at once


@dataclass(frozen=True)
class Representation:
    """Embeddings of every row."""

    values: NDArray[np.float32]  # float32 (n_obs, n_tokens, dim)
    slot: str  # their name in `obsm`
    fresh: bool  # whether they were made now and are not in the AnnData yet
    step: str  # under which name they are recorded
    # Where the encoder read: as it was asked for, or of stored ones as they were made. What goes with them (markers,
    # reasons) is read there, too: from other values it would not fit.
    cells: Cells
    record: dict[str, Any] = field(default_factory=dict)  # what `tl.embed` would record

    @property
    def obsm(self) -> dict[str, NDArray[np.float32]]:
        """What is to be stored in `obsm`: nothing where it was stored before."""
        return {self.slot: self.values[:, 0] if self.values.shape[1] == 1 else self.values} if self.fresh else {}

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """What is to be recorded of it."""
        return {self.step: self.record} if self.fresh else {}


def represent_rows(
    adata: AnnData | Cells,
    model: BioVerse,
    *,
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    slots: Slots,
    rows: NDArray[np.integer] | None = None,
) -> Representation:
    """Return the embeddings of `adata`, or of some `rows` of it, by the model's encoder, without changing `adata`.

    A stored embedding is used if its record says that it came from the same encoder (by fingerprint) and from what
    `adata` holds now (by a digest of what the encoder reads); else it is out of date, is said to be so in the log, and
    is made anew. Of a part only the values are meant to be used. An :class:`InputError` says that the data cannot be
    embedded.
    """
    cells = Cells.of(adata, layer, key)
    check_target(cells.adata)
    model.check_modality(modality)
    if cells.n_obs == 0:
        raise InputError("adata has no rows: there is nothing to embed.")
    encoder = model.encoders[modality]
    # A representation the user computed is read as it is now, every time: nothing says whether it changed.
    given = isinstance(encoder, PrecomputedEncoder)
    for stem in () if given else dict.fromkeys([slots.key, Slots.key]):
        held = _stored(cells, Slots(stem), encoder, modality)
        if held is not None:
            return held if rows is None else replace(held, values=held.values[rows])
    place_encoder(encoder, model.device)
    if rows is not None:
        part = Cells.of(cells.adata[rows], cells.layer, cells.key)
        values = embed_rows(encoder, part)
        return Representation(values, slots.embedding(modality), False, embed_step(slots, modality), cells)
    made = embed_anew(encoder, cells, slots, model=model.name)
    return replace(made, fresh=not given)


def embed_anew(
    encoder: Encoder,
    cells: Cells,
    slots: Slots,
    *,
    model: str,
    batch_size: int = 512,
    seed: int = 0,
    plan: DistinctPlan | None = None,
) -> Representation:
    """Embed every row, and note how, with digests of what was read and of what came out.

    `model` is the name of what the encoder belongs to, `plan` that of an encoder of texts, if it was already made.
    """
    slot, step = slots.embedding(encoder.modality), embed_step(slots, encoder.modality)
    _check_free(cells, slot, step, encoder)
    values = embed_rows(encoder, cells, batch_size=batch_size, plan=plan)
    summary = getattr(encoder, "summary", None)
    record = {
        "model": model,
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint(),
        "modality": encoder.modality,
        "slot": slot,
        "n_tokens": encoder.n_tokens,
        "dim": encoder.dim,
        "layer": cells.layer,
        "key": cells.key,
        "seed": seed,
        "input_digest": digest_of_input(encoder, cells),
        "output_digest": array_digest(values),
        **(plan.summary if plan is not None else summary(cells) if summary else {}),
    }
    return Representation(values, slot, True, step, cells, record)


def _check_free(cells: Cells, slot: str, step: str, encoder: Encoder) -> None:
    """Refuse to write over what stands under an embedding's name and no run has made: another width, and no record.

    Joined data have lost their records (`anndata.concat`), and their embedding is as wide as the encoder's.
    """
    made = (encoder.dim,) if encoder.n_tokens == 1 else (encoder.n_tokens, encoder.dim)
    if slot in cells.adata.obsm and np.shape(cells.adata.obsm[slot])[1:] != made:
        check_target(cells.adata, step, obsm=[slot])


def embed_step(slots: Slots, modality: str = "cell") -> str:
    """Name under which an embedding is recorded: `"embed"` for the default slot, else with stem and modality."""
    return slots.step("embed") if modality == "cell" else f"{slots.step('embed')}_{modality}"


def _stored(cells: Cells, slots: Slots, encoder: Encoder, modality: str) -> Representation | None:
    adata, slot, step = cells.adata, slots.embedding(modality), embed_step(slots, modality)
    if slot not in adata.obsm:
        return None
    try:
        record = read_record(adata, step)
    except (MissingKeyError, ValueError):
        logger.info("adata.obsm[%r] has no record of how it was made: embedding anew", slot)
        return None
    # What was not asked for explicitly is taken as it was embedded.
    asked, made = {"key": cells.key, "layer": cells.layer}, {name: record.get(name) for name in ("key", "layer")}
    if asked != made and all(asked[name] in (None, made[name]) for name in made):
        wanted, cells = cells.wanted, Cells.of(adata, **made)
        cells.wanted = wanted
    values = tokens_in(adata.obsm[slot])
    if why := _out_of_date(cells, slot, record, values, encoder):
        logger.info("%s: embedding anew", why)
        return None
    said = ", ".join(f"{name}={value!r}" for name, value in made.items() if value is not None)
    logger.info(
        "using adata.obsm[%r], made by the same encoder from the same data%s", slot, f" ({said})" if said else ""
    )
    return Representation(values, slot, False, step, cells)


def tokens_in(stored: Any) -> NDArray[np.float32]:
    """Return an embedding as `obsm` holds it with its axis of tokens: float32 (n, n_tokens, dim)."""
    values = np.asarray(stored, dtype=np.float32)
    return values[:, None, :] if values.ndim == 2 else values


def _out_of_date(cells: Cells, slot: str, record: dict[str, Any], values: NDArray[np.float32], encoder: Encoder) -> str:
    """Why a stored embedding cannot be used; empty if it can. What costs least is compared first."""
    wanted, found, name = encoder.fingerprint(), record.get("fingerprint"), f"adata.obsm[{slot!r}]"
    if found != wanted:
        return f"{name} is of another encoder ({found!s:.16}, the model has {wanted:.16})"
    if (record.get("key"), record.get("layer")) != (cells.key, cells.layer):
        return f"{name} was made from another layer or key"
    # Rows that nothing was given to, or whose text cannot be read, were left NaN then.
    bad = ~np.isfinite(values).all(axis=tuple(range(1, values.ndim)))
    left_out = int(record.get("n_missing", 0)) + int(record.get("n_invalid", 0))
    if values.shape != (cells.n_obs, encoder.n_tokens, encoder.dim) or int(bad.sum()) != left_out:
        return f"{name} has shape {values.shape} or NaN"
    if not record.get("input_digest"):
        return f"{name} has a record that does not say from which values it was made"
    return changed_since(cells, name, record, values, encoder)


def changed_since(
    cells: Cells, name: str, record: dict[str, Any], values: NDArray[np.float32], encoder: Encoder
) -> str:
    """Say what has changed since an embedding was made: its rows, or what was read; empty if neither has.

    `cells` is what was read then, as it is now; `name` what to call the embedding, `record` what was noted of it,
    `values` float32 (n, n_tokens, dim), as stored.
    """
    if record["output_digest"] != array_digest(values):
        return f"{name} no longer holds the rows that were written there (changed, subset or reordered)"
    noted = record.get("input_digest")
    try:
        same = not noted or noted == digest_of_input(encoder, cells)
    except (InputError, MissingKeyError):
        same = False  # if that is wrong for what is asked, embedding says so
    return "" if same else f"the data have changed since {name} was made from them"


Evidence = Callable[[Sequence[str | None]], Float]  # gives the marker evidence of m terms, float32 (n, m)


@dataclass(frozen=True, eq=False)
class Batch:
    """Rows to be called, and what can be known of them."""

    model: BioVerse  # the model
    values: Float  # float32 (n, n_tokens, dim) or (n, dim), embeddings
    modality: str = "cell"  # their modality
    evidence: Evidence | None = None  # None where no genes can be read, or none are to be
    needs_genes: bool = False  # whether genes that cannot be read are an error
    # Finds for each row those most like it by their own genes, int64 (n, k), -1 for none; None where it cannot.
    alike: Callable[[], NDArray[np.int64] | None] = lambda: None
    batch_size: int = 512  # most rows that the language model reads at once
    progress: bool | None = None  # show a progress bar; `settings.progress` if not given
    # Where :attr:`coordinates` are kept: batches of the same rows, with other evidence, share them.
    places: list[Float] = field(default_factory=list, repr=False)

    def __len__(self) -> int:
        return len(self.values)

    def of(self, values: Float, evidence: Evidence | None = None) -> Batch:
        """Return other rows of the same kind, such as the means of groups."""
        needs = self.needs_genes and evidence is not None
        return replace(self, values=values, evidence=evidence, needs_genes=needs, places=[])

    def part(self, rows: NDArray[Any]) -> Batch:
        """Return some of the rows, without their genes."""
        # The genes are read for all rows at once, and what is asked about some rows is asked of the embedding.
        return self.of(self.values[rows])

    def with_genes(self, rows: NDArray[np.integer]) -> Batch:
        """Return some of the rows with their genes, where these can be read by rows."""
        part = getattr(self.evidence, "of_rows", None)
        return self.of(self.values[rows], None if part is None else part(rows))

    @property
    def coordinates(self) -> Float:
        """Places in the space shared with text, float32 (n, d_text), unit length: computed once."""
        if not self.places:
            self.places.append(self.model.coordinates(self.values, self.modality))
        return self.places[0]


@dataclass(frozen=True)
class CellEvidence:
    """Marker evidence of terms in some cells, all or `rows`: called with m terms, float32 (n, m)."""

    cells: Cells
    model: BioVerse
    rows: NDArray[np.integer] | None = None

    @cached_property
    def stats(self) -> GeneStats:
        """What z-scores are taken by."""
        return reference_stats(self.model)

    @cached_property
    def scores(self) -> PanelScores:
        """The cells as z-scores: their genes are looked for once."""
        self.cells.match(self.stats.genes, judge=False)
        return self.cells.once(self.stats.read)

    def __call__(self, terms: Sequence[str | None]) -> Float:  # noqa: D102
        if self.rows is None:
            return self.scores.evidence(self.cells, terms)
        return self.scores.evidence_of(self.cells, self.rows, terms)

    def ask(self, *lists: Sequence[str | None]) -> None:
        """Have the evidence of several lists of terms taken in one walk, when that of one is wanted."""
        for terms in lists:
            self.scores.ask(self.cells, terms)

    def sums(self, groups: Groups) -> tuple[NDArray[np.float64], list[str]]:
        """Sum of each known gene over the cells of each group, (n_groups, n_genes), linear, and the genes."""
        scores, found = self.scores, np.zeros((len(groups.names), len(self.scores.panel.vocab)))
        inside = np.flatnonzero(groups.codes >= 0)
        for part in row_blocks(inside, _ROWS):
            some = inside[part]
            block = self.cells.linear(some if self.rows is None else self.rows[some], scores.match.columns)
            place = (groups.codes[some], np.arange(some.size))
            found += (csr_array((np.ones(some.size), place), shape=(len(found), some.size)) @ block).toarray()
        return found, [self.stats.genes[at] for at in scores.panel.vocab]

    def of_rows(self, rows: NDArray[np.integer]) -> CellEvidence:
        """Return the same for some of the cells, increasing: only these are read."""
        return replace(self, rows=rows)


def reference_stats(model: BioVerse) -> GeneStats:
    """Gene statistics to standardise by: the model's own, or those of `bioverse-small` where its encoder has none."""
    # They bring torch, which pictures of what is stored do without.
    from ..encoders.compact import CompactCellEncoder
    from ..models import load

    encoder = model.encoders.get("cell")
    if not isinstance(encoder, CompactCellEncoder):
        encoder = load("bioverse-small").encoders["cell"]
    if not isinstance(encoder, CompactCellEncoder):
        raise InputError("bioverse-small carries no gene statistics: the installation is damaged; reinstall it.")
    return encoder.stats


@contextmanager
def long_run(what: str, cells: Cells, *given: Any) -> Iterator[None]:
    """Keep the parts of a run over many cells, and use the workers of dask where the cells lie behind it.

    `given` tells this run of a verb from others, beside the cells: fingerprints, options.
    """
    if cells.n_obs < _runs.LONG and cells.lazy() is None:
        yield
        return
    # Names of cells and genes find the run again; whether its parts fit is seen by their own digests.
    names = [cells.layer, cells.key, *map(str, cells.adata.obs_names[:100]), *map(str, cells.adata.var_names[:100])]
    with _runs.kept(what, cells.n_obs, cells.n_obs, names, *given), _runs.used(cells.lazy() is not None):
        yield
