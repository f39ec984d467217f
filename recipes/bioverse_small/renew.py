"""Give a checkpoint another cell side, or codes of answers, and leave the rest of it as it is."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from scbioverse.errors import MismatchError
from scbioverse.models import BioVerse, join
from scbioverse.models.edit import check_together, only, set_candidate_tokens


def check_encoder(model: BioVerse, fresh: BioVerse) -> None:
    """Refuse a training with another cell encoder than the checkpoint's.

    Raises
    ------
    MismatchError
        They differ.
    """
    ours, theirs = (one.config.encoders["cell"].fingerprint for one in (model, fresh))
    if ours != theirs:
        raise MismatchError(
            f"{model.name!r} has a cell encoder with fingerprint {ours}, the training one with {theirs}: it was not "
            "made from that training. Make the checkpoint anew."
        )


def near(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors are the same but for rounding to float16."""
    return bool((first - second).abs().max() <= 1e-3 * second.abs().max())


def with_answers_of(model: BioVerse, fresh: BioVerse) -> BioVerse:
    """Put the codes of answers of a training into the checkpoint that was made of it.

    Raises
    ------
    MismatchError
        Encoders, language models, templates, names or the attention that the codes are mixed by differ, or the
        training has no codes.
    """
    check_encoder(model, fresh)
    pairs = {(one.config.llm.sha256, one.config.template["sha256"], one.config.names) for one in (model, fresh)}
    if len(pairs) > 1:
        raise MismatchError(f"{model.name!r} and {fresh.name!r} have other language models, templates or names.")
    held, found = (attention_of(one) for one in (model, fresh))
    one = fresh.config.encoders["cell"]
    if not one.candidates or any(not near(held[part], found[part]) for part in held):
        raise MismatchError(
            f"{fresh.name!r} has codes of {len(one.candidates)} answers, mixed by its own attention; that of "
            f"{model.name!r} must be the same."
        )
    new = model.copy()
    set_candidate_tokens(new, "cell", one.candidates, fresh.candidate_reader().known.codes.detach(), spread=one.spread)
    return new


def attention_of(model: BioVerse) -> dict[str, Tensor]:
    """Tensors that decide the attention of the cell projector."""
    projector: Any = model.modules["projectors"]["cell"]  # type: ignore[index]
    return {part: getattr(projector, part).detach() for part in ("keys", "bias", "log_scale")}


def with_cells_of(model: BioVerse, fresh: BioVerse) -> BioVerse:
    """Put cell encoder and projector of one training into a model that reads other modalities, too.

    The adapter stays, but was tuned to read what the projector before said: tune it further. What the model writes of
    other modalities, by adapters of their own, stays.

    Parameters
    ----------
    model
        Reads cells and more.
    fresh
        Reads cells, in the same space of texts.

    Raises
    ------
    MismatchError
        Language models, templates or spaces of texts differ.
    """
    fresh = fresh.copy()
    if model.text_space is not None and fresh.text_space is not None:
        held, found = model.text_space.tensors(), fresh.text_space.tensors()
        # The checkpoint's was rounded to float16 when it was written.
        if all(held[part].shape == found[part].shape and near(held[part], found[part]) for part in held):
            fresh.space.text = model.text_space
    rest = model.copy()
    rest.set_adapter(None)
    check_together(fresh, rest)
    joined = fresh
    if others := [one for one in model.modalities if one != "cell"]:
        joined = join(fresh, only(rest, others))
    joined.set_adapter(model.adapter)
    joined.config.adapter_scores = model.config.adapter_scores
    joined.space.table = model.space.table
    # What the card says of the rest stays.
    joined.config.training, joined.config.metrics = rest.config.training, rest.config.metrics
    joined.config.calibration = rest.config.calibration
    return joined
