"""How calls reach the host: from threads, tasks and child processes, over both carriers, across the host's restart."""

import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread
import psutil
import pytest

from mcp_notebook.policy import Policy
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.daemons import User
from tests.daemons import text_of as text_of_answer
from tests.kernels.conftest import NEWEST, OLDEST, interpreter
from tests.live import alone, ran, soon, text_of, until_printed
from tests.relays import Relay, Relays

pytestmark = pytest.mark.anyio

KINDS = [("socket", NEWEST), ("stdin", NEWEST), ("stdin", OLDEST)]


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: "-".join(kind))
async def session(
    request: pytest.FixtureRequest, settings: Settings, sessions: Sessions, anyio_backend: str
) -> AsyncIterator[Session]:
    """A session whose kernel calls over one of the carriers; a cell may make many calls. ``sessions`` outlive it."""
    carrier, age = request.param
    policy = Policy(carrier=carrier, budget=10_000)
    async with alone(replace(settings, runtime=policy), kernel=interpreter(age)) as session:
        await ran(session, "from hermes_runtime import *; import asyncio, threading, hermes_runtime")
        yield session


async def printed(session: Session, source: str) -> str:
    """What a cell that ends well gives."""
    execution = await soon(ran(session, source))
    assert execution.status == "ok", text_of(execution)
    return text_of(execution).strip()


async def test_threads_call_at_once(session: Session) -> None:
    """Each gets its own answer, whichever carrier takes them one by one."""
    source = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(20) as pool:
    answers = list(pool.map(lambda n: terminal(f"echo {n}")["output"], range(40)))
print(answers == [str(n) for n in range(40)])
"""
    assert await printed(session, source) == "True"


async def test_tasks_call_at_once(session: Session) -> None:
    """By the async form, which holds up no other task."""
    source = "print(await asyncio.gather(*(terminal.aio(f'echo {n}') for n in range(20))) == "
    source += "[{'output': str(n), 'exit_code': 0, 'error': None} for n in range(20)])"
    assert await printed(session, source) == "True"


async def test_very_many_call_at_once(session: Session) -> None:
    """More than can wait to be let in; afterwards few connections are kept."""
    source = """
import os
before = len(os.listdir("/proc/self/fd"))
kill = "terminal.kill", {"handle": "none"}
tasks = await asyncio.gather(*(hermes_runtime.calls.ask_async(*kill) for _ in range(400)))
threads = [threading.Thread(target=lambda: tasks.append(hermes_runtime.calls.ask(*kill))) for _ in range(400)]
for thread in threads: thread.start()
for thread in threads: thread.join()
print(sum("handle" in each["error"] for each in tasks), len(os.listdir("/proc/self/fd")) - before < 30)
"""
    assert await printed(session, source) == "800 True"


async def test_large_requests_and_answers_pass(session: Session) -> None:
    """5 MB each way, with every character."""
    source = (
        "text = 'é☃\\n\\x00' * 500_000\nx = 1 if hermes_runtime.calls.ask('terminal.poll', {'handle': text}) else 0"
    )
    assert await printed(session, source) == ""
    big = "z = " + repr("é" * 2_000_000)
    await printed(session, big)
    assert (
        await printed(session, "print(sum(len(c['source']) for c in this_notebook()['notebook']['cells']) > 2_000_000)")
        == "True"
    )


async def test_an_interrupt_ends_the_call(session: Session, tmp_path: Path) -> None:
    """And what it had begun; the next call is answered."""
    pid_file = tmp_path / "pid"
    execution = await session.execute_cell(
        f"print('in', flush=True); terminal('echo $$ >{pid_file}.new; mv {pid_file}.new {pid_file}; sleep 100')"
    )
    await until_printed(execution, "in")
    with anyio.fail_after(20):
        while not pid_file.exists():
            await anyio.lowlevel.checkpoint()
    await session.interrupt()
    assert execution.status == "interrupted"
    assert await printed(session, "terminal('echo fine')['output']") == "'fine'"
    if session._options.policy.carrier == "socket":  # stdin cannot tell that nobody waits any more
        with anyio.fail_after(20):
            while psutil.pid_exists(int(pid_file.read_text())):
                await anyio.lowlevel.checkpoint()


async def test_a_cancelled_task_ends_its_call(session: Session) -> None:
    """The others' go on."""
    source = """
async def slow():
    return await terminal.aio("sleep 100")
task = asyncio.ensure_future(slow())
await asyncio.sleep(0.1)
task.cancel()
"""
    if session._options.policy.carrier == "socket":  # over stdin the next call waits for its turn
        assert await printed(session, source) == "True"
        assert await printed(session, "terminal('echo fine')['output']") == "'fine'"


async def test_a_module_that_is_loaded_anew(session: Session) -> None:
    """As reloading tools do: it is connected as before."""
    anew = "import sys\nfor name in [n for n in sys.modules if 'hermes' in n]: del sys.modules[name]\n"
    call = "import hermes_runtime; hermes_runtime.terminal('echo anew')['output']"
    await printed(session, "terminal('true')")
    assert await printed(session, anew + call) == "'anew'"
    assert await printed(session, f"import importlib; importlib.reload(hermes_runtime.carriers)\n{call}") == "'anew'"


async def test_a_forked_child_calls_as_well(session: Session) -> None:
    """On a connection of its own; stdin belongs to the kernel's own process."""
    source = """
import os
terminal("true")
reading, writing = os.pipe()
child = os.fork()
if child == 0:
    os.write(writing, terminal("echo child")["output"].encode()); os._exit(0)
os.waitpid(child, 0)
print(os.read(reading, 100), terminal("echo parent")["output"])
"""
    if session._options.policy.carrier == "socket":
        assert await printed(session, source) == "b'child' parent"


async def test_input_and_calls_in_one_cell(session: Session) -> None:
    """They share a channel over stdin, and do not take each other's answers."""
    execution = await session.execute_cell(
        "print(terminal('echo a')['output'], input('name? '), terminal('echo b')['output'])"
    )
    with anyio.fail_after(20):
        while execution.status != "waiting_for_input":
            await execution.changed()
    assert execution.prompt == "name? "
    await session.answer("Ada", execution.id)
    with anyio.fail_after(20):
        while not execution.finished:
            await execution.changed()
    assert text_of(execution).strip() == "a Ada b"


@pytest.mark.parametrize("carrier", ["socket", "stdin"])
def test_after_the_server_was_killed_the_next_call_works(me: User, started: Relays, carrier: str) -> None:
    """In the same cell of the same kernel: the client's relay starts the next server, which the cell's calls find."""
    home = Path(me.environment["MCP_NOTEBOOK_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "settings.toml").write_text(f'[runtime]\ncarrier = "{carrier}"\n')
    client: Relay = started.start()
    client.initialize()
    for name in ("begun", "go"):
        os.mkfifo(me.workspace / name)
    source = """
from hermes_runtime import terminal
print(terminal("cd /; export A=kept; echo one")["output"], flush=True)
open("begun", "w").close()
open("go").read()
print(terminal("pwd; echo $A; echo two")["output"].split())
"""
    request = client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
    (me.workspace / "begun").read_text()
    me.kill_running_server()
    (me.workspace / "go").write_text("")
    answer = client.answer(request)
    text = text_of_answer(answer)
    assert " ok " in text.splitlines()[0]
    assert text.splitlines()[1:] == ["one", "['/', 'kept', 'two']"]
    saved = client.call("save_notebook", path="n.ipynb")
    assert "Saved" in saved
    assert (me.workspace / "n.ipynb").read_text().count('"name": "terminal"') == 2


@pytest.mark.parametrize("carrier", ["socket", "stdin"])
def test_a_command_is_not_run_twice(me: User, started: Relays, carrier: str) -> None:
    """The server was killed while it ran: nobody knows what became of it, and the cell is told so."""
    home = Path(me.environment["MCP_NOTEBOOK_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "settings.toml").write_text(f'[runtime]\ncarrier = "{carrier}"\n')
    client: Relay = started.start()
    for name in ("begun", "go"):
        os.mkfifo(me.workspace / name)
    source = """
from hermes_runtime import terminal, HostError
try: print(terminal("echo ran >>log; echo >begun; cat go")["error"])
except HostError as exc: print(exc)
"""
    request = client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
    (me.workspace / "begun").read_text()
    me.kill_running_server()
    assert "it is not known whether it was carried out" in text_of_answer(client.answer(request))
    (me.workspace / "go").write_text("")
    assert (me.workspace / "log").read_text() == "ran\n"
    assert "'2'" in client.call("execute_cell", source="terminal('echo 2')['output']")


@pytest.mark.parametrize("carrier", ["socket", "stdin"])
def test_a_server_that_ends_loses_no_call(me: User, started: Relays, carrier: str) -> None:
    """What it has begun comes to its end, and what is asked meanwhile is for the next server."""
    home = Path(me.environment["MCP_NOTEBOOK_HOME"])
    home.mkdir(parents=True, exist_ok=True)
    (home / "settings.toml").write_text(f'[runtime]\nbudget = 100000\ncarrier = "{carrier}"\n')
    client: Relay = started.start()
    os.mkfifo(me.workspace / "begun")
    source = """
from hermes_runtime import terminal
from pathlib import Path
print(terminal("echo >begun")["exit_code"])
codes = set()
while not Path("stop").exists():
    codes.add(terminal("true").get("error"))
print(codes)
"""
    request = client.begin("tools/call", {"name": "execute_cell", "arguments": {"source": source}})
    (me.workspace / "begun").read_text()
    for _ in range(2):
        process = psutil.Process(me.status()["pid"])
        process.terminate()
        psutil.wait_procs([process], timeout=30)
        client.call("list_sessions")
    (me.workspace / "stop").touch()
    cell_id = text_of_answer(client.answer(request)).partition("cell=")[2].split()[0]
    assert client.call("get_output", cell_id=cell_id, wait_s=20).splitlines()[1:] == ["0", "{None}"]
