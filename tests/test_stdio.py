"""The server as a process: what a client may send, and how it ends."""

import json
import os
import signal
import socket
import sys
from pathlib import Path

import anyio
import anyio.to_thread
import pytest
from mcp import Client, StdioServerParameters

from tests.calls import run, structured, value
from tests.conftest import ERAS, environment_of
from tests.live import lives
from tests.wire import wire

pytestmark = pytest.mark.anyio

ODD_LINES = {
    "broken JSON": (b'{"jsonrpc": "2.0", "id": 71, "method": "tools/list"', -32700, 71),
    "invalid UTF-8": (b'{"jsonrpc": "2.0", "id": 72, "method": "\xff"}', -32700, 72),
    "a lone surrogate": (
        b'{"jsonrpc": "2.0", "id": 73, "method": "tools/call", "params": {"name": "\\ud83d"}}',
        -32700,
        73,
    ),
    "a batch": (b'[{"jsonrpc": "2.0", "id": 74, "method": "ping"}]', -32600, None),
    "no JSON-RPC": (b'{"id": 75, "method": "ping"}', -32600, 75),
    "text": (b"hello", -32700, None),
}


async def test_every_odd_line_has_an_answer(tmp_path: Path) -> None:
    """Also before the handshake; and what follows is served as if nothing had been."""
    async with wire(tmp_path) as server:
        for line, code, request_id in ODD_LINES.values():
            await server.send(line)
            answer = await server.receive()
            assert (answer["error"]["code"], answer["id"]) == (code, request_id)
        await server.shake_hands()
        for line, code, request_id in ODD_LINES.values():
            await server.send(b"   ")
            await server.send(b"")
            await server.send(line + b"\r")
            answer = await server.receive()
            assert (answer["error"]["code"], answer["id"]) == (code, request_id)
        assert "[1] ok" in await server.call("execute_cell", source="1")


async def test_messages_of_any_size_and_shape_are_read(tmp_path: Path) -> None:
    """5 MB in one line, two messages in one write, one message in many."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        assert (await server.call("execute_cell", source=f"len('{'é' * 2_500_000}')")).endswith("2500000")
        ping = b'{"jsonrpc": "2.0", "id": "a", "method": "ping"}'
        await server.send(ping + b"\n" + ping)
        assert [(await server.receive())["id"] for _ in range(2)] == ["a", "a"]
        for byte in ping:
            await server.stdin.send(bytes([byte]))
        await server.send(b"")
        assert (await server.receive())["id"] == "a"


async def test_a_number_that_is_none_is_refused(tmp_path: Path) -> None:
    """``NaN`` is no JSON, but Python's clients send it."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        assert "wait_s" in await server.call("execute_cell", source="1", wait_s=float("nan"))
        assert "wait_s" in await server.call("execute_cell", source="1", wait_s=float("inf"))


async def test_nothing_else_writes_to_the_client(tmp_path: Path) -> None:
    """What a cell's process prints past Jupyter does not reach the protocol's stream."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        source = "import os\nos.write(1, b'noise\\n')\nos.system('echo noise; cat')\n'quiet'"
        assert (await server.call("execute_cell", source=source)).endswith("'quiet'")


async def test_a_client_that_reads_slowly_holds_nobody_up(tmp_path: Path) -> None:
    """Answers wait until they are read, all of them, while cells go on."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        source = "print('x' * 15_000)"
        ids = [
            await server.request("tools/call", name="execute_cell", arguments={"source": source}) for _ in range(100)
        ]
        answered = {(await server.receive())["id"] for _ in ids}
        assert answered == set(ids)


@pytest.mark.parametrize("era", ERAS)
async def test_a_client_that_leaves_ends_the_server_and_its_kernels(tmp_path: Path, era: str) -> None:
    """End of input is enough, in both eras."""
    parameters = StdioServerParameters(
        command=sys.executable,
        args=["-m", "mcp_notebook", "--embedded", "--workspace", str(tmp_path)],
        env=environment_of(tmp_path),
    )
    with anyio.fail_after(60):
        async with Client(parameters, mode=era) as client:
            assert client.instructions is not None
            assert (client.protocol_version == "2026-07-28") == (era == "auto")
            pid = int((await run(client, "import os; os.getpid()")).splitlines()[-1])
            assert (await structured(client, "list_sessions"))["sessions"][0]["state"] == "idle"
    assert not lives(pid)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
async def test_a_signal_ends_the_server_and_its_kernels(tmp_path: Path, name: str) -> None:
    """Also while a cell runs."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        pid = int((await server.call("execute_cell", source="import os; os.getpid()")).splitlines()[-1])
        await server.call("execute_cell", source="while True: pass", wait_s=0)
        server.process.send_signal(getattr(signal, name))
        with anyio.fail_after(10):
            assert await server.process.wait() == 0
        assert not lives(pid)


async def test_a_lost_client_does_not_stop_the_cell(tmp_path: Path) -> None:
    """A call that the end of the connection cuts off is not a cancelled one: the cell is not interrupted."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        marker = tmp_path / "interrupted"
        source = (
            "import pathlib, time\ntry:\n    print('begun', flush=True)\n    time.sleep(600)\n"
            f"except KeyboardInterrupt:\n    pathlib.Path({str(marker)!r}).touch()\n    raise"
        )
        cell_id = value(await server.call("edit_cell", edit_mode="insert", source=source), "cell")
        await server.request("tools/call", name="execute_cell", arguments={"cell_id": cell_id})
        with anyio.fail_after(60):
            while "\nbegun\nStill running" not in await server.call("get_output", cell_id=cell_id):
                pass
        await server.stdin.aclose()
        with anyio.fail_after(10):
            await server.process.wait()
    assert not marker.exists()


async def test_cancelling_over_the_wire_stops_the_cell(tmp_path: Path) -> None:
    """``notifications/cancelled`` interrupts the cell, and its request gets no answer."""
    async with wire(tmp_path) as server:
        await server.shake_hands()
        await server.call("execute_cell", source="kept = 3")
        loop = await server.request(
            "tools/call",
            name="execute_cell",
            arguments={"source": "import time\nwhile True: time.sleep(0.01)"},
        )
        while json.loads(await server.call("control_kernel", action="status"))["state"] != "busy":
            pass
        await server.notify("notifications/cancelled", requestId=loop)
        assert (await server.call("execute_cell", source="kept")).endswith("3")


async def test_input_from_a_file_is_served_to_its_end(tmp_path: Path) -> None:
    """A regular file cannot be waited for; it is read all the same."""
    script = tmp_path / "messages"
    script.write_bytes(b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n' * 3 + b"broken\n")
    with script.open("rb") as file, anyio.fail_after(30):
        async with wire(tmp_path, stdin=file.fileno()) as server:
            answers = [(await server.receive()).get("id") for _ in range(4)]
            assert sorted(answers, key=str) == [1, 1, 1, None]
            assert await server.process.wait() == 0


async def test_a_client_that_stops_reading_ends_the_server(tmp_path: Path) -> None:
    """When the pipe is broken nobody is left to serve."""
    reading, writing = os.pipe()
    async with wire(tmp_path, stdout=writing) as server:
        os.close(writing)
        os.close(reading)
        await server.request("ping")
        with anyio.fail_after(20):
            assert await server.process.wait() == 0


async def test_a_socket_serves_as_well_as_pipes(tmp_path: Path) -> None:
    """Some clients give one socket for both directions; that it breaks is the end."""
    ours, theirs = socket.socketpair()
    ping = b'{"jsonrpc": "2.0", "id": 1, "method": "ping"}\n'
    with ours, theirs:
        async with wire(tmp_path, stdin=theirs.fileno(), stdout=theirs.fileno()) as server:
            theirs.close()
            with anyio.fail_after(30), ours.makefile("rwb", buffering=0) as file:
                for _ in range(3):
                    await anyio.to_thread.run_sync(file.write, ping)
                    assert b'"id":1' in await anyio.to_thread.run_sync(file.readline)
            ours.close()
            with anyio.fail_after(30):
                assert await server.process.wait() == 0
