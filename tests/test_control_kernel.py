"""control_kernel: what stays, what is lost, and what is said of it."""

import json
import re
from functools import partial

import anyio
import pytest
from mcp import Client
from mcp_types import TextResourceContents

from tests.calls import call, refused, run, status, structured, value
from tests.conftest import ERAS

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS, indirect=True)

FOR_EVER = "import time\nwhile True: time.sleep(0.01)"


@both_eras
async def test_interrupt_stops_the_cell_and_keeps_the_variables(client: Client) -> None:
    """The cells that were queued behind it run."""
    await run(client, "kept = 1")
    stuck = await run(client, FOR_EVER, wait_s=0)
    queued = await run(client, "kept += 1", wait_s=0)
    await call(client, "control_kernel", action="interrupt")
    ended = await call(client, "get_output", execution_id=value(stuck, "execution_id"), wait_s=30)
    assert status(ended) == "interrupted"
    after = await call(client, "get_output", execution_id=value(queued, "execution_id"), wait_s=30)
    assert status(after) == "ok"
    assert (await run(client, "kept")).endswith("2")


async def test_restart_loses_the_variables_and_keeps_the_notebook(client: Client) -> None:
    """The cells are still there, and run_all gets the variables back."""
    await run(client, "gone = 5")
    await call(client, "control_kernel", action="restart")
    assert "NameError" in await run(client, "gone")
    text = await call(client, "read_notebook")
    assert "gone = 5" in text
    assert "stale" in text
    assert "2 of 2 cells ran" in await call(client, "control_kernel", action="run_all")
    assert (await run(client, "gone")).endswith("5")


async def test_a_dry_run_only_tells_the_plan(client: Client) -> None:
    """The cells that would run, in their order; nothing is done."""
    first = value(await run(client, "a = 1"), "cell")
    second = value(await run(client, "b = a"), "cell")
    plan = await call(client, "control_kernel", action="run_all", dry_run=True)
    assert plan.index(first) < plan.index(second)
    await call(client, "edit_cell", cell_id=second, source="b = 2 * a")
    stale = await call(client, "control_kernel", action="run_stale", dry_run=True)
    assert second in stale
    assert first not in stale
    assert (await run(client, "b")).endswith("1")


async def test_a_run_stops_at_the_first_error(client: Client) -> None:
    """And says at which cell."""
    await run(client, "1")
    failing = value(await run(client, "1 / 0"), "cell")
    await run(client, "print('not reached')")
    text = await call(client, "control_kernel", action="run_all")
    assert failing in text
    assert "2 of 3" in text


async def test_rebuild_replays_what_had_succeeded(client: Client) -> None:
    """After a kill the variables are back, without the cell that had failed."""
    await run(client, "a = 1")
    await run(client, "1 / 0")
    await run(client, "b = a + 1")
    await call(client, "control_kernel", action="kill")
    dead = await run(client, "b")
    assert status(dead) == "dead"
    assert "rebuild" in dead
    await call(client, "control_kernel", action="rebuild")
    assert (await run(client, "a + b")).endswith("3")


async def test_a_rebuild_says_which_results_differ(client: Client) -> None:
    """By cell and in a few words; what changes by itself does not count, and failures are named."""
    await run(client, "import os, time\nprint(object(), 'at', time.strftime('%H:%M:%S'))")
    pid = value(await run(client, "x = 1\nos.getpid()"), "cell")
    once = value(await run(client, "open('once', 'x').close()"), "cell")
    behind = value(await run(client, "behind = x"), "cell")
    await call(client, "control_kernel", action="kill")
    text = await call(client, "control_kernel", action="rebuild")
    assert f"3 of 4 cells ran; stopped at cell {once} (error)" in text
    assert "1 of 2 results differ from before." in text
    assert f"cell={pid}: line 1 was '" in text
    assert behind not in text
    await run(client, "os.remove('once')")
    text = await call(client, "control_kernel", action="rebuild")
    assert "stopped" not in text
    assert (await run(client, "behind")).endswith("1")


async def test_the_plan_of_a_rebuild_tells_what_is_left_out(client: Client) -> None:
    """And why, cell by cell."""
    await run(client, "before = 1")
    await call(client, "control_kernel", action="restart")
    done = value(await run(client, "done = 1\ndone"), "cell")
    await run(client, "1 / 0")
    await run(client, "exit()")
    await call(client, "edit_cell", edit_mode="insert", source="never")
    await call(client, "edit_cell", edit_mode="insert", source="")
    await call(client, "edit_cell", edit_mode="insert", source="# Text", cell_type="markdown")
    plan = await call(client, "control_kernel", action="rebuild", dry_run=True)
    assert plan.splitlines()[:3] == [
        "rebuild would run 1 cell. Nothing was done.",
        f"#1 cell={done} done = 1 ...",
        "Left out:",
    ]
    reasons = [re.sub(r"#(\d) cell=\w+", r"#\1", line) for line in plan.splitlines()[3:]]
    assert reasons == [
        "#0 it ran before the last restart",
        "#2 its latest run ended as error",
        "#3 its latest run ended as dead",
        "#4 it has not run in this session",
        "#5 it is empty",
    ]
    assert "1 of 1 cells ran" in await call(client, "control_kernel", action="rebuild")


@both_eras
async def test_a_dead_kernel_is_told_wherever_one_looks(client: Client) -> None:
    """In the document, the list of sessions, the resource, the status, the session that is opened again."""
    await call(client, "open_session", name="mortal")
    await run(client, "lost = 1")
    await run(client, "import os; os._exit(5)")
    said = "ended with exit code 5"
    for tool, arguments in {
        "read_notebook": {},
        "list_sessions": {},
        "open_session": {"name": "mortal"},
        "control_kernel": {"action": "status"},
        "inspect_variables": {},
    }.items():
        text = await call(client, tool, **arguments)
        assert said in text, text
        assert "lost" in text
    (listed,) = (await client.list_resources()).resources
    assert said in str(listed.description)
    (contents,) = (await client.read_resource(listed.uri)).contents
    assert isinstance(contents, TextResourceContents)
    assert contents.text.startswith(f"> The kernel's process {said}")


@both_eras
async def test_a_kernel_that_dies_is_told_at_once(client: Client) -> None:
    """The waiting call answers with status dead, which is an ordinary result."""
    text = await run(client, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
    assert status(text) == "dead"
    assert "was killed by signal 9" in text


async def test_status_is_told_while_a_cell_runs(client: Client) -> None:
    """As data that can be read."""
    await run(client, FOR_EVER, wait_s=0)
    told = json.loads(await call(client, "control_kernel", action="status"))
    assert told["state"] in ("busy", "starting")
    await call(client, "control_kernel", action="interrupt")


async def test_shutdown_keeps_the_document(client: Client) -> None:
    """It can be read and saved; a new kernel comes with restart."""
    await run(client, "print('seen')")
    await call(client, "control_kernel", action="shutdown")
    assert "seen" in await call(client, "read_notebook")
    assert "Saved" in await call(client, "save_notebook", path="after-shutdown.ipynb")
    await call(client, "control_kernel", action="restart")
    assert status(await run(client, "1")) == "ok"


async def test_a_request_that_comes_twice_runs_once(client: Client) -> None:
    """The second one attaches to the first; other arguments under its id are refused."""
    await run(client, "count = 0")
    for _ in range(2):
        assert (await run(client, "count += 1; count", request_id="r1")).endswith("1")
    assert "r1" in await refused(client, "execute_cell", source="other", request_id="r1")
    first = await call(client, "control_kernel", action="run_all", request_id="r2")
    assert await call(client, "control_kernel", action="run_all", request_id="r2") == first


async def test_nothing_waits_for_an_answer(client: Client) -> None:
    """An answer without a question is refused."""
    await run(client, "1")
    assert "waits" in await refused(client, "control_kernel", action="answer", text="x")


async def test_a_password_is_not_asked_for_in_the_conversation(client: Client) -> None:
    """The result says what to do instead, and an interrupt ends the waiting."""
    text = await run(client, "import getpass\ngetpass.getpass('token: ')")
    assert status(text) == "waiting_for_input"
    assert "must not pass through this conversation" in text
    await call(client, "control_kernel", action="interrupt")
    assert status(await run(client, "1")) == "ok"


async def test_a_run_that_takes_long_is_followed_by_its_id(client: Client) -> None:
    """What hands back names the call that waits for the rest."""
    await run(client, "go = input")
    await run(client, "line = go('? ')", wait_s=0)
    await call(client, "control_kernel", action="interrupt")
    text = await call(client, "control_kernel", action="run_all")
    assert "waits for input" in text
    run_id = value(text.replace('execution_id="e-', ""), "execution_id")
    assert run_id.startswith("r-")
    await call(client, "control_kernel", action="answer", text="here")
    assert "2 of 2 cells ran" in await call(client, "get_output", execution_id=run_id, wait_s=30)
    assert "here" in await run(client, "line")


async def test_a_dead_kernel_is_told_and_no_failed_call(client: Client) -> None:
    """Whatever is asked of it: some clients cut a server off after three failed calls in a row."""
    await run(client, "x = 1")
    await call(client, "control_kernel", action="kill")
    for action in ("interrupt", "run_all", "run_stale", "kill"):
        assert "signal 9" in await call(client, "control_kernel", action=action)
    told = await structured(client, "inspect_variables")
    assert told["status"] == "dead"
    assert "rebuild" in told["message"]


async def test_a_cancelled_follower_does_not_stop_what_another_call_began(client: Client) -> None:
    """Only the call that started a cell takes it back."""
    source = "import threading\ngate = threading.Event()\nwhile not gate.wait(0.01): pass\n'opened'"
    text = await run(client, source, request_id="r1", wait_s=0)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(partial(run, client, source, request_id="r1", wait_s=30))
        await call(client, "list_sessions")
        tasks.cancel_scope.cancel()
    await call(client, "list_sessions")
    still = await call(client, "get_output", execution_id=value(text, "execution_id"), wait_s=0.2)
    assert status(still) == "running"
    await call(client, "control_kernel", action="interrupt")


async def test_asking_before_there_is_a_session_opens_none(client: Client) -> None:
    """No kernel is started only to say that nothing is there."""
    for tool, arguments in {
        "control_kernel": {"action": "status"},
        "inspect_variables": {},
        "get_output": {"execution_id": "e-00000000"},
    }.items():
        assert "no session yet" in await refused(client, tool, **arguments)
    assert (await structured(client, "list_sessions"))["sessions"] == []
