"""What a call of `annotate` asks for, checked in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse

Method = Literal["cascade", "score", "nearest", "generate"]
METHODS = ("cascade", "score", "nearest", "generate")
Rationale = Literal["group", "cell"]
# More names than this the language model is not asked to tell apart: their tree of tokens outgrows memory.
MOST_SCORED = 1000


@dataclass(frozen=True, eq=False)
class Options:
    """Options of `annotate`, as :func:`scbioverse.tl.annotate` describes them.

    What no data could make right is refused when they are made, what the model cannot do by :meth:`of_model`.

    Attributes
    ----------
    ontology
        Candidates are the terms of the ontology, found for each cell through the text space; set by :meth:`of_model`.
    """

    labels: Any = None
    method: Method | None = None
    modality: str = "cell"
    groupby: str | None = None
    sample_key: str | None = None
    within: Sequence[str] | str | None = None
    unknown_threshold: float | Literal["auto"] | None = None
    parents: bool = True
    markers: bool | None = None
    n_neighbors: int | None = None
    rationale: Rationale | None = "group"
    batch_size: int = 512
    ontology: bool = False

    def __post_init__(self) -> None:
        threshold, n = self.unknown_threshold, self.n_neighbors
        if isinstance(threshold, str) and threshold != "auto":
            raise InputError(f"unknown_threshold is a number from 0 to 1, 'auto' or None, found {threshold!r}.")
        if not isinstance(threshold, str | None) and not 0.0 <= threshold <= 1.0:
            raise InputError(f"unknown_threshold must lie in 0 to 1, found {threshold}.")
        if self.rationale not in ("group", "cell", None):
            raise InputError(f"rationale={self.rationale!r}; choose 'group', 'cell' or None.")
        if self.sample_key is not None and self.groupby is None:
            raise InputError(f"sample_key={self.sample_key!r} needs groupby=: it is the groups' names that are joined.")
        if self.batch_size < 1:
            raise InputError(f"batch_size must be at least 1, found {self.batch_size}.")
        if self.within is not None and not self._whole:
            raise InputError("within= chooses among the terms of labels='cl'; other labels are chosen by naming them.")
        if n is not None and (isinstance(n, bool) or not isinstance(n, int | np.integer) or n < 1):
            raise InputError(f"n_neighbors is a whole number from 1 up, or None, found {n!r}.")

    @property
    def _whole(self) -> bool:
        return isinstance(self.labels, str) and self.labels.lower() == "cl"

    @property
    def free(self) -> bool:
        """Whether the language model may write whatever it likes."""
        return self.method == "generate" and self.labels is None

    def of_model(self, model: BioVerse) -> Options:
        """Return the options with everything settled that None and `"auto"` leave to the model.

        Raises
        ------
        InputError
            The model was not trained for the method, has no threshold of its own, or rows would share no candidates.
        """
        method = pick_method(model, self.method, self.modality)
        ontology = self._whole and method != "generate" and model.text_space is not None
        if ontology and self.method is None:
            method = "nearest"  # names of terms that no label of the training used are better found than said
        if self.n_neighbors is not None and (method == "generate" or ontology):
            which = "labels='cl'" if ontology else "method='generate'"
            raise InputError(
                f"n_neighbors averages the probabilities of one set of candidates over neighbours, and with {which} "
                "rows have no such set; give candidates as labels=, or leave n_neighbors out."
            )
        settled = replace(self, method=method, ontology=ontology)
        return replace(settled, unknown_threshold=settled._threshold(model))

    def _threshold(self, model: BioVerse) -> float:
        given, table = self.unknown_threshold, model.config.calibration
        row = table.get(str(self.method), table["score"])
        if given == "auto" and not row.threshold("auto"):
            raise InputError(
                f"unknown_threshold='auto', but model {model.name!r} was calibrated without one. Give a number from 0 "
                "to 1."
            )
        # The calibrated threshold is one for probabilities among candidates; of free text only a given one counts.
        own = 0.0 if self.free else row.threshold("unknown")
        return row.threshold("auto") if given == "auto" else own if given is None else float(given)

    def check_number(self, n_labels: int) -> None:
        """Refuse more candidates than the language model can be asked to tell apart."""
        if self.method != "nearest" and n_labels > MOST_SCORED:
            raise InputError(
                f"{n_labels} candidates are too many for method={self.method!r} (at most {MOST_SCORED}); "
                "use method='nearest' or name fewer."
            )


def pick_method(model: BioVerse, method: str | None, modality: str = "cell") -> Method:
    """Pick the method, and refuse one that the model was not trained for.

    The pool of a cascade was calibrated on cells, and so is for them alone.

    Raises
    ------
    InputError
        There is no such method, or the model was not trained for it.
    """
    made = model.config.encoders.get(modality)
    trained = [] if made is None else made.chooses_by
    pooled = "cascade" in model.config.calibration and modality == "cell"
    if method is None:
        return "cascade" if pooled else "nearest" if trained and "score" not in trained else "score"
    if method not in METHODS:
        raise InputError(f"method={method!r}; choose 'cascade', 'score', 'nearest' or 'generate'.")
    if method == "cascade" and not pooled:
        raise InputError(
            f"model {model.name!r} has no calibrated pool for method='cascade' and {modality!r}: use 'score' or "
            "'nearest'."
        )
    # Who learned to give the right name the highest probability writes it, too.
    needed = {"generate": "score"}.get(method, method)
    if method != "cascade" and trained and needed not in trained:
        raise InputError(
            f"model {model.name!r} was trained for {' and '.join(trained)}, not for method={method!r}. "
            f"Train it: scbioverse.tl.align(adata, text_key=..., loss="
            f"{'contrastive' if method == 'nearest' else 'autoregressive'!r})."
        )
    return method  # type: ignore[return-value]
