"""What the page may ask the server to do, by name. No transport: arguments and results are plain data.

Arrays travel as `{"dtype", "base64"}`; a choice of cells as one bit a cell, most significant first, in base64.
"""

from __future__ import annotations

import base64
import binascii
import math
from importlib import resources
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._logging import logger, printable, shown_name
from .._slots import without_nan
from ..errors import BioverseError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    from .visitor import Visitor

MOST_EVIDENCE = 100


def act(visitor: Visitor, action: str, args: Mapping[str, Any]) -> dict[str, Any]:
    """Run an action for a visitor."""
    if action not in ACTIONS:
        raise InputError(f"there is no action {action!r:.40}.")
    return ACTIONS[action](visitor, args)


def tried(visitor: Visitor, action: str, args: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Run an action; return what came out, or an `error` in one sentence, and the status that HTTP has for it."""
    try:
        return act(visitor, action, args), 200
    except BioverseError as error:
        return {"error": printable(str(error))}, 400
    except MemoryError:
        return {"error": "this takes more memory than there is."}, 507
    except Exception:  # noqa: BLE001  what a visitor sees is one sentence; the log has the rest
        logger.exception("the page could not do %r", action)
        return {"error": "that went wrong; the program's log says where."}, 500


def static(name: str) -> str:
    """Return a file that the page is made of."""
    return (resources.files(__package__) / "static" / name).read_text(encoding="utf-8")


def body_limit(n_obs: int) -> int:
    """Bytes that the arguments of an action may take: a bit a cell in base64, and room for a text."""
    return 16_384 + math.ceil(n_obs / 6)


def opened(visitor: Visitor, _: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the page starts with: the map, what to colour by, and the labels."""
    shown = visitor.shown
    first = f"obs:{shown.slots.confidence}"
    return {
        "title": shown.title,
        "n": shown.n,
        "map": shown.axes,
        "points": _packed(shown.points),
        "columns": sorted(shown.columns, key=lambda one: one["by"] != first),
        "label_name": "Label" if shown.own else shown.label_key,
        **_labels(visitor),
    }


def _labels(visitor: Visitor) -> dict[str, Any]:
    with visitor.lock:
        done = visitor.corrections
        counts = np.bincount(done.codes[done.codes >= 0], minlength=len(done.names))
        return {
            "labels": [
                {"name": name, "n": int(n), "colour": colour}
                for name, n, colour in zip(done.names, counts, visitor.shown.colours(done.names), strict=True)
            ],
            "codes": _packed(done.codes),
            "undo": done.n_done,
            "redo": done.n_undone,
            "corrected": int(done.changed.sum()),
            "unsaved": visitor.unsaved,
        }


def values(visitor: Visitor, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a gene (`"gene:CD3E"`) or a column (`"obs:donor"`)."""
    by = _text(args, "by", 200)
    said, found = visitor.shown.values(by, visitor.adata().obs)
    return {**said, "values": _packed(found)}


def genes(visitor: Visitor, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return names of genes that begin with some letters."""
    return {"genes": visitor.shown.suggest(_text(args, "start", 40))}


def label(visitor: Visitor, args: Mapping[str, Any]) -> dict[str, Any]:
    """Return why cells have a label: its term, reason, evidence, and what else they could be."""
    name = _text(args, "name", 200)
    blank: dict[str, Any] = {"n": 0, "cl_id": "", "term": "", "reason": "", "alternatives": [], "evidence": []}
    found = blank | visitor.shown.found.get(shown_name(name), {})
    return {one: found[one] for one in blank} | {"name": name, "evidence": _table(pd.DataFrame(found["evidence"]))}


def ask(visitor: Visitor, args: Mapping[str, Any]) -> dict[str, Any]:
    """Answer a question about all cells, or those chosen."""
    rows = _rows(args, visitor.shown.n) if args.get("cells") is not None else None
    answer = visitor.ask(_text(args, "question", 4_000), rows)
    return {
        "question": answer.question,
        "text": answer.text,
        "kind": answer.kind,
        "computed": answer.computed,
        "understood": None if answer.query is None else answer.query.model_dump(mode="json", exclude_defaults=True),
        "evidence": _table(answer.evidence),
        "about": visitor.shown.n if rows is None else int(rows.sum()),
    }


def correct(visitor: Visitor, args: Mapping[str, Any]) -> dict[str, Any]:
    """Set the label of the cells that are chosen."""
    with visitor.lock:
        label = _text(args, "label", 200)
        changed = visitor.corrections.set(_rows(args, visitor.shown.n), label)
        return {"changed": changed, "term": visitor.shown.term_of(" ".join(label.split())), **_labels(visitor)}


def undo(visitor: Visitor, _: Mapping[str, Any]) -> dict[str, Any]:
    """Take the last correction back."""
    with visitor.lock:
        return {"changed": visitor.corrections.undo(), **_labels(visitor)}


def redo(visitor: Visitor, _: Mapping[str, Any]) -> dict[str, Any]:
    """Make the correction again that was taken back last."""
    with visitor.lock:
        return {"changed": visitor.corrections.redo(), **_labels(visitor)}


ACTIONS: dict[str, Callable[[Visitor, Mapping[str, Any]], dict[str, Any]]] = {
    "open": opened, "values": values, "genes": genes, "label": label, "ask": ask, "correct": correct, "undo": undo,
    "redo": redo,
}  # fmt: skip


def _text(args: Mapping[str, Any], name: str, most: int) -> str:
    found = args.get(name)
    if not isinstance(found, str) or len(found) > most:
        raise InputError(f"{name} is a text of at most {most} characters.")
    return found


def _rows(args: Mapping[str, Any], n: int) -> NDArray[np.bool_]:
    """Read a choice of cells, bool (n,)."""
    held = args.get("cells")
    try:
        bits = np.frombuffer(base64.b64decode(held if isinstance(held, str) else "", validate=True), np.uint8)
    except (binascii.Error, ValueError) as error:
        raise InputError("cells is one bit a cell in base64.") from error
    if bits.size != math.ceil(n / 8):
        raise InputError(f"cells holds {bits.size} bytes; {n} cells take {math.ceil(n / 8)}. Load the page again.")
    return np.unpackbits(bits, count=n).astype(bool)


def _packed(values: NDArray[Any]) -> dict[str, str]:
    little = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False)
    return {
        "dtype": f"{values.dtype.kind}{values.dtype.itemsize}",
        "base64": base64.b64encode(little.tobytes()).decode(),
    }


def _table(table: pd.DataFrame) -> dict[str, Any]:
    """Return a table as columns and rows; numbers that are none as null."""
    rows = without_nan(table.head(MOST_EVIDENCE)).to_dict("split")["data"]
    return {"columns": list(map(str, table.columns)), "rows": rows, "n": len(table)}
