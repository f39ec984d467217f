"""What `tl.align` trains, and what it writes down about the result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from .._device import place_encoder
from .._logging import logger
from ..errors import BioverseError, InputError
from ..knowledge import load_ontology
from ..knowledge.cards import general_texts
from ..knowledge.phrases import canonical_phrase
from ..llm.prompts import MAX_LABEL_CHARS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..encoders import Encoder
    from ..models import BioVerse
    from ..models.config import Calibration
    from ..predict.embedding import Representation
    from ..train import CandidateSet
    from ._texts import Texts

    Float = NDArray[np.float32]

METHODS = {"contrastive": ("nearest",), "autoregressive": ("score",), "both": ("score", "nearest")}
"""What each loss trains for."""
MOST_CANDIDATES = 1000
BACKGROUND = 500


def new_model(
    adata: AnnData,
    model: Any,
    use_rep: str | None,
    modality: str,
    llm: str | None,
    start: str,
    n_soft: int,
    name: str,
    seed: int,
    device: str = "auto",
    terms: Sequence[str] = (),
) -> BioVerse:
    from ..encoders import PrecomputedEncoder
    from ..llm import DEFAULT_LLM, Backbone
    from ..models import BioVerse, load
    from ..models._hub import given_encoder

    if model is None and use_rep is None:
        raise InputError("model=None leaves nothing to embed with: pass use_rep= (a name in adata.obsm) or a model.")
    if start == "model" and (model is None or use_rep is not None or llm is not None):
        raise InputError(
            "start='model' goes on from a model's own projector: it fits neither use_rep=, llm= nor model=None."
        )
    given = None if use_rep is not None else given_encoder(model, modality, hub=False)
    if given is not None and start == "model":
        raise InputError("start='model' goes on from a model's own projector; an encoder by itself has none.")
    # Of a model whose encoder and language model are both replaced nothing is read.
    replaced = use_rep is not None and llm is not None
    base = None if model is None or given is not None or replaced else load(model, device=device)
    encoder: Encoder
    if use_rep is not None:
        encoder = PrecomputedEncoder.from_adata(adata, use_rep, modality=modality)
    elif base is None:
        encoder = _fitting(given, modality)  # type: ignore[arg-type]  # without a model there is an encoder
    else:
        base.check_modality(modality)
        if start == "model":
            return base.copy(name=name)
        encoder = base.encoders[modality]
    place_encoder(encoder, device)
    if base is None or llm is not None:
        reader = Backbone.load(llm or DEFAULT_LLM, device=device)
        return BioVerse.new(encoder, name=name, llm=reader, n_soft=n_soft, prototypes=terms, rng=seed)
    new = BioVerse.new(encoder, name=name, llm=base.backbone, n_soft=n_soft, prototypes=terms, rng=seed)
    if base.text_space is not None and base.config.text_space is not None:
        new.set_text_space(base.text_space, base.config.text_space)
    return new


def fresh_model(encoder: Encoder, modality: str, *, seed: int, device: str = "auto") -> BioVerse:
    """Put an encoder before the default language model, with a projector that knows nothing yet."""
    from ..llm import DEFAULT_LLM, Backbone
    from ..models import BioVerse

    place_encoder(_fitting(encoder, modality), device)
    return BioVerse.new(encoder, name=encoder.name, llm=Backbone.load(DEFAULT_LLM, device=device), rng=seed)


def _fitting(encoder: Encoder, modality: str) -> Encoder:
    """Return an encoder that reads a modality, or raise an :class:`InputError`."""
    if encoder.modality != modality:
        raise InputError(f"encoder {encoder.name!r} reads modality {encoder.modality!r}, not {modality!r}.")
    return encoder


def make_task(
    model: BioVerse,
    embedded: Representation,
    texts: Texts,
    train: NDArray[np.int64],
    loss: str,
    modality: str,
    general_text: bool,
    batch_size: int | None,
) -> tuple[Any, Any]:
    from ..models.edit import set_phrases
    from ..train import AutoregressiveTask, ContrastiveTask, LabelSampler, MixedTask

    parts: list[tuple[Any, float]] = []
    if loss in ("autoregressive", "both"):
        # The language model learns to read the projector: it need not be told phrases any more.
        set_phrases(model, modality, None)
        parts.append((AutoregressiveTask(model, modality=modality, candidates=_choice(model, texts)), 1.0))
    if loss in ("contrastive", "both"):
        negatives = general_texts() if general_text else []
        if model.text_space is None:
            _give_text_space(model)
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

    if _free(texts):
        return None
    return CandidateSet.of(model, texts.answers, related=texts.related)


def _free(texts: Texts) -> bool:
    """Whether the texts are free text (very many, or longer than a name may be) and no list to choose from."""
    return len(texts.names) > MOST_CANDIDATES or max(map(len, texts.answers)) > MAX_LABEL_CHARS


def _give_text_space(model: BioVerse) -> None:
    """Give a new model the space of texts that all models of its language model have.

    It does not depend on the data: models aligned apart can be joined. That of the default model, where that has the
    same language model; else one that is fitted on names from all over the ontology and sentences about other things.
    """
    from ..models import load

    given = load()
    if given.config.llm == model.config.llm and given.text_space is not None and given.config.text_space is not None:
        model.set_text_space(given.text_space, given.config.text_space)
    else:
        model.fit_text_space([*_background(), *general_texts()])


def _background() -> list[str]:
    """Short names from all over the ontology, so that the text space is not fitted on a handful of labels."""
    ids = sorted(load_ontology())
    return [canonical_phrase(cl_id) for cl_id in ids[:: max(1, len(ids) // BACKGROUND)]]


def finish(
    model: BioVerse,
    embedded: Representation,
    texts: Texts,
    train: NDArray[np.int64],
    held: NDArray[np.int64],
    loss: str,
    modality: str,
    text_key: str,
    seed: int,
    still: bool = False,
) -> None:
    """Fit temperatures on the rows held out, and write down what the model is.

    Of a modality that the model does not read first, only what was measured: methods, labels and temperatures are those
    of the first.
    """
    from ..models.edit import forget_terms

    config = model.config
    first = is_first(model, modality)
    if not still:
        forget_terms(model, modality)  # the prototypes have moved
    made, learned = config.encoders[modality], METHODS[loss]
    # Who learned to name it can write of it; who learned nearness alone writes as before.
    writes = ("generate",) if made.writes or "score" in learned else ()
    config.encoders[modality] = replace(made, methods=(*learned, *writes))
    note = {
        "summary": f"A projector aligned on obs[{text_key!r}] of {train.size} rows with {len(texts.names)} texts.",
        "loss": loss,
        "seed": seed,
        "texts": texts.names[:100],
        "limits": ["Rows held out come from the same data set; accuracy on other studies is lower."],
    }
    judged = bool(held.size) and not _free(texts)
    measured: dict[str, float] = {}
    if not first:
        config.training = {**config.training, f"aligned {modality}": note}
        for method in learned if judged else ():
            right, _ = _right(model, embedded, texts, held, method, modality)
            accuracy = f"{modality}: {method}, accuracy on {held.size} rows held out of the same data"
            measured[accuracy] = float(right.mean())
        config.metrics = {**config.metrics, **measured}
        return
    config.default_labels, config.training, config.metrics = list(texts.names), note, measured
    # The other rows and the thresholds belong to a projector that was another one.
    rows = {method: replace(config.calibration[method], thresholds={}) for method in ("score", "nearest")}
    rows["score"] = replace(rows["score"], temperature=1.0)
    if "nearest" in learned:
        begun = float(1.0 / model.space.head(modality).log_scale.detach().exp())
        rows["nearest"] = replace(rows["nearest"], temperature=begun)
    config.calibration = rows
    for method in learned if judged else ():
        from ..train import expected_calibration_error, fit_temperature

        _, before = _right(model, embedded, texts, held, method, modality)
        fitted = rows[method].temperature * fit_temperature(before, texts.codes[held])
        rows[method] = replace(rows[method], temperature=fitted)
        right, after = _right(model, embedded, texts, held, method, modality)
        error = expected_calibration_error(np.exp(after.max(axis=1)), right)
        measured[f"{method}, accuracy on {held.size} rows held out of the same data"] = float(right.mean())
        measured[f"{method}, calibration error on the rows that the temperature was fitted on"] = error


def is_first(model: BioVerse, modality: str) -> bool:
    """Whether a modality is the one whose methods, labels and temperatures the model has."""
    return modality == next(iter(model.config.encoders))


def _right(
    model: BioVerse, embedded: Representation, texts: Texts, held: NDArray[np.int64], method: str, modality: str
) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Whether a method is right about the rows held out, and its log-probabilities, with the temperature as it is."""
    values = embedded.values[held]
    if method == "score":
        found = model.score(values, texts.answers, modality=modality, progress=False)
    else:
        found = model.nearest(values, texts.cards, modality=modality)
    return found.argmax(axis=1) == texts.codes[held], found


def plain_history(history: pd.DataFrame) -> dict[str, list[Any]]:
    """Columns of a training history as JSON has them: NaN becomes null."""
    return {str(name): [None if pd.isna(v) else float(v) for v in history[name]] for name in history.columns}


def aligned_rows(model: BioVerse, embedded: Representation, modality: str, loss: str) -> NDArray[np.float32]:
    """Return what `obsm` gets: coordinates where the way into the space of texts was trained, else mean soft tokens."""
    if "nearest" in METHODS[loss]:
        return model.coordinates(embedded.values, modality)
    return model.mean_soft_token(embedded.values, modality)


SCALE = 10.0  # logit per unit of cosine to begin with; the sharpness learns
LEAN = 0.25  # the first soft token leans to the likeliest candidate, the others say what else it could be


def prototype_terms(texts: Texts, start: str, modality: str) -> list[str]:
    """Return the term that each text's prototype stands for, `""` for none; at least two are needed."""
    terms = [one or "" for one in texts.cl_ids]
    if start != "fresh" or modality != "cell" or len(set(terms) - {""}) < 2:
        raise InputError(
            "projector='prototypes' makes a prototype for each cell type: it needs start='fresh', modality='cell' and "
            f"at least two labels with a Cell Ontology term, found start={start!r}, {modality!r} and "
            f"{len(set(terms) - {''})}. Leave projector= out for a perceptron."
        )
    return terms


def begin(model: BioVerse, embedded: Representation, texts: Texts, rows: NDArray[np.int64]) -> None:
    """Start each prototype at the mean direction of its cells, with the code of its name."""
    from ..train.tasks import begin_as_names

    flat = embedded.values[rows].reshape(rows.size, -1)
    unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
    # A label whose few rows are all held out begins at the mean of all.
    own = [unit[texts.codes[rows] == code] for code in range(len(texts.names))]
    keys = np.stack([(one if len(one) else unit).mean(axis=0) for one in own])
    begin_as_names(model, torch.from_numpy(keys), texts.answers, SCALE)


def add_candidate_tokens(model: BioVerse, texts: Texts) -> None:
    """Give the model candidate tokens of its terms: the language model's own embeddings of their names."""
    from ..models.candidate_tokens import name_code
    from ..models.edit import set_candidate_tokens

    names = {cl_id: answer for cl_id, answer in zip(texts.cl_ids, texts.answers, strict=True) if cl_id}
    codes = torch.stack([name_code(model.reader, name) for name in names.values()])
    set_candidate_tokens(model, "cell", list(names), codes, spread=(LEAN, *[1.0] * (model.config.n_soft - 1)))


def calibrate(model: BioVerse, embedded: Representation, texts: Texts, held: NDArray[np.int64]) -> None:
    """Fit the rows of the calibration that pool sources, on rows held out."""
    from ..models.shared_space import cosines
    from ..predict.sources.markers import evidence_of
    from ..train.calibrate import candidate_rows, fit_temperature, pool_row

    values, truth, terms = embedded.values[held], texts.codes[held], texts.cl_ids
    attention = model.attention(values, terms)
    cosine = markers = None
    if model.text_space is not None and model.config.encoders["cell"].placed:
        cosine = cosines(model.coordinates(values), model.text_coordinates(texts.cards))
    try:
        markers = evidence_of(embedded.cells, model)(terms)[held]
    except BioverseError as error:
        logger.info("the pool is calibrated without markers: %s", error)
    sources = {"prototypes": attention, "nearest": cosine, "markers": markers}
    known = {name: one for name, one in sources.items() if one is not None}
    rows: dict[str, Calibration] = {"cascade": pool_row(known, truth)}
    shares = pool_row({name: one for name, one in known.items() if name != "nearest"}, truth)
    rows |= candidate_rows(shares.weight("prototypes"), shares.weight("markers"))
    model.config.calibration |= rows
    said = {
        evidence is not None: model.score(
            values, texts.answers, terms=terms, evidence=evidence, calibrated=False, progress=False
        )
        for evidence in ([None] if markers is None else [None, markers])
    }
    alone = fit_temperature(said[False], truth)
    both = fit_temperature(said[True], truth) if True in said else alone
    model.config.calibration |= candidate_rows(shares.weight("prototypes"), shares.weight("markers"), both, alone)
