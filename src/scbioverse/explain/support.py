"""Which known markers of a label the data bear out, and the sentence that says so."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..errors import InputError
from ..knowledge.markers import markers_for, marks_a_sibling
from ..knowledge.ontology import load_ontology
from ..knowledge.origins import ORIGINS, TUMOURS
from ..knowledge.phrases import canonical_phrase
from .expression import Expression, group_statistics
from .ranks import benjamini_hochberg

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

COLUMNS = [
    "group", "gene", "kind", "cl_id", "fraction_in", "fraction_out", "log_fold_change", "auc", "p_adj", "weight",
    "n_in", "n_out", "supported",
]  # fmt: skip
# An ancestor is named in a sentence only with fewer descendants, a larger area under the curve and so many times the
# fraction outside.
_BROADEST = 400
_CLEAR = 0.65
_TIMES = 1.5


@dataclass(frozen=True)
class Support:
    """When a gene counts as supporting a label. All conditions must hold.

    Attributes
    ----------
    min_fraction
        Least fraction of the group's cells that express the gene (value above 0). More must express it inside
        than outside, too.
    min_log_fold_change
        The log2 fold change must exceed this.
    max_p_adj
        The adjusted p must lie below this.
    min_cells
        Where the group or the rest has fewer cells, no test is made and the effect alone decides.
    """

    min_fraction: float = 0.1
    min_log_fold_change: float = 0.25
    max_p_adj: float = 0.01
    min_cells: int = 10


def group_evidence(
    X: Any,
    var_symbols: Sequence[str],
    groups: Any,
    labels: Mapping[Any, str | None],
    *,
    support: Support | None = None,
    max_genes: int = 60,
    max_genes_per_ancestor: int = 30,
    max_cells: int = 50_000,
) -> pd.DataFrame:
    """Test the known markers of each group's label, and of the label's ontology ancestors, in the data.

    Parameters
    ----------
    X
        Shape (n_cells, n_genes), sparse or dense, or an `Expression`: counts, which are brought to 10,000 per cell and
        log1p, or values
        that are logs already (told apart by fractional values). Non-negative.
    var_symbols
        Shape (n_genes,): gene names; older names are understood. Of repeated ones the first counts.
    groups
        Shape (n_cells,): categorical, or anything that :class:`pandas.Categorical` takes. Cells without a group are
        left out of everything.
    labels
        Group to Cell Ontology id; None for a group whose label is no known term.
    support
        Thresholds; the defaults of :class:`Support` if None.
    max_genes, max_genes_per_ancestor
        Markers tested: the strongest of the label itself and of each ancestor, as far as they are measured. An
        ancestor's marker that marks one of the label's siblings more is left out.
    max_cells
        With more, every k-th cell of each group is used.

    Returns
    -------
    One row per group and tested gene: `group`; `gene` (approved symbol); `kind` (`"self"`, `"ancestor"`, or
    `"origin"`: of tumour cells, which no gene marks, those of the types that they come from);
    `cl_id` (the term whose marker it is); `fraction_in`, `fraction_out` (cells that express it inside and outside
    the group); `log_fold_change` (log2 of mean expression per 10,000 inside over outside, 0.1 added to both);
    `auc` (probability that a cell inside exceeds one outside, ties half); `p_adj` (one-sided Mann-Whitney,
    Benjamini-Hochberg within the group; NaN without a test); `weight` (of the marker, see
    :func:`scbioverse.knowledge.load_markers`); `n_in`, `n_out` (cells); `supported`. Sorted by group, supported first,
    own markers first, then by falling `weight * purity * sqrt(fraction_in)`, where purity is the fraction inside over
    the sum of both fractions.

    With one group only there is nothing to compare with: `fraction_out` and what follows is NaN, nothing is supported.

    Raises
    ------
    InputError
        If shapes disagree or values are negative or not finite.
    """
    expression = X if isinstance(X, Expression) else Expression(X, var_symbols)
    cells = groups if isinstance(groups, pd.Categorical) else pd.Categorical(groups)
    if len(cells) != expression.n_cells:
        raise InputError(f"X has {expression.n_cells} cells, but there are {len(cells)} group entries")
    rows = _rows(np.asarray(cells.codes), max_cells)
    used, codes = np.unique(np.asarray(cells.codes)[rows], return_inverse=True)
    names = [cells.categories[code] for code in used]
    wanted = {
        name: _wanted(labels.get(name), expression.positions, max_genes, max_genes_per_ancestor) for name in names
    }
    genes = sorted({gene for table in wanted.values() for gene in table["gene"]})
    if not genes:
        return _empty()
    stats = group_statistics(expression.logs(genes, rows), codes, len(names))
    place = {gene: i for i, gene in enumerate(genes)}
    parts = [
        _group_rows(
            name, wanted[name], place, {key: value[..., k] for key, value in stats.items()}, support or Support()
        )
        for k, name in enumerate(names)
        if len(wanted[name])
    ]
    return pd.concat(parts, ignore_index=True)[COLUMNS]


def _rows(codes: NDArray[np.integer], max_cells: int) -> NDArray[np.intp]:
    grouped = np.flatnonzero(codes >= 0)
    if grouped.size <= max_cells:
        return grouped
    keep = []
    for code in np.unique(codes[grouped]):
        members = np.flatnonzero(codes == code)
        n = max(1, min(members.size, round(members.size * max_cells / grouped.size)))
        keep.append(members[np.linspace(0, members.size - 1, n).astype(int)])
    return np.sort(np.concatenate(keep))


def _wanted(cl_id: str | None, positions: dict[str, int], own: int, each: int) -> pd.DataFrame:
    if not cl_id or cl_id not in load_ontology():
        return markers_for("CL:0000000").head(0)
    if cl_id in TUMOURS:
        return _of_origins(positions, each)
    table = markers_for(cl_id, include="ancestors")
    elsewhere = [
        kind == "ancestor" and marks_a_sibling(gene, of, cl_id)
        for gene, of, kind in zip(table["gene"], table["cl_id"], table["kind"], strict=True)
    ]
    table = table[table["gene"].isin(positions) & ~np.array(elsewhere, dtype=bool)]
    place = table.groupby("cl_id").cumcount()
    return table[place < np.where(table["kind"] == "self", own, each)]


def _of_origins(positions: dict[str, int], each: int) -> pd.DataFrame:
    """Markers of each type that tumours come from; a gene that several have counts for the one it marks most."""
    table = pd.concat([markers_for(one) for one in ORIGINS]).sort_values("weight", ascending=False, kind="stable")
    table = table[table["gene"].isin(positions)].drop_duplicates("gene").assign(kind="origin")
    return table[table.groupby("cl_id").cumcount() < each]


def _group_rows(
    name: Any, wanted: pd.DataFrame, place: dict[str, int], stats: dict[str, NDArray[np.float64]], support: Support
) -> pd.DataFrame:
    rows = np.array([place[gene] for gene in wanted["gene"]])
    table = pd.DataFrame({"gene": wanted["gene"].to_numpy(), "kind": wanted["kind"].to_numpy()})
    table["group"], table["cl_id"], table["weight"] = name, wanted["cl_id"].to_numpy(), wanted["weight"].to_numpy()
    for key in ("fraction_in", "fraction_out", "log_fold_change", "auc"):
        table[key] = stats[key][rows]
    table["n_in"], table["n_out"] = int(stats["n_in"]), int(stats["n_out"])
    tested = min(stats["n_in"], stats["n_out"]) >= support.min_cells
    table["p_adj"] = benjamini_hochberg(stats["p"][rows]) if tested else np.nan
    # Comparisons with NaN (nothing outside) are False: nothing is supported then.
    table["supported"] = (
        (table["fraction_in"] >= support.min_fraction)
        & (table["fraction_in"] > table["fraction_out"])
        & (table["log_fold_change"] > support.min_log_fold_change)
        & ((table["p_adj"] < support.max_p_adj) if tested else True)
    )
    purity = table["fraction_in"] / (table["fraction_in"] + table["fraction_out"].fillna(0)).clip(lower=1e-9)
    strength = table["weight"] * purity * np.sqrt(table["fraction_in"])
    order = np.lexsort((table["gene"], -strength, table["kind"] != "self", ~table["supported"]))
    return table.iloc[order]


def _empty() -> pd.DataFrame:
    kinds = dict.fromkeys(COLUMNS, float) | {"group": object, "gene": object, "kind": object, "cl_id": object}
    return pd.DataFrame({name: pd.Series(dtype=kind) for name, kind in kinds.items()}).astype(
        {"n_in": int, "n_out": int, "supported": bool}
    )


def write_rationale(rows: pd.DataFrame, label: str, n_cells: int, *, max_own: int = 3, max_broader: int = 2) -> str:
    """Say in one readable sentence which markers support a label.

    Parameters
    ----------
    rows
        The group's part of :func:`group_evidence`.
    label
        Name of the label in the sentence.
    n_cells
        Cells with this label.
    max_own, max_broader
        Genes named at most: markers of the label, and of its ontology ancestors.

    Returns
    -------
    A sentence that names only supported genes, with the fraction of cells that express each inside and outside; or
    one that says why none is named.
    """
    if rows.empty:
        return f"No marker gene of {label} is known among the genes measured, so none was checked."
    if (rows["n_out"] == 0).all():
        return f"All {n_cells} cells have the label {label}, so there is nothing to compare them with."
    supported = rows[rows["supported"]]
    few = " Too few cells for a test: judged by the size of the difference alone." if rows["p_adj"].isna().all() else ""
    if (rows["kind"] == "origin").all():
        return _origin_sentence(supported, label, len(rows), max_own) + few
    if supported.empty:
        tested = "The one known marker" if len(rows) == 1 else f"None of the {len(rows)} known markers"
        verb = "does not set" if len(rows) == 1 else "sets"
        return f"{tested} of {label} and its broader types tested {verb} these cells apart from the others.{few}"
    own = supported[supported["kind"] == "self"].head(max_own)
    broader = _worth_naming(supported[supported["kind"] == "ancestor"]).head(max_broader if len(own) else max_own)
    if own.empty and broader.empty:
        return (
            f"Only weak markers of the broader types of {label} set these cells apart from the others, "
            f"and none of {label} itself.{few}"
        )
    parts = [f"{_listed(own, True)} {'marks' if len(own) == 1 else 'mark'} {label}"] if len(own) else []
    sentence = "; ".join([*parts, *_by_type(broader, "the broader type ", first=not parts)]) + "."
    if own.empty:
        sentence = f"{sentence[:-1]}, but no marker of {label} itself sets these cells apart."
    return sentence + few


def _origin_sentence(supported: pd.DataFrame, label: str, n_tested: int, most: int) -> str:
    """Reason for tumour cells, which rests on markers of the types that they come from."""
    named = supported[_clear(supported)].head(most)
    if named.empty:
        return (
            f"None of the {n_tested} markers tested of types that tumours come from clearly sets these cells apart "
            f"from the others, and no gene marks {label} itself."
        )
    return f"{'; '.join(_by_type(named, ''))}, from which tumours come; no gene marks {label} itself."


def _by_type(rows: pd.DataFrame, what: str, *, first: bool = True) -> list[str]:
    """One part of a sentence for each type that genes are markers of."""
    parts: list[str] = []
    for cl_id in dict.fromkeys(rows["cl_id"]):
        some = rows[rows["cl_id"] == cl_id]
        verb = "marks" if len(some) == 1 else "mark"
        parts.append(f"{_listed(some, first and not parts)} {verb} {what}{canonical_phrase(cl_id)}")
    return parts


def _clear(rows: pd.DataFrame) -> pd.Series:
    return (rows["auc"] >= _CLEAR) & (rows["fraction_in"] >= _TIMES * rows["fraction_out"])


def _worth_naming(rows: pd.DataFrame) -> pd.DataFrame:
    """Markers of ancestors that say something: a clear difference, and not of a type half the ontology belongs to."""
    ontology = load_ontology()
    narrow = [len(ontology.descendants(cl_id)) <= _BROADEST for cl_id in rows["cl_id"]]
    return rows[np.array(narrow, dtype=bool) & _clear(rows).to_numpy()]


def _listed(rows: pd.DataFrame, first: bool) -> str:
    said: list[str] = []
    for gene, inside, outside in zip(rows["gene"], rows["fraction_in"], rows["fraction_out"], strict=True):
        if first and not said:
            said.append(f"{gene} ({percent(inside)} of these cells, {percent(outside)} of others)")
        else:
            said.append(f"{gene} ({percent(inside)}, {percent(outside)})")
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])} and {said[-1]}"


def percent(fraction: float) -> str:
    """Write a fraction as whole percent; what is neither none nor all never reads as such."""
    whole = round(100 * fraction)
    if whole == 0 and fraction > 0:
        return "<1 %"
    return ">99 %" if whole == 100 and fraction < 1 else f"{whole} %"


_CITED = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*) \([<>]?\d+ %")


def cited_genes(sentence: str) -> list[str]:
    """Genes that a rationale names, in order."""
    return _CITED.findall(sentence)


def unsupported_genes(sentence: str, rows: pd.DataFrame) -> list[str]:
    """Genes that a rationale names and the evidence does not support; empty if the rationale holds."""
    supported = set(rows.loc[rows["supported"], "gene"])
    return [gene for gene in cited_genes(sentence) if gene not in supported]
