"""One label: what a user calls it, and what it means."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

from .._logging import listed
from ..knowledge import load_ontology
from ..knowledge.names.joined import nearest_common
from ..knowledge.ontology import canonical_phrase
from ..knowledge.phrases import answer_name, label_card, spoken_name


@dataclass(frozen=True)
class Label:
    """One candidate."""

    name: str  # as the user wrote it; what goes into `obs`
    text: str  # what the language model is asked to say: the term's name with the general word first, or `name`
    cl_id: str | None  # Cell Ontology id, or None
    term: str  # the ontology's name of that id, or `name`
    how: str  # how it was resolved, see `knowledge.Resolution`; `"given"` if the user did it
    description: str | None = None  # A description the user gave in place of an id, or that of the genes given; or None
    # What decided where the name alone has several readings, see `knowledge.Resolution`.
    because: str = ""
    genes: tuple[str, ...] = ()  # marker genes that the user gave, approved symbols
    # The types of which it is any, each a label: of "B/Plasma" two. `cl_id` is then the nearest term that holds all.
    parts: tuple[Label, ...] = ()

    @property
    def record(self) -> dict[str, Any]:
        """What a record keeps: all but parts, which `because` says, and what few labels have where it is empty."""
        every = asdict(replace(self, parts=()))
        return {name: value for name, value in every.items() if value or name not in ("because", "genes", "parts")}


# Put together from several tables: a vocabulary of 210 labels is described once a process, not once a call.
@lru_cache(maxsize=1 << 14)
def card_of(label: Label) -> str:
    """Describe a label, to be compared with cells in the space shared with text."""
    if label.description:
        return f"{label.name}: {label.description}"
    card = label_card(label.cl_id or label.name)
    # Where another label has the term's phrase, the card must differ from that label's, too.
    as_meant = label.cl_id is None or label.text in (canonical_phrase(label.cl_id), spoken_name(label.cl_id))
    return card if as_meant else f"{label.name}. {card}"


def any_of(name: str, ids: Sequence[str], form: str, *, cl_id: str | None = None, because: str = "") -> Label:
    """Return a label that stands for any of several types; `form` as `config.names`.

    `cl_id` is what is said of it, if not the nearest term that holds all.
    """
    label, shared = load_ontology().term, cl_id or nearest_common(ids)
    parts = tuple(Label(one, answer_name(one, form), one, label(one).label, "id") for one in ids)
    because = because or f"its parts, {listed([one.term for one in parts])}"
    return Label(name, name, shared, label(shared).label if shared else name, "rule", because=because, parts=parts)
