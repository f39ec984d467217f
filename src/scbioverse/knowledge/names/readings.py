"""Ever shorter readings of a name that leads nowhere as it stands."""

from __future__ import annotations

import difflib
import re
from functools import lru_cache
from typing import TYPE_CHECKING

from ..ontology import load_ontology
from .index import Hit, Key, NameIndex, is_bare, load_index
from .tokens import is_gene, loose_key, loosen, tokens
from .words import meanings, word_set

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_T_GENES = frozenset({"+CD4", "+CD8A", "+CD8B"})


def contradicts(found: tuple[str, ...], cl_id: str) -> bool:
    """Whether a CD4 name led to a CD8 T cell or the other way round."""
    ontology = load_ontology()
    for gene, other in (("+CD4", "CL:0000625"), ("+CD8A", "CL:0000624")):
        if gene in found and (cl_id == other or ontology.is_ancestor(other, cl_id)):
            return len(_T_GENES & set(found)) < 2
    return False


def without_restated(found: tuple[str, ...]) -> tuple[str, ...]:
    """Drop surface proteins that only restate the word beside them: "CD19+ B" is "B"."""
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
    words = tuple(token for token in found if not is_gene(token))
    plain = tuple(token for token in words if token not in word_set("state"))
    placeless = tuple(token for token in plain if token not in word_set("organ"))
    numberless = tuple(token for token in placeless if len(token) > 2 or token in ("t", "b"))
    known = tuple(token for token in numberless if token in index.words)
    for core, score in ((words, 0.8), (plain, 0.75), (placeless, 0.7), (numberless, 0.65), (known, 0.5)):
        for chosen in _gene_choices(genes):
            reading = (*chosen, *core)
            if is_bare(frozenset(reading)):
                continue
            if _T_GENES & set(chosen) and "t" not in core:
                yield (*reading, "t"), score
            yield reading, score


def _joined(found: tuple[str, ...], index: NameIndex) -> tuple[str, ...]:
    """Put together what a hyphen cut: ("myo", "epithelial") where "myoepithelial" is a word."""
    joined: list[str] = []
    for token in found:
        if joined and joined[-1] + token in index.words:
            joined[-1] += token
        else:
            joined.append(token)
    return tuple(joined)


def _gene_choices(genes: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """Yield all genes, ever shorter beginnings of the list, each gene alone, none."""
    for size in range(len(genes), 1, -1):
        yield tuple(genes[:size])
    yield from ((gene,) for gene in genes)
    yield ()


@lru_cache(maxsize=16384)
def _mended(token: str, crosswalk: bool) -> tuple[str, ...]:
    index = load_index(crosswalk=crosswalk)
    glued = re.fullmatch(r"([a-z]{4,})(\d+)", token)
    if glued and glued[1] in index.words:
        return glued[1], glued[2]
    bare = tokens(token[1:]) if token[0] == "h" and len(token) > 2 else ()
    if bare and bare != (token[1:],) and all(word in index.words for word in bare):
        return bare
    if len(token) >= 5 and token.isalpha():
        cut = _cut(token, index)
        if cut:
            return cut
    if len(token) >= 6 and token.isalpha():
        near = difflib.get_close_matches(token, [word for word in index.words if word[0] == token[0]], 1, 0.88)
        if near:
            return (near[0],)
    return (token,)


def _mend(token: str, index: NameIndex) -> tuple[str, ...]:
    """Split words run together ("memoryt") and repair a slip of the pen ("patelet"), for unknown words only."""
    if is_gene(token) or token in index.words:
        return (token,)
    return _mended(token, bool(index.crosswalk))


def _cut(token: str, index: NameIndex) -> tuple[str, ...] | None:
    for size in range(len(token) - 1, 0, -1):
        head, tail = token[:size], token[size:]
        if (len(head) < 4 and head not in ("t", "b", "nk")) or head not in index.words:
            continue
        if (len(tail) >= 4 or tail in ("t", "b")) and tail in index.words:
            return head, tail
        rest = _cut(tail, index) if len(tail) >= 5 else None
        if rest:
            return head, *rest
    return None


def best_part(text: str, found: tuple[str, ...], index: NameIndex) -> Hit | None:
    """Find the heaviest known name whose words all stand in the given one, if it is most of it or holds its head.

    The head is what stands before "of", "in", "from" or "with", or else the last word (it weighs more) or the first.
    """
    mended = [loosen(piece) for token in found for piece in _mend(token, index) if not token.startswith("-")]
    query = frozenset(token for token in mended if token)
    words = [token for token in mended if token and not is_gene(token) and token not in word_set("state")]
    if not words:
        return None
    before = re.split(r"\b(?:of|in|from|with)\b", text, maxsplit=1)
    head = loose_key(tokens(before[0])) if len(before) > 1 else frozenset((words[0], words[-1]))
    rare = max(index.words.values())
    minor = word_set("state") | word_set("organ")
    weight = {
        word: (0.4 if is_gene(word) or word in minor else 1.0)
        * (2.0 if word == words[-1] and len(before) == 1 else 1.0 if word in head else 0.8)
        * index.words.get(word, rare)
        for word in query
    }
    total = sum(weight.values())
    keep = word_set("keep")
    best: tuple[float, int, str, Key] | None = None
    for word in query:
        for key, cl_id in index.by_word.get(word, ()):
            if key <= query and key & keep == query & keep and names_a_cell(key) and not contradicts(found, cl_id):
                rank = (sum(weight[part] for part in key), -len(key), cl_id, key)
                best = rank if best is None or rank[:3] > best[:3] else best
    if best is None:
        return None
    share = best[0] / total
    return (best[2], "rule", 0.3 + 0.3 * share) if share >= 0.45 or best[3] & head else None


def names_a_cell(key: Key) -> bool:
    """Whether a key has a word of its own, not only genes, states, places and abbreviations of two or three letters."""
    return any(
        not is_gene(word)
        and word not in word_set("state")
        and word not in word_set("organ")
        and (len(word) > 3 or word in ("t", "b"))
        for word in key
    )


def says_something(key: Key) -> bool:
    """Whether a key holds more than states, places and letters, so that it may be bundled as a name."""
    return any(len(word) > 2 and word not in word_set("state") and word not in word_set("organ") for word in key)
