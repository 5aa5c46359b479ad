"""Which session a call means: handles, defaults, several connections, one notebook in one session."""

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from mcp_notebook.errors import BadRequest, FileRefused, KernelError, KernelNotFound, UnknownSession
from mcp_notebook.sessions import Connection, Opened, Sessions
from mcp_notebook.settings import Settings
from tests.live import alone, busy, code, finished, lives, opened, ran, soon, text_of, write_notebook

pytestmark = pytest.mark.anyio


async def ended(sessions: Sessions, *connections: Connection) -> None:
    for connection in connections:
        for session in sessions.of(connection):
            await sessions.end(session)


# Handles


async def test_handles_hold_at_least_64_random_bits(sessions: Sessions) -> None:
    """A readable name, then 16 or more hexadecimal digits that no other handle shares."""
    async with opened(sessions, name="My Analysis!") as one, opened(sessions, name="My Analysis!") as other:
        for session in (one, other):
            name, _, secret = session.handle.rpartition("-")
            assert re.fullmatch(r"[0-9a-f]{16,}", secret)
            assert name == session.name
        assert one.name != other.name
        assert one.handle.rpartition("-")[2] != other.handle.rpartition("-")[2]


@pytest.mark.parametrize("name", ["", "...", "é中", "a" * 500, "../../etc", "a\0b", "A/B"])
async def test_any_name_makes_a_harmless_handle(sessions: Sessions, name: str) -> None:
    """It is part of a path and of a resource's address."""
    async with opened(sessions, name=name) as session:
        assert re.fullmatch(r"[a-z0-9-]{3,80}", session.handle)


async def test_unknown_forged_and_ended_handles_get_the_same_answer(sessions: Sessions) -> None:
    """Nobody learns which handles exist."""
    async with opened(sessions) as session:
        handle = session.handle
        forged = handle[:-1] + ("0" if handle[-1] != "0" else "1")
    said = set()
    for wrong in ("nothing", forged, handle, "", handle.upper()):
        with pytest.raises(UnknownSession) as refused:
            await sessions.resolve(Connection(), wrong)
        said.add(str(refused.value))
    assert len(said) == 1
    assert "open_session" in said.pop()


# Defaults


async def test_the_first_call_opens_a_default_that_stays(sessions: Sessions) -> None:
    """A session that another call of the connection names is not made the default."""
    connection = Connection()
    first = await sessions.resolve(connection, None)
    assert await sessions.resolve(connection, None) is first
    assert sessions.of(connection) == [first]
    await ended(sessions, connection)


async def test_two_first_calls_at_once_share_one_session(sessions: Sessions) -> None:
    """There is one kernel, not two."""
    connection = Connection()
    found = []

    async def call() -> None:
        found.append(await sessions.resolve(connection, None))

    async with anyio.create_task_group() as tasks:
        for _ in range(4):
            tasks.start_soon(call)
    assert len({session.handle for session in found}) == 1
    await ended(sessions, connection)


async def test_with_two_sessions_a_call_must_say_which(sessions: Sessions) -> None:
    """The refusal lists them; after the end of one there is no doubt again."""
    connection = Connection()
    async with opened(sessions, connection) as one:
        async with opened(sessions, connection) as two:
            with pytest.raises(BadRequest, match="several sessions") as refused:
                await sessions.resolve(connection, None)
            assert one.handle in str(refused.value)
            assert two.handle in str(refused.value)
            assert await sessions.resolve(connection, two.handle) is two
            await soon(two.shutdown())
            assert await sessions.resolve(connection, None) is one
        assert await sessions.resolve(connection, None) is one


async def test_a_setting_asks_for_the_handle_always(settings: Settings) -> None:
    """Also of a connection with one session, or with none."""
    async with Sessions(replace(settings, require_session=True)) as sessions:
        connection = Connection()
        with pytest.raises(BadRequest, match="open_session"):
            await sessions.resolve(connection, None)
        session = (await sessions.open(connection)).session
        with pytest.raises(BadRequest, match=session.handle):
            await sessions.resolve(connection, None)
        assert await sessions.resolve(connection, session.handle) is session


async def test_connections_do_not_see_each_others_sessions(sessions: Sessions) -> None:
    """Each has its default, its variables, its document."""
    mine, yours = Connection(), Connection()
    one, two = await sessions.resolve(mine, None), await sessions.resolve(yours, None)
    assert one is not two
    await ran(one, "x = 'mine'")
    assert text_of(await ran(two, "'x' in globals()")) == "False"
    assert (sessions.of(mine), sessions.of(yours)) == ([one], [two])
    await sessions.open(mine)
    with pytest.raises(BadRequest) as refused:
        await sessions.resolve(mine, None)
    assert one.handle in str(refused.value)
    assert two.handle not in str(refused.value)
    await ended(sessions, mine, yours)


# Opening


async def test_a_name_finds_the_sessions_of_the_connection_only(sessions: Sessions) -> None:
    """The same name from elsewhere is another session."""
    connection = Connection()
    async with opened(sessions, connection, name="work") as session:
        again = await sessions.open(connection, name="work")
        assert (again.session, again.created) == (session, False)
        assert (await sessions.open(connection, name=session.handle)).session is session
        async with opened(sessions, name="work") as other:
            assert other is not session


async def test_a_notebook_that_is_open_elsewhere_is_refused_by_name(sessions: Sessions) -> None:
    """Never two live sessions on one file; when its holder is gone, it is taken over with its variables."""
    write_notebook(sessions.settings.workspace / "shared.ipynb", code("x = 1"))
    holder, other = Connection(), Connection()
    session = (await sessions.open(holder, notebook="shared.ipynb")).session
    await ran(session, "kept = 1")
    same = await sessions.open(holder, notebook="shared.ipynb")
    assert (same.session, same.created) == (session, False)
    for name in ("shared.ipynb", "./shared.ipynb", str(session.workspace / "shared.ipynb")):
        with pytest.raises(FileRefused, match=session.name):
            await sessions.open(other, notebook=name)
    holder.closed = True
    taken = await sessions.open(other, notebook="shared.ipynb")
    assert taken.session is session
    assert text_of(await ran(session, "kept")) == "1"
    assert sessions.of(other) == [session]
    assert sessions.of(holder) == []
    await ended(sessions, other)


async def test_two_connections_that_open_a_notebook_at_once_get_one_session(sessions: Sessions) -> None:
    """One of them is refused."""
    write_notebook(sessions.settings.workspace / "raced.ipynb", code("x = 1"))
    opened_by: list[Opened] = []
    refused: list[FileRefused] = []

    async def open_it(connection: Connection) -> None:
        try:
            opened_by.append(await sessions.open(connection, notebook="raced.ipynb"))
        except FileRefused as exc:
            refused.append(exc)

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(open_it, Connection())
    assert (len(opened_by), len(refused)) == (1, 2)
    await sessions.end(opened_by[0].session)


async def test_either_half_of_a_pair_is_the_same_notebook(sessions: Sessions) -> None:
    """The .py and the .ipynb beside it are one session."""
    connection = Connection()
    async with opened(sessions, connection, name="pair") as session:
        await ran(session, "1")
        paths = (await session.save()).paths
        for path in paths:
            again = await sessions.open(connection, notebook=str(path.relative_to(session.workspace)))
            assert again.session is session
            with pytest.raises(FileRefused):
                await sessions.open(Connection(), notebook=str(path))


async def test_a_kernel_runs_beside_its_notebook(sessions: Sessions) -> None:
    """Relative paths in a cell mean what they mean in Jupyter."""
    write_notebook(sessions.settings.workspace / "deep" / "er" / "n.ipynb", code("x = 1"))
    async with opened(sessions, notebook="deep/er/n.ipynb") as session:
        found = text_of(await ran(session, "import os; os.getcwd()"))
        assert found == repr(str(sessions.settings.workspace / "deep" / "er"))


@pytest.mark.parametrize("place", ["..", "/", "/tmp", "nowhere"])
async def test_a_workspace_outside_the_root_is_refused(sessions: Sessions, place: str) -> None:
    """And one that is not there."""
    with pytest.raises(FileRefused, match="inside the workspace"):
        await sessions.open(Connection(), workspace=place)


async def test_a_workspace_through_a_link_is_judged_by_where_it_leads(sessions: Sessions, tmp_path: Path) -> None:
    """Out of the root is out."""
    link = sessions.settings.workspace / "link-out"
    link.symlink_to(tmp_path)
    with pytest.raises(FileRefused):
        await sessions.open(Connection(), workspace="link-out")


async def test_a_session_that_cannot_start_leaves_nothing(sessions: Sessions) -> None:
    """No session, no kernel, no directory; the next try works."""
    connection = Connection()
    before = set(sessions.settings.sockets.glob("*"))
    for kernel in ("made-up", "/no/python", "./nothing"):
        with pytest.raises(KernelError):
            await sessions.open(connection, kernel=kernel)
    assert sessions.of(connection) == []
    assert set(sessions.settings.sockets.glob("*")) == before
    async with opened(sessions, connection) as session:
        assert session.state == "idle"


# An old key in the kernelspec that bash_kernel installs.
@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
async def test_a_kernel_of_another_language_has_a_session_like_any_other(sessions: Sessions) -> None:
    """Bash: cells, the document's language, a clear refusal of what needs Python."""
    async with opened(sessions, kernel="bash", name="shell") as session:
        job = await ran(session, "echo hello; exit_code=3")
        assert text_of(job) == "hello\n"
        assert text_of(await ran(session, "echo $exit_code")) == "3\n"
        with pytest.raises(KernelError, match="needs ipykernel"):
            await session.inspect(None)
        assert session.notebook.node["metadata"]["kernelspec"]["name"] == "bash"
        running = await session.execute_cell("echo in; sleep 600")
        while not running.outputs:
            await running.changed()
        await soon(session.interrupt())
        assert running.status == "interrupted"
        assert text_of(await ran(session, "echo alive")) == "alive\n"
        path = (await session.save()).paths[-1].relative_to(session.workspace)
    async with opened(sessions, notebook=str(path)) as session:
        assert session.kernel_info is not None
        assert session.kernel_info.language == "bash"


async def test_changes_are_told_to_whoever_listens(sessions: Sessions) -> None:
    """With the session and the cell."""
    told: list[tuple[str, str | None]] = []
    sessions.listeners.append(lambda handle, cell: told.append((handle, cell)))
    async with opened(sessions) as session:
        job = await ran(session, "1")
        assert (session.handle, job.cell_id) in told
        told.clear()
        session.edit_cell(cell_id=job.cell_id, source="2")
        assert (session.handle, None) in told
    sessions.listeners.pop()


async def test_sessions_do_not_wait_for_each_other(settings: Settings) -> None:
    """A cell of one runs while that of another never ends; the end of all is the end of their kernels."""
    async with Sessions(settings) as sessions:
        one, two = [(await sessions.open(Connection())).session for _ in range(2)]
        await busy(one)
        assert (await ran(two, "1")).status == "ok"
        pids = [session.kernel_info.pid for session in (one, two) if session.kernel_info]
    assert [pid for pid in pids if pid and lives(pid)] == []


async def test_the_environment_of_a_connection_is_that_of_its_kernel(sessions: Sessions) -> None:
    """Not the server's own."""
    environment = {**sessions.settings.environment, "FROM_CLIENT": "yes", "CLIENT_TOKEN": "secret"}
    async with opened(sessions, Connection(environment=environment)) as session:
        found = await ran(session, "import os; os.environ['FROM_CLIENT'], 'CLIENT_TOKEN' in os.environ")
        assert text_of(found) == "('yes', False)"
        assert session.kernel_info is not None
        assert session.kernel_info.withheld == ("CLIENT_TOKEN",)


async def test_settings_let_a_secret_through(settings: Settings) -> None:
    """By pattern; and the stock kernel is one of them."""
    environment = {**settings.environment, "MY_TOKEN": "12345678"}
    async with alone(replace(settings, environment=environment, env_pass=("MY_*",), lean=False)) as session:
        assert text_of(await ran(session, "import os; os.environ['MY_TOKEN']")) == "'12345678'"
        assert session.kernel_info is not None
        assert not session.kernel_info.lean


async def test_a_listener_that_fails_harms_nobody(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The cell runs, the others hear of it, and the fault is in the log."""

    def broken(_handle: str, _cell_id: str | None) -> None:
        raise RuntimeError("a listener's bug")

    heard: list[str] = []
    monkeypatch.setattr(sessions, "listeners", [broken, lambda handle, _cell_id: heard.append(handle)])
    async with opened(sessions, name="heard") as session:
        assert (await ran(session, "1")).status == "ok"
        assert session.handle in heard
    assert "A listener failed" in caplog.text


async def test_one_sessions_bug_ends_no_other(
    sessions: Sessions, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A task of one session that raises is logged, its cell is told as dead; the other session goes on."""
    async with opened(sessions, name="broken") as session, opened(sessions, name="whole") as other:
        monkeypatch.setattr(session._record, "began", None)
        job = await finished(await session.execute_cell("1"))
        assert job.status == "dead"
        assert session.death is not None
        assert (await ran(other, "1 + 1")).status == "ok"
        monkeypatch.undo()
        await soon(session.restart())
        assert (await ran(session, "1 + 1")).status == "ok"
    assert "A task of a session failed" in caplog.text


# The kernel that a notebook names


def named(path: Path, kernelspec: dict[str, str] | None, language: str = "python") -> None:
    """A notebook file that names a kernelspec, or a language alone."""
    write_notebook(path, code("1"))
    document = json.loads(path.read_text())
    document["metadata"] = {"language_info": {"name": language}} | ({"kernelspec": kernelspec} if kernelspec else {})
    path.write_text(json.dumps(document))


async def test_a_kernelspec_that_a_notebook_names_is_used_and_stays_named(settings: Settings, tmp_path: Path) -> None:
    """Other programs, and the next session, run it on the same kernel."""
    spec = {"argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"], "display_name": "Mine"}
    place = tmp_path / "jupyter" / "kernels" / "mine"
    place.mkdir(parents=True)
    (place / "kernel.json").write_text(json.dumps({**spec, "language": "python", "env": {"OF_MINE": "yes"}}))
    path = settings.workspace / "mine.ipynb"
    named(path, {"name": "mine", "display_name": "Mine", "language": "python"})
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("JUPYTER_PATH", str(tmp_path / "jupyter"))
        async with alone(settings, notebook="mine.ipynb") as session:
            assert text_of(await ran(session, "import os; os.environ['OF_MINE']")) == "'yes'"
            await session.save()
        assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == "mine"
    async with Sessions(settings) as sessions:
        again = await sessions.open(Connection(), notebook="mine.ipynb")
        assert "'mine' is not installed" in again.notes[0]
        assert (await ran(again.session, "1")).status == "ok"
        await again.session.save()
    assert json.loads(path.read_text())["metadata"]["kernelspec"]["name"] == "mine"


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
@pytest.mark.parametrize("name", ["shell.sh", "shell.ipynb"])
async def test_a_notebook_of_another_language_runs_on_a_kernel_of_it(sessions: Sessions, name: str) -> None:
    """Though it names no kernelspec; and where there is none, that is said."""
    path = sessions.settings.workspace / name
    if path.suffix == ".sh":
        path.write_text("# %%\necho hi\n")
    else:
        named(path, None, "bash")
    async with opened(sessions, notebook=name) as session:
        assert text_of(await ran(session, "echo $((40 + 2))")) == "42\n"
    named(sessions.settings.workspace / "none.ipynb", None, "cobol")
    with pytest.raises(KernelNotFound, match="cobol"):
        await sessions.open(Connection(), notebook="none.ipynb")


@pytest.mark.parametrize("odd", ["text", 5, [1]])
async def test_a_kernelspec_of_any_shape_is_python(sessions: Sessions, odd: object) -> None:
    """Or the file is refused; but nothing fails."""
    path = sessions.settings.workspace / "oddspec.ipynb"
    named(path, {"name": "python3", "display_name": "Python 3", "language": "python"})
    document = json.loads(path.read_text())
    document["metadata"]["language_info"]["name"] = odd
    path.write_text(json.dumps(document))
    try:
        async with opened(sessions, notebook="oddspec.ipynb") as session:
            assert (await ran(session, "1")).status == "ok"
    except FileRefused as refused:
        assert "oddspec.ipynb" in str(refused)
