"""Notebooks and outputs as MCP resources, and the news of their changes.

``notebook://{session}`` is the notebook as Markdown, ``notebook://{session}/cells/{cell_id}/outputs/{n}``
the raw mime data of one output. The handshake era subscribes with ``resources/subscribe``, the
2026-07-28 era with ``subscriptions/listen``. News of a session are for its principal alone.
https://modelcontextprotocol.io/specification/2025-11-25/server/resources
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, NoReturn
from urllib.parse import quote, unquote

import anyio
import anyio.to_thread
from mcp.server import Server, ServerRequestContext
from mcp.server.session import ServerSession
from mcp.server.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    EmptyResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SubscribeRequestParams,
    TextResourceContents,
    UnsubscribeRequestParams,
)
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from nbformat import NotebookNode

from mcp_notebook.errors import NotebookError, UnknownSession
from mcp_notebook.news import News
from mcp_notebook.notebook import revision
from mcp_notebook.render import cell_markdown
from mcp_notebook.session import Session
from mcp_notebook.sessions import Connection, Sessions

Contents = TextResourceContents | BlobResourceContents
Request = ServerRequestContext[Connection, Any]

COALESCE_S = 0.4
"""Between two rounds of news: a cell that prints all the time changes its notebook all the time."""
SLOW_CLIENT_S = 2.0
NOTEBOOK_CHARS = 600_000
CELL_CHARS = 20_000
OUTPUT_BYTES = 850_000
"""Of one output, as it is sent; no message has over 900 KB."""

_URI = re.compile(r"notebook://(?P<session>[^/]+)(?:/cells/(?P<cell>[^/]+)/outputs/(?P<n>[0-9]{1,9}))?")
_BASE64 = re.compile(r"(?:[A-Za-z0-9+/]\s*){4,}(?:=\s*){0,2}")
_TEXTUAL = re.compile(r"text/|image/svg|application/(json|javascript|xml|x-tex)|.*\+(json|xml)$")

TEMPLATES = (
    ResourceTemplate(
        name="notebook",
        title="Notebook",
        uri_template="notebook://{session}",
        description="The session's notebook as Markdown: cells with ids, revisions and brief outputs.",
        mime_type="text/markdown",
    ),
    ResourceTemplate(
        name="output",
        title="Output of a cell",
        uri_template="notebook://{session}/cells/{cell_id}/outputs/{n}",
        description="One output, counted from 0, in each of its mime types, as the notebook holds it.",
    ),
)


class _Change(NamedTuple):
    user: str
    """The principal whose session it is."""
    handle: str
    cell_id: str | None


class Resources:
    """Serves the resources of all sessions."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions
        self.news = News()
        self._subscribed: dict[Connection, dict[str, ServerSession]] = {}
        self._peers: dict[Connection, ServerSession] = {}
        self._seen: set[str] = set()
        self._changed: set[_Change] = set()
        self._something = anyio.Event()
        sessions.listeners.append(self._note)

    def register(self, server: Server[Any]) -> None:
        """Take over the resource methods of ``server``: the list changes, and so do the mime types."""
        self.news.register(server)
        server.add_request_handler("resources/list", PaginatedRequestParams, self._list)
        server.add_request_handler("resources/templates/list", PaginatedRequestParams, self._templates)
        server.add_request_handler("resources/read", ReadResourceRequestParams, self._read)
        server.add_request_handler("resources/subscribe", SubscribeRequestParams, self._subscribe)
        server.add_request_handler("resources/unsubscribe", UnsubscribeRequestParams, self._unsubscribe)

    def forget(self, connection: Connection) -> None:
        """The connection is over."""
        self._subscribed.pop(connection, None)
        self._peers.pop(connection, None)

    async def publish_changes(self) -> NoReturn:
        """Tell subscribers what changed, each resource a few times a second at most; never returns."""
        while True:
            await self._something.wait()
            self._something = anyio.Event()
            changed, self._changed = self._changed, set()
            for user in {each.user for each in changed if each.handle not in self._seen}:
                await self._publish_list(user)
            self._seen |= {each.handle for each in changed}
            for user, uri in dict.fromkeys(self._uris(changed)):
                await self._publish_update(user, uri)
            await anyio.sleep(COALESCE_S)

    def _note(self, handle: str, cell_id: str | None) -> None:
        try:
            user = self._sessions.find(handle).principal
        except UnknownSession:  # ended, or never begun
            return
        if self._subscribed or self._peers or self.news.has_listeners(user):
            self._changed.add(_Change(user, handle, cell_id))
            self._something.set()
        else:
            self._seen.add(handle)

    def _uris(self, changed: Iterable["_Change"]) -> Iterator[tuple[str, str]]:
        for user, handle, cell_id in changed:
            yield user, notebook_uri(handle)
            if cell_id is None:
                continue
            try:
                session = self._sessions.find(handle)
                session.show_running()
                outputs = session.notebook.cell(cell_id).get("outputs", [])
            except NotebookError:  # ended, or deleted, since
                continue
            yield from ((user, output_uri(handle, cell_id, n)) for n in range(len(outputs)))

    async def _publish_update(self, user: str, uri: str) -> None:
        await self.news.tell(user, ResourceUpdated(uri=uri))
        for connection, uris in list(self._subscribed.items()):
            if uri in uris and connection.user == user:
                with anyio.move_on_after(SLOW_CLIENT_S):
                    await uris[uri].send_resource_updated(uri)

    async def _publish_list(self, user: str) -> None:
        await self.news.tell(user, ResourcesListChanged())
        for connection, peer in list(self._peers.items()):
            if connection.user == user:
                with anyio.move_on_after(SLOW_CLIENT_S):
                    await peer.send_resource_list_changed()

    async def _list(self, request: Request, params: PaginatedRequestParams) -> ListResourcesResult:
        self._remember(request)
        sessions = self._sessions.of(request.lifespan_context)
        return ListResourcesResult(resources=[_listed(session) for session in sessions])

    async def _templates(self, request: Request, params: PaginatedRequestParams) -> ListResourceTemplatesResult:
        return ListResourceTemplatesResult(resource_templates=list(TEMPLATES))

    async def _read(self, request: Request, params: ReadResourceRequestParams) -> ReadResourceResult:
        uri = str(params.uri)
        try:
            session, cell_id, n = self._target(uri, request.lifespan_context)
            if cell_id is None:
                return ReadResourceResult(contents=[await _notebook(uri, session)])
            return ReadResourceResult(contents=_output(uri, session, cell_id, n))
        except NotebookError as exc:
            raise MCPError(INVALID_PARAMS, str(exc), {"uri": uri}) from exc

    async def _subscribe(self, request: Request, params: SubscribeRequestParams) -> EmptyResult:
        uri = str(params.uri)
        try:
            self._target(uri, request.lifespan_context)
        except NotebookError as exc:
            raise MCPError(INVALID_PARAMS, str(exc), {"uri": uri}) from exc
        self._remember(request)
        self._subscribed.setdefault(request.lifespan_context, {})[uri] = request.session
        return EmptyResult()

    async def _unsubscribe(self, request: Request, params: UnsubscribeRequestParams) -> EmptyResult:
        self._subscribed.get(request.lifespan_context, {}).pop(str(params.uri), None)
        return EmptyResult()

    def _remember(self, request: Request) -> None:
        if request.protocol_version not in MODERN_PROTOCOL_VERSIONS:
            self._peers[request.lifespan_context] = request.session

    def _target(self, uri: str, connection: Connection) -> tuple[Session, str | None, int]:
        match = _URI.fullmatch(uri)
        if match is None:
            raise UnknownSession(
                f"{uri} is not a resource here. There are notebook://SESSION and "
                "notebook://SESSION/cells/CELL_ID/outputs/N; resources/list names the sessions."
            )
        session = self._sessions.find(unquote(match["session"]), connection)
        return session, unquote(match["cell"]) if match["cell"] else None, int(match["n"] or 0)


def notebook_uri(handle: str) -> str:
    """Where a session's notebook is read."""
    return f"notebook://{quote(handle, safe='')}"


def output_uri(handle: str, cell_id: str, n: int) -> str:
    """Where the output ``n`` (from 0) of a cell is read."""
    return f"{notebook_uri(handle)}/cells/{quote(cell_id, safe='')}/outputs/{n}"


def _listed(session: Session) -> Resource:
    cells = len(session.notebook.cells)
    kernel = session.kernel_info.display_name if session.kernel_info else "no kernel"
    return Resource(
        uri=notebook_uri(session.handle),
        name=session.name,
        title=session.path.name if session.path is not None else session.name,
        description=f"{cells} cells, {kernel} {session.state}{f': {session.cause_of_death}' if session.death else ''}",
        mime_type="text/markdown",
    )


async def _notebook(uri: str, session: Session) -> Contents:
    session.show_running()
    text = await anyio.to_thread.run_sync(_markdown, session, session.marks())
    return TextResourceContents(uri=uri, mime_type="text/markdown", text=text)


def _markdown(session: Session, marks: dict[str, str]) -> str:
    parts: list[str] = [f"> {session.death}\n"] if session.death else []
    room = NOTEBOOK_CHARS
    for position, cell in enumerate(list(session.notebook.cells)):
        part = cell_markdown(
            cell,
            position=position,
            revision=revision(cell),
            mark=marks.get(cell["id"]),
            outputs="brief",
            chars=CELL_CHARS,
            rest="The rest: get_output(cell_id={cell_id!r})",
        )
        if len(part) > room:
            parts.append(f"The cells from #{position} on are left out: the notebook is too long.\n")
            break
        parts.append(part)
        room -= len(part)
    return "\n".join(parts)


def _output(uri: str, session: Session, cell_id: str, n: int) -> list[Contents]:
    session.show_running()
    outputs: list[NotebookNode] = session.notebook.cell(cell_id).get("outputs", [])
    if n >= len(outputs):
        raise NotebookError(f"Cell {cell_id} has {len(outputs)} outputs, counted from 0: there is no {n}.")
    contents = _mime_contents(uri, outputs[n])
    size = sum(len(each.text.encode() if isinstance(each, TextResourceContents) else each.blob) for each in contents)
    if size > OUTPUT_BYTES:
        raise NotebookError(
            f"This output has {size:,} bytes, and a message carries at most {OUTPUT_BYTES:,}: get_output pages its"
            " text, and save_notebook writes all of it to the .ipynb."
        )
    return contents


def _mime_contents(uri: str, output: NotebookNode) -> list[Contents]:
    match output["output_type"]:
        case "stream":
            return [_contents(uri, "text/plain", output["text"])]
        case "error":
            error = {name: output[name] for name in ("ename", "evalue", "traceback")}
            return [_contents(uri, "application/vnd.jupyter.error+json", error)]
    return [_contents(uri, mime, data) for mime, data in output["data"].items()]


def _contents(uri: str, mime: str, data: Any) -> Contents:
    if isinstance(data, list) and all(isinstance(line, str) for line in data) and "json" not in mime:
        data = "".join(data)
    if isinstance(data, str) and not _TEXTUAL.match(mime) and _BASE64.fullmatch(data):
        return BlobResourceContents(uri=uri, mime_type=mime, blob="".join(data.split()))
    text = data if isinstance(data, str) else json.dumps(data, ensure_ascii=False)
    return TextResourceContents(uri=uri, mime_type=mime, text=text.encode("utf-8", "replace").decode())
