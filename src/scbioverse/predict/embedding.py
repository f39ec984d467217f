"""The embedding a verb starts from: what is stored where that is current, else made anew."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from .._device import place_encoder
from .._keys import Slots
from .._logging import logger
from .._record import read_record
from .._results import check_target
from ..encoders import PrecomputedEncoder, embed_rows
from ..encoders._run import digest_of_input
from ..errors import InputError, MissingKeyError
from ..io import array_digest

if TYPE_CHECKING:
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..encoders import Encoder
    from ..models import BioVerse


@dataclass(frozen=True)
class Representation:
    """Embeddings of every row.

    Attributes
    ----------
    values
        float32 (n_obs, n_tokens, dim).
    slot
        Their name in `obsm`.
    fresh
        Whether they were made now and are not in the AnnData yet.
    record
        What :func:`scbioverse.tl.embed` would record.
    step
        Under which name.
    key, layer
        Where the encoder read: as it was asked for, or of stored ones as they were made.
    """

    values: NDArray[np.float32]
    slot: str
    fresh: bool
    step: str
    record: dict[str, Any] = field(default_factory=dict)
    key: str | None = None
    layer: str | None = None

    @property
    def obsm(self) -> dict[str, NDArray[np.float32]]:
        """What is to be stored in `obsm`: nothing where it was stored before."""
        return {self.slot: self.values[:, 0] if self.values.shape[1] == 1 else self.values} if self.fresh else {}

    @property
    def records(self) -> dict[str, dict[str, Any]]:
        """What is to be recorded of it."""
        return {self.step: self.record} if self.fresh else {}


def represent_rows(
    adata: AnnData,
    model: BioVerse,
    *,
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    slots: Slots,
    rows: NDArray[np.integer] | None = None,
    batch_size: int = 512,
) -> Representation:
    """Return the embeddings of `adata` by the model's encoder, without changing `adata`.

    A stored embedding is used if its record says that it came from the same encoder (by fingerprint) and from what
    `adata` holds now (by a digest of what the encoder reads); else it is out of date, is said to be so in the log, and
    is made anew.

    Parameters
    ----------
    rows
        Positions of the rows wanted; all if not given. A part is not meant to be stored.

    Raises
    ------
    InputError
        The data cannot be embedded.
    """
    check_target(adata)
    model.check_modality(modality)
    if adata.n_obs == 0:
        raise InputError("adata has no rows: there is nothing to embed.")
    encoder = model.encoders[modality]
    # A representation the user computed is read as it is now, every time: nothing says whether it changed.
    given = isinstance(encoder, PrecomputedEncoder)
    if not given:
        for stem in dict.fromkeys([slots.key, Slots().key]):
            held = _stored(adata, Slots(stem), encoder, modality=modality, key=key, layer=layer)
            if held is not None:
                return held if rows is None else replace(held, values=held.values[rows])
    place_encoder(encoder, model.device)
    part = adata if rows is None else adata[rows]
    plan = encoder.plan(part, key=key, layer=layer)
    values = embed_rows(encoder, part, key=key, layer=layer, batch_size=batch_size, plan=plan)
    slot, step = slots.embedding(modality), embed_step(slots, modality)
    if rows is not None:
        return Representation(values, slot, False, step, key=key, layer=layer)
    record = embedding_record(
        encoder, adata, values, plan=plan, model=model.name, modality=modality, slot=slot, key=key, layer=layer, seed=0
    )
    return Representation(values, slot, not given, step, record, key=key, layer=layer)


def _stored(
    adata: AnnData, slots: Slots, encoder: Encoder, *, modality: str, key: str | None, layer: str | None
) -> Representation | None:
    slot, step = slots.embedding(modality), embed_step(slots, modality)
    if slot not in adata.obsm:
        return None
    try:
        record = read_record(adata, step)
    except (MissingKeyError, ValueError):
        logger.info("adata.obsm[%r] has no record of how it was made: embedding anew", slot)
        return None
    values = np.asarray(adata.obsm[slot], dtype=np.float32)
    values = values[:, None, :] if values.ndim == 2 else values
    why = _out_of_date(adata, slot, record, values, encoder, key=key, layer=layer)
    if why:
        logger.info("%s: embedding anew", why)
        return None
    made_key, made_layer = record.get("key"), record.get("layer")
    said = ", ".join(f"{one}={name!r}" for one, name in (("key", made_key), ("layer", made_layer)) if name is not None)
    logger.info(
        "using adata.obsm[%r], made by the same encoder from the same data%s", slot, f" ({said})" if said else ""
    )
    return Representation(values, slot, False, step, key=made_key, layer=made_layer)


def _out_of_date(
    adata: AnnData,
    slot: str,
    record: dict[str, Any],
    values: NDArray[np.float32],
    encoder: Encoder,
    *,
    key: str | None,
    layer: str | None,
) -> str:
    """Why a stored embedding cannot be used; empty if it can. What costs least is compared first."""
    wanted, found = encoder.fingerprint(), record.get("fingerprint")
    if found != wanted:
        return f"adata.obsm[{slot!r}] is of another encoder ({found!s:.16}, the model has {wanted:.16})"
    # What was not asked for explicitly is taken as it was embedded.
    if (layer is not None and record.get("layer") != layer) or (key is not None and record.get("key") != key):
        return f"adata.obsm[{slot!r}] was made from another layer or key"
    if values.shape != (adata.n_obs, encoder.n_tokens, encoder.dim) or not np.isfinite(values).all():
        return f"adata.obsm[{slot!r}] has shape {values.shape} or NaN"
    if not record.get("input_digest"):
        return f"adata.obsm[{slot!r}] has a record that does not say from which values it was made"
    if record.get("output_digest") != array_digest(values):
        return f"adata.obsm[{slot!r}] no longer holds the rows that were written there (changed, subset or reordered)"
    try:
        now = digest_of_input(encoder, adata, key=record.get("key"), layer=record.get("layer"))
    except (InputError, MissingKeyError):
        now = None  # if that is wrong for what is asked, embedding says so
    if record["input_digest"] != now:
        return f"the data have changed since adata.obsm[{slot!r}] was made from them"
    return ""


def embed_step(slots: Slots, modality: str = "cell") -> str:
    """Name under which :func:`embed` records itself: `"embed"` for the default slot, else with stem and modality."""
    stem = "" if slots.key == Slots().key else f"_{slots.key}"
    return f"embed{stem}{'' if modality == 'cell' else '_' + modality}"


def embedding_record(
    encoder: Encoder,
    adata: AnnData,
    values: NDArray[np.float32],
    *,
    plan: Any,
    model: str,
    modality: str,
    slot: str,
    key: str | None,
    layer: str | None,
    seed: int,
) -> dict[str, Any]:
    """Return what is recorded of an embedding: how it was made, and digests of what was read and of what came out."""
    return {
        "model": model,
        "encoder": encoder.name,
        "fingerprint": encoder.fingerprint(),
        "modality": modality,
        "slot": slot,
        "n_tokens": encoder.n_tokens,
        "dim": encoder.dim,
        "layer": layer,
        "key": key,
        "seed": seed,
        "input_digest": digest_of_input(encoder, adata, key=key, layer=layer, plan=plan),
        "output_digest": array_digest(values),
        **getattr(plan, "summary", {}),
    }
