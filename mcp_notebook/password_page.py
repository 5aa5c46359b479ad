"""The page of one password prompt, on a loopback listener of its own that ends with the prompt.

Its address has a token that nobody can guess, and is told to the client alone that asks its user. What is typed goes
to the cell and is neither logged nor kept. No page of another site can read it, be a frame around it, or reach it by a
name of its own.
"""

import html
import secrets
import socket
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import anyio
import anyio.abc
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mcp_notebook.errors import NotebookError
from mcp_notebook.execution import Execution
from mcp_notebook.web_server import WebServer

Give = Callable[[str], Awaitable[None]]
"""Passes a password on. Raises NotebookError: nobody waits for it any more."""

HOST = "127.0.0.1"
LONGEST_BODY = 64 << 10
FIELD = "password"
END_WITHIN_S = 1
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; "
    "frame-ancestors 'none'; base-uri 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
OVER = "It is not wanted any more"
PAGE = """\
<!DOCTYPE html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{title}</title>
<style>body {{ font: 1.1em/1.5 system-ui, sans-serif; margin: 15vh auto 0; max-width: 30em; padding: 1em }}
input, button {{ font: inherit; padding: .4em; }} code {{ white-space: pre-wrap; }}</style>
<h1>{title}</h1>{body}
"""
FORM = """\
<p>Cell <code>{cell}</code> of your notebook asks:</p><form method="post">
<p><label><code>{prompt}</code> <input type="password" name="{field}" autofocus autocomplete="off"></label>
<button>Give it to the cell</button></p></form>
<p>It goes to the cell's code, and to nobody else. Close this page if you did not expect it.</p>
"""


async def serve(execution: Execution, give: Give, *, task_status: anyio.abc.TaskStatus[str]) -> None:
    """Serve the page until ``execution`` no longer waits for this; starts with its address. Raises OSError."""
    asked, path = execution.asked, f"/{secrets.token_urlsafe(32)}"
    over = anyio.Event()
    with socket.create_server((HOST, 0)) as listening:
        async with anyio.create_task_group() as outside:
            outside.start_soon(_set_when_over, execution, asked, over)
            with anyio.CancelScope(shield=True):  # it is ended by us, in good order
                async with anyio.create_task_group() as inside:
                    listener = WebServer(
                        _application(execution, path, give, over), timeout_graceful_shutdown=END_WITHIN_S
                    )
                    inside.start_soon(listener.serve, [listening])
                    task_status.started(f"http://{HOST}:{listening.getsockname()[1]}{path}")
                    await over.wait()
                    listener.should_exit = True
            outside.cancel_scope.cancel()


async def _set_when_over(execution: Execution, asked: str, event: anyio.Event) -> None:
    try:
        while execution.asked == asked:
            await execution.changed()
    finally:
        event.set()


def _application(execution: Execution, path: str, give: Give, over: anyio.Event) -> Starlette:
    async def show(_: Request) -> Response:
        if over.is_set():
            return _page(OVER, "<p>You can close this page.</p>", 410)
        prompt = (execution.prompt or "").strip() or "Password:"
        return _page(
            "A password is asked for", FORM.format(cell=execution.cell_id, prompt=html.escape(prompt), field=FIELD)
        )

    async def take(request: Request) -> Response:
        password = await _password(request)
        if password is None:
            return _page("That was no password", "<p>Go back and try again.</p>", 400)
        try:
            await give(password)
        except NotebookError as exc:
            return _page(OVER, f"<p>{html.escape(str(exc))}</p>", 409)
        return _page("The cell has it", "<p>You can close this page.</p>")

    routes = [Route(path, show, methods=["GET"]), Route(path, take, methods=["POST"])]
    return Starlette(routes=routes, middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=[HOST])])


async def _password(request: Request) -> str | None:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_BODY:
            return None
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=2)
    except ValueError:
        return None
    return fields.get(FIELD, [None])[0]


def _page(title: str, body: str, status: int = 200) -> Response:
    return HTMLResponse(PAGE.format(title=title, body=body), status, HEADERS)
