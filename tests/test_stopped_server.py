"""A server that stands still while a cell prints more than the sockets hold: it has all of it when it goes on."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.daemons import Client, User, user, wait_until

LINES = 20_000
PRINTS = """
import os, sys, time
for n in range({lines}):
    print(n, flush=True)
    if n == 200: open({begun!r}, "w").close()
open({printed!r}, "w").close()
{then}
"""
FETCHED = re.compile(r"(\d+) messages of a kernel did not arrive and were fetched from it")


@pytest.fixture(scope="module")
def somebody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[User]:
    with user(tmp_path_factory.mktemp("stopped")) as found:
        found.start_server()
        yield found


@pytest.fixture(scope="module")
def client(somebody: User) -> Client:
    client = somebody.connect()
    client.initialize()
    client.wait_for(120)
    return client


def fetched(somebody: User) -> int:
    """How many messages the server has fetched so far."""
    return sum(int(count) for count in FETCHED.findall(somebody.log()))


@pytest.mark.timeout(180)
@pytest.mark.parametrize("ends", ["meanwhile", "later"])
def test_all_lines_are_there_once(somebody: User, client: Client, tmp_path: Path, ends: str) -> None:
    """In the answer's pages and in the saved document, also when the cell ends while the server stands still."""
    begun, printed, go = (str(tmp_path / name) for name in ("begun", "printed", "go"))
    then = "" if ends == "meanwhile" else f"while not os.path.exists({go!r}): time.sleep(0.01)\nprint('went on')"
    before = fetched(somebody)
    assert somebody.server is not None
    source = PRINTS.format(lines=LINES, begun=begun, printed=printed, then=then)
    answer = client.call("execute_cell", source=source, wait_s=0)
    cell_id = str(re.search(r"cell=(\w+)", answer)[1])  # type: ignore[index]
    wait_until(Path(begun).exists, 60)
    somebody.server.send_signal(signal.SIGSTOP)
    try:
        wait_until(Path(printed).exists, 90)
    finally:
        somebody.server.send_signal(signal.SIGCONT)
    Path(go).touch()
    told = client.call("get_output", cell_id=cell_id, wait_s=60)
    assert " ok " in told.splitlines()[0], told[:300]
    assert fetched(somebody) - before > 5000, "the kernel's socket held all of it: nothing was tested"
    client.call("save_notebook", path="lines.ipynb")
    saved = json.loads((somebody.workspace / "lines.ipynb").read_text())
    (cell,) = (cell for cell in saved["cells"] if cell["id"] == cell_id)
    wanted = [*map(str, range(LINES)), *(["went on"] if ends == "later" else [])]
    assert ["".join(output["text"]) for output in cell["outputs"]] == ["\n".join(wanted) + "\n"]
    assert client.call("execute_cell", source="n + 1").endswith(str(LINES))
