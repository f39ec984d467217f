"""A list of labels read together: a short name is known by the company it keeps.

"PC" is a plasma cell beside B cells, a principal cell beside proximal tubule and podocytes, a pericyte beside
cardiomyocytes. Each name of a list speaks for the places that it can be from: with weight 1 where there is one, else
shared among them. A name with several readings takes the one whose place the *other* names speak for most, and never
one that another name of the list has already.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from .._read import read_table
from ..ontology import load_ontology
from .counted import in_doubt
from .index import load_index
from .readings import ADJECTIVES, implies_an_organ
from .resolver import SURE, Resolution, organs_in, resolve_label, says_no_type, without_count
from .short_names import ANY_LIST, abbreviated, readings_in, shorthand_for
from .tokens import is_gene, tokens

# How much must speak for a place before it changes a name that means something by itself; one name of one place does,
# and one that is of one place by itself and of another beside other names.
_ENOUGH = 0.6
# What must speak for it where the name means nothing by itself, or what another name means already.
_A_LITTLE = 0.3
# A place that is much less spoken for than another is not where the list is from.
_PART = 0.4
_NAMED = 3
# What a user says of the organ stands among the names of a list under a name that no label has, and counts as much as
# four names of this organ alone. Of 0.5, 1, 2, 4 and 8, chosen on the first half of `benchmarks.labels`.
_TOLD, _TOLD_WEIGHT = "", 4.0
# Longest short name, and most words of a name that is spelt out.
_SHORT = 4
_WORDS = 4


@lru_cache(maxsize=1)
def _roots() -> dict[str, list[str]]:
    """Term, or place, to the places that it tells of."""
    roots: dict[str, list[str]] = defaultdict(list)
    for place, told_by, _ in read_table("company.tsv"):
        roots[told_by].append(place)
    return roots


@lru_cache(maxsize=4096)
def places_of(cl_id: str | None) -> frozenset[str]:
    """Places that a term is from, if it tells: those of `company.tsv` at or above it."""
    above = (cl_id, *load_ontology().ancestors(cl_id)) if cl_id else ()
    return frozenset(place for one in above for place in _roots().get(one, ()))


def resolve_labels(names: Iterable[str], *, context: str | None = None) -> list[Resolution]:
    """Resolve the labels of one list, such as all cell types of a study, each by the company of the others.

    Their order and repeats do not matter. `context` is free text that names the organ, as for :func:`resolve_label`;
    here it speaks for it as loudly as four names that are of it alone, and names keep their general readings: a
    fibroblast of the lung stays a fibroblast. `because` says what decided where a name had several readings.
    """
    given = list(map(str, names))
    bare = {name: without_count(name, given) for name in given}
    alone = {name: resolve_label(name) for name in bare.values()}
    told = organs_in(context or "")
    # What may be a type or a number is no company, and is not read by its parts.
    clear = {name: one for name, one in alone.items() if not in_doubt(name)}
    together = alone | (_Company(clear, told).read() if told or len(clear) > 1 else {})
    return [_as_given(together[bare[name]], name) for name in given]


def _as_given(one: Resolution, name: str) -> Resolution:
    """Give a reading the name that the user gave; what was read without a number of it was read by a rule."""
    if name == one.name:
        return one
    read = replace(one, name=name, term_label=one.term_label if one.cl_id else name)
    return replace(read, how="rule", score=min(one.score, 0.9)) if one.how in ("exact", "synonym") else read


@lru_cache(maxsize=64)
def _wholes(place: str) -> tuple[str, ...]:
    """Places that a place is a part of."""
    return tuple(sorted(whole for whole, parts in _roots().items() if place in parts and whole in _places()))


@lru_cache(maxsize=1)
def _places() -> frozenset[str]:
    return frozenset(place for places in _roots().values() for place in places)


class _Company:
    """What the names of a list say of each other; `alone` has each name as it is read by itself.

    `told` are places that the user named.
    """

    def __init__(self, alone: Mapping[str, Resolution], told: Sequence[str] = ()) -> None:
        # A term's own name, one of a dividing type, and one with the gene that the term is called by mean more than
        # what is left of them without states and genes.
        whole = {name for name, one in alone.items() if one.how == "exact" or _says_more(one)}
        self.readings = {
            name: dict(readings_in(name, whole=name in whole)) if one.how != "id" else {} for name, one in alone.items()
        }
        # What is a gene's name or a word of English, too, is a cell in a list of cells.
        short = {
            name: own.pop(ANY_LIST, None) or abbreviated(name, loosely=True) for name, own in self.readings.items()
        }
        self.first = {name: one if one.cl_id else _read_as(one, short[name]) for name, one in alone.items()}
        self.taken = {one.cl_id for name, one in self.first.items() if not self.readings[name]}
        self.votes: dict[str, dict[str, float]] = defaultdict(dict)
        for name, one in self.first.items():
            own = self._own_places(name)
            others = self.readings[name].keys() - own
            # What it means by itself, were it of no place in particular, counts as much as two other readings. A part
            # and its whole ("cerebellum", "brain") are one place.
            shares = 2 * (len(own - {whole for part in own for whole in _wholes(part)}) or one.cl_id is not None)
            for weight, places in ((2, own), (1, others)):
                for place in places:
                    self.votes[place][name] = weight / (shares + len(others))
        for place in told:
            self.votes[place][_TOLD] = _TOLD_WEIGHT
        self.strongest = max((sum(some.values()) for some in self.votes.values()), default=0.0)

    def read(self) -> dict[str, Resolution]:
        """Return every name as it is meant here."""
        chosen = {name: self._of_here(self._choose(name)) for name in self.first}
        return {name: self._whole_or_parts(self._to_the_end(one, chosen)) for name, one in chosen.items()}

    def _to_the_end(self, one: Resolution, chosen: Mapping[str, Resolution]) -> Resolution:
        return self._narrowed(one) if one.cl_id else self._spelt_out(one, chosen)

    def _whole_or_parts(self, one: Resolution) -> Resolution:
        """Let a name that joins several types stay so, unless the other names say what it is as a whole."""
        first = self.first[one.name]
        if not first.parts:
            return one
        return replace(one, parts=()) if one.because or (first.cl_id is None and one.cl_id) else first

    def support(self, place: str, name: str) -> float:
        """Weight of the other names that speak for a place; a part of an organ has the organ's, too."""
        own = sum(vote for _, vote in self._speakers(place, name))
        return own + sum(self.support(whole, name) for whole in _wholes(place) if own >= _ENOUGH)

    def _own_places(self, name: str) -> frozenset[str]:
        """Places of what a name means by itself; a guess, as of most single letters, tells none."""
        one = self.first[name]
        sure = one.score >= SURE and (len(name) > 1 or shorthand_for(name) is not None)
        return places_of(one.cl_id) if sure else frozenset()

    def _speakers(self, place: str, name: str) -> list[tuple[str, float]]:
        # "HSC1" has the readings of "HSC2": they cannot tell each other which is meant.
        same = self.readings.get(name)
        votes = self.votes.get(place, {}).items()
        return [(other, vote) for other, vote in votes if other == _TOLD or self.readings[other] != same]

    def _choose(self, name: str) -> Resolution:
        """Return the reading that the other names speak for, or the name as it is read by itself."""
        one, readings = self.first[name], self.readings[name]
        # Two names of a list seldom mean one type.
        weighed = [
            (self.support(place, name) * (0.5 if cl_id in self.taken else 1), place)
            for place, cl_id in sorted(readings.items())
        ]
        most, place = max(weighed, default=(0.0, ""))
        open_to = one.cl_id is None or one.cl_id in self.taken
        # Where it means something by itself, that is weighed like any other reading.
        own = 0.0 if open_to else max((self.support(at, name) for at in self._own_places(name) - {place}), default=0.0)
        needed = max(_A_LITTLE if open_to else _ENOUGH, self.strongest * _PART, own)
        if most < needed or readings[place] == one.cl_id:
            return one
        # The names that say most, for the reader; equal ones by the alphabet: the order of the list is no matter.
        heard = sorted((-vote, other) for other, vote in self._speakers(place, name))[:_NAMED]
        return _read_as(
            one, readings[place], because=f"{', '.join(other or 'the tissue' for _, other in heard)} ({place})"
        )

    def _spelt_out(self, one: Resolution, chosen: Mapping[str, Resolution]) -> Resolution:
        """Read a name whose words are short names: "IgA PC" as "IgA plasma cell"."""
        words, ontology = re.findall(r"[^\W_]+", one.name), load_ontology()
        meant = [chosen[word].cl_id if word in chosen else self._part(word) for word in words]
        said = [
            ontology.term(cl_id).label if cl_id and len(word) <= _SHORT and not _is_genes(word) else word
            for word, cl_id in zip(words, meant, strict=True)
        ]
        found = resolve_label(" ".join(said)) if 1 < len(words) <= _WORDS and said != words else one
        by_parts = None if says_no_type(one.name) else self._by_parts(one.name)
        return _read_as(one, found.cl_id or by_parts)

    def _reading_here(self, word: str, name: str, enough: float) -> tuple[str, str] | None:
        """Id and place of a short word of a name, where the other names speak for the place."""
        readings = {place: cl_id for place, cl_id in readings_in(word).items() if place != ANY_LIST}
        most, place = max(((self.support(at, name), at) for at in sorted(readings)), default=(0.0, ""))
        return (readings[place], place) if most >= max(enough, self.strongest * _PART) else None

    def _of_here(self, one: Resolution) -> Resolution:
        """Read a name anew with its short words spelt out as they are meant here: "KC_MARCO+" as "Kupffer cell MARCO+".

        Only where the whole name was read by a rule, and only words that mean something else by themselves.
        """
        words = re.findall(r"[^\W_]+", one.name)
        if (
            one.how != "rule"
            or one.because
            or not 1 < len(words) <= _WORDS
            or says_no_type(one.name)
            or _says_more(one)
        ):
            return one
        known = abbreviated(one.name, loosely=True)
        if known and known not in map(abbreviated, words):
            # Two words or more of it are a short name together: "Mature arterial EC".
            return one
        text, places, ontology = one.name, [], load_ontology()
        for word in words:
            here = self._reading_here(word, one.name, _ENOUGH)
            if here and resolve_label(word).cl_id != here[0]:
                whole = rf"(?<![^\W_]){re.escape(word)}(?![^\W_])"
                text = re.sub(whole, ontology.term(here[0]).label, text)
                places.append(here[1])
        anew = resolve_label(text).cl_id if places else None
        return _read_as(one, anew, because=f"the other names ({places[0]})") if anew and anew != one.cl_id else one

    def _narrowed(self, one: Resolution) -> Resolution:
        """Take what a beginning or an end of a name says here, where it is a kind of what the whole was read as.

        "Exc L4 IT" is a glutamatergic neuron by its first word, and one of layer 4 by the others.
        """
        words = re.split(r"[\s_-]+", one.name)
        denied = words[0].lower().startswith("non")
        if denied or one.how != "rule" or one.because or not 1 < len(words) <= _WORDS:
            return one
        parts = [" ".join(part) for at in range(1, len(words)) for part in (words[:at], words[at:])]
        ontology = load_ontology()
        read = filter(None, (self._part(part) for part in parts if len(part) > 1 and not _is_genes(part)))
        kinds = [kind for kind in read if ontology.is_ancestor(str(one.cl_id), kind)]
        return _read_as(one, max(kinds, key=lambda kind: (ontology.depth(kind), kind), default=None))

    def _by_parts(self, name: str) -> str | None:
        """Read "Neu-mat" by "Neu": what all parts that are known here say together, if they do not disagree."""
        parts = [part for part in re.split(r"[\W_]+", name) if len(part) > 1 and part != name and not _is_genes(part)]
        found = list(dict.fromkeys(filter(None, map(self._part, parts))))
        if not found:
            return None
        ontology = load_ontology()
        deepest = max(found, key=lambda one: (ontology.depth(one), one))
        return deepest if all(ontology.is_within(deepest, one) for one in found) else None

    def _part(self, part: str) -> str | None:
        """Read a part of a name as it is read in a list from here; by itself only where that is no guess."""
        if here := self._reading_here(part, part, _A_LITTLE):
            return here[0]
        one = resolve_label(part)
        meant = one.cl_id if one.score >= SURE and part.lower() not in ADJECTIVES else None
        if meant and implies_an_organ(tokens(part), load_index(crosswalk=True)):
            # "duct" is of the pancreas by itself; as a part of a name only where the list is.
            here_too = (self.support(place, part) >= _A_LITTLE for place in places_of(meant))
            meant = meant if any(here_too) else None
        return readings_in(part).get(ANY_LIST) or meant


def _says_more(one: Resolution) -> bool:
    """Whether a name was read as a term that is called by a gene in it, or by its dividing: "Inh_PVALB"."""
    label = one.term_label.lower() if one.cl_id else ""
    genes = (token[1:].lower() for token in tokens(one.name) if token.startswith("+"))
    return label.startswith("cycling ") or any(gene in label for gene in genes)


def _is_genes(part: str) -> bool:
    """Whether a part of a name is a gene, in capitals ("SPP1") or, with a number in it, as in mice ("Mrc1")."""
    found = tokens(part.upper() if re.fullmatch(r"[A-Z][a-z]+\d+\w*", part) else part)
    return bool(found) and all(map(is_gene, found))


def _read_as(one: Resolution, cl_id: str | None, *, because: str = "") -> Resolution:
    if cl_id is None:
        return one
    term = load_ontology().term(cl_id).label
    return replace(one, cl_id=cl_id, term_label=term, how="synonym" if because else "rule", score=SURE, because=because)
