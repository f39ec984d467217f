"""`sb.tl.describe`: a text for every row, written by the language model or taken from a reference."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .._device import Rng, as_seed
from .._slots import Slots, anndata_of, check_target, takes_mudata, write_results
from ..errors import InputError, check_choice
from ..predict.descriptions import CHOICES, Choose, reference_texts, written_texts
from ..predict.embedding import represent_rows
from ..predict.from_reference import from_reference

if TYPE_CHECKING:
    from anndata import AnnData

    from ..models import BioVerse
    from ..predict.embedding import Representation
    from ..predict.neighbours import Metric

MOST_TOKENS = 512


@takes_mudata
def describe(
    adata: AnnData,
    *,
    modality: str = "cell",
    model: str | Path | BioVerse = "bioverse-small",
    reference: AnnData | None = None,
    text_key: str = "text",
    choose: Choose = "combined",
    n_neighbors: int = 10,
    min_similarity: float | None = None,
    vote: Sequence[str] = (),
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

    Without `reference` the language model writes, from a row's soft tokens or, of molecules, from phrases that a head
    finds in the embedding; proteins are refused. Nothing checks what is written. With `reference`, a row is told by
    what is known of rows like it: molecules by encoder and fingerprints, proteins by homology (phmmer, if the extra
    `proteins` is installed). A row like which there is none gets `"Nothing known is similar."`

    Parameters
    ----------
    adata
        What the model's encoder reads.
    modality
        What a row is: `"cell"`, `"molecule"` or `"protein"`.
    model
        Name, path or model. With `reference` and `use_rep`, only `choose="aligned"` needs it.
    reference, text_key
        Rows of the same modality with texts in the column `text_key` of `obs`. None: the language model writes.
    choose, n_neighbors
        How a text is made of so many neighbours'. `"combined"`: captions of molecules in ChEBI's style are put together
        sentence by sentence: the definition that fits best, with the names of this molecule's parts in place of the
        neighbour's; the likelier roles and classes; conjugates, enantiomer and tautomer by structure, from
        `reference.obs["name"]`. Other texts: as `"nearest"`, the first one's. `"consensus"`: the text whose words agree
        best with those of all. `"aligned"`: the one nearest to the row in the space shared with text.
    min_similarity, vote
        Rows whose nearest neighbour is less similar are told nothing: below 0.45, if not given, for molecules. Columns
        of `reference.obs` on which the neighbours vote, as `["ec", "go"]`: items parted by ";" or "|" that half say.
    use_rep, metric
        Representation in `obsm` of both to find neighbours by; `"cosine"` or `"tanimoto"`. If not given: the encoder,
        standardised by the reference, and for molecules their Morgan fingerprints, which count twice as much.
    question
        Ask this, in the prompt of :func:`scbioverse.tl.ask`, in place of the prompt that the projector was trained
        with. Where the model writes by phrases, what these do not say, it does not know.
    beams, max_new_tokens, batch_size
        Beginnings kept while writing; longest text, in tokens; rows written for at once.
    key, layer, key_added, device, rng, copy
        As for :func:`scbioverse.tl.embed`; nothing is drawn.

    Returns
    -------
    None, or the copy. Sets, with `bioverse` standing for `key_added`, `obs["bioverse_description"]`, the text, `""` for
    rows without an embedding; `obs["bioverse_description_score"]`, float32: mean log-probability of a written token in
    nats (NaN with `question`), or similarity of the row a text was taken from, whose name is in
    `obs["bioverse_description_source"]`; of homologues their identity, 0 to 1, with `"..._evalue"` and
    `"..._coverage"` (share of the sequence that the match covers); of a column voted on `"..._ec"` and
    `"..._ec_share"`, what the first item has of the weight, less where the best match is weak; where it holds EC
    numbers and homologues are found, `"..._ec_sure"`, the class down to the last digit that is probable (`"2.7.11.-"`),
    and `"..._ec_probability"`; and `uns["bioverse"]["describe"]`.

    Raises
    ------
    InputError
        An option does not fit, there are too few rows with a text, or the model was not trained to write of
        them. `adata` is unchanged, as after every error.
    MissingKeyError
        `text_key` or `use_rep` is not there.

    Examples
    --------
    >>> drugs = sb.pp.molecules(["CC(=O)Oc1ccccc1C(=O)O"])
    >>> sb.tl.describe(drugs, modality="molecule")  # doctest: +SKIP
    """
    from ..models import load

    slots = Slots(key_added)
    from_others = [] if reference is None else [slots.description_source]
    check_target(adata, slots.step("describe"), [slots.description, slots.description_score], from_others)
    reference = anndata_of(reference, modality)
    check_choice("choose", choose, *CHOICES)
    if min(n_neighbors, beams, batch_size) < 1 or not 1 <= max_new_tokens <= MOST_TOKENS:
        raise InputError(
            f"n_neighbors, beams and batch_size must be positive and max_new_tokens 1 to {MOST_TOKENS}, found "
            f"{n_neighbors}, {beams}, {batch_size} and {max_new_tokens}."
        )
    if reference is None and use_rep is not None:
        raise InputError("use_rep finds neighbours in a reference: pass reference=, or leave use_rep out.")
    if reference is None and len(vote):
        raise InputError("rows of a reference vote: pass reference=, or leave vote out.")
    if isinstance(vote, str):
        raise InputError(f"vote takes a list of columns: pass [{vote!r}].")
    if reference is not None and question is not None:
        raise InputError("question is for texts that the language model writes: leave it out, or reference.")
    loaded = load(model, device=device)
    loaded.check_modality(modality)
    where: dict[str, Any] = {"modality": modality, "key": key, "layer": layer, "slots": slots}
    fields: dict[str, Any] = {"modality": modality, "layer": layer, "key": key}
    columns: dict[str, Any]
    embedded: Representation | None
    if reference is None:
        embedded = represent_rows(adata, loaded, **where)
        texts, score = written_texts(
            loaded, embedded.values, modality, question, beams=beams, max_new_tokens=max_new_tokens,
            batch_size=batch_size,
        )  # fmt: skip
        columns = {slots.description: texts, slots.description_score: score}
        fields |= {"method": "written", "question": question, "beams": beams, "max_new_tokens": max_new_tokens}
    else:
        told = from_reference(
            adata, reference, loaded, choose=choose, n_neighbors=n_neighbors, text_key=text_key, use_rep=use_rep,
            metric=metric, min_similarity=min_similarity, vote=list(vote), **where,
        )  # fmt: skip
        embedded = told.embedded
        columns = {
            slots.description: told.texts,
            slots.description_score: told.score,
            # The last entry is for rows that have their text from nowhere.
            slots.description_source: np.array([*reference.obs_names.astype(str), ""], dtype=object)[told.rows],
            **{f"{slots.description}_{name}": values for name, values in told.evidence.items()},
        }
        fields |= {
            "method": "reference", "choose": choose, "n_neighbors": told.k, "use_rep": use_rep, "metric": metric,
            "text_key": text_key, "n_reference": reference.n_obs, "min_similarity": min_similarity,
            **({"vote": list(vote)} if len(vote) else {}),
            "n_texts": sum(map(bool, reference_texts(reference, text_key))),
        }  # fmt: skip
    record = {"model": loaded.name, "fingerprint": loaded.fingerprint(), **fields, "seed": as_seed(rng)}
    obs = {
        slot: np.asarray(values, dtype=None if np.asarray(values).dtype.kind == "f" else object)
        for slot, values in columns.items()
    }
    made, records = ({}, {}) if embedded is None else (embedded.obsm, embedded.records)
    records = records | {slots.step("describe"): record}
    return write_results(adata, "describe", obs=obs, obsm=made, records=records, copy=copy)
