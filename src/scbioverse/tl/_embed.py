"""`sb.tl.embed`: rows of an AnnData to embeddings in `obsm`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import InputError
from .._keys import UNS_ROOT, Slots
from .._logging import log_added
from .._random import Rng, as_seed
from .._record import write_record
from ..encoders import Encoder, embed_rows

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse


def embed_step(slots: Slots, modality: str = "cell") -> str:
    """Name under which :func:`embed` records itself: `"embed"` for the default slot, else with stem and modality."""
    stem = "" if slots.key == Slots().key else f"_{slots.key}"
    return f"embed{stem}{'' if modality == 'cell' else '_' + modality}"


def embed(
    adata: AnnData,
    *,
    model: str | Path | BioVerse | Encoder = "bioverse-small",
    modality: str = "cell",
    key: str | None = None,
    key_added: str | None = None,
    layer: str | None = None,
    batch_size: int = 512,
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Embed every row with a model's frozen encoder.

    Rows are read and encoded a batch at a time, so that data may be in memory, backed by a file or dask. Each row is
    embedded by itself: the result depends neither on the other rows nor on `batch_size`.

    Parameters
    ----------
    adata
        For cells, raw counts or log-normalised values, found out and said in the log; gene symbols or Ensembl ids.
    model
        Name of a model (see :func:`scbioverse.models.list_models`), path of one, a model, or an encoder.
    modality
        Which of the model's encoders to use.
    key
        Where the input is: for cells the column of `adata.var` with gene names (its index if not given), for
        precomputed representations the name in `adata.obsm`.
    key_added
        Stem of the slot names, `"bioverse"` if not given.
    layer
        Layer to read: `X` if not given, `adata.raw` for `"raw"`.
    batch_size
        Rows held in memory at once.
    rng
        Seed, kept in the record. The encoders of this package draw nothing.
    copy
        Return a copy with the results and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets `obsm["X_bioverse"]` (`"X_bioverse_<modality>"` for other modalities than cells),
    float32 (n_obs, dim), or (n_obs, n_tokens, dim) if the encoder gives more than one token a row; and a record in
    `uns["bioverse"]` with model, encoder fingerprint, matched genes and scale.

    Raises
    ------
    InputError
        The data cannot be used; the message says why. `adata` is unchanged.
    MissingKeyError
        `layer` or `key` is not there.
    WeightsError
        The model is not found or damaged.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> sb.tl.embed(adata)
    >>> adata.obsm["X_bioverse"].shape
    (2700, 128)
    """
    if not hasattr(adata, "obsm"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}")
    encoder, model_name = _encoder(model, modality)
    slots = Slots() if key_added is None else Slots(key_added)
    plan = encoder.plan(adata, key=key, layer=layer)
    values = embed_rows(encoder, adata, key=key, layer=layer, batch_size=batch_size, plan=plan)
    slot, step = slots.embedding(modality), embed_step(slots, modality)
    target = adata
    if copy:
        target = adata.to_memory() if adata.isbacked else adata.copy()
    target.obsm[slot] = values[:, 0] if encoder.n_tokens == 1 else values
    write_record(
        target,
        step,
        model=model_name,
        encoder=encoder.name,
        fingerprint=encoder.fingerprint(),
        modality=modality,
        slot=slot,
        n_tokens=encoder.n_tokens,
        dim=encoder.dim,
        layer=layer,
        key=key,
        seed=as_seed(rng),
        **getattr(plan, "summary", {}),
    )
    log_added("embed", [f"adata.obsm[{slot!r}]", f"adata.uns[{UNS_ROOT!r}][{step!r}]"])
    return target if copy else None


def _encoder(model: str | Path | BioVerse | Encoder, modality: str) -> tuple[Encoder, str]:
    """Return the encoder for `modality` and the name of what it belongs to."""
    if isinstance(model, Encoder):
        found = {model.modality: model}
        name = model.name
    else:
        from ..models import load

        loaded = load(model)
        found, name = dict(loaded.encoders), loaded.name
    if modality not in found:
        raise InputError(f"model {name!r} has no encoder for modality {modality!r} (found: {sorted(found)})")
    return found[modality], name
