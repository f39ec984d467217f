"""Labels that say what a cell is not: "other T" beside CD4 and CD8 T cells, "CD4- T" beside CD4 T cells."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

from .._logging import listed, shown_name, warn
from ..knowledge import load_ontology
from ..knowledge.names.joined import topmost
from ..knowledge.names.tokens import tokens
from .label import Label, any_of

_OTHER = re.compile(r"\b(?:others?|remaining|residual|rest of)\b", re.IGNORECASE)
_SHOWN = 6


def without_others(labels: Sequence[Label], vocabulary: Collection[str], form: str) -> list[Label]:
    """Take the kinds of other labels from labels that say that they are others, or lack a gene that those have.

    "Other T" is then any of the types of a model's vocabulary that are T cells and share no kind with another label. A
    warning names labels of which nothing is left so, and those that lack a gene that no other label has.
    """
    out, unread = list(labels), dict[str, str]()
    for at, label in enumerate(labels):
        said = _unread(label)
        if not said:
            continue
        beside = {one.cl_id for one in labels if one.cl_id and one is not label and _may_be(one, label, said)}
        kinds = _left(str(label.cl_id), beside, vocabulary) if beside else ()
        if kinds:
            named = listed(load_ontology().term(one).label for one in kinds)
            because = f"{named}, the kinds that no other label is"
            out[at] = any_of(label.name, kinds, form, cl_id=label.cl_id, because=because)
        else:
            unread[label.name] = said
            out[at] = replace(label, because=label.because or f"its name without {said!r}")
    if unread:
        some = "; ".join(f"{said!r} of {shown_name(name)!r}" for name, said in list(unread.items())[:_SHOWN])
        warn(
            f"what labels say that cells are not is not read: {some}. They are scored as what is left of their names. "
            "To say what is meant, pass a mapping: labels={'name': 'CL:0000798'} or {'name': ['GENE', 'GENE']}."
        )
    return out


def _unread(label: Label) -> str:
    """Return the word of a name that says what the cell is not, where its term does not say it; "" where none does."""
    if label.how != "rule" or label.cl_id is None or label.description or label.parts:
        return ""
    if other := _OTHER.search(label.name):
        return other[0]
    term = load_ontology().term(label.cl_id)
    held = {token for name in (term.label, *term.synonyms) for token in tokens(name)}
    return next((f"{token[1:]}-" for token in tokens(label.name) if token[0] == "-" and token not in held), "")


def _may_be(other: Label, label: Label, said: str) -> bool:
    """Whether another label is a kind of one, and has the gene that this lacks."""
    if not load_ontology().is_ancestor(str(label.cl_id), str(other.cl_id)):
        return False
    return not said.endswith("-") or f"+{said[:-1]}" in {*tokens(other.name), *tokens(other.term)}


def _left(cl_id: str, others: Collection[str], vocabulary: Collection[str]) -> tuple[str, ...]:
    """Return the widest terms of a vocabulary that are kinds of a term and share no kind with others."""
    ontology = load_ontology()
    taken = {one for other in others for one in (other, *ontology.descendants(other))}
    below = (one for one in ontology.descendants(cl_id) if one in vocabulary)
    return topmost([one for one in below if taken.isdisjoint((one, *ontology.descendants(one)))])
