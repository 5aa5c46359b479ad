"""What the next server knows of secrets, after the one that was told of them was killed."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Client, User, user, wait_until

SECRET = "q7Zp4vXk" + "2LmN8wRt5yBc"
PRINTS = """
import os, pathlib, time
print("begun", flush=True)
while not os.path.exists({go!r}): time.sleep(0.05)
print("it is", os.environ["SERVICE_TOKEN"], flush=True)
pathlib.Path({done!r}).touch()
"""


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    """Only his client has the secret, not the server's own environment; his kernels get it."""
    with user(tmp_path) as found:
        found.settings.home.mkdir(parents=True)
        (found.settings.home / "settings.toml").write_text('env_pass = ["SERVICE_*"]\n')
        found.start_server()
        yield found


def connected(somebody: User, lease: str | None = None) -> Client:
    """His client, in whose environment the secret is."""
    client = somebody.connect(lease=lease, environment=somebody.environment | {"SERVICE_TOKEN": SECRET})
    client.initialize()
    return client


def test_what_is_printed_while_no_client_is_there(somebody: User, tmp_path: Path) -> None:
    """The kernel's own environment says what is secret before the client comes back; no file ever holds it."""
    go, done = tmp_path / "go", tmp_path / "done"
    client = connected(somebody)
    source = PRINTS.format(go=str(go), done=str(done))
    client.call("execute_cell", source=source, wait_s=0)
    wait_until(lambda: "begun\n" in client.call("read_notebook", outputs="full").partition("Output:")[2])
    somebody.kill_server()
    somebody.start_server()
    go.touch()
    wait_until(done.exists)
    wait_until(lambda: files_with(somebody, b"it is"))
    assert not files_with(somebody, SECRET.encode())
    client = connected(somebody, client.greeted["lease"])
    assert "it is [masked: SERVICE_TOKEN]" in client.call("read_notebook", outputs="full")
    assert "[masked: SERVICE_TOKEN]" in client.call("execute_cell", source="print(os.environ['SERVICE_TOKEN'])")
    client.call("save_notebook", path="kept.ipynb")
    assert not files_with(somebody, SECRET.encode())


def files_with(somebody: User, text: bytes) -> list[Path]:
    """Those of the state and of the workspace that hold it in an output; the source has it in two pieces."""
    places = (somebody.settings.home, somebody.workspace)
    files = [path for place in places for path in place.rglob("*") if path.is_file()]
    return [path for path in files if text + b" " in path.read_bytes().replace(b"\\n", b" ")]
