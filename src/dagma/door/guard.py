"""No page of another site uses a web interface in the name of the person who opened the page.

What a browser says about a request (its `Host`, `Origin` and `Sec-Fetch-Site`) decides; programs
say none of the last two. Nothing changes by GET, nor by what a page may send to any site without
asking first (Fetch standard, CORS-safelisted requests).
"""

from typing import NamedTuple
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dagma.door.site import HOSTS, Site

#: Pages that say no more than that the service is there, which every probe may ask for: Dagster's,
#: and MLflow's two.
HEALTH = frozenset({"/server_info", "/health", "/version"})
#: Content types that a page may send unasked; a POST without one is another such.
_UNASKED = frozenset({"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"})
_GRAPHQL = "/graphql"
_GRAPHQL_TYPES = frozenset({"application/json", "application/graphql"})
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
_READ = (
    b"host",
    b"origin",
    b"content-type",
    b"sec-fetch-site",
    b"sec-fetch-mode",
    b"sec-fetch-dest",
)


class Guard:
    """ASGI middleware that answers 403, with a sentence, what a page of another site asks."""

    def __init__(self, app: ASGIApp, site: Site, framed: bool = True) -> None:
        """Guard an application.

        Args:
            app: The application.
            site: Its names.
            framed: Whether the application itself says who may show it in a frame.
        """
        self._app = app
        self._site = site
        self._framed = framed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
        elif reason := refusal(scope, self._site):
            await refuse(scope, receive, send, 403, f"Refused: {reason}\n")
        else:
            await self._app(scope, receive, send if self._framed else _unframed(send))


class _Asked(NamedTuple):
    """What a browser says about a request; empty where it says nothing."""

    host: str
    origin: str
    content_type: str
    site: str
    mode: str
    destination: str

    @classmethod
    def of(cls, scope: Scope) -> "_Asked":
        found: dict[bytes, bytes] = {}
        for name, value in scope["headers"]:
            if name in _READ:  # one that comes twice becomes a value that nothing allows
                found[name] = found[name] + b"," + value if name in found else value
        return cls(*(found.get(name, b"").decode("latin-1").strip().lower() for name in _READ))


def refusal(scope: Scope, site: Site) -> str | None:
    """Why a request is refused, and what to do; None when it is not."""
    asked = _Asked.of(scope)
    if not site.answers_to(asked.host) and scope["path"] not in HEALTH:
        return (
            f"this server does not answer to the host name {_quoted(asked.host)}. "
            f"If it is one of its names, add it to {HOSTS}."
        )
    if asked.origin:
        if not site.has_pages_of(asked.origin, asked.host):
            return (
                f"the request comes from a page of another site, {_quoted(asked.origin)}. "
                f"If people reach this server at that address, name it in {site.origins_setting}."
            )
    elif asked.site in ("cross-site", "same-site") and not _opens_a_page(scope, asked):
        return (
            "the browser says that a page of another site asks "
            f"(Sec-Fetch-Site: {asked.site}). Open the address itself."
        )
    return None if scope["type"] == "websocket" else _unsafe(scope, asked)


def _opens_a_page(scope: Scope, asked: _Asked) -> bool:
    """Whether a person follows a link: a page in a window of its own, not a part of another page."""
    navigates = asked.mode == "navigate" and asked.destination == "document"
    return navigates and scope["type"] == "http" and scope["method"] == "GET"


def _unsafe(scope: Scope, asked: _Asked) -> str | None:
    kind = asked.content_type.partition(";")[0].strip()
    graphql = scope["path"].endswith(_GRAPHQL)
    if scope["method"] in _SAFE:
        if graphql and _changes(scope["query_string"]):
            return "a mutation has to be sent by POST, as JSON."
        return None
    if graphql and kind not in _GRAPHQL_TYPES:
        return "a GraphQL query has to be sent as JSON: Content-Type: application/json."
    if kind in _UNASKED and not asked.origin and scope["method"] == "POST":
        return "a POST has to be sent as JSON: Content-Type: application/json."
    return None


def _changes(query_string: bytes) -> bool:
    """Whether a GraphQL query in an address is more than a query."""
    queries = parse_qs(query_string.decode("latin-1")).get("query", [])
    return any(_more_than_queries(query) for query in queries)


def _more_than_queries(text: str) -> bool:
    from graphql import GraphQLError, OperationDefinitionNode, OperationType, parse

    try:
        document = parse(text)
    except GraphQLError:
        return False  # the application says what is wrong with it
    return any(
        isinstance(node, OperationDefinitionNode) and node.operation is not OperationType.QUERY
        for node in document.definitions
    )


def _quoted(value: str) -> str:
    """A header's value for a sentence: nothing in it can be more than text."""
    return ascii(value[:100])


def _unframed(send: Send) -> Send:
    """Let no other site show the pages in a frame, where people would click on what they do not see."""

    async def with_header(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = [*message.get("headers", ()), (b"x-frame-options", b"SAMEORIGIN")]
            message = {**message, "headers": headers}
        await send(message)

    return with_header


async def refuse(scope: Scope, receive: Receive, send: Send, status: int, text: str) -> None:
    """Answer with a status and a sentence; a websocket is not opened, which browsers see as 403."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": ""})
        return
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"x-content-type-options", b"nosniff"),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text.encode()})
