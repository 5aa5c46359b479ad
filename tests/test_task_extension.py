"""Executions as MCP tasks, for a client that declares the extension; real cells, the SDK's own client."""

from collections.abc import AsyncIterator

import pytest
from mcp import Client, MCPError
from mcp.server import MCPServer
from mcp_types import INVALID_PARAMS, ElicitResult

from mcp_notebook.server import arriving
from mcp_notebook.sessions import Connection, Sessions
from tests.asker import nobody
from tests.calls import call, structured, text_of
from tests.tasking import Knowing, ask, begin, over, until

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(server: MCPServer[Connection], sessions: Sessions, anyio_backend: str) -> AsyncIterator[Client]:
    """A client that knows tasks and can ask its user."""
    async with Client(server, cache=None, elicitation_callback=nobody, extensions=[Knowing()]) as client:
        yield client
        for each in (await structured(client, "list_sessions"))["sessions"]:
            await sessions.end(sessions.find(each["session"]))


async def test_a_quick_cell_is_no_task(client: Client) -> None:
    """Its result comes at once."""
    assert "\n2" in await call(client, "execute_cell", source="1 + 1")


async def test_a_long_cell_is_a_task(client: Client) -> None:
    """Which the SDK's client follows to its result: the one that the call would have had at the end."""
    text = await call(client, "execute_cell", source="import time; time.sleep(1.5); print('done')")
    assert text.startswith("[1] ok")
    assert "\ndone" in text


async def test_a_task_works_and_is_cancelled(client: Client) -> None:
    """The cell is interrupted, the kernel lives; to cancel it again changes nothing."""
    await call(client, "execute_cell", source="x = 5")
    created = await begin(client, source="while True: pass", wait_s=0)
    assert (await ask(client.session, "tasks/get", created.task_id)).status == "working"
    await ask(client.session, "tasks/cancel", created.task_id)
    assert (await over(client.session, created.task_id)).status == "cancelled"
    await ask(client.session, "tasks/cancel", created.task_id)
    assert "\n5" in await call(client, "execute_cell", source="x")


async def test_a_run_of_a_notebook_is_a_task(client: Client, sessions: Sessions) -> None:
    """It is followed to its result, or is cancelled; one that has ended is no longer cancelled."""
    source = '# %% tags=["parameters"]\ntop = 2\n\n# %%\nimport time\nwhile time.sleep(0.1) or top > 2:\n    pass\n'
    (sessions.settings.workspace / "long.py").write_text(f"{source}time.sleep(1.5)\nprint('done')\n")
    text = await call(client, "notebook_execute", path="long.py")
    assert " ok: " in text
    created = await begin(client, "notebook_execute", path="long.py", parameters={"top": 3})
    told = await ask(client.session, "tasks/get", created.task_id)
    assert told.status == "working"
    await ask(client.session, "tasks/cancel", created.task_id)
    assert (await over(client.session, created.task_id)).status == "cancelled"
    await ask(client.session, "tasks/cancel", created.task_id)
    with pytest.raises(MCPError, match="no such task"):
        await ask(client.session, "tasks/get", "n-00000000")


async def test_a_cell_that_fails_has_completed(client: Client) -> None:
    """As its result tells, which is no error of the call."""
    created = await begin(client, source="1 / 0", wait_s=0)
    told = await over(client.session, created.task_id)
    assert told.status == "completed"
    assert told.result is not None and not told.result.is_error
    assert "ZeroDivisionError" in text_of(told.result)


async def test_a_task_asks(client: Client) -> None:
    """One thing after the other, each under a name of its own; answers to anything else are ignored."""
    created = await begin(client, source="print([input('x? ') for _ in range(2)])", wait_s=0)
    names = []
    for answer in ("a", "b"):
        told = await until(client.session, created.task_id, "input_required")
        ((name, request),) = (told.input_requests or {}).items()
        assert request["params"]["message"] == "x?"
        names.append(name)
        given = {"action": "accept", "content": {"answer": answer}}
        responses = {"nobody-asked": {"ignored": True}, names[0]: given, name: given}
        await ask(client.session, "tasks/update", created.task_id, input_responses=responses)
    told = await over(client.session, created.task_id)
    assert len(set(names)) == 2
    assert told.result is not None and "['a', 'b']" in text_of(told.result)


async def test_who_declines_gets_the_cell_back(client: Client) -> None:
    """It is not asked again, and waits for an answer by another call."""
    created = await begin(client, source="print(input('x? '))", wait_s=0)
    told = await until(client.session, created.task_id, "input_required")
    (name,) = told.input_requests or {}
    no = ElicitResult(action="decline").model_dump(by_alias=True, exclude_none=True)
    await ask(client.session, "tasks/update", created.task_id, input_responses={name: no})
    told = await over(client.session, created.task_id)
    assert told.result is not None and "waiting_for_input" in text_of(told.result)
    assert "\nyes" in await call(client, "control_kernel", action="answer", text="yes")


async def test_a_run_is_a_task_too(client: Client) -> None:
    """Of all cells; cancelled it runs no more of them."""
    await call(client, "edit_cell", source="n = 1", edit_mode="insert", cell_type="code")
    await call(client, "edit_cell", source="input('go? ')", edit_mode="insert", cell_type="code")
    await call(client, "edit_cell", source="n = 2", edit_mode="insert", cell_type="code")
    created = await begin(client, "control_kernel", action="run_all", wait_s=0)
    await until(client.session, created.task_id, "input_required")
    await ask(client.session, "tasks/cancel", created.task_id)
    assert (await over(client.session, created.task_id)).status == "cancelled"
    assert "n" in await call(client, "inspect_variables")
    assert (await call(client, "execute_cell", source="n")).endswith("\n1")


async def test_nobody_else_sees_it(client: Client, server: MCPServer[Connection]) -> None:
    """Another principal's task is as unknown as one that was never made."""
    created = await begin(client, source="input('x? ')", wait_s=0)
    handle = created.task_id.rpartition(":")[0]
    for unknown in ("nobody:e-1", f"{handle}:e-00000000", f"{handle}:r-00000000", handle, ":", ""):
        assert await _code_of(client, unknown) == INVALID_PARAMS
    with arriving(Connection(principal="somebody else")):
        async with Client(server, cache=None, extensions=[Knowing()]) as other:
            assert await _code_of(other, created.task_id) == INVALID_PARAMS
    await ask(client.session, "tasks/cancel", created.task_id)


async def _code_of(client: Client, task_id: str) -> int:
    """With which each method refuses it."""
    codes = set()
    for method in ("tasks/get", "tasks/update", "tasks/cancel"):
        with pytest.raises(MCPError) as refused:
            await ask(client.session, method, task_id)
        codes.add(refused.value.code)
    (code,) = codes
    return code
