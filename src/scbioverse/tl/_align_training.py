"""What `tl.align` trains, and what it writes down about the result."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from .._device import place_encoder
from .._logging import logger
from .._slots import without_nan
from ..errors import BioverseError, InputError
from ..io.columns import as_categories, obs_column
from ..knowledge import load_ontology, resolve_labels
from ..knowledge.ontology import canonical_phrase
from ..knowledge.phrases import answer_name, general_texts, label_card
from ..llm.prompts import MAX_LABEL_CHARS
from ..predict.candidates import NO_NAME, is_number

if TYPE_CHECKING:
    import pandas as pd
    from anndata import AnnData
    from numpy.typing import NDArray

    from ..models import BioVerse
    from ..predict.embedding import Representation

    Float = NDArray[np.float32]

# What each loss trains for.
METHODS = {"contrastive": ("nearest",), "autoregressive": ("score",), "both": ("score", "nearest")}
DEFAULT_STEPS = {"contrastive": 300, "autoregressive": 150, "both": 150}
# Steps towards the words of each answer, before the language model is run: cheap, and it saves many that are not.
WARM_STEPS = 300
MOST_CANDIDATES = 1000
BACKGROUND = 500
SCALE = 10.0  # logit per unit of cosine that prototypes begin with; the sharpness learns
LEAN = 0.25  # the first soft token leans to the likeliest candidate, the others say what else it could be


def new_model(
    adata: AnnData | None,
    model: Any,
    *,
    modality: str,
    name: str,
    seed: int,
    use_rep: str | None = None,
    llm: str | None = None,
    start: str = "fresh",
    n_soft: int = 4,
    device: str = "auto",
    terms: Sequence[str] = (),
) -> BioVerse:
    """Make a model with a new projector, or with `start="model"` a copy of one whose projector is gone on from."""
    from ..encoders import PrecomputedEncoder
    from ..llm import DEFAULT_LLM, Backbone
    from ..models import BioVerse, load
    from ..models._hub import given_encoder

    if model is None and use_rep is None:
        raise InputError("model=None leaves nothing to embed with: pass use_rep= (a name in adata.obsm) or a model.")
    given = None if use_rep is not None else given_encoder(model, modality, hub=False)
    replaces = (given, use_rep, llm)
    if start == "model" and (model is None or any(one is not None for one in replaces)):
        raise InputError(
            "start='model' goes on from a model's own projector: it fits neither use_rep=, llm= nor model=None, and an "
            "encoder by itself has none."
        )
    # Of a model whose encoder and language model are both replaced nothing is read.
    replaced = use_rep is not None and llm is not None
    base = None if model is None or given is not None or replaced else load(model, device=device)
    if base is not None and use_rep is None:
        base.check_modality(modality)
        given = base.encoders[modality]
        if start == "model":
            return base.copy(name=name)
    encoder = given or PrecomputedEncoder.from_adata(adata, str(use_rep), modality=modality)
    if encoder.modality != modality:
        raise InputError(f"encoder {encoder.name!r} reads modality {encoder.modality!r}, not {modality!r}.")
    place_encoder(encoder, device)
    reader = Backbone.load(llm or DEFAULT_LLM, device=device) if base is None or llm else base.backbone
    new = BioVerse.new(encoder, name=name, llm=reader, n_soft=n_soft, prototypes=terms, rng=seed)
    if base is not None and not llm:
        new.space.take(base.space)
    return new


@dataclass(frozen=True, eq=False)
class Alignment:
    """One run of `tl.align`: the new model, the rows that it learns from, and those it is measured on."""

    model: BioVerse
    modality: str
    loss: str
    embedded: Representation
    texts: Texts
    learned: NDArray[np.int64]  # rows to learn from
    held: NDArray[np.int64]  # rows held out, to fit temperatures on and to measure
    by_type: bool  # whether the projector has a prototype for each cell type

    def train(
        self, *, fresh: bool, steps: int | None, batch_size: int | None, lr: float, general_text: bool, seed: int
    ) -> pd.DataFrame:
        """Train the projector, and return the history; a fresh one first by a loss that is cheap."""
        from ..train import LexicalTask, fit
        from ..train.tasks import PrototypeTask, still_attention

        model, modality = self.model, self.modality
        task, sampler = self._task(general_text, batch_size)
        with contextlib.ExitStack() as stack:
            if self.by_type:
                self._begin_prototypes()
                fit(PrototypeTask(model), sampler, steps=WARM_STEPS, lr=lr, seed=seed)
                stack.enter_context(still_attention(model))
            elif fresh and self.loss != "contrastive":
                fit(LexicalTask(model, modality=modality), sampler, steps=WARM_STEPS, lr=lr, seed=seed)
            if len(model.modalities) > 1:
                stack.enter_context(model.tokens.only_end_of(modality))
            steps = DEFAULT_STEPS[self.loss] if steps is None else steps
            return fit(task, sampler, steps=steps, lr=lr, micro_batch=32, seed=seed)

    def _task(self, general_text: bool, batch_size: int | None) -> tuple[Any, Any]:
        """Return what is trained, and the sampler of its batches."""
        from ..models.edit import set_phrases
        from ..train import AutoregressiveTask, CandidateSet, ContrastiveTask, LabelSampler, MixedTask

        model, modality, texts = self.model, self.modality, self.texts
        parts: list[tuple[Any, float]] = []
        if "score" in METHODS[self.loss]:
            # The language model learns to read the projector: it need not be told phrases any more.
            set_phrases(model, modality, None)
            names = None if self.free else CandidateSet.of(model, texts.answers, related=texts.related)
            parts.append((AutoregressiveTask(model, modality=modality, candidates=names), 1.0))
        if "nearest" in METHODS[self.loss]:
            negatives = general_texts() if general_text else []
            if model.text_space is None:
                _give_text_space(model)
            contrastive = ContrastiveTask(model, modality=modality, negatives=negatives)
            contrastive.prepare(texts.cards)
            parts.append((contrastive, 1.0))
        sampler = LabelSampler(
            self.embedded.values[self.learned],
            texts.codes[self.learned],
            texts.answers,
            cards=texts.cards,
            batch_size=(128 if self.loss == "contrastive" else 32) if batch_size is None else batch_size,
            balance=0.5,
            related=texts.related,
        )
        return (parts[0][0] if len(parts) == 1 else MixedTask(parts)), sampler

    @property
    def free(self) -> bool:
        """Whether the texts are free text (very many, or longer than a name may be) and no list to choose from."""
        return len(self.texts.names) > MOST_CANDIDATES or max(map(len, self.texts.answers)) > MAX_LABEL_CHARS

    def _begin_prototypes(self) -> None:
        """Start each prototype at the mean direction of its cells, with the code of its name."""
        from ..train.tasks import begin_as_names

        flat = self.embedded.values[self.learned].reshape(self.learned.size, -1)
        unit = flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-12)
        # A label whose few rows are all held out begins at the mean of all.
        own = [unit[self.texts.codes[self.learned] == code] for code in range(len(self.texts.names))]
        keys = np.stack([(one if len(one) else unit).mean(axis=0) for one in own])
        begin_as_names(self.model, torch.from_numpy(keys), self.texts.answers, SCALE)

    def finish(self, text_key: str, seed: int) -> None:
        """Fit temperatures on the rows held out, and write down what the model is.

        Of a modality that the model does not read first, only what was measured: methods, labels and temperatures are
        those of the first.
        """
        from ..models.edit import forget_terms

        model, modality, config = self.model, self.modality, self.model.config
        if not self.by_type:
            forget_terms(model, modality)  # the prototypes have moved
        made, learned = config.encoders[modality], METHODS[self.loss]
        # Who learned to name it can write of it; who learned nearness alone writes as before.
        writes = ("generate",) if made.writes or "score" in learned else ()
        config.encoders[modality] = replace(made, methods=(*learned, *writes))
        rows_and_texts = f"{self.learned.size} rows with {len(self.texts.names)} texts"
        note = {
            "summary": f"A projector aligned on obs[{text_key!r}] of {rows_and_texts}.",
            "loss": self.loss,
            "seed": seed,
            "texts": self.texts.names[:100],
            "limits": ["Rows held out come from the same data set; accuracy on other studies is lower."],
        }
        judged = learned if self.held.size and not self.free else ()
        accuracy = f"accuracy on {self.held.size} rows held out of the same data"
        if modality != next(iter(config.encoders)):
            config.training = {**config.training, f"aligned {modality}": note}
            found = {f"{modality}: {method}, {accuracy}": float(self._right(method)[0].mean()) for method in judged}
            config.metrics = {**config.metrics, **found}
            return
        config.default_labels, config.training, config.metrics = list(self.texts.names), note, {}
        self._begin_calibration(nearest="nearest" in learned)
        for method in judged:
            right, error = self._fit_temperature(method)
            config.metrics[f"{method}, {accuracy}"] = right
            config.metrics[f"{method}, calibration error on the rows that the temperature was fitted on"] = error
        if self.by_type:
            self._add_candidate_tokens()
        if self.by_type and self.held.size:
            self._calibrate_pool()

    def _begin_calibration(self, *, nearest: bool) -> None:
        """Leave out what belongs to a projector that was another one: other rows of the calibration, and thresholds."""
        table = self.model.config.calibration
        rows = {method: replace(table[method], thresholds={}) for method in ("score", "nearest")}
        rows["score"] = replace(rows["score"], temperature=1.0)
        if nearest:
            begun = float(1.0 / self.model.space.head(self.modality).log_scale.detach().exp())
            rows["nearest"] = replace(rows["nearest"], temperature=begun)
        self.model.config.calibration = rows

    def _fit_temperature(self, method: str) -> tuple[float, float]:
        """Fit the temperature of a method on the rows held out; return its accuracy and calibration error there."""
        from ..train import expected_calibration_error, fit_temperature

        rows = self.model.config.calibration
        _, before = self._right(method)
        fitted = rows[method].temperature * fit_temperature(before, self.texts.codes[self.held])
        rows[method] = replace(rows[method], temperature=fitted)
        right, after = self._right(method)
        return float(right.mean()), expected_calibration_error(np.exp(after.max(axis=1)), right)

    def _right(self, method: str) -> tuple[NDArray[np.bool_], Float]:
        """Whether a method is right about the rows held out, and its log-probabilities, by the temperature as it is."""
        values = self.embedded.values[self.held]
        if method == "score":
            found = self.model.score(values, self.texts.answers, modality=self.modality, progress=False)
        else:
            found = self.model.nearest(values, self.texts.cards, modality=self.modality)
        return found.argmax(axis=1) == self.texts.codes[self.held], found

    def _add_candidate_tokens(self) -> None:
        """Give the model candidate tokens of its terms: the language model's own embeddings of their names."""
        from ..models.edit import set_candidate_tokens
        from ..models.score import name_code

        pairs = zip(self.texts.cl_ids, self.texts.answers, strict=True)
        names = {cl_id: answer for cl_id, answer in pairs if cl_id}
        codes = torch.stack([name_code(self.model.reader, name) for name in names.values()])
        spread = (LEAN, *[1.0] * (self.model.config.n_soft - 1))
        set_candidate_tokens(self.model, "cell", list(names), codes, spread=spread)

    def _calibrate_pool(self) -> None:
        """Fit the rows of the calibration that pool sources, on rows held out."""
        from ..models.shared_space import cosines
        from ..predict.embedding import CellEvidence
        from ..train.calibrate import candidate_rows, fit_temperature, pool_row

        model, texts = self.model, self.texts
        values, truth, terms = self.embedded.values[self.held], texts.codes[self.held], texts.cl_ids
        attention = model.attention(values, terms)
        cosine = markers = None
        if model.text_space is not None and model.config.encoders["cell"].placed:
            cosine = cosines(model.coordinates(values), model.text_coordinates(texts.cards))
        try:
            markers = CellEvidence(self.embedded.cells, model)(terms)[self.held]
        except BioverseError as error:
            logger.info("the pool is calibrated without markers: %s", error)
        sources = {"prototypes": attention, "nearest": cosine, "markers": markers}
        known = {name: one for name, one in sources.items() if one is not None}
        shares = pool_row({name: one for name, one in known.items() if name != "nearest"}, truth)
        weights = shares.weight("prototypes"), shares.weight("markers")
        # What the language model then says is read with these weights, before its own temperatures are known.
        model.config.calibration |= {"cascade": pool_row(known, truth)} | candidate_rows(*weights)
        how: dict[str, Any] = {"terms": terms, "calibrated": False, "progress": False}
        alone = both = fit_temperature(model.score(values, texts.answers, **how), truth)
        if markers is not None:
            both = fit_temperature(model.score(values, texts.answers, evidence=markers, **how), truth)
        model.config.calibration |= candidate_rows(*weights, both, alone)

    def rows(self) -> Float:
        """Return what `obsm` gets: coordinates where the way into the space of texts was trained, else soft tokens."""
        place = self.model.coordinates if "nearest" in METHODS[self.loss] else self.model.mean_soft_token
        return place(self.embedded.values, self.modality)


def _give_text_space(model: BioVerse) -> None:
    """Give a new model the space of texts that all models of its language model have.

    It does not depend on the data: models aligned apart can be joined. That of the default model, where that has the
    same language model; else one that is fitted on names from all over the ontology (a handful of labels would not do)
    and sentences about other things.
    """
    from ..models import load

    given = load()
    if given.config.llm == model.config.llm:
        model.space.take(given.space)
    if model.text_space is not None:
        return
    ids = sorted(load_ontology())
    names = list(map(canonical_phrase, ids[:: max(1, len(ids) // BACKGROUND)]))
    model.space.fit([*names, *general_texts()])


def trained_record(model: BioVerse, history: pd.DataFrame) -> dict[str, Any]:
    """Return what is recorded of every model that was trained, with the history."""
    return {
        "model": model.name,
        "fingerprint": model.fingerprint(),
        "llm": model.config.llm.name,
        "llm_sha256": model.config.llm.sha256,
        "history": without_nan(history.astype(float)).to_dict("list"),
    }


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


HOLDOUT = 0.1
LEAST_HELD_OUT = 20
# Longer than any name of a cell type: such a text is taken as it stands and not looked up in the ontology.
LONGEST_NAME = 60


@dataclass(frozen=True, eq=False)
class Texts:
    """The different texts of a column."""

    names: list[str]  # as they stand in the column
    codes: NDArray[np.int64]  # int64 (n_obs,): text of each row, -1 where it is missing
    cl_ids: list[str | None]  # ontology ids, or None
    answers: list[str]  # what the language model should say, different for each: the term's phrase, else the name
    cards: list[str]  # descriptions for the contrastive side
    related: NDArray[np.bool_] | None  # bool (m, m): one term is an ancestor of the other; None where none is

    def said(self, form: str) -> Texts:
        """Return the texts with answers in another form of names, see `BioVerseConfig.names`."""
        answers, cards = _answers(self.names, self.cl_ids, form)
        return replace(self, answers=answers, cards=cards)


def read_texts(adata: AnnData, text_key: str) -> Texts:
    """Read the texts of a column and what they mean, with answers in the spoken form of names; two are needed."""
    column = as_categories(obs_column(adata, text_key, "text_key"), "text_key")
    written = [" ".join(str(one).split()) for one in column.cat.categories]
    # Categories that read the same are one text; order by name, so that it does not depend on the rows.
    names = sorted({one for one in written if one.casefold() not in NO_NAME})
    at = {one: i for i, one in enumerate(names)}
    table = np.array([*(at.get(one, -1) for one in written), -1], dtype=np.int64)
    codes = table[column.cat.codes.to_numpy(dtype=np.int64)]
    if names and all(map(is_number, names)):
        raise InputError(
            f"adata.obs[{text_key!r}] holds only numbers ({', '.join(names[:5])}): a language model learns nothing "
            "from cluster numbers. Name the clusters first."
        )
    if len(names) < 2:
        raise InputError(f"adata.obs[{text_key!r}] holds {len(names)} different texts; alignment needs at least two.")
    found = resolve_labels([one if len(one) <= LONGEST_NAME else "" for one in names])
    cl_ids = [one.cl_id for one in found]
    answers, cards = _answers(names, cl_ids, "spoken")
    return Texts(names, codes, cl_ids, answers, cards, _related(cl_ids))


def _answers(names: list[str], cl_ids: list[str | None], form: str) -> tuple[list[str], list[str]]:
    """Find what the language model should say for each name, and the description of each."""
    phrase = [answer_name(cl_id, form) if cl_id else one for one, cl_id in zip(names, cl_ids, strict=True)]
    times = Counter(phrase)
    answers = [text if times[text] == 1 else one for text, one in zip(phrase, names, strict=True)]
    cards = []
    for one, cl_id, answer in zip(names, cl_ids, answers, strict=True):
        card = label_card(cl_id) if cl_id else one
        cards.append(card if cl_id is None or answer == answer_name(cl_id, form) else f"{one}. {card}")
    return answers, cards


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


def _related(cl_ids: list[str | None]) -> NDArray[np.bool_] | None:
    ontology = load_ontology()
    terms = [(i, one) for i, one in enumerate(cl_ids) if one is not None]
    out = np.zeros((len(cl_ids), len(cl_ids)), dtype=bool)
    # Two texts with one meaning are among them: neither is wrong for a cell of the other.
    for (i, a), (j, b) in combinations(terms, 2):
        out[i, j] = out[j, i] = ontology.overlaps(a, b)
    return out if out.any() else None
