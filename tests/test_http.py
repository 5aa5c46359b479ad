"""The listener for Streamable HTTP: real sockets, real clients, both eras."""

from functools import partial
from pathlib import Path

import anyio
import pytest

from mcp_notebook.sessions import Sessions
from tests.calls import run, structured
from tests.conftest import ERAS
from tests.listening import HANDSHAKE, MODERN, Listening
from tests.live import begun, finished

pytestmark = pytest.mark.anyio


def until_interrupted(marker: Path) -> str:
    """A cell that runs until it is interrupted, and leaves a file then."""
    return (
        "import pathlib, time\ntry:\n    print('begun', flush=True)\n    while True: time.sleep(0.01)\n"
        f"except KeyboardInterrupt:\n    pathlib.Path({str(marker)!r}).touch()\n    raise"
    )


@pytest.mark.parametrize("era", ERAS)
async def test_cells_run_over_http(http: Listening, era: str) -> None:
    """A session is opened, keeps its variables, is listed, and a failing cell is an ordinary answer."""
    async with http.client(era) as client:
        assert client.protocol_version == {"legacy": HANDSHAKE, "auto": MODERN}[era]
        opened = await structured(client, "open_session", name="over http")
        session = opened["session"]
        await run(client, "kept = 41", session=session)
        assert (await run(client, "kept + 1", session=session)).endswith("42")
        assert "ZeroDivisionError" in await run(client, "1/0", session=session)
        listed = await structured(client, "list_sessions")
        assert session in [each["session"] for each in listed["sessions"]]


@pytest.mark.parametrize("era", ERAS)
async def test_progress_arrives_while_the_cell_runs(http: Listening, era: str, tmp_path: Path) -> None:
    """The cell ends only after its client has heard of it."""
    go = tmp_path / "go"
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)
        go.touch()

    source = f"import pathlib, time\nprint('waiting')\nwhile not pathlib.Path({str(go)!r}).exists(): time.sleep(0.01)"
    async with http.client(era) as client:
        session = (await structured(client, "open_session"))["session"]
        with anyio.fail_after(60):
            result = await client.call_tool(
                "execute_cell", {"source": source, "session": session}, progress_callback=hear
            )
        assert not result.is_error
        assert "waiting" in heard


async def test_closing_the_stream_interrupts_in_the_new_era(
    http: Listening, sessions: Sessions, tmp_path: Path
) -> None:
    """2026-07-28 has no other way to cancel."""
    marker, left = tmp_path / "interrupted", anyio.Event()
    async with http.speaker() as speaker:
        handle = await speaker.open_session()
        async with anyio.create_task_group() as tasks:
            source = until_interrupted(marker)
            tasks.start_soon(partial(speaker.call_and_leave, left, source=source, session=handle))
            execution = await begun(sessions.find(handle))
            left.set()
        await finished(execution)
        assert marker.exists()
        assert "[2] ok" in await speaker.call("execute_cell", source="'alive'", session=handle)


async def test_a_lost_connection_does_not_interrupt_in_the_handshake_era(
    http: Listening, sessions: Sessions, tmp_path: Path
) -> None:
    """There, a client cancels by saying so: then the cell is interrupted."""
    marker, left = tmp_path / "interrupted", anyio.Event()
    async with http.speaker() as speaker:
        await speaker.shake_hands()
        handle = await speaker.open_session()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(partial(speaker.call_and_leave, left, source=until_interrupted(marker)))
            execution = await begun(sessions.find(handle))
            left.set()
        request_id = speaker.latest_id
        for _ in range(3):
            assert "running" in await speaker.call("get_output", cell_id=execution.cell_id)
        assert not marker.exists()
        await speaker.cancel(request_id)
        await finished(execution)
        assert marker.exists()


@pytest.mark.parametrize("era", ERAS)
async def test_the_end_of_the_server_leaves_the_cell_running(
    http: Listening, sessions: Sessions, tmp_path: Path, era: str
) -> None:
    """A call that it cuts off is not a cancelled one."""
    marker, ended = tmp_path / "interrupted", anyio.Event()
    async with http.speaker() as speaker:
        if era == "legacy":
            await speaker.shake_hands()
        handle = await speaker.open_session()

        async def call() -> None:
            async with speaker.calling("execute_cell", source=until_interrupted(marker), session=handle) as messages:
                assert [message async for message in messages if "result" in message] == []
            ended.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(call)
            execution = await begun(sessions.find(handle))
            await http.stop()
            with anyio.fail_after(60):
                await ended.wait()
        assert execution.status == "running"
        assert not marker.exists()
        await sessions.find(handle).cancel(execution)
        await finished(execution)


@pytest.mark.parametrize("era", ERAS)
async def test_large_cells_and_outputs_pass(http: Listening, era: str) -> None:
    """4 MiB of source, every character of which JSON escapes; and the longest answer there is."""
    async with http.client(era) as client:
        session = (await structured(client, "open_session"))["session"]
        source = f'len("""{chr(10) * (4 << 20)}""")'
        assert (await run(client, source, session=session)).endswith(str(4 << 20))
        answer = await run(client, "print('x' * 300 + '\\n' * 100_000, '\\N{SNOWMAN}' * 10**6)", session=session)
        assert "get_output(" in answer


async def test_a_body_without_end_is_refused(http: Listening) -> None:
    """413, and the memory is not filled."""
    async with http.speaker() as speaker:
        answer = await speaker.send("ping", {"padding": "x" * (13 << 20)})
        assert answer.status_code == 413


async def test_twenty_clients_work_at_once(http: Listening) -> None:
    """Of both eras, each with a kernel of its own."""
    answers: dict[int, str] = {}

    async def work(number: int) -> None:
        async with http.client(ERAS[number % 2]) as client:
            session = (await structured(client, "open_session"))["session"]
            await run(client, f"mine = {number}", session=session)
            answers[number] = await run(client, "f'{mine} is mine'", session=session)

    with anyio.fail_after(110):
        async with anyio.create_task_group() as tasks:
            for number in range(20):
                tasks.start_soon(work, number)
    assert all(f"'{number} is mine'" in answers[number] for number in range(20))
