"""hermes_runtime is in every Python kernel, whatever interpreter it runs in, and brings nothing else along."""

import ast
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from mcp_notebook.kernels.launch import RUNTIME
from mcp_notebook.session import Session
from mcp_notebook.sessions import Sessions
from mcp_notebook.settings import Settings
from tests.environments import python_of
from tests.kernels.conftest import NEWEST, OLDEST, interpreter
from tests.live import alone, opened, ran, text_of

pytestmark = pytest.mark.anyio

KINDS = [(NEWEST, True), (NEWEST, False), (OLDEST, True), (OLDEST, False)]
OURS = "import sys; print(sorted({m.partition('.')[0] for m in sys.modules if 'hermes' in m or 'mcp' in m}))"
ELSEWHERE = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], as_version=4)
nbclient.execute(notebook, allow_errors=True)
nbformat.write(notebook, sys.argv[1])
"""
SCRIPT = """\
from hermes_tools import terminal, read_file, write_file, json_parse, shell_quote, retry

write_file("note.txt", "one\\ntwo\\n")
listing = retry(lambda: terminal(f"cat {shell_quote('note.txt')}"))
print(listing["output"], listing["exit_code"])
print(read_file("note.txt")["content"])
print(json_parse('{"a": "tab\\there"}'))
"""


@pytest.fixture(scope="module", params=KINDS, ids=lambda kind: f"{kind[0]}-{'lean' if kind[1] else 'stock'}")
async def session(
    request: pytest.FixtureRequest, settings: Settings, sessions: Sessions, anyio_backend: str
) -> AsyncIterator[Session]:
    """A session on each kind of kernel; ``sessions`` outlive it."""
    age, lean = request.param
    async with alone(replace(settings, lean=lean), kernel=interpreter(age)) as session:
        await ran(session, "import hermes_runtime")
        yield session


async def printed(session: Session, source: str) -> str:
    """What a cell that ends well gives."""
    execution = await ran(session, source)
    assert execution.status == "ok", text_of(execution)
    return text_of(execution).strip()


async def test_it_is_there_under_both_names(session: Session) -> None:
    """One module; nothing else of ours is loaded, or lies on a path."""
    assert await printed(session, "import hermes_runtime, hermes_tools; hermes_runtime is hermes_tools") == "True"
    assert await printed(session, OURS) == "['hermes_runtime', 'hermes_tools']"
    found = "import importlib.util, sys; print([p for p in sys.meta_path if type(p).__name__ == 'Finder'].__len__())"
    assert await printed(session, found) == "1"


async def test_a_call_answers(session: Session) -> None:
    """Through the whole way to the host and back, also awaited."""
    assert await printed(session, "hermes_runtime.terminal('echo hi')") == (
        "{'output': 'hi', 'exit_code': 0, 'error': None}"
    )
    assert await printed(session, "(await hermes_runtime.terminal.aio('echo hi'))['output']") == "'hi'"


async def test_a_script_for_hermes_runs_unchanged(session: Session) -> None:
    """As it would in Hermes's own execute_code."""
    said = await printed(session, SCRIPT)
    assert said.splitlines()[:3] == ["one", "two 0", "1|one"]
    assert "{'a': 'tab\\there'}" in said


async def test_help_and_completion(session: Session) -> None:
    """Signatures and docstrings are real."""
    assert "exit_code" in await printed(session, "help(hermes_runtime.terminal)")
    assert "command: 'str'" in await printed(
        session, "import inspect; print(inspect.signature(hermes_runtime.terminal))"
    )
    assert "web_search" in await printed(session, "print(dir(hermes_runtime))")
    complete = "get_ipython().Completer.use_jedi = False; print(get_ipython().complete('hermes_runtime.ter')[1])"
    assert "terminal" in await printed(session, complete)


async def test_it_is_there_again_after_a_restart(session: Session) -> None:
    """Before the first cell of the new kernel."""
    await session.restart()
    assert await printed(session, "import hermes_runtime; hermes_runtime.terminal('echo again')['output']") == "'again'"


async def test_another_environment_has_it(sessions: Sessions, other_environment: Path) -> None:
    """One without our package: it is sent in, and comes from the server's own files."""
    async with opened(sessions, kernel=str(other_environment)) as session:
        assert await printed(session, "import sys; print(sys.prefix)") == str(other_environment)
        assert await printed(session, "from hermes_tools import terminal; terminal('echo hi')['output']") == "'hi'"


async def test_another_python_has_it(sessions: Sessions) -> None:
    """The oldest that this machine has, from 3.9 on."""
    async with opened(sessions, kernel=str(python_of("otherpython"))) as session:
        assert "1|one" in await printed(session, SCRIPT)
        assert await printed(session, "import asyncio; (await terminal.aio('echo hi'))['output']") == "'hi'"
        assert await printed(session, "import hermes_runtime; hermes_runtime.servers.search('x')") != ""
        assert await printed(session, "job = terminal('echo x', background=True); job.wait(20)['output']") == "'x'"


@pytest.mark.filterwarnings("ignore:Passing unrecognized arguments:DeprecationWarning")
async def test_a_kernel_without_python_says_that_it_has_none(sessions: Sessions) -> None:
    """In its status, which open_session's answer and control_kernel give."""
    async with opened(sessions, kernel="bash") as session:
        assert session.kernel_info is not None
        assert any("hermes_runtime" in note for note in session.kernel_info.notes)
        assert (await ran(session, "echo fine")).status == "ok"


def test_its_source_is_understood_by_python_3_9() -> None:
    """The oldest Python that a kernel may run."""
    for file in RUNTIME.glob("*.py"):
        ast.parse(file.read_text(), feature_version=(3, 9))


async def test_outside_of_any_server_it_says_what_it_needs(sessions: Sessions) -> None:
    """A notebook that uses it, run elsewhere: by the installed package, in a kernel that no server of ours started."""
    async with opened(sessions) as session:
        await printed(session, "from hermes_runtime import terminal; terminal('true')")
        saved = (await session.save("elsewhere.ipynb")).paths[-1]
    await anyio.run_process([sys.executable, "-c", ELSEWHERE, str(saved)])
    (error,) = json.loads(saved.read_text())["cells"][0]["outputs"]
    assert error["ename"] == "HostError"
    assert "needs the notebook server" in error["evalue"]
    assert "Run the notebook with mcp-notebook" in error["evalue"]
