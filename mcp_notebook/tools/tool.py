"""One tool: a function of ours, its schema, and the way from a call to a result.

The SDK's ``Tool`` is kept for the table of the server; its ``run`` is not, because it turns strings
that look like JSON into other types (a cell whose source is ``[1, 2]``), ignores unknown arguments,
and puts "Error executing tool" before every refusal.
"""

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping
from copy import copy
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Annotated, Any, Self

import anyio
from mcp.server.mcpserver import Context
from mcp.server.mcpserver.tools import Tool
from mcp.server.mcpserver.utilities.func_metadata import func_metadata
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, InputResponses, Result, TextContent, ToolAnnotations
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError, create_model

from mcp_notebook.batch.performing import NotebookRuns
from mcp_notebook.errors import BadRequest, KernelDied, NotebookError
from mcp_notebook.passwords import PasswordPages
from mcp_notebook.render import shortened
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import DEFAULT_WAIT_S, Settings
from mcp_notebook.task_extension import declares_tasks
from mcp_notebook.tools.elicitation import NOTHING, Elicitation, elicitation

REFUSAL_CHARS = 3000

SessionHandle = Annotated[
    str | None,
    Field(
        description="Handle from open_session. May be left out while this connection has a single session; "
        "a sub-agent passes its own, and a client of stateless HTTP passes it always."
    ),
]
RequestId = Annotated[
    str | None,
    Field(
        description="Your own name for this request. Sending it again attaches to the first run instead "
        "of starting another."
    ),
]

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Call:
    """What a tool knows of the request that it answers."""

    sessions: Sessions
    settings: Settings
    connection: Connection
    passwords: PasswordPages
    runs: NotebookRuns
    report_progress: Callable[[float, float | None, str | None], Awaitable[None]]
    """(seconds since the call began, None, message); does nothing unless the client asked for it."""
    began: float = field(default_factory=anyio.current_time)
    key: str = ""
    """Names this request of this client, also when it comes again after the server's end."""
    comes_again: bool = False
    """Whether the client sends it again to the next server when this one ends without an answer."""
    can: Elicitation = NOTHING
    """What the client can ask its user."""
    state: str | None = None
    """What the server gave with a question that the client now brings the answer to."""
    responses: InputResponses | None = None
    """The answers."""
    makes_tasks: bool = False
    """Whether the client can be answered with a task."""
    is_resent: bool = False
    """Whether an earlier server got it, and may have begun what it asks for."""


@dataclass(frozen=True)
class Declaration:
    """A row of the table of tools. The function's name and docstring are the tool's."""

    function: Callable[..., Awaitable[Any]]
    title: str
    read_only: bool = False
    destructive: bool = False
    idempotent: bool = False
    open_world: bool = False
    structured: bool = False


class _Own:
    """What a tool has beside what the SDK knows of it, in one place: pydantic's private attributes are slow."""

    def __init__(
        self,
        sessions: Sessions,
        settings: Settings,
        passwords: PasswordPages,
        runs: NotebookRuns,
        row: Declaration,
        arguments: type[BaseModel],
    ) -> None:
        self.sessions, self.settings, self.passwords, self.row = sessions, settings, passwords, row
        self.runs = runs
        self.arguments = arguments
        self.fields = arguments.model_fields


class NotebookTool(Tool):
    """A tool whose arguments arrive as they were sent and whose refusals arrive as they were written."""

    _own: "_Own" = PrivateAttr()

    @classmethod
    def declared(
        cls, row: Declaration, settings: Settings, sessions: Sessions, passwords: PasswordPages, runs: NotebookRuns
    ) -> Self:
        """The tool of one row, with the defaults that ``settings`` give it."""
        metadata = func_metadata(row.function, skip_names=["call"], structured_output=row.structured)
        arguments = _arguments(metadata.arg_model, settings)
        tool = cls(
            fn=row.function,
            name=row.function.__name__,
            title=row.title,
            description=inspect.cleandoc(row.function.__doc__ or ""),
            parameters=_schema(arguments),
            fn_metadata=metadata,
            is_async=True,
            context_kwarg=None,
            annotations=ToolAnnotations(
                title=row.title,
                read_only_hint=row.read_only,
                destructive_hint=row.destructive,
                idempotent_hint=row.idempotent,
                open_world_hint=row.open_world,
            ),
        )
        tool._own = _Own(sessions, settings, passwords, runs, row, arguments)
        return tool

    async def run(self, arguments: dict[str, Any], context: Context[Any, Any], convert_result: bool = False) -> Result:
        """Never raises but for the protocol's own errors: whatever went wrong is a result to read."""
        try:
            call = self._call(context)
            accepted = self._accept(arguments, call.connection)
            with self._own.sessions.calls.answering():
                result = await self.fn(call, **accepted)
        except KernelDied as exc:
            return self._death(str(exc))
        except NotebookError as exc:
            logger.info("%s refused: %r", self.name, str(exc))
            return refusal(str(exc))
        except MCPError:
            raise
        except Exception as exc:
            logger.exception("%s failed", self.name)
            return refusal(
                f"{self.name} failed inside mcp-notebook ({type(exc).__name__}), which is a bug there and "
                "not in your call. Whether it was carried out is not known: read_notebook and "
                'control_kernel(action="status") show what there is. Details are in the server\'s log.'
            )
        if isinstance(result, Result):
            return result
        if self._own.row.structured:
            converted = self.fn_metadata.convert_result(result)
            assert isinstance(converted, CallToolResult)
            return converted
        if isinstance(result, str):
            result = [TextContent(text=result)]
        return CallToolResult(content=result)

    def _death(self, text: str) -> CallToolResult:
        """A dead kernel is a state to be told, as the answers of ``execute_cell`` do, and no failure of the call."""
        data = {"status": "dead", "message": text} if self._own.row.structured else None
        return CallToolResult(content=[TextContent(text=text)], structured_content=data)

    def _call(self, context: Context[Any, Any]) -> Call:
        connection: Connection = context.request_context.lifespan_context
        if not connection.client_name and (client := context.session.client_params):
            connection.client_name = client.client_info.name
        request = context.request_id
        own = self._own
        return Call(
            own.sessions,
            own.settings,
            connection,
            own.passwords,
            own.runs,
            context.report_progress,
            can=elicitation(context.request_context),
            state=context.request_state,
            responses=context.input_responses,
            makes_tasks=declares_tasks(context.request_context),
            key=f"{connection.lease}:{request}",
            is_resent=request in connection.resent,
            comes_again=connection.comes_again
            and (own.row.read_only or self.name == "execute_cell" or context.request_state is not None),
        )

    def _accept(self, arguments: Mapping[str, Any], connection: Connection) -> dict[str, Any]:
        own = self._own
        known = own.fields
        if unknown := [name for name in arguments if name not in known]:
            raise BadRequest(_unknown_argument(self.name, unknown[0], list(known)))
        for name, value in arguments.items():
            if isinstance(value, str) and not value.isascii() and not _is_unicode(value):
                raise BadRequest(
                    f"{name} holds half of a surrogate pair, which is not a valid character. Nothing was done; send "
                    "the character itself, or write it as an escape in the source."
                )
        try:
            # A null stands for "not given": clients send it for whatever they leave out.
            given = {name: value for name, value in arguments.items() if value is not None}
            wait = known.get("wait_s")
            if connection.wait_s is not None and wait is not None and wait.default == own.settings.wait_s:
                given.setdefault("wait_s", connection.wait_s)
            accepted = own.arguments.model_validate(given)
        except ValidationError as exc:
            raise BadRequest(_wrong_arguments(self.name, exc)) from None
        return {name: getattr(accepted, name) for name in known}


async def report_nothing(_progress: float, _total: float | None, _message: str | None) -> None:
    """For a call that nobody waits for."""


def refusal(text: str) -> CallToolResult:
    """A call that could not be carried out; ``text`` says what to do, and may quote an argument of any length."""
    text = shortened(text, REFUSAL_CHARS)
    return CallToolResult(content=[TextContent(text=text)], is_error=True)


def _arguments(base: type[BaseModel], settings: Settings) -> type[BaseModel]:
    strict = type(base.__name__, (base,), {"model_config": ConfigDict(extra="forbid"), "__module__": __name__})
    wait = base.model_fields.get("wait_s")
    if wait is None or wait.default != DEFAULT_WAIT_S:
        return strict
    configured = copy(wait)
    configured.default = settings.wait_s
    return create_model(base.__name__, __base__=strict, wait_s=(float, configured))


def _schema(arguments: type[BaseModel]) -> dict[str, Any]:
    schema = arguments.model_json_schema()
    schema.pop("title", None)
    schema.pop("description", None)
    for parameter in schema.get("properties", {}).values():
        parameter.pop("title", None)
    return schema | {"additionalProperties": False}


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unknown_argument(tool: str, name: str, known: list[str]) -> str:
    close = get_close_matches(name, known, n=1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    parameters = f"Its parameters: {', '.join(known)}." if known else "It has no parameters."
    return f"{tool} has no parameter {name!r}.{meant} {parameters} Nothing was done."


def _wrong_arguments(tool: str, exc: ValidationError) -> str:
    faults = [
        f"{'.'.join(str(part) for part in error['loc'])}: {error['msg']}"
        for error in exc.errors(include_url=False, include_input=False, include_context=False)
    ]
    return f"{tool} cannot use these arguments. {'; '.join(faults)}. Nothing was done; call it again."
