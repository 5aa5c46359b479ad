"""What one principal and one session may take: what reaches a limit is refused and says what to do."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from mcp_notebook.errors import LimitReached
from mcp_notebook.kernels.keeping import Keeper
from mcp_notebook.limits import Limits
from mcp_notebook.session import Session
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import Settings
from tests.live import WITHIN_S, alone, busy, finished, ran

pytestmark = pytest.mark.anyio


async def test_kernels_of_a_principal(settings: Settings) -> None:
    """However many are asked for at once; others are not concerned, and ending one makes room."""
    refused: list[str] = []
    async with Sessions(replace(settings, limits=Limits(kernels=2, local_kernels=3))) as sessions:
        alice, bob = (Connection(principal=name, handles_only=True) for name in ("alice", "bob"))

        async def open_one() -> None:
            try:
                await sessions.open(alice)
            except LimitReached as exc:
                refused.append(str(exc))

        async with anyio.create_task_group() as tasks:
            for _ in range(5):
                tasks.start_soon(open_one)
        first, second = sessions.of(alice)
        assert len(refused) == 3
        assert "2 living kernels, which is the most ([limits] kernels)" in refused[0]
        assert "control_kernel(action='shutdown'" in refused[0]
        await sessions.open(bob)
        await first.shutdown()
        third = (await sessions.open(alice)).session
        with pytest.raises(LimitReached):
            await first.restart()
        await second.restart()  # a kernel in place of its own is none more
        await third.kill()
        await first.restart()
        assert (await ran(first, "1")).status == "ok"


async def test_the_user_himself_has_a_limit_of_his_own(settings: Settings) -> None:
    """It is generous; it ends a loop that opens sessions for ever."""
    async with Sessions(replace(settings, limits=Limits(kernels=1, local_kernels=2, local_sessions=3))) as sessions:
        connection = Connection()
        opened = [(await sessions.open(connection, name=name)).session for name in ("a", "b")]
        with pytest.raises(LimitReached, match="local_kernels"):
            await sessions.open(connection, name="c")
        assert len(sessions.all()) == 2
        await opened[0].shutdown()
        await sessions.open(connection, name="c")
        await opened[1].shutdown()
        with pytest.raises(LimitReached, match=r"3 sessions.*local_sessions"):
            await sessions.open(connection, name="d")


async def test_cells_that_wait(settings: Settings) -> None:
    """One more is refused and leaves no cell; a repeated request still finds what it began."""
    async with alone(replace(settings, limits=Limits(queue=3))) as session:
        running = await busy(session)
        for number in (1, 2):
            await session.execute_cell(f"x = {number}", request_id=str(number))
        with pytest.raises(LimitReached, match=r"3 cells.*\[limits\] queue"):
            await session.execute_cell("y = 1")
        assert len(session.notebook.cells) == 3
        waiting = await session.execute_cell("x = 2", request_id="2")
        await session.interrupt(running.id)
        assert (await finished(waiting)).status == "ok"
        assert (await ran(session, "x")).status == "ok"


@pytest.fixture
def kept(settings: Settings, tmp_path: Path) -> Settings:
    """Settings of a server whose sessions outlive it, and end when they are not used for a moment."""
    return replace(settings, home=tmp_path / "home", sockets=tmp_path / "d", limits=Limits(idle_s=0.3))


@pytest.fixture
def keeper(kept: Settings) -> Iterator[Keeper]:
    """Ends soon after the test."""
    keeper = Keeper(kept.sockets, kept.home / "keeper.log", idle_s=0.3)
    yield keeper
    keeper.close()


async def test_a_session_that_nobody_uses_is_saved_and_ended(kept: Settings, keeper: Keeper) -> None:
    """What runs a cell is used; what a client holds too."""
    async with Sessions(kept, keeper) as sessions:
        holding, gone = Connection(), Connection(agent="gone")
        held = (await sessions.open(holding, name="held")).session
        unused = (await sessions.open(gone, name="unused")).session
        working = (await sessions.open(gone, name="working")).session
        await ran(unused, "1")
        job = await busy(working)
        gone.closed = True
        await until_ended(sessions, unused)
        assert (kept.workspace / "notebooks" / "unused.ipynb").exists()
        assert sessions.all() == [held, working]
        await working.cancel(job)
        await until_ended(sessions, working)
        assert sessions.all() == [held]
        await sessions.end(held)


async def test_an_opening_that_is_cancelled_leaves_nothing(kept: Settings, keeper: Keeper) -> None:
    """No session, and none of its files."""
    async with Sessions(kept, keeper) as sessions:
        await sessions.end((await sessions.open(Connection(agent="first"))).session)
        before = set(kept.home.rglob("*"))
        with anyio.fail_after(WITHIN_S):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(sessions.open, Connection(agent="hasty"))
                while not sessions.all():
                    await sessions.changed()
                tasks.cancel_scope.cancel()
        assert sessions.all() == []
        assert {path for path in kept.home.rglob("*") if path.name != "keeper.log"} <= before


async def test_a_kernel_that_is_restarted_keeps_its_place(settings: Settings) -> None:
    """While it ends and starts, no other session takes it."""
    async with Sessions(replace(settings, limits=Limits(local_kernels=1))) as sessions:
        connection = Connection()
        session = (await sessions.open(connection, name="a")).session
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(session.restart)
            while session.state != "starting":
                await anyio.lowlevel.checkpoint()
            with pytest.raises(LimitReached):
                await sessions.open(connection, name="b")
        assert (await ran(session, "1")).status == "ok"


async def until_ended(sessions: Sessions, session: Session) -> None:
    """Return when there is no such session any more."""
    with anyio.fail_after(WITHIN_S):
        while session in sessions.all():
            await sessions.changed()
