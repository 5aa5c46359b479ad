"""Notebooks and outputs as resources, and the news of their changes in both eras."""

import base64
import json

import anyio
import pytest
from mcp import Client, MCPError
from mcp.client.session import IncomingMessage
from mcp.client.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp.server import MCPServer
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import BlobResourceContents, ResourceUpdatedNotification, TextResourceContents

from mcp_notebook.sessions import Connection
from tests.calls import call, run, structured, value
from tests.conftest import ERAS
from tests.test_tools import PICTURE

pytestmark = pytest.mark.anyio
both_eras = pytest.mark.parametrize("era", ERAS, indirect=True)

MANY_TYPES = """\
from IPython.display import display
display({"text/plain": "plain", "text/html": "<b>bold</b>", "application/json": {"a": [1]}}, raw=True)"""


async def opened(client: Client) -> str:
    """The URI of a new session's notebook."""
    return f"notebook://{(await structured(client, 'open_session'))['session']}"


@both_eras
async def test_the_live_sessions_are_listed(client: Client) -> None:
    """Those of the connection, with the templates of what else can be read."""
    assert (await client.list_resources()).resources == []
    uri = await opened(client)
    listed = (await client.list_resources()).resources
    assert [str(each.uri) for each in listed] == [uri]
    templates = (await client.list_resource_templates()).resource_templates
    assert [each.uri_template for each in templates] == [
        "notebook://{session}",
        "notebook://{session}/cells/{cell_id}/outputs/{n}",
    ]


@both_eras
async def test_a_notebook_is_read_as_markdown(client: Client) -> None:
    """Cells with their ids and outputs."""
    uri = await opened(client)
    cell_id = value(await run(client, "print('printed')"), "cell")
    [contents] = (await client.read_resource(uri)).contents
    assert isinstance(contents, TextResourceContents)
    assert contents.mime_type == "text/markdown"
    assert f"cell={cell_id}" in contents.text
    assert "printed" in contents.text


@both_eras
async def test_an_output_is_read_as_it_is(client: Client) -> None:
    """Text as text, images as bytes, each with its own mime type."""
    uri = await opened(client)
    cell = f"{uri}/cells/{value(await run(client, PICTURE), 'cell')}/outputs"
    [text] = (await client.read_resource(f"{cell}/0")).contents
    assert isinstance(text, TextResourceContents)
    assert (text.mime_type, text.text) == ("text/plain", "before\n")
    contents = (await client.read_resource(f"{cell}/1")).contents
    [image] = [each for each in contents if each.mime_type == "image/png"]
    assert isinstance(image, BlobResourceContents)
    assert base64.b64decode(image.blob).startswith(b"\x89PNG")


async def test_an_output_has_all_its_mime_types(client: Client) -> None:
    """JSON is JSON, HTML is whole, an error has its traceback."""
    uri = await opened(client)
    cell = f"{uri}/cells/{value(await run(client, MANY_TYPES), 'cell')}/outputs/0"
    contents = {each.mime_type: each for each in (await client.read_resource(cell)).contents}
    assert {"text/plain", "text/html", "application/json"} == set(contents)
    data = contents["application/json"]
    assert isinstance(data, TextResourceContents)
    assert json.loads(data.text) == {"a": [1]}
    failed = f"{uri}/cells/{value(await run(client, '1 / 0'), 'cell')}/outputs/0"
    [error] = (await client.read_resource(failed)).contents
    assert isinstance(error, TextResourceContents)
    assert json.loads(error.text)["ename"] == "ZeroDivisionError"


@both_eras
@pytest.mark.parametrize("rest", ["", "/cells/deadbeef/outputs/0", "/cells/{cell}/outputs/9", "/elsewhere"])
async def test_what_is_not_there_is_refused(client: Client, rest: str) -> None:
    """An unknown session, cell, output or path is an error that says so."""
    uri = await opened(client)
    cell_id = value(await run(client, "1"), "cell")
    wanted = uri + rest.replace("{cell}", cell_id) if rest else "notebook://nobody-0000"
    with pytest.raises(MCPError) as refused:
        await client.read_resource(wanted)
    assert refused.value.error.code == -32602


@pytest.mark.parametrize("era", ["auto"], indirect=True)
async def test_listeners_hear_of_changes(client: Client) -> None:
    """``subscriptions/listen`` tells of the notebook and of the outputs that changed."""
    uri = await opened(client)
    cell_id = value(await run(client, "print('before')"), "cell")
    output = f"{uri}/cells/{cell_id}/outputs/0"
    with anyio.fail_after(60):
        async with client.listen(resource_subscriptions=[uri, output]) as events:
            await run(client, "print('after')", cell_id=cell_id)
            heard: set[str] = set()
            while heard != {uri, output}:
                event = await anext(aiter(events))
                assert isinstance(event, ResourceUpdated)
                heard.add(event.uri)


@pytest.mark.parametrize("era", ["auto"], indirect=True)
async def test_listeners_hear_of_new_sessions(client: Client) -> None:
    """The list of resources changed when a session was opened."""
    with anyio.fail_after(60):
        async with client.listen(resources_list_changed=True) as events:
            await opened(client)
            await run(client, "1")
            assert isinstance(await anext(aiter(events)), ResourcesListChanged)


async def test_subscribers_of_the_handshake_era_hear_of_changes(server: MCPServer[Connection]) -> None:
    """``resources/subscribe`` tells of each change until ``resources/unsubscribe``."""
    heard: list[str] = []
    news = anyio.Event()

    async def listen(message: IncomingMessage) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            heard.append(str(message.params.uri))
            news.set()

    async with Client(server, mode="legacy", message_handler=listen, cache=None) as client:
        uri = await opened(client)
        with anyio.fail_after(60):
            with pytest.warns(MCPDeprecationWarning):
                await client.subscribe_resource(uri)
            await run(client, "1")
            await news.wait()
            with pytest.warns(MCPDeprecationWarning):
                await client.unsubscribe_resource(uri)
        assert set(heard) == {uri}
        await call(client, "control_kernel", action="shutdown")


@pytest.mark.parametrize("era", ["auto"], indirect=True)
async def test_news_are_few_however_much_is_printed(client: Client) -> None:
    """Hundreds of changes of one notebook in a second become a handful of notifications."""
    uri = await opened(client)
    last = value(await call(client, "edit_cell", edit_mode="insert", source="'last'"), "cell")
    count = 0
    with anyio.fail_after(60):
        async with client.listen(resource_subscriptions=[uri, f"{uri}/cells/{last}/outputs/0"]) as events:
            assert "799" in await run(client, "for n in range(800): print(n, flush=True)")
            await call(client, "execute_cell", cell_id=last)
            async for event in events:
                count += 1
                if event != ResourceUpdated(uri=uri):
                    break
    assert 2 <= count <= 100


async def test_the_outputs_of_a_running_cell_can_be_read(client: Client) -> None:
    """The notebook and the resource hold what it gave so far, and say that it runs."""
    uri = await opened(client)
    cell_id = value(await run(client, "print('so', 'far', flush=True)\nwhile True: pass", wait_s=0), "cell")
    text = ""
    with anyio.fail_after(20):
        while "so far" not in text:
            text = await call(client, "read_notebook")
    assert f"cell={cell_id}" in text
    assert " running" in text
    (contents,) = (await client.read_resource(f"{uri}/cells/{cell_id}/outputs/0")).contents
    assert isinstance(contents, TextResourceContents)
    assert contents.text == "so far\n"
    await call(client, "control_kernel", action="interrupt")


async def test_an_output_that_no_message_could_carry_is_refused(client: Client) -> None:
    """Some clients close the connection at a longer line; the refusal says where it is had."""
    uri = await opened(client)
    cell_id = value(await run(client, "display({'text/html': 'x' * 1_000_000}, raw=True)"), "cell")
    with pytest.raises(MCPError, match="at most 850,000"):
        await client.read_resource(f"{uri}/cells/{cell_id}/outputs/0")


async def test_text_of_an_unknown_type_is_text(client: Client) -> None:
    """Only what is base64 comes as a blob."""
    uri = await opened(client)
    cell_id = value(await run(client, "display({'application/x-odd': 'zz!'}, raw=True)"), "cell")
    (contents,) = (await client.read_resource(f"{uri}/cells/{cell_id}/outputs/0")).contents
    assert isinstance(contents, TextResourceContents)
    assert contents.text == "zz!"
