"""What must not get through: guessed tokens, other sessions' sockets, calls between cells, too many, too large."""

import json
import os
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import anyio.to_thread
import pytest

from hermes_runtime import wire
from mcp_notebook.policy import NAMES, Policy
from mcp_notebook.runtime.calls import CALLS
from mcp_notebook.session import Session
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.live import alone, busy, finished, opened, ran, soon, text_of

pytestmark = pytest.mark.anyio


@pytest.fixture
async def session(sessions: Sessions) -> AsyncIterator[Session]:
    """A session with a kernel of its own."""
    async with opened(sessions) as session:
        await ran(session, "from hermes_runtime import *; import hermes_runtime")
        yield session


def place_of(session: Session) -> Path:
    """The directory of its kernel, which an attacker of the same user finds."""
    return session._life.kernel().directory


def said_to(session: Session, line: bytes) -> bytes:
    """What the socket of the session's kernel answers to a line."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(20)
        client.connect(str(place_of(session) / wire.SOCKET))
        client.sendall(line + b"\n")
        return client.makefile("rb").readline()


async def refused(session: Session, line: bytes) -> str:
    """Why the line is refused while a cell runs."""
    running = await busy(session)
    answer = await anyio.to_thread.run_sync(said_to, session, line)
    await session.cancel(running)
    with pytest.raises(wire.Refused) as why:
        wire.parsed_answer(answer)
    return str(why.value)


@pytest.mark.parametrize("token", ["", "guess", "x" * 43, "é", "\ud800"])
async def test_a_guessed_token(session: Session, token: str) -> None:
    """Is refused, whatever it is, and nothing is carried out."""
    line = wire.request("terminal", {"command": "touch attacked"}, token)
    assert "token" in await refused(session, line)
    assert not (session.workspace / "attacked").exists()


async def test_the_socket_of_another_session(session: Session, sessions: Sessions) -> None:
    """The token of one kernel is none for another's socket."""
    async with opened(sessions) as other:
        await ran(other, "1")
        token = json.loads((place_of(other) / wire.PLACE).read_text())["token"]
        assert "token" in await refused(session, wire.request("terminal", {"command": "true"}, token))


async def test_only_this_user_reaches_the_socket(session: Session) -> None:
    """The directory and what is in it are private."""
    place = place_of(session)
    for path in (place, place / wire.SOCKET, place / wire.PLACE):
        assert path.stat().st_mode & 0o077 == 0
        assert path.stat().st_uid == os.getuid()


async def test_a_call_between_cells(session: Session) -> None:
    """A thread that a cell leaves behind is told why not, and can call again while a later cell runs."""
    for name in ("go", "tried"):
        os.mkfifo(session.workspace / name)
    source = """
import threading
answers = []
def behind():
    for _ in range(2):
        open("go").read()
        answers.append(terminal("echo made"))
        open("tried", "w").close()
threading.Thread(target=behind).start()
"""
    await ran(session, source)
    await anyio.to_thread.run_sync((session.workspace / "go").write_text, "go")
    await anyio.to_thread.run_sync((session.workspace / "tried").read_text)
    said = text_of(
        await ran(session, "print(answers)\nopen('go', 'w').close(); open('tried').read(); print(answers[1])")
    )
    assert "No cell of this session runs" in said.splitlines()[0]
    assert said.splitlines()[-1] == "{'output': 'made', 'exit_code': 0, 'error': None}"
    for name in ("go", "tried"):
        (session.workspace / name).unlink()


async def test_the_51st_call(session: Session) -> None:
    """Of one cell; the next cell has 50 again. What the module asks for its own use is not counted."""
    said = text_of(
        await ran(
            session,
            "print([len(this_notebook()) for _ in range(60)] and [terminal('true')['error'] for _ in range(51)])",
        )
    )
    errors = [each.strip("[] \n") for each in said.split(",")]
    assert errors[:50] == ["None"] * 50
    assert "Tool call limit reached (50)" in errors[50]
    assert text_of(await ran(session, "terminal('echo again')['output']")) == "'again'"


async def test_the_51st_call_of_many_at_once(session: Session) -> None:
    """Threads share what a cell may."""
    source = """
from concurrent.futures import ThreadPoolExecutor
with ThreadPoolExecutor(20) as pool:
    answers = list(pool.map(lambda _: terminal("true"), range(70)))
print(sum("exit_code" in each for each in answers), sum("limit" in str(each["error"]) for each in answers))
"""
    assert text_of(await ran(session, source)).strip() == "50 20"


async def test_a_request_of_100_mb(session: Session) -> None:
    """Is refused with what to do instead; the next call is answered."""
    said = text_of(
        await ran(session, "print(write_file('big', 'y' * 100_000_000)); print(terminal('echo fine')['output'])")
    )
    assert "This call has more than 20,000,000 bytes" in said
    assert said.strip().endswith("fine")
    assert not (session.workspace / "big").exists()


async def test_an_answer_that_is_too_large(settings: Settings) -> None:
    """Is not sent: what is asked for less is."""
    async with alone(replace(settings, runtime=Policy(answer_bytes=30_000))) as session:
        source = "from hermes_runtime import *\ntry: this_notebook()\nexcept HostError as exc: print(exc)\n"
        said = text_of(await ran(session, f"{source}terminal('echo fine')  # {'x' * 30_000}"))
        assert "more than the 30,000 that are allowed" in said
        assert "fine" in said


async def test_calls_that_are_not_allowed(settings: Settings) -> None:
    """By the table in the settings; all others are."""
    async with alone(replace(settings, runtime=Policy(without=("terminal", "servers")))) as session:
        source = "from hermes_runtime import *\nprint(terminal('true'))\nterminal_poll = hermes_runtime.calls.ask\n"
        said = text_of(await ran(session, f"import hermes_runtime\n{source}len(this_notebook())"))
        assert "terminal() is not allowed in this session" in said
        assert said.strip().endswith("4")


async def test_a_secret_of_the_clients_environment(sessions: Sessions) -> None:
    """Is in no command's environment, as it is not in the kernel's."""
    environment = {**os.environ, "SOME_API_KEY": "very-secret", "HARMLESS": "seen"}
    client = Connection(agent="secrets", environment=environment)
    async with opened(sessions, client) as session:
        said = text_of(
            await ran(session, "from hermes_runtime import *; import os; print(terminal('env')['output'], os.environ)")
        )
        assert "HARMLESS=seen" in said
        assert "very-secret" not in said


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b'{"tool": 3}',
        b'{"tool": "terminal", "args": [], "token": ""}',
        b"[" * 100_000,
        b"\xff\xfe",
        b"null",
    ],
)
async def test_lines_that_are_no_calls(session: Session, line: bytes) -> None:
    """Each has an answer, and the socket serves on."""
    assert "no runtime call" in await refused(session, line)
    assert text_of(await ran(session, "terminal('echo on')['output']")) == "'on'"


async def test_unknown_calls_and_arguments(session: Session) -> None:
    """Say what there is."""
    said = text_of(await ran(session, "print(hermes_runtime.calls.ask('web_search', {'q': 1}))"))
    assert "missing a required argument: 'query'" in said
    failed = await ran(session, "hermes_runtime.calls.ask('system', {})")
    assert "There is no call 'system'. There are: terminal" in text_of(failed)


async def test_who_connects_and_says_nothing_holds_nobody_up(session: Session) -> None:
    """100 silent connections and half a line."""
    clients = []
    for _ in range(100):
        client = socket.socket(socket.AF_UNIX)
        client.connect(str(place_of(session) / wire.SOCKET))
        client.sendall(b'{"tool"')
        clients.append(client)
    assert text_of(await soon(ran(session, "terminal('echo fine')['output']"))) == "'fine'"
    for client in clients:
        client.close()
    await finished(await session.execute_cell("1"))


def test_every_call_can_be_named_in_the_settings() -> None:
    """By the name that it has there; a name that means nothing is refused, not passed over."""
    assert {call.known_as or name for name, call in CALLS.items()} == set(NAMES["calls"])
    for wrong in ({"without": ("terminl",)}, {"calls": ("x",)}, {"search": ("gogle",)}, {"carrier": "sokcet"}):
        with pytest.raises(ValueError, match="there are"):
            Policy(**wrong)


async def test_an_interrupt_ends_what_threads_wait_for(session: Session, tmp_path: Path) -> None:
    """Not only the call that the cell's own thread makes."""
    begun = tmp_path / "begun"
    source = f"""
import threading, time
answers = []
ask = lambda: answers.append(terminal("echo >>{begun}; sleep 100"))
threads = [threading.Thread(target=ask) for _ in range(3)]
for thread in threads: thread.start()
while True: time.sleep(0.01)
"""
    running = await session.execute_cell(source)
    with anyio.fail_after(30):
        while not begun.exists() or begun.stat().st_size < 3:
            await anyio.lowlevel.checkpoint()
    await session.interrupt()
    assert running.status == "interrupted"
    said = text_of(await ran(session, "for thread in threads: thread.join()\nprint([a['error'] for a in answers])"))
    assert said.count("terminal() was ended, since its cell was interrupted.") == 3


async def test_a_refused_command_in_the_background(session: Session) -> None:
    """Has the methods of one that runs."""
    source = "job = terminal('a\\0b', background=True); print(job.wait(5)['error'], job.kill()['exit_code'])"
    assert "null byte -1" in text_of(await ran(session, source))
