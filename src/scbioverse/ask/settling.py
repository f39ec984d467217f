"""What words say of each other, settled before anyone reads them: the rules of the kind SETTLE in `data/joins.txt`.

Each takes the links that stand side by side and the names of the data, and returns what stands in their place; the
links themselves where they say something else.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .query import in_column
from .words import Link, joined, pick, without

if TYPE_CHECKING:
    from .link import Names

    Links = list[Link]


def unsaid(links: Links, _: Names, said: str) -> Links:
    """Leave out words that say nothing where they stand so."""
    return [] if " ".join(one.key for one in links).replace(" ", "_") in said.split("|") else links


def listed_genes(links: Links, _: Names) -> Links:
    """Read "all three genes CD3D, LYZ and PPBP" as all of the genes, where they are three."""
    at = next(i for i, one in enumerate(links) if one.role == "FIELD")
    front, fields = links[:at], pick(links[at:], "FIELD")
    if any(one.value != len(fields) for one in pick(front, "NUM")):
        return [joined(links, "MIXED")]
    quantifiers = pick(front, "ALL", "BOTH", "EITHER", "NEITHER", "ALLOF")
    return [*(one.but("BOTH") if one.role == "ALL" else one for one in quantifiers), *links[at:]]


def share_behind(links: Links, _: Names) -> Links:
    """Read "in donor2, B cells make up what percentage" as the percentage of B cells in donor2."""
    at = next(i for i, one in enumerate(links) if one.role == "COMMA")
    return [*pick(links, "SHARE"), Link("OF", "of"), links[at + 1], Link("IN", "in"), *links[1:at]]


def often_of_its(links: Links, _: Names) -> Links:
    """Leave out "in percent of its cells" behind "most often"."""
    return without(links[:-5], "COMMA") if len(links) > 5 else links


def often_positive(links: Links, _: Names) -> Links:
    """Read "is most often positive for LYZ" as "expresses LYZ most often": a share of the cells."""
    top, often, verb, gene = links[1:]
    return [verb.but("HAVE" if verb.role == "HAVING" else "LACK"), gene, top, often]


def one_column(links: Links, _: Names) -> Links:
    """Read "leiden cluster" as the one column that both words name."""
    first, second = links
    return [second] if first.value == second.value else links


def each_group(links: Links, _: Names) -> Links:
    """Read "how many cells does each of the types have", "a breakdown across all types" as by type."""
    return [*without(links[:-1], "ALLOF", "EVERYWHERE", "BE"), Link("BY", "per"), links[-1]]


def second_number(links: Links, _: Names) -> Links:
    """Read "in ctrl and how many are in stim" as "in ctrl and in stim", where both are of one column."""
    first, second = pick(links, "WHERE")
    alike = first.value.fields() == second.value.fields()
    inside = Link("IN", "in")
    return [inside, first, Link("AND", "and"), inside, second] if alike else links


def topic(links: Links, _: Names) -> Links:
    """Read "the mean depth by type, which one is highest" as "which type has the highest mean depth"."""
    at = next(i for i, one in enumerate(links) if one.role == "COMMA")
    front, asked = links[:at], links[at:]
    column = pick(front, "COLUMN")[0]
    if any(one.value != column.value for one in pick(asked, "COLUMN")):
        return links
    number = without(front, "COMPARE", "IN", "WHEN", "LIST", "BY", "COLUMN", "THEM", "BE")
    number = number[:-1] if number and number[-1].role == "HAVE" else number  # "how many cells they contain"
    if [one.role for one in number if one.role != "ROWS"] == ["COUNT"]:
        number = [Link("ROWS", "rows")]
    top = pick(asked, "TOP", "SIZETOP") or [Link("TOP", "most", "most")]
    return [Link("WHICH", "which"), column, Link("HAVE", "has"), *pick(asked, "ORD"), *top, *number]


def for_each(links: Links, _: Names) -> Links:
    """Read "for every CD8 T cell, how many CD4 T cells are there" as the number of these for each of those."""
    return [links[3], links[4], links[0], links[1]]


def ratio_over(links: Links, _: Names) -> Links:
    """Read "the ratio of CD4 T cells over CD8 T cells" as of the first to the second."""
    (over,) = pick(links, "BOUND")
    one, other = pick(links, "WHERE")
    return [links[0], Link("OF", "of"), one, Link("TO", "to"), other] if over.key == "over" else links


def of_its_kinds(links: Links, _: Names) -> Links:
    """Read "are plasma cells among the cell types", "is it one of the types" as whether there are any."""
    where, column = pick(links, "WHERE")[0], links[-1]
    one_of = all(one.value == 1 for one in pick(links, "NUM"))
    mine = one_of and where.value.fields() == {f"obs:{column.value}"}
    return [links[0], where, Link("SEEN", "present")] if mine else links


def type_groups(links: Links, names: Names) -> Links:
    """Read "T cell clusters", "which clusters are T cell clusters" as the clusters that are T cells."""
    where, column = links[-2:]
    before = pick(links[:-2], "COLUMN")
    if not names.rows.of_types(where.value) or column.value in names.rows.types:
        return links
    if any(one.value != column.value for one in before):
        return links
    return [Link("WHICH", "which"), column, Link("BE", "are"), where]


def kinds_of(links: Links, names: Names) -> Links:
    """Read "the number of T cell subsets" as the number of types that are T cells, not as that of the cells."""
    where, column = links[-2:]
    # "The size of the T cell population" is that of its cells.
    several = column.key.endswith("s") and not links[0].key.startswith("size")
    mine = several and column.value in names.rows.types and names.rows.of_types(where.value)
    return [links[0], column, Link("HAVE", "have"), where] if mine else links


def is_group(links: Links, _: Names) -> Links:
    """Read "is cluster 3 the B cell cluster" as whether it is B cells."""
    named, column = links[1:-2], links[-1]
    mine = named[0].role == "COLUMN" and named[0].value == column.value
    return links[:-1] if mine else links


def its_groups(links: Links, names: Names) -> Links:
    """Read "by condition (stim versus ctrl)" as by condition, where these are all its groups."""
    column, groups = pick(links, "COLUMN")[0], pick(links, "WHERE")
    fields, held = {f"obs:{column.value}"}, names.rows.groups(column.value).names
    mine = all(one.value.op == "is" and one.value.fields() == fields for one in groups)
    named = [value for one in groups for value in one.value.values] if mine else []
    return [links[0], column] if mine and {*map(str, named)} == {*held} else links


def its_two(links: Links, names: Names) -> Links:
    """Read "the two conditions, ctrl and stim" as the two groups."""
    number, column, groups = links[0], links[1], pick(links, "WHERE")
    held = {*names.rows.groups(column.value).names}
    named = {str(value) for one in groups for value in one.value.values}
    return links[3:] if number.value == len(groups) and named <= held else links


def counted_groups(links: Links, _: Names) -> Links:
    """Read "the cell types with their cell counts" as the number of each."""
    column, number = pick(links, "COLUMN")[0], pick(links, "COUNT", "SHARE")[0]
    return [number, Link("OF", "of"), Link("ROWS", "rows"), Link("BY", "per"), column]


def all_dual(links: Links, _: Names) -> Links:
    """Read "CD3D+ CD8A+ double positive" as having both: the signs say it once more."""
    kinds = {one.role for one in pick(links[:-1], "POS", "NEG")}
    fields, many = pick(links, "FIELD"), {"double": 2, "dual": 2, "triple": 3, "quadruple": 4}
    number = many.get(links[-1].key.split()[0], 0)
    if len(fields) != number or kinds - {"POS" if links[-1].role == "DUAL" else "NEG"}:
        return links
    return [*fields, links[-1]]


def all_absent(links: Links, _: Names) -> Links:
    """Read "CD3D and LYZ are all undetected" as having neither."""
    return [Link("LACK", links[-1].said), Link("BOTH", "both"), *without(links, "DO", "BE", "ALL", "ABSENT")]


def all_of_them_named(links: Links, _: Names) -> Links:
    """Read "CD3D, LYZ and PPBP, all three" as having all of them, where they are three."""
    last = links[-1]
    quantifier = links[-2] if last.role == "NUM" else last
    fields = pick(links, "FIELD")
    two = quantifier.role == "BOTH" and len(fields) == 2 and quantifier is last
    named = last.role == "NUM" and last.value == len(fields)
    listed = links[: links.index(fields[-1]) + 1]
    return [quantifier.but("BOTH"), *listed] if two or named or last.role == "ALL" else links


def as_share(links: Links, _: Names) -> Links:
    """Read "stim B cells as a share of B cells" as the share of B cells that are stim B cells."""
    at = next(i for i, one in enumerate(links) if one.role == "AS")
    part = without(links[:at], "LIST", "WHAT", "BE", "THERE")
    return [links[at + 1], Link("OF", "of"), *links[at + 3 :], Link("BE", "are"), *part]


def any_seen(links: Links, names: Names) -> Links:
    """Read "find even one cell with CD3D" as whether there is one: single cells are not listed."""
    asks = [Link("BE", "are"), Link("THERE", "there"), links[-1]]
    return asks if names.rows.noun == "cell" else links


def total_of_genes(links: Links, names: Names) -> Links:
    """Read "the total count of genes" as their number: of cells it is that of their molecules."""
    mine = links[0].value == names.rows.usual("total_counts") and links[0].key.startswith("total")
    return [links[0].but("COUNT", value=None), *links[1:]] if mine else links


def all_its_kinds(links: Links, names: Names) -> Links:
    """Leave out "naive and memory" behind "CD4 T cells", where each label of these is one of the two."""
    where, said = links[0].value, {one.key for one in pick(links, "?")}
    others = [one for one in pick(links[1:], "WHERE") if one.value != where]
    column = names.type_column
    if others or column is None or where.fields() != {f"obs:{column}"}:
        return links
    rows = names.rows
    labels = [one for one in rows.groups(column).names if rows.mask(where)[rows.mask(in_column(column, one))].any()]
    told = [said.intersection(one.lower().split()) for one in labels]
    covered = {*map(len, told)} == {1} and set().union(*told) == said
    return links[:1] if len(labels) > 1 and covered else links


def number_of_groups(links: Links, _: Names) -> Links:
    """Read "donor count?" as how many donors there are; "donor counts" are those of each."""
    return [links[-1], links[-2]] if links[-1].key in ("count", "number", "tally") else links


def on_and_off(links: Links, _: Names) -> Links:
    """Read "GZMK on and GZMB off" as GZMK and not GZMB."""
    first, last = pick(links, "FIELD")
    switches = [one for one in (links[1], links[-1]) if one.role == "OFF" or one.key == "on"]
    if len(switches) < 2 or switches[0].role == switches[1].role:
        return links
    on, off = (first, last) if links[-1].role == "OFF" else (last, first)
    return [on, Link("AND", "and"), Link("NOT", "not"), off]


def present(links: Links, _: Names) -> Links:
    """Read "plasma cells present?" as whether there are some."""
    asks = links[-1].key in ("present", "found", "detected", "seen", "observed")
    return [Link("BE", "are"), Link("THERE", "there"), links[0]] if asks else links


def of_its_two(links: Links, _: Names) -> Links:
    """Read "which donor has more T cells, donor1 or donor2" as which of the two has more."""
    column = pick(links, "COLUMN")[0]
    mine = all(one.value.fields() == {f"obs:{column.value}"} for one in (links[-3], links[-1]))
    return without([one for one in links if one is not column], "OF", "ALL") if mine else links


def its_number(links: Links, _: Names) -> Links:
    """Read "how many groups does condition have" as how many conditions there are."""
    return [links[0], links[-2]] if links[1].key in ("group", "groups", "value", "values", "levels") else links


def if_so(links: Links, _: Names) -> Links:
    """Read "are there NK cells in donor1, and if so how many" as how many there are: none is a no."""
    at = max(i for i, one in enumerate(links) if one.role == "COMMA")
    return [pick(links[at:], "COUNT")[0], *without(links[1:at], "ANY", "THERE")]
