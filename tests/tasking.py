"""A client of the SDK that knows MCP tasks, and asks about them when a test likes."""

from typing import Any, ClassVar, Literal

import anyio
from mcp import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.client.session import ClientSession
from mcp_types import CallToolResult, Request, RequestParams, Result

from mcp_notebook.task_extension import IDENTIFIER, TaskCreated


class Named(RequestParams):
    """What a task's methods take."""

    task_id: str
    input_responses: dict[str, Any] | None = None


class TaskRequest(Request[Named, str]):
    """Any of them."""

    name_param: ClassVar[str] = "taskId"
    method: str
    params: Named


class Told(Result):
    """Any of their results."""

    result_type: Literal["complete"]
    task_id: str = ""
    status: str = ""
    input_requests: dict[str, Any] | None = None
    result: CallToolResult | None = None


class Knowing(ClientExtension):
    """A client that knows tasks, and leaves them to the test."""

    identifier = IDENTIFIER

    def claims(self) -> Any:
        return [ResultClaim(result_type="task", model=TaskCreated, resolve=_until_over)]


async def _until_over(created: TaskCreated, context: ClaimContext) -> CallToolResult:
    told = await over(context.session, created.task_id)
    assert told.result is not None
    return told.result


async def ask(session: ClientSession, method: str, task_id: str, **more: Any) -> Told:
    """A request about a task."""
    return await session.send_request(TaskRequest(method=method, params=Named(task_id=task_id, **more)), Told)


async def until(session: ClientSession, task_id: str, *statuses: str) -> Told:
    """The task, once it has one of these statuses."""
    with anyio.fail_after(60):
        while True:
            told = await ask(session, "tasks/get", task_id)
            if told.status in statuses:
                return told


async def over(session: ClientSession, task_id: str) -> Told:
    """The task, once it is over."""
    return await until(session, task_id, "completed", "failed", "cancelled")


async def begin(client: Client, tool: str = "execute_cell", **arguments: Any) -> TaskCreated:
    """A call that goes on as a task."""
    created = await client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(created, TaskCreated), created
    return created
