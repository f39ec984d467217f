"""What a scenario gave, as two files, and how it is compared with what it gives now."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd

import scbioverse as sb

FOLDER = Path(__file__).parent / "golden"
PROBABILITY = 1e-4
NEAR_TIE = 2 * PROBABILITY
# Absolute bounds by the first word of an array's name; see the package's docstring for what they rest on.
BOUNDS = {"scores": 1e-3, "entropy": 1e-3, "embedding": 1e-4, "aligned": 1e-4, "loss": 2e-2}
# Beside the absolute bound of a loss, this share of it. Adam moves a weight whose gradient is rounding noise by as much
# as the learning rate a step, either way: by 0.04 in the 40 steps of 1e-3 that are trained here, beside weights that
# act on normalised values. What is trained is held to labels, and to losses as near as that.
SHARE_OF_LOSS = 0.04
# Of a record: what changes with every version or place.
NOT_COMPARED = frozenset({"versions", "fingerprint"})
# With more candidates than this, what is kept of each is kept of every tenth: scores by row, records by candidate.
MANY = 40


@dataclass
class Found:
    """What one scenario gave.

    Attributes
    ----------
    text
        What is read: values of JSON. A column of a table is packed by :func:`column`.
    numbers
        Arrays of floats.
    """

    text: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, prefix: str, other: Found) -> None:
        """Take in what another scenario gave, under names that begin with `prefix`."""
        self.text.update({f"{prefix}{name}": value for name, value in other.text.items()})
        self.numbers.update({f"{name}_{prefix}".rstrip("_"): value for name, value in other.numbers.items()})


def annotation(adata: ad.AnnData, key: str = "bioverse") -> Found:
    """Everything that `annotate` left under a stem, through `sb.get` and the documented columns of `obs`."""
    cells, scores = sb.get.annotation(adata, key=key), sb.get.scores(adata, key=key)
    found = Found()
    found.text["label"] = column(cells["label"])
    found.text["categories"] = list(cells["label"].cat.categories)
    found.text["cl_id"] = column(cells["cl_id"])
    found.text["rationale"] = column(cells["rationale"])
    for name, slot in (("written", "text"), ("group", "group")):
        if f"{key}_{slot}" in adata.obs:
            found.text[name] = column(adata.obs[f"{key}_{slot}"])
    every = 1 if scores.shape[1] <= MANY else 10
    found.text["candidates"] = list(scores.columns)
    found.text["record"] = record(adata, "annotate" if key == "bioverse" else f"annotate_{key}")
    found.text["record"]["labels"] = found.text["record"]["labels"][::every]
    evidence = sb.get.evidence(adata, key=key).drop(columns="source")
    evidence["p"] = -np.log10(evidence["p"].to_numpy(float) + 1e-300)  # so that small ones are compared, too
    found.text["evidence"] = {"columns": list(evidence.columns), "rows": plain(evidence.to_numpy().tolist())}
    found.numbers["confidence"] = numbers(cells["confidence"])
    for name in ("margin", "entropy", "elsewhere"):
        if f"{key}_{name}" in adata.obs:
            found.numbers[name] = numbers(adata.obs[f"{key}_{name}"])
    found.numbers["scores"] = numbers(scores.to_numpy()[::every])
    return found


def record(adata: ad.AnnData, step: str) -> dict[str, Any]:
    """Return what a verb recorded, less what is not compared."""
    return {name: value for name, value in sb.get.records(adata)[step].items() if name not in NOT_COMPARED}


def column(values: Iterable[Any]) -> dict[str, Any]:
    """Pack a column of texts: the different ones in order of appearance, and their numbers row by row."""
    # Reasons of unknown cells give their confidence in two digits, which a difference of 1e-5 may round the other way;
    # it is compared as a number.
    texts = ["" if pd.isna(one) else re.sub(r"^Confidence [\d.]+", "Confidence ...", str(one)) for one in values]
    distinct = list(dict.fromkeys(texts))
    runs = [(distinct.index(text), len(list(same))) for text, same in groupby(texts)]
    return {"values": distinct, "rows": " ".join(f"{code}*{n}" if n > 1 else str(code) for code, n in runs)}


def unpack(packed: Mapping[str, Any]) -> list[str]:
    """Undo :func:`column`."""
    out: list[str] = []
    for run in packed["rows"].split():
        code, _, n = run.partition("*")
        out += [packed["values"][int(code)]] * int(n or 1)
    return out


def numbers(values: Any) -> np.ndarray:
    """Return floats as they are kept: float32, rounded to 1e-5."""
    return np.asarray(values, np.float64).round(5).astype(np.float32)


def plain(value: Any) -> Any:
    """Return values as JSON gives them back; NaN becomes null."""
    if isinstance(value, Mapping):
        return {str(name): plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return None if np.isnan(value) else float(f"{value:.7g}")
    return value


def write(name: str, found: Found) -> None:
    """Write the two files of a scenario: one line a value, so that a change is seen in a diff."""
    FOLDER.mkdir(exist_ok=True)
    lines = [f"{json.dumps(key)}: {_lines(plain(value))}" for key, value in found.text.items()]
    (FOLDER / f"{name}.json").write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    file = FOLDER / f"{name}.npz"
    if found.numbers:
        np.savez_compressed(file, **found.numbers)
    else:
        file.unlink(missing_ok=True)


def _lines(value: Any) -> str:
    """JSON with the items of the first two levels on lines of their own."""
    if isinstance(value, dict) and value:
        inner = [f"  {json.dumps(key)}: {_items(one)}" for key, one in value.items()]
        return "{\n" + ",\n".join(inner) + "\n }"
    return _items(value)


def _items(value: Any) -> str:
    if isinstance(value, list) and value and isinstance(value[0], dict | list):
        return "[\n" + ",\n".join(f"   {json.dumps(one, ensure_ascii=False)}" for one in value) + "\n  ]"
    return json.dumps(value, ensure_ascii=False)


def read(name: str) -> Found:
    """Read the golden files of a scenario."""
    file = FOLDER / f"{name}.json"
    assert file.is_file(), f"no golden file {file.name}: run python -m tests.contract --write {name}"
    found = Found(json.loads(file.read_text(encoding="utf-8")))
    if file.with_suffix(".npz").is_file():
        with np.load(file.with_suffix(".npz")) as held:
            found.numbers = {one: held[one] for one in held.files}
    return found


def differences(wanted: Found, found: Found) -> list[str]:
    """Say what is not as the golden files have it; nothing where all is well."""
    said = _number_differences(wanted.numbers, found.numbers)
    flipped, labels = _label_differences(wanted, found)
    said += labels
    for name, value in wanted.text.items():
        if name == "label" or (flipped and name in ("cl_id", "rationale", "evidence", "record", "categories")):
            continue  # near-ties that fell the other way take their reasons and counts along
        if name not in found.text:
            said.append(f"{name}: missing")
        else:
            said += _text_differences(name, value, plain(found.text[name]))
    said += [f"{name}: new" for name in (found.text.keys() - wanted.text.keys())]
    return said


def _label_differences(wanted: Found, found: Found) -> tuple[int, list[str]]:
    """How many near-ties fell the other way, and what is said of labels that changed without being one."""
    if "label" not in wanted.text:
        return 0, []
    before, after = unpack(wanted.text["label"]), unpack(found.text["label"])
    if len(before) != len(after):
        return 0, [f"label: {len(before)} rows were, {len(after)} are"]
    changed = np.array([one != other for one, other in zip(before, after, strict=True)], dtype=bool)
    tie = wanted.numbers["margin"] < NEAR_TIE
    wrong = np.flatnonzero(changed & ~tie)
    said = [f"label: {before[wrong[0]]!r} is now {after[wrong[0]]!r}"] if len(wrong) else []
    return int((changed & tie).sum()), [
        f"{len(wrong)} labels changed, the first of row {wrong[0]}: {one}" for one in said
    ]


def _number_differences(wanted: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> list[str]:
    said = [f"{name}: missing" for name in wanted.keys() - found.keys()]
    said += [f"{name}: new" for name in found.keys() - wanted.keys()]
    for name in wanted.keys() & found.keys():
        before, after = wanted[name], np.asarray(found[name], np.float32)
        if before.shape != after.shape:
            said.append(f"{name}: shape {before.shape} is now {after.shape}")
            continue
        # The bound, and the half unit of the fifth decimal to which either side was rounded.
        kind = name.split("_")[0]
        bound, share = BOUNDS.get(kind, PROBABILITY) + 1e-5, SHARE_OF_LOSS if kind == "loss" else 0
        if not np.allclose(after, before, rtol=share, atol=bound, equal_nan=True):
            gap = np.nanmax(np.abs(before - after))
            said.append(f"{name}: differs by {gap:.3g}, allowed are {bound:.3g}")
    return said


def _text_differences(path: str, wanted: Any, found: Any) -> list[str]:
    if isinstance(wanted, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return [] if abs(wanted - found) <= PROBABILITY * max(1, abs(wanted)) else [f"{path}: {wanted} is now {found}"]
    if isinstance(wanted, dict) and isinstance(found, dict):
        said = [f"{path}: {key!r} is missing" for key in wanted if key not in found]
        if set(wanted) == {"columns", "rows"} and not said:
            found = _only_columns(found, wanted["columns"])
        if set(wanted) == {"values", "rows"} and "rows" in found and wanted != found:
            before, after = unpack(wanted), unpack(found)
            changed = [i for i, (a, b) in enumerate(zip(before, after, strict=False)) if a != b]
            if len(before) != len(after) or not changed:
                return [f"{path}: {len(before)} rows were, {len(after)} are"]
            i = changed[0]
            return [f"{path}: {len(changed)} rows changed; row {i}: {before[i]!r} is now {after[i]!r}"]
        for key in wanted:
            if key in found:
                said += _text_differences(f"{path}.{key}", wanted[key], found[key])
        return said
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == len(found):
        pairs = enumerate(zip(wanted, found, strict=True))
        return [one for i, (a, b) in pairs for one in _text_differences(f"{path}[{i}]", a, b)]
    same = wanted == found and isinstance(wanted, bool) == isinstance(found, bool)
    return [] if same else [f"{path}: {_short(wanted)} is now {_short(found)}"]


def _only_columns(table: Mapping[str, Any], columns: list[str]) -> dict[str, Any]:
    """A table without the columns that it gained."""
    kept = [name for name in table["columns"] if name in columns]
    at = [table["columns"].index(name) for name in kept]
    return {"columns": kept, "rows": [[row[i] for i in at] for row in table["rows"]]}


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 200 else f"{text[:200]}... ({len(text)} characters)"
