"""From what a user calls the candidates to what the language model is asked to say."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .._logging import logger
from .._shown import shown_name
from ..errors import InputError
from ..knowledge import Resolution, load_ontology, resolve_label, resolve_labels
from ..knowledge.origins import ORIGINS, TUMOURS, is_held, named_origin
from ..knowledge.phrases import canonical_phrase
from ..knowledge.spoken import answer_name, spoken_name
from .candidate_names import read_mapping, read_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..models import BioVerse

Labels = str | Iterable[str] | Mapping[str, str] | None
_CL_ID = re.compile(r"CL[:_]\d{7}", re.IGNORECASE)
_SHOWN = 6
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")


@dataclass(frozen=True)
class Label:
    """One candidate.

    Attributes
    ----------
    name
        As the user wrote it; what goes into `obs`.
    text
        What the language model is asked to say: the term's name with the general word first, or `name`.
    cl_id
        Cell Ontology id, or None.
    term
        The ontology's name of that id, or `name`.
    how
        How it was resolved, see :class:`scbioverse.knowledge.Resolution`; `"given"` if the user did it.
    description
        A description the user gave in place of an id, or None.
    """

    name: str
    text: str
    cl_id: str | None
    term: str
    how: str
    description: str | None = None

    @property
    def card(self) -> str:
        """Description for the text side of `nearest`."""
        from ..knowledge.cards import label_card

        if self.description:
            return f"{self.name}: {self.description}"
        card = label_card(self.cl_id or self.name)
        # Where another label has the term's phrase, the card must differ from that label's, too.
        return card if self.cl_id is None or self.text in _forms(self.cl_id) else f"{self.name}. {card}"


def read_labels(labels: Labels, model: BioVerse) -> list[Label]:
    """Turn the argument `labels` of a verb into candidates, each with its own text.

    Parameters
    ----------
    labels
        None for the model's own vocabulary, `"cl"` for the whole ontology, names, or a mapping from names to
        Cell Ontology ids or descriptions.
    model
        Whose vocabulary None means.

    Raises
    ------
    InputError
        There are no labels, one is empty, missing, no text or holds control characters, an id is unknown, or all are
        numbers.

    Warns
    -----
    UserWarning
        A name resolved to no term, repeats, names the same term as another, or stands for no label ("unknown").
    """
    if labels is None:
        if not model.config.default_labels:
            raise InputError(f"model {model.name!r} has no vocabulary of its own: pass labels=[...].")
        return _distinct([_own(entry, model.config.names) for entry in model.config.default_labels])
    if isinstance(labels, str):
        if labels.lower() != "cl":
            raise InputError(
                f"labels={shown_name(labels)!r} is one string; pass a list of names, a mapping, None or 'cl'."
            )
        return own_labels([one for one in load_ontology() if one.startswith("CL:")], model.config.names)
    if isinstance(labels, Mapping):
        given = read_mapping(labels)
        _check(list(given))
        return _distinct([_mapped(name, value, model.config.names) for name, value in given.items()])
    names = read_names(labels)
    _check(names)
    found = [_resolved(resolution, model.config.names) for resolution in resolve_labels(names)]
    lost = [label.name for label in found if label.cl_id is None]
    if lost:
        warnings.warn(
            f"{len(lost)} of {len(found)} labels match no Cell Ontology term and are used as they stand: "
            f"{[shown_name(name) for name in lost[:8]]}. "
            "To say what one means, pass a mapping: labels={'name': 'CL:0000236'} or {'name': 'a description'}.",
            UserWarning,
            stacklevel=3,
        )
    return _distinct(found)


def own_labels(cl_ids: list[str], names: str) -> list[Label]:
    """Candidates that are ontology terms, called by their short names."""
    return _distinct([_own(cl_id, names) for cl_id in cl_ids])


def log_labels(labels: list[Label], *, own: bool) -> None:
    """Say in one line what labels were taken for, and in another what malignant cells are known by.

    Parameters
    ----------
    labels
        The candidates; of none nothing is said.
    own
        They are the model's own vocabulary.
    """
    judged = zip(labels, judged_as(labels), strict=True)
    tumours = [(label.name, _stands_for(one)) for label, one in judged if label.cl_id in TUMOURS]
    if tumours:
        said = "; ".join(f"{name!r} for {types}" for name, types in tumours)
        logger.warning(
            "no gene marks malignant cells as such. Labels for them stand for the types that they come from, as far as "
            "no other label is or holds these, and a healthy cell of such a type is called so, too: %s. To name the "
            "origin, pass a mapping: labels={%r: 'CL:0000182', ...} for hepatocyte.",
            said,
            tumours[0][0],
        )
    if own:
        logger.info("%d labels, the model's own vocabulary", len(labels))
    elif labels:
        logger.info("%s", _taken_for(labels))


def _taken_for(labels: list[Label]) -> str:
    """One line: names only the labels that are not called as their term is."""
    read = [one for one in labels if one.how not in ("exact", "id", "given") and one.description is None]
    if not read:
        described = " or described by you" if any(one.description for one in labels) else ""
        return f"{len(labels)} labels, each found in the Cell Ontology by name{described}"
    shown = [
        f"{shown_name(one.name)} -> {f'{one.cl_id} ({one.term})' if one.cl_id else 'no term'}" for one in read[:_SHOWN]
    ]
    if len(read) > _SHOWN:
        shown.append(f"and {len(read) - _SHOWN} more (sb.get.labels shows all)")
    same = len(labels) - len(read)
    return f"{len(labels)} labels: {same} found in the Cell Ontology by name, {len(read)} read as {', '.join(shown)}"


def _stands_for(cl_id: str | None) -> str:
    """Say what a label for malignant cells stands for."""
    if cl_id is None:
        return "nothing, since another label has its type"
    return canonical_phrase(cl_id) if cl_id not in TUMOURS else ", ".join(canonical_phrase(one) for one in ORIGINS)


def judged_as(labels: Sequence[Label]) -> list[str | None]:
    """Ids of the terms by which candidates are scored: their own.

    A tumour whose name says what it comes from is scored as that type; but where another label is that type or holds
    it, by nothing, since no gene tells the two apart.
    """
    offered = {label.cl_id for label in labels if label.cl_id is not None}
    judged: list[str | None] = []
    for label in labels:
        origin = named_origin(label.name) if label.cl_id in TUMOURS else None
        if origin is None:
            judged.append(label.cl_id)
        else:
            judged.append(None if is_held(origin, offered) else origin)
    return judged


def is_number(name: str) -> bool:
    """Whether a name is a number, as clusters are called."""
    return bool(_NUMBER.fullmatch(name))


def _check(names: list[str]) -> None:
    if not names:
        raise InputError("labels is empty; pass at least two names, or None for the model's own vocabulary.")
    if len(names) < 2:
        raise InputError(
            f"labels holds only {shown_name(names[0])!r}: with one candidate there is nothing to decide. Pass two "
            "or more."
        )
    if all(is_number(name) for name in names):
        raise InputError(
            f"all labels are numbers ({', '.join(names[:5])}...): cluster numbers name no cell type. Pass cell-type "
            "names as labels=, and the column with the clusters as groupby=."
        )


def _forms(cl_id: str) -> tuple[str, str]:
    return canonical_phrase(cl_id), spoken_name(cl_id)


def _own(entry: str, names: str) -> Label:
    if _CL_ID.fullmatch(entry):
        phrase = canonical_phrase(entry)
        return Label(phrase, answer_name(entry, names), entry, load_ontology().term(entry).label, "id")
    return _resolved(resolve_labels([entry])[0], names)


def _resolved(resolution: Resolution, names: str) -> Label:
    cl_id = resolution.cl_id
    text = answer_name(cl_id, names) if cl_id else resolution.name
    return Label(resolution.name, text, cl_id, resolution.term_label, resolution.how)


def _mapped(name: str, value: str, names: str) -> Label:
    if not value:
        return _resolved(resolve_labels([name])[0], names)
    if not _CL_ID.fullmatch(value):
        found = _resolved(resolve_labels([name])[0], names)
        return Label(name, found.text, found.cl_id, found.term, found.how, description=value)
    cl_id = value.upper().replace("_", ":")
    ontology = load_ontology()
    if cl_id not in ontology:
        raise InputError(
            f"labels[{shown_name(name)!r}] = {value!r} is not a term of the Cell Ontology ({len(ontology)} terms "
            "known)."
        )
    return Label(name, answer_name(cl_id, names), cl_id, ontology.term(cl_id).label, "given")


def _distinct(labels: list[Label]) -> list[Label]:
    """Give every label a text of its own: of those that mean one term, the closest keeps the term's phrase."""
    rank = {"given": 0, "id": 1, "exact": 2, "synonym": 3, "rule": 4, "marker": 5, "none": 6}
    order = sorted(range(len(labels)), key=lambda i: (rank.get(labels[i].how, 6), i))
    taken: dict[str, int] = {}
    by_term: dict[str, int] = {}
    texts = [""] * len(labels)
    sharing = []
    for i in order:
        label = labels[i]
        text = label.text if label.text.casefold() not in taken else label.name
        first = taken.get(label.text.casefold(), by_term.setdefault(label.cl_id, i) if label.cl_id else i)
        if first != i:
            sharing.append((label.name, labels[first].name, label.term))
        # Two names that fold to one, or a name that is another's phrase: told apart by a number, never dropped.
        while text.casefold() in taken:
            text += " (2)"
        taken[text.casefold()] = i
        texts[i] = text
    if sharing:
        shown = "; ".join(
            f"{shown_name(one)!r} and {shown_name(other)!r} both mean {term!r}" for one, other, term in sharing[:5]
        )
        warnings.warn(
            f"labels name the same term: {shown}. The cells cannot tell them apart by meaning; the first of each pair "
            "is scored by its own wording. Merge them if that is not what you want.",
            UserWarning,
            stacklevel=4,
        )
    return [
        label if label.text == text else Label(label.name, text, label.cl_id, label.term, label.how, label.description)
        for label, text in zip(labels, texts, strict=True)
    ]


def resolve_term(name: str) -> str:
    """Id of a term given by id or name.

    Raises
    ------
    InputError
        It is no term of the Cell Ontology.
    """
    found = resolve_label(name[:200]).cl_id
    if found is None:
        raise InputError(
            f"{shown_name(name)!r} is no term of the Cell Ontology; pass an id such as 'CL:0000084' or a name such as "
            "'T cell'."
        )
    return found
