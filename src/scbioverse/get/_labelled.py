"""Tables of what `annotate` recorded, and of what `obs` holds now: rows may have been cut, joined or renamed since."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np
import pandas as pd

from .._docs import documented
from .._logging import and_more, shown_name, warn
from .._slots import Slots, anndata_of, read_record, records_of, slot_of
from ..errors import InputError, MissingKeyError, check_columns
from ..io import Cells, var_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from anndata import AnnData

_SHOWN = 5


class Labelled(NamedTuple):
    """Data that :func:`scbioverse.tl.annotate` wrote to, and the names of the slots it filled."""

    adata: AnnData
    slots: Slots

    @classmethod
    def of(cls, data: Any, key: str | None, *needed: str) -> Self:
        """Return an AnnData, or the part of a MuData with the labels, and the slots of a stem, the usual one if None.

        A :class:`MissingKeyError` where one of the slots `needed`, by name, is not in `obs`.
        """
        slots = Slots() if key is None else Slots(key)
        adata = anndata_of(data, holds=slots.label)
        advice = f"Run scbioverse.tl.annotate(adata, key_added={slots.key!r}) first."
        check_columns(adata.obs, [getattr(slots, name) for name in needed], advice)
        return cls(adata, slots)

    @property
    def step(self) -> str:
        """Name of the record of `annotate`."""
        return self.slots.step("annotate")

    def record(self) -> dict[str, Any]:
        """Return the record of `annotate`; where it went lost but labels are there, say how."""
        if self.step not in records_of(self.adata) and self.slots.label in self.adata.obs:
            raise MissingKeyError(
                f"adata.obs[{self.slots.label!r}] holds labels, but their record in adata.uns is gone, as after "
                "anndata.concat, which drops uns. Join with uns_merge='first' or 'unique', or annotate again. "
                "scbioverse.get.labels and scbioverse.get.annotation read obs alone."
            )
        return read_record(self.adata, self.step)

    def noted(self, field: str) -> Any:
        """Return a field of the record of `annotate`; None where there is none."""
        return read_record(self.adata, self.step).get(field) if self.step in records_of(self.adata) else None

    @property
    def embedding(self) -> str:
        """Slot of `obsm` with the embedding that `annotate` read, which may bear another stem."""
        return self.noted("embedding") or self.slots.embedding()

    def cells(self, layer: str | None, key: str | None) -> Cells:
        """Return the cells as they are in a layer, with names of genes from a column of `var`.

        Where neither is named, as `annotate` read them, if what it read is still there.
        """
        if layer is None and key is None:
            layer, key = self.noted("layer"), self.noted("key")
            raw = ["raw"] * (self.adata.raw is not None)
            layer = layer if layer in [*self.adata.layers, *raw] else None
            key = key if key in var_of(self.adata, layer) else None
        return Cells.of(self.adata, layer, key)

    @property
    def n_corrected(self) -> int:
        """Rows whose label was set by hand, on the page of :func:`scbioverse.serve`."""
        set_by_hand = self.adata.obs.get(f"{self.slots.label}_corrected", pd.Series(dtype=bool))
        return int((set_by_hand == True).sum())  # noqa: E712  missing values are not

    def labels(self) -> pd.Series:
        """Label of every row as text, NaN where there is none."""
        return texts(self.of(self.adata, self.slots.key, "label").adata.obs[self.slots.label])

    def ids(self) -> dict[str, str]:
        """Cell Ontology id of each label that has one."""
        ids = self.adata.obs.get(self.slots.cl_id, pd.Series("", index=self.adata.obs.index)).astype(object)
        pairs = pd.DataFrame({"name": self.labels().to_numpy(), "id": ids.to_numpy()}).dropna()
        return {name: str(cl_id) for name, cl_id in pairs.drop_duplicates("name").to_numpy() if cl_id}

    def counts(self) -> dict[str, int]:
        """Rows of each label, the most frequent first."""
        return {str(name): int(n) for name, n in self.labels().dropna().value_counts().items()}

    def warn_of_changes(self, what: str) -> None:
        """Warn where the labels in `obs` are not those that were recorded, since `what` is of the recorded ones."""
        then = self.noted("n_labelled")
        if then is None or self.slots.label not in self.adata.obs:
            return  # nothing says what the labels were
        now = self.counts()
        if now == then:
            return
        gone, new = [name for name in then if name not in now], [name for name in now if name not in then]
        warn(
            f"adata.obs[{self.slots.label!r}] has changed since scbioverse.tl.annotate wrote it "
            f"({sum(now.values())} labelled rows now, {sum(then.values())} then; names that no row has any more: "
            f"{named(gone)}; new names: {named(new)}): {what} is of the rows and names at that time. Annotate again to "
            "have it of those here."
        )

    def groups(self, record: dict[str, Any], then: pd.DataFrame) -> pd.DataFrame:
        """Return the recorded groups as their rows are now: one row for each label that a group holds."""
        obs, groupby = self.adata.obs, record.get("groupby")
        if groupby not in obs:
            raise MissingKeyError(
                f"adata.obs has no column {groupby!r} any more, whose groups were labelled. What was found then is in "
                f"scbioverse.get.records(adata)[{self.step!r}]['groups']."
            )
        # By position: names of rows may repeat.
        rows = pd.DataFrame({"group": _group_names(obs, record), "label": self.labels().to_numpy()})
        rows["confidence"] = obs[self.slots.confidence].to_numpy() if self.slots.confidence in obs else np.nan
        held = rows.dropna(subset=["group", "label"]).groupby(["group", "label"], sort=False)["confidence"]
        now = held.agg(n="size", confidence="mean").reset_index()
        now["confidence"] = now["confidence"].astype(float).round(6)
        # As it was: still one label, of as many rows. What else is known of the group then still holds.
        single = now[~now["group"].duplicated(keep=False)]
        same = set(single.merge(then, on=["group", "n", "label"])["group"])
        order = {name: at for at, name in enumerate(dict.fromkeys([*then["group"], *now["group"]]))}
        if changed := [name for name in order if name not in same]:
            warn(
                f"groups of adata.obs[{groupby!r}] are not as scbioverse.tl.annotate left them ({named(changed)}): n, "
                "label and confidence are those in obs now, and the agreement is "
                "not known. Annotate again to have it."
            )
        # An empty table would turn numbers into objects.
        parts = [one for one in (then[then["group"].isin(same)], now[~now["group"].isin(same)]) if len(one)]
        table = pd.concat(parts or [then.head(0)]).reindex(columns=then.columns)
        return table.sort_values("group", key=lambda names: names.map(order), kind="stable", ignore_index=True)


def texts(column: pd.Series) -> pd.Series:
    """Values of a column as text, NaN where there is none."""
    return column.astype(object).map(str, na_action="ignore")


def named(names: Iterable[str]) -> str:
    """Name a few, or say that there is none."""
    return and_more([repr(shown_name(name)) for name in names], _SHOWN) or "none"


def _group_names(obs: pd.DataFrame, record: dict[str, Any]) -> pd.Series:
    """Each row's group as :func:`scbioverse.tl.annotate` names it; NaN for rows without one."""
    groups = texts(obs[record["groupby"]]).reset_index(drop=True)
    split = [(one["group"], one["sample"]) for one in record.get("samples") or () if not one["harmonised"]]
    sample_key = record.get("sample_key")
    if not split or sample_key not in obs:
        return groups
    samples = texts(obs[sample_key]).fillna("no sample").reset_index(drop=True)
    alone = pd.MultiIndex.from_arrays([groups, samples]).isin(split)
    return groups.where(~alone, groups + " [" + samples + "]")


_COLUMNS = ["name", "cl_id", "term", "how", "because", "description", "genes", "column"]
_GROUPS = ["group", "n", "label", "confidence", "agreement"]
_NUMBERS = ["fraction_in", "fraction_out", "log_fold_change", "p"]
_VOTES = ["group", "sample", "n", "own_label", "confidence", "share", "harmonised"]
NOT_RECORDED = "not recorded"
_DOCS = {
    "given": """\
Parameters
----------
adata, key
    Data that :func:`scbioverse.tl.annotate` wrote to, and the stem that `key_added` was.""",
    "raises": """\
Raises
------
MissingKeyError
    There are no annotations with this stem.""",
    "warns": """\
Warns
-----
UserWarning
    The labels in `obs` have changed since: the table is of the data as they were annotated.""",
}


@documented(**_DOCS)
def annotation(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Label, confidence, ontology id and reason of every row.

    {given}

    Returns
    -------
    One row an observation: `label`, `confidence` (0 to 1), `cl_id`, `rationale`.

    {raises}
    """
    columns = ("label", "confidence", "cl_id", "rationale")
    held, slots = Labelled.of(adata, key, *columns)
    return pd.DataFrame({name: held.obs[getattr(slots, name)] for name in columns}, index=held.obs.index)


@documented(**_DOCS)
def labels(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return the labels: the candidates and what each was taken for, and whatever else `obs` holds now.

    {given}

    Returns
    -------
    One row a candidate: `name` as given, `cl_id`, `term` (the ontology's name), `how` it was resolved, `because` of
    which other names where it has several readings, or of its parts where it names several types ("B/Plasma"),
    `description` and `genes` that were given for it, `column` in the score table, and `n`, the rows that have this
    label now.
    Then one row for every other label in `obs`, so that `n` sums to the labelled rows; `how` is `"parent"` of a term
    that candidates share, `"unknown"` of rows that none was found for, and `"not recorded"` of names that the last
    annotation did not give: renamed categories, rows joined from other data.

    {raises}
    """
    found = Labelled.of(adata, key, "label")
    counts, recorded = found.counts(), found.noted("labels") or []  # of data that were joined obs alone tells
    parents = {one["name"]: {**one, "how": "parent"} for one in found.noted("parents") or ()}
    known = {one["name"] for one in recorded}
    others = [parents.get(name) or _other(found, name) for name in counts if name not in known]
    table = pd.DataFrame([*recorded, *others], columns=_COLUMNS)
    # Of most labels there is nothing to say here, and no record of it.
    table["because"] = table["because"].astype(object).fillna("")
    table["genes"] = table["genes"].astype(object).map(", ".join, na_action="ignore").fillna("")
    # Of obs as it is, so that it sums to the labelled rows whatever was renamed.
    return table.assign(n=table["name"].map(counts).fillna(0).astype(int))


def _other(found: Labelled, name: str) -> dict[str, Any]:
    """Return what `obs` tells of a label that was not recorded."""
    obs, slot = found.adata.obs, found.slots.cl_id
    ids = set(obs[slot][(found.labels() == name).to_numpy()].dropna().astype(str)) if slot in obs else set()
    unknown = name.startswith("unknown") and not ids - {""}
    cl_id = next(iter(ids)) if len(ids) == 1 else ""
    return {"name": name, "cl_id": cl_id or None, "how": "unknown" if unknown else NOT_RECORDED}


@documented(**_DOCS)
def groups(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return the answer for each group, after `annotate(groupby=...)` or where groups were found.

    {given}

    Returns
    -------
    One row a group: `group`, `n` rows, `label`, `confidence` (0 to 1), and `agreement`, the share of its rows whose own
    best label is the group's; where names were found or written, what was `proposed`; where they were found, which
    broad types its rows are each `alone`, with the share of each, and what the language model `read` and said.
    Of groups that were found (`annotate` without labels), what was recorded: their rows have labels of their own, of
    which the commonest is shown. No rows if every row was labelled by itself. Else rows, labels and confidences are
    those in `obs` now: a group whose rows were cut, joined or renamed since gets a row for each label it holds, with
    NaN for the agreement.

    Raises
    ------
    MissingKeyError
        There are no annotations with this stem, or the column of groups is gone.

    Warns
    -----
    UserWarning
        Groups are not as they were when they were labelled.
    """
    found = Labelled.of(adata, key)
    record = found.record()
    if record.get("found"):
        found.warn_of_changes("the table of groups")
        return pd.DataFrame(record["found"])
    groups = record["groups"]
    more = [one for one in ("proposed", "alone", "read") if any(one in row for row in groups)]
    table = pd.DataFrame(groups, columns=[*_GROUPS, *more])
    return found.groups(record, table) if groups else table


@documented(**_DOCS)
def scores(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Log-probability of every candidate, under the candidates' own names.

    {given}

    Returns
    -------
    One row an observation, one column a candidate; float32, natural logarithm.

    Raises
    ------
    MissingKeyError
        There are no scores with this stem.
    InputError
        The slot holds something else.

    Warns
    -----
    UserWarning
        Candidates' columns went lost, or others came in, as where data were joined.
    """
    found = Labelled.of(adata, key)
    slot, advice = found.slots.scores, f"Run scbioverse.tl.annotate(adata, key_added={key!r}) first."
    stored = slot_of(found.adata, "obsm", slot, advice)
    if not isinstance(stored, pd.DataFrame):
        raise InputError(
            f"adata.obsm[{slot!r}] is {type(stored).__name__}, not the table that tl.annotate writes there. "
            "Annotate again, or read your own values from obsm."
        )
    # Columns have names that files take; here the user's own stand.
    names = {one["column"]: one["name"] for one in found.record()["labels"]}
    gone, new = [names[one] for one in names if one not in stored], [one for one in stored if one not in names]
    if gone or new:
        warn(
            f"adata.obsm[{slot!r}] is not as scbioverse.tl.annotate left it (no scores of: {named(gone)}; not "
            f"recorded: {named(map(str, new))}), so that a row may no longer sum to one. "
            "Joining data keeps only the columns that all have; annotate the joined data again."
        )
    return stored.rename(columns=names)


def records(adata: AnnData) -> dict[str, dict[str, Any]]:
    """Return what each verb recorded: parameters, model and data fingerprints, package versions.

    Parameters
    ----------
    adata
        Data that a verb of this package wrote to.

    Returns
    -------
    By step (`"embed"`, `"annotate"`, `"align"`, ...); empty if nothing was done yet.

    Raises
    ------
    InputError
        A record is not what this package writes.
    """
    adata = anndata_of(adata)
    return {str(step): read_record(adata, step) for step in records_of(adata)}


@documented(**_DOCS)
def evidence(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return every claim about a gene that the reasons make, with what the data say to it.

    {given}

    Returns
    -------
    One row a claim: `label` whose reason makes it; `gene` (approved symbol); `direction` (`"high"`, `"low"`,
    `"absent"`); `against`, the label that it is compared with, `""` for all others; `fraction_in` and `fraction_out`
    (cells that express it among those with the label and among those it is compared with); `log_fold_change` (log2 of
    mean expression per 10,000, 0.1 added to both); `p` (one-sided Mann-Whitney; NaN for "absent", and with fewer than
    ten cells on either side, where the size of the difference decides); `n_in`, `n_out` (cells tested); `verdict`
    (`"supported"`; other verdicts stand only where a text kept them); `cl_id` and `kind` of the marker (of the label's
    own term, of an ancestor, or given by you); `source`, the tables that list it as a marker; `said`, the name in the
    text. Beyond 20,000 cells p is of values in bins, of genes that are no tested markers of whether a cell expresses
    them; the record of `annotate` says in `reasons_measured` by how much an area under the curve may be off.

    Raises
    ------
    MissingKeyError
        There is no evidence with this stem.

    {warns}
    """
    found = Labelled.of(adata, key)
    record = read_record(found.adata, found.slots.step("evidence"))
    found.warn_of_changes("the evidence")
    table = pd.DataFrame(record["rows"], columns=record["columns"])
    # JSON has null for NaN, which makes a column of objects.
    return table.astype(dict.fromkeys(table.columns.intersection(_NUMBERS), float) if len(table) else {})


@documented(**_DOCS)
def samples(adata: AnnData, *, key: str = "bioverse") -> pd.DataFrame:
    """Return how the samples of each group voted, after `annotate(groupby=..., sample_key=...)`.

    {given}

    Returns
    -------
    One row a group and sample: `group`, `sample`, `n` cells, `own_label` (of these cells alone), `confidence` of it,
    `share` (of the group's samples that name the label of all its cells), `harmonised` (whether the group got one
    label). No rows without `sample_key`.

    {raises}

    {warns}
    """
    found = Labelled.of(adata, key)
    votes = found.record().get("samples") or []
    if votes:
        found.warn_of_changes("the vote of the samples")
    return pd.DataFrame(votes, columns=_VOTES)
