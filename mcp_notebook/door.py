"""The door in front of MCP over HTTP: who may come in, what they are taken for, and when they have to leave.

It says nothing but 401 to those who bring no valid token, and refuses Host and Origin headers that are not its own,
whatever address it listens on: a page in a browser reaches loopback as well. What headers say twice is refused, because
a proxy before us may have read the other one.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import NoReturn

import anyio
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecurityMiddleware, TransportSecuritySettings
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

from mcp_notebook.admission import Admission, CannotVerify, Verify, bearer
from mcp_notebook.callers import CONNECTION, OURS, PRINCIPAL, SESSION_ID_HEADER, Callers, at
from mcp_notebook.limits import Limits
from mcp_notebook.metadata import PREFIX, Metadata

PATH = "/mcp"
METHOD_HEADER = "mcp-method"
LISTEN = "subscriptions/listen"
ONCE = (
    "host",
    "origin",
    "authorization",
    "content-length",
    SESSION_ID_HEADER,
    MCP_PROTOCOL_VERSION_HEADER,
    METHOD_HEADER,
)
CLOSE = {"Connection": "close"}
RECHECK_S = 2.0
"""How often the tokens of those who are inside are looked at again."""

logger = logging.getLogger(__name__)


class Door:
    """The ASGI application."""

    def __init__(
        self,
        manager: StreamableHTTPSessionManager,
        callers: Callers,
        verify: Verify,
        hosts: list[str],
        limits: Limits,
        metadata: Metadata | None = None,
    ) -> None:
        self._manager = manager
        self._callers = callers
        self._verify = verify
        self._limits = limits
        self._metadata = metadata
        self._security = TransportSecurityMiddleware(
            TransportSecuritySettings(
                allowed_hosts=hosts,
                allowed_origins=[f"{scheme}://{host}" for host in hosts for scheme in ("http", "https")],
            )
        )
        self._inside: set[_Guest] = set()
        self._arrived = anyio.Event()
        self._closed = False

    def close(self) -> None:
        """Let nobody in any more."""
        self._closed = True

    def cut_off(self) -> None:
        """End what is still being served."""
        for guest in self._inside:
            guest.serving.cancel()

    async def watch(self) -> NoReturn:
        """See to it that those leave whose tokens are valid no more; never returns.

        A call that was let in is answered, also if its token expires meanwhile. What only listens ends with the token,
        and everything ends when the token is revoked: cells run on.
        """
        while True:
            while not self._inside:
                await self._arrived.wait()
            await anyio.sleep(RECHECK_S)
            for token in {guest.token for guest in self._inside}:
                if not await self._is_valid(token):
                    for guest in [each for each in self._inside if each.token == token]:
                        guest.turn_out()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        request = Request(scope)
        if refusal := await self._refusal_of_anybody(request):
            await refusal(scope, receive, send)
            return
        if self._metadata is not None and request.scope["path"].startswith(PREFIX):
            await self._metadata(scope, receive, send)
            return
        token = bearer(request.headers)
        try:
            admission = await self._verify(token) if token is not None else None
        except CannotVerify as exc:
            await _later(str(exc))(scope, receive, send)
            return
        if token is None or admission is None:
            await self._unauthorized(request.headers)(scope, receive, send)
        elif refusal := await self._refusal(request, admission.principal):
            await refusal(scope, receive, send)
        else:
            await self._serve(_Guest(token, admission, request), scope, receive, send)

    async def _serve(self, guest: "_Guest", scope: Scope, receive: Receive, send: Send) -> None:
        principal = guest.admission.principal
        guest.scope = {**scope, "user": user_of(principal), OURS: self._callers, PRINCIPAL: principal}
        answer = guest.answer = _Answer(send)
        with guest.serving:
            self._inside.add(guest)
            self._arrived.set()
            try:
                await self._let_in(guest, principal, receive, answer)
            finally:
                self._inside.discard(guest)
                if not self._inside:
                    self._arrived = anyio.Event()
        if guest.serving.cancelled_caught:
            refusal = self._unauthorized(Headers(scope=scope)) if guest.turned_out else closing()
            await answer.cut_off(refusal, scope, receive)

    async def _is_valid(self, token: str) -> bool:
        """As far as can be told now: who is inside stays where that is not known."""
        try:
            return await self._verify(token) is not None
        except CannotVerify:
            return True
        except Exception:  # else nobody would be looked at any more
            logger.exception("A token could not be looked at again")
            return True

    async def _refusal_of_anybody(self, request: Request) -> Response | None:
        """What is refused whoever it comes from, and what does not tell one from another."""
        headers = request.headers
        twice = next((name for name in ONCE if len(headers.getlist(name)) > 1), None)
        if twice is not None:
            return Response(f"The header {twice} was sent more than once.", status_code=400, headers=CLOSE)
        if "content-length" in headers and "transfer-encoding" in headers:
            return Response("Send Content-Length or Transfer-Encoding.", status_code=400, headers=CLOSE)
        if self._metadata is not None and request.scope["path"].startswith(PREFIX):
            return await self._security.validate_request(request, is_post=False)
        return None

    async def _refusal(self, request: Request, principal: str) -> Response | None:
        if self._closed:
            return closing()
        refusal = await self._security.validate_request(request, is_post=request.method == "POST")
        if refusal is None and request.scope["path"].rstrip("/") != PATH:
            return Response(f"There is nothing here: MCP is spoken at {PATH}.", status_code=404)
        return refusal or self._refusal_of_much(request, principal)

    def _refusal_of_much(self, request: Request, principal: str) -> Response | None:
        length = request.headers.get("content-length", "")
        if length.isdecimal() and int(length) > self._limits.request_bytes:
            return Response(
                f"A request has at most {self._limits.request_bytes:,} bytes ([limits] request_bytes): send the source"
                " in several cells, or have a cell read it from a file.",
                status_code=413,
            )
        most = self._limits.connections
        his = [guest for guest in self._inside if guest.admission.principal == principal and not guest.is_answered]
        if request.method != "GET" and sum(not guest.is_stream_of_session for guest in his) >= most:
            return _too_many(f"{most:,} of your requests are being answered", "wait for one, or end a stream")
        if _begins(request) and self._callers.count(principal) + sum(guest.begins for guest in his) >= most:
            return _too_many(f"You have {most:,} MCP sessions", "end one with DELETE")
        return None

    async def _let_in(self, guest: "_Guest", principal: str, receive: Receive, answer: "_Answer") -> None:
        scope = guest.scope
        headers = Headers(scope=scope)
        session_id = headers.get(SESSION_ID_HEADER)
        if not _is_handshake(headers):
            await self._manager.handle_request(scope, receive, answer)
            return
        if session_id is None:
            answer.on_session = partial(self._callers.begin, principal=principal)
        with at(visit := self._callers.find(session_id, principal)):
            if visit is not None and scope["method"] == "DELETE":
                visit.leave()
            await self._manager.handle_request(scope, receive, answer)
            if visit is not None and answer.status == 404:
                visit.leave()

    def _unauthorized(self, headers: Headers) -> Response:
        challenge = 'Bearer realm="mcp-notebook"'
        if "authorization" in headers:
            challenge += ', error="invalid_token"'
        if self._metadata is not None:
            challenge += f', resource_metadata="{self._metadata.url}"'
        text = "Send the header `Authorization: Bearer TOKEN`, with a valid token of this server."
        return Response(text, status_code=401, headers={"WWW-Authenticate": challenge})


class _Guest:
    """A request that was let in, as long as it is being answered."""

    def __init__(self, token: str, admission: Admission, request: Request) -> None:
        self.token = token
        self.admission = admission
        self.scope: Scope = {}
        self.begins = _begins(request)
        """Whether it may open an MCP session."""
        self.is_stream_of_session = request.method == "GET"
        """Each MCP session has one."""
        self.listens = self.is_stream_of_session or request.headers.get(METHOD_HEADER) == LISTEN
        """Whether it has no end of its own."""
        self.serving = anyio.CancelScope()
        self.turned_out = False
        self.answer: _Answer | None = None

    @property
    def is_answered(self) -> bool:
        """Whether nothing more comes, or it is an MCP session now, which is counted as such."""
        answer = self.answer
        return answer is not None and (answer.is_complete or (self.begins and answer.status == 200))

    def turn_out(self) -> None:
        """Its token is valid no more."""
        if not self.listens and time.time() >= self.admission.expires_at:
            return
        self.turned_out = True
        if (connection := self.scope.get(CONNECTION)) is not None:
            connection.closed = True  # it is no cancelled call: its cell runs on
        self.serving.cancel()


class _Answer:
    """Sends a response on, and remembers how far it came."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.on_session: Callable[[str], None] | None = None
        """Called with the id when the response opens an MCP session."""
        self.status: int | None = None
        self.is_complete = False

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            session_id = Headers(raw=list(message["headers"])).get(SESSION_ID_HEADER)
            if self.on_session is not None and session_id is not None and message["status"] == 200:
                self.on_session(session_id)
        else:
            self.is_complete = not message.get("more_body", False)
        await self._send(message)

    async def cut_off(self, refusal: Response, scope: Scope, receive: Receive) -> None:
        """End it where it is, with ``refusal`` where it has not begun."""
        if self.status is None:
            await refusal(scope, receive, self._send)
        elif not self.is_complete:
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})


def user_of(principal: str) -> AuthenticatedUser:
    """What the SDK binds an MCP session to: another one's requests for it find nothing."""
    return AuthenticatedUser(AccessToken(token="", client_id=principal, scopes=[]))


def closing() -> Response:
    """The server ends; its client has to ask again, of whoever comes after us."""
    return _later("The server is ending. Cells run on: ask again later.")


def _later(text: str) -> Response:
    return Response(text, status_code=503, headers={"Retry-After": "5"})


def _too_many(what: str, remedy: str) -> Response:
    text = f"{what}, which is the most ([limits] connections): {remedy}, then ask again."
    return Response(text, status_code=429, headers={"Retry-After": "5"})


def _is_handshake(headers: Headers) -> bool:
    version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
    return version is None or version in HANDSHAKE_PROTOCOL_VERSIONS


def _begins(request: Request) -> bool:
    return request.method == "POST" and SESSION_ID_HEADER not in request.headers and _is_handshake(request.headers)
