"""Marker genes that a user gives for a label: read, checked, and said."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from .._logging import listed, logger, shown_name, warn
from ..errors import InputError
from ..knowledge.genes import harmonise, load_genes
from ..knowledge.names.resolver import resolve_label
from ..knowledge.names.tokens import meanings

if TYPE_CHECKING:
    from ..io import Cells
    from ..knowledge.genes import GeneTable

_SHOWN = 6


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
    written = [str(one).strip() for one in names]
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

    What also names a cell type ("NK", "CD4", "RPE") is no gene here, and genes are written in capitals.
    """
    words = [one for one in re.split(r"[\s,;+]+", value) if one]
    table = load_genes()
    if not words or any(one != one.upper() or len(one) < 2 or _symbol(one, table) is None for one in words):
        return ()
    if any(found.cl_id is not None and found.how != "marker" for found in map(resolve_label, [value, *words])):
        return ()
    genes = read_genes(name, words)
    logger.info("labels[%r]: %r is read as a list of marker genes", shown_name(name), shown_name(value))
    return genes


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
