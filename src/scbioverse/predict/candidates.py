"""The labels to choose among: what a user calls them, what they mean, what the language model is asked to say."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from numbers import Number
from typing import TYPE_CHECKING, Any, TypeGuard

from .._logging import logger, shown_name, warn
from ..errors import InputError
from ..knowledge import Resolution, load_ontology, resolve_label, resolve_labels
from ..knowledge.markers import evidence_key
from ..knowledge.names.short_names import nearest_names
from ..knowledge.names.tokens import meanings, tokens, word_set
from ..knowledge.ontology import ORIGINS, TUMOURS, canonical_phrase, is_held
from ..knowledge.phrases import answer_name
from ..pp._text_column import is_missing
from .given_markers import genes_named, in_words, read_genes, says_itself
from .label import Label, any_of, card_of
from .others import without_others

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from ..models import BioVerse

Labels = str | Iterable[str] | Mapping[str, str | Sequence[str]] | None
# What people write for a cell they have no name for.
NO_NAME = frozenset(
    {"", "unassigned", "unknown", "not assigned", "unlabelled", "unlabeled", "nan", "none", "na", "n/a"}
)
_HOW = (
    "pass a list of names, a mapping from names to Cell Ontology ids, descriptions or lists of marker genes, None or "
    "'cl'"
)
# Types of no use as an origin of a tumour: any tissue has them.
_SAYS_NOTHING = frozenset(
    {*TUMOURS, "CL:0000000", "CL:0000034", "CL:0000048", "CL:0000548", "CL:0011026", "CL:0011115"}
)
# Effector T cells and the memory cells of the same lineage.
_MEMORY_OF = {"CL:0000911": "CL:0000813", "CL:0001044": "CL:0000897", "CL:0001050": "CL:0000909"}
_NAIVE_T = "CL:0000898"
# Memory cells, and those of them that express CD45RA again: the ontology has these apart, too.
_MEMORY_T = ("CL:0000813", "CL:4030002")
# Score of a resolution from which on it is no guess.
_SURE = 0.8
_BETWEEN = re.compile(r"[\s_/()]+")
# People write ids as OBO files do and as URLs do: CL:0000236, CL_0000236.
_CL_ID = re.compile(r"CL[:_]\d{7}", re.IGNORECASE)
_NUMBER = re.compile(r"[-+]?\d+(\.\d+)?")
_SHOWN = 6
# Of labels that mean one term, the one that was read with the fewest guesses keeps the term's phrase.
_CLOSEST = {how: rank for rank, how in enumerate(("given", "id", "exact", "synonym", "rule", "marker", "none"))}


@dataclass(frozen=True, eq=False)
class Candidates(Sequence[Label]):
    """What rows can be called."""

    labels: tuple[Label, ...]  # m labels
    # int64 (n, k): which of them each row has to choose among; None where every row has all.
    shortlist: NDArray[np.int64] | None = None

    def __getitem__(self, at: Any) -> Any:
        return self.labels[at]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def names(self) -> list[str]:
        """As the user wrote them."""
        return [one.name for one in self.labels]

    @property
    def texts(self) -> list[str]:
        """What the language model is asked to say."""
        return [one.text for one in self.labels]

    @property
    def cards(self) -> list[str]:
        """Descriptions, to be compared with cells in the space shared with text."""
        return list(map(card_of, self.labels))

    @cached_property
    def terms(self) -> list[str | None]:
        """Ids of the terms by which they are scored: their own.

        A tumour whose name says what it comes from is scored as that type; but where another label is that type or
        holds it, by nothing, since no gene tells the two apart. Effector T cells are scored as memory cells where T
        cells are naive or effector: who parts them so calls all effector that are no longer naive, and most of these
        are memory cells; also beside Th1 or exhausted T cells, since memory cells still have no other label. Who gave
        an id, or genes, means these.
        """
        offered = {one.cl_id for one in self.labels if one.cl_id is not None}
        in_two = _naive_or_effector(offered)
        return [_scored_as(one, offered, in_two=in_two) for one in self.labels]

    @cached_property
    def restated(self) -> list[tuple[int, int]]:
        """Places of labels that mean what another label is called by a plainer name, and of that: "Activated B", "B".

        Only of labels that nothing but their names tells apart: no genes, no description, no id that was given.
        """
        bare = [i for i, one in enumerate(self.labels) if one.cl_id and not (one.genes or one.description or one.parts)]
        plainest: dict[str | None, int] = {}
        for i in sorted(bare, key=lambda i: (_rank(self.labels[i]), i)):
            plainest.setdefault(self.labels[i].cl_id, i)
        pairs = [(i, plainest[self.labels[i].cl_id]) for i in bare if self.labels[i].how == "rule"]
        return [(i, first) for i, first in pairs if _rank(self.labels[first]) < _rank(self.labels[i])]

    @cached_property
    def evidence_keys(self) -> list[str | None]:
        """What marker evidence is asked for: the terms, with the genes that the user gave."""
        return [evidence_key(term, one.genes) for term, one in zip(self.terms, self.labels, strict=True)]


def _rank(label: Label) -> int:
    return _CLOSEST.get(label.how, len(_CLOSEST))


def _naive_or_effector(offered: Set[str]) -> bool:
    """Whether terms part T cells into naive and others, none of which is called memory cells."""
    below = load_ontology().descendants
    naive, *memory = (offered & {kind, *below(kind)} for kind in (_NAIVE_T, *_MEMORY_T))
    return bool(naive) and not any(memory)


def _scored_as(label: Label, offered: Set[str], *, in_two: bool) -> str | None:
    if label.cl_id in TUMOURS and (origin := named_origin(label.name)) is not None:
        return None if is_held(origin, offered) else origin
    as_read = label.how not in ("id", "given") and not label.genes
    return _MEMORY_OF.get(label.cl_id or "", label.cl_id) if in_two and as_read else label.cl_id


def named_origin(name: str) -> str | None:
    """Id of the type that a tumour's name says it comes from; None where it does not say.

    By what the name says besides being malignant ("malignant B cell"), else by the word for the tumour ("melanoma").
    """
    rest = [word for word in _BETWEEN.split(name) if not word_set("malignant") & set(tokens(word))]
    found = resolve_label(" ".join(rest))
    if found.cl_id is not None and found.cl_id not in _SAYS_NOTHING and found.score >= _SURE:
        return found.cl_id
    return next((origin for word in tokens(name) if (origin := meanings("malignant").get(word))), None)


def asked_whole(labels: Any) -> str | None:
    """Return the word that stands for labels, `"vocabulary"` or `"cl"`, or another that stands for none; else None."""
    word = "vocabulary" if labels is None else labels
    return word.lower() if isinstance(word, str) else None


def read_labels(labels: Labels, model: BioVerse, *, context: str | None = None, modality: str = "cell") -> Candidates:
    """Turn the argument `labels` of a verb into candidates, each with a text of its own.

    `labels` is None or `"vocabulary"` for the model's own vocabulary, `"cl"` for the whole ontology, names, or a
    mapping from names to Cell Ontology ids, descriptions or lists of marker genes. `context` names the organ, see
    :func:`scbioverse.knowledge.resolve_labels`; names of what is no cell, by `modality`, are not looked up there.

    An :class:`InputError` says that there are no labels, one is empty, missing, no text or holds control characters, an
    id is unknown, or all are numbers; a warning that a name resolved to no term, repeats, names the same term as
    another, or stands for no label ("unknown").
    """
    form, word = model.config.names, asked_whole(labels)
    if word == "vocabulary":
        if not model.config.default_labels:
            raise InputError(f"model {model.name!r} has no vocabulary of its own: pass labels=[...].")
        return own_labels(model.config.default_labels, form)
    if word == "cl":
        return own_labels([one for one in load_ontology() if one.startswith("CL:")], form)
    if word is not None:
        raise InputError(
            f"labels={shown_name(str(labels))!r} is one string; pass a list of names, a mapping, None, 'vocabulary' or "
            "'cl'."
        )
    given = read_names(labels)
    _check(list(given))
    read = [Resolution(one, None, one, "none", 0.0) for one in given]
    if modality == "cell":
        # Of what is described, or has genes, the name counts only where it is one of a type by itself.
        stated = {one: says_itself(one, said) for one, said in given.items() if said and not _is_id(said)}
        # Read together: a short name is known by the company it keeps, and an id is company, too.
        asked = {
            name: meaning if _is_id(meaning) else name for name, meaning in given.items() if stated.get(name, True)
        }
        found_for = dict(zip(asked, resolve_labels(asked.values(), context=context), strict=True))
        read = [stated.get(one.name) or (one if one.name in stated else found_for[one.name]) for one in read]
    found = [_meant(name, meaning, one, form) for (name, meaning), one in zip(given.items(), read, strict=True)]
    lost = [label.name for label in found if not (label.cl_id or label.description or label.parts)]
    if lost and modality == "cell":
        near = [f"{shown_name(name)}: {' or '.join(some)}?" for name in lost[:_SHOWN] if (some := nearest_names(name))]
        asks = f" Did you mean {'; '.join(near)}" if near else ""
        warn(
            f"{len(lost)} of {len(found)} labels match no Cell Ontology term and are used as they stand: "
            f"{list(map(shown_name, lost[:8]))}.{asks} To say what one means, pass a mapping: "
            "labels={'name': 'CL:0000236'}, {'name': 'a description'} or {'name': ['GENE', 'GENE']}."
        )
    return _distinct(without_others(found, model.config.default_labels, form))


def own_labels(cl_ids: Iterable[str], form: str) -> Candidates:
    """Candidates of a model's vocabulary: terms, called by their short names, or names; `form` as `config.names`."""
    return _distinct([_own(cl_id, form) for cl_id in cl_ids])


def resolve_term(name: str) -> str:
    """Id of a term given by id or name; an :class:`InputError` where it is no term of the Cell Ontology."""
    found = resolve_label(name[:200]).cl_id
    if found is None:
        raise InputError(
            f"{shown_name(name)!r} is no term of the Cell Ontology; pass an id such as 'CL:0000084' or a name such as "
            "'T cell'."
        )
    return found


# ------------------------------------------------------------------ names as users hand them in


def read_names(labels: Any) -> dict[str, str | tuple[str, ...]]:
    """Name → id, description or marker genes, `""` where none is given; each once, without those that mean no label.

    An :class:`InputError` says that it is no collection of names; that one is missing, empty, no text, cannot be
    written to a file, or stands twice with different meanings; or that a meaning is no text. A warning: a name repeats,
    but for case and white space, stands for no label, or looks like several.
    """
    # A table would be read as its column names, bytes as numbers: neither is what was meant.
    if isinstance(labels, bytes) or hasattr(labels, "columns") or not isinstance(labels, Iterable):
        raise InputError(f"labels is of type {type(labels).__name__}; {_HOW}.")
    mapped = labels if isinstance(labels, Mapping) else None
    # The order of a set changes from one run to the next.
    ordered = sorted(labels, key=str) if isinstance(labels, set | frozenset) else list(labels)
    given: dict[str, str | tuple[str, ...]] = {}
    first: dict[str, str] = {}
    times: Counter[str] = Counter()
    for one in ordered:
        name = _name(one)
        meaning: str | tuple[str, ...] = "" if mapped is None else _meaning(name, mapped[one])
        # What a reader cannot tell apart is one name: case and white space do not count.
        held = first.setdefault(shown_name(name, len(name) + 1).casefold(), name)
        times[held] += 1
        if given.setdefault(held, meaning) != meaning:
            raise InputError(f"labels names {shown_name(name)!r} twice, with different meanings: keep one.")
    if mapped is None:
        _warn_of_list(times)
    else:
        _warn_of_turned(given)
    nameless = [name for name in given if name.casefold() in NO_NAME]
    if nameless and len(nameless) == len(given):
        raise InputError(f"labels name no cell type: {nameless[:_SHOWN]}. {_HOW[0].upper()}{_HOW[1:]}.")
    if nameless:
        said = (
            f"{nameless[0]!r} names no cell type and is"
            if len(nameless) == 1
            else f"{nameless[:8]} name no cell type and are"
        )
        warn(f"{said} left out of labels: cells without an answer are called 'unknown', see unknown_threshold=.")
    return {name: meaning for name, meaning in given.items() if name not in nameless}


def _warn_of_list(times: Counter[str]) -> None:
    """Warn of names in a list that repeat, or that look like several."""
    if repeated := [shown_name(name) for name, n in times.items() if n > 1]:
        warn(f"labels repeat and are used once each: {repeated[:8]}.")
    if several := [shown_name(name) for name in times if set(name) & set(";|")]:
        warn(
            f"labels hold {several[:8]}, which look like several names in one. Each entry is one candidate: pass the "
            "names by themselves, labels=['B', 'NK']."
        )


def _warn_of_turned(given: Mapping[str, str | tuple[str, ...]]) -> None:
    """Warn of a mapping from ids to texts."""
    said = [meaning for meaning in given.values() if meaning and not _is_id(meaning)]
    if said and len(said) == len(given) and all(map(_CL_ID.fullmatch, given)):
        first = {str(said[0]): next(iter(given))}
        warn(
            "labels map Cell Ontology ids to texts, so that the ids become the labels in obs, and the texts are read "
            f"as descriptions. If they are names, turn the mapping around: labels={first}."
        )


def _name(value: object) -> str:
    if is_missing(value):
        raise InputError("labels hold a missing value (None or NaN); drop it first.")
    if not isinstance(value, str | Number):
        raise InputError(
            f"labels hold a value of type {type(value).__name__}: {str(value)[:60]!r}. {_HOW[0].upper()}{_HOW[1:]}."
        )
    name = " ".join(str(value).split())
    if not name:
        raise InputError("labels hold an empty name; drop it first.")
    odd = next((one for one in name if unicodedata.category(one) in ("Cc", "Cs")), None)
    if odd is not None:
        raise InputError(
            f"labels hold the control character {odd!r} in {shown_name(name)!r}, which no file of results takes: "
            "remove it."
        )
    return name


def _meaning(name: str, value: object) -> str | tuple[str, ...]:
    if isinstance(value, list | tuple | set | frozenset):
        return read_genes(name, sorted(value, key=str) if isinstance(value, set | frozenset) else value)
    if is_missing(value):
        return ""
    if not isinstance(value, str):
        raise InputError(
            f"labels[{shown_name(name)!r}] is of type {type(value).__name__}; give a Cell Ontology id such as "
            "'CL:0000236', a description, a list of marker genes, or ''."
        )
    return genes_named(name, value) or value.strip()


def is_number(name: str) -> bool:
    """Whether a name is a number, as clusters are called."""
    return bool(_NUMBER.fullmatch(name))


def _check(names: list[str]) -> None:
    if not names:
        raise InputError("labels is empty; pass at least two names, or leave it out to have names found.")
    if len(names) < 2:
        raise InputError(
            f"labels holds only {shown_name(names[0])!r}: with one candidate there is nothing to decide. Pass two "
            "or more."
        )
    # The clusters were passed for the candidates: the commonest slip of a first call.
    if all(map(is_number, names)):
        raise InputError(
            f"all labels are numbers ({', '.join(names[:5])}...): cluster numbers name no cell type. Pass cell-type "
            "names as labels=, and the column with the clusters as groupby=."
        )


# ------------------------------------------------------------------ what they mean


@lru_cache(maxsize=1 << 14)
def _own(entry: str, form: str) -> Label:
    """Return an entry of a model's vocabulary: a term called by its short name, or a name."""
    if not _CL_ID.fullmatch(entry):
        return _meant(entry, "", resolve_label(entry), form)
    return Label(canonical_phrase(entry), answer_name(entry, form), entry, load_ontology().term(entry).label, "id")


def _is_id(meaning: str | tuple[str, ...]) -> TypeGuard[str]:
    return isinstance(meaning, str) and _CL_ID.fullmatch(meaning) is not None


def _meant(name: str, meaning: str | tuple[str, ...], found: Resolution, form: str) -> Label:
    """Return a user's label; `meaning` is an id, a description, genes or empty, `found` what the name was read as."""
    if not meaning and found.parts:
        return any_of(name, found.parts, form)
    if not _is_id(meaning):
        text = answer_name(found.cl_id, form) if found.cl_id else name
        genes = meaning if isinstance(meaning, tuple) else ()
        said = in_words(genes) if genes else meaning or None
        return Label(name, text, found.cl_id, found.term_label, found.how, said, found.because, genes)  # type: ignore[arg-type]
    # Given outright, an id is not guessed at: one that is not known is an error, and no other is looked for.
    cl_id, ontology = meaning.upper().replace("_", ":"), load_ontology()
    if cl_id not in ontology:
        raise InputError(
            f"labels[{shown_name(name)!r}] = {meaning!r} is not a term of the Cell Ontology ({len(ontology)} terms "
            "known)."
        )
    return Label(name, answer_name(cl_id, form), cl_id, ontology.term(cl_id).label, "given")


def _distinct(labels: Sequence[Label]) -> Candidates:
    """Give every label a text of its own: of those that mean one term, the closest keeps the term's phrase."""
    order = sorted(range(len(labels)), key=lambda i: (_rank(labels[i]), i))
    taken: dict[str, int] = {}
    by_term: dict[str, int] = {}
    texts = [""] * len(labels)
    sharing = []
    for i in order:
        label = labels[i]
        key = label.text.casefold()
        alone = None if label.parts else label.cl_id
        first = taken.get(key, by_term.setdefault(alone, i) if alone else i)
        if first != i:
            sharing.append(
                f"{shown_name(label.name)!r} and {shown_name(labels[first].name)!r} both mean {label.term!r}"
            )
        text = label.name if key in taken else label.text
        # Two names that fold to one, or a name that is another's phrase: told apart by a number, never dropped.
        while text.casefold() in taken:
            text += " (2)"
        taken[text.casefold()] = i
        texts[i] = text
    found = Candidates(tuple(replace(label, text=text) for label, text in zip(labels, texts, strict=True)))
    if sharing:
        few = [shown_name(labels[at].name) for at, _ in found.restated[:_SHOWN]]
        plain = f" {few} {'adds' if len(few) == 1 else 'add'} to a plainer name, which goes first." if few else ""
        warn(
            f"labels name the same term: {'; '.join(sharing[:5])}. The cells cannot tell them apart by meaning; the "
            f"first of each pair is scored by its own wording.{plain} Merge them if that is not what you want."
        )
    return found


# ------------------------------------------------------------------ what is said of them


def log_labels(candidates: Candidates, *, own: bool) -> None:
    """Say in one line what labels were taken for, and in another what malignant cells are known by.

    `own`: they are the model's own vocabulary.
    """
    pairs = list(zip(candidates, candidates.terms, strict=True))
    tumours = [(label.name, _stands_for(term)) for label, term in pairs if label.cl_id in TUMOURS]
    if tumours:
        logger.warning(
            "no gene marks malignant cells as such. Labels for them stand for the types that they come from, as far as "
            "no other label is or holds these, and a healthy cell of such a type is called so, too: %s. To name the "
            "origin, pass a mapping: labels={%r: 'CL:0000182', ...} for hepatocyte.",
            "; ".join(f"{name!r} for {types}" for name, types in tumours),
            tumours[0][0],
        )
    memory = [shown_name(one.name) for one, term in pairs if one.cl_id in _MEMORY_OF and term == _MEMORY_OF[one.cl_id]]
    if memory:
        logger.info(
            "T cells are naive or effector here, so that %s stands for all that are no longer naive, memory cells "
            "included. To mean effector cells alone, pass ids: labels={%r: 'CL:0000911', ...}.",
            ", ".join(memory), memory[0],
        )  # fmt: skip
    said = f"{len(candidates)} labels, the model's own vocabulary" if own else _taken_for(candidates)
    logger.info("%s", said)


def _taken_for(candidates: Candidates) -> str:
    """One line: names only the labels that are not called as their term is."""
    read = [one for one in candidates if one.how not in ("exact", "id", "given") and one.description is None]
    # Those first that could have been read otherwise.
    read.sort(key=lambda one: not one.because)
    if not read:
        described = " or described by you" if any(one.description for one in candidates) else ""
        return f"{len(candidates)} labels, each found in the Cell Ontology by name{described}"
    shown = [
        f"{shown_name(one.name)} -> {f'{one.cl_id} ({one.term})' if one.cl_id else 'no term'}"
        f"{f' because of {one.because}' if one.because else ''}"
        for one in read[:_SHOWN]
    ]
    if len(read) > _SHOWN:
        shown.append(f"and {len(read) - _SHOWN} more (sb.get.labels shows all)")
    same = f"{len(candidates) - len(read)} found in the Cell Ontology by name"
    return f"{len(candidates)} labels: {same}, {len(read)} read as {', '.join(shown)}"


def _stands_for(cl_id: str | None) -> str:
    """Say what a label for malignant cells stands for."""
    if cl_id is None:
        return "nothing, since another label has its type"
    return canonical_phrase(cl_id) if cl_id not in TUMOURS else ", ".join(map(canonical_phrase, ORIGINS))
