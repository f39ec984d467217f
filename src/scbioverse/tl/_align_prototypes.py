"""What `tl.align(projector="prototypes")` adds: prototypes of the labels, candidate tokens, a pool of all sources."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from .._logging import logger
from ..errors import BioverseError, InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ..models import BioVerse
    from ..models.config import Calibration
    from ..predict.embedding import Representation
    from ._texts import Texts

    Float = NDArray[np.float32]

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
    from ..train.prototypes import begin_as_names

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
