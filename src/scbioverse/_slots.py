"""Where results lie in an AnnData: names of slots, records of what was done, writing all at once, parts of a MuData.

Records are kept in `adata.uns["bioverse"]` as one JSON string a step and not as nested dicts: tuples, integer keys and
"/" in names break or bend in h5ad and zarr.
"""

from __future__ import annotations

import itertools
import json
import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import wraps
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from ._lazy import give_accessor
from ._logging import logger, warn
from .errors import InputError, MissingKeyError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd
    from anndata import AnnData

Verb = TypeVar("Verb", bound="Callable[..., object]")
UNS_ROOT = "bioverse"
# Verbs that leave a record, and what else they have to be given.
_WRITERS = dict.fromkeys(("annotate", "embed", "describe", "rollup"), "")
_WRITERS |= dict.fromkeys(("align", "tune"), ", text_key=...")
_WAY_OUT = "Run the verb again to replace it, or delete it."
# A store of zarr is a folder, which takes 255 bytes a name.
_MOST_BYTES = 200
_CELLS = ("rna", "gex", "cell")
# Usual names of the parts of a MuData (scvi-tools, muon, 10x readers), by what scbioverse calls the modality. A drug
# that each cell saw stands in the table of cells.
_PARTS = {
    "cell": _CELLS,
    "protein": ("prot", "protein", "proteins", "adt", "cite"),
    "molecule": ("molecule", "molecules", "drug", "drugs", *_CELLS),
}


@dataclass(frozen=True)
class Slots:
    """Slot names derived from one stem, `"bioverse"` unless the caller chose another by `key_added=`."""

    key: str = "bioverse"
    label: str = field(init=False)  # obs, categorical
    confidence: str = field(init=False)  # obs, float32 in 0-1: calibrated probability of the label among the candidates
    margin: str = field(init=False)  # obs, float32 in 0-1: probability of the best candidate less that of the second
    entropy: str = field(init=False)  # obs, float32: entropy of the candidates' probabilities, in nats
    elsewhere: str = field(init=False)  # obs, float32 in 0-1: above 0.5 where a type that is no candidate is nearer
    rationale: str = field(init=False)  # obs, string: the checked reason
    text: str = field(init=False)  # obs, string: what the language model wrote, before it was mapped to a label
    group: str = field(init=False)  # obs, categorical: the group of alike cells, where groups were found
    cl_id: str = field(init=False)  # obs, categorical: Cell Ontology id of the label, empty where it resolved to none
    rollup: str = field(init=False)  # obs, categorical: a broader term; its id stands there with `_cl_id` behind
    description: str = field(init=False)  # obs, string: what `tl.describe` says of the row
    description_score: str = field(init=False)  # obs, float32: mean log-probability of a token, or similarity
    description_source: str = field(init=False)  # obs, string: the reference's row that a text was taken from
    scores: str = field(init=False)  # obsm, DataFrame (n_obs, n_labels): log-probability of each candidate
    aligned: str = field(init=False)  # obsm, float32 (n_obs, d_text): coordinates in the space shared with text

    def __post_init__(self) -> None:
        """Refuse a stem whose slots no file could hold, and name the slots."""
        # A slash would make a group of it in h5ad and zarr.
        if not isinstance(self.key, str) or not re.fullmatch(r"[^\W_][\w .+-]{0,79}", self.key):
            raise InputError(
                f"key_added={self.key!r:.90} becomes part of the names of slots: up to 80 letters, digits, spaces, "
                "'_', '.', '+' and '-', a letter or digit first."
            )
        named = {one.name: f"{self.key}_{one.name}" for one in fields(self) if not one.init}
        for name, slot in (named | {"rollup": f"{self.key}_label_rollup", "aligned": f"X_{self.key}_aligned"}).items():
            object.__setattr__(self, name, slot)

    def step(self, verb: str) -> str:
        """Name of a verb's record in `uns["bioverse"]`: with the stem, where that is not the default."""
        return verb if self.key == "bioverse" else f"{verb}_{self.key}"

    def retrieve(self, name: str | int) -> str:
        """`obs`, float32 (one text), or `obsm`, DataFrame (several): nearness of each row to a text."""
        return f"{self.key}_retrieve_{name}"

    def embedding(self, modality: str = "cell") -> str:
        """`obsm`, float32 (n_obs, dim) or (n_obs, n_tokens, dim): the encoder's output."""
        return f"X_{self.key}" if modality == "cell" else f"X_{self.key}_{modality}"


def _plain(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray | tuple | set | frozenset):
        return list(value)
    raise TypeError(f"cannot store {type(value).__name__} in uns['{UNS_ROOT}']")


def versions() -> dict[str, str]:
    """Versions of the packages that shape a result."""
    found = {}
    # Those that a number in a result can depend on.
    for package in ("scbioverse", "torch", "transformers", "anndata", "numpy"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "absent"
    return found


def as_json(fields: Mapping[str, Any]) -> str:
    """Return `fields` and the package versions as a record holds them."""
    return json.dumps({**fields, "versions": versions()}, default=_plain)


def without_nan(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table as JSON takes it: None in place of NaN and infinity, which JSON has not."""
    held = table.astype(object)
    return held.where(held.notna() & ~held.isin([np.inf, -np.inf]), None)


def write_record(adata: AnnData, step: str, **fields: Any) -> None:
    """Store `fields` and the package versions under `adata.uns["bioverse"][step]` of an AnnData made just now."""
    adata.uns[UNS_ROOT] = {**adata.uns.get(UNS_ROOT, {}), step: as_json(fields)}
    give_accessor()


def read_record(adata: AnnData, step: str) -> dict[str, Any]:
    """Return what was stored under a step; a :class:`MissingKeyError` names the records that are there."""
    root = records_of(adata)
    if step not in root:
        raise MissingKeyError(
            f"adata.uns['{UNS_ROOT}'] holds no record of {step!r} (found: {sorted(map(str, root)) or 'nothing'}). "
            f"{_how_to_write(step)}"
        )
    try:
        found = json.loads(str(root[step]))
    except (ValueError, RecursionError) as error:
        raise InputError(f"{_called(step)} is no record of scbioverse: {error}. {_WAY_OUT}") from error
    if not isinstance(found, dict):
        raise InputError(f"{_called(step)} is no record of scbioverse: it holds {type(found).__name__}. {_WAY_OUT}")
    return found


def _how_to_write(step: str) -> str:
    """Say which verb writes a record."""
    verb, _, key = step.partition("_")
    verb = "annotate" if verb == "evidence" else verb
    if verb not in _WRITERS:
        return "Run the verb that writes it first."
    # Behind the verb may stand a modality, too, which the stem cannot be told from.
    named = f", key_added={key!r}" if key and verb == "annotate" else ""
    return f"Run scbioverse.tl.{verb}(adata{named}{_WRITERS[verb]}) first."


def records_of(adata: AnnData) -> Mapping[str, Any]:
    """Return all records as they are stored; an :class:`InputError` where `uns["bioverse"]` is no mapping."""
    root = adata.uns.get(UNS_ROOT, {})
    if not isinstance(root, Mapping):
        raise InputError(
            f"adata.uns[{UNS_ROOT!r}] is a {type(root).__name__}; scbioverse keeps its records there, by step. "
            f"Move what is yours first: adata.uns['my_{UNS_ROOT}'] = adata.uns.pop({UNS_ROOT!r})."
        )
    return root


def _called(step: str) -> str:
    return f"adata.uns[{UNS_ROOT!r}][{step!r}]"


def check_target(
    adata: Any, step: str = "", together: Iterable[str] = (), others: Iterable[str] = (), obsm: Iterable[str] = ()
) -> None:
    """Refuse, before anything is computed, what could not take the results: no AnnData, or foreign records.

    Nor are columns of `obs` (`together` and `others`) and entries of `obsm` written over that no run recorded under
    `step` has made. Who finds all that a run leaves `together` finds its results, in data that were joined since:
    `anndata.concat` drops records.
    """
    if not hasattr(adata, "obsm") or not hasattr(adata, "uns"):
        raise InputError(f"expected an AnnData, found {type(adata).__name__}.")
    left = list(together)
    if step in records_of(adata) or (len(left) > 1 and all(one in adata.obs for one in left)):
        return
    held = [f"adata.obs[{one!r}]" for one in (*left, *others) if one in adata.obs]
    held += [f"adata.obsm[{one!r}]" for one in obsm if one in adata.obsm]
    if held:
        raise InputError(
            f"{', '.join(held)} would be lost, and adata.uns[{UNS_ROOT!r}] has no record of {step!r} that says it is "
            f"from scbioverse. Pass another key_added= (or name=), or give it up: del {', '.join(held)}."
        )


def write_results(
    adata: AnnData,
    verb: str,
    *,
    obs: Mapping[str, Any] | None = None,
    obsm: Mapping[str, Any] | None = None,
    records: Mapping[str, Mapping[str, Any]],
    drop: Iterable[str] = (),
    drop_obsm: Iterable[str] = (),
    drop_records: Iterable[str] = (),
    copy: bool = False,
) -> AnnData | None:
    """Fill slots, of `adata` or of a copy that is returned, and say so. What can fail comes before the first slot.

    `obs` and `obsm` hold values by slot, in the order to be written, `records` fields by step. `drop`, `drop_obsm` and
    `drop_records` are what an earlier run left and this one has nothing for; see :func:`left_by`. A view becomes an
    AnnData of its own, with a warning: its parent gets no results.
    """
    records_of(adata)
    adata = own_copy(adata) if copy else adata
    texts = {step: as_json(fields) for step, fields in records.items()}
    columns, arrays = dict(obs or {}), dict(obsm or {})
    if adata.is_view:
        _make_actual(adata)
    adata.obsm.update(arrays)
    for slot, values in columns.items():
        adata.obs[slot] = values
    for table, left in ((adata.obs, drop), (adata.obsm, drop_obsm)):
        for slot in set(left) & set(table):
            del table[slot]
    gone = set(drop_records)
    adata.uns[UNS_ROOT] = {step: text for step, text in records_of(adata).items() if step not in gone} | texts
    filled = {"obsm": arrays, "obs": columns, f"uns[{UNS_ROOT!r}]": texts}
    said = "; ".join(f"{where}: {', '.join(names)}" for where, names in filled.items() if names)
    logger.info("%s added %s", verb, said)
    if not hasattr(type(adata), UNS_ROOT):  # anndata was imported after this package
        give_accessor()
    return adata if copy else None


def correction_step(label_key: str) -> str:
    """Name of the record of what was corrected by hand in a column of labels."""
    return "correct" if label_key == Slots().label else f"correct_{label_key}".replace("/", "|")


def left_by(adata: AnnData, step: str, slots: Iterable[str], filled: Iterable[str]) -> list[str]:
    """Return slots that a run recorded under `step` may have left and that are not filled now.

    None without such a record: what stands under these names is then the user's own.
    """
    return [one for one in slots if one not in set(filled)] if step in records_of(adata) else []


def columns_of(names: list[str]) -> list[str]:
    """Column names for a table of scores, such as files take.

    Slashes become "|", characters without a shape are left out, a name of dots alone gets one in front, a long one
    is cut; what then repeats or is reserved gets a number.
    """
    taken, out = {"_index"}, list[str]()
    for name in names:
        kept = "".join(sign for sign in re.sub(r"[/\\]", "|", name) if unicodedata.category(sign) not in ("Cc", "Cs"))
        # A store of zarr is a folder, which takes 255 bytes a name, and none that is all dots.
        stem = kept.encode()[:_MOST_BYTES].decode(errors="ignore").strip()
        stem = f"|{stem}" if set(stem) <= {"."} else stem
        numbered = (f"{stem} ({number})" for number in itertools.count(2))
        out.append(next(one for one in itertools.chain([stem], numbered) if one not in taken))
        taken.add(out[-1])
    return out


def own_copy(adata: AnnData) -> AnnData:
    """Return a copy in memory, for `copy=True`."""
    return adata.to_memory() if adata.isbacked else adata.copy()


def _make_actual(adata: AnnData) -> None:
    from anndata import ImplicitModificationWarning

    warn(
        "adata is a view of another AnnData. It becomes one of its own now, which holds the results; the one that it "
        "is a view of gets none. Pass a copy, adata[...].copy(), to say that this is meant.",
        ImplicitModificationWarning,
    )
    # What anndata itself does at the first write, but also where the matrix lies in a file.
    adata._init_as_actual(own_copy(adata))


def slot_of(adata: AnnData, where: str, name: str, advice: str) -> Any:
    """Return what lies under a name in `obsm`, say; a :class:`MissingKeyError` says what is there, with advice."""
    held = getattr(adata, where)
    if name not in held:
        found = sorted(map(str, held)) or "nothing"
        raise MissingKeyError(f"adata.{where}[{name!r}] is missing (found: {found}). {advice}")
    return held[name]


def is_mudata(data: Any) -> bool:
    """Whether `data` is a MuData, without importing its package."""
    return hasattr(data, "mod") and hasattr(data, "obsmap")


def part_of(data: Any, modality: str) -> AnnData:
    """Return the AnnData of a MuData that holds `modality`; an :class:`InputError` where none has a usual name."""
    known = {str(name).lower(): part for name, part in data.mod.items()}
    wanted = _PARTS.get(modality, (modality,))
    if held := [name for name in wanted if name in known]:
        return known[held[0]]
    raise InputError(
        f"the MuData has no part for modality {modality!r}: expected one of {list(wanted)}, found {sorted(data.mod)}. "
        "Pass the AnnData itself: mdata.mod[...]."
    )


def anndata_of(data: Any, modality: str = "cell", *, holds: str | None = None) -> Any:
    """Return the part of a MuData for `modality`, and anything else as it is.

    Where one part alone has the column `holds` in its `obs`, that part is meant.
    """
    if not is_mudata(data):
        return data
    # A column that one part alone has says which is meant, whatever the part is called.
    having = [part for part in data.mod.values() if holds is not None and holds in part.obs]
    return having[0] if len(having) == 1 else part_of(data, modality)


def takes_mudata(verb: Verb) -> Verb:
    """Have a verb take a MuData, too: it runs on the part for `modality`, and of `copy=True` returns the whole."""

    @wraps(verb)
    def run(adata: Any, *arguments: Any, **options: Any) -> Any:
        if not is_mudata(adata):
            return verb(adata, *arguments, **options)
        copied = options.pop("copy", False)
        whole = adata.copy() if copied else adata
        found = verb(part_of(whole, options.get("modality", "cell")), *arguments, **options)
        return whole if copied else found

    return cast("Verb", run)
