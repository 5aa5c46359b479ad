"""The tools of the conformance suite's scenarios on tasks: jobs that are no cells, under the same extension."""

import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any

import anyio
from anyio.abc import TaskGroup
from mcp.server import MCPServer
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.server import require_client_extension
from mcp.server.mcpserver.tools import Tool
from mcp_types import (
    INTERNAL_ERROR,
    CallToolResult,
    ElicitRequest,
    ElicitRequestFormParams,
    ElicitResult,
    ErrorData,
    InputRequests,
    InputRequiredResult,
    Result,
    TextContent,
)

from mcp_notebook.task_extension import IDENTIFIER, Look, TaskCreated, declares_tasks, task_created
from mcp_notebook.task_extension import Context as RequestContext

Ctx = Context[Any, Any]
Work = Callable[["Job"], Awaitable[CallToolResult | ErrorData]]


class Job:
    """A task in memory, whose work may ask."""

    def __init__(self, identity: str) -> None:
        self.id = identity
        self.created = self.updated = time.time()
        self.asked: InputRequests = {}
        self.answers: dict[str, ElicitResult] = {}
        self.scope = anyio.CancelScope()
        self.ended: Look | None = None
        self._answered = anyio.Event()

    async def run(self, work: Work) -> None:
        """To its end."""
        with self.scope:
            outcome = await work(self)
            if isinstance(outcome, ErrorData):
                self.ended = Look("failed", error=outcome)
            else:
                self.ended = Look("completed", result=outcome)
        self.ended = self.ended or Look("cancelled")
        self.updated = time.time()

    async def ask(self, **questions: str) -> None:
        """Wait until all are answered."""
        self.asked = {name: _form(question, "confirm", "boolean") for name, question in questions.items()}
        while self.asked:
            self._answered = anyio.Event()
            await self._answered.wait()

    async def look(self) -> Look:
        return self.ended or (Look("input_required", requests=self.asked) if self.asked else Look("working"))

    async def update(self, responses: Mapping[str, ElicitResult]) -> None:
        self.answers |= {name: answer for name, answer in responses.items() if name in self.asked}
        self.asked = {name: request for name, request in self.asked.items() if name not in responses}
        self._answered.set()

    async def cancel(self) -> None:
        self.scope.cancel()


class Jobs:
    """All of them; ``tasks`` owns their work."""

    def __init__(self, tasks: TaskGroup) -> None:
        self._tasks = tasks
        self._jobs: dict[str, Job] = {}

    async def find(self, _context: RequestContext, identity: str) -> Job | None:
        """Everybody may see each."""
        return self._jobs.get(identity)

    async def answer(self, ctx: Ctx, work: Work) -> Result:
        """A task, or for a client that knows none the outcome."""
        if declares_tasks(ctx.request_context):
            return self.begin(work)
        outcome = await work(Job(""))
        return outcome if isinstance(outcome, CallToolResult) else said(outcome.message, is_error=True)

    def begin(self, work: Work) -> TaskCreated:
        """A task that is found from now on."""
        job = Job(f"job-{len(self._jobs)}")
        self._jobs[job.id] = job
        self._tasks.start_soon(job.run, work)
        return task_created(job.id, job.created, job.updated)


class JobTool(Tool):
    """A function whose result goes to the wire as it is: the SDK's own tools know no tasks."""

    async def run(self, arguments: dict[str, Any], context: Ctx, convert_result: bool = False) -> Any:
        """A text is the one exception."""
        result = await super().run(arguments, context)
        return result if isinstance(result, Result) else said(str(result))


def register(server: MCPServer[Any], jobs: Jobs) -> None:
    """Add the tools to ``server``, which asks ``jobs`` for its tasks."""

    async def greet(name: str) -> str:
        """Answer at once."""
        return f"Hello, {name}!"

    async def slow_compute(seconds: float, ctx: Ctx, label: str = "") -> Result:
        """Sleep, and tell that."""
        return await jobs.answer(ctx, partial(sleep, seconds, f"computed {label}"))

    async def failing_job(ctx: Ctx) -> Result:
        """Fail, as a task or not at all."""
        require_client_extension(ctx.request_context, IDENTIFIER)
        return jobs.begin(partial(sleep, 1, "it failed", is_error=True))

    async def protocol_error_job(ctx: Ctx) -> Result:
        """Break down."""
        return await jobs.answer(ctx, break_down)

    async def confirm_delete(filename: str, ctx: Ctx) -> Result:
        """Ask before it does nothing."""
        return await jobs.answer(ctx, partial(ask, confirm=f"Delete {filename}?"))

    async def multi_input(ctx: Ctx) -> Result:
        """Ask two things at once."""
        return await jobs.answer(ctx, partial(ask, first="One?", second="Two?"))

    async def test_tool_with_task(ctx: Ctx) -> Result:
        """Ask first, then go on as a task."""
        answer = (ctx.input_responses or {}).get("user_name")
        if not isinstance(answer, ElicitResult):
            request = _form("What is your name?", "name", "string")
            return InputRequiredResult(input_requests={"user_name": request}, request_state="asked")
        return jobs.begin(partial(sleep, 0, f"Hello, {(answer.content or {}).get('name')}!"))

    for function in (
        greet, slow_compute, failing_job, protocol_error_job, confirm_delete, multi_input, test_tool_with_task,
    ):  # fmt: skip
        tool = JobTool.from_function(function, structured_output=False)
        server._tool_manager._tools[tool.name] = tool


async def sleep(seconds: float, text: str, _job: Job, *, is_error: bool = False) -> CallToolResult:
    """The work of some."""
    await anyio.sleep(seconds)
    return said(text, is_error=is_error)


async def break_down(_job: Job) -> ErrorData:
    """The work of one."""
    return ErrorData(code=INTERNAL_ERROR, message="It broke down.")


async def ask(job: Job, **questions: str) -> CallToolResult:
    """The work of those that ask."""
    await job.ask(**questions)
    return said(f"Answered: {', '.join(job.answers)}")


def said(text: str, *, is_error: bool = False) -> CallToolResult:
    """A result of one text."""
    return CallToolResult(content=[TextContent(text=text)], is_error=is_error)


def _form(message: str, name: str, kind: str) -> ElicitRequest:
    form = {"type": "object", "properties": {name: {"type": kind}}, "required": [name]}
    return ElicitRequest(params=ElicitRequestFormParams(message=message, requested_schema=form))
