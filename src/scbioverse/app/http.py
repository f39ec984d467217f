"""The page over HTTP: who may see it, how large a request may be, and which headers keep it to itself.

A link with a token opens it once a browser; after that a cookie says who visits. Requests must name this server as
their host, which those of a foreign page that points its own name here (DNS rebinding) do not. Actions are POST with
JSON from this very page: a form of another site can send neither.
"""

from __future__ import annotations

import json
import secrets
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.base import BaseHTTPMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from .._logging import printable
from .actions import body_limit, static, tried
from .visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.middleware.base import RequestResponseEndpoint
    from starlette.requests import Request

    from .shown import Shown

MOST_VISITORS = 8
STATIC = dict.fromkeys(("http.js", "layout.js", "page.js", "parts.js", "scatter.js", "values.js"), "text/javascript")
STATIC["page.css"] = "text/css"
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
_NO_TOKEN = (
    "This page opens with the link that the program printed, which ends in a token: http://…/?token=…. "
    "Copy the whole link."
)


class Visitors:
    """Who visits, by the cookie that they were given; at `most` so many at one time.

    One who has corrected nothing makes room for another; with corrections nobody does.
    """

    def __init__(self, shown: Shown, most: int = MOST_VISITORS) -> None:
        self.shown, self.most = shown, most
        self._held: dict[str, Visitor] = {}
        self._lock = threading.Lock()

    def get(self, cookie: str) -> Visitor | None:
        """Return who has this cookie, who then is the one seen last."""
        with self._lock:
            found = self._held.pop(cookie, None)
            if found is not None:
                self._held[cookie] = found
            return found

    def new(self) -> str | None:
        """Take a visitor in and return the cookie; None where there is no room."""
        with self._lock:
            if len(self._held) >= self.most:
                idle = next((one for one, who in self._held.items() if not who.corrections.n_done), None)
                if idle is None:
                    return None
                del self._held[idle]
            cookie = secrets.token_urlsafe(24)
            self._held[cookie] = Visitor(self.shown)
            return cookie

    def unsaved(self) -> int:
        """Visitors whose corrections were not downloaded."""
        return sum(who.unsaved for who in self._held.values())


def make_app(
    visitors: Visitors, *, token: str, hosts: Sequence[str] = ("127.0.0.1", "localhost"), cookie: str = "scbioverse"
) -> Starlette:
    """Return the application, which a link with the `token` opens.

    `hosts` are the names that requests may give this server; servers on other ports of one machine need other cookies.
    """
    site = _Site(visitors, token, cookie)
    routes = [
        Route("/", site.index),
        Route("/static/{name}", site.part),
        Route("/download", site.download),
        Route("/api/{name}", site.action, methods=["POST"]),
    ]
    guards = [
        Middleware(BaseHTTPMiddleware, dispatch=_with_headers),
        Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False),
    ]
    return Starlette(routes=routes, middleware=guards)


@dataclass(frozen=True)
class _Site:
    """What is answered to whom."""

    visitors: Visitors
    token: str
    cookie: str

    def who(self, request: Request) -> Visitor | None:
        """Return who asks; None for one without our cookie."""
        return self.visitors.get(request.cookies.get(self.cookie, ""))

    def index(self, request: Request) -> Response:
        """Show the page, or let in who brings the token."""
        given, known = request.query_params.get("token"), self.who(request) is not None
        if given is None:
            return HTMLResponse(static("index.html")) if known else PlainTextResponse(_NO_TOKEN, 403)
        if not secrets.compare_digest(given.encode(), self.token.encode()):
            return PlainTextResponse(_NO_TOKEN, 403)
        # The address without the token is what stays in the history.
        answer = RedirectResponse("/", 303)
        if known:
            return answer
        fresh = self.visitors.new()
        if fresh is None:
            text = f"{self.visitors.most} visitors have corrections here. Start a server of your own, or wait."
            return PlainTextResponse(text, 503)
        answer.set_cookie(self.cookie, fresh, httponly=True, samesite="lax", path="/")
        return answer

    def part(self, request: Request) -> Response:
        """Hand out a file that the page is made of."""
        name = request.path_params["name"]
        if name not in STATIC:
            return PlainTextResponse("not here", 404)
        return Response(static(name), media_type=STATIC[name])

    async def action(self, request: Request) -> Response:
        """Do what the page asks for."""
        who = self.who(request)
        if who is None:
            return _failed(_NO_TOKEN, 403)
        origin = request.headers.get("origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("host"):
            return _failed("requests of other pages are not answered.", 403)
        if request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return _failed("arguments are JSON.", 415)
        limit = body_limit(self.visitors.shown.n)
        body = await _bounded(request, limit)
        if body is None:
            return _failed(f"a request may hold {limit} bytes.", 413)
        try:
            args = json.loads(body or b"{}")
        except (ValueError, RecursionError):
            return _failed("arguments are JSON.", 400)
        if not isinstance(args, dict):
            return _failed("arguments are a JSON object.", 400)
        return JSONResponse(*await run_in_threadpool(tried, who, request.path_params["name"], args))

    def download(self, request: Request) -> Response:
        """Hand out the data with the labels as this visitor left them."""
        who = self.who(request)
        # A link on another site would bring the cookie along; browsers say where a request comes from.
        if who is None or request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            return PlainTextResponse(_NO_TOKEN, 403)
        folder = tempfile.TemporaryDirectory(prefix="scbioverse-")
        place = Path(folder.name) / "annotated.h5ad"
        try:
            who.save(place)
        except (OSError, ValueError, TypeError) as error:
            folder.cleanup()
            return PlainTextResponse(f"the file cannot be written: {printable(str(error))}", 507)
        name = f"{Path(self.visitors.shown.title or 'cells').stem}.annotated.h5ad"
        done = BackgroundTask(folder.cleanup)
        return FileResponse(place, media_type="application/x-hdf5", filename=name, background=done)


async def _with_headers(request: Request, answer_to: RequestResponseEndpoint) -> Response:
    """Add the headers that keep the page to itself to every answer."""
    answer = await answer_to(request)
    answer.headers.update(_HEADERS)
    return answer


def _failed(text: str, status: int) -> Response:
    return JSONResponse({"error": printable(text)}, status)


async def _bounded(request: Request, limit: int) -> bytes | None:
    """Read a request's body; None where it is larger than it may be."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > limit:
            return None
    return bytes(body)
