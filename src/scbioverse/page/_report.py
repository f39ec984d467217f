"""`sb.report`: what was found and how far to trust it, as one page with a map that needs no network."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from .._device import Rng, as_seed
from .._logging import shown_name
from .._whole import write_text_whole
from ..errors import InputError
from ..get._labelled import Labelled
from ..pl._layout import map_of
from ..pl._style import palette
from ._findings import cautions, labels_found, methods_text, provenance

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from anndata import AnnData
    from numpy.typing import NDArray

    from .._device import Rng
    from .._slots import Slots

MOST_POINTS = 100_000
_MOST_CLAIMS = 12


def report(
    adata: AnnData,
    path: str | Path,
    *,
    key: str = "bioverse",
    title: str = "Cell types",
    basis: str | None = None,
    rng: Rng = None,
) -> Path:
    """Write a report of an annotation: one HTML file that opens anywhere, without a network.

    It holds a map to look around in, every label with its reason, evidence and alternatives, what a reader should be
    warned of, a paragraph on methods to paste into a paper, and the records of every step. The map is drawn by
    plotly.js, which is inside the file. Of more than 100,000 cells a sample is drawn; all numbers are of all cells.

    Parameters
    ----------
    adata
        Cells that :func:`scbioverse.tl.annotate` labelled; not changed.
    path
        File to write, ending in `.html`. One that is there is replaced when the new one is whole.
    key
        Stem of the slot names that `annotate` wrote.
    title
        Heading of the page.
    basis
        Slot of `obsm` with two columns for the map: `"X_umap"` if it is there. Else a map of the embedding is made and
        not stored: a UMAP, or two principal components of more than 30,000 cells.
    rng
        Seed or generator of the map and the sample.

    Returns
    -------
    Path of the file.

    Raises
    ------
    MissingKeyError
        There are no labels with this stem, or nothing to make a map of.
    InputError
        The path does not end in `.html`, or its folder is not there.

    Examples
    --------
    >>> import scbioverse as sb
    >>> adata = sb.datasets.pbmc3k()
    >>> sb.tl.annotate(adata)
    >>> sb.report(adata, "report.html")
    """
    path = Path(path)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"the report is a web page: {path} does not end in .html.")
    if not path.resolve().parent.is_dir():
        raise InputError(f"the folder {path.resolve().parent} for the report does not exist.")
    if path.is_dir():
        raise InputError(f"{path} is a folder. Name a file for the report.")
    write_text_whole(path.resolve(), report_html(*Labelled.of(adata, key, "label"), title=title, basis=basis, rng=rng))
    return path


def report_html(adata: AnnData, slots: Slots, *, title: str, basis: str | None, rng: Rng) -> str:
    """Return the page as text."""
    rows, flat, axis_name = sampled_map(adata, slots, basis=basis, most=MOST_POINTS, rng=rng)
    colours = colourings(adata, slots, rows)
    labels, changes = labels_found(adata, slots)
    said, cited = methods_text(adata, slots, axis_name)
    warned = [*cautions(adata, slots, labels), *changes]
    hues = dict(zip(colours[0]["names"], colours[0]["hues"], strict=True))
    summary = f"{adata.n_obs:,} cells, {len(labels)} labels."
    shown = "" if len(rows) == adata.n_obs else f"A sample of {len(rows):,} of {adata.n_obs:,} cells is drawn."
    parts = {
        "title": escape(shown_name(title)),
        "summary": escape(summary),
        "shown": escape(shown),
        "cautions": f'<div class="warnings"><strong>Look twice</strong>{listed(warned)}</div>' if warned else "",
        "labels": "\n".join(_row(one, hues.get(one["name"], "#d0d0d0")) for one in labels),
        "methods": escape(said),
        "citations": listed(cited, "ol"),
        "provenance": escape(provenance(adata)),
        "facts": as_script_data({**places(flat), "axis": axis_name, "colourings": colours}),
    }
    return filled("report.html", parts, scripts=(LIBRARY, "map.js", "report.js"))


def _row(label: dict[str, Any], hue: str) -> str:
    name = f'<span class="swatch" style="background:{escape(hue)}"></span><strong>{escape(label["name"])}</strong>'
    if label["cl_id"]:
        term = f" {label['term']}" if label["term"] and label["term"] != label["name"] else ""
        name += f'<br><span class="faint">{escape(label["cl_id"])}{escape(term)}</span>'
    confidence = "" if label["confidence"] is None else f"{label['confidence']:.2f}"
    unsure = label["unsure"]
    low = f'<br><span class="faint">{escape(percent(unsure))} below 0.5</span>' if unsure else ""
    others = "".join(f"<div>{escape(one['name'])} {one['probability']:.2f}</div>" for one in label["alternatives"])
    return (
        f'<tr><td>{name}</td><td class="num" data-title="Cells">{label["n"]:,}<br>'
        f'<span class="faint">{escape(percent(label["share"]))}</span></td>'
        f'<td class="num" data-title="Confidence">{confidence}{low}</td>'
        f"<td>{escape(label['reason'])}{_evidence(label['evidence'])}</td>"
        f'<td data-title="Alternatives">{others or "none above 0.02"}</td></tr>'
    )


_HEADS = ("Gene", "Claim", "In", "Others", "log2 fold", "p", "Listed by")


def _evidence(claims: list[dict[str, Any]]) -> str:
    if not claims:
        return ""
    rows = ""
    for one in claims[:_MOST_CLAIMS]:
        against = f" against {shown_name(str(one['against']))}" if one.get("against") else ""
        held = [
            str(one["gene"]),
            f"{one['direction']}{against}, {one['verdict']}",
            percent(one.get("fraction_in")),
            percent(one.get("fraction_out")),
            _number(one.get("log_fold_change"), ".1f"),
            _number(one.get("p"), ".1e"),
            str(one.get("source") or ""),
        ]
        rows += f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in held)}</tr>"
    more = f" of {len(claims)}" if len(claims) > _MOST_CLAIMS else ""
    head = "".join(f"<th>{one}</th>" for one in _HEADS)
    return (
        f"<details><summary>Evidence: {min(len(claims), _MOST_CLAIMS)}{more} tested claims</summary>"
        f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details>'
    )


def _number(value: Any, form: str) -> str:
    return "" if value is None else f"{value:{form}}"


LIBRARY = "plotly-gl2d.min.js"


def static(name: str) -> str:
    """Return a file that the pages are made of."""
    return files(__package__).joinpath("static", name).read_text(encoding="utf-8")


def as_script_data(value: Any) -> str:
    """Return JSON that can stand inside a script element, whatever texts it holds."""
    text = json.dumps(value, ensure_ascii=True, allow_nan=False, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def filled(template: str, parts: Mapping[str, str], *, scripts: Iterable[str]) -> str:
    """Fill a template with parts that are HTML, add scripts, and let the page run and load nothing else.

    The policy names each script by its SHA-256: a script that got into the page as a text would not run, and no address
    is opened.
    """
    # Plotly's drawing by WebGL builds functions from texts of its own; without leave to it draws nothing.
    texts = list(map(static, scripts))
    sums = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in texts)
    policy = (
        f"default-src 'none'; script-src {sums} 'unsafe-eval'; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    elements = "\n".join(f"<script>{one}</script>" for one in texts)
    return Template(static(template)).substitute(parts, policy=policy, style=static("style.css"), scripts=elements)


def listed(texts: Iterable[str], kind: str = "ul") -> str:
    """Return a list in HTML."""
    items = "".join(f"<li>{escape(one)}</li>" for one in texts)
    return f"<{kind}>{items}</{kind}>" if items else ""


def percent(share: float | None) -> str:
    """Return a share as a percentage; an empty text for none."""
    if share is None:
        return ""
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"


MOST_CATEGORIES = 60  # more colours than that nobody tells apart
_NO_VALUE = 65535


def pack(values: NDArray) -> str:
    """Return an array of whole numbers below 65,536 as base64 of its little-endian bytes."""
    return base64.b64encode(np.ascontiguousarray(values, "<u2").tobytes()).decode("ascii")


def places(flat: NDArray[np.floating]) -> dict[str, Any]:
    """Pack a map: whole numbers from 0 to 65,534 on each axis, in the map's own proportions."""
    flat = np.nan_to_num(np.asarray(flat, np.float64))
    low, span = flat.min(axis=0), max(float(np.ptp(flat, axis=0).max()), 1e-9)
    whole = np.round((flat - low) / span * (_NO_VALUE - 1))
    return {"x": pack(whole[:, 0]), "y": pack(whole[:, 1])}


def categories(adata: AnnData, rows: NDArray[np.intp], column: str, name: str) -> dict[str, Any]:
    """Pack a column of names: codes of `rows`, the names with their colours, and how many of all rows each has."""
    whole = adata.obs[column].astype("category")
    values = whole.iloc[rows].cat.remove_unused_categories()
    names = list(map(str, values.cat.categories))
    codes = values.cat.codes.to_numpy().astype(np.int64)
    hues = palette(adata, column, names)
    counts = whole.value_counts()[values.cat.categories]
    return {
        "name": name,
        "kind": "names",
        "codes": pack(np.where(codes < 0, _NO_VALUE, codes)),
        "names": list(map(shown_name, names)),
        "hues": [hues[one] for one in names],
        "counts": counts.tolist(),
    }


def shares(values: NDArray[np.floating], name: str) -> dict[str, Any]:
    """Pack numbers from 0 to 1 as whole numbers from 0 to 1,000."""
    values = np.asarray(values, np.float64)
    codes = np.where(np.isfinite(values), np.round(1000 * np.clip(np.nan_to_num(values), 0, 1)), _NO_VALUE)
    return {"name": name, "kind": "numbers", "codes": pack(codes), "low": 0.0, "high": 1.0}


def colourings(adata: AnnData, slots: Slots, rows: NDArray[np.intp]) -> list[dict[str, Any]]:
    """Return what a map of some rows can be coloured by: label, confidence, and the other columns of few names."""
    part = adata.obs.iloc[rows]
    known = {slots.label: "Label", slots.confidence: "Confidence", slots.group: "Group found", "cell_type": "Cell type"}
    out = [categories(adata, rows, slots.label, "Label")]
    if slots.confidence in part:
        out.append(shares(part[slots.confidence].to_numpy(), "Confidence"))
    for column in part.columns:
        own = column.startswith(f"{slots.key}_") and column not in (slots.group, slots.rollup)
        named = isinstance(part[column].dtype, pd.CategoricalDtype)
        if named and not own and 1 < int(part[column].nunique()) <= MOST_CATEGORIES:
            out.append(categories(adata, rows, column, known.get(column, shown_name(str(column)))))
    return out


def sampled_map(
    adata: AnnData, slots: Slots, *, basis: str | None, most: int, rng: Rng
) -> tuple[NDArray[np.intp], NDArray[np.float32], str]:
    """Return rows to show (all, or a seeded sample of `most`), their places, and what the axes are called."""
    rows = np.arange(adata.n_obs)
    if adata.n_obs > most:
        rows = np.sort(np.random.default_rng(as_seed(rng)).choice(adata.n_obs, most, replace=False))
    flat, axis_name = map_of(adata, basis=basis, embedding=Labelled(adata, slots).embedding, rng=rng)
    return rows, flat[rows], axis_name
