"""Roles and classes that a molecule's caption names, in the style of ChEBI, and how well two sets agree."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..errors import InputError
from ..knowledge.captions import named_classes, named_roles

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence


def extract_roles(caption: str) -> frozenset[str]:
    """Read the roles from sentences such as "It has a role as a plant metabolite and an antioxidant.".

    Parameters
    ----------
    caption
        A caption in ChEBI's style.

    Returns
    -------
    Lower-case names without their article.

    Examples
    --------
    >>> sorted(extract_roles("It has a role as an EC 3.1.1.7 inhibitor and a drug."))
    ['drug', 'ec 3.1.1.7 inhibitor']
    """
    return named_roles(caption)


def extract_classes(caption: str) -> frozenset[str]:
    """Read the chemical classes from sentences such as "It is a member of phenols, an ether and an ester.".

    The defining first sentence ("The molecule is a ...") and relations to other molecules ("It is a conjugate base of
    ...") are not read.

    Parameters
    ----------
    caption
        A caption in ChEBI's style.

    Returns
    -------
    Lower-case names without article and without "member of".

    Examples
    --------
    >>> sorted(extract_classes("It is a member of phenols and an ester. It is an enantiomer of a D-ethionine."))
    ['ester', 'phenols']
    """
    return named_classes(caption)


def set_agreement(predicted: Sequence[Collection[str]], expected: Sequence[Collection[str]]) -> dict[str, float]:
    """Compare predicted with expected sets, over rows in which something is expected.

    Parameters
    ----------
    predicted
        One set a row.
    expected
        One set a row, in the same order.

    Returns
    -------
    `exact`, share of rows whose sets are equal; `precision`, `recall` and `f1`, over all names together (0 where there
    are none); `n_rows`, the rows compared.

    Raises
    ------
    InputError
        The lists differ in length, or nothing is expected in any row.
    """
    if len(predicted) != len(expected):
        raise InputError(f"found {len(predicted)} predicted and {len(expected)} expected sets")
    rows = [(set(a), set(b)) for a, b in zip(predicted, expected, strict=True) if b]
    if not rows:
        raise InputError("nothing is expected in any row: there is nothing to compare")
    hits = sum(len(a & b) for a, b in rows)
    named, wanted = sum(len(a) for a, _ in rows), sum(len(b) for _, b in rows)
    return {
        "exact": sum(a == b for a, b in rows) / len(rows),
        "precision": hits / named if named else 0.0,
        "recall": hits / wanted,
        "f1": 2 * hits / (named + wanted),
        "n_rows": len(rows),
    }
