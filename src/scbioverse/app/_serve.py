"""`sb.serve`: the page on this machine."""

from __future__ import annotations

import os
import secrets
import socket
import sys
import threading
import webbrowser
from typing import TYPE_CHECKING, Any

from .._lazy import import_optional
from .._logging import logger
from ..errors import InputError
from .shown import Shown

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from anndata import AnnData

    from ..models import BioVerse
    from .http import Visitors

# Names by which a browser on this machine may call it.
LOOPBACK = ("127.0.0.1", "localhost")


class Page:
    """A page that is being served; `url` is the link that opens it, with its token."""

    def __init__(self, server: Any, thread: threading.Thread, visitors: Visitors, url: str) -> None:
        self._server, self._thread, self._visitors, self.url = server, thread, visitors, url

    def wait(self) -> None:
        """Wait until Ctrl-C, then stop."""
        try:
            while self._thread.is_alive():
                self._thread.join(0.5)
        except KeyboardInterrupt:
            pass
        finally:
            self.stop()

    def stop(self) -> None:
        """End the server. A warning in the log says where corrections were not downloaded."""
        if self._thread.is_alive():
            self._server.should_exit = True
            self._thread.join(10)
        if lost := self._visitors.unsaved():
            logger.warning("%d visitor(s) had corrections that were not downloaded; these are gone", lost)

    def __repr__(self) -> str:
        return f"Page({'open' if self._thread.is_alive() else 'closed'}, {self.url.partition('?')[0]})"


def serve(
    adata: AnnData,
    *,
    key_added: str = "bioverse",
    label_key: str | None = None,
    basis: str | None = None,
    groupby: str | None = None,
    layer: str | None = None,
    key: str | None = None,
    model: str | Path | BioVerse = "bioverse-small",
    host: str = "127.0.0.1",
    port: int = 8642,
    allow_hosts: Sequence[str] = (),
    token: str | None = None,
    title: str = "cells.h5ad",
    open_browser: bool = False,
    wait: bool = True,
) -> Page:
    """Show cells on a page in the browser: a map, questions, and labels that are corrected by hand.

    This machine serves the page to itself alone; the link that opens it holds a secret token. Nothing is loaded
    from elsewhere. Each visitor corrects labels of their own and downloads them as a file; `adata` is not changed.

    Parameters
    ----------
    adata
        Cells with labels, as :func:`scbioverse.tl.annotate` leaves them.
    key_added
        Stem of the slots that `annotate` wrote.
    label_key
        Column of `obs` with other labels to show and correct.
    basis
        Slot of `obsm` with the map. Without: `X_umap`, else a map is made of the embedding.
    groupby, layer, key, model
        For questions, as in :func:`scbioverse.tl.ask`; `layer` and `key` also say which genes the map is coloured by.
    host, port
        Where to listen; port 0 takes a free one.
    allow_hosts
        Further names by which browsers may call this machine, where `host` lets others in.
    token
        The secret in the link; a new random one if not given.
    title
        Name of the data, from which that of the downloaded file is made.
    open_browser
        Open the link in this machine's browser, where it has a screen.
    wait
        Return only after Ctrl-C. Without, the page is served until :meth:`Page.stop`.

    Returns
    -------
    The page: `url`, `wait()` and `stop()`.

    Raises
    ------
    MissingKeyError
        There are no labels, no such column, or nothing to make a map of.
    InputError
        The port is taken, the token is too short, or a slot cannot be used.
    OptionalDependencyError
        The extra `app` is not installed.

    Examples
    --------
    >>> sb.tl.annotate(adata)
    >>> page = sb.serve(adata, wait=False)
    >>> page.url
    """
    uvicorn = import_optional("uvicorn", extra="app", purpose="the page")
    import_optional("starlette", extra="app", purpose="the page")
    from .http import Visitors, make_app

    if token is not None and (len(token) < 16 or not token.isascii() or not token.isalnum()):
        raise InputError("token must be 16 or more letters and digits, so that nobody guesses it.")
    secret = token or secrets.token_hex(16)
    listening = _listen(host, port)
    try:
        shown = Shown(
            adata, key_added=key_added, label_key=label_key, basis=basis, groupby=groupby, layer=layer, key=key,
            model=model, title=title,
        )  # fmt: skip
    except BaseException:
        listening.close()
        raise
    place = listening.getsockname()[1]
    visitors = Visitors(shown)
    app = make_app(visitors, token=secret, hosts=[*LOOPBACK, host, *allow_hosts], cookie=f"scbioverse_{place}")
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, limit_concurrency=64, lifespan="off",
        ws="none", timeout_keep_alive=5, timeout_graceful_shutdown=3,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, name="scbioverse-page", daemon=True)
    thread.start()
    url = f"http://{host if host != '0.0.0.0' else LOOPBACK[0]}:{place}/?token={secret}"
    page = Page(server, thread, visitors, url)
    if open_browser and _has_screen():
        webbrowser.open(url)
    if wait:
        # The link is nowhere else, and warnings are heard where no logging is set up.
        logger.warning("%d cells on the page %s (Ctrl-C ends it)", shown.n, url)
        page.wait()
    return page


def _has_screen() -> bool:
    """Whether a browser could open a window here; one that draws in the terminal would take it over."""
    return not sys.platform.startswith("linux") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def _listen(host: str, port: int) -> socket.socket:
    """Take the port before anything is computed."""
    if ":" in host:
        raise InputError(f"host={host!r}: give a name or an IPv4 address.")
    found = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind((host, port))
        found.listen(64)
    except (OSError, OverflowError) as error:
        found.close()
        raise InputError(
            f"cannot listen on {host}:{port} ({error}). Choose another port, or port=0 for a free one."
        ) from error
    return found
