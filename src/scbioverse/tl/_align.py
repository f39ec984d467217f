"""`sb.tl.align`: a projector trained on the user's own labels or texts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from .._errors import InputError, MissingKeyError
from .._keys import UNS_ROOT, Slots
from .._logging import log_added, logger
from .._random import Rng, as_seed
from .._record import write_record
from ..knowledge import load_ontology, resolve_labels
from ..knowledge.cards import general_texts, label_card
from ..knowledge.phrases import canonical_phrase
from ._labels import is_number
from ._representation import Representation, represent_rows

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..encoders import Encoder
    from ..models import BioVerse
    from ..train import CandidateSet

Loss = Literal["contrastive", "autoregressive", "both"]
DEFAULT_STEPS = {"contrastive": 300, "autoregressive": 150, "both": 150}
HOLDOUT = 0.1
LEAST_HELD_OUT = 20
# Longer than any name of a cell type: such a text is taken as it stands and not looked up in the ontology.
LONGEST_NAME = 60
MOST_CANDIDATES = 1000
BACKGROUND = 500


@dataclass(frozen=True, eq=False)
class Texts:
    """The different texts of a column.

    Attributes
    ----------
    names
        As they stand in the column.
    codes
        int64 (n_obs,): text of each row, -1 where it is missing.
    cl_ids
        Ontology ids, or None.
    answers
        What the language model should say: the term's phrase, else the name. Different for each.
    cards
        Descriptions for the contrastive side.
    related
        bool (m, m): one term is an ancestor of the other.
    """

    names: list[str]
    codes: NDArray[np.int64]
    cl_ids: list[str | None]
    answers: list[str]
    cards: list[str]
    related: NDArray[np.bool_]


def align(
    adata: AnnData,
    *,
    text_key: str,
    model: str | Path | BioVerse | None = "bioverse-small",
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
    general_text: bool = True,
    name: str = "aligned",
    key_added: str = "bioverse",
    rng: Rng = None,
) -> BioVerse:
    """Train a projector from cells to the language model, on the labels or texts in a column of `obs`.

    Encoder and language model stay as they are. With `loss="contrastive"` a cell is brought near to the language
    model's representation of its text (symmetric InfoNCE; cells of one text are never each other's negatives, ontology
    ancestors and descendants are left out, unrelated general text is added as negatives), after which
    `annotate(method="nearest")` works. With `"autoregressive"` the language model learns to name the cell
    (cross-entropy on the answer only, the choice restricted to the column's texts where there are at most 1,000), after
    which `annotate(method="score")` works. `"both"` trains both at once.

    A tenth of the rows, where that makes 20, is held out to fit the confidence's temperature and to measure the result.

    Parameters
    ----------
    adata
        The rows to learn from; only `obsm` and `uns` are added to.
    text_key
        Column of `obs` with labels or texts; rows without one are left out.
    model
        Whose encoder and language model to use; None starts from `use_rep` alone.
    use_rep
        Representation in `obsm` to read in place of the model's encoder.
    loss
        `"contrastive"`, `"autoregressive"` or `"both"`.
    modality
        What a row is.
    key, layer
        Where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    llm
        Name or path of another language model; needs `start="fresh"`.
    start
        `"fresh"`: random projector. `"model"`: go on from the model's own.
    steps
        Optimiser steps; 300 (contrastive) or 150 if not given.
    batch_size
        Rows of a step; 128 (contrastive) or 32 if not given.
    lr
        Highest learning rate.
    n_soft
        Soft tokens that a row becomes, for a fresh projector.
    general_text
        Use unrelated sentences as negatives in the contrastive loss.
    name
        Name of the new model.
    key_added
        Stem of the slot names.
    rng
        Seed of starting weights, batches and dropout: the same seed and data give the same model.

    Returns
    -------
    The new model. `adata` gets `obsm["X_bioverse_aligned"]`, float32 (n_obs, d_text): coordinates in the space shared
    with text, or with `loss="autoregressive"` the mean soft token (n_obs, d_llm); `obsm["X_bioverse"]` where it was
    missing or out of date; and a record in `uns["bioverse"]["align"]`.

    Raises
    ------
    InputError
        There are fewer than two texts, or an option does not fit. `adata` is unchanged, as after every error.
    MissingKeyError
        `text_key` or `use_rep` is not there.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> model = sb.tl.align(adata, text_key="cell_type")
    >>> model.save("my-model")
    >>> sb.tl.annotate(adata, model="my-model")
    """
    from ..train import fit

    if loss not in DEFAULT_STEPS:
        raise InputError(f"loss={loss!r}; choose {', '.join(map(repr, DEFAULT_STEPS))}.")
    if start not in ("fresh", "model"):
        raise InputError(f"start={start!r}; choose 'fresh' or 'model'.")
    seed, slots = as_seed(rng), Slots(key_added)
    texts = read_texts(adata, text_key)
    new = _new_model(adata, model, use_rep, modality, llm, start, n_soft, name, seed)
    embedded = represent_rows(adata, new, modality=modality, key=key, layer=layer, slots=slots)
    train, held = split_rows(texts.codes, seed)
    logger.info("aligning on %d rows with %d texts, %d held out", train.size, len(texts.names), held.size)
    task, sampler = _task(new, embedded, texts, train, loss, modality, general_text, batch_size)
    history = fit(task, sampler, steps=steps or DEFAULT_STEPS[loss], lr=lr, micro_batch=32, seed=seed)
    _finish(new, embedded, texts, train, held, loss, modality, text_key, seed)
    aligned = _aligned(new, embedded, modality)
    filled = embedded.write(adata)
    adata.obsm[slots.aligned] = aligned
    step = "align" if slots.key == Slots().key else f"align_{slots.key}"
    write_record(
        adata,
        step,
        model=new.name,
        fingerprint=new.fingerprint(),
        text_key=text_key,
        use_rep=use_rep,
        loss=loss,
        start=start,
        steps=len(history),
        lr=lr,
        seed=seed,
        modality=modality,
        llm=new.config.llm.name,
        llm_sha256=new.config.llm.sha256,
        n_train=int(train.size),
        n_held_out=int(held.size),
        labels=[
            {"name": one, "cl_id": cl_id, "text": answer}
            for one, cl_id, answer in zip(texts.names, texts.cl_ids, texts.answers, strict=True)
        ],
        loss_first=float(history["loss"].iloc[:10].mean()),
        loss_last=float(history["loss"].iloc[-10:].mean()),
        metrics=new.config.metrics,
    )
    log_added("align", [*filled, f"adata.obsm[{slots.aligned!r}]", f"adata.uns[{UNS_ROOT!r}][{step!r}]"])
    return new


def read_texts(adata: AnnData, text_key: str) -> Texts:
    """Read the texts of a column and what they mean.

    Raises
    ------
    MissingKeyError
        There is no such column.
    InputError
        It holds fewer than two different texts.
    """
    if not hasattr(adata, "obs"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}.")
    if text_key not in adata.obs:
        raise MissingKeyError(
            f"text_key={text_key!r} is not a column of adata.obs "
            f"(found: {list(map(str, adata.obs.columns)) or 'none'})."
        )
    column = adata.obs[text_key].astype("category").cat.remove_unused_categories()
    written = [" ".join(str(one).split()) for one in column.cat.categories]
    # Categories that read the same are one text; order by name, so that it does not depend on the rows.
    names = sorted({one for one in written if one})
    at = {one: i for i, one in enumerate(names)}
    table = np.array([*(at.get(one, -1) for one in written), -1], dtype=np.int64)
    codes = table[column.cat.codes.to_numpy(dtype=np.int64)]
    if all(is_number(one) for one in names):
        raise InputError(
            f"adata.obs[{text_key!r}] holds only numbers ({', '.join(names[:5])}): a language model learns nothing "
            "from cluster numbers. Name the clusters first."
        )
    if len(names) < 2:
        raise InputError(f"adata.obs[{text_key!r}] holds {len(names)} different texts; alignment needs at least two.")
    found = resolve_labels([one if len(one) <= LONGEST_NAME else "" for one in names])
    cl_ids = [one.cl_id for one in found]
    phrase = [canonical_phrase(cl_id) if cl_id else one for one, cl_id in zip(names, cl_ids, strict=True)]
    answers = [text if phrase.count(text) == 1 else one for text, one in zip(phrase, names, strict=True)]
    cards = []
    for one, cl_id, answer in zip(names, cl_ids, answers, strict=True):
        card = label_card(cl_id) if cl_id else one
        cards.append(card if cl_id is None or answer == canonical_phrase(cl_id) else f"{one}. {card}")
    return Texts(names, codes, cl_ids, answers, cards, _related(cl_ids))


def split_rows(codes: NDArray[np.integer], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows to train on and rows held out, each text in proportion; a text with one row is always trained on."""
    rng = np.random.default_rng([seed, 1])
    rows = np.flatnonzero(codes >= 0)
    if rows.size * HOLDOUT < LEAST_HELD_OUT:
        return rows, rows[:0]
    held = []
    for code in np.unique(codes[rows]):
        mine = rng.permutation(rows[codes[rows] == code])
        held.append(mine[: round(HOLDOUT * mine.size)])
    out = np.sort(np.concatenate(held))
    return np.setdiff1d(rows, out), out


def _related(cl_ids: list[str | None]) -> NDArray[np.bool_]:
    ontology = load_ontology()
    out = np.zeros((len(cl_ids), len(cl_ids)), dtype=bool)
    for i, a in enumerate(cl_ids):
        for j, b in enumerate(cl_ids[:i]):
            # Two texts with one meaning: neither is wrong for a cell of the other.
            out[i, j] = out[j, i] = a is not None and b is not None and ontology.related(a, b)
    return out


def _new_model(
    adata: AnnData,
    model: Any,
    use_rep: str | None,
    modality: str,
    llm: str | None,
    start: str,
    n_soft: int,
    name: str,
    seed: int,
) -> BioVerse:
    from ..encoders import PrecomputedEncoder
    from ..models import BioVerse, load

    if model is None and use_rep is None:
        raise InputError("model=None leaves nothing to embed with: pass use_rep= (a name in adata.obsm) or a model.")
    if start == "model" and (model is None or use_rep is not None or llm is not None):
        raise InputError(
            "start='model' goes on from a model's own projector: it fits neither use_rep=, llm= nor model=None."
        )
    base = None if model is None or (use_rep is not None and llm is not None) else load(model)
    if start == "model" and base is not None:
        base.check_modality(modality)
        return base.copy(name=name)
    encoder: Encoder
    if use_rep is not None:
        encoder = PrecomputedEncoder.from_adata(adata, use_rep, modality=modality)
    else:
        base = load(model)
        base.check_modality(modality)
        encoder = base.encoders[modality]
    reader = llm if llm is not None or base is None else base.backbone
    new = BioVerse.new(encoder, name=name, llm=reader, n_soft=n_soft, rng=seed)
    if base is not None and llm is None and base.text_space is not None and base.config.text_space is not None:
        new.set_text_space(base.text_space, base.config.text_space)
    return new


def _task(
    model: BioVerse,
    embedded: Representation,
    texts: Texts,
    train: NDArray[np.int64],
    loss: str,
    modality: str,
    general_text: bool,
    batch_size: int | None,
) -> tuple[Any, Any]:
    from ..train import AutoregressiveTask, ContrastiveTask, LabelSampler, MixedTask

    parts: list[tuple[Any, float]] = []
    if loss in ("autoregressive", "both"):
        parts.append((AutoregressiveTask(model, modality=modality, candidates=_choice(model, texts)), 1.0))
    if loss in ("contrastive", "both"):
        negatives = general_texts() if general_text else []
        if model.text_space is None:
            model.fit_text_space([*texts.cards, *_background(), *negatives])
        contrastive = ContrastiveTask(model, modality=modality, negatives=negatives)
        contrastive.prepare(texts.cards)
        parts.append((contrastive, 1.0))
    sampler = LabelSampler(
        embedded.values[train],
        texts.codes[train],
        texts.answers,
        cards=texts.cards,
        batch_size=batch_size or (128 if loss == "contrastive" else 32),
        balance=0.5,
        related=texts.related,
    )
    return (parts[0][0] if len(parts) == 1 else MixedTask(parts)), sampler


def _choice(model: BioVerse, texts: Texts) -> CandidateSet | None:
    """Restrict the answer to the column's texts, unless they are free text and all but unique."""
    from ..train import CandidateSet

    if len(texts.names) > MOST_CANDIDATES:
        return None
    return CandidateSet.of(model, texts.answers, related=texts.related)


def _background() -> list[str]:
    """Short names from all over the ontology, so that the text space is not fitted on a handful of labels."""
    ids = sorted(load_ontology())
    return [canonical_phrase(cl_id) for cl_id in ids[:: max(1, len(ids) // BACKGROUND)]]


def _finish(
    model: BioVerse,
    embedded: Representation,
    texts: Texts,
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    loss: str,
    modality: str,
    text_key: str,
    seed: int,
) -> None:
    """Fit temperatures on the rows held out, and write down what the model is."""
    config = model.config
    config.methods = {"contrastive": ["nearest"], "autoregressive": ["score"], "both": ["score", "nearest"]}[loss]
    config.default_labels = list(texts.names)
    config.temperature = 1.0
    if "nearest" in config.methods:
        config.nearest_temperature = float(1.0 / model.shared(modality).log_scale.detach().exp())
    config.metrics = {}
    if held.size and len(texts.names) <= MOST_CANDIDATES:
        from ..train import expected_calibration_error, fit_temperature

        values, truth = embedded.values[held], texts.codes[held]
        for method in config.methods:
            if method == "score":
                raw = model.score(values, texts.answers, modality=modality, progress=False, calibrated=False)
                config.temperature = fit_temperature(raw, truth)
                final = model.score(values, texts.answers, modality=modality, progress=False)
            else:
                raw = model.nearest(values, texts.cards, modality=modality)
                config.nearest_temperature *= fit_temperature(raw, truth)
                final = model.nearest(values, texts.cards, modality=modality)
            right = final.argmax(axis=1) == truth
            config.metrics[f"{method}, accuracy on {held.size} rows held out of the same data"] = float(right.mean())
            error = expected_calibration_error(np.exp(final.max(axis=1)), right)
            config.metrics[f"{method}, calibration error on the rows that the temperature was fitted on"] = error
    config.training = {
        "summary": f"A projector aligned on obs[{text_key!r}] of {train.size} rows with {len(texts.names)} texts.",
        "loss": loss,
        "seed": seed,
        "texts": texts.names[:100],
        "limits": ["Rows held out come from the same data set; accuracy on other studies is lower."],
    }


def _aligned(model: BioVerse, embedded: Representation, modality: str) -> NDArray[np.float32]:
    if "nearest" in model.config.methods:
        return model.coordinates(embedded.values, modality)
    return model.mean_soft_token(embedded.values, modality)
