"""`sb.tl.describe`: a text for every row, written by the language model or taken from a reference."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._keys import Slots
from .._mudata import anndata_of, is_mudata, on_part
from .._random import Rng, as_seed
from .._results import check_target, own_copy, write_results
from ..ask.neighbours import Metric, compared_views, known_rows, nearest_rows
from ..ask.reference import CHOICES, Choose, choose_rows, reference_texts
from ..errors import InputError
from ..predict.embedding import represent_rows

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData
    from numpy.typing import NDArray

    from ..models import BioVerse

MOST_TOKENS = 512
# Longest text kept of what a model writes: a model that repeats itself would fill a column.
MOST_CHARS = 2000


def describe(
    adata: AnnData,
    *,
    modality: str = "cell",
    model: str | Path | BioVerse = "bioverse-small",
    reference: AnnData | None = None,
    text_key: str = "text",
    choose: Choose = "nearest",
    n_neighbors: int = 10,
    use_rep: str | None = None,
    metric: Metric = "cosine",
    question: str | None = None,
    beams: int = 1,
    max_new_tokens: int = 96,
    batch_size: int = 32,
    key: str | None = None,
    layer: str | None = None,
    key_added: str = "bioverse",
    device: str = "auto",
    rng: Rng = None,
    copy: bool = False,
) -> AnnData | None:
    """Write a text for every row: freely, or with texts of known rows at hand.

    Without `reference` the language model writes: from a row's soft tokens, as well as their projector was trained to
    be written from, or from phrases that a head finds in the embedding, where the model has such for the modality.
    `bioverse-small` names cells. Of molecules it writes by phrases, their kind, roles and classes, which are right far
    more often than by chance and still often wrong (see the page on molecules and proteins). Its protein projector was
    trained for retrieval alone, and proteins without a reference are refused. Nothing checks what is written.

    With `reference`, an AnnData whose rows have texts, no word is made up: each row gets the text of one of its nearest
    neighbours there, and `obs["bioverse_description_source"]` says which row that is. For molecules this is far nearer
    to the truth than what the language model of `bioverse-small` writes (see the page on molecules and proteins), and a
    row like which there is none in the reference gets a wrong text all the same: look at the similarity.

    Parameters
    ----------
    adata
        What the model's encoder reads.
    modality
        What a row is: `"cell"`, `"molecule"` or `"protein"`.
    model
        Name, path or model. With `reference` and `use_rep`, only `choose="aligned"` needs it.
    reference
        Rows of the same modality with texts. None: the language model writes.
    text_key
        Column of `reference.obs` with the texts; rows without one are left out.
    choose
        Which neighbour's text a row gets. `"nearest"`: that of the first. `"consensus"`: the one whose words agree best
        with those of all neighbours, nearer ones counting more (minimum Bayes risk); better where neighbours are found
        by one representation alone. `"aligned"`: the text nearest to the row in the space shared with text.
    n_neighbors
        Neighbours to choose from; `"nearest"` looks at one.
    use_rep
        Representation in `obsm` of both to find neighbours by. If not given: the model's encoder, standardised by the
        reference, and for molecules with a SMILES in both also their Morgan fingerprints, which count twice as much.
    metric
        `"cosine"`, or `"tanimoto"` for fingerprints.
    question
        Ask this, in the prompt of :func:`scbioverse.tl.ask`, in place of the prompt that the projector was trained
        with; for models that were tuned on answers to it. Of a modality that the model writes of by phrases
        (`bioverse-small`: molecules), the phrases that its head finds in the embedding are what the language model
        reads and answers from; what they do not say, it does not know.
    beams
        Beginnings kept while writing; 1 takes the most probable token every time.
    max_new_tokens
        Longest text written, in tokens of the language model.
    batch_size
        Rows written for at once; it changes speed and memory only.
    key, layer
        Where the encoder finds its input, see :func:`scbioverse.tl.embed`.
    key_added
        Stem of the slot names.
    device
        Where to run the model: a torch device or `"auto"`.
    rng
        Seed, kept in the record; nothing is drawn.
    copy
        Return a copy with the results and leave `adata` as it is.

    Returns
    -------
    None, or the copy. Sets, with `bioverse` standing for `key_added`:

    `obs["bioverse_description"]`
        The text; `""` for rows without an embedding.
    `obs["bioverse_description_score"]`
        float32: written texts: mean log-probability of a token, natural logarithm (NaN with `question`); texts of a
        reference: similarity of the row it was taken from.
    `obs["bioverse_description_source"]`
        With `reference`: name of the row it was taken from.
    `uns["bioverse"]["describe"]`
        How it was made.

    Raises
    ------
    InputError
        An option does not fit, there are too few rows with a text, or the model was not trained to write of
        them. `adata` is unchanged, as after every error.
    MissingKeyError
        `text_key` or `use_rep` is not there.

    Examples
    --------
    >>> import scbioverse as sb
    >>> drugs = sb.pp.molecules(["CC(=O)Oc1ccccc1C(=O)O"])
    >>> sb.tl.describe(drugs, modality="molecule")  # doctest: +SKIP
    >>> drugs.obs["bioverse_description"]  # doctest: +SKIP
    """
    if is_mudata(adata):
        return on_part(describe, locals())
    from ..models import load

    check_target(adata)
    reference = anndata_of(reference, modality)
    _check_options(choose, n_neighbors, beams, max_new_tokens, batch_size)
    if reference is None and use_rep is not None:
        raise InputError("use_rep finds neighbours in a reference: pass reference=, or leave use_rep out.")
    if reference is not None and question is not None:
        raise InputError("question is for texts that the language model writes: leave it out, or reference.")
    slots = Slots(key_added)
    loaded = load(model, device=device)
    fields: dict[str, Any] = {"modality": modality, "layer": layer, "key": key}
    columns: dict[str, Any]
    if reference is None:
        _check_writes(loaded, modality)
        embedded: Any = represent_rows(adata, loaded, modality=modality, key=key, layer=layer, slots=slots)
        texts, score = _written(loaded, embedded.values, modality, question, beams, max_new_tokens, batch_size)
        columns = {slots.description: texts, slots.description_score: score}
        fields |= {"method": "written", "question": question, "beams": beams, "max_new_tokens": max_new_tokens}
    else:
        held = reference_texts(reference, text_key)
        with_text = np.array([bool(text) for text in held])
        views, embedded = compared_views(
            adata, reference, loaded, modality=modality, use_rep=use_rep, metric=metric, key=key, layer=layer,
            slots=slots,
        )  # fmt: skip
        k = 1 if choose == "nearest" else min(n_neighbors, max(1, known_rows(views, with_text).size))
        near = nearest_rows(views, k, among=with_text)
        placed = None
        if choose == "aligned":
            read = embedded or represent_rows(adata, loaded, modality=modality, key=key, layer=layer, slots=slots)
            placed = loaded.coordinates(read.values, modality)
        chosen = choose_rows(near, held, choose, loaded, placed)
        names = reference.obs_names.astype(str)
        at = chosen.rows.tolist()
        columns = {
            slots.description: ["" if row < 0 else held[row] for row in at],
            slots.description_score: chosen.score,
            slots.description_source: ["" if row < 0 else names[row] for row in at],
        }
        fields |= {"method": "reference", "choose": choose, "n_neighbors": k, "use_rep": use_rep, "metric": metric}
        fields |= {"text_key": text_key, "n_reference": reference.n_obs, "n_texts": sum(map(bool, held))}
    target = own_copy(adata) if copy else adata
    step = "describe" if slots.key == Slots().key else f"describe_{slots.key}"
    record = {"model": loaded.name, "fingerprint": loaded.fingerprint(), **fields, "seed": as_seed(rng)}
    typed = {
        slot: np.asarray(values, dtype=np.float32 if slot == slots.description_score else object)
        for slot, values in columns.items()
    }
    made = ({}, {}) if embedded is None else (embedded.obsm, embedded.records)
    write_results(target, "describe", obs=typed, obsm=made[0], records=made[1] | {step: record})
    return target if copy else None


def _check_options(choose: str, n_neighbors: int, beams: int, max_new_tokens: int, batch_size: int) -> None:
    if choose not in CHOICES:
        raise InputError(f"choose={choose!r}; choose {', '.join(map(repr, CHOICES))}.")
    if min(n_neighbors, beams, batch_size) < 1 or not 1 <= max_new_tokens <= MOST_TOKENS:
        raise InputError(
            f"n_neighbors, beams and batch_size must be positive and max_new_tokens 1 to {MOST_TOKENS}, found "
            f"{n_neighbors}, {beams}, {batch_size} and {max_new_tokens}."
        )


def _check_writes(model: BioVerse, modality: str) -> None:
    model.check_modality(modality)
    if not model.config.encoders[modality].writes:
        raise InputError(
            f"model {model.name!r} was trained to find texts of a {modality}, not to write them: what it wrote would "
            "mean nothing. Pass reference=, rows with texts to choose from, or train it on texts of your own: "
            "scbioverse.tl.tune(adata, text_key=...)."
        )


def _written(
    model: BioVerse,
    values: NDArray[np.float32],
    modality: str,
    question: str | None,
    beams: int,
    max_new_tokens: int,
    batch_size: int,
) -> tuple[list[str], NDArray[np.float32]]:
    """Texts that the language model writes, and the mean log-probability of their tokens."""
    from ..llm.questions import bounded
    from ..models.writer import write_labels

    known = np.flatnonzero(np.isfinite(values.reshape(len(values), -1)).all(axis=1))
    if not known.size:
        raise InputError("no row has an embedding: there is nothing to describe.")
    score = np.full(len(values), np.nan, dtype=np.float32)
    if question is not None and modality in model.phrase_books:
        said = model.captioner(modality).answer(
            values[known], question, max_new_tokens=max_new_tokens, beams=beams, batch_size=batch_size
        )
    elif question is None:
        said, log_probs, _ = write_labels(
            model, values[known], modality=modality, max_new_tokens=max_new_tokens, beams=beams, batch_size=batch_size
        )
        backbone = model.backbone  # for its tokenizer alone
        lengths = [1 + len(backbone.encode(" " + text, allow_special=False)) for text in said]
        score[known] = log_probs / np.asarray(lengths, dtype=np.float32)
    else:
        prompt = model.text_writer.prompt(question, objects=[(modality, "")])
        said = []
        for start in range(0, known.size, batch_size):
            rows = known[start : start + batch_size]
            said += model.text_writer.write(
                [prompt] * rows.size,
                [{modality: values[row : row + 1]} for row in rows],
                max_new_tokens=max_new_tokens,
                beams=beams,
            )
    texts = [""] * len(values)
    for row, text in zip(known, said, strict=True):
        texts[row] = bounded(text, MOST_CHARS)
    return texts, score
