"""Give a checkpoint another cell projector, and leave molecules, proteins and the space of texts as they are."""

from __future__ import annotations

from dataclasses import replace

from torch import Tensor

from scbioverse._errors import MismatchError
from scbioverse.models import BioVerse, join
from scbioverse.models._join import check_together, only


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


def with_cells_of(model: BioVerse, fresh: BioVerse) -> BioVerse:
    """Put the cell projector of one training into a model that reads other modalities, too.

    The adapter is dropped: it was tuned to read what the projector before said. What it wrote of other modalities, by
    adapters of their own, stays.

    Parameters
    ----------
    model
        Reads cells and more.
    fresh
        Reads cells, by the same encoder and in the same space of texts.

    Raises
    ------
    MismatchError
        Encoders, language models, templates or spaces of texts differ.
    """
    check_encoder(model, fresh)
    fresh = fresh.copy()
    if model.text_space is not None and fresh.text_space is not None:
        held, found = model.text_space.tensors(), fresh.text_space.tensors()
        # The checkpoint's was rounded to float16 when it was written.
        if all(held[part].shape == found[part].shape and near(held[part], found[part]) for part in held):
            fresh.text_space = model.text_space
    rest = model.copy()
    rest.set_adapter(None)
    check_together(fresh, rest)
    joined = fresh
    if others := [one for one in model.modalities if one != "cell"]:
        joined = join(fresh, only(rest, others))
    new = model.copy()
    new.config.encoders["cell"] = replace(joined.config.encoders["cell"])
    new.modules = joined.modules
    new.set_adapter(None)
    return new
