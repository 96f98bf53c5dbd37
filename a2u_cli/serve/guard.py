"""The door of the server: what is let in, before anything else is done, and what every answer says.

A page of somebody else's in the same browser can send requests to this machine, and can make its
own name lead here (DNS rebinding). So the Host is compared with an exact list before all else, a
request that the browser says comes from elsewhere is refused, and the API wants a token, which is
in the address's fragment that no browser sends anywhere.
"""

import hmac
from collections.abc import Iterable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .refusals import Refused

API = "/api/"
TOKEN = "x-a2u-token"  # noqa: S105 the header's name
OWN_SITES = ("same-origin", "none")  # none: typed, or a bookmark
HEADERS = {
    "content-security-policy": (
        "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
        "form-action 'none'; frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-store",
}


def known_hosts(host: str, port: int, names: Iterable[str] = ()) -> frozenset[str]:
    """List what a request may name as its Host: this address, and the machine's own names.

    So may it other `names` that were given; a page of somebody else's cannot choose among these.
    """
    all_names = {host, "127.0.0.1", "localhost", "::1", *names}
    literals = {f"[{name}]" if ":" in name else name.lower() for name in all_names}
    return frozenset(f"{name}:{port}" for name in literals) | (literals if port == 80 else set())


class Guard:
    """Wraps the app: refuses in words, and sets the headers of every answer."""

    def __init__(self, app: ASGIApp, hosts: frozenset[str], token: str) -> None:
        self.app, self.hosts, self.token = app, hosts, token.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request in, or answer it."""
        if scope["type"] == "lifespan":
            await self.app(scope, receive, send)
        if scope["type"] != "http":
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                if message["status"] >= 400:  # a body that nobody reads may be under way
                    headers["connection"] = "close"
            await send(message)

        try:
            self._require(scope)
        except Refused as refused:
            await refused.response(scope, receive, send_guarded)
        else:
            await self.app(scope, receive, send_guarded)

    def _require(self, scope: Scope) -> None:
        """Refuse who may not ask; the Host comes first."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or hosts[0].lower() not in self.hosts:
            found = ", ".join(hosts) or "none"
            raise Refused(
                421,
                f"the Host is {found!r}, expected one of {', '.join(sorted(self.hosts))}; open the "
                "address that a2u serve printed",
            )
        is_api = scope["path"].startswith(API)
        opens = headers.get("sec-fetch-mode") == "navigate" and not is_api  # a link to the page
        origins, site = headers.getlist("origin"), headers.get("sec-fetch-site", "none")
        own = {f"http://{host}" for host in self.hosts}
        if not own.issuperset(origins) or not (opens or site in OWN_SITES):
            found = ", ".join(origins) or site
            raise Refused(
                403, f"the request comes from {found!r}, expected this server's own page; open it"
            )
        if is_api and not hmac.compare_digest(_token(headers), self.token):
            raise Refused(
                401,
                "the token is missing or wrong, expected the one behind #token= in the address "
                "that a2u serve printed; send it as the header X-A2U-Token",
            )


def _token(headers: Headers) -> bytes:
    bearer = headers.get("authorization", "").removeprefix("Bearer ")
    return headers.get(TOKEN, bearer).encode()
