"""``servers`` as a cell sees it: functions with signatures, values instead of messages, over real servers."""

import ast
import contextlib
import inspect
import io
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.from_thread
import anyio.to_thread
import pytest

import hermes_runtime.proxies
import hermes_runtime.schemas
from hermes_runtime.proxies import Blob, Resource, ServerError, Servers, proxies
from mcp_notebook.errors import NotebookError
from mcp_notebook.runtime import servers as runtime_servers
from tests.runtime.odd_server import PIXEL
from tests.runtime.server_hosts import HANDSHAKE, ODD, SessionHost, host_in, servers_of

pytestmark = pytest.mark.anyio

Cell = Callable[[Callable[[Servers], Any]], Any]


class HostError(RuntimeError):
    """What ``ask`` raises for an error of the host."""


class Asked:
    """``ask`` without a wire: from the thread of a cell to the servers; ``calls`` has the names that were asked for."""

    def __init__(self, servers: runtime_servers.Servers) -> None:
        self.calls: list[str] = []
        self._table: dict[str, Callable[..., Any]] = {
            "servers.list": servers.listed,
            "servers.tools": servers.tools,
            "servers.call": servers.call,
            "servers.search": servers.search,
        }

    def ask(self, name: str, args: dict[str, Any]) -> Any:
        """From a thread."""
        return anyio.from_thread.run(self.aask, name, args)

    async def aask(self, name: str, args: dict[str, Any]) -> Any:
        """From the loop."""
        self.calls.append(name)
        try:
            return await self._table[name](**args)
        except NotebookError as exc:
            raise HostError(str(exc)) from exc


@pytest.fixture
def host(tmp_path: Path) -> SessionHost:
    """Its file has the odd server under three names, and one that cannot start."""
    host = host_in(tmp_path)
    host.configure(**{"odd": ODD, "odd-one.two": ODD, "import": ODD, "broken": {"command": "no-such-program"}})
    return host


@pytest.fixture
async def asked(host: SessionHost) -> AsyncIterator[Asked]:
    """The servers of that file."""
    async with servers_of(host) as servers:
        yield Asked(servers)


@pytest.fixture
def cell(asked: Asked) -> Cell:
    """Runs a function as a cell does: in a thread of its own, with ``servers``."""
    servers = proxies(asked.ask, asked.aask)

    async def run(code: Callable[[Servers], Any]) -> Any:
        return await anyio.to_thread.run_sync(code, servers)

    return run


def failure(kind: type[Exception], call: Callable[..., Any], *args: Any, **kwargs: Any) -> str:
    """The text of what ``call`` raises."""
    with pytest.raises(kind) as caught:
        call(*args, **kwargs)
    return str(caught.value)


async def test_a_tool_is_a_function(cell: Cell) -> None:
    """By keyword, in order, under names that Python cannot write, on servers with such names."""

    def code(servers: Servers) -> None:
        assert servers.odd.echo(text="one") == "one"
        assert servers.odd.echo("two") == "two"
        assert servers.odd.odd_name_of(what="thing") == "odd thing"
        assert servers["odd-one.two"]["odd.name-of"]("thing") == "odd thing"
        assert servers.odd_one_two.echo("three") == "three"
        assert servers.import_.echo("four") == "four"

    await cell(code)


async def test_values_come_without_their_wrapping(cell: Cell) -> None:
    """Structured content as it is, a lone value out of its wrapper, blocks as what they hold."""

    def code(servers: Servers) -> None:
        assert servers.odd.add(40) == 42
        assert servers.odd.locate("abc") == {"row": 3, "column": 0}
        first, memo, link = servers.odd.several()
        assert first == "first"
        assert isinstance(memo, Resource)
        assert (memo.uri, memo.text) == ("memo://one", "inside")
        assert (link.uri, link.name, link.text) == ("memo://two", "two", None)
        picture = servers.odd.picture()
        assert isinstance(picture, Blob)
        assert (picture.data, picture.mime_type) == (PIXEL, "image/png")
        assert set(picture._repr_mimebundle_()) == {"text/plain", "image/png"}
        assert "image/png" in repr(picture)

    await cell(code)


async def test_a_tool_explains_itself(cell: Cell) -> None:
    """Its signature, its help, its name, and what completion offers."""

    def code(servers: Servers) -> None:
        assert str(inspect.signature(servers.odd.add)) == "(*, a: int, b: int = 2) -> int"
        assert servers.odd.add.__name__ == "add"
        assert servers.odd.add.__qualname__ == "odd.add"
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            help(servers.odd.add)
        assert "add(*, a: int, b: int = 2) -> int" in shown.getvalue()
        assert "The sum of two numbers.\n    \n    a (int)\n    b (int, optional)" in shown.getvalue()
        assert {"odd", "odd_one_two", "import_", "broken", "search"} <= set(dir(servers))
        assert {"add", "odd_name_of"} <= set(dir(servers.odd))
        assert "odd.name-of" in servers.odd._ipython_key_completions_()
        assert "odd (stdio, started)" in repr(servers)
        assert "  add(*, a: int, b: int = 2) -> int" in repr(servers.odd)

    await cell(code)


async def test_a_wrong_call_is_refused_before_it_is_made(cell: Cell, asked: Asked) -> None:
    """Unknown, missing, repeated and too many arguments name the parameters."""

    def code(servers: Servers) -> None:
        add = servers.odd.add
        assert failure(TypeError, add, 1, c=2) == "add(*, a: int, b: int = 2) takes no c"
        assert failure(TypeError, add, b=1) == "add(*, a: int, b: int = 2) needs a"
        assert failure(TypeError, add, 1, a=1) == "add(*, a: int, b: int = 2) got a twice"
        assert "takes 2 arguments, not 3" in failure(TypeError, add, 1, 2, 3)

    await cell(code)
    assert "servers.call" not in asked.calls


async def test_failures_are_exceptions(cell: Cell) -> None:
    """A tool's own failure is a ServerError with its text; one of the server is the host's error."""

    def code(servers: Servers) -> None:
        with pytest.raises(ServerError, match="the moon is not full") as caught:
            servers.odd.fail()
        assert caught.value.answer["is_error"]
        assert "died during the call" in failure(HostError, servers.odd.die, 3)
        assert servers.odd.echo("alive again") == "alive again"
        assert "could not be started" in failure(HostError, getattr, servers.broken, "anything")
        assert "broken" in repr(servers)

    await cell(code)


async def test_an_unknown_name_says_what_there_is(cell: Cell) -> None:
    """Attributes raise AttributeError, keys KeyError, both with names that are near."""

    def code(servers: Servers) -> None:
        assert failure(AttributeError, getattr, servers, "od") == "There is no MCP server 'od'. There is: odd"
        assert "There is no tool of odd 'ecko'. There is: echo" in failure(AttributeError, getattr, servers.odd, "ecko")
        assert "echo" in failure(KeyError, servers.odd.__getitem__, "ecko")
        assert "odd" in failure(KeyError, servers.__getitem__, "od")
        assert not hasattr(servers.odd, "nothing")

    await cell(code)


async def test_new_tools_are_found(cell: Cell, asked: Asked) -> None:
    """Without being told, before it is said that there is none; and nothing is asked twice in vain."""

    def code(servers: Servers) -> None:
        assert not hasattr(servers.odd, "more")
        servers.odd.grow("more")
        assert "more" in dir(servers.odd)
        assert servers.odd.more() == "more"
        asked.calls.clear()
        assert servers.odd.more() == "more"
        assert asked.calls == ["servers.call"]

    await cell(code)


async def test_a_new_server_is_found(cell: Cell, host: SessionHost) -> None:
    """The file may change while the kernel runs."""

    def code(servers: Servers) -> None:
        assert not hasattr(servers, "late")
        host.configure(late=HANDSHAKE)
        assert servers.late.half() == "half ? a pair"
        assert list(servers) == ["late"]

    await cell(code)


async def test_looking_does_not_start_a_server(cell: Cell, asked: Asked) -> None:
    """What IPython and copy look for on every object is no tool."""

    def code(servers: Servers) -> None:
        server = servers.odd
        asked.calls.clear()
        for name in ("_repr_html_", "_ipython_canary_method_should_not_exist_", "__wrapped__", "_repr_mimebundle_"):
            assert not hasattr(server, name)
            assert not hasattr(servers, name)
        assert "odd" in repr(server)
        assert asked.calls == []

    await cell(code)


async def test_completion_survives_a_host_that_does_not_answer() -> None:
    """Between cells nothing can be asked: what is known is offered."""

    def ask(name: str, args: dict[str, Any]) -> Any:
        raise HostError("no cell is running")

    servers = proxies(ask)
    assert "search" in dir(servers)
    assert "no cell is running" in repr(servers)


async def test_a_search_is_readable(cell: Cell) -> None:
    """Each result has what to write, and servers that failed are named."""

    def code(servers: Servers) -> None:
        found = servers.search("sum of numbers")
        assert (found[0].tool, found[0].description) == ("add", "The sum of two numbers.")
        assert "servers.odd.add(*, a: int, b: int = 2) -> int\n    The sum of two numbers." in repr(found)
        assert "broken could not be searched: " in repr(found)
        assert [each["server"] for each in found.failures] == ["broken"]

    await cell(code)


async def test_code_that_waits_can_call_too(asked: Asked) -> None:
    """``aio`` awaits: three calls are in the server at once."""
    servers = proxies(asked.ask, asked.aask)
    meet = await anyio.to_thread.run_sync(lambda: servers.odd.meet)
    answers: list[str] = []

    async def go() -> None:
        answers.append(await meet.aio(party=3))

    async with anyio.create_task_group() as tasks:
        for _ in range(3):
            tasks.start_soon(go)
    assert len(answers) == 3
    assert inspect.signature(meet.aio) == inspect.signature(meet)


@pytest.mark.parametrize("module", [hermes_runtime.proxies, hermes_runtime.schemas])
def test_old_kernels_can_read_it(module: Any) -> None:
    """The source parses as Python 3.9."""
    ast.parse(Path(module.__file__).read_text(), feature_version=(3, 9))
