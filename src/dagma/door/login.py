"""Who may ask at all: whoever has the token of this installation.

The local form of a login. A browser gets the token by a link, which sets a cookie; a program sends it
as `Authorization: Bearer`.
"""

import hashlib
import hmac
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlencode

from starlette.types import ASGIApp, Receive, Scope, Send

from dagma.door.guard import HEALTH, refuse
from dagma.door.token import PARAMETER

#: Seconds that a browser keeps the cookie: thirty days, which a new token ends as well.
COOKIE_AGE = 30 * 24 * 3600


class Login:
    """ASGI middleware that lets in who has the token, and answers 401 to all others."""

    def __init__(self, app: ASGIApp, token: str, product: str) -> None:
        """Guard an application.

        Args:
            app: The application.
            token: What opens the door.
            product: Its name; a cookie is good for this one only.
        """
        self._app = app
        self._token = token.encode()
        self._product = product
        # Cookies know no ports: the name tells the stacks of one machine apart.
        self._name = b"dagma-%s-%s" % (product.encode(), self._derived("name")[:8])
        self._value = self._derived("cookie")

    def _derived(self, purpose: str) -> bytes:
        message = f"{purpose} {self._product}".encode()
        return hmac.new(self._token, message, hashlib.sha256).hexdigest().encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket") or scope["path"] in HEALTH:
            await self._app(scope, receive, send)
        elif _has_parameter(scope):
            await self._enter(scope, receive, send)
        elif self._is_known(scope["headers"]):
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, 401, self._sentence())

    def _is_known(self, headers: Iterable[tuple[bytes, bytes]]) -> bool:
        for name, value in headers:
            if name == b"authorization":
                scheme, _, rest = value.partition(b" ")
                if scheme.lower() == b"bearer" and _same(rest.strip(), self._token):
                    return True
            elif name == b"cookie" and self._has_cookie(value):
                return True
        return False

    def _has_cookie(self, header: bytes) -> bool:
        for part in header.split(b";"):
            name, _, value = part.strip().partition(b"=")
            if name == self._name and _same(value, self._value):
                return True
        return False

    async def _enter(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Take the token out of the address, before anything writes that to a log."""
        given, rest = _taken_out(scope)
        scope["query_string"] = rest
        may = scope["type"] == "http" and scope["method"] == "GET"
        if not may or not _same(given, self._token):
            await refuse(scope, receive, send, 401, self._sentence())
            return
        headers = [
            (b"location", _place(scope)),
            (b"set-cookie", self._cookie(scope["scheme"] == "https")),
            (b"referrer-policy", b"no-referrer"),
            (b"cache-control", b"no-store"),
            (b"content-length", b"0"),
        ]
        await send({"type": "http.response.start", "status": 303, "headers": headers})
        await send({"type": "http.response.body", "body": b""})

    def _cookie(self, secure: bool) -> bytes:
        age = b"; Path=/; Max-Age=%d; HttpOnly; SameSite=Lax" % COOKIE_AGE
        return self._name + b"=" + self._value + age + (b"; Secure" if secure else b"")

    def _sentence(self) -> str:
        return (
            "Refused: this server answers only to who has its token. `dagma open "
            f"{self._product}` opens it in the browser of the user who started it; programs send the "
            "content of secrets/token in the state directory as `Authorization: Bearer`, MLflow's "
            "client with MLFLOW_TRACKING_TOKEN. The setting is DAGMA_TOKEN.\n"
        )


def _same(given: bytes, right: bytes) -> bool:
    return hmac.compare_digest(given, right)


def _has_parameter(scope: Scope) -> bool:
    query: bytes = scope["query_string"]
    return PARAMETER.encode() in query and any(
        name == PARAMETER for name, _ in parse_qsl(query.decode("latin-1"))
    )


def _taken_out(scope: Scope) -> tuple[bytes, bytes]:
    """The token in an address, and the query without it."""
    pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
    given = [value for name, value in pairs if name == PARAMETER]
    rest = urlencode([pair for pair in pairs if pair[0] != PARAMETER])
    return given[0].encode(), rest.encode()


def _place(scope: Scope) -> bytes:
    """The address without the token; never one of another site, as //name would be."""
    path: bytes = scope.get("raw_path") or scope["path"].encode()
    query: bytes = scope["query_string"]
    return b"/" + path.lstrip(b"/\\") + (b"?" + query if query else b"")
