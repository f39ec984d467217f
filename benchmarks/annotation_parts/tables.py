"""From the results file to tables: means over studies, differences to the best peer, losses."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pandas as pd

Result = dict[str, Any]

OWN = ("cascade", "score", "nearest")
# What a user could run without this package's model; the pooled marker tables with source weights among them.
PEERS = (
    "markers alone",
    "marker z-mean",
    "score_genes",
    "logistic regression",
    "CellTypist",
    "PCA + kNN",
    "scVI + kNN",
    "majority",
)
ABLATION = (
    "bypass head, no markers",
    "bypass head",
    "score, no markers, not asked",
    "score, no markers",
    "score",
    "nearest, no markers",
    "nearest",
    "cascade",
    "cascade, no attention",
    "cascade, no nearest",
    "cascade, no markers",
    "markers alone",
)
CONTROLS = (
    "score, no markers",
    "score, no markers, embedding shuffled",
    "score, no markers, embedding zeroed",
    "score",
    "score, embedding and markers shuffled",
    "score, embedding alone shuffled",
    "markers alone",
    "majority",
)
ORDER = (
    *OWN,
    "score, no markers",
    "nearest, no markers",
    "bypass head",
    "bypass head, no markers",
    *PEERS,
    "text only",
)
GROUPS = {"development": "development tests", "left out": "training studies left out"}


def studies(result: Result, group: str) -> list[str]:
    """Names of the tests of a group."""
    return [name for name, one in result["tests"].items() if one["group"] == group]


def methods(result: Result, wanted: Iterable[str] = ORDER) -> list[str]:
    """Those of the methods that any test has."""
    found = {name for one in result["tests"].values() for name in one["methods"]}
    return [name for name in wanted if name in found]


def value(result: Result, study: str, method: str, key: str) -> float | None:
    """One figure, None where it was not measured."""
    return result["tests"][study]["methods"].get(method, {}).get(key)


def summary(
    result: Result, names: Iterable[str], method: str, key: str, how: Callable[[list[float]], Any] = np.mean
) -> float | None:
    """Mean over studies; None unless all of them have the figure."""
    found = [value(result, name, method, key) for name in names]
    held = [one for one in found if one is not None]
    return float(how(held)) if found and len(held) == len(found) else None


def best_peer(result: Result, study: str, key: str) -> tuple[str, float] | None:
    """Peer with the highest figure on a study."""
    held = [(name, found) for name in PEERS if (found := value(result, study, name, key)) is not None]
    return max(held, key=lambda pair: pair[1]) if held else None


def best_peer_of_group(result: Result, group: str, key: str) -> tuple[str, float] | None:
    """Peer with the highest mean over a group's studies: one peer, the same for all."""
    held = [
        (name, found) for name in PEERS if (found := summary(result, studies(result, group), name, key)) is not None
    ]
    return max(held, key=lambda pair: pair[1]) if held else None


def differences(result: Result, method: str, key: str) -> list[tuple[str, float, str, float, float]]:
    """For each study: study, the method's figure, best peer, its figure, difference."""
    rows = []
    for study in result["tests"]:
        own, peer = value(result, study, method, key), best_peer(result, study, key)
        if own is not None and peer is not None:
            rows.append((study, own, *peer, own - peer[1]))
    return rows


def losses(result: Result, method: str, key: str) -> list[tuple[str, str, float, float]]:
    """Every peer that is above a method on a study: study, peer, the method's figure, the peer's."""
    rows = []
    for study in result["tests"]:
        own = value(result, study, method, key)
        for peer in PEERS:
            other = value(result, study, peer, key)
            if own is not None and other is not None and other > own:
                rows.append((study, peer, own, other))
    return rows


def markdown(columns: list[str], rows: Iterable[Iterable[object]]) -> str:
    """Write a table."""
    lines = ["| " + " | ".join(columns) + " |", "| " + " | ".join(["---"] * len(columns)) + " |"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def share(number: float | None) -> str:
    """0.8123 to `0.812`."""
    return "–" if number is None else f"{number:.3f}"


def points(number: float) -> str:
    """Difference of two shares in percentage points, signed; a loss in bold."""
    text = f"{100 * number:+.1f}".replace("-", "−")
    return f"**{text}**" if number < 0 else text


def whole(number: float | None) -> str:
    """1234.5 to `1,234`; small figures keep a decimal."""
    if number is None:
        return "–"
    return f"{number:,.0f}" if number >= 100 else f"{number:.1f}"


def plain_table(result: Result) -> str:
    """One line a method: accuracy/macro-F1 of each study, means, speed."""
    table = []
    for method in [*methods(result), *(one for one in methods(result, CONTROLS) if one not in ORDER)]:
        row = {"method": method}
        for group in GROUPS:
            names = studies(result, group)
            for name in names:
                accuracy, f1 = value(result, name, method, "accuracy"), value(result, name, method, "macro_f1")
                row[name.split("_")[0] + f" {len(row)}"] = f"{share(accuracy)}/{share(f1)}"
            if names:
                mean = [summary(result, names, method, key) for key in ("accuracy", "macro_f1")]
                row[f"mean {group}"] = "/".join(map(share, mean))
        speed = [value(result, name, method, "cells_per_second") for name in result["tests"]]
        known = [one for one in speed if one is not None]
        row["cells/s"] = whole(float(np.median(known))) if known else ""
        table.append(row)
    return pd.DataFrame(table).to_string(index=False)
