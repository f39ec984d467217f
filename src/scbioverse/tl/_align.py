"""`sb.tl.align`: a projector trained on the user's own labels or texts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from .._device import Rng, as_seed
from .._logging import logger
from .._slots import Slots, check_target, takes_mudata, write_results
from ..errors import check_choice
from ..predict.embedding import represent_rows
from ._align_training import METHODS, Alignment, new_model, prototype_terms, read_texts, split_rows, trained_record

if TYPE_CHECKING:
    from anndata import AnnData

    from ..encoders import Encoder
    from ..models import BioVerse

Loss = Literal["contrastive", "autoregressive", "both"]


@takes_mudata
def align(
    adata: AnnData,
    *,
    text_key: str,
    model: str | Path | BioVerse | Encoder | None = "bioverse-small",
    use_rep: str | None = None,
    loss: Loss = "contrastive",
    modality: str = "cell",
    key: str | None = None,
    layer: str | None = None,
    llm: str | None = None,
    start: Literal["fresh", "model"] = "fresh",
    steps: int | None = None,
    batch_size: int | None = None,
    lr: float = 1e-3,
    n_soft: int = 4,
    projector: Literal["mlp", "prototypes"] = "mlp",
    general_text: bool = True,
    name: str = "aligned",
    key_added: str = "bioverse",
    device: str = "auto",
    rng: Rng = None,
) -> BioVerse:
    """Train a projector from cells to the language model, on the labels or texts in a column of `obs`.

    Encoder and language model stay as they are. With `loss="contrastive"` a cell is brought near to the language
    model's representation of its text (symmetric InfoNCE; cells of one text are never each other's negatives, ontology
    ancestors and descendants are left out, unrelated general text is added as negatives), after which
    `annotate(method="nearest")` works. With `"autoregressive"` the language model learns to name the cell
    (cross-entropy on the answer only, the choice restricted to the column's texts where there are at most 1,000), after
    which `annotate(method="score")` works. `"both"` trains both at once.

    A tenth of the rows, where that makes 20, is held out to fit the confidence's temperature, for prototypes also the
    pool of `annotate(method="cascade")`, and to measure the result.

    Parameters
    ----------
    adata
        The rows to learn from; only `obsm` and `uns` are added to.
    text_key
        Column of `obs` with labels or texts; rows without one, or called "unassigned" or "unknown", are left out.
    model
        Whose encoder and language model to use; None starts from `use_rep` alone. An encoder, or what
        :func:`scbioverse.tl.embed` takes for one (`"morgan"`, `"chemnet"`, `"kmer"`, an scvi-tools model, the folder of
        a Geneformer), is read by the default language model, or by `llm`.
    use_rep, loss
        Representation in `obsm` to read in place of the encoder; `"contrastive"`, `"autoregressive"` or `"both"`.
    modality, key, layer
        What a row is, and where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    llm, start
        Name or path of another language model, which needs `"fresh"`: a random projector.
        `"model"`: go on from the model's own; what belongs to other modalities stays.
    steps, batch_size
        Optimiser steps, 300 (contrastive) or 150 if not given, and rows of each, 128 (contrastive) or 32.
    lr, n_soft
        Highest learning rate; soft tokens that a row becomes, for a fresh projector.
    projector
        `"mlp"`, or `"prototypes"` as `bioverse-small` has it: one prototype for each cell type, whose attention is a
        classifier over ontology terms, and candidate tokens (see :mod:`scbioverse.models.bioverse`).
    general_text, name, key_added, device
        Unrelated sentences are negatives, too; name of the new model; stem of the slot names; torch device or `"auto"`.
    rng
        Seed of starting weights, batches and dropout: the same seed and data give the same model.

    Returns
    -------
    The new model. `adata` gets `obsm["X_bioverse_aligned"]`, float32 (n_obs, d_text): coordinates in the space shared
    with text, or with `loss="autoregressive"` the mean soft token (n_obs, d_llm); `obsm["X_bioverse"]` where it was
    missing or out of date; and a record in `uns["bioverse"]["align"]`, with the history that
    `sb.pl.training_history(adata, key="align")` draws.

    Raises
    ------
    InputError
        There are fewer than two texts, or an option does not fit. `adata` is unchanged, as after every error.
    MissingKeyError
        `text_key` or `use_rep` is not there.

    Examples
    --------
    >>> model = sb.tl.align(adata, text_key="cell_type")
    >>> sb.tl.annotate(adata, model=model.save("my-model"))
    """
    check_target(adata)
    check_choice("loss", loss, *METHODS)
    check_choice("start", start, "fresh", "model")
    check_choice("projector", projector, "mlp", "prototypes")
    seed, slots, by_type = as_seed(rng), Slots(key_added), projector == "prototypes"
    texts = read_texts(adata, text_key)
    terms = prototype_terms(texts, start, modality) if by_type else []
    new = new_model(
        adata, model, modality=modality, name=name, seed=seed, use_rep=use_rep, llm=llm, start=start, n_soft=n_soft,
        device=device, terms=terms,
    )  # fmt: skip
    texts = texts.said(new.config.names)
    embedded = represent_rows(adata, new, modality=modality, key=key, layer=layer, slots=slots)
    train, held = split_rows(texts.codes, seed)
    logger.info("aligning on %d rows with %d texts, %d held out", train.size, len(texts.names), held.size)
    run = Alignment(new, modality, loss, embedded, texts, train, held, by_type)
    history = run.train(
        fresh=start == "fresh", steps=steps, batch_size=batch_size, lr=lr, general_text=general_text, seed=seed
    )
    run.finish(text_key, seed)
    labels = zip(texts.names, texts.cl_ids, texts.answers, strict=True)
    record = trained_record(new, history) | {
        "text_key": text_key,
        "use_rep": use_rep,
        "loss": loss,
        "start": start,
        "steps": len(history),
        "lr": lr,
        "seed": seed,
        "modality": modality,
        "n_train": int(train.size),
        "n_held_out": int(held.size),
        "labels": [{"name": name, "cl_id": cl_id, "text": answer} for name, cl_id, answer in labels],
        "loss_first": float(history["loss"].iloc[:10].mean()),
        "loss_last": float(history["loss"].iloc[-10:].mean()),
        "metrics": new.config.metrics,
    }
    obsm = embedded.obsm | {slots.aligned: run.rows()}
    write_results(adata, "align", obsm=obsm, records=embedded.records | {slots.step("align"): record})
    return new
