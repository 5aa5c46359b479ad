"""Secrets are masked wherever an output is seen: in answers, in the document and its files, as they run."""

import json
import shutil
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest
from mcp import Client

from mcp_notebook.errors import KernelStartFailed
from mcp_notebook.server import open_server
from mcp_notebook.sessions import Connection, Sessions
from mcp_notebook.settings import BadSettings, Settings, load
from tests.calls import call, run, structured
from tests.conftest import environment_of
from tests.live import alone, code, ran, write_notebook

pytestmark = pytest.mark.anyio

SECRET = "q7Zp4vXk" + "2LmN8wRt5yBc"
TOKEN = "ghp_" + "aB3x" * 9
NAME = "secretive"
PASSED = {"SERVICE_TOKEN": SECRET, "OTHER_PASSWORD": "p4ss wörd & more"}


@pytest.fixture(scope="module")
def secretive(tmp_path_factory: pytest.TempPathFactory, anyio_backend: str) -> Settings:
    """Settings of somebody with secrets, one of which his kernels get."""
    base = tmp_path_factory.mktemp("secretive")
    (base / "workspace").mkdir()
    settings = load(environment_of(base) | PASSED, workspace=base / "workspace")
    return replace(settings, env_pass=("SERVICE_*",), spill_over_chars=10_000, mask_patterns=(r"ACME-\d+",))


@pytest.fixture(scope="module")
async def mine(secretive: Settings, anyio_backend: str) -> AsyncIterator[Sessions]:
    """His sessions."""
    async with Sessions(secretive) as sessions:
        yield sessions
    shutil.rmtree(secretive.sockets, ignore_errors=True)


@pytest.fixture(scope="module")
async def client(secretive: Settings, mine: Sessions, anyio_backend: str) -> AsyncIterator[Client]:
    """His client, with one session for all tests."""
    async with open_server(secretive, mine) as server, Client(server, mode="auto", cache=None) as client:
        await structured(client, "open_session", name=NAME)
        yield client


SHOWN = "import os; s = os.environ['SERVICE_TOKEN']; token = 'ghp_' + 'aB3x' * 9\n"


@pytest.mark.parametrize(
    "source",
    [
        "print(s, token)",
        "print('a', s[:9], sep='', end='', flush=True); print(s[9:], token)",
        "import sys; sys.stderr.write(s + chr(10) + token)",
        "print(f'\\x1b[1m{s[:5]}\\x1b[31m{s[5:]}\\x1b[0m {token}')",
        "print('.' * 40, f'\\r{s[:9]}', end=''); print(s[9:], token)",
        "(s, token)",
        "{'a': {s: token}}",
        "raise ValueError(f'{s} and {token}')",
        "assert s == token, f'{s} is not {token}'",
        "class Mine:\n    def _repr_html_(self): return f'<b>{s}</b>{token}'\n    __repr__ = _repr_html_\nMine()",
        "from IPython.display import JSON; JSON({'a': [s], 'b': token})",
        "from IPython.display import display; d = display('x', display_id=True); d.update(f'{s} {token}')",
        "import subprocess; print(subprocess.run(['env'], capture_output=True, text=True).stdout, token)",
        "import base64; print(base64.b64encode(f'me:{s}'.encode()).decode(), token)",
        "print('ACME-123', s, token)",
    ],
)
async def test_no_output_shows_a_secret(client: Client, source: str) -> None:
    """Printed whole, in pieces or in colours, shown as a value or as HTML, in an exception, by another program."""
    shown = await run(client, SHOWN + source)
    assert not _leaks(shown)
    assert "[masked: GitHub token]" in shown
    assert "[masked: SERVICE_TOKEN]" in shown


async def test_the_session_tells_what_is_masked(client: Client) -> None:
    """By the names of the variables; the source of a cell is never altered."""
    opened = await structured(client, "open_session", name=NAME)
    assert {"SERVICE_TOKEN", "OTHER_PASSWORD"} <= set(opened["masked"])
    assert "OTHER_PASSWORD" in opened["kernel"]["withheld"]
    await run(client, f"x = '{TOKEN}'  # as written")
    read = await call(client, "read_notebook")
    assert f"x = '{TOKEN}'  # as written" in read
    assert SECRET not in read


async def test_other_ways_to_look(client: Client) -> None:
    """Variables, the resources, a prompt for input, and the progress of a cell that runs."""
    session = (await structured(client, "open_session", name=NAME))["session"]
    await run(client, SHOWN)
    assert not _leaks(json.dumps(await structured(client, "inspect_variables")))
    assert not _leaks(json.dumps(await structured(client, "inspect_variables", name="s")))
    resource = await client.read_resource(f"notebook://{session}")
    assert SECRET not in resource.model_dump_json()
    asked = await run(client, "input(f'Is {s} right? ')")
    assert "[masked: SERVICE_TOKEN]" in asked
    assert not _leaks(asked)
    heard: list[str | None] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        heard.append(message)

    answer = {"action": "answer", "text": "yes", "wait_s": 20}
    await call(client, "control_kernel", **answer)
    sources = "import threading\nprint(s, end=' ', flush=True)\nthreading.Event().wait(5)"
    with anyio.fail_after(30):
        await client.call_tool("execute_cell", {"source": sources, "wait_s": 20}, progress_callback=hear)
    assert "[masked: SERVICE_TOKEN]" in heard
    assert not _leaks(repr(heard))


async def test_a_long_output_is_masked_outside_the_document_too(client: Client, secretive: Settings) -> None:
    """Its pages, a search in it, and the file that it is kept in."""
    shown = await run(
        client, SHOWN + "for n in range(2000): print(n, 'line', s if n % 500 == 499 else '', token[:-n or None])"
    )
    assert not _leaks(shown)
    cell_id = shown.partition("cell=")[2].split()[0]
    page = await call(client, "get_output", cell_id=cell_id, cursor=None)
    found = await call(client, "get_output", cell_id=cell_id, search="masked: SERVICE")
    assert "4 of 2,000 lines match" in found
    assert "0 of" in await call(client, "get_output", cell_id=cell_id, search=SECRET)
    assert not _leaks(page + found)
    assert _files_that_leak(secretive.home, SECRET) == []


async def test_the_saved_notebook_has_no_secret(client: Client, secretive: Settings) -> None:
    """In the .ipynb, unless it is in the source."""
    await run(client, SHOWN + "print(s)")
    await call(client, "save_notebook", path="saved.ipynb")
    text = (secretive.workspace / "saved.ipynb").read_text()
    assert SECRET not in text
    assert "[masked: SERVICE_TOKEN]" in text


async def test_outputs_that_a_file_had_are_masked_when_it_is_opened(mine: Sessions, client: Client) -> None:
    """Also where it is only read, and when it changes on disk; what is saved has them no more."""
    place = mine.settings.workspace / "old.ipynb"
    cell = code("1", count=3)
    cell["outputs"] = [{"output_type": "stream", "name": "stdout", "text": f"{SECRET}\n"}]
    write_notebook(place, cell)
    assert not _leaks(await call(client, "read_notebook", path="old.ipynb"))
    session = (await mine.open(Connection(agent="opener"), notebook="old.ipynb")).session
    assert session.notebook.cells[0]["outputs"][0]["text"] == "[masked: SERVICE_TOKEN]\n"
    cell["outputs"][0]["text"] = f"again {SECRET}\n"
    write_notebook(place, cell)
    await session.refresh()
    assert session.notebook.cells[0]["outputs"][0]["text"] == "again [masked: SERVICE_TOKEN]\n"
    await session.save()
    assert SECRET not in place.read_text()
    await mine.end(session)


async def test_what_came_before_a_secret_was_known(mine: Sessions) -> None:
    """A client with other secrets takes the session over: what its cells show is masked from then on."""
    first = Connection(agent="shared")
    session = (await mine.open(first, name="handed")).session
    late = "v8Kd" + "3Wq9Ls7Pz1"
    shown = await ran(session, f"print({late[:4]!r} + {late[4:]!r})")
    assert late in str(shown.outputs)
    first.closed = True
    second = Connection(agent="shared", environment={**mine.settings.environment, "LATE_KEY": late})
    assert (await mine.open(second, name="handed")).session is session
    with anyio.fail_after(20):
        while late in str(session.notebook.cells[0]["outputs"]):
            await anyio.lowlevel.checkpoint()
    assert late not in str(shown.outputs)
    assert "[masked: LATE_KEY]" in str((await ran(session, cell_id=shown.cell_id)).outputs)
    await mine.end(session)


async def test_what_a_kernel_said_that_did_not_start_is_masked(mine: Sessions, tmp_path: Path) -> None:
    """The error tells its last lines."""
    broken = tmp_path / "python"
    asked = f'case "$*" in *importlib*) exec {sys.executable} "$@";; esac'
    broken.write_text(f"#!/bin/sh\n{asked}\necho '{SECRET}' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(KernelStartFailed, match="masked: SERVICE_TOKEN") as failed:
        await mine.open(Connection(agent="broken"), kernel=str(broken))
    assert not _leaks(str(failed.value))


async def test_it_can_be_switched_off(secretive: Settings) -> None:
    """Then outputs are as the code made them, and nothing is said to be masked."""
    async with alone(replace(secretive, mask_secrets=False)) as session:
        assert SECRET in str((await ran(session, SHOWN + "print(s)")).outputs)
        assert session.masked == []


def test_a_pattern_that_is_none_is_refused(tmp_path: Path) -> None:
    """When the settings are read, by name."""
    (tmp_path / "settings.toml").write_text('mask_patterns = ["(", "x"]\n')
    with pytest.raises(BadSettings, match=r"mask_patterns has '\('"):
        load({"MCP_NOTEBOOK_HOME": str(tmp_path)})


def _leaks(text: str) -> bool:
    parts = (SECRET, SECRET[:9], SECRET[9:], TOKEN, "ACME-123")
    return any(part in text for part in parts)


def _files_that_leak(directory: Path, secret: str) -> list[Path]:
    files = (path for path in directory.rglob("*") if path.is_file())
    return [path for path in files if secret.encode() in path.read_bytes()]
