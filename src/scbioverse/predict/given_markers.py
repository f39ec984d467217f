"""Marker genes that a user gives for a label: read, checked, and said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .._logging import listed, logger, shown_name, warn
from ..errors import InputError
from ..knowledge import load_ontology
from ..knowledge.genes import harmonise, load_genes
from ..knowledge.markers import marker_genes
from ..knowledge.names.joined import nearest_common
from ..knowledge.names.resolver import Resolution, resolve_label
from ..knowledge.names.tokens import meanings

if TYPE_CHECKING:
    from ..io import Cells
    from ..knowledge.genes import GeneTable

_SHOWN = 6
# Behind a gene: cells lack it.
_LACKS = ("-", "⁻", "−")
# A name with the number of a cluster in front: what is left was found to be a type.
_CLUSTER = re.compile(r"\W*\d")
# Terms that share one with at most so many kinds say the same of a cell, more or less.
_KIN = 400
# From this score on a description is read as a whole, not by some of its words.
_READ = 0.5


def read_genes(name: str, value: Iterable[object]) -> tuple[str, ...]:
    """Approved symbols of the genes given for a label (symbols, older names, Ensembl ids), in their order, each once.

    An :class:`InputError` where there is none, one is no text, or none of them is a human gene; a warning where some
    are none, which are left out. `name` is the label, for messages.
    """
    names = list(value)
    if not names or not all(isinstance(one, str) and one.strip() for one in names):
        raise InputError(
            f"labels[{shown_name(name)!r}] is a list that is empty or holds what is no text; give gene names, such as "
            "['PDCD1', 'LAG3'], a Cell Ontology id or a description."
        )
    table = load_genes()
    # A plus behind a gene says what a list of markers says anyway.
    written = [str(one).strip().removesuffix("+") for one in names]
    if lacked := [one for one in written if one[-1:] in _LACKS and _symbol(one[:-1], table)]:
        have = [one for one in written if one not in lacked and _symbol(one, table)]
        raise InputError(
            f"labels[{shown_name(name)!r}] names genes that cells lack: {lacked[:_SHOWN]}. Only genes that they have "
            f"count for a label: {f'give {have[:_SHOWN]}' if have else 'give some'}, and other labels for the cells "
            "that have the lacking ones."
        )
    # People write genes of mouse case, too: a list of markers is a list of genes whatever the case.
    found = [_symbol(one, table) for one in written]
    lost = [shown_name(one) for one, hit in zip(written, found, strict=True) if hit is None]
    if len(lost) == len(names):
        raise InputError(
            f"labels[{shown_name(name)!r}]: none of {lost[:_SHOWN]} is a human gene known here. Give symbols or "
            "Ensembl ids; a description is passed as one string."
        )
    if lost:
        warn(
            f"labels[{shown_name(name)!r}]: {lost[:_SHOWN]} {'is no gene' if len(lost) == 1 else 'are no genes'} known "
            "here and left out."
        )
    return tuple(dict.fromkeys(filter(None, found)))


def genes_named(name: str, value: str) -> tuple[str, ...]:
    """Approved symbols that a meaning given as one text consists of, such as `"CD3D"`; empty where it says more.

    Genes are parted by spaces, `,`, `;`, `|`, `/`, `+` or "and". In small letters they are genes where one has a digit.
    What also names a cell type ("NK", "CD4", "RPE") is no gene here. An :class:`InputError` as of :func:`read_genes`.
    """
    words = [one for one in re.split(r"[\s,;|/+&]+", value) if one and one.lower() not in ("and", "or")]
    bare = [one.rstrip("".join(_LACKS)) for one in words]
    table = load_genes()
    if not words or any(len(one) < 2 or _symbol(one, table) is None for one in bare):
        return ()
    if value != value.upper() and not _in_capitals(bare) and not re.search(r"\d", value):
        return ()
    if any(found.cl_id is not None and found.how != "marker" for found in map(resolve_label, [value, *bare])):
        return ()
    genes = read_genes(name, words)
    logger.info("labels[%r]: %r is read as a list of marker genes", shown_name(name), shown_name(value))
    return genes


def _in_capitals(words: list[str]) -> bool:
    return all(one == one.upper() for one in words)


def says_itself(name: str, meaning: str | tuple[str, ...]) -> Resolution | None:
    """Return what a name means whose meaning a user gave as genes or a description; None where the meaning decides.

    The name counts where it is that of a type by itself, and its meaning says nothing else: some of the genes are
    markers of the type or of its kin. A letter ("B", "T") counts only where its meaning says the same. A warning where
    a name says one type, and its meaning another.
    """
    found = resolve_label(name)
    if found.cl_id is None or found.parts or not (found.how in ("id", "exact", "synonym") or _CLUSTER.match(name)):
        return None
    agrees = _agree(found.cl_id, meaning)
    if agrees is False and len(name) > 1:
        said = f"none of the genes given is a marker of {found.term_label}" if isinstance(meaning, tuple) else meaning
        warn(
            f"labels[{shown_name(name)!r}] is no {found.term_label} here, although its name says so: "
            f"{shown_name(said)}. What is given decides."
        )
    if agrees or (agrees is None and len(name) > 1):
        return found
    return None


def _agree(cl_id: str, meaning: str | tuple[str, ...]) -> bool | None:
    """Whether genes or a description say the same as a term; None where nothing is known."""
    if isinstance(meaning, tuple):
        known = set(marker_genes(cl_id, include="descendants"))
        share = sum(gene in known for gene in meaning) / len(meaning)
        # Tables of markers have slips: one gene of two is no proof.
        return None if not known or 0 < share <= 0.5 else share > 0
    found = resolve_label(meaning)
    if found.cl_id is None:
        return None
    shared = nearest_common([cl_id, found.cl_id])
    near = shared is not None and len(load_ontology().descendants(shared)) <= _KIN
    # A long text is read by a part of it: that it seems to say something else is no proof.
    return True if near else (False if found.score >= _READ else None)


def _symbol(name: str, table: GeneTable) -> str | None:
    # "CD20", "PD1": gene tables give some names of surface proteins to several genes or to none.
    surface = meanings("surface").get(name.upper())
    return surface or table.symbol(name) or table.symbol(name.upper())


def in_words(genes: tuple[str, ...]) -> str:
    """Describe a cell by the genes given for it."""
    return f"a cell that expresses {listed(genes)}"


def warn_of_unread(given: Mapping[str, Sequence[str]], cells: Cells, read: Iterable[str]) -> None:
    """Warn of genes given for labels, by label, that are not measured or not among those that a model `read`s."""
    here = {one for one in harmonise(cells.names) if one} & set(read)
    without = {name: [gene for gene in genes if gene not in here] for name, genes in given.items()}
    none = [shown_name(name) for name, genes in given.items() if len(without[name]) == len(genes)]
    some = [f"{shown_name(name)}: {', '.join(without[name][:_SHOWN])}" for name in given if without[name]]
    if some:
        silent = f" For {', '.join(none)} none is left: the genes given say nothing there." if none else ""
        warn(
            f"marker genes given for labels are not measured here, or not among the genes that the model reads "
            f"({'; '.join(some[:_SHOWN])}).{silent}"
        )
