"""What a call of `annotate` asks for, checked in one place."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ..errors import InputError
from ..knowledge import load_ontology
from ..knowledge.ontology import is_within
from .candidates import asked_whole

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse

Level = Literal["auto", "broad", "fine"]
LEVELS: tuple[Level, ...] = ("auto", "broad", "fine")
Method = Literal["cascade", "score", "nearest", "generate"]
# In the order in which one is taken if the user names none: evidence pooled is best where a model is calibrated for it.
METHODS: tuple[Method, ...] = ("cascade", "score", "nearest", "generate")
Rationale = Literal["group", "template", "cell"]
RATIONALES = ("group", "template", "cell", None)
# More names than this the language model is not asked to tell apart: their tree of tokens outgrows memory.
MOST_SCORED = 1000


@dataclass(frozen=True, eq=False)
class Options:
    """Options of `annotate`, as :func:`scbioverse.tl.annotate` describes them.

    What no data could make right is refused when they are made, what the model cannot do by :meth:`of_model`.
    """

    labels: Any = None
    method: Method | None = None
    modality: str = "cell"
    groupby: str | None = None
    level: Level = "auto"
    sample_key: str | None = None
    within: Sequence[str] | str | None = None
    unknown_threshold: float | Literal["auto"] | None = None
    parents: bool = True
    markers: bool | None = None
    n_neighbors: int | None = None
    rationale: Rationale | None = "group"
    batch_size: int = 512
    # Candidates are the terms of the ontology, found for each cell through the text space; set by `of_model`.
    ontology: bool = False
    # Names are found for groups of cells: no candidates are given, and the model's vocabulary holds terms and kinds
    # of theirs, which is no list to choose from; set by `of_model`.
    find: bool = False

    def __post_init__(self) -> None:
        threshold, n = self.unknown_threshold, self.n_neighbors
        given = 0.0 if isinstance(threshold, str | None) else threshold
        # True and False are numbers to Python.
        counted = n is None or (isinstance(n, int | np.integer) and not isinstance(n, bool) and n >= 1)
        _refuse(
            (
                isinstance(threshold, str) and threshold != "auto",
                f"unknown_threshold is a number from 0 to 1, 'auto' or None, found {threshold!r}.",
            ),
            (not 0.0 <= given <= 1.0, f"unknown_threshold must lie in 0 to 1, found {threshold}."),
            (self.level not in LEVELS, f"level={self.level!r}; choose 'auto', 'broad' or 'fine'."),
            (
                self.level != "auto" and (self.labels is not None or self.method == "generate"),
                f"level={self.level!r} is for names that are found; with labels= or method='generate' leave it out, "
                "and lift labels afterwards by scbioverse.tl.rollup(adata, level='broad').",
            ),
            (
                self.rationale not in RATIONALES,
                f"rationale={self.rationale!r}; choose 'group', 'template', 'cell', or None for no reasons.",
            ),
            (
                self.sample_key is not None and self.groupby is None,
                f"sample_key={self.sample_key!r} needs groupby=: it is the groups' names that are joined.",
            ),
            (self.batch_size < 1, f"batch_size must be at least 1, found {self.batch_size}."),
            (
                self.within is not None and not self._whole,
                "within= chooses among the terms of labels='cl'; other labels are chosen by naming them.",
            ),
            (not counted, f"n_neighbors is a whole number from 1 up, or None, found {n!r}."),
        )

    @property
    def _whole(self) -> bool:
        return asked_whole(self.labels) == "cl"

    @property
    def own(self) -> bool:
        """Whether the candidates are the model's own vocabulary, or are found in it."""
        return asked_whole(self.labels) == "vocabulary"

    @property
    def free(self) -> bool:
        """Whether the language model may write whatever it likes."""
        return self.method == "generate" and self.labels is None

    def of_model(self, model: BioVerse) -> Options:
        """Return the options with everything settled that None and `"auto"` leave to the model.

        An :class:`InputError` says that the model was not trained for the method, has no threshold of its own, or that
        rows would share no candidates.
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
        own = model.config.default_labels
        all_terms = bool(own) and all(one.startswith("CL:") for one in own)
        find = self.labels is None and method != "generate" and self.modality == "cell" and all_terms
        settled = replace(self, method=method, ontology=ontology, find=find and is_nested(own))
        return replace(settled, unknown_threshold=settled._threshold(model))

    def _threshold(self, model: BioVerse) -> float:
        table = model.config.calibration
        row = table.get(str(self.method), table["score"])
        if self.unknown_threshold == "auto" and not row.threshold("auto"):
            raise InputError(
                f"unknown_threshold='auto', but model {model.name!r} was calibrated without one. Give a number from 0 "
                "to 1."
            )
        # The calibrated threshold is one for probabilities among candidates; of free text only a given one counts.
        own = {"auto": row.threshold("auto"), None: 0.0 if self.free else row.threshold("unknown")}
        return float(own.get(self.unknown_threshold, self.unknown_threshold))  # type: ignore[arg-type]

    def check_number(self, n_labels: int) -> None:
        """Refuse more candidates than the language model can be asked to tell apart."""
        if self.method != "nearest" and n_labels > MOST_SCORED:
            raise InputError(
                f"{n_labels} candidates are too many for method={self.method!r} (at most {MOST_SCORED}); "
                "use method='nearest' or name fewer."
            )


def _refuse(*checks: tuple[bool, str]) -> None:
    """Raise an :class:`InputError` that says the first thing that is wrong."""
    for wrong, said in checks:
        if wrong:
            raise InputError(said)


def pick_method(model: BioVerse, method: str | None, modality: str = "cell") -> Method:
    """Pick the method; an :class:`InputError` for one that there is not, or that the model was not trained for.

    The pool of a cascade was calibrated on cells, and so is for them alone.
    """
    model.check_modality(modality)
    trained = model.config.encoders[modality].chooses_by
    able = set(trained or ("score", "nearest"))
    # Who learned to give the right name the highest probability writes it, too.
    able |= {"generate"} if "score" in able else set()
    able |= {"cascade"} if modality == "cell" and "cascade" in model.config.calibration else set()
    if method is None:
        return next(one for one in METHODS if one in able)
    if method in able:
        return method  # type: ignore[return-value]
    if method not in METHODS:
        raise InputError(f"method={method!r}; choose 'cascade', 'score', 'nearest' or 'generate'.")
    if method == "cascade":
        raise InputError(
            f"model {model.name!r} has no calibrated pool for method='cascade' and {modality!r}: use 'score' or "
            "'nearest'."
        )
    loss = "contrastive" if method == "nearest" else "autoregressive"
    raise InputError(
        f"model {model.name!r} was trained for {' and '.join(trained)}, not for method={method!r}. "
        f"Train it: scbioverse.tl.align(adata, text_key=..., loss={loss!r})."
    )


def is_nested(cl_ids: Sequence[str]) -> bool:
    """Whether some terms of a vocabulary are kinds of others, so that it is no list to choose from."""
    held, ontology = set(cl_ids), load_ontology()
    return any(is_within(one, above) for one in held if one in ontology for above in held & {*ontology.ancestors(one)})
