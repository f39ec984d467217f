"""Which method, threshold and options a call of `annotate` means."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Literal

from ..errors import InputError

if TYPE_CHECKING:
    from ..models import BioVerse

Method = Literal["cascade", "score", "nearest", "generate"]


def pick_method(model: BioVerse, method: str | None, modality: str = "cell") -> Method:
    """Pick the method, and refuse one that the model was not trained for.

    The pool of a cascade was calibrated on cells, and so is for them alone.

    Raises
    ------
    InputError
        There is no such method, or the model was not trained for it.
    """
    held = model.config.encoders.get(modality)
    trained = [] if held is None else held.chooses_by
    pooled = "cascade" in model.config.calibration and modality == "cell"
    if method is None:
        if pooled:
            return "cascade"
        return "score" if "score" in trained or not trained else "nearest"
    if method not in ("cascade", "score", "nearest", "generate"):
        raise InputError(f"method={method!r}; choose 'cascade', 'score', 'nearest' or 'generate'.")
    if method == "cascade":
        if not pooled:
            raise InputError(
                f"model {model.name!r} has no calibrated pool for method='cascade' and {modality!r}: use 'score' or "
                "'nearest'."
            )
        return "cascade"
    # Who learned to give the right name the highest probability writes it, too.
    if trained and ("score" if method == "generate" else method) not in trained:
        raise InputError(
            f"model {model.name!r} was trained for {' and '.join(trained)}, not for method={method!r}. "
            f"Train it: scbioverse.tl.align(adata, text_key=..., loss="
            f"{'contrastive' if method == 'nearest' else 'autoregressive'!r})."
        )
    return method  # type: ignore[return-value]


def means_ontology(labels: object, model: BioVerse, method: str, within: object) -> bool:
    """Whether the candidates are the terms of the ontology, found for each cell through the text space.

    Raises
    ------
    InputError
        `within` is given for other labels than `"cl"`.
    """
    whole = isinstance(labels, str) and labels.lower() == "cl"
    if within is not None and not whole:
        raise InputError("within= chooses among the terms of labels='cl'; other labels are chosen by naming them.")
    return whole and method != "generate" and model.text_space is not None


def given_threshold(
    unknown_threshold: float | Literal["auto"] | None, min_confidence: float | None
) -> float | Literal["auto"] | None:
    """Read the threshold under its name or its old one; None or `"auto"` for one of the model's own.

    Raises
    ------
    InputError
        Both names are used, or the value is no probability.

    Warns
    -----
    FutureWarning
        The old name is used.
    """
    name, value = "unknown_threshold", unknown_threshold
    if min_confidence is not None:
        if unknown_threshold is not None:
            raise InputError("unknown_threshold and min_confidence are two names of one option; give the first only.")
        name, value = "min_confidence", min_confidence
    if isinstance(value, str) and value != "auto":
        raise InputError(f"{name} is a number from 0 to 1, 'auto' or None, found {value!r}.")
    if not isinstance(value, str) and value is not None and not 0.0 <= value <= 1.0:
        raise InputError(f"{name} must lie in 0 to 1, found {value}.")
    if name == "min_confidence":
        warnings.warn(
            "min_confidence= is called unknown_threshold= now; the old name goes in version 0.3.",
            FutureWarning,
            stacklevel=3,
        )
    return value


def resolve_threshold(given: float | Literal["auto"] | None, model: BioVerse, method: str) -> float:
    """Return the threshold to go by: the given one, or what the model has for none and for `"auto"`.

    Raises
    ------
    InputError
        `"auto"`, and the model has no threshold for that.
    """
    table = model.config.calibration
    row = table.get(method, table["score"])
    if given is None:
        return row.threshold("unknown")
    if given != "auto":
        return float(given)
    if not row.threshold("auto"):
        raise InputError(
            f"unknown_threshold='auto', but model {model.name!r} was calibrated without one. Give a number from 0 to 1."
        )
    return row.threshold("auto")


def check_options(rationale: object, sample_key: str | None, groupby: str | None, batch_size: int) -> None:
    """Raise an :class:`InputError` for options that no data could make right."""
    if rationale not in ("group", "cell", None):
        raise InputError(f"rationale={rationale!r}; choose 'group', 'cell' or None.")
    if sample_key is not None and groupby is None:
        raise InputError(f"sample_key={sample_key!r} needs groupby=: it is the groups' names that are harmonised.")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, found {batch_size}.")
