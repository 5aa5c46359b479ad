"""MCP's tasks extension: a call that takes long is answered by a task, which the client looks at, answers and cancels.

It knows the protocol and no kernels: what a task is, its finder knows. Only clients that declare the extension, in the
2026-07-28 era, get tasks. https://modelcontextprotocol.io/seps/2663-tasks-extension
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from mcp.server import ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.mcpserver.server import require_client_extension
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import MCP_NAME_HEADER, decode_header_value
from mcp_types import INVALID_PARAMS, CallToolResult, ElicitResult, ErrorData, InputRequests, RequestParams, Result
from mcp_types.jsonrpc import HEADER_MISMATCH
from mcp_types.version import MODERN_PROTOCOL_VERSIONS
from pydantic import Field, ValidationError

IDENTIFIER = "io.modelcontextprotocol/tasks"
POLL_INTERVAL_MS = 1000
KEPT_S = 3600
"""After its last change."""
MESSAGE_CHARS = 200
UNKNOWN = "There is no such task. Tasks are those of the caller's own sessions, by the taskId that a call returned."

Status = Literal["working", "input_required", "completed", "failed", "cancelled"]
Context = ServerRequestContext[Any, Any]


@dataclass(frozen=True)
class Look:
    """What there is to see of a task at one moment."""

    status: Status
    message: str = ""
    requests: InputRequests | None = None
    """What the user is asked, where input is required."""
    result: CallToolResult | None = None
    """Of a completed one."""
    error: ErrorData | None = None
    """Of a failed one."""


class Task(Protocol):
    """A job as one client sees it."""

    @property
    def id(self) -> str: ...

    @property
    def created(self) -> float:
        """In seconds since the epoch."""

    @property
    def updated(self) -> float:
        """When it changed last; of one that goes on, now."""

    async def look(self) -> Look: ...

    async def update(self, responses: Mapping[str, ElicitResult]) -> None:
        """The user's answers to some of what was asked; what nobody asks is ignored."""

    async def cancel(self) -> None:
        """See that it ends; of one that has ended nothing changes."""


Find = Callable[[Context, str], Awaitable[Task | None]]
"""The task of that id, if there is one and the caller may see it."""


class TaskCreated(Result):
    """What a call is answered with when it goes on as a task."""

    result_type: Literal["task"] = "task"
    task_id: str
    status: Status = "working"
    created_at: str
    last_updated_at: str
    ttl_ms: int
    poll_interval_ms: int = POLL_INTERVAL_MS


class _OneTask(RequestParams):
    task_id: str


class _Answers(_OneTask):
    input_responses: dict[str, Any] = Field(default_factory=dict)


def declares_tasks(context: Context) -> bool:
    """Whether the client that sent this request can be answered with a task."""
    capabilities = context.session.client_capabilities
    declared = capabilities.extensions if capabilities is not None else None
    return context.protocol_version in MODERN_PROTOCOL_VERSIONS and IDENTIFIER in (declared or {})


def task_created(identity: str, created: float, updated: float) -> TaskCreated:
    """That there is a task, which its finder finds from now on; the times are those of ``Task``."""
    kept_ms = int((max(0.0, updated - created) + KEPT_S) * 1000)
    return TaskCreated(task_id=identity, created_at=_iso(created), last_updated_at=_iso(updated), ttl_ms=kept_ms)


class Tasks(Extension):
    """The methods; ``finders`` are asked one after the other."""

    identifier = IDENTIFIER

    def __init__(self, *finders: Find) -> None:
        self._finders = finders

    def methods(self) -> Sequence[MethodBinding]:
        """``tasks/get``, ``tasks/update`` and ``tasks/cancel``."""
        versions = frozenset(MODERN_PROTOCOL_VERSIONS)
        return (
            MethodBinding("tasks/get", _OneTask, self._get, versions),
            MethodBinding("tasks/update", _Answers, self._update, versions),
            MethodBinding("tasks/cancel", _OneTask, self._cancel, versions),
        )

    async def _get(self, context: Context, params: _OneTask) -> dict[str, Any]:
        task = await self._task(context, params)
        look = await task.look()
        told: dict[str, Any] = {"status": look.status, "statusMessage": look.message[:MESSAGE_CHARS] or None}
        told |= {"inputRequests": {name: _wire(request) for name, request in (look.requests or {}).items()} or None}
        told |= {"result": look.result and _wire(look.result), "error": look.error and _wire(look.error)}
        times = _wire(task_created(task.id, task.created, task.updated))
        return times | {"resultType": "complete"} | {name: value for name, value in told.items() if value is not None}

    async def _update(self, context: Context, params: _Answers) -> dict[str, Any]:
        task = await self._task(context, params)
        await task.update(_elicited(params.input_responses))
        return {}

    async def _cancel(self, context: Context, params: _OneTask) -> dict[str, Any]:
        task = await self._task(context, params)
        await task.cancel()
        return {}

    async def _task(self, context: Context, params: _OneTask) -> Task:
        require_client_extension(context, IDENTIFIER)
        named = context.request.headers.get(MCP_NAME_HEADER) if context.request is not None else None
        if named is not None and decode_header_value(named) != params.task_id:
            raise MCPError(HEADER_MISMATCH, f"The header {MCP_NAME_HEADER} does not name the task of the body.")
        for find in self._finders:
            task = await find(context, params.task_id)
            if task is not None:
                return task
        raise MCPError(INVALID_PARAMS, UNKNOWN)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


def _wire(model: Any) -> dict[str, Any]:
    dumped: dict[str, Any] = model.model_dump(by_alias=True, mode="json", exclude_none=True)
    return dumped


def _elicited(responses: Mapping[str, Any]) -> dict[str, ElicitResult]:
    """Those that are answers of a user."""
    found = {}
    for name, response in responses.items():
        try:
            found[name] = ElicitResult.model_validate(response)
        except ValidationError:
            continue
    return found
