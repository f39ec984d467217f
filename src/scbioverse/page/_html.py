"""A page as one text: templates filled, everything that is a user's escaped, scripts named by their checksums."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape
from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    texts = [static(name) for name in scripts]
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
