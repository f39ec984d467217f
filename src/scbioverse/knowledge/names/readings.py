"""Ever shorter readings of a name that leads nowhere as it stands."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import lru_cache

from ..ontology import load_ontology
from .index import Hit, Key, NameIndex, is_bare, load_index
from .tokens import is_gene, loose_key, loosen, meanings, tokens, word_set

# A T cell's coreceptor, and what a name with it is not.
_OPPOSITES = (("+CD4", "CL:0000625"), ("+CD8A", "CL:0000624"), ("+CD4", "CL:0000623"), ("+CD8A", "CL:0000623"))
# Letters that are names of cells by themselves.
_SHORT = frozenset({"t", "b"})
_HEADS = _SHORT | {"nk"}
_T_GENES = frozenset({"+CD4", "+CD8A", "+CD8B"})
# Words that are types of T cells by themselves, but not as parts of other names ("naive hPSC").
ADJECTIVES = frozenset({"naive", "memory", "effector", "cytotoxic", "exhausted", "central", "resting"})
# A word is taken for the beginning of a longer one from this length on, where most names that begin so go on alike.
_BEGINNING = 5
_ALIKE = 0.6
# How like a word a slip of the pen has to be, by its length: a letter is more of a short one.
_LIKE = {5: 0.9, 6: 0.88}


def contradicts(found: tuple[str, ...], cl_id: str) -> bool:
    """Whether a CD4 name led to a CD8 T cell or the other way round, or one of them to an NK cell."""
    within = load_ontology().is_within
    # "CD4 CD8 T cell" may be either.
    return len(_T_GENES & set(found)) < 2 and any(gene in found and within(cl_id, other) for gene, other in _OPPOSITES)


def without_restated(found: tuple[str, ...]) -> tuple[str, ...]:
    """Drop surface proteins that only restate the word beside them: "CD19+ B" is "B"."""
    # Said twice, the gene would ask for a term that has it in its name.
    spare = {gene for word in found for gene in meanings("restates").get(word, "").split()}
    return tuple(token for token in found if token not in spare)


def readings(found: tuple[str, ...], index: NameIndex) -> Iterator[tuple[tuple[str, ...], float]]:
    """Yield readings of a name that leads nowhere, with their scores, from the mildest change on."""
    found = without_restated(tuple(piece for token in found for piece in _mend(token, index)))
    joined = _joined(found, index)
    if joined != found:
        yield joined, 0.85
    yield found, 0.85
    genes = [token for token in found if token.startswith("+")]
    state, organ = word_set("state"), word_set("organ")
    # What is left out, one after the other: genes, states, places, numbers and letters, words that no name has.
    steps: tuple[tuple[float, Callable[[str], bool]], ...] = (
        (0.8, lambda token: not is_gene(token)),
        (0.75, lambda token: token not in state),
        (0.7, lambda token: token not in organ),
        (0.65, lambda token: len(token) > 2 or token in _SHORT),
        (0.5, index.words.__contains__),
    )
    telling = {token for token in filter(_says, found) if token.isalpha() and len(token) > 1}
    # Each step starts from what the one before left.
    core = found
    for score, keeps in steps:
        core = tuple(filter(keeps, core))
        if telling.difference(core):
            # A word that nobody knows may be what the cell is: what is left has to say it by itself.
            core = () if ADJECTIVES.issuperset(core) or implies_an_organ(core, index, found) else core
        chosen = [one for one in _gene_choices(genes) if not is_bare(frozenset((*one, *core)))]
        for one in chosen:
            if _T_GENES & set(one) and "t" not in core:
                yield (*one, *core, "t"), score
            yield (*one, *core), score


def _joined(found: tuple[str, ...], index: NameIndex) -> tuple[str, ...]:
    """Put together what a hyphen cut: ("myo", "epithelial") where "myoepithelial" is a word."""
    joined: list[str] = []
    for token in found:
        if joined and joined[-1] + token in index.words:
            joined[-1] += token
        else:
            joined.append(token)
    return tuple(joined)


def _gene_choices(genes: Sequence[str]) -> list[tuple[str, ...]]:
    """All genes, ever shorter beginnings of the list, each gene alone, none."""
    beginnings = [tuple(genes[:size]) for size in range(len(genes), 1, -1)]
    return [*beginnings, *((gene,) for gene in genes), ()]


@lru_cache(maxsize=16384)
def _mended(token: str, crosswalk: bool) -> tuple[str, ...]:
    return next(filter(None, _repairs(token, load_index(crosswalk=crosswalk))), (token,))


def _repairs(token: str, index: NameIndex) -> Iterator[tuple[str, ...] | None]:
    """Yield what an unknown word may stand for: a number glued on, an "h" for human, two words in one, a slip."""
    words = index.words
    if (glued := re.fullmatch(r"([a-z]{4,})(\d+)", token)) and words.keys() >= set(tokens(glued[1])):
        yield (*tokens(glued[1]), glued[2]) if tokens(glued[1]) else None
    if token[0] == "h" and tokens(token[1:]) != (token[1:],) and words.keys() >= set(tokens(token[1:])):
        yield tokens(token[1:])
    if not token.isalpha():
        return
    yield _cut(token, index) if len(token) >= 5 else None
    if len(token) >= 5:
        near = [word for word in words if word[0] == token[0]]
        yield tuple(difflib.get_close_matches(token, near, 1, _LIKE.get(len(token), 0.85)))
    yield _completed(token, index)


def _completed(token: str, index: NameIndex) -> tuple[str, ...] | None:
    """Take a word that is cut short for the commonest that begins so ("chond", "Epicard."), if most names have it."""
    longer = [word for word in index.beginning(token) if word.isalpha()] if len(token) >= _BEGINNING else []
    if not longer:
        return None
    best = max(longer, key=lambda word: (index.count(word), word))
    alike = sum(index.count(word) for word in longer if word.startswith(best[: len(token) + 2]))
    return (best,) if alike >= _ALIKE * sum(map(index.count, longer)) else None


def _mend(token: str, index: NameIndex) -> tuple[str, ...]:
    """Split words run together ("memoryt") and repair a slip of the pen ("patelet"), for unknown words only."""
    if is_gene(token) or token in index.words:
        return (token,)
    return _mended(token, bool(index.crosswalk))


def _cut(token: str, index: NameIndex) -> tuple[str, ...] | None:
    """Cut a word into known ones, the longest first; short ones count only where they name cells."""
    for size in range(len(token) - 1, 0, -1):
        head, tail = token[:size], token[size:]
        if (size < 4 and head not in _HEADS) or head not in index.words:
            continue
        if (len(tail) >= 4 or tail in _SHORT) and tail in index.words:
            return head, tail
        rest = _cut(tail, index) if len(tail) >= 5 else None
        if rest:
            return head, *rest
    return None


def _says(token: str) -> bool:
    return not (is_gene(token) or token in word_set("state") or token in word_set("organ"))


def implies_an_organ(found: Sequence[str], index: NameIndex, beside: Iterable[str] = ()) -> bool:
    """Whether a word means a term whose label names an organ that it does not: "alpha" is a cell of the pancreas.

    A whole name may, part of one ("MN-alpha") may not, unless words beside it name the organ ("alveolar pneumocyte").
    """
    hit = index.get(found) if sum(map(_says, found)) < 2 else None
    if hit is None:
        return False
    label = tokens(load_ontology().term(hit[0]).label)
    said = {loosen(token) or token for token in found}
    for words in map(str.split, meanings("context").values()):
        if not set(words).isdisjoint(beside):
            said.update(loosen(word) or word for word in words)
    # What a cell is derived from is not where it is ("naive thymus-derived CD4-positive, alpha-beta T cell").
    return "derived" not in label and any((loosen(word) or word) not in said for word in word_set("organ") & set(label))


def best_part(text: str, found: tuple[str, ...], index: NameIndex) -> Hit | None:
    """Find the heaviest known name whose words all stand in the given one, if it is most of it or holds its head.

    The head is what stands before "of", "in", "from" or "with", or else the last word (it weighs more) or the first.
    """
    # What a cell lacks ("CD3-") names no part of what it is.
    there = [token for token in found if not token.startswith("-")]
    mended = list(filter(None, (loosen(piece) for token in there for piece in _mend(token, index))))
    words = [token for token in mended if not is_gene(token) and token not in word_set("state")]
    if not words:
        return None
    before, *behind = re.split(r"\b(?:of|in|from|with)\b", text, maxsplit=1)
    emphasis = dict.fromkeys(loose_key(tokens(before)), 1.0) if behind else {words[0]: 1.0, words[-1]: 2.0}
    query, rare = frozenset(mended), max(index.words.values())
    weight = {word: emphasis.get(word, 0.8) * index.words.get(word, rare) for word in query}
    for word in query:
        weight[word] *= 1.0 if _says(word) else 0.4
    # Each name is filed under its rarest word, so that few are looked at; the id settles equal weights.
    filed = (entry for word in query for entry in index.by_word.get(word, ()))
    fits = [(key, cl_id) for key, cl_id in filed if _may_be_part(key, cl_id, query, found, index)]
    if not fits:
        return None
    ranked = [(sum(weight[part] for part in key), -len(key), cl_id, key) for key, cl_id in fits]
    heaviest = max(ranked, key=lambda one: one[:3])
    share = heaviest[0] / sum(weight.values())
    return (heaviest[2], "rule", 0.3 + 0.3 * share) if share >= 0.45 or heaviest[3] & emphasis.keys() else None


def _may_be_part(key: Key, cl_id: str, query: Key, found: tuple[str, ...], index: NameIndex) -> bool:
    """Whether a known name may stand for a part of a name: it says a cell, and nothing that the whole denies."""
    keep = word_set("keep")
    if not key <= query or key & keep != query & keep or ADJECTIVES.issuperset(key):
        return False
    if not names_a_cell(key) or contradicts(found, cl_id):
        return False
    return len(key) == len(query) or not implies_an_organ(tuple(key), index, found)


def names_a_cell(key: Key) -> bool:
    """Whether a key has a word of its own, not only genes, states, places and abbreviations of two or three letters."""
    return any(not is_gene(word) and (len(word) > 3 or word in _SHORT) for word in _own_words(key))


def _own_words(key: Key) -> Key:
    return key - word_set("state") - word_set("organ")
