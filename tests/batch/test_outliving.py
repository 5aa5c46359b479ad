"""A run of a notebook outlives its server: the next one goes on with it, and no cell runs twice."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import nbformat
import pytest
from nbformat import NotebookNode

from tests.daemons import Client, User, user, wait_until

COUNTED = """\
# %%
import time
from pathlib import Path

def count(name):
    with Path("ran.txt").open("a") as file:
        file.write(name + "\\n")

count("first")

# %%
count("second")
for i in range(30):
    print("line", i, flush=True)
    time.sleep(0.1)

# %%
count("third")
from hermes_runtime import glue
glue("done", True)
"""


@pytest.fixture
def somebody(tmp_path: Path) -> Iterator[User]:
    """A user with a notebook and a server."""
    with user(tmp_path) as found:
        (found.workspace / "counted.py").write_text(COUNTED)
        found.start_server()
        yield found


def connected(somebody: User) -> Client:
    """A client of the server that runs now."""
    client = somebody.connect()
    client.initialize()
    return client


def job_of(answer: str) -> str:
    """The id of the job that the answer is of."""
    return str(re.search(r"n-[0-9a-f]{8}", answer)[0])  # type: ignore[index]


def copy_in(somebody: User) -> NotebookNode:
    """The only executed copy."""
    [path] = (somebody.workspace / "executions").glob("*.ipynb")
    found: NotebookNode = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]  # not annotated
    nbformat.validate(found)
    return found


def test_a_run_goes_on_under_the_next_server(somebody: User) -> None:
    """Killed during the second of three cells: each ran once, the copy is whole, the result is told."""
    client = connected(somebody)
    job = job_of(client.call("notebook_execute", path="counted.py", wait_s=0, request_id="mine"))
    ran = somebody.workspace / "ran.txt"
    wait_until(lambda: ran.exists() and "second" in ran.read_text())
    wait_until(lambda: copy_in(somebody).cells[1:] and copy_in(somebody).cells[1].outputs)
    somebody.kill_server()
    client.close()
    assert copy_in(somebody).cells[1].metadata.papermill.status == "running"
    somebody.start_server()
    client = connected(somebody)
    answer = client.call("get_output", execution_id=job, wait_s=20)
    assert answer.startswith(f"{job} ok: 3 cells ran"), answer
    assert 'Scraps: {"done": true}' in answer
    assert ran.read_text().split() == ["first", "second", "third"]
    copy = copy_in(somebody)
    assert [cell.metadata.papermill.status for cell in copy.cells] == ["completed"] * 3
    assert copy.cells[1].outputs[0].text == "".join(f"line {i}\n" for i in range(30))
    assert client.call("notebook_execute", path="counted.py", wait_s=0, request_id="mine") == answer
    wait_until(lambda: json.loads(json.dumps(client.call("list_sessions"))).count("counted") == 0)


@pytest.mark.parametrize("at", ["state/runs/*.json", "workspace/swept.txt"])
def test_a_sweep_goes_on_under_the_next_server(somebody: User, at: str) -> None:
    """Killed before its first kernel, and at its first cell: each set runs once."""
    path = somebody.workspace / "swept.py"
    path.write_text(
        '# %% tags=["parameters"]\nn = 0\n\n# %%\nwith open("swept.txt", "a") as file:\n    file.write(f"{n} ")\n'
    )
    client = connected(somebody)
    job = job_of(client.call("notebook_execute", path="swept.py", parameters=[{"n": n} for n in range(3)], wait_s=0))
    wait_until(lambda: list(somebody.workspace.parent.glob(at)))
    somebody.kill_server()
    client.close()
    somebody.start_server()
    client = connected(somebody)
    answer = client.call("get_output", execution_id=job, wait_s=20)
    assert answer.startswith(f"{job}: 3 of 3 runs ended well"), answer
    assert (somebody.workspace / "swept.txt").read_text() == "0 1 2 "
    wait_until(lambda: not list((somebody.settings.home / "runs").iterdir()))


def test_a_failed_run_can_be_gone_on_with_after_the_server(somebody: User) -> None:
    """Its kernel and its id are there again."""
    path = somebody.workspace / "counted.py"
    path.write_text(COUNTED.replace('count("third")', "1/0").replace("range(30)", "range(1)"))
    client = connected(somebody)
    job = job_of(client.call("notebook_execute", path="counted.py"))
    somebody.kill_server()
    client.close()
    somebody.start_server()
    client = connected(somebody)
    assert "ZeroDivisionError" in client.call("get_output", execution_id=job)
    path.write_text(path.read_text().replace("1/0", 'count("third")'))
    assert " ok: 3 cells ran" in client.call("notebook_execute", path="counted.py", resume=job)
    assert (somebody.workspace / "ran.txt").read_text().split() == ["first", "second", "third"]
