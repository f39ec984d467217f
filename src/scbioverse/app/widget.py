"""`sb.widget`: the page in a notebook."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from .._lazy import import_optional
from .actions import static, tried
from .shown import Shown
from .visitor import Visitor

if TYPE_CHECKING:
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse


def widget(
    adata: AnnData,
    *,
    key_added: str = "bioverse",
    label_key: str | None = None,
    basis: str | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    key: str | None = None,
    model: str | Path | BioVerse = "bioverse-small",
    title: str = "",
) -> Any:
    """Show the page of :func:`scbioverse.serve` in a notebook; no server, no port.

    Parameters
    ----------
    adata
        Cells with labels, as :func:`scbioverse.tl.annotate` leaves them; not changed.
    key_added, label_key, basis, groupby, layer, key, model, title
        As in :func:`scbioverse.serve`.

    Returns
    -------
    A widget (anywidget). Its method `annotated()` returns a copy of `adata`, as it was when the page was made, with the
    labels as they are now.

    Raises
    ------
    MissingKeyError
        There are no labels, no such column, or nothing to make a map of.
    InputError
        A slot cannot be used.
    OptionalDependencyError
        The extra `app` is not installed.

    Examples
    --------
    >>> page = sb.widget(adata)
    >>> page  # in a cell of its own: look, ask, correct
    >>> adata = page.annotated()
    """
    given = locals()
    anywidget = import_optional("anywidget", extra="app", purpose="the page in a notebook")
    visitor = Visitor(Shown(**given))

    class CellPage(anywidget.AnyWidget):  # type: ignore[name-defined, misc]
        """The page; see :func:`scbioverse.widget`."""

        _esm = script()
        _css = static("page.css")

        def __init__(self) -> None:
            super().__init__()
            self.on_msg(lambda one, content, _: one.send(answered(visitor, content)))

        def annotated(self) -> AnnData:
            """Return the data with the labels as they are now."""
            return visitor.adata().copy()

    return CellPage()


def answered(visitor: Visitor, content: Any) -> dict[str, Any]:
    """Run what a view of the widget asks for; what went wrong comes back as a sentence."""
    content = content if isinstance(content, dict) else {}
    args = content.get("args")
    found, status = tried(visitor, str(content.get("action")), args if isinstance(args, dict) else {})
    return {"id": content.get("id"), **({"found": found} if status == 200 else found)}


def script() -> str:
    """Return the page as one module: widgets load no others."""
    parts = list(map(static, ("layout.js", "parts.js", "values.js", "scatter.js", "page.js", "widget.js")))
    return "\n".join(re.sub(r"^(import .*;\n|export (?!default))", "", part, flags=re.MULTILINE) for part in parts)
